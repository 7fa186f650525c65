"""What users install: built, installed where nothing else is, and used as the README's quick start says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from loopback.client import Cloud
from running import BIN, playbook_environment, run_playbook

ROOT = Path(__file__).parents[2]
HUB_HOST = "registry-1.docker.io"
SHIPPED = {"changelogs", "docs", "examples", "meta", "playbooks", "plugins", "roles"}


@pytest.fixture(scope="module")
def artefact() -> Path:
    built = subprocess.run([ROOT / "tools" / "artefact.sh"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


@pytest.fixture
def installed(artefact: Path, tmp_path: Path) -> Path:
    """A directory of collections that holds this one."""
    collections = tmp_path / "collections"
    command = [BIN / "ansible-galaxy", "collection", "install", artefact, "--no-deps", "--force", "-p", collections]
    environment = playbook_environment(tmp_path, {"ANSIBLE_COLLECTIONS_PATH": str(collections)})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return collections


def test_it_holds_what_users_need_and_no_tests(artefact: Path) -> None:
    with tarfile.open(artefact) as archive:
        names = archive.getnames()
    directories = {name.partition("/")[0] for name in names if "/" in name}
    assert directories <= SHIPPED | {"extensions"}, directories
    assert {"plugins", "roles", "playbooks", "meta", "docs"} <= directories
    unwanted = [name for name in names if re.search(r"(^|/)(tests|molecule|\.git\w*|__pycache__|\.venv)(/|$)", name)]
    assert not unwanted
    assert artefact.stat().st_size < 1_000_000


def test_it_works_where_nothing_else_is_installed(cloud: Cloud, installed: Path, tmp_path: Path) -> None:
    cloud.publish("registry.k8s.io", "pause", "3.10", platforms=["linux/amd64"])
    variables = tmp_path / "cache.yml"
    variables.write_text(
        yaml.safe_dump(
            {
                "pull_through_cache_upstreams": {"k8s": {}, "quay": {}},
                "pull_through_cache_warm": ["registry.k8s.io/pause:3.10"],
            }
        )
    )
    environment = {**cloud.environment(), "ANSIBLE_COLLECTIONS_PATH": str(installed)}
    options = ("-e", f"@{variables}", "-e", f"aws_region={cloud.region}")

    def run(*more: str) -> tuple[int, str]:
        done = run_playbook(
            "stevedore.ecr.pull_through_cache", *options, *more, directory=tmp_path, environment=environment
        )
        assert done.status == 0, done.output
        return done.recap["changed"], done.output

    planned, _output = run("--check")
    assert planned > 0
    first, output = run()
    assert first == planned
    assert "[WARNING]" not in output
    again, _output = run()
    assert again == 0
    assert cloud.client("ecr").describe_images(repositoryName="k8s/pause")["imageDetails"]


def test_the_quick_start_works_where_nothing_else_is_installed(cloud: Cloud, installed: Path, tmp_path: Path) -> None:
    """With examples/small.yml of the artefact itself, as it is in the README."""
    published = [("quay.io", "prometheus/prometheus", "v3.5.0"), ("registry.k8s.io", "pause", "3.10")]
    for host, repository, tag in [*published, (HUB_HOST, "library/nginx", "1.27")]:
        cloud.publish(host, repository, tag, platforms=["linux/amd64"])
    example = installed / "ansible_collections" / "stevedore" / "ecr" / "examples" / "small.yml"
    told = {
        "stevedore_file": str(example),
        "image_mirror_registries": [{"host": "docker.io", "endpoint": cloud.upstreams[HUB_HOST]}],
    }
    environment = {**cloud.environment(), "ANSIBLE_COLLECTIONS_PATH": str(installed)}

    def run(*more: str) -> int:
        done = run_playbook(
            "stevedore.ecr.site", "-e", json.dumps(told), *more, directory=tmp_path, environment=environment
        )
        assert done.status == 0, done.output
        assert "[WARNING]" not in done.output
        # The roles tell where they are.
        assert str(installed) in done.output
        assert str(ROOT) not in done.output
        return done.recap["changed"]

    assert run("--check") > 0
    assert run() > 0
    assert run() == 0
    repositories = cloud.client("ecr").describe_repositories()["repositories"]
    assert {one["repositoryName"] for one in repositories} == {"k8s/pause", "nginx", "quay/prometheus/prometheus"}


def test_its_documentation_is_there(installed: Path, tmp_path: Path) -> None:
    environment = playbook_environment(tmp_path, {"ANSIBLE_COLLECTIONS_PATH": str(installed)})
    command = [BIN / "ansible-doc", "--json", "-t", "module", "stevedore.ecr.ecr_image_mirror"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)["stevedore.ecr.ecr_image_mirror"]["doc"]
    assert Path(document["filename"]).is_relative_to(installed), (document["filename"], sys.path)
