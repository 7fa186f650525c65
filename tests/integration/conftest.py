"""One light cloud for the session; every test finds it empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, run_module, run_playbook

# Begun last, each of these would keep one processor busy for minutes when all others have ended.
LONGEST = (
    "test_role_pull_through_cache.py",
    "test_examples.py",
    "test_role_pull_sync.py",
    "test_molecule.py",
    "test_role_codebuild_cloner.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def light_cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(light_cloud: Cloud) -> Cloud:
    light_cloud.reset()
    return light_cloud


@pytest.fixture
def module(cloud: Cloud) -> Callable[..., ModuleResult]:
    """module(name, arguments, check=, diff=, credentials=): a module in this process, against the cloud."""

    def run(
        name: str,
        arguments: dict[str, Any],
        *,
        check: bool = False,
        diff: bool = False,
        credentials: dict[str, str] | None = None,
    ) -> ModuleResult:
        environment = cloud.environment(credentials=credentials)
        return run_module(name, arguments, check=check, diff=diff, environment=environment)

    return run


@pytest.fixture
def playbook(cloud: Cloud, tmp_path: Path) -> Callable[..., PlaybookRun]:
    """playbook(plays or path, *options, credentials=, without=): ansible-playbook, against the cloud.

    `without` names environment variables to leave out, such as AWS_REGION.
    """

    def run(
        what: Any, *options: str, credentials: dict[str, str] | None = None, without: Sequence[str] = ()
    ) -> PlaybookRun:
        whole = cloud.environment(credentials=credentials)
        environment = {name: value for name, value in whole.items() if name not in without}
        return run_playbook(what, *options, directory=tmp_path, environment=environment)

    return run
