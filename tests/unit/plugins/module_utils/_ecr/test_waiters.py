# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import (
    AnsibleECRTimeoutError,
    SystemClock,
    wait_until,
)
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock


def wait(states: list[str], timeout: float, clock: FakeClock) -> str:
    remaining = iter(states)
    return wait_until(
        lambda: next(remaining), lambda state: state == "ready", what="the thing", timeout=timeout, clock=clock
    )


@pytest.mark.parametrize(
    ("states", "timeout", "pauses"),
    [
        (["ready"], 10, []),
        (["ready"], 0, []),
        (["new", "busy", "ready"], 10, [2, 2]),
        # The last look is when the time is up, not before.
        (["new", "busy", "ready"], 3, [2, 1]),
    ],
)
def test_it_waits_until_it_is_done(states: list[str], timeout: float, pauses: list[float]) -> None:
    clock = FakeClock()
    assert wait(states, timeout, clock) == "ready"
    assert clock.slept == pauses


def test_a_timeout_carries_what_was_reached() -> None:
    with pytest.raises(AnsibleECRTimeoutError) as caught:
        wait(["new", "busy", "busier", "ready"], 3, FakeClock())
    assert caught.value.reached == "busier"
    assert caught.value.code == "Timeout"
    assert str(caught.value) == "Waited 3 s for the thing, which is still: busier"


def test_the_system_clock_goes_on_and_sleeps(slept: list[float]) -> None:
    clock = SystemClock()
    before = clock.now()
    clock.sleep(7)
    assert slept == [7]
    assert clock.now() >= before
