# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Registries on loopback ports, and clients for them on whose clock waiting takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import FakeRegistry


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def start() -> Iterator[Callable[..., FakeRegistry]]:
    started: list[FakeRegistry] = []

    def start_one(**settings: Any) -> FakeRegistry:
        started.append(FakeRegistry(**settings))
        return started[-1]

    yield start_one
    for registry in started:
        registry.close()


@pytest.fixture
def registry(start: Callable[..., FakeRegistry]) -> FakeRegistry:
    return start()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def connect(clock: FakeClock, counters: Counters) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect_one(*arguments: Any, patience: Any = None, **settings: Any) -> Client:
        http = Http(observer=counters, now=clock.now, sleep=clock.sleep, patience=patience)
        clients.append(Client(*arguments, http=http, **settings))
        return clients[-1]

    yield connect_one
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()
