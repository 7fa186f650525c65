"""The stand-in for Docker Hub and friends: tokens, rate limits, quirks, and the images that are made for it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from typing import Any

import pytest
from registry import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Client, Upstream, sha256

from loopback.client import Cloud

HUB = "registry-1.docker.io"
HOSTS = [
    HUB,
    "quay.io",
    "ghcr.io",
    "registry.k8s.io",
    "public.ecr.aws",
    "registry.gitlab.com",
    "example.azurecr.io",
    "cgr.dev",
]
LOGIN = "hubuser:hubtoken"


def manifests(*names: str) -> list[str]:
    return [f"/v2/{name}/manifests/1" for name in names]


# ------------------------------------------------------------------ tokens


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "registry.k8s.io"])
def test_public_image_needs_a_token_for_its_repository(cloud: Cloud, host: str) -> None:
    made = cloud.publish(host, "team/app", "1")
    upstream = Upstream(cloud, host)
    assert upstream.call("GET", "/v2/").status == 401
    answer = upstream.login("team/app").call("GET", "/v2/team/app/manifests/1")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, made["digest"])
    assert upstream.call("GET", "/v2/").status == 200


def test_kubernetes_registry_needs_no_token_and_redirects(cloud: Cloud) -> None:
    made = cloud.publish("registry.k8s.io", "pause", "1")
    upstream = Client(cloud.upstreams["registry.k8s.io"])
    redirected = upstream.call("GET", "/v2/pause/manifests/1")
    assert redirected.status == 307
    assert not redirected.headers["Location"].startswith(upstream.origin)
    assert sha256(upstream.call("GET", redirected.headers["Location"]).body) == made["digest"]


@pytest.mark.parametrize(
    ("host", "service", "scope"),
    [
        (HUB, "registry.docker.io", "repository:library/any:pull"),
        ("quay.io", "quay.io", "repository:library/any:pull"),
        ("ghcr.io", "ghcr.io", "repository:library/any:pull"),
        ("public.ecr.aws", "public.ecr.aws", "aws"),
        ("registry.gitlab.com", "container_registry", "repository:library/any:pull"),
    ],
)
def test_challenge(cloud: Cloud, host: str, service: str, scope: str) -> None:
    realm, asked = Upstream(cloud, host).challenge("library/any")
    assert realm.startswith(cloud.upstreams[host])
    assert asked == {"service": service, "scope": scope}


def test_one_token_for_several_repositories(cloud: Cloud) -> None:
    for name in ("library/a", "library/b", "library/c"):
        cloud.publish(HUB, name, "1")
    hub = Upstream(cloud, HUB).login("library/a", "library/b")
    answers = [hub.call("GET", path).status for path in manifests("library/a", "library/b", "library/c")]
    assert answers == [200, 200, 401]


def test_several_scopes_in_one_parameter(cloud: Cloud) -> None:
    for name in ("library/a", "library/b"):
        cloud.publish(HUB, name, "1")
    hub = Upstream(cloud, HUB)
    scopes = "repository:library/a:pull%20repository:library/b:pull,push"
    token = hub.call("GET", f"/token?service=registry.docker.io&scope={scopes}").json["token"]
    for path in manifests("library/a", "library/b"):
        assert hub.call("GET", path, authorization=f"Bearer {token}").status == 200


def test_chainguard_refuses_a_token_for_another_repository(cloud: Cloud) -> None:
    for name in ("team/a", "team/b"):
        cloud.publish("cgr.dev", name, "1")
    upstream = Upstream(cloud, "cgr.dev").login("team/a")
    assert [upstream.call("GET", path).status for path in manifests("team/a", "team/b")] == [200, 403]


def test_token_of_one_host_is_nothing_to_another(cloud: Cloud) -> None:
    cloud.publish("quay.io", "team/app", "1")
    quay = Client(cloud.upstreams["quay.io"], Upstream(cloud, HUB).login("team/app").authorization)
    assert quay.call("GET", "/v2/team/app/manifests/1").status == 401


def test_tokens_expire_after_five_minutes(cloud: Cloud) -> None:
    cloud.publish(HUB, "library/a", "1")
    hub = Upstream(cloud, HUB)
    assert hub.token("library/a").json["expires_in"] == 300
    hub.login("library/a")
    cloud.advance(310)
    assert hub.call("GET", "/v2/library/a/manifests/1").status == 401
    assert hub.login("library/a").call("GET", "/v2/library/a/manifests/1").status == 200


def test_wrong_login_in_docker_hubs_words(cloud: Cloud) -> None:
    answer = Upstream(cloud, HUB, "hubuser:wrong").token("library/a")
    assert (answer.status, answer.json) == (401, {"details": "incorrect username or password"})
    assert Upstream(cloud, "quay.io", "nobody:").token("team/a").error == (401, "UNAUTHORIZED")
    garbled = Client(cloud.upstreams[HUB], "Basic !").call("GET", "/token?service=registry.docker.io")
    assert garbled.status == 401


def test_private_repository_is_for_users(cloud: Cloud) -> None:
    cloud.publish(HUB, "team/secret", "1", private=True)
    path = "/v2/team/secret/manifests/1"
    assert Upstream(cloud, HUB).login("team/secret").call("GET", path).status == 401
    assert Upstream(cloud, HUB, LOGIN).login("team/secret").call("GET", path).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [(HUB, 401), ("quay.io", 401), ("ghcr.io", 403), ("public.ecr.aws", 404), ("cgr.dev", 403)],
)
def test_missing_repository(cloud: Cloud, host: str, status: int) -> None:
    assert Upstream(cloud, host).login("no/such").call("GET", "/v2/no/such/manifests/1").status == status


def test_official_images_are_under_library_only(cloud: Cloud) -> None:
    cloud.publish(HUB, "library/nginx", "1")
    assert Upstream(cloud, HUB).login("nginx").call("GET", "/v2/nginx/manifests/1").status == 401


# ------------------------------------------------------------------ rate limits


@pytest.fixture
def hub(cloud: Cloud) -> Upstream:
    cloud.publish(HUB, "library/a", "1", platforms=["linux/amd64", "linux/arm64"])
    return Upstream(cloud, HUB).login("library/a", "ratelimitpreview/test")


PATH = "/v2/library/a/manifests/1"


def remaining(hub: Client, method: str = "HEAD", path: str = PATH) -> str:
    return str(hub.call(method, path).headers["ratelimit-remaining"])


def test_gets_of_manifests_count_and_nothing_else(hub: Upstream) -> None:
    assert remaining(hub) == "100;w=21600"
    index = hub.call("GET", PATH)
    assert index.headers["ratelimit-limit"] == "100;w=21600"
    assert index.headers["ratelimit-remaining"] == "99;w=21600"
    assert index.headers["docker-ratelimit-source"] == "127.0.0.1"
    child = hub.call("GET", f"/v2/library/a/manifests/{index.json['manifests'][0]['digest']}")
    hub.call("GET", f"/v2/library/a/blobs/{child.json['config']['digest']}")
    hub.call("GET", "/v2/library/a/tags/list")
    hub.call("GET", "/v2/library/a/manifests/none")
    assert remaining(hub) == "98;w=21600"


def test_preview_repository_tells_without_counting(hub: Upstream) -> None:
    for _time in range(2):
        assert remaining(hub, path="/v2/ratelimitpreview/test/manifests/latest") == "100;w=21600"
    assert remaining(hub, "GET", "/v2/ratelimitpreview/test/manifests/latest") == "99;w=21600"


def test_pull_limit(cloud: Cloud, hub: Upstream) -> None:
    cloud.knobs(hub__limit=2, hub__window=3600)
    assert [hub.call("GET", PATH).status for _time in range(3)] == [200, 200, 429]
    refused = hub.call("GET", PATH)
    assert refused.error == (429, "TOOMANYREQUESTS")
    assert refused.message == (
        "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: "
        "https://www.docker.com/increase-rate-limits"
    )
    assert refused.headers["ratelimit-remaining"] == "0;w=3600"
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert hub.call("HEAD", PATH).status == 200
    cloud.advance(3601)
    assert hub.login("library/a").call("GET", PATH).headers["ratelimit-remaining"] == "1;w=3600"


def test_a_user_has_an_allowance_of_his_own(cloud: Cloud, hub: Upstream) -> None:
    cloud.knobs(hub__limit=1)
    assert [hub.call("GET", PATH).status for _time in range(2)] == [200, 429]
    user = Upstream(cloud, HUB, LOGIN).login("library/a")
    answer = user.call("GET", PATH)
    assert answer.status == 200
    assert answer.headers["docker-ratelimit-source"] != "127.0.0.1"


def test_other_upstreams_have_no_limit_unless_asked(cloud: Cloud) -> None:
    cloud.publish("quay.io", "team/app", "1")
    quay = Upstream(cloud, "quay.io").login("team/app")
    assert "ratelimit-limit" not in quay.call("GET", "/v2/team/app/manifests/1").headers
    cloud.knobs(hub__limit=0, hub__rate_limited_hosts=["quay.io"])
    assert quay.call("GET", "/v2/team/app/manifests/1").status == 429


# ------------------------------------------------------------------ protocol


def test_hosts_have_content_of_their_own(cloud: Cloud) -> None:
    cloud.publish("quay.io", "team/app", "1")
    assert Upstream(cloud, "public.ecr.aws").login("team/app").call("GET", "/v2/team/app/manifests/1").status == 404


def test_layers_come_from_elsewhere_without_credentials(cloud: Cloud) -> None:
    made = cloud.publish("quay.io", "team/app", "1")
    quay = Upstream(cloud, "quay.io").login("team/app")
    digest = next(iter(made["blobs"]))
    redirected = quay.call("GET", f"/v2/team/app/blobs/{digest}")
    assert redirected.status == 307
    location = redirected.headers["Location"]
    assert not location.startswith(quay.origin)
    assert quay.call("GET", location).status == 400
    assert sha256(quay.call("GET", location, authorization="").body) == digest
    part = quay.call("GET", location, authorization="", range="bytes=2-5")
    assert (part.status, len(part.body)) == (206, 4)
    cloud.knobs(hub__redirect_blobs=False)
    assert sha256(quay.call("GET", f"/v2/team/app/blobs/{digest}").body) == digest


@pytest.mark.parametrize("path", ["manifests/none", f"blobs/sha256:{'0' * 64}"])
def test_what_is_not_there(cloud: Cloud, path: str) -> None:
    cloud.publish(HUB, "library/a", "1")
    assert Upstream(cloud, HUB).login("library/a").call("GET", f"/v2/library/a/{path}").status == 404


def test_manifest_that_is_not_accepted(cloud: Cloud, hub: Upstream) -> None:
    assert hub.call("GET", PATH, accept=DOCKER_LIST).status == 404
    assert hub.call("GET", PATH, accept=f"{DOCKER_LIST}, {OCI_INDEX}").status == 200


def test_nothing_can_be_pushed(hub: Upstream) -> None:
    assert hub.call("PUT", "/v2/library/a/manifests/2", body=b"{}").error == (405, "UNSUPPORTED")


def test_tags_by_page(cloud: Cloud) -> None:
    for number in range(5):
        cloud.publish("quay.io", "team/app", f"v{number}")
    quay = Upstream(cloud, "quay.io").login("team/app")
    first = quay.call("GET", "/v2/team/app/tags/list?n=3")
    assert first.json == {"name": "team/app", "tags": ["v0", "v1", "v2"]}
    assert first.headers["Link"] == '</v2/team/app/tags/list?n=3&last=v2>; rel="next"'
    second = quay.call("GET", "/v2/team/app/tags/list?n=3&last=v2")
    assert second.json["tags"] == ["v3", "v4"]
    assert "Link" not in second.headers


def test_referrers_where_the_registry_lists_them(cloud: Cloud) -> None:
    made = cloud.publish(HUB, "team/app", "1", referrers=["application/one", "application/two"])
    hub = Upstream(cloud, HUB).login("team/app")
    listed = hub.call("GET", f"/v2/team/app/referrers/{made['digest']}").json["manifests"]
    assert [entry["digest"] for entry in listed] == made["referrers"]
    one = hub.call("GET", f"/v2/team/app/referrers/{made['digest']}?artifactType=application/one").json["manifests"]
    assert [entry["artifactType"] for entry in one] == ["application/one"]


def test_referrers_where_a_tag_lists_them(cloud: Cloud) -> None:
    made = cloud.publish("ghcr.io", "team/app", "1", referrers=["application/one", "application/two"])
    ghcr = Upstream(cloud, "ghcr.io").login("team/app")
    assert ghcr.call("GET", f"/v2/team/app/referrers/{made['digest']}").status == 404
    tag = made["digest"].replace(":", "-")
    listed = ghcr.call("GET", f"/v2/team/app/manifests/{tag}").json["manifests"]
    assert [entry["digest"] for entry in listed] == made["referrers"]


# ------------------------------------------------------------------ images made to order


def fetched(cloud: Cloud, reference: str = "1", name: str = "team/app") -> Any:
    return Upstream(cloud, "quay.io").login(name).call("GET", f"/v2/{name}/manifests/{reference}").json


def layer(cloud: Cloud, digest: str) -> bytes:
    cloud.knobs(hub__redirect_blobs=False)
    content = Upstream(cloud, "quay.io").login("team/app").call("GET", f"/v2/team/app/blobs/{digest}").body
    assert sha256(content) == digest
    return content


def test_same_order_same_bytes(cloud: Cloud) -> None:
    order: dict[str, Any] = {"platforms": ["linux/amd64", "linux/arm64"], "layers": 2, "attestations": True}
    first = cloud.publish("quay.io", "team/app", "1", **order)
    cloud.reset()
    assert cloud.publish("quay.io", "team/app", "1", **order) == first
    assert cloud.publish("quay.io", "team/app", "1", seed="other", **order)["digest"] != first["digest"]


def test_layers_are_archives_with_the_files_asked_for(cloud: Cloud) -> None:
    binary = base64.b64encode(b"\x7fELF").decode()
    cloud.publish(
        "quay.io", "team/app", "1", files={"bin/tool": {"base64": binary, "mode": 0o755}, "etc/motd": "hello\n"}
    )
    document = fetched(cloud)
    content = gzip.decompress(layer(cloud, document["layers"][-1]["digest"]))
    config = json.loads(layer(cloud, document["config"]["digest"]))
    assert config["rootfs"]["diff_ids"][-1] == sha256(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        tool, motd = archive.getmember("bin/tool"), archive.extractfile("etc/motd")
        assert tool.mode == 0o755
        assert motd is not None
        assert motd.read() == b"hello\n"


def test_images_of_one_base_share_its_layers(cloud: Cloud) -> None:
    blobs = [
        set(cloud.publish("quay.io", f"team/{name}", "1", base="debian", base_layers=3)["blobs"]) for name in ("a", "b")
    ]
    assert len(blobs[0] & blobs[1]) == 3
    assert len(blobs[0] - blobs[1]) == 2  # its own layer and configuration


def test_attestations_are_listed_as_unknown(cloud: Cloud) -> None:
    made = cloud.publish("quay.io", "team/app", "1", attestations=True)
    listed = {entry["digest"]: entry for entry in fetched(cloud)["manifests"]}
    entry = listed[made["attestations"][0]]
    assert entry["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert entry["annotations"]["vnd.docker.reference.digest"] == made["manifests"]["linux/amd64"]


def test_signature_has_a_tag_of_its_own(cloud: Cloud) -> None:
    made = cloud.publish("quay.io", "team/app", "1", cosign=True)
    tag = made["digest"].replace(":", "-") + ".sig"
    signature = layer(cloud, fetched(cloud, tag)["layers"][0]["digest"])
    assert json.loads(signature)["critical"]["image"]["docker-manifest-digest"] == made["digest"]


def test_artifact_with_a_subject(cloud: Cloud) -> None:
    image = cloud.publish("quay.io", "team/app", "1")
    cloud.publish("quay.io", "team/app", "sbom", kind="artifact", artifact_type="a/b", subject=image["digest"])
    document = fetched(cloud, "sbom")
    assert (document["mediaType"], document["artifactType"]) == (OCI_MANIFEST, "a/b")
    assert document["subject"]["digest"] == image["digest"]


def test_odd_layers(cloud: Cloud) -> None:
    made = cloud.publish("quay.io", "team/app", "1", layers=1, empty_layers=2, foreign_layers=1)
    layers = fetched(cloud)["layers"]
    assert len(layers) == 4
    assert layers[0] == layers[1]
    assert layers[3]["urls"]
    assert layers[3]["digest"] not in made["blobs"]


def test_sparse_layer_takes_no_room_on_disk(cloud: Cloud) -> None:
    size = 256 << 20
    cloud.publish("quay.io", "team/app", "1", layer_size=size, sparse=True)
    described = fetched(cloud)["layers"][0]
    assert described["size"] > size
    stored = cloud.directory / "upstream" / "blobs" / described["digest"].removeprefix("sha256:")
    assert stored.stat().st_size == described["size"]
    assert stored.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "nothing"},
        {"compression": "rar"},
        {"colour": "red"},
        {"host": "example.com"},
        {"subject": "x", "kind": "artifact"},
    ],
)
def test_order_that_cannot_be_made(cloud: Cloud, order: dict[str, Any]) -> None:
    document = {"host": "quay.io", "repository": "team/app", "tag": "1", **order}
    with pytest.raises(ValueError, match="PUT /_cloud/images"):
        cloud.publish(**document)
