# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import GivenUp, Interruption, threads
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import InterruptedRunError


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler is another one afterwards, should it not be put back."""
    before = signal.getsignal(request.param)
    yield request.param
    assert signal.getsignal(request.param) is before


def test_a_signal_makes_it_known_and_all_threads_stop(number: signal.Signals) -> None:
    interruption = Interruption()
    interruption.heed()
    with interruption.by_signals():
        os.kill(os.getpid(), number)
    assert interruption.happened
    with pytest.raises(InterruptedRunError, match="the run was interrupted"):
        interruption.heed()


def test_who_sleeps_is_woken() -> None:
    interruption = Interruption()
    interruption.sleep(0.001)
    with threads(1, "sleeper") as pool:
        sleeper = pool.submit(interruption.sleep, 600)
        interruption.interrupt()
        with pytest.raises(InterruptedRunError):
            sleeper.result(timeout=20)


def test_what_hangs_is_given_up(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """And if it keeps the process from ending then, that ends all the same."""
    exits: Future[int] = Future()
    monkeypatch.setattr(os, "_exit", exits.set_result)
    release, begun = threading.Event(), time.monotonic()
    try:
        with pytest.raises(GivenUp):
            hang(number, release)
        assert exits.result(timeout=20) == 1
    finally:
        release.set()
    assert time.monotonic() - begun < 30


def hang(number: signal.Signals, release: threading.Event) -> None:
    with Interruption(grace=0.01).by_signals(), threads(1, "hanging") as pool:
        hanging = pool.submit(release.wait, 600)
        os.kill(os.getpid(), number)
        hanging.result()


def test_a_run_that_ends_in_time_is_not_given_up(number: signal.Signals) -> None:
    interruption = Interruption(grace=600)
    with interruption.by_signals():
        os.kill(os.getpid(), number)
    assert interruption._timer is not None
    interruption._timer.join(timeout=20)
    assert not interruption._timer.is_alive()


def test_in_another_thread_signals_are_left_alone() -> None:
    handlers: list[object] = []

    def work() -> None:
        with Interruption().by_signals():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
