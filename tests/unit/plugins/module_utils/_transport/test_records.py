# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Document, Index
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.records import oci_type, recorded

Json = dict[str, Any]

RECORD = {"dev.stevedore.recipe": "engine"}


def part(media_type: str, **more: Any) -> Json:
    return {"mediaType": media_type, "digest": str(Digest.of(media_type.encode())), "size": 1, **more}


def document(media_type: str, **more: Any) -> Document:
    return manifest.parse(json.dumps({"schemaVersion": 2, "mediaType": media_type, **more}).encode())


def shown(found: Document) -> Json:
    shown: Json = json.loads(found.raw)
    return shown


@pytest.mark.parametrize(
    ("docker", "oci"),
    [
        ("container.image.v1+json", "config.v1+json"),
        ("distribution.manifest.v2+json", "manifest.v1+json"),
        ("distribution.manifest.list.v2+json", "index.v1+json"),
        ("image.rootfs.diff.tar", "layer.v1.tar"),
        ("image.rootfs.diff.tar.gzip", "layer.v1.tar+gzip"),
        ("image.rootfs.diff.tar.zstd", "layer.v1.tar+zstd"),
        ("image.rootfs.foreign.diff.tar.gzip", "layer.nondistributable.v1.tar+gzip"),
    ],
)
def test_types(docker: str, oci: str) -> None:
    expected = f"application/vnd.oci.image.{oci}"
    assert oci_type(f"application/vnd.docker.{docker}") == expected
    assert oci_type(expected) == expected


def test_an_image_of_docker() -> None:
    """Docker's format has no annotations, and ECR takes none in it."""
    config, layer = (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    )
    original = document(manifest.DOCKER_MANIFEST, config=part(config), layers=[part(layer), part("other/type")])
    made = recorded(original, RECORD)
    assert made.media_type == manifest.OCI_MANIFEST
    assert made.annotations == RECORD
    assert [blob["mediaType"] for blob in [shown(made)["config"], *shown(made)["layers"]]] == [
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "other/type",
    ]
    assert [blob["digest"] for blob in shown(made)["layers"]] == [blob["digest"] for blob in shown(original)["layers"]]


def test_an_image_of_oci() -> None:
    config, layer = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
    parts = {"config": part(config), "layers": [part(layer, annotations={"a": "b"})], "annotations": {"c": "d"}}
    original = document(manifest.OCI_MANIFEST, **parts)
    made = recorded(original, RECORD)
    assert shown(made) == {**shown(original), "annotations": {"c": "d", **RECORD}}
    assert made.digest == Digest.of(made.raw)


def test_a_list_of_docker() -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    child = part(manifest.DOCKER_MANIFEST, platform={**platform, "features": ["x"]})
    made = recorded(document(manifest.DOCKER_LIST, manifests=[child]), RECORD)
    assert isinstance(made, Index)
    assert made.media_type == manifest.OCI_INDEX
    assert shown(made)["manifests"] == [{**child, "platform": platform}]


def test_a_list_that_is_null() -> None:
    assert shown(recorded(document(manifest.OCI_INDEX, manifests=None), RECORD))["manifests"] == []


def test_a_type_that_was_only_said_beside_the_document() -> None:
    raw = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    made = recorded(manifest.parse(raw, manifest.OCI_INDEX), RECORD)
    assert shown(made)["mediaType"] == manifest.OCI_INDEX


def test_the_algorithm_stays() -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": []}).encode()
    made = recorded(manifest.parse(raw, algorithm="sha512"), RECORD)
    assert made.digest == Digest.of(made.raw, "sha512")


def test_an_older_record_is_replaced() -> None:
    once = recorded(document(manifest.OCI_INDEX, manifests=[]), {"dev.stevedore.recipe": "old"})
    assert recorded(once, RECORD).annotations == RECORD
