# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
)

NAMES = [f"item-{number}" for number in range(40)]


def test_no_items_are_no_outcomes() -> None:
    assert run_each([], str.upper, 4) == []


def test_outcomes_come_in_the_order_of_the_items() -> None:
    turns = {name: threading.Event() for name in NAMES[:4]}

    def last_first(name: str) -> str:
        """Each waits for the one after it."""
        position = NAMES.index(name)
        if position < 3:
            assert turns[NAMES[position + 1]].wait(10)
        turns[name].set()
        return name.upper()

    outcomes = run_each(NAMES[:4], last_first, 4)
    assert [(outcome.name, outcome.result) for outcome in outcomes] == [(name, name.upper()) for name in NAMES[:4]]


@pytest.mark.parametrize("parallel", [1, 3])
def test_as_many_at_a_time_as_allowed_and_no_more(parallel: int) -> None:
    lock, together = threading.Lock(), threading.Barrier(parallel)
    running, most = 0, 0

    def work(name: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)  # breaks unless so many are really at work
        with lock:
            running -= 1

    assert not any(outcome.error for outcome in run_each(NAMES[: parallel * 4], work, parallel))
    assert most == parallel


@pytest.mark.parametrize("parallel", [0, -1])
def test_less_than_one_at_a_time_is_one(parallel: int) -> None:
    assert [outcome.result for outcome in run_each(NAMES[:2], str.upper, parallel)] == ["ITEM-0", "ITEM-1"]


def test_a_failure_does_not_hide_the_others() -> None:
    def work(name: str) -> str:
        if name == "item-3":
            raise AnsibleECRError("no")
        return name

    outcomes = run_each(NAMES, work, 4)
    assert [outcome.name for outcome in outcomes if outcome.error] == ["item-3"]
    assert [outcome.result for outcome in outcomes if outcome.result] == [name for name in NAMES if name != "item-3"]


def test_nothing_is_begun_when_aws_is_out_of_reach() -> None:
    tried: list[str] = []
    together = threading.Barrier(4)

    def work(name: str) -> None:
        tried.append(name)
        together.wait(10)
        raise AnsibleECRUnavailableError("no network")

    outcomes = run_each(NAMES, work, 4)
    assert sorted(tried) == sorted(NAMES[:4])
    assert [outcome.error.code for outcome in outcomes if outcome.error] == (
        ["AnsibleECRUnavailableError"] * 4 + ["NotAttempted"] * 36
    )


def test_a_mistake_in_the_code_is_not_taken_for_a_failure() -> None:
    def work(name: str) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError):
        run_each(NAMES, work, 4)
