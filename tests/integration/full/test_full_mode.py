"""The full mode itself: real names, real engine, real clients, and no way out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from loopback.client import FullCloud

BUSYBOX = Path("/bin/busybox")


def login(cloud: FullCloud, credentials: dict[str, str] | None = None) -> None:
    answer = cloud.client("ecr", credentials=credentials).get_authorization_token()
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode().partition(":")[2]
    host = cloud.registry.removeprefix("https://")
    result = cloud.docker("login", "--username", "AWS", "--password-stdin", host, stdin=token)
    assert result.returncode == 0, result.stderr


def publish_busybox(cloud: FullCloud, host: str, repository: str, tag: str, **more: Any) -> dict[str, Any]:
    binary = base64.b64encode(BUSYBOX.read_bytes()).decode()
    files = {"bin/busybox": {"base64": binary, "mode": 0o755}}
    return cloud.publish(host, repository, tag, files=files, entrypoint=["/bin/busybox"], **more)


def address(cloud: FullCloud, name: str) -> str:
    return f"{cloud.registry.removeprefix('https://')}/{name}"


@pytest.fixture
def docker_hub_rule(full: FullCloud) -> dict[str, Any]:
    secret = full.client("secretsmanager").create_secret(
        Name="ecr-pullthroughcache/docker-hub",
        SecretString=json.dumps({"username": "hubuser", "accessToken": "hubtoken"}),
    )
    rule: dict[str, Any] = full.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="docker-hub",
        upstreamRegistryUrl="registry-1.docker.io",
        credentialArn=secret["ARN"],
    )
    return rule


def test_registry_has_its_real_name(full: FullCloud) -> None:
    assert full.registry == "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def test_docker_pulls_from_docker_hub_by_its_real_name_and_runs_what_it_pulled(full: FullCloud) -> None:
    publish_busybox(full, "registry-1.docker.io", "library/bb", "1")
    assert full.docker("pull", "bb:1").returncode == 0
    result = full.docker("run", "--rm", "--network", "none", "bb:1", "echo", "it runs")
    assert result.stdout == "it runs\n", result.stderr
    full.docker("rmi", "bb:1")


def test_docker_pushes_to_ecr_and_pulls_back(full: FullCloud) -> None:
    publish_busybox(full, "registry-1.docker.io", "library/bb", "2")
    full.client("ecr").create_repository(repositoryName="team/bb")
    login(full)
    target = address(full, "team/bb:2")
    assert full.docker("pull", "bb:2").returncode == 0
    full.docker("tag", "bb:2", target)
    pushed = full.docker("push", target)
    assert pushed.returncode == 0, pushed.stderr
    full.docker("rmi", "bb:2", target)
    assert full.docker("pull", target).returncode == 0
    images = full.client("ecr").describe_images(repositoryName="team/bb")["imageDetails"]
    assert [image["imageTags"] for image in images] == [["2"]]
    full.docker("rmi", target)


def test_docker_push_to_a_missing_repository_says_so(full: FullCloud) -> None:
    publish_busybox(full, "registry-1.docker.io", "library/bb", "3")
    login(full)
    target = address(full, "no/such:3")
    full.docker("pull", "bb:3")
    full.docker("tag", "bb:3", target)
    result = full.docker("push", target)
    assert result.returncode != 0
    assert "The repository with name 'no/such' does not exist" in result.stderr
    full.docker("rmi", "bb:3", target)


@pytest.mark.usefixtures("docker_hub_rule")
def test_docker_pulls_through_the_cache(full: FullCloud) -> None:
    publish_busybox(full, "registry-1.docker.io", "library/bb", "4", platforms=["linux/amd64", "linux/arm64"])
    login(full)
    result = full.docker("pull", address(full, "docker-hub/library/bb:4"))
    assert result.returncode == 0, result.stderr
    assert "docker-hub/library/bb" in [
        r["repositoryName"] for r in full.client("ecr").describe_repositories()["repositories"]
    ]
    full.docker("rmi", address(full, "docker-hub/library/bb:4"))


def test_skopeo_keeps_every_byte(full: FullCloud) -> None:
    made = full.publish("quay.io", "team/multi", "1", platforms=["linux/amd64", "linux/arm64"])
    full.client("ecr").create_repository(repositoryName="team/multi")
    login(full)
    auth = ["--authfile", str(full.directory / "docker-config" / "config.json")]
    target = f"docker://{address(full, 'team/multi:1')}"
    source = "docker://quay.io/team/multi:1"
    copied = full.run(["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", *auth, source, target])
    assert copied.returncode == 0, copied.stderr
    raw = [full.run(["skopeo", "inspect", "--raw", *auth, where]).stdout for where in (source, target)]
    assert raw[0] == raw[1] != ""
    image = full.client("ecr").describe_images(repositoryName="team/multi", imageIds=[{"imageTag": "1"}])
    assert image["imageDetails"][0]["imageDigest"] == made["digest"]


def test_nothing_leaves_the_namespace(full: FullCloud) -> None:
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=3)"
    result = full.run(["python3", "-c", probe])
    assert "Network is unreachable" in result.stderr


def test_engine_is_not_the_machines_own(full: FullCloud) -> None:
    result = full.docker("info", "--format", "{{.DockerRootDir}}")
    assert result.stdout.strip() == str(full.directory / "docker")
