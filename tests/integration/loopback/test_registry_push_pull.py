"""The registry with a real client: what skopeo copies in and out of the emulated ECR is the same, byte for byte."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from registry import Ecr, sha256

from loopback.client import Cloud

PLATFORMS = ["linux/amd64", "linux/arm64/v8"]


@dataclass
class Skopeo:
    """skopeo with credentials and caches of its own."""

    directory: Path
    cloud: Cloud

    def login(self, *, credentials: dict[str, str] | None = None, password: str = "") -> None:
        ecr = self.cloud.client("ecr", credentials=credentials)
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        if password:
            token = base64.b64encode(f"AWS:{password}".encode()).decode()
        document = {"auths": {self._host(self.cloud.registry): {"auth": token}}}
        self._authfile.write_text(json.dumps(document))

    def upstream(self, host: str, name: str) -> str:
        return f"docker://{self._host(self.cloud.upstreams[host])}/{name}"

    def ecr(self, name: str) -> str:
        return f"docker://{self._host(self.cloud.registry)}/{name}"

    def copy(self, source: str, target: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        return self.run("copy", *insecure, *self._login_options, *options, source, target)

    def raw(self, name: str) -> bytes:
        shown = self.run("inspect", "--raw", "--tls-verify=false", *self._login_options, name)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "XDG_RUNTIME_DIR": str(self.directory),
            "TMPDIR": str(self.directory),
        }
        command = ["skopeo", "--insecure-policy", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)

    @property
    def _authfile(self) -> Path:
        return self.directory / "auth.json"

    @property
    def _login_options(self) -> list[str]:
        return ["--authfile", str(self._authfile)] if self._authfile.exists() else []

    @staticmethod
    def _host(origin: str) -> str:
        return origin.removeprefix("http://")


@pytest.fixture
def skopeo(cloud: Cloud, tmp_path: Path) -> Skopeo:
    client = Skopeo(tmp_path, cloud)
    client.login()
    return client


@pytest.fixture
def repository(cloud: Cloud) -> str:
    cloud.client("ecr").create_repository(repositoryName="team/app")
    return "team/app"


@pytest.mark.parametrize(
    "order",
    [
        pytest.param({}, id="oci image"),
        pytest.param({"kind": "docker"}, id="docker image"),
        pytest.param({"platforms": PLATFORMS}, id="oci index"),
        pytest.param({"kind": "docker-list", "platforms": PLATFORMS}, id="docker list"),
        pytest.param({"platforms": PLATFORMS, "attestations": True}, id="index with attestations"),
        pytest.param({"platforms": PLATFORMS, "base": "debian", "layers": 3, "empty_layers": 2}, id="many layers"),
        pytest.param({"compression": "zstd"}, id="zstd layers"),
        pytest.param({"layers": 1, "layer_size": 12 << 20}, id="layer of several parts"),
        pytest.param({"annotations": {"org.opencontainers.image.source": "here"}}, id="annotations"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_is_copied_in_comes_out_byte_for_byte(
    cloud: Cloud, skopeo: Skopeo, order: dict[str, Any], tmp_path: Path
) -> None:
    made = cloud.publish("quay.io", "team/app", "1", **order)
    source, target, out = skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("team/app:1"), tmp_path / "out"
    copied_in = skopeo.copy(source, target, "--all", "--preserve-digests")
    assert copied_in.returncode == 0, copied_in.stderr
    assert skopeo.raw(source) == skopeo.raw(target)
    image = cloud.client("ecr").describe_images(repositoryName="team/app", imageIds=[{"imageTag": "1"}])
    assert image["imageDetails"][0]["imageDigest"] == made["digest"] == sha256(skopeo.raw(target))

    copied_out = skopeo.copy(target, f"dir:{out}", "--all", "--preserve-digests")
    assert copied_out.returncode == 0, copied_out.stderr
    for digest, size in made["blobs"].items():
        content = (out / digest.removeprefix("sha256:")).read_bytes()
        assert (sha256(content), len(content)) == (digest, size)


@pytest.mark.usefixtures("repository")
def test_second_copy_sends_no_layer_again(cloud: Cloud, skopeo: Skopeo) -> None:
    cloud.publish("quay.io", "team/app", "1", platforms=PLATFORMS)
    source, target = skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("team/app:1")
    assert skopeo.copy(source, target, "--all").returncode == 0
    cloud.forget_calls()
    assert skopeo.copy(source, target, "--all").returncode == 0
    assert [call["path"] for call in cloud.calls() if "/blobs/uploads/" in call["path"]] == []


@pytest.mark.usefixtures("repository")
def test_copy_within_the_registry_mounts_layers_once_that_is_switched_on(cloud: Cloud, skopeo: Skopeo) -> None:
    ecr = cloud.client("ecr")
    cloud.publish("quay.io", "team/app", "1", layer_size=100_000)
    assert skopeo.copy(skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("team/app:1")).returncode == 0
    uploaded = {}
    for setting in ("DISABLED", "ENABLED"):
        ecr.put_account_setting(name="BLOB_MOUNTING", value=setting)
        name = f"copy/{setting.lower()}"
        ecr.create_repository(repositoryName=name)
        cloud.forget_calls()
        assert skopeo.copy(skopeo.ecr("team/app:1"), skopeo.ecr(f"{name}:1")).returncode == 0
        uploads = [call for call in cloud.calls() if f"{name}/blobs/uploads/" in call["path"]]
        uploaded[setting] = sum(call["received"] for call in uploads)
    assert uploaded["DISABLED"] > 100_000
    assert uploaded["ENABLED"] < 100_000


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.usefixtures("repository")
def test_without_a_good_password_nothing_is_pushed(cloud: Cloud, tmp_path: Path, skopeo: Skopeo, password: str) -> None:
    cloud.publish("quay.io", "team/app", "1")
    (tmp_path / "auth.json").unlink()
    if password:
        skopeo.login(password=password)
    copied = skopeo.copy(skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("team/app:1"))
    assert copied.returncode != 0
    assert cloud.client("ecr").list_images(repositoryName="team/app")["imageIds"] == []


def test_push_to_a_missing_repository_says_so(cloud: Cloud, skopeo: Skopeo) -> None:
    cloud.publish("quay.io", "team/app", "1")
    copied = skopeo.copy(skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("no/such:1"))
    assert copied.returncode != 0
    text = b"The repository with name 'no/such' does not exist in the registry with id '123456789012'"
    assert text in copied.stderr


def test_push_makes_the_repository_that_a_template_asks_for(cloud: Cloud, skopeo: Skopeo) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository_creation_template(
        prefix="made", appliedFor=["CREATE_ON_PUSH"], imageTagMutability="IMMUTABLE"
    )
    cloud.publish("quay.io", "team/app", "1")
    assert skopeo.copy(skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("made/here:1")).returncode == 0
    described = ecr.describe_repositories(repositoryNames=["made/here"])["repositories"][0]
    assert described["imageTagMutability"] == "IMMUTABLE"


@pytest.mark.usefixtures("repository")
def test_an_immutable_tag_stays_as_it_is(cloud: Cloud, skopeo: Skopeo) -> None:
    cloud.client("ecr").put_image_tag_mutability(repositoryName="team/app", imageTagMutability="IMMUTABLE")
    first = cloud.publish("quay.io", "team/app", "1")
    source, target = skopeo.upstream("quay.io", "team/app:1"), skopeo.ecr("team/app:1")
    assert skopeo.copy(source, target).returncode == 0
    cloud.publish("quay.io", "team/app", "1", seed="moved")
    copied = skopeo.copy(source, target)
    assert copied.returncode != 0
    assert b"cannot be overwritten because the repository is immutable" in copied.stderr
    assert sha256(skopeo.raw(target)) == first["digest"]


@pytest.mark.usefixtures("repository")
def test_an_artifact_keeps_its_subject(cloud: Cloud) -> None:
    registry = Ecr(cloud)
    subject = registry.push_image("team/app", "1")
    artifact = registry.push_image(
        "team/app",
        "sbom",
        "sbom",
        artifactType="application/spdx+json",
        subject={"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(subject), "size": 1},
        annotations={"made": "here"},
    )
    listed = registry.call("GET", f"/v2/team/app/referrers/{sha256(subject)}").json["manifests"]
    assert listed == [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": sha256(artifact),
            "size": len(artifact),
            "artifactType": "application/spdx+json",
            "annotations": {"made": "here"},
        }
    ]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_made_to_order_can_be_extracted(cloud: Cloud, skopeo: Skopeo, tmp_path: Path, compression: str) -> None:
    cloud.publish("quay.io", "team/app", "1", compression=compression, layer_size=300_000)
    out = tmp_path / "out"
    copied = skopeo.copy(skopeo.upstream("quay.io", "team/app:1"), f"dir:{out}", "--dest-decompress")
    assert copied.returncode == 0, copied.stderr
    manifest = json.loads((out / "manifest.json").read_bytes())
    config = json.loads((out / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    assert [part["digest"] for part in manifest["layers"]] == config["rootfs"]["diff_ids"]
