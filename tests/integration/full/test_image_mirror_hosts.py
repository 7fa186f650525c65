# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ecr_image_mirror where registries have their real names and speak TLS: nothing has to be said of any of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ecr_api import allow, push_image

from loopback.client import FullCloud
from running import local_play, playbook_command, playbook_environment

OTHER = "210987654321"
AMD, ARM = "linux/amd64", "linux/arm64"
UPSTREAMS = {
    "nginx:1.27": ("registry-1.docker.io", "library/nginx"),
    "quay.io/team/app:1": ("quay.io", "team/app"),
    "ghcr.io/org/tool:1": ("ghcr.io", "org/tool"),
    "registry.k8s.io/pause:1": ("registry.k8s.io", "pause"),
    "public.ecr.aws/docker/library/redis:1": ("public.ecr.aws", "docker/library/redis"),
}


def mirror(
    full: FullCloud, directory: Path, *images: dict[str, Any], without: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """What the module returned, run inside the cloud's network, `without` some variables of the environment.

    Everything that Ansible had to say at -vvvv is in `output.txt`.
    """
    told = directory / "result.json"
    task = {"images": list(images), "transport": "direct", **options}
    copy = {"content": "{{ done | to_json }}", "dest": str(told), "mode": "0600"}
    [play] = local_play(
        {"stevedore.ecr.ecr_image_mirror": task, "register": "done", "failed_when": False},
        {"ansible.builtin.copy": copy},
    )
    playbook = directory / "mirror.yml"
    playbook.write_text(yaml.safe_dump([play]))
    environment = playbook_environment(directory, full.environment()) | dict.fromkeys(without, "")
    done = full.run(playbook_command(playbook, "-vvvv"), environment=environment)
    (directory / "output.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(told.read_text())
    return result


def raw(full: FullCloud, address: str, *, region: str | None = None) -> str:
    """The bytes of a manifest, as skopeo reads them."""
    ecr = full.client("ecr", region=region)
    login = ecr.get_authorization_token()["authorizationData"][0]
    options = ["--creds", password(login["authorizationToken"])] if ".dkr.ecr." in address else []
    done = full.run(["skopeo", "inspect", "--raw", *options, f"docker://{address}"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def password(token: str) -> str:
    return base64.b64decode(token).decode()


def test_public_registries_by_their_names(full: FullCloud, tmp_path: Path) -> None:
    for name, (host, repository) in UPSTREAMS.items():
        full.publish(host, repository, name.rpartition(":")[2], platforms=[AMD, ARM])
    result = mirror(full, tmp_path, *({"source": name} for name in UPSTREAMS), namespace="mirror")
    assert "msg" not in result, result["msg"]
    assert result["totals"]["copied"] == len(UPSTREAMS)
    for image in result["images"]:
        assert image["destination"].startswith(f"{full.account}.dkr.ecr.{full.region}.amazonaws.com/mirror/")
        assert raw(full, image["destination"]) == raw(full, image["source"])
    again = mirror(full, tmp_path, *({"source": name} for name in UPSTREAMS), namespace="mirror")
    assert not again["changed"]
    assert again["totals"]["requests"]["Amazon ECR API"] == 2 + len(UPSTREAMS)


@pytest.mark.parametrize("account", [None, OTHER])
def test_ecr_of_another_region_and_of_another_account(full: FullCloud, tmp_path: Path, account: str | None) -> None:
    there = full.client("ecr", account=account, region="us-east-1")
    there.create_repository(repositoryName="team/app")
    push_image(there, "team/app", ["1", "2"])
    if account:
        statement = {
            **allow("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"),
            "Principal": {"AWS": full.account},
        }
        statement.pop("Resource")
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        there.set_repository_policy(repositoryName="team/app", policyText=policy)
    source = f"{account or full.account}.dkr.ecr.us-east-1.amazonaws.com/team/app"
    result = mirror(full, tmp_path, {"source": source, "select": {"newest": 1}})
    assert "msg" not in result, result["msg"]
    [image] = result["images"]
    assert (image["source"], image["action"]) == (f"{source}:2", "copy")
    assert raw(full, image["destination"]) == raw(full, image["source"], region="us-east-1")


def test_an_authority_of_one_s_own(full: FullCloud, tmp_path: Path) -> None:
    full.publish("quay.io", "team/app", "1")
    wish = {"source": "quay.io/team/app:1"}
    trust = {"registries": [{"host": "quay.io", "ca": str(full.directory / "bundle.pem")}]}
    refused = mirror(full, tmp_path, wish, without=["SSL_CERT_FILE"])
    assert "give its CA bundle for this registry" in refused["msg"]
    done = mirror(full, tmp_path, wish, without=["SSL_CERT_FILE"], **trust)
    assert "msg" not in done, done["msg"]
    assert done["totals"]["copied"] == 1


def test_a_docker_engine_with_the_logins_of_the_task(full: FullCloud, tmp_path: Path) -> None:
    full.publish("registry-1.docker.io", "team/private", "1", private=True, platforms=[AMD, ARM])
    options = {
        "transport": "docker",
        "registries": [{"host": "docker.io", "username": "hubuser", "password": "hubtoken"}],
        "repository_defaults": {"image_tag_mutability": "IMMUTABLE"},
    }
    first = mirror(full, tmp_path, {"source": "team/private:1"}, **options)
    assert "msg" not in first, first["msg"]
    [image] = first["images"]
    assert (image["action"], image["transport"], image["notes"]) == ("copy", "docker", [])
    assert (
        json.loads(raw(full, image["destination"]))["annotations"]["dev.stevedore.source.digest"]
        == (image["source_digest"])
    )
    tags = full.client("ecr").list_images(repositoryName="team/private", filter={"tagStatus": "TAGGED"})["imageIds"]
    assert [one["imageTag"] for one in tags] == ["1"]
    assert "team/private" not in full.docker("images", "--all").stdout
    assert not (full.directory / "docker-config" / "config.json").exists()
    # Nothing to do needs no engine.
    again = mirror(full, tmp_path, {"source": "team/private:1"}, **options, docker_host="unix:///nowhere")
    assert "msg" not in again, again["msg"]
    assert [one["action"] for one in again["images"]] == ["up_to_date"]


@pytest.mark.parametrize(("token", "copied"), [("hubtoken", 1), ("a-wrong-token", 0)])
def test_no_secret_is_shown_where_an_engine_copies(full: FullCloud, tmp_path: Path, token: str, copied: int) -> None:
    full.publish("registry-1.docker.io", "team/private", "1", private=True)
    login = {"host": "docker.io", "username": "hubuser", "password": token}
    done = mirror(full, tmp_path, {"source": "team/private:1"}, transport="docker", registries=[login])
    assert done["totals"]["copied"] == copied, done
    output = (tmp_path / "output.txt").read_text()
    assert "team/private" in output
    environment = full.environment()
    ecr_login = full.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    secrets = [token, environment["AWS_SECRET_ACCESS_KEY"], ecr_login, password(ecr_login).partition(":")[2]]
    encoded = [base64.b64encode(f"hubuser:{token}".encode()).decode()]
    assert [secret for secret in secrets + encoded if secret in output] == []
