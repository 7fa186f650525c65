# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import OCI_MANIFEST
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.pace import ECR_RATES, Pace
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import FakeRegistry, answer, image

PUT = Asked("ecr.example", "PUT", "manifest")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pace(clock: FakeClock) -> Pace:
    return Pace("ecr.example", now=clock.now, sleep=clock.sleep)


def seconds_for(pace: Pace, clock: FakeClock, count: int, asked: Asked = PUT, status: int = 201) -> float:
    begun = clock.time
    for number in range(count):
        pace.wait(asked._replace())
        pace.answered(asked, status if number else 201)
    return clock.time - begun


def test_a_second_of_requests_goes_at_once_and_then_as_many_as_allowed(pace: Pace, clock: FakeClock) -> None:
    assert seconds_for(pace, clock, 8) == 0
    assert seconds_for(pace, clock, 80) == pytest.approx(10)


def test_what_was_not_used_for_a_long_time_is_not_saved_up(pace: Pace, clock: FakeClock) -> None:
    clock.time += 3600
    assert seconds_for(pace, clock, 88) == pytest.approx(10)


@pytest.mark.parametrize("asked", [*ECR_RATES, ("GET", "manifest")], ids=" ".join)
def test_each_kind_has_a_rate_of_its_own(pace: Pace, clock: FakeClock, asked: tuple[str, str]) -> None:
    seconds_for(pace, clock, 8)
    rate = ECR_RATES.get(asked, 1e9)
    expected = {8.0: 3.0}.get(rate, 0.0)
    assert seconds_for(pace, clock, 24, Asked("ecr.example", *asked)) == pytest.approx(expected)


def test_other_registries_are_left_alone(pace: Pace, clock: FakeClock) -> None:
    assert seconds_for(pace, clock, 1000, PUT._replace(registry="quay.example")) == 0


def test_a_429_halves_the_rate_once_a_second_and_answers_bring_it_back(pace: Pace, clock: FakeClock) -> None:
    for number in range(5):
        pace.answered(PUT, 429 if number < 3 else 201)
    # A half of 8, and a fiftieth of 8 for each of two good answers.
    pace.wait(PUT)
    assert clock.slept == [pytest.approx(1 / 4.32)]
    seconds_for(pace, clock, 100)
    clock.time += 100
    assert seconds_for(pace, clock, 88) == pytest.approx(10)


def test_it_never_stops_altogether(pace: Pace, clock: FakeClock) -> None:
    for _number in range(50):
        pace.answered(PUT, 429)
        clock.time += 1
    clock.time += 1000
    seconds_for(pace, clock, 8, status=429)
    begun = clock.time
    pace.wait(PUT)
    assert 0 < clock.time - begun <= 2


def test_the_client_waits_before_each_attempt(here: FakeRegistry) -> None:
    clock = FakeClock()
    pace = Pace(here.host, {("PUT", "manifest"): 1.0}, now=clock.now, sleep=clock.sleep)
    client = Client(http=Http(pacer=pace, now=clock.now, sleep=clock.sleep))
    here.on("PUT", "/manifests/", answer(429, retry_after="5"))
    client.put_manifest(Reference(here.host, "team/app", "1"), image(), OCI_MANIFEST)
    client.close()
    # The first goes at once, and the rate is half of it from then on: the second has waited long enough.
    assert [seconds >= 5 for seconds in clock.slept] == [True]
    assert len(here.asked("PUT", "/manifests/")) == 2
