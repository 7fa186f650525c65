# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.derive import DeriveError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.directories import DirectoryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import records
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.derived import Derivation, derive, images_only

Json = dict[str, Any]

RECORD = {"dev.stevedore.source.digest": "sha256:1", "dev.stevedore.recipe": "dockerfile=sha256:2"}
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = (manifest.OCI_MANIFEST, records.OCI_CONFIG, records.OCI_LAYER)
DOCKER = (manifest.DOCKER_MANIFEST, records.DOCKER_CONFIG, DOCKER_LAYER)


class Source:
    """Manifests and blobs, and what of them was read."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.read: list[str] = []

    def blob(self, media_type: str, content: bytes, **more: Any) -> Json:
        digest = str(Digest.of(content))
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content), **more}

    def image(self, platform: str = "linux/amd64", types: Sequence[str] = OCI, **more: Any) -> Json:
        """An image with the directory /srv; what an index says of it."""
        os, architecture = platform.split("/")
        config = {"os": os, "architecture": architecture, "config": {"Env": ["A=1"]}, "history": [{"created_by": "x"}]}
        config["rootfs"] = {"type": "layers", "diff_ids": [str(Digest.of(b"layer"))]}
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w:gz") as archive:
            entry = tarfile.TarInfo("srv")
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        document = {
            "config": self.blob(types[1], json.dumps(config).encode()),
            "layers": [self.blob(types[2], layer.getvalue())],
            **more,
        }
        listed = self.listed(types[0], document)
        return {**listed, "platform": {"os": os, "architecture": architecture}}

    def listed(self, media_type: str, document: Json) -> Json:
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}, indent=1).encode()
        digest = str(Digest.of(raw))
        self.manifests[digest] = raw
        return {"mediaType": media_type, "digest": digest, "size": len(raw)}

    def attestation(self, about: Json) -> Json:
        made = self.listed(manifest.OCI_MANIFEST, {"config": self.blob(records.OCI_CONFIG, b"{}"), "layers": []})
        annotations = {manifest.ATTESTED_DIGEST: about["digest"]}
        return {**made, "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": annotations}

    def documents(self, listed: Json) -> list[Document]:
        return list(manifest.walk(self._get(listed["digest"]), lambda child: self._get(str(child.digest))))

    def derive(self, listed: Json, *lines: str) -> Derivation:
        return derive(self.documents(listed), dockerfile.parse(lines), RECORD, self.open)

    def open(self, blob: Descriptor) -> io.BytesIO:
        self.read.append(str(blob.digest))
        return io.BytesIO(self.blobs[str(blob.digest)])

    def _get(self, digest: str) -> Document:
        return manifest.parse(self.manifests[digest])


@pytest.fixture
def source() -> Source:
    return Source()


def image(made: Derivation, number: int = -1) -> Manifest:
    found = made.documents[number]
    assert isinstance(found, Manifest)
    return found


def config(made: Derivation, number: int = -1) -> Json:
    """The configuration of one of the images that were made."""
    described = image(made, number).config
    assert described is not None
    content = made.made[described.digest]
    assert described.size == len(content)
    found: Json = json.loads(content)
    return found


@pytest.mark.parametrize("types", [OCI, DOCKER], ids=["OCI", "Docker"])
def test_an_image(source: Source, types: Sequence[str]) -> None:
    listed = source.image(types=types, annotations={"kept": "yes"} if types == OCI else {})
    original = source.documents(listed)[0]
    made = source.derive(listed, "ENV B=2")
    assert image(made).media_type == manifest.OCI_MANIFEST
    assert [part.media_type for part in image(made).blobs] == [records.OCI_LAYER, records.OCI_CONFIG]
    assert isinstance(original, Manifest)
    assert [layer.digest for layer in image(made).layers] == [layer.digest for layer in original.layers]
    assert dict(made.top.annotations) == {**original.annotations, **RECORD}
    assert config(made)["config"] == {"Env": ["A=1", "B=2"], "Labels": RECORD}
    assert made.notes == ()
    assert len(made.made) == 1


def test_the_same_input_gives_the_same_digests(source: Source) -> None:
    listed = source.image()
    first, again = (source.derive(listed, "ENV B=2", "WORKDIR /new") for _time in range(2))
    assert first == again
    assert first.made == again.made


def test_only_configurations_are_read_unless_directories_matter(source: Source) -> None:
    listed = source.image()
    source.derive(listed, "ENV B=2", "VOLUME /x")
    document = json.loads(source.manifests[listed["digest"]])
    assert source.read == [document["config"]["digest"]]
    source.derive(listed, "WORKDIR /srv", "WORKDIR /srv/more", "USER root", "WORKDIR /other")
    assert source.read[1:] == [document["config"]["digest"], document["layers"][0]["digest"]]


def test_a_directory_that_is_missing_is_a_layer_more(source: Source) -> None:
    made = source.derive(source.image(types=DOCKER), "WORKDIR /srv", "WORKDIR new")
    layer = image(made).layers[-1]
    assert len(image(made).layers) == 2
    assert layer.media_type == records.OCI_LAYER
    with tarfile.open(fileobj=io.BytesIO(made.made[layer.digest])) as archive:
        assert archive.getnames() == ["srv/new"]
    assert len(config(made)["rootfs"]["diff_ids"]) == 2


def test_an_index(source: Source) -> None:
    children = [source.image("linux/amd64"), source.image("linux/arm64", types=DOCKER)]
    children[1]["annotations"] = {"kept": "yes"}
    children[1]["data"] = "c3RhbGU="
    made = source.derive(source.listed(manifest.OCI_INDEX, {"manifests": children}), "ENV B=2")
    assert isinstance(made.top, Index)
    assert made.top.media_type == manifest.OCI_INDEX
    assert dict(made.top.annotations) == RECORD
    assert [child.digest for child in made.top.children] == [document.digest for document in made.documents[:-1]]
    assert [child.size for child in made.top.children] == [document.size for document in made.documents[:-1]]
    assert [child.media_type for child in made.top.children] == [manifest.OCI_MANIFEST] * 2
    assert [str(child.platform) for child in made.top.children] == ["linux/amd64", "linux/arm64"]
    assert made.top.children[1].annotations == {"kept": "yes"}
    assert [config(made, number)["architecture"] for number in (0, 1)] == ["amd64", "arm64"]
    assert all(config(made, number)["config"]["Labels"] == RECORD for number in (0, 1))
    assert all(not document.annotations for document in made.documents[:-1])
    assert b"c3RhbGU=" not in made.top.raw


def test_a_list_of_docker(source: Source) -> None:
    child = source.image(types=DOCKER)
    child["platform"]["features"] = ["sse4"]
    made = source.derive(source.listed(manifest.DOCKER_LIST, {"manifests": [child]}), "ENV B=2")
    assert made.top.media_type == manifest.OCI_INDEX
    assert json.loads(made.top.raw)["manifests"][0]["platform"] == {"os": "linux", "architecture": "amd64"}


def test_an_index_in_an_index(source: Source) -> None:
    inner = source.listed(manifest.OCI_INDEX, {"manifests": [source.image()]})
    made = source.derive(source.listed(manifest.OCI_INDEX, {"manifests": [inner]}), "ENV B=2")
    assert [type(document) for document in made.documents] == [Manifest, Index, Index]
    assert isinstance(made.top, Index)
    assert made.top.children[0].digest == made.documents[1].digest


def test_companions_are_left_out(source: Source) -> None:
    child = source.image()
    artifact = source.listed(
        manifest.OCI_MANIFEST,
        {"config": source.blob("application/vnd.oci.empty.v1+json", b"{}"), "layers": [], "artifactType": "a/b"},
    )
    listed = source.listed(manifest.OCI_INDEX, {"manifests": [child, source.attestation(child), artifact]})
    made = source.derive(listed, "ENV B=2")
    assert isinstance(made.top, Index)
    assert len(made.top.children) == 1
    assert len(made.documents) == 2
    assert made.notes == ("attestations and other companions in the source's index are left out: they do not fit",)


def test_images_only(source: Source) -> None:
    children = [source.image(), source.image("linux/arm64")]
    plain = manifest.parse(source.manifests[source.listed(manifest.OCI_INDEX, {"manifests": children})["digest"]])
    with_more = source.listed(manifest.OCI_INDEX, {"manifests": [*children, source.attestation(children[0])]})
    attested = manifest.parse(source.manifests[with_more["digest"]])
    assert isinstance(plain, Index)
    assert isinstance(attested, Index)
    assert images_only(plain) == (plain, ())
    only, notes = images_only(attested)
    assert only.children == plain.children
    assert only.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))
    assert len(notes) == 1


def test_podman_and_health_checks(source: Source) -> None:
    line = "HEALTHCHECK CMD true"
    assert source.derive(source.image(types=OCI), line).notes == ()
    (note,) = source.derive(source.image(types=DOCKER), line).notes
    assert "Podman ignores HEALTHCHECK" in note


def test_a_subject_is_not_kept(source: Source) -> None:
    """What refers to something else would be listed as being about it."""
    listed = source.image(subject=source.blob("a/b", b"other"))
    assert source.derive(listed, "ENV B=2").top.subject is None


def test_what_is_no_image(source: Source) -> None:
    listed = source.listed(manifest.OCI_MANIFEST, {"config": source.blob("a/b", b"{}"), "layers": []})
    with pytest.raises(DeriveError, match="there is no image in it"):
        source.derive(listed, "ENV B=2")
    empty = source.listed(manifest.OCI_INDEX, {"manifests": [source.attestation(source.image())]})
    with pytest.raises(DeriveError, match="there is no image in it"):
        source.derive(empty, "ENV B=2")


def test_an_index_whose_list_is_null(source: Source) -> None:
    """So Go writes an index of nothing."""
    with pytest.raises(DeriveError, match="there is no image in it"):
        source.derive(source.listed(manifest.OCI_INDEX, {"manifests": None}), "ENV B=2")


def test_a_configuration_that_is_too_large(source: Source) -> None:
    size = 9 * 1024 * 1024
    described = {"mediaType": records.OCI_CONFIG, "digest": str(Digest.of(b"x")), "size": size}
    listed = source.listed(manifest.OCI_MANIFEST, {"config": described, "layers": []})
    with pytest.raises(DeriveError, match="larger than any image's"):
        source.derive(listed, "ENV B=2")
    assert source.read == []


def test_layers_that_cannot_be_read(source: Source) -> None:
    layer = source.blob("application/vnd.oci.image.layer.v1.tar+zstd", b"\x28\xb5\x2f\xfd" + bytes(99))
    listed = source.image(layers=[layer])
    assert len(image(source.derive(listed, "ENV B=2")).layers) == 1
    with pytest.raises(DirectoryError, match="Zstandard"):
        source.derive(listed, "WORKDIR /srv")


def test_an_image_without_layers(source: Source) -> None:
    made = source.derive(source.image(layers=None), "WORKDIR /srv")
    assert len(image(made).layers) == 1
