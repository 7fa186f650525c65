"""Two real registries for the session, and scenes between them: one for each test, with names of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from docker_registry import DockerRegistry
from mirror_scene import EcrScene, RegistryScene
from mirror_server import Login, Proxy

from loopback.client import Cloud

_numbers = itertools.count()
# Thousands of small files, which memory makes and removes faster than most disks; their content is little.
_QUICK = Path("/dev/shm")


@pytest.fixture(scope="session")
def source_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(_QUICK if os.access(_QUICK, os.W_OK) else None) as registry:
        yield registry


@pytest.fixture(scope="session")
def target_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(_QUICK if os.access(_QUICK, os.W_OK) else None) as registry:
        yield registry


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def inward(source_registry: DockerRegistry, stack: ExitStack) -> Proxy:
    proxy: Proxy = stack.enter_context(Proxy(source_registry.host, Login(tokens=True)))
    return proxy


@pytest.fixture
def outward(target_registry: DockerRegistry, stack: ExitStack) -> Proxy:
    proxy: Proxy = stack.enter_context(Proxy(target_registry.host, Login(tokens=True)))
    return proxy


@pytest.fixture
def scene(
    inward: Proxy, outward: Proxy, source_registry: DockerRegistry, target_registry: DockerRegistry, tmp_path: Path
) -> RegistryScene:
    prefix = f"test{next(_numbers)}"
    return RegistryScene(inward, source_registry.url, outward, target_registry.url, prefix, tmp_path)


@pytest.fixture
def ecr_scene(inward: Proxy, source_registry: DockerRegistry, cloud: Cloud, tmp_path: Path) -> EcrScene:
    return EcrScene(inward, source_registry.url, cloud, f"test{next(_numbers)}", tmp_path)
