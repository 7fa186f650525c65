"""The module job_image against the loopback cloud. What it builds runs in full/test_pull_sync.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ecr_api import push_image

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]

DOCKERFILE = "ARG BASE\nFROM $BASE\n"


def arguments(**more: Any) -> dict[str, Any]:
    return {"repository": "sync/runner", "dockerfile": DOCKERFILE, "arguments": {"BASE": "python:3.13"}, **more}


@pytest.fixture(autouse=True)
def repository(cloud: Cloud) -> None:
    cloud.client("ecr").create_repository(repositoryName="sync/runner")


def tag_of(module: Module, **more: Any) -> str:
    return str(module("job_image", arguments(**more), check=True)["image"]).rpartition(":")[2]


def test_check_mode_says_what_there_would_be(cloud: Cloud, module: Module) -> None:
    foreseen = module("job_image", arguments(), check=True)
    assert (foreseen["changed"], foreseen["digest"]) == (True, None)
    host = cloud.registry.removeprefix("http://")
    assert foreseen["image"].startswith(f"{host}/sync/runner:")
    assert cloud.client("ecr").list_images(repositoryName="sync/runner")["imageIds"] == []


def test_check_mode_does_not_mind_that_the_repository_is_not_there_yet(module: Module) -> None:
    assert module("job_image", arguments(repository="sync/none"), check=True)["changed"]


def test_what_is_there_is_not_built_and_needs_no_engine(cloud: Cloud, module: Module, tmp_path: Path) -> None:
    digest = push_image(cloud.client("ecr"), "sync/runner", [tag_of(module)])
    found = module("job_image", arguments(docker_host=f"unix://{tmp_path}/none.sock"))
    assert (found["changed"], found["digest"]) == (False, digest)


@pytest.mark.parametrize(
    "other",
    [
        {"dockerfile": DOCKERFILE + "USER 1\n"},
        {"files": {"requirements.txt": "boto3"}},
        {"arguments": {"BASE": "python:3.14"}},
        {"platform": "linux/arm64"},
    ],
)
def test_what_it_is_made_of_makes_another_image(module: Module, other: dict[str, Any]) -> None:
    assert tag_of(module, **other) != tag_of(module)


def test_a_collection_that_differs_makes_another_image(module: Module, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "one.py").write_text("one = 1\n")
    given = {"collections": {"stevedore.ecr": str(tmp_path)}}
    before = tag_of(module, **given)
    assert tag_of(module, **given) == before
    (tmp_path / "plugins" / "one.py").write_text("one = 2\n")
    assert tag_of(module, **given) != before


def test_where_packages_come_from_makes_no_other_image_and_is_not_shown(module: Module) -> None:
    given = arguments(hidden_arguments={"PIP_INDEX_URL": "https://me:hunter2@packages.example.com/simple"})
    foreseen = module("job_image", given, check=True)
    assert foreseen["image"].rpartition(":")[2] == tag_of(module)
    assert "hunter2" not in str(foreseen.returned)


def test_a_host_without_an_engine_is_told_so(module: Module, tmp_path: Path) -> None:
    result = module("job_image", arguments(docker_host=f"unix://{tmp_path}/none.sock"))
    assert result.failed
    assert "Docker Engine" in result.msg
    assert "none.sock" in result.msg


def test_a_repository_that_is_not_there_is_named(module: Module, tmp_path: Path) -> None:
    result = module("job_image", arguments(repository="sync/none", docker_host=f"unix://{tmp_path}/none.sock"))
    assert result.failed
    assert "none" in result.msg


@pytest.mark.parametrize("missing", ["ecr:BatchGetImage", "ecr:GetAuthorizationToken"])
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, tmp_path: Path, missing: str) -> None:
    allowed = [one for one in ("ecr:BatchGetImage", "ecr:GetAuthorizationToken") if one != missing]
    role = cloud.role("operator", [{"Effect": "Allow", "Action": allowed, "Resource": "*"}])
    result = module("job_image", arguments(docker_host=f"unix://{tmp_path}/none.sock"), credentials=role)
    assert result.failed
    assert missing in result.msg
