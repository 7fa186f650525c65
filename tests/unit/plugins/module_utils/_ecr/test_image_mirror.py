# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.image_mirror import Transports
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Copied, Prepared, Task


class Transport:
    def __init__(self) -> None:
        self.closed = 0

    def prepare(self, task: Task, *, check_mode: bool) -> Prepared:
        raise NotImplementedError

    def execute(self, prepared: Prepared) -> Copied:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


def test_a_transport_is_made_once_and_when_it_is_needed() -> None:
    made: list[Transport] = []
    start = threading.Barrier(8)

    def make() -> Transport:
        made.append(Transport())
        return made[-1]

    transports = Transports({"direct": make, "docker": make})
    assert list(transports) == ["direct", "docker"]
    assert len(transports) == 2
    assert made == []

    def take(_number: int) -> object:
        start.wait(10)
        return transports["direct"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(take, range(8))) == {made[0]}
    transports.close()
    assert [one.closed for one in made] == [1]


def test_there_are_no_other_transports() -> None:
    with pytest.raises(KeyError):
        Transports({})["pigeon"]
