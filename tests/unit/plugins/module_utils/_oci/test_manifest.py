# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidManifestError,
    OciError,
    PlatformNotFoundError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform

Json = dict[str, Any]

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN_TYPE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def digest(text: str) -> str:
    return str(Digest.of(text.encode()))


def entry(name: str, media_type: str = LAYER_TYPE, **more: Any) -> Json:
    return {"mediaType": media_type, "digest": digest(name), "size": 10, **more}


def image(media_type: str | None = manifest.OCI_MANIFEST, **more: Any) -> Json:
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": entry("config", "application/vnd.oci.image.config.v1+json"),
        "layers": [entry("a"), entry("b"), entry("a")],
        **more,
    }
    return {name: value for name, value in document.items() if value is not None}


def index(*children: Json, media_type: str | None = manifest.OCI_INDEX, **more: Any) -> Json:
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(children), **more}
    return {name: value for name, value in document.items() if value is not None}


def child(name: str, runs_on: str = "", **more: Any) -> Json:
    if runs_on:
        os, architecture, *variant = runs_on.split("/")
        more["platform"] = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    return entry(name, manifest.OCI_MANIFEST, **more)


def encoded(document: Any) -> bytes:
    return json.dumps(document, indent=3).encode()


def parsed(document: Any, content_type: str = "") -> Document:
    return manifest.parse(encoded(document), content_type)


def parsed_index(*children: Json, **more: Any) -> Index:
    document = parsed(index(*children, **more))
    assert isinstance(document, Index)
    return document


@pytest.mark.parametrize("media_type", [manifest.OCI_MANIFEST, manifest.DOCKER_MANIFEST])
def test_an_image_names_its_blobs_once_and_keeps_its_bytes(media_type: str) -> None:
    raw = encoded(image(media_type, annotations={"a": "b"}))
    found = manifest.parse(raw, media_type)
    assert isinstance(found, Manifest)
    assert (found.raw, found.size, found.media_type) == (raw, len(raw), media_type)
    assert found.digest == Digest.of(raw)
    assert found.descriptor == Descriptor(media_type, Digest.of(raw), len(raw))
    assert [str(layer.digest) for layer in found.layers] == [digest("a"), digest("b"), digest("a")]
    assert [str(blob.digest) for blob in found.blobs] == [digest("a"), digest("b"), digest("config")]
    assert found.annotations == {"a": "b"}
    assert repr(raw) not in repr(found)


def test_a_digest_of_another_algorithm_can_be_wanted() -> None:
    raw = encoded(image())
    assert manifest.parse(raw, algorithm="sha512").digest == Digest.of(raw, "sha512")


def test_a_foreign_layer_is_no_blob_of_the_registry() -> None:
    foreign = entry("f", FOREIGN_TYPE, urls=["https://example.com/layer"])
    found = parsed(image(layers=[foreign, entry("a"), entry("g", FOREIGN_TYPE)]))
    assert isinstance(found, Manifest)
    assert [layer.is_foreign for layer in found.layers] == [True, False, False]
    assert found.layers[0].urls == ("https://example.com/layer",)
    assert digest("f") not in [str(blob.digest) for blob in found.blobs]


def test_an_artifact_has_blobs_and_no_configuration() -> None:
    document = {
        "mediaType": manifest.OCI_ARTIFACT,
        "artifactType": "x/sbom",
        "blobs": [entry("a")],
        "subject": child("s"),
    }
    found = parsed(document)
    assert isinstance(found, Manifest)
    assert found.config is None
    assert [str(blob.digest) for blob in found.blobs] == [digest("a")]
    assert found.artifact_type == "x/sbom"
    assert found.subject is not None
    assert str(found.subject.digest) == digest("s")
    empty = parsed({"mediaType": manifest.OCI_ARTIFACT})
    assert isinstance(empty, Manifest)
    assert empty.blobs == ()


@pytest.mark.parametrize("media_type", [manifest.OCI_INDEX, manifest.DOCKER_LIST])
def test_an_index_lists_children_for_platforms(media_type: str) -> None:
    found = parsed_index(
        child("a", "linux/amd64"),
        child("b", "linux/arm64/v8", annotations={"x": "y"}),
        child("c", "unknown/unknown"),
        child("d"),
        child("e", platform={"os": "", "architecture": ""}),
        entry("f", manifest.OCI_INDEX, artifactType="x/y"),
        media_type=media_type,
    )
    assert found.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))
    assert found.children[1].annotations == {"x": "y"}
    assert [child.is_index for child in found.children] == [False] * 5 + [True]
    assert found.children[4].platform is None
    assert found.children[5].artifact_type == "x/y"


@pytest.mark.parametrize(
    ("document", "content_type", "expected"),
    [
        (image(None), "", manifest.OCI_MANIFEST),
        (image(None), "application/json; charset=utf-8", manifest.OCI_MANIFEST),
        (image(None), f"{manifest.DOCKER_MANIFEST}; charset=utf-8", manifest.DOCKER_MANIFEST),
        (image(manifest.DOCKER_MANIFEST), "text/plain", manifest.DOCKER_MANIFEST),
        (image(), manifest.OCI_MANIFEST.upper(), manifest.OCI_MANIFEST),
        (index(media_type=None), "", manifest.OCI_INDEX),
        (index(media_type=None), manifest.OCI_INDEX, manifest.OCI_INDEX),
        (index(manifests=None) | {"manifests": None}, "", manifest.OCI_INDEX),
        (image(layers=[]) | {"layers": None}, "", manifest.OCI_MANIFEST),
    ],
)
def test_the_media_type_is_found_where_it_is_said(document: Json, content_type: str, expected: str) -> None:
    assert parsed(document, content_type).media_type == expected


def without(document: Json, *names: str) -> Json:
    return {name: value for name, value in document.items() if name not in names}


HOSTILE: list[tuple[Any, str]] = [
    ([], "no JSON object"),
    ("text", "no JSON object"),
    (7, "no JSON object"),
    ({}, "its media type is ''"),
    ({"schemaVersion": 1, "fsLayers": []}, "schema 1, is retired"),
    (image("application/vnd.docker.distribution.manifest.v1+prettyjws"), "schema 1, is retired"),
    (image("application/vnd.docker.plugin"), "no image manifest or index"),
    (image(mediaType=7), "mediaType of the manifest is no text"),
    (image() | {"manifests": []}, "does not fit its media type"),
    (index() | {"layers": []}, "does not fit its media type"),
    (index(media_type=manifest.OCI_MANIFEST), "does not fit its media type"),
    (image(manifest.OCI_INDEX), "does not fit its media type"),
    (without(image(), "config"), "config is no descriptor"),
    (without(image(), "layers"), "layers is no list"),
    (image(layers={}), "layers is no list"),
    (image(layers=[entry("a")] * 10_001), "10001 entries"),
    (image(layers=["x"]), r"layers\[0\] is no descriptor"),
    (image(layers=[entry("a"), entry("a", size=-1)]), r"the size of layers\[1\]"),
    (image(layers=[entry("a", size=1 << 41)]), "the size of"),
    (image(layers=[entry("a", size=1.0)]), "the size of"),
    (image(layers=[entry("a", size="10")]), "the size of"),
    (image(layers=[entry("a", size=True)]), "the size of"),
    (image(layers=[without(entry("a"), "size")]), "the size of"),
    (image(layers=[entry("a", digest="sha256:abc")]), r"layers\[0\]: A sha256 digest"),
    (image(layers=[entry("a", digest="md5:abc")]), "cannot be verified"),
    (image(layers=[entry("a", digest="sha256:../../../etc")]), "hexadecimal"),
    (image(layers=[without(entry("a"), "digest")]), "is not a digest"),
    (image(layers=[entry("a", "")]), "media type of"),
    (image(layers=[entry("a", "x\r\ny: z")]), "media type of"),
    (image(layers=[entry("a", urls="x")]), "urls of"),
    (image(layers=[entry("a", urls=[7])]), "urls of"),
    (image(layers=[entry("a", urls=["x"] * 101)]), "urls of"),
    (image(layers=[entry("a", annotations=[])]), "annotations of"),
    (image(annotations={"a": 7}), "annotations of the manifest"),
    (image(subject=[]), "subject is no descriptor"),
    (image(artifactType={}), "artifactType of the manifest is no text"),
    (index(child("a", platform="linux")), "platform of"),
    (index(child("a", platform={"os": 7, "architecture": "x"})), "os of"),
    (index(child("a", platform={"os": "li nux", "architecture": "x"})), "cannot be part of a platform"),
    (index(child("a", size=5 << 20)), "the size of"),
]


@pytest.mark.parametrize(("document", "why"), HOSTILE)
def test_what_must_not_be_trusted_is_refused(document: Any, why: str) -> None:
    with pytest.raises(InvalidManifestError, match=why) as caught:
        parsed(document)
    assert str(caught.value).startswith("This is not a usable manifest: ")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"\xff\xfe{\x00}\x00", "no valid JSON"),
        (b"[" * 200_000, "no valid JSON"),
        (b'{"a":' * 100_000, "no valid JSON"),
        (b'{"size": ' + b"9" * 100_000 + b"}", "no valid JSON|its media type"),
        (b'{"size": NaN}', "NaN is no JSON"),
        (b'{"layers": [], "layers": []}', "twice"),
        (b"[" + b"[]," * 300_000 + b"[]]", "far more parts"),
        (b" " * (4 * 1024 * 1024 + 1), "at most 4194304"),
    ],
)
def test_what_is_hardly_json_is_refused_cheaply(raw: bytes, why: str) -> None:
    tracemalloc.start()
    with pytest.raises(InvalidManifestError, match=why):
        manifest.parse(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


def test_the_largest_manifest_that_is_read_costs_little_memory() -> None:
    raw = b'{"a":[' + b"[]," * 120_000 + b"[]]}"
    tracemalloc.start()
    with pytest.raises(InvalidManifestError):
        manifest.parse(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("document", "served"), [(image(), manifest.OCI_INDEX), (image(), manifest.DOCKER_MANIFEST), (index(), "text/html")]
)
def test_registry_and_document_must_agree(document: Json, served: str) -> None:
    with pytest.raises(InvalidManifestError, match="the registry calls it"):
        parsed(document, served)


def test_a_retired_format_is_named_as_such() -> None:
    with pytest.raises(InvalidManifestError, match="retired"):
        manifest.check_media_type("application/vnd.docker.distribution.manifest.v1+json")
    manifest.check_media_type(manifest.OCI_MANIFEST)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
FIELDS = [
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "blobs",
    "subject",
    "annotations",
    "artifactType",
]
ENTRY_FIELDS = ["mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType"]


@given(st.binary() | st.text().map(str.encode) | JSON_VALUES.map(encoded))
def test_any_bytes_are_a_manifest_or_are_refused(raw: bytes) -> None:
    with contextlib.suppress(InvalidManifestError):
        assert manifest.parse(raw).raw == raw


@given(
    st.sampled_from([image(), index(child("a", "linux/amd64")), image(manifest.OCI_ARTIFACT)]),
    st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=2),
    st.dictionaries(st.sampled_from(ENTRY_FIELDS), JSON_VALUES, max_size=2),
)
def test_any_change_of_a_good_manifest_is_read_or_refused(base: Json, changes: Json, entry_changes: Json) -> None:
    document = {**base, **changes}
    for name in ("layers", "manifests", "blobs"):
        if isinstance(base.get(name), list) and name not in changes:
            document[name] = [{**original, **entry_changes} for original in base[name]]
    try:
        found = parsed(document)
    except OciError:
        return
    blobs = found.children if isinstance(found, Index) else found.blobs
    assert all(blob.size >= 0 and blob.media_type for blob in blobs)


def store(*documents: Document) -> Callable[[Descriptor], Document]:
    by_digest = {document.digest: document for document in documents}
    return lambda wanted: by_digest[wanted.digest]


def listing(*documents: Document) -> Index:
    return parsed_index(
        *(
            {"mediaType": document.media_type, "digest": str(document.digest), "size": document.size}
            for document in documents
        )
    )


def test_children_come_before_what_lists_them_and_once() -> None:
    a, b = parsed(image()), parsed(image(annotations={"b": ""}))
    inner = listing(a, b)
    outer = listing(b, inner, a)
    assert list(manifest.walk(outer, store(a, b, inner))) == [b, a, inner, outer]
    assert list(manifest.walk(a, store())) == [a]


def test_deep_indexes_are_refused() -> None:
    documents: list[Document] = [parsed(image())]
    for depth in range(5):
        documents.append(listing(documents[-1]))
        if depth < 4:
            assert len(list(manifest.walk(documents[-1], store(*documents)))) == depth + 2
    with pytest.raises(InvalidManifestError, match="more than 4 deep"):
        list(manifest.walk(documents[-1], store(*documents)))


def test_an_index_that_contains_itself_is_refused() -> None:
    one = parsed_index(child("two"))
    # No such bytes can be made: only a client that does not verify would ever meet this.
    loop = Index(**{**vars(one), "children": (one.descriptor,)})
    with pytest.raises(InvalidManifestError, match="contains itself"):
        list(manifest.walk(loop, store(loop)))


def test_an_index_of_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_MAX_DOCUMENTS", 3)
    documents = [parsed(image(annotations={"n": str(n)})) for n in range(3)]
    with pytest.raises(InvalidManifestError, match="more than 3 manifests"):
        list(manifest.walk(listing(*documents), store(*documents)))


def test_a_child_that_is_not_what_was_listed_is_refused() -> None:
    a, b = parsed(image()), parsed(image(annotations={"b": ""}))
    with pytest.raises(InvalidManifestError, match="was given"):
        list(manifest.walk(listing(a), lambda wanted: b))
    lying = parsed_index({"mediaType": a.media_type, "digest": str(a.digest), "size": a.size + 1})
    with pytest.raises(InvalidManifestError, match=f"{a.digest} has {a.size} bytes"):
        list(manifest.walk(lying, store(a)))


def multi_platform(**more: Any) -> Index:
    return parsed_index(
        child("amd", "linux/amd64"),
        child("arm", "linux/arm64/v8"),
        child("arm-att", "unknown/unknown", annotations={manifest.ATTESTED_DIGEST: digest("arm")}),
        child("amd-att", "unknown/unknown", annotations={manifest.ATTESTED_DIGEST: digest("amd")}),
        **more,
    )


def test_platforms_are_selected_with_what_attests_to_them() -> None:
    found = manifest.select(multi_platform(), [Platform.parse("linux/aarch64")])
    assert [str(kept.digest) for kept in found] == [digest("arm"), digest("arm-att")]


def test_a_missing_platform_is_named_with_those_that_are_there() -> None:
    with pytest.raises(PlatformNotFoundError, match=r"no linux/s390x in .*, which has linux/amd64, linux/arm64"):
        manifest.select(multi_platform(), [Platform("linux", "amd64"), Platform("linux", "s390x")])
    with pytest.raises(PlatformNotFoundError, match="which has no platforms"):
        manifest.select(parsed_index(child("a")), [Platform("linux", "amd64")])


def test_a_subset_is_a_valid_index_with_its_own_digest() -> None:
    original = multi_platform(annotations={"k": "v"}, x_unknown=[1])
    smaller = manifest.subset(original, manifest.select(original, [Platform("linux", "amd64")]))
    again = manifest.parse(smaller.raw, original.media_type)
    assert again == smaller
    assert smaller.digest not in (original.digest, None)
    assert [str(kept.digest) for kept in smaller.children] == [digest("amd"), digest("amd-att")]
    document = json.loads(smaller.raw)
    assert document["x_unknown"] == [1]
    assert document["manifests"] == [json.loads(original.raw)["manifests"][at] for at in (0, 3)]
    assert manifest.subset(original, smaller.children).raw == smaller.raw


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_new_document_keeps_the_kind_of_digest(algorithm: str) -> None:
    original = manifest.parse(encoded(json.loads(multi_platform().raw)), algorithm=algorithm)
    assert isinstance(original, Index)
    assert manifest.subset(original, original.children[:1]).digest.algorithm == algorithm
