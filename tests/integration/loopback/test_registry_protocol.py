"""The registry HTTP API, request by request: what ECR answers, and above all what it refuses."""

from __future__ import annotations

import base64
import http.client
import json
import time
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from registry import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Answer,
    Client,
    Ecr,
    descriptor,
    encoded,
    sha256,
)

from loopback.client import Cloud

MIB = 1 << 20
PART = 5 * MIB
HOUR = 3600
ABSENT = f"sha256:{'0' * 64}"
NAME = "team/app"


@pytest.fixture
def registry(cloud: Cloud) -> Ecr:
    cloud.client("ecr").create_repository(repositoryName=NAME)
    return Ecr(cloud)


def begin(registry: Ecr, query: str = "") -> str:
    begun = registry.call("POST", f"/v2/{NAME}/blobs/uploads/{query}")
    assert begun.status == 202
    return str(begun.headers["Location"])


def manifest_of(registry: Ecr, **more: Any) -> bytes:
    """A manifest whose parts are there, not pushed itself."""
    parts = [b"{}", b"layer"]
    for part in parts:
        registry.push_blob(NAME, part)
    config, layer = descriptor(parts[0], OCI_CONFIG), descriptor(parts[1], OCI_LAYER)
    return encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer], **more})


# ------------------------------------------------------------------ who comes in


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer x", "Basic !", f"Basic {base64.b64encode(b'AWS:x').decode()}", "Basic QVdTOg=="],
)
def test_no_good_password_is_401_with_a_basic_challenge(cloud: Cloud, authorization: str) -> None:
    answer = Client(cloud.registry, authorization).call("GET", "/v2/")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == f'Basic realm="{cloud.registry}/",service="ecr.amazonaws.com"'


def test_a_password_with_another_user_name_is_refused(cloud: Cloud, registry: Ecr) -> None:
    password = base64.b64decode((registry.authorization or "").removeprefix("Basic ")).removeprefix(b"AWS:")
    authorization = f"Basic {base64.b64encode(b'root:' + password).decode()}"
    assert registry.call("GET", "/v2/", authorization=authorization).status == 401


def test_a_changed_password_is_refused(registry: Ecr) -> None:
    password = base64.b64decode((registry.authorization or "").removeprefix("Basic ")).removeprefix(b"AWS:")
    content = bytearray(base64.urlsafe_b64decode(password))
    content[40] ^= 1
    forged = base64.b64encode(b"AWS:" + base64.urlsafe_b64encode(content)).decode()
    assert registry.call("GET", "/v2/", authorization=f"Basic {forged}").status == 401


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_ping(registry: Ecr, path: str) -> None:
    answer = registry.call("GET", path)
    assert answer.status == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_a_password_is_good_for_twelve_hours(cloud: Cloud, registry: Ecr) -> None:
    cloud.advance(12 * HOUR - 60)
    assert registry.call("GET", "/v2/").status == 200
    cloud.advance(120)
    answer = registry.call("GET", "/v2/")
    assert answer.error == (403, "DENIED")
    assert answer.message == "Your authorization token has expired. Reauthenticate and try again."
    assert Ecr(cloud).call("GET", "/v2/").status == 200


def test_a_password_is_good_in_its_region_only(cloud: Cloud, registry: Ecr) -> None:
    assert Ecr(cloud, region="us-east-1", at=registry.origin).call("GET", "/v2/").error == (403, "DENIED")


# ------------------------------------------------------------------ manifests in


REFUSED_MANIFESTS = {
    "not json": (b"not json", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "no object": (b"[]", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "no parts": (b'{"schemaVersion": 2}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "part without digest": (b'{"config": {}, "layers": []}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "part with a bad digest": (
        b'{"config": {"digest": "sha256:1"}, "layers": []}',
        OCI_MANIFEST,
        400,
        "MANIFEST_INVALID",
    ),
    "part that is none": (b'{"config": 1, "layers": []}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "subject that is none": (
        encoded({"config": {"digest": ABSENT}, "layers": [], "subject": "x"}),
        OCI_MANIFEST,
        400,
        "MANIFEST_INVALID",
    ),
    "index without children": (b"{}", OCI_INDEX, 400, "MANIFEST_INVALID"),
    "no known media type": (b"{}", "text/plain", 400, "MANIFEST_INVALID"),
    "no media type": (b"{}", "", 400, "MANIFEST_INVALID"),
    "another media type than it says": (
        encoded({"mediaType": OCI_MANIFEST, "config": {"digest": ABSENT}, "layers": []}),
        DOCKER_MANIFEST,
        400,
        "MANIFEST_INVALID",
    ),
    "over 4 MiB": (b" " * (4 * MIB + 1), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
    "missing layers": (
        encoded({"config": {"digest": ABSENT}, "layers": [{"digest": ABSENT}]}),
        OCI_MANIFEST,
        400,
        "BLOB_UPLOAD_UNKNOWN",
    ),
    "missing children": (
        encoded({"manifests": [{"digest": ABSENT}]}),
        OCI_INDEX,
        400,
        "MANIFEST_BLOB_UNKNOWN",
    ),
}


@pytest.mark.parametrize("case", REFUSED_MANIFESTS)
def test_manifest_is_refused(registry: Ecr, case: str) -> None:
    body, media_type, status, code = REFUSED_MANIFESTS[case]
    assert registry.put(NAME, "bad", body, media_type).error == (status, code)
    assert registry.manifest(NAME, "bad").error == (404, "MANIFEST_UNKNOWN")


def test_missing_layers_are_named(registry: Ecr) -> None:
    manifest = encoded({"config": {"digest": registry.push_blob(NAME, b"{}")}, "layers": [{"digest": ABSENT}]})
    assert registry.put(NAME, "bad", manifest).message == (
        f"Layers with digests '[{ABSENT}]' required for pushing image into repository with name '{NAME}' "
        "in the registry with id '123456789012' do not exist"
    )


def test_layers_of_another_repository_do_not_count(cloud: Cloud, registry: Ecr) -> None:
    cloud.client("ecr").create_repository(repositoryName="team/other")
    manifest = manifest_of(registry)
    assert registry.put("team/other", "1", manifest).error == (400, "BLOB_UPLOAD_UNKNOWN")
    assert registry.put(NAME, "1", manifest).status == 201


def test_foreign_layers_need_not_be_there(registry: Ecr) -> None:
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": ABSENT,
        "size": 1,
        "urls": ["https://example.com/layer"],
    }
    config = registry.push_blob(NAME, b"{}")
    manifest = encoded({"config": {"digest": config, "size": 2}, "layers": [foreign]})
    assert registry.put(NAME, "windows", manifest).status == 201


def test_manifest_by_digest_must_have_that_digest(registry: Ecr) -> None:
    manifest = manifest_of(registry)
    answer = registry.put(NAME, ABSENT, manifest)
    assert answer.error == (400, "MANIFEST_INVALID")
    assert "does not match the image digest that Amazon ECR has calculated" in answer.message
    pushed = registry.put(NAME, sha256(manifest), manifest)
    assert pushed.status == 201
    assert pushed.headers["Docker-Content-Digest"] == sha256(manifest)
    assert pushed.headers["Location"] == f"{registry.origin}/v2/{NAME}/manifests/{sha256(manifest)}"
    assert registry.call("GET", f"/v2/{NAME}/tags/list").json["tags"] == []


@pytest.mark.parametrize("tag", ["-x", ".x", "a b", "a" * 129, "a:b", "ü"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_illegal_tag_is_refused(registry: Ecr, method: str, tag: str) -> None:
    path = f"/v2/{NAME}/manifests/{quote(tag)}"
    assert registry.call(method, path, body=manifest_of(registry), content_type=OCI_MANIFEST).error == (
        400,
        "TAG_INVALID",
    )


@pytest.mark.parametrize("tag", ["a", "A_1.x-y", "_", "9" * 128])
def test_legal_tag_is_taken(registry: Ecr, tag: str) -> None:
    assert registry.put(NAME, tag, manifest_of(registry)).status == 201
    assert registry.manifest(NAME, tag).status == 200


def test_tag_moves_in_a_mutable_repository(registry: Ecr) -> None:
    registry.push_image(NAME, "1", "a")
    second = registry.push_image(NAME, "1", "b")
    assert registry.manifest(NAME, "1").body == second


def test_immutable_tag_cannot_be_moved(cloud: Cloud, registry: Ecr) -> None:
    cloud.client("ecr").put_image_tag_mutability(repositoryName=NAME, imageTagMutability="IMMUTABLE")
    first = registry.push_image(NAME, "1", "a")
    answer = registry.put(NAME, "1", manifest_of(registry))
    assert answer.error == (400, "TAG_INVALID")
    assert answer.message == (
        f"The image tag '1' already exists in the '{NAME}' repository and cannot be overwritten because the "
        "repository is immutable."
    )
    assert registry.manifest(NAME, "1").body == first
    assert registry.put(NAME, "2", first).status == 201


def test_immutable_tag_and_the_same_digest(cloud: Cloud, registry: Ecr) -> None:
    """Nobody knows for sure: both ways can be had."""
    cloud.client("ecr").put_image_tag_mutability(repositoryName=NAME, imageTagMutability="IMMUTABLE")
    manifest = registry.push_image(NAME, "1")
    assert registry.put(NAME, "1", manifest).error == (400, "TAG_INVALID")
    cloud.knobs(ecr__immutable_same_digest="accept")
    assert registry.put(NAME, "1", manifest).status == 201


@pytest.mark.parametrize(("tag", "moves"), [("dev-1", True), ("v1", False)])
def test_exclusions_from_immutability(cloud: Cloud, registry: Ecr, tag: str, moves: bool) -> None:
    cloud.client("ecr").put_image_tag_mutability(
        repositoryName=NAME,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    registry.push_image(NAME, tag, "a")
    answer = registry.put(NAME, tag, manifest_of(registry))
    assert (answer.status == 201) is moves
    assert moves or "because the tag is immutable" in answer.message


def test_a_thousand_tags_an_image(registry: Ecr) -> None:
    manifest = manifest_of(registry)
    for number in range(1000):
        assert registry.put(NAME, f"t{number}", manifest).status == 201
    answer = registry.put(NAME, "one-more", manifest)
    assert answer.error == (403, "DENIED")
    assert "exceeds the maximum allowed number of tags per image which is '1000'" in answer.message
    assert registry.put(NAME, "t7", manifest).status == 201
    registry.push_image(NAME, "one-more", "another image")


# ------------------------------------------------------------------ manifests out


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest_by_tag_and_digest(registry: Ecr, method: str) -> None:
    manifest = registry.push_image(NAME, "1")
    for reference in ("1", sha256(manifest)):
        answer = registry.call(method, f"/v2/{NAME}/manifests/{reference}")
        assert answer.status == 200
        assert answer.headers["Docker-Content-Digest"] == sha256(manifest)
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["Content-Length"] == str(len(manifest))
        assert answer.body == (manifest if method == "GET" else b"")


@pytest.mark.parametrize("reference", ["none", ABSENT])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_missing_manifest(registry: Ecr, method: str, reference: str) -> None:
    assert registry.call(method, f"/v2/{NAME}/manifests/{reference}").status == 404
    assert registry.manifest(NAME, reference).message == "Requested image not found"


def test_several_accept_headers_count_as_one(registry: Ecr) -> None:
    """Docker sends one line for each media type."""
    registry.push_image(NAME, "1")
    address = urlsplit(registry.origin)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.putrequest("GET", f"/v2/{NAME}/manifests/1")
    connection.putheader("Authorization", registry.authorization or "")
    for accepted in (DOCKER_MANIFEST, OCI_MANIFEST, OCI_INDEX):
        connection.putheader("Accept", accepted)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == OCI_MANIFEST
    connection.close()


def test_an_index_is_not_given_to_who_cannot_read_it(registry: Ecr) -> None:
    child = registry.push_image(NAME, "child")
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(child, OCI_MANIFEST)]})
    assert registry.put(NAME, "index", index, OCI_INDEX).status == 201
    assert registry.manifest(NAME, "index", accept=f"{DOCKER_MANIFEST}, {OCI_MANIFEST}").status == 404
    for accepted in (OCI_INDEX, "*/*", ""):
        assert registry.manifest(NAME, "index", accept=accepted).body == index


@pytest.mark.parametrize(
    ("docker", "accepted", "layer"),
    [(False, DOCKER_MANIFEST, DOCKER_LAYER), (True, OCI_MANIFEST, OCI_LAYER)],
)
def test_by_tag_an_image_is_converted_for_who_cannot_read_it(
    registry: Ecr, docker: bool, accepted: str, layer: str
) -> None:
    manifest = registry.push_image(NAME, "1", docker=docker)
    converted = registry.manifest(NAME, "1", accept=accepted)
    assert converted.headers["Content-Type"] == converted.json["mediaType"] == accepted
    assert converted.headers["Docker-Content-Digest"] == sha256(converted.body) != sha256(manifest)
    assert converted.json["config"]["mediaType"] == (OCI_CONFIG if docker else DOCKER_CONFIG)
    assert [part["mediaType"] for part in converted.json["layers"]] == [layer]
    assert converted.json["layers"][0]["digest"] == json.loads(manifest)["layers"][0]["digest"]
    assert registry.manifest(NAME, sha256(manifest), accept=accepted).status == 404


def test_manifests_cannot_be_deleted_here(registry: Ecr) -> None:
    manifest = registry.push_image(NAME, "1")
    for reference in ("1", sha256(manifest)):
        answer = registry.call("DELETE", f"/v2/{NAME}/manifests/{reference}")
        assert answer.error == (405, "UNSUPPORTED")
    assert registry.manifest(NAME, "1").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "manifests/1"),
        ("HEAD", "manifests/1"),
        ("PUT", "manifests/1"),
        ("GET", f"blobs/{ABSENT}"),
        ("HEAD", f"blobs/{ABSENT}"),
        ("POST", "blobs/uploads/"),
        ("PATCH", "blobs/uploads/1"),
        ("PUT", f"blobs/uploads/1?digest={ABSENT}"),
        ("GET", "tags/list"),
        ("GET", f"referrers/{ABSENT}"),
    ],
)
def test_missing_repository(registry: Ecr, method: str, path: str) -> None:
    answer = registry.call(method, f"/v2/no/such/{path}", content_type=OCI_MANIFEST)
    assert answer.status == 404
    if method != "HEAD":
        assert answer.error == (404, "NAME_UNKNOWN")
        text = "The repository with name 'no/such' does not exist in the registry with id '123456789012'"
        assert answer.message == text


@pytest.mark.parametrize("path", ["/v2/x", "/v2/x/y/z", f"/v2/{NAME}/other/1"])
def test_paths_that_are_none(registry: Ecr, path: str) -> None:
    assert registry.call("GET", path).status == 404


# ------------------------------------------------------------------ layers in


def stored(registry: Ecr, digest: str) -> bytes:
    """What the registry holds under this digest, once an image refers to it."""
    registry.commit(NAME, digest)
    return registry.blob(NAME, digest)


def test_upload_in_one_put(registry: Ecr) -> None:
    content = b"x" * MIB
    answer = registry.finish(begin(registry), sha256(content), content)
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == sha256(content)
    assert answer.headers["Location"] == f"{registry.origin}/v2/{NAME}/blobs/{sha256(content)}"
    assert stored(registry, sha256(content)) == content


def test_upload_in_one_patch_of_unknown_length(registry: Ecr) -> None:
    location = begin(registry)
    content = [b"one", b"two", b"three"]
    patched = registry.call("PATCH", location, body=iter(content))
    assert patched.status == 201
    assert patched.headers["Range"] == "0-10"
    assert registry.finish(patched.headers["Location"], sha256(b"".join(content))).status == 201
    assert stored(registry, sha256(b"".join(content))) == b"onetwothree"


def test_upload_in_parts_as_ecr_takes_them(registry: Ecr) -> None:
    """201 in place of 202, and a Range header that stays where the first part ended."""
    parts = [bytes([number]) * PART for number in range(3)]
    location, sent = begin(registry), 0
    for part in parts:
        answer = registry.call("PATCH", location, body=part, content_range=f"{sent}-{sent + PART - 1}")
        sent += PART
        assert (answer.status, answer.headers["Range"]) == (201, f"0-{PART - 1}")
    content = b"".join([*parts, b"the end"])
    assert registry.finish(location, sha256(content), b"the end").status == 201
    assert sha256(stored(registry, sha256(content))) == sha256(content)


def test_client_that_believes_the_range_header_is_stuck(registry: Ecr) -> None:
    location = begin(registry)
    for _part in range(2):
        answer = registry.call("PATCH", location, body=b"x" * PART)
    believed = int(answer.headers["Range"].partition("-")[2]) + 1
    refused = registry.call("PATCH", location, body=b"x", content_range=f"{believed}-{believed}")
    assert refused.error == (416, "BLOB_UPLOAD_INVALID")
    assert refused.headers["Location"] == location


@pytest.mark.parametrize("start", [1, 99])
def test_part_out_of_order(registry: Ecr, start: int) -> None:
    location = begin(registry)
    answer = registry.call("PATCH", location, body=b"x" * 10, content_range=f"{start}-{start + 9}")
    assert answer.error == (416, "BLOB_UPLOAD_INVALID")
    assert registry.finish(location, sha256(b"whole"), b"whole").status == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_small_part_must_be_the_last(registry: Ecr, method: str) -> None:
    location = begin(registry)
    assert registry.call("PATCH", location, body=b"x" * (PART - 1)).status == 201
    answer = (
        registry.call("PATCH", location, body=b"y")
        if method == "PATCH"
        else registry.finish(location, sha256(b"x" * (PART - 1) + b"y"), b"y")
    )
    assert answer.error == (400, "BLOB_UPLOAD_INVALID")
    assert answer.message == "All layer parts except the last part should be at least 5MB"


@pytest.mark.parametrize("digest", [ABSENT, "sha256:1", "", "md5:x"])
def test_wrong_digest_keeps_nothing(registry: Ecr, digest: str) -> None:
    content = b"content"
    answer = registry.finish(begin(registry), digest, content)
    assert answer.error == (400, "DIGEST_INVALID")
    assert registry.call("HEAD", f"/v2/{NAME}/blobs/{sha256(content)}").status == 404


def test_upload_ends_with_a_wrong_digest(registry: Ecr) -> None:
    location = begin(registry)
    assert registry.finish(location, ABSENT, b"content").status == 400
    assert registry.finish(location, sha256(b"content"), b"content").error == (404, "BLOB_UPLOAD_UNKNOWN")


def test_upload_is_of_one_repository(cloud: Cloud, registry: Ecr) -> None:
    cloud.client("ecr").create_repository(repositoryName="team/other")
    elsewhere = begin(registry).replace(NAME, "team/other")
    assert registry.finish(elsewhere, sha256(b"x"), b"x").error == (404, "BLOB_UPLOAD_UNKNOWN")


def test_upload_can_be_asked_about_and_cancelled(registry: Ecr) -> None:
    location = begin(registry)
    registry.call("PATCH", location, body=b"x" * 10)
    answer = registry.call("GET", location)
    assert (answer.status, answer.headers["Range"]) == (204, "0-9")
    assert registry.call("DELETE", location).status == 204
    assert registry.call("GET", location).error == (404, "BLOB_UPLOAD_UNKNOWN")


def test_half_a_part_is_no_part(cloud: Cloud, registry: Ecr) -> None:
    """A client that goes away in the middle of a PATCH can send the part again."""
    location = begin(registry)
    registry.call("PATCH", location, body=b"a" * PART)
    cloud.forget_calls()
    address = urlsplit(location)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    headers = {"Authorization": registry.authorization or "", "Content-Length": "1000"}
    connection.request("PATCH", address.path, body=b"half", headers=headers)
    connection.close()
    await_call(cloud, status=-1, received=4)
    content = b"a" * PART + b"whole"
    answer = registry.call("PATCH", location, body=b"whole", content_range=f"{PART}-{PART + 4}")
    assert answer.status == 201
    assert registry.finish(location, sha256(content)).status == 201
    assert stored(registry, sha256(content)) == content


def await_call(cloud: Cloud, **expected: int) -> None:
    """Until the log has a call with these fields: the server learns late that a client has gone."""
    deadline = time.monotonic() + 30
    while not any(expected.items() <= call.items() for call in cloud.calls()):
        assert time.monotonic() < deadline, cloud.calls()


def test_same_layer_can_be_pushed_twice(registry: Ecr) -> None:
    assert registry.push_blob(NAME, b"again") == registry.push_blob(NAME, b"again")


# ------------------------------------------------------------------ layers out


@pytest.fixture
def layer(registry: Ecr) -> str:
    return registry.push_layer(NAME, b"0123456789")


def signed(registry: Ecr, layer: str) -> str:
    answer = registry.call("GET", f"/v2/{NAME}/blobs/{layer}")
    assert answer.status == 307
    return str(answer.headers["Location"])


def test_layer_head(registry: Ecr, layer: str) -> None:
    answer = registry.call("HEAD", f"/v2/{NAME}/blobs/{layer}")
    assert answer.status == 200
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Docker-Content-Digest"] == layer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_missing_layer(registry: Ecr, method: str) -> None:
    assert registry.call(method, f"/v2/{NAME}/blobs/{ABSENT}").status == 404


def test_layer_of_no_image_cannot_be_fetched(registry: Ecr) -> None:
    digest = registry.push_blob(NAME, b"of no image")
    path = f"/v2/{NAME}/blobs/{digest}"
    assert registry.call("HEAD", path).status == 200
    assert registry.call("GET", path).error == (404, "BLOB_UNKNOWN")
    registry.commit(NAME, digest)
    assert registry.call("GET", path).status == 307


def test_layer_comes_from_another_origin(registry: Ecr, layer: str) -> None:
    location = signed(registry, layer)
    assert urlsplit(location).netloc != urlsplit(registry.origin).netloc
    answer = registry.call("GET", location, authorization="")
    assert (answer.status, answer.body) == (200, b"0123456789")


def test_forwarded_credentials_are_refused(registry: Ecr, layer: str) -> None:
    answer = registry.call("GET", signed(registry, layer))
    assert answer.status == 400
    assert b"<Code>InvalidArgument</Code>" in answer.body
    assert b"Only one auth mechanism allowed" in answer.body


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(registry: Ecr, layer: str, wanted: str, status: int, body: bytes, content_range: str | None) -> None:
    answer = registry.call("GET", signed(registry, layer), authorization="", range=wanted)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers.get("Content-Range") == content_range


def test_signed_url_is_for_an_hour_for_get_and_for_one_layer(cloud: Cloud, registry: Ecr, layer: str) -> None:
    location = signed(registry, layer)

    def fetch(method: str, url: str) -> Answer:
        return registry.call(method, url, authorization="")

    assert fetch("HEAD", location).status == 403
    assert b"SignatureDoesNotMatch" in fetch("GET", location.replace("Signature=", "Signature=0")).body
    other = registry.push_layer(NAME, b"other")
    assert b"SignatureDoesNotMatch" in fetch("GET", location.replace(layer, other)).body
    assert fetch("GET", location.partition("?")[0]).status == 403
    cloud.advance(HOUR + 60)
    assert b"Request has expired" in fetch("GET", location).body


# ------------------------------------------------------------------ mounts


@pytest.fixture
def mountable(cloud: Cloud, registry: Ecr) -> str:
    """The layer of an image, in a registry where mounting is switched on; team/other is there to mount it into."""
    ecr = cloud.client("ecr")
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    ecr.create_repository(repositoryName="team/other")
    return str(json.loads(registry.push_image(NAME, "1"))["layers"][0]["digest"])


def mount(registry: Ecr, digest: str, source: str = NAME, target: str = "team/other") -> Answer:
    return registry.call("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={source}")


def test_mount(registry: Ecr, mountable: str) -> None:
    answer = mount(registry, mountable)
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == mountable
    assert registry.call("HEAD", f"/v2/team/other/blobs/{mountable}").status == 200


def test_mount_that_cannot_be_had_is_an_upload(cloud: Cloud, registry: Ecr, mountable: str) -> None:
    ecr = cloud.client("ecr")
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    ecr.create_repository(repositoryName="team/kms", encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key})
    uncommitted = registry.push_blob(NAME, b"of no image")
    answers = {
        "no such layer": mount(registry, ABSENT),
        "no such repository": mount(registry, mountable, source="no/such"),
        "no image in the source refers to it": mount(registry, uncommitted),
        "other encryption": mount(registry, mountable, target="team/kms"),
    }
    ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    answers["switched off"] = mount(registry, mountable)
    assert {case: answer.status for case, answer in answers.items()} == dict.fromkeys(answers, 202)
    upload = answers["switched off"].headers["Location"]
    assert registry.finish(upload, sha256(b"content"), b"content").status == 201


def test_mount_is_off_unless_switched_on(cloud: Cloud, registry: Ecr) -> None:
    cloud.client("ecr").create_repository(repositoryName="team/other")
    layer = json.loads(registry.push_image(NAME, "1"))["layers"][0]["digest"]
    assert mount(registry, layer).status == 202


def test_pulled_through_images_cannot_be_mounted_from(cloud: Cloud, registry: Ecr, mountable: str) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    made = cloud.publish("quay.io", "team/app", "1")
    assert registry.manifest("quay/team/app", "1").status == 200
    assert mount(registry, next(iter(made["blobs"])), source="quay/team/app").status == 202


# ------------------------------------------------------------------ lists


def follow(registry: Ecr, path: str, key: str) -> list[list[str]]:
    """The pages of a list, by way of their Link headers."""
    pages, url = [], path
    while url:
        answer = registry.call("GET", url)
        assert answer.status == 200
        pages.append(answer.json[key])
        link = answer.headers.get("Link", "")
        assert not link or link.startswith(f"<{registry.origin}/v2/")
        url = link.partition(">")[0].removeprefix("<")
    return pages


def test_tags_by_page(registry: Ecr) -> None:
    manifest = manifest_of(registry)
    tags = {f"t{number}" for number in range(120)}
    for tag in tags:
        registry.put(NAME, tag, manifest)
    for query, sizes in (("", [100, 20]), ("?n=50", [50, 50, 20]), ("?n=120", [120]), ("?n=1000", [120])):
        pages = follow(registry, f"/v2/{NAME}/tags/list{query}", "tags")
        assert [len(page) for page in pages] == sizes
        assert {tag for page in pages for tag in page} == tags


def test_tags_of_an_empty_repository(registry: Ecr) -> None:
    assert registry.call("GET", f"/v2/{NAME}/tags/list").json == {"name": NAME, "tags": []}


@pytest.mark.parametrize("path", [f"{NAME}/tags/list", "_catalog"])
def test_page_that_is_too_long(registry: Ecr, path: str) -> None:
    answer = registry.call("GET", f"/v2/{path}?n=1001")
    assert answer.error == (405, "UNSUPPORTED")
    assert answer.message == (
        "Invalid parameter at 'maxResults' failed to satisfy constraint: "
        "'Member must have value less than or equal to 1000'"
    )


@pytest.mark.parametrize("query", ["n=0", "n=x", "last=t1"])
def test_page_that_is_none(registry: Ecr, query: str) -> None:
    assert registry.call("GET", f"/v2/{NAME}/tags/list?{query}").error == (405, "UNSUPPORTED")


def test_catalog_by_page(cloud: Cloud, registry: Ecr) -> None:
    for number in range(5):
        cloud.client("ecr").create_repository(repositoryName=f"r{number}")
    pages = follow(registry, "/v2/_catalog?n=4", "repositories")
    assert [len(page) for page in pages] == [4, 2]
    assert {name for page in pages for name in page} == {NAME, *(f"r{number}" for number in range(5))}


def test_referrers_by_artifact_type(registry: Ecr) -> None:
    subject = registry.push_image(NAME, "1")
    about = {"mediaType": OCI_MANIFEST, "digest": sha256(subject), "size": len(subject)}
    made = {}
    for kind in ("application/one", "application/two"):
        pushed = registry.push_image(NAME, kind.rpartition("/")[2], kind, artifactType=kind, subject=about)
        made[kind] = sha256(pushed)
        again = registry.put(NAME, sha256(pushed), pushed)
        assert again.headers["OCI-Subject"] == sha256(subject)
    every = registry.call("GET", f"/v2/{NAME}/referrers/{sha256(subject)}")
    assert every.headers["Content-Type"] == OCI_INDEX
    assert {entry["artifactType"]: entry["digest"] for entry in every.json["manifests"]} == made
    one = registry.call("GET", f"/v2/{NAME}/referrers/{sha256(subject)}?artifactType=application/one")
    assert one.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["digest"] for entry in one.json["manifests"]] == [made["application/one"]]


def test_referrers_of_what_is_not_there(registry: Ecr) -> None:
    answer = registry.call("GET", f"/v2/{NAME}/referrers/{ABSENT}")
    assert (answer.status, answer.json["manifests"]) == (200, [])
    assert registry.call("GET", f"/v2/{NAME}/referrers/latest").error == (400, "DIGEST_INVALID")
