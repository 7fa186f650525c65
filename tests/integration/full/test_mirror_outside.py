"""What was mirrored, judged by those who will use it: skopeo and a Docker Engine, with the real names and TLS."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mirror_engine import order
from registry import sha256

from loopback.client import REPOSITORY, ROOT_SECRET, FullCloud

Json = dict[str, Any]

BUSYBOX = Path("/bin/busybox")
HUB, QUAY, GITHUB, KUBERNETES = "registry-1.docker.io", "quay.io", "ghcr.io", "registry.k8s.io"
AMD, ARM = "linux/amd64", "linux/arm64"

# By source: where it is published, and what it is.
IMAGES: dict[str, tuple[str, Json]] = {
    "docker.io/team/single": (HUB, {}),
    "quay.io/team/docker": (QUAY, {"kind": "docker"}),
    "ghcr.io/team/index": (GITHUB, {"platforms": [AMD, ARM], "attestations": True}),
    "registry.k8s.io/team/list": (KUBERNETES, {"kind": "docker-list", "platforms": [AMD, ARM]}),
    "quay.io/team/zstd": (QUAY, {"compression": "zstd"}),
    "quay.io/team/odd": (QUAY, {"empty_layers": 2, "compression": "none"}),
}
# The engines of some distributions are too old to unpack it, wherever it comes from.
TOO_NEW = "quay.io/team/zstd"


class Outside:
    """A full cloud, and the tools that people have."""

    def __init__(self, cloud: FullCloud) -> None:
        self.cloud = cloud
        self.host = cloud.registry.removeprefix("https://")
        token = cloud.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        self._password = base64.b64decode(token).decode().partition(":")[2]

    def publish(self) -> None:
        binary = base64.b64encode(BUSYBOX.read_bytes()).decode()
        files = {f"bin/{name}": {"base64": binary, "mode": 0o755} for name in ("busybox", "sh")}
        for source, (host, more) in IMAGES.items():
            self.cloud.publish(host, self.name(source), "1", files=files, entrypoint=["/bin/busybox"], **more)

    @staticmethod
    def name(source: str) -> str:
        return source.partition("/")[2]

    def mirror(self, **more: Any) -> Json:
        wishes = [
            {"source": source, "repository": f"copy/{self.name(source)}", "tags": ["1"], **more} for source in IMAGES
        ]
        ecr = {
            "endpoint": self.cloud.INNER_URL,
            "region": self.cloud.region,
            "key": self.cloud.account,
            "secret": ROOT_SECRET,
        }
        given = order(wishes, ecr=ecr, settings={"create_repositories": True})
        paths = [REPOSITORY / "tests" / "support", REPOSITORY / "tests" / "loopback"]
        program = [sys.executable, str(paths[0] / "mirror_engine.py")]
        done = self.cloud.run(program, stdin=given, environment={"PYTHONPATH": ":".join(map(str, paths))})
        assert done.returncode == 0, done.stderr
        result: Json = json.loads(done.stdout)
        assert not result["failure"]
        return result

    def copies(self) -> dict[str, str]:
        """The names of the copies, by source."""
        return {source: f"{self.host}/copy/{self.name(source)}:1" for source in IMAGES}

    def raw(self, image: str, *options: str) -> str:
        return self.run("skopeo", "inspect", "--raw", *options, f"docker://{image}")

    @property
    def creds(self) -> list[str]:
        return ["--creds", f"AWS:{self._password}"]

    def log_in(self) -> None:
        self.run("docker", "login", "--username", "AWS", "--password-stdin", self.host, stdin=self._password)

    def run(self, *command: str, stdin: str | None = None) -> str:
        done = self.cloud.run([*command], stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def outside(full: FullCloud) -> Outside:
    found = Outside(full)
    found.publish()
    return found


def test_skopeo_reads_the_same_bytes(outside: Outside, tmp_path: Path) -> None:
    result = outside.mirror()
    for (source, copy), told in zip(outside.copies().items(), result["images"], strict=True):
        raw = outside.raw(copy, *outside.creds)
        assert raw == outside.raw(f"{source}:1", "--no-creds")
        assert told["digest"] == told["source_digest"] == sha256(raw.encode())
        # All of it, for all platforms; skopeo verifies what it reads.
        where = tmp_path / told["tag"] / told["repository"].replace("/", "-")
        where.mkdir(parents=True)
        options = ["--src-creds", outside.creds[1], "--all", "--preserve-digests"]
        outside.run("skopeo", "copy", *options, f"docker://{copy}", f"dir:{where}")
        assert (where / "manifest.json").read_text() == raw


def test_an_engine_pulls_and_runs_it(outside: Outside) -> None:
    """From ECR what it would have had from the source: the same image, by tag and by digest."""
    result = outside.mirror()
    outside.log_in()
    for (source, copy), told in zip(outside.copies().items(), result["images"], strict=True):
        if source == TOO_NEW:
            continue
        outside.run("docker", "pull", copy)
        by_digest = f"{copy.removesuffix(':1')}@{told['digest']}"
        outside.run("docker", "pull", by_digest)
        outside.run("docker", "pull", f"{source}:1")
        images = json.loads(outside.run("docker", "inspect", copy, by_digest, f"{source}:1"))
        assert len({image["Id"] for image in images}) == 1
        assert by_digest in images[0]["RepoDigests"]
        assert outside.run("docker", "run", "--rm", "--network", "none", copy, "echo", "it runs") == "it runs\n"
        outside.run("docker", "rmi", "--force", images[0]["Id"])


def test_a_choice_of_platforms_is_a_valid_index_to_others(outside: Outside) -> None:
    """With a digest of its own, which both tools accept; an image of another platform is left alone by its index."""
    result = outside.mirror(platforms=[AMD])
    outside.log_in()
    for (source, copy), told in zip(outside.copies().items(), result["images"], strict=True):
        raw = outside.raw(copy, *outside.creds)
        assert told["digest"] == sha256(raw.encode())
        is_index = "manifests" in json.loads(raw)
        assert (told["digest"] != told["source_digest"]) == is_index
        if source != TOO_NEW:
            outside.run("docker", "pull", copy)
            assert outside.run("docker", "run", "--rm", "--network", "none", copy, "echo", "it runs") == "it runs\n"
        if is_index:
            platforms = {child["platform"]["architecture"] for child in json.loads(raw)["manifests"]}
            assert platforms <= {"amd64", "unknown"}, source
