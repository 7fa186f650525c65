# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Deferred, MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit

HUB = "docker.io"


class Limits(dict[str, RateLimit]):
    """What registries said last."""

    def say(self, remaining: int, window: int | None = 21600) -> Limits:
        self[HUB] = RateLimit(100, remaining, window)
        return self


def test_takes_what_is_left_and_no_more() -> None:
    budget = PullBudget(Limits().say(10).get, reserve=4)

    budget.take(HUB, 5)
    budget.take(HUB, 1)
    with pytest.raises(Deferred) as error:
        budget.take(HUB, 1)
    assert str(error.value) == (
        "needs 1 pull of docker.io, which has 0 of 100 left after a reserve of 4: "
        "run again when they renew, within 6 hours, or log in to an account that may pull more"
    )


def test_a_registry_that_says_nothing_allows_any_number() -> None:
    budget = PullBudget(Limits().get, reserve=1000)

    budget.take("quay.io", 10**6)
    assert budget.defer([("quay.io", 10**6)]) == [None]
    assert not budget.meters("quay.io")
    assert budget.report() == {}


def test_what_others_pull_is_seen() -> None:
    limits = Limits().say(50)
    budget = PullBudget(limits.get)
    budget.take(HUB, 1)

    limits.say(3)

    with pytest.raises(Deferred, match="which has 3 of 100 left"):
        budget.take(HUB, 4)
    budget.take(HUB, 3)


def test_what_is_left_never_grows() -> None:
    limits = Limits().say(2)
    budget = PullBudget(limits.get)
    budget.take(HUB, 2)

    limits.say(100)

    with pytest.raises(Deferred):
        budget.take(HUB, 1)


@pytest.mark.parametrize(
    ("window", "renewal"),
    [(21600, "within 6 hours"), (3600, "within 1 hour"), (90, "within 90 seconds"), (None, "in some hours")],
)
def test_when_to_come_again(window: int | None, renewal: str) -> None:
    with pytest.raises(Deferred, match=f"when they renew, {renewal}, or"):
        PullBudget(Limits().say(0, window).get).take(HUB, 1)


def test_the_smallest_go_first() -> None:
    budget = PullBudget(Limits().say(10).get, reserve=1)

    verdicts = budget.defer([(HUB, 5), (HUB, 1), ("quay.io", 50), (HUB, 4), (HUB, 3)])

    assert [verdict is None for verdict in verdicts] == [False, True, True, True, True]
    assert "needs about 5 pulls of docker.io, which has 1 of 100 left after a reserve of 1" in str(verdicts[0])
    # Nothing was taken by that.
    budget.take(HUB, 9)


def test_reports_what_was_used() -> None:
    limits = Limits().say(90)
    budget = PullBudget(limits.get)
    assert budget.meters(HUB)

    limits.say(83)
    assert budget.report() == {HUB: {"limit": 100, "remaining": 83, "window": 21600, "used": 7}}
    # The window has renewed.
    limits.say(100)
    assert budget.report()[HUB]["used"] == 0


def test_reports_what_an_engine_used_too() -> None:
    """What was taken, though the registry said nothing more to us."""
    limits = Limits().say(50)
    budget = PullBudget(limits.get)
    budget.take(HUB, 1)
    budget.take(HUB, 5)
    assert budget.report() == {HUB: {"limit": 100, "remaining": 44, "window": 21600, "used": 6}}
    # Others pull as well.
    limits.say(40)
    assert budget.report() == {HUB: {"limit": 100, "remaining": 40, "window": 21600, "used": 10}}


def test_a_reserve_is_a_number_of_pulls() -> None:
    with pytest.raises(MirrorError, match="rate_limit_reserve: -1"):
        PullBudget(Limits().get, -1)


def test_many_threads_get_no_more_than_there_is() -> None:
    budget = PullBudget(Limits().say(50).get)

    def takes(number: int) -> bool:
        try:
            budget.take(HUB, 1)
        except Deferred:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(takes, range(200))) == 50


@given(st.integers(0, 60), st.integers(0, 20), st.lists(st.integers(0, 20), max_size=12))
def test_no_more_fits_than_what_is_granted(remaining: int, reserve: int, needs: list[int]) -> None:
    budget = PullBudget(Limits().say(remaining).get, reserve)
    verdicts = budget.defer([(HUB, need) for need in needs])
    granted = [need for need, verdict in zip(needs, verdicts, strict=True) if verdict is None]
    deferred = [need for need, verdict in zip(needs, verdicts, strict=True) if verdict is not None]

    assert sum(granted) <= max(0, remaining - reserve)
    assert all(sum(granted) + need > remaining - reserve for need in deferred)
    assert max(granted, default=0) <= min(deferred, default=20)
