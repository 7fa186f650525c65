# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two registries on loopback ports, and a client for them on whose clock waiting takes no time."""

from __future__ import annotations

from collections.abc import Iterator

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


def _started() -> Iterator[FakeRegistry]:
    registry = FakeRegistry()
    yield registry
    registry.close()


@pytest.fixture
def there() -> Iterator[FakeRegistry]:
    yield from _started()


@pytest.fixture
def here() -> Iterator[FakeRegistry]:
    yield from _started()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def client(counters: Counters) -> Iterator[Client]:
    clock = FakeClock()
    client = Client(http=Http(observer=counters, now=clock.now, sleep=clock.sleep))
    yield client
    client.close()
