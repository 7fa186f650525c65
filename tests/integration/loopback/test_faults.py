"""Faults on demand, on every side of the cloud, and the log of calls that tests count requests with."""

from __future__ import annotations

import time
from typing import Any

import botocore.exceptions
import pytest
import urllib3
from registry import Answer, Client, Ecr, Upstream, sha256

from loopback.client import Cloud

NAME = "team/app"
CONTENT = bytes(range(256)) * 400  # 100 kB
SIDES = ("registry", "layers", "upstream")


@pytest.fixture
def fetch(cloud: Cloud) -> dict[str, tuple[Client, str]]:
    """side -> a client and the URL of something of some size there."""
    cloud.client("ecr").create_repository(repositoryName=NAME)
    registry = Ecr(cloud)
    registry.push_image(NAME, "1", annotations={"padding": "x" * 2000})
    layer = registry.push_layer(NAME, CONTENT)
    signed = registry.call("GET", f"/v2/{NAME}/blobs/{layer}").headers["Location"]
    cloud.publish("quay.io", NAME, "1", annotations={"padding": "x" * 2000})
    cloud.forget_calls()
    return {
        "registry": (registry, f"{registry.origin}/v2/{NAME}/manifests/1"),
        "layers": (Client("http://unused"), str(signed)),
        "upstream": (Upstream(cloud, "quay.io").login(NAME), f"{cloud.upstreams['quay.io']}/v2/{NAME}/manifests/1"),
    }


def get(side: tuple[Client, str]) -> Answer:
    client, url = side
    return client.call("GET", url)


def rule_for(side: tuple[Client, str], **effects: Any) -> dict[str, Any]:
    url = urllib3.util.parse_url(side[1])
    return {"host": url.netloc, "path": f"^{url.path}$", "method": "GET", **effects}


# ------------------------------------------------------------------ what a fault does


@pytest.mark.parametrize("side", SIDES)
def test_status_with_headers_and_body(cloud: Cloud, fetch: dict[str, tuple[Client, str]], side: str) -> None:
    cloud.inject(rule_for(fetch[side], status=429, headers={"Retry-After": "7"}, body={"errors": []}))
    struck = get(fetch[side])
    assert (struck.status, struck.headers["Retry-After"], struck.json) == (429, "7", {"errors": []})
    assert get(fetch[side]).status == 200


@pytest.mark.parametrize("side", SIDES)
def test_reset(cloud: Cloud, fetch: dict[str, tuple[Client, str]], side: str) -> None:
    cloud.inject(rule_for(fetch[side], reset=True))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get(fetch[side])
    assert get(fetch[side]).status == 200
    assert [call["status"] for call in cloud.calls()][-2:] == [-1, 200]


@pytest.mark.parametrize("side", SIDES)
def test_truncation(cloud: Cloud, fetch: dict[str, tuple[Client, str]], side: str) -> None:
    cloud.inject(rule_for(fetch[side], truncate=1000))
    with pytest.raises(urllib3.exceptions.ProtocolError, match="1000 bytes read"):
        get(fetch[side])
    assert get(fetch[side]).status == 200


@pytest.mark.parametrize("side", SIDES)
def test_corruption_of_one_byte(cloud: Cloud, fetch: dict[str, tuple[Client, str]], side: str) -> None:
    cloud.inject(rule_for(fetch[side], corrupt=1500))
    struck, whole = get(fetch[side]).body, get(fetch[side]).body
    assert [index for index, byte in enumerate(whole) if byte != struck[index]] == [1500]


@pytest.mark.parametrize("side", SIDES)
def test_delay(cloud: Cloud, fetch: dict[str, tuple[Client, str]], side: str) -> None:
    cloud.inject(rule_for(fetch[side], delay=0.3))
    began = time.monotonic()
    assert get(fetch[side]).status == 200
    assert time.monotonic() - began >= 0.3


def test_slow_stream(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    cloud.inject(rule_for(fetch["layers"], rate=200_000))
    began = time.monotonic()
    assert get(fetch["layers"]).body == CONTENT
    assert time.monotonic() - began >= len(CONTENT) / 200_000 - 0.1


def test_token_expiry_of_the_registry(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    cloud.inject(rule_for(fetch["registry"], expire_tokens=True))
    assert get(fetch["registry"]).message == "Your authorization token has expired. Reauthenticate and try again."
    assert Ecr(cloud).manifest(NAME, "1").status == 200


def test_token_expiry_of_the_upstream(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    cloud.inject(rule_for(fetch["upstream"], expire_tokens=True))
    assert get(fetch["upstream"]).status == 401
    assert Upstream(cloud, "quay.io").login(NAME).call("GET", fetch["upstream"][1]).status == 200


def test_truncated_layer_can_be_resumed(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    client, url = fetch["layers"]
    cloud.inject(rule_for(fetch["layers"], truncate=1000))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        get(fetch["layers"])
    rest = client.call("GET", url, range="bytes=1000-")
    assert (rest.status, sha256(CONTENT[:1000] + rest.body)) == (206, sha256(CONTENT))


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}])
def test_failed_upload_leaves_nothing_and_can_be_repeated(
    cloud: Cloud, fetch: dict[str, tuple[Client, str]], fault: dict[str, Any]
) -> None:
    registry = fetch["registry"][0]
    assert isinstance(registry, Ecr)
    content = b"y" * (1 << 20)
    location = registry.call("POST", f"/v2/{NAME}/blobs/uploads/").headers["Location"]
    cloud.inject({"method": "PUT", "path": "/blobs/uploads/", **fault})
    if "status" in fault:
        assert registry.finish(location, sha256(content), content).status == 503
    else:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            registry.finish(location, sha256(content), content)
    assert registry.call("HEAD", f"/v2/{NAME}/blobs/{sha256(content)}").status == 404
    assert registry.finish(location, sha256(content), content).status == 201


@pytest.mark.parametrize("fault", [{"status": 400, "body": {"__type": "ThrottlingException"}}, {"reset": True}])
def test_api_calls_by_operation(cloud: Cloud, fault: dict[str, Any]) -> None:
    cloud.inject({"op": "DescribeRepositories", **fault})
    ecr = cloud.client("ecr")
    ecr.describe_registry()
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)):
        ecr.describe_repositories()
    assert ecr.describe_repositories()["repositories"] == []


# ------------------------------------------------------------------ what a fault meets


@pytest.mark.parametrize(
    ("rule", "statuses"),
    [
        ({}, [503, 200, 200, 200]),
        ({"times": 2}, [503, 503, 200, 200]),
        ({"times": -1}, [503, 503, 503, 503]),
        ({"after": 1}, [200, 503, 200, 200]),
        ({"after": 1, "times": 2}, [200, 503, 503, 200]),
        ({"host": "quay.io"}, [200, 200, 200, 200]),
        ({"path": "/tags/"}, [200, 200, 200, 200]),
        ({"method": "HEAD"}, [200, 200, 200, 200]),
        ({"op": "PutImage"}, [200, 200, 200, 200]),
    ],
)
def test_rule_strikes_what_it_names(
    cloud: Cloud, fetch: dict[str, tuple[Client, str]], rule: dict[str, Any], statuses: list[int]
) -> None:
    cloud.inject({**rule_for(fetch["registry"], status=503), **rule})
    assert [get(fetch["registry"]).status for _time in statuses] == statuses
    assert cloud.faults()[0]["hits"] == statuses.count(503)


def test_first_rule_that_is_due_is_used(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    cloud.inject(rule_for(fetch["registry"], status=500), rule_for(fetch["registry"], status=502))
    assert [get(fetch["registry"]).status for _time in range(3)] == [500, 502, 200]


def test_faults_can_be_taken_back(cloud: Cloud, fetch: dict[str, tuple[Client, str]]) -> None:
    cloud.inject(rule_for(fetch["registry"], status=500, times=-1))
    cloud.clear_faults()
    assert get(fetch["registry"]).status == 200
    assert cloud.faults() == []


def test_unknown_fault_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ValueError, match="explode"):
        cloud.inject({"explode": True})


# ------------------------------------------------------------------ the log


def test_log_has_every_call_with_its_bytes(cloud: Cloud) -> None:
    cloud.client("ecr").create_repository(repositoryName=NAME)
    registry = Ecr(cloud)
    cloud.forget_calls()
    registry.push_blob(NAME, CONTENT)
    registry.commit(NAME, sha256(CONTENT))
    registry.blob(NAME, sha256(CONTENT))
    post, put, manifest, redirect, download = cloud.calls()
    assert (post["method"], post["status"], post["received"]) == ("POST", 202, 0)
    assert (put["method"], put["status"], put["received"]) == ("PUT", 201, len(CONTENT))
    assert f"digest={sha256(CONTENT).replace(':', '%3A')}" in put["query"]
    assert (manifest["method"], manifest["status"]) == ("PUT", 201)
    assert (redirect["method"], redirect["status"], redirect["sent"]) == ("GET", 307, 0)
    assert (download["status"], download["sent"]) == (200, len(CONTENT))
    assert download["host"] != put["host"] == cloud.registry.removeprefix("http://")


def test_log_names_operations(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    ecr.describe_repositories()
    ecr.describe_registry()
    assert cloud.operations() == ["DescribeRepositories", "DescribeRegistry"]
    assert len(cloud.calls("DescribeRegistry")) == 1
    cloud.forget_calls()
    assert cloud.calls() == []


def test_reset_forgets_faults_and_calls(cloud: Cloud) -> None:
    cloud.inject({"status": 500, "times": -1})
    cloud.reset()
    assert (cloud.faults(), cloud.calls()) == ([], [])
    assert cloud.client("ecr").describe_repositories()["repositories"] == []
