"""One full cloud for the session; every test finds it empty, with nobody logged in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from loopback.client import FullCloud


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(os.path.dirname(__file__)):
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="session")
def running_full_cloud() -> Iterator[FullCloud]:
    if os.geteuid() != 0:
        pytest.skip("the full mode of the loopback cloud makes namespaces, which needs root")
    with FullCloud() as cloud:
        yield cloud


@pytest.fixture
def full(running_full_cloud: FullCloud) -> FullCloud:
    running_full_cloud.reset()
    shutil.rmtree(running_full_cloud.directory / "docker-config", ignore_errors=True)
    return running_full_cloud
