# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked, Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    DigestMismatch,
    InvalidManifestError,
    NotFound,
    RegistryError,
    TooLarge,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    OCI_INDEX,
    OCI_MANIFEST,
    FakeRegistry,
    answer,
    chunked,
    descriptor,
    encoded,
    error,
    image,
    sha256,
)

# Written as no encoder would write it, so that only the very bytes have this digest.
IMAGE = image(b"{}", b"layer").replace(b",", b" ,\n")


@pytest.fixture
def ref(registry: FakeRegistry) -> Reference:
    registry.add_manifest("team/app", "1.0", IMAGE)
    return Reference.parse(f"{registry.host}/team/app:1.0")


def test_a_head_tells_what_a_tag_is_without_a_pull(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    assert client.head_manifest(ref) == Descriptor(OCI_MANIFEST, Digest.of(IMAGE), len(IMAGE))
    assert [seen.path for seen in registry.seen] == ["/v2/team/app/manifests/1.0"]
    assert registry.asked("HEAD")[0].headers["accept"] == manifest.ACCEPT


@pytest.mark.parametrize(
    "headers",
    [
        {"content_length": str(len(IMAGE))},
        {"content_length": str(len(IMAGE)), "docker_content_digest": "sha256:nonsense"},
    ],
)
def test_a_head_that_does_not_tell_costs_a_get(
    registry: FakeRegistry, client: Client, ref: Reference, headers: dict[str, str]
) -> None:
    registry.on("HEAD", "manifests", answer(200, **headers))
    assert client.head_manifest(ref).digest == Digest.of(IMAGE)
    assert len(registry.asked("GET")) == 1


@pytest.mark.parametrize("vague", [{}, {"content_type": "application/json"}])
def test_a_head_that_does_not_tell_the_type_costs_a_get(
    registry: FakeRegistry, client: Client, ref: Reference, vague: dict[str, str]
) -> None:
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    registry.add_manifest("team/app", "1.0", index, OCI_INDEX)
    headers = {"docker_content_digest": sha256(index), "content_length": str(len(index))}
    registry.on("HEAD", "manifests", answer(200, **headers, **vague))
    assert client.head_manifest(ref).is_index
    assert len(registry.asked("GET")) == 1


def test_a_manifest_is_read_as_the_bytes_that_it_is(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    found = client.get_manifest(ref)
    assert (found.raw, found.media_type, found.digest) == (IMAGE, OCI_MANIFEST, Digest.of(IMAGE))
    by_digest = ref.with_digest(found.digest)
    assert client.get_manifest(by_digest).raw == IMAGE
    assert registry.asked("GET")[1].path == f"/v2/team/app/manifests/{found.digest}"


def test_a_manifest_has_the_digest_that_was_asked_for(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    wanted = ref.with_digest(Digest.of(IMAGE, "sha512"))
    registry.manifests["team/app", str(wanted.digest)] = (OCI_MANIFEST, IMAGE)
    assert client.get_manifest(wanted).digest == wanted.digest


def test_a_manifest_without_any_digest_is_taken_at_its_word(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    registry.on("GET", "manifests", answer(200, IMAGE, content_type=OCI_MANIFEST))
    assert client.get_manifest(ref).digest == Digest.of(IMAGE)


def test_a_head_that_names_another_digest_is_refused(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    registry.on("HEAD", "manifests", answer(200, content_length="9", docker_content_digest=sha256(b"other")))
    wanted = ref.with_digest(Digest.of(IMAGE))
    with pytest.raises(
        DigestMismatch, match=f"Failed to read the manifest of {wanted}: its digest should be"
    ) as caught:
        client.head_manifest(wanted)
    assert caught.value.repository == "team/app"


@pytest.mark.parametrize(
    "act",
    [
        answer(200, IMAGE, content_type=OCI_MANIFEST, docker_content_digest=sha256(b"other")),
        answer(200, IMAGE + b" ", content_type=OCI_MANIFEST, docker_content_digest=sha256(IMAGE)),
    ],
)
def test_a_manifest_with_another_digest_is_refused(
    registry: FakeRegistry, client: Client, ref: Reference, act: Callable[..., None]
) -> None:
    registry.on("GET", "manifests", act)
    with pytest.raises(DigestMismatch, match=f"Failed to read the manifest of {ref}: its digest should be"):
        client.get_manifest(ref)


def test_a_corrupted_manifest_is_refused_by_its_digest(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    registry.on("GET", "manifests", answer(200, b"{" + IMAGE, content_type=OCI_MANIFEST))
    with pytest.raises(DigestMismatch):
        client.get_manifest(ref.with_digest(Digest.of(IMAGE)))


@pytest.mark.parametrize("act", [answer(200, b" " * (4 * 1024 * 1024 + 1)), chunked(b" " * (4 * 1024 * 1024 + 1))])
def test_a_manifest_that_is_too_long_is_refused(
    registry: FakeRegistry, client: Client, ref: Reference, act: Callable[..., None]
) -> None:
    registry.on("GET", "manifests", act)
    with pytest.raises(TooLarge, match="more than 4194304 bytes"):
        client.get_manifest(ref)
    assert client.get_manifest(ref).raw == IMAGE


def test_a_manifest_that_cannot_be_used_says_of_which_image(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    registry.on("GET", "manifests", answer(200, b"{}", content_type=OCI_MANIFEST))
    with pytest.raises(InvalidManifestError, match=f"Failed to read the manifest of {ref}: This is not a usable"):
        client.get_manifest(ref)


def test_a_retired_format_is_named_before_its_digest_is_doubted(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    retired = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    registry.on("GET", "manifests", answer(200, b"{}", content_type=retired, docker_content_digest=sha256(b"payload")))
    with pytest.raises(InvalidManifestError, match="retired"):
        client.get_manifest(ref)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_missing_tag_is_named(client: Client, ref: Reference, method: str) -> None:
    missing = ref.with_tag("none")
    with pytest.raises(NotFound, match=f"Failed to read the manifest of {missing}: ") as caught:
        (client.head_manifest if method == "HEAD" else client.get_manifest)(missing)
    assert caught.value.status == 404
    assert caught.value.code == ("MANIFEST_UNKNOWN" if method == "GET" else "")


def test_a_manifest_is_pushed_as_exactly_its_bytes(
    registry: FakeRegistry, client: Client, ref: Reference, counters: Counters
) -> None:
    target = ref.with_tag("2.0")
    pushed = client.put_manifest(target, IMAGE, OCI_MANIFEST)
    assert (pushed.digest, pushed.lists_referrer) == (Digest.of(IMAGE), False)
    assert registry.manifests["team/app", "2.0"] == (OCI_MANIFEST, IMAGE)
    assert counters.sent[registry.host] == len(IMAGE)
    assert counters.requests == {Asked(registry.host, "PUT", "manifest"): 1}


def test_a_manifest_without_a_tag_is_pushed_under_its_digest(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    registry.on("PUT", "manifests", answer(201, oci_subject=sha256(b"subject")))
    pushed = client.put_manifest(ref.with_digest(Digest.of(IMAGE)), IMAGE, OCI_MANIFEST)
    assert pushed.lists_referrer
    assert registry.asked("PUT")[0].path.endswith(sha256(IMAGE))


def test_other_bytes_than_the_digest_names_are_not_pushed(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    with pytest.raises(DigestMismatch, match="its digest should be"):
        client.put_manifest(ref.with_digest(Digest.of(b"other")), IMAGE, OCI_MANIFEST)
    assert not registry.asked("PUT")


def test_a_registry_that_stored_other_bytes_is_not_believed(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    registry.on("PUT", "manifests", answer(201, docker_content_digest=sha256(b"other")))
    with pytest.raises(DigestMismatch, match="its digest should be"):
        client.put_manifest(ref, IMAGE, OCI_MANIFEST)


UNKNOWN_BLOB = answer(400, error("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"))


def test_a_blob_that_is_not_seen_yet_gets_a_second_chance(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    registry.on("PUT", "manifests", UNKNOWN_BLOB)
    client.put_manifest(ref.with_tag("2.0"), IMAGE, OCI_MANIFEST)
    assert ("team/app", "2.0") in registry.manifests


def test_a_blob_that_is_missing_is_no_third_try(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    registry.on("PUT", "manifests", UNKNOWN_BLOB, times=9)
    with pytest.raises(RegistryError, match=r"blob unknown to registry \(400 MANIFEST_BLOB_UNKNOWN\)"):
        client.put_manifest(ref, IMAGE, OCI_MANIFEST)
    assert len(registry.asked("PUT")) == 2


def test_an_immutable_tag_is_refused_in_the_registrys_words(
    registry: FakeRegistry, client: Client, ref: Reference
) -> None:
    words = "The image tag '1.0' already exists in the 'team/app' repository and cannot be overwritten"
    registry.on("PUT", "manifests", answer(400, error("TAG_INVALID", words)))
    with pytest.raises(RegistryError, match=words) as caught:
        client.put_manifest(ref, IMAGE, OCI_MANIFEST)
    assert (caught.value.status, caught.value.code) == (400, "TAG_INVALID")


def referrers_index(*names: str) -> bytes:
    entries = [descriptor(name.encode(), OCI_MANIFEST, artifactType=f"x/{name}") for name in names]
    return encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


SUBJECT = Digest.of(IMAGE)


def test_referrers_are_listed_by_the_registry(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    path = f"/v2/team/app/referrers/{SUBJECT}"
    registry.on(
        "GET", "referrers", answer(200, referrers_index("a"), content_type=OCI_INDEX, link=f'<{path}?n=2>; rel="next"')
    )
    registry.on("GET", r"referrers.*n=2", answer(200, referrers_index("b"), content_type=OCI_INDEX))
    found = client.referrers(ref, SUBJECT)
    assert [referrer.artifact_type for referrer in found] == ["x/a", "x/b"]
    assert [seen.path for seen in registry.seen] == [path, f"{path}?n=2"]


@pytest.mark.parametrize(
    "act",
    [
        answer(404, error("NOT_FOUND", "no such path")),
        answer(404, b"<html>", content_type="text/html"),
        answer(405),
        answer(200, b"<html>", content_type="text/html"),
    ],
)
def test_where_there_is_no_such_list_the_tag_is_read(
    registry: FakeRegistry, client: Client, ref: Reference, act: Callable[..., None]
) -> None:
    registry.on("GET", "referrers", act)
    registry.add_manifest("team/app", f"sha256-{SUBJECT.encoded}", referrers_index("signature"), OCI_INDEX)
    assert [referrer.artifact_type for referrer in client.referrers(ref, SUBJECT)] == ["x/signature"]


def test_an_image_without_referrers_has_none(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    assert client.referrers(ref, SUBJECT) == ()
    registry.add_manifest("team/app", f"sha256-{SUBJECT.encoded}", IMAGE)
    assert client.referrers(ref, SUBJECT) == ()


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (answer(403, error("DENIED", "no")), RegistryError),
        (answer(200, b"{}", content_type=OCI_INDEX), InvalidManifestError),
    ],
)
def test_a_list_of_referrers_that_fails_is_not_an_empty_one(
    registry: FakeRegistry, client: Client, ref: Reference, act: Callable[..., None], kind: type[Exception]
) -> None:
    registry.on("GET", "referrers", act)
    with pytest.raises(kind, match="Failed to list the referrers of"):
        client.referrers(ref, SUBJECT)


def tags(*names: str) -> bytes:
    return json.dumps({"name": "team/app", "tags": names}).encode()


def test_tags_are_listed_page_by_page(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    path = "/v2/team/app/tags/list"
    registry.on("GET", r"n=1000$", answer(200, tags("a", "b"), link=f'<{path}?n=1000&last=b>; rel="next"'))
    registry.on("GET", "last=b", answer(200, tags("c"), link=f"<{registry.url}{path}?last=%2Fopaque%3D>;rel=next"))
    registry.on("GET", "opaque", answer(200, tags("d"), link='</other>; rel="prev"'))
    assert list(client.list_tags(ref)) == ["a", "b", "c", "d"]
    assert registry.seen[-1].path == f"{path}?last=%2Fopaque%3D"


def test_pages_are_asked_for_as_they_are_needed(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    registry.on("GET", "tags", answer(200, tags("a"), link='</v2/team/app/tags/list?n=2>; rel="next"'))
    assert next(client.list_tags(ref)) == "a"
    assert len(registry.seen) == 1


@pytest.mark.parametrize("body", [b'{"name":"team/app","tags":null}', b'{"name":"team/app"}', tags()])
def test_a_repository_may_have_no_tags(registry: FakeRegistry, client: Client, ref: Reference, body: bytes) -> None:
    registry.on("GET", "tags", answer(200, body))
    assert list(client.list_tags(ref)) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"7", b'{"tags":{}}', b'{"tags":[7]}', b'{"tags":[""]}', tags("x" * 301)]
)
def test_what_is_no_list_of_tags_is_refused(
    registry: FakeRegistry, client: Client, ref: Reference, body: bytes
) -> None:
    registry.on("GET", "tags", answer(200, body))
    with pytest.raises(RegistryError, match="gave no list of tags"):
        list(client.list_tags(ref))


@pytest.mark.parametrize(
    ("link", "requests"), [("/v2/team/app/tags/list?n=1000", 1), ("/v2/team/app/tags/list?n={count}", 7)]
)
def test_pages_without_end_are_refused(
    registry: FakeRegistry, client: Client, ref: Reference, link: str, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.stevedore.ecr.plugins.module_utils._oci.client._MAX_PAGES", 7)
    for count in range(20):
        registry.on("GET", "tags", answer(200, tags("a"), link=f'<{link.format(count=count)}>; rel="next"'))
    with pytest.raises(RegistryError, match="has no last page"):
        list(client.list_tags(ref))
    assert len(registry.seen) == requests


def test_a_missing_repository_is_named(client: Client, registry: FakeRegistry, ref: Reference) -> None:
    registry.on("GET", "tags", answer(404, error("NAME_UNKNOWN", "repository name not known to registry")))
    with pytest.raises(NotFound, match=f"Failed to list the tags of {ref.name}: .*repository name not known"):
        list(client.list_tags(ref))
