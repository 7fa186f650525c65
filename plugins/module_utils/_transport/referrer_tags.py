# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags that stand in where a registry keeps no list of what refers to a manifest, as the OCI specification wants.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference


class ReferrerTags:
    """Adds to them, one at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()

    def add(self, repository: Reference, subject: Descriptor, referrer: Document) -> None:
        ref = repository.with_tag(f"{subject.digest.algorithm}-{subject.digest.encoded[:64]}")
        with self._lock:
            index = self._present(ref)
            listed = index["manifests"]
            if any(entry["digest"] == str(referrer.digest) for entry in listed):
                return
            listed.append(_entry(referrer))
            self._client.put_manifest(ref, json.dumps(index).encode(), manifest.OCI_INDEX)

    def _present(self, ref: Reference) -> dict[str, Any]:
        try:
            found = self._client.get_manifest(ref)
        except NotFound:
            return {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": []}
        index: dict[str, Any] = json.loads(found.raw)
        return index if isinstance(index.get("manifests"), list) else {**index, "manifests": []}


def _entry(referrer: Document) -> dict[str, Any]:
    config = referrer.config if isinstance(referrer, Manifest) else None
    entry: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": str(referrer.digest),
        "size": referrer.size,
        "artifactType": referrer.artifact_type or (config.media_type if config else ""),
        "annotations": dict(referrer.annotations),
    }
    return {name: value for name, value in entry.items() if value != "" and value != {}}
