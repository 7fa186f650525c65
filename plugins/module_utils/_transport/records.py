# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests and indexes that carry a record of what they were made from, as annotations.

Private to this collection: may change in any release.

Docker's own formats have no annotations, and ECR refuses a manifest with members that its format does not have. So
whatever gets a record becomes OCI's format, which ECR and every client of today take; the blobs stay what they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Document, Manifest

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs"
_OCI_TYPES = {
    manifest.DOCKER_MANIFEST: manifest.OCI_MANIFEST,
    manifest.DOCKER_LIST: manifest.OCI_INDEX,
    DOCKER_CONFIG: OCI_CONFIG,
    f"{_DOCKER_LAYER}.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    f"{_DOCKER_LAYER}.diff.tar.gzip": OCI_LAYER,
    f"{_DOCKER_LAYER}.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    f"{_DOCKER_LAYER}.foreign.diff.tar": "application/vnd.oci.image.layer.nondistributable.v1.tar",
    f"{_DOCKER_LAYER}.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}


def recorded(document: Document, record: Mapping[str, str]) -> Document:
    """The same with a record, in OCI's format. The children of an index stay what they are."""
    annotations = {**document.annotations, **record}
    return made({**as_oci(document), "annotations": annotations}, document.digest.algorithm)


def as_oci(document: Document) -> dict[str, Any]:
    """What the document says, in the words of OCI."""
    found: dict[str, Any] = json.loads(document.raw)
    found["mediaType"] = oci_type(document.media_type)
    if isinstance(document, Manifest):
        for descriptor in [*filter(None, [found.get("config")]), *(found.get("layers") or [])]:
            descriptor["mediaType"] = oci_type(descriptor["mediaType"])
    else:
        # Go writes a list of nothing as null.
        found["manifests"] = found["manifests"] or []
        for child in found["manifests"]:
            # Of Docker's format only, never used, and refused by ECR.
            (child.get("platform") or {}).pop("features", None)
    return found


def oci_type(media_type: str) -> str:
    return _OCI_TYPES.get(media_type, media_type)


def made(document: Mapping[str, Any], algorithm: str = "sha256") -> Document:
    """A manifest or index of our own making."""
    raw = json.dumps(document, separators=(",", ":")).encode()
    return manifest.parse(raw, document["mediaType"], algorithm=algorithm)
