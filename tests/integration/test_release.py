"""`make release` in a copy of the checkout, and the execution environment that users build."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from running import BIN

ROOT = Path(__file__).parents[2]
WHO = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]


def git(checkout: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", checkout, *WHO, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit that holds what git knows or would add here."""
    copy = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    git(tmp_path, "init", "--quiet", str(copy))
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "All there is")
    return copy


def release(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    author = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [checkout / "tools" / "release.sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_release_is_a_version_a_changelog_a_tag_and_an_artefact(checkout: Path) -> None:
    done = release(checkout, "0.1.0")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((checkout / "galaxy.yml").read_text())["version"] == "0.1.0"
    changelog = (checkout / "CHANGELOG.rst").read_text()
    assert "v0.1.0" in changelog
    assert "stevedore.ecr.ecr_image_mirror" in changelog
    assert git(checkout, "tag", "--points-at", "HEAD") == "0.1.0"
    assert git(checkout, "status", "--porcelain") == ""
    with tarfile.open(checkout / "build" / "release" / "stevedore-ecr-0.1.0.tar.gz") as artefact:
        assert "CHANGELOG.rst" in artefact.getnames()
    older = release(checkout, "0.0.9")
    assert older.returncode == 1
    assert older.stderr == "release: 0.0.9 is older than 0.1.0\n"
    assert "there is a tag 0.1.0 already" in release(checkout, "0.1.0").stderr


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.02.3", "1.2.3-rc1"])
def test_what_is_no_version_is_refused(checkout: Path, version: str) -> None:
    refused = release(checkout, version)
    assert refused.returncode == 1
    assert "semantic versioning" in refused.stderr
    assert git(checkout, "status", "--porcelain") == ""


def test_changes_that_are_not_committed_are_not_released(checkout: Path) -> None:
    (checkout / "README.md").write_text("changed\n")
    refused = release(checkout, "1.0.0")
    assert refused.returncode == 1
    assert "not committed" in refused.stderr
    assert git(checkout, "tag") == ""


def test_the_context_of_the_execution_environment_can_be_made(tmp_path: Path) -> None:
    definition = ROOT / "execution-environment.yml"
    command = [BIN / "ansible-builder", "create", "--file", definition, "--context", tmp_path / "context"]
    command += ["--output-filename", "Containerfile"]
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    build = tmp_path / "context" / "_build"
    assert yaml.safe_load((build / "requirements.yml").read_text())["collections"] == [{"name": "stevedore.ecr"}]
    assert "python:3.12-slim" in (tmp_path / "context" / "Containerfile").read_text()
