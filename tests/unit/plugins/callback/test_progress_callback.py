# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the callback does by its clock and in odd cases; real runs are in tests/integration/test_progress.py."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.callback import progress

START = {"event": "start", "run": "a", "destination": "ecr", "check_mode": False}
PLAN = {"event": "plan", "run": "a", "images": 3, "copies": 2, "quota": {}}
END = {"event": "end", "run": "a", "totals": {"images": 3, "seconds": 2.0}, "interrupted": False, "quota": {}}


class Display:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def display() -> Display:
    return Display()


@pytest.fixture
def follower(display: Display, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[progress.Follower]:
    """One that looks only when it is told to, and whose clock stands still."""
    monkeypatch.setattr(progress.Follower, "_follow", lambda self: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(progress, "GRACE", -2.0)
    monkeypatch.setenv("STEVEDORE_PROGRESS", "/somebody/elses")
    before = signal.getsignal(signal.SIGTERM)
    follower = progress.Follower(display)
    yield follower
    if not follower._over.is_set():
        follower.stop()
    assert os.environ["STEVEDORE_PROGRESS"] == "/somebody/elses"
    assert signal.getsignal(signal.SIGTERM) is before
    assert list(tmp_path.iterdir()) == []


def tell(*events: dict[str, Any] | str) -> None:
    with open(os.environ["STEVEDORE_PROGRESS"], "a") as file:
        for event in events:
            file.write(event if isinstance(event, str) else json.dumps(event) + "\n")


def test_only_its_owner_may_read_what_is_told(follower: progress.Follower) -> None:
    path = Path(os.environ["STEVEDORE_PROGRESS"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_log_has_a_line_from_time_to_time(
    follower: progress.Follower, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    follower.look()
    tell(START, PLAN)
    for _number in range(100):
        now += 1
        follower.look()
    assert display.lines == ["0 of 3 images"] * 3
    tell(END)
    for _number in range(100):
        now += 1
        follower.look()
    assert display.lines[3:] == ["0 of 3 images: none done yet; 0 B moved in 2.0 s."]


def test_half_a_line_is_left_for_the_next_look_and_a_broken_one_out(
    follower: progress.Follower, display: Display
) -> None:
    line = json.dumps(PLAN)
    tell(START, line[:20])
    follower.look()
    tell(line[20:] + "\n", '{"event": "image", "ru\n', END)
    follower.look()
    assert display.lines == ["0 of 3 images: none done yet; 0 B moved in 2.0 s."]


def test_a_run_that_never_ends_was_interrupted(follower: progress.Follower, display: Display) -> None:
    tell(START, PLAN)
    follower.stop()
    assert len(display.lines) == 1
    assert display.lines[0].startswith("Interrupted. 0 of 3 images: none done yet; 0 B moved. Run the same again")


def test_a_playbook_without_a_mirror_hears_nothing(follower: progress.Follower, display: Display) -> None:
    follower.look()
    follower.stop()
    assert display.lines == []


def test_processes_that_ansible_forks_stop_nothing(display: Display, follower: progress.Follower) -> None:
    callback = progress.CallbackModule()
    callback._follower = follower
    callback._stop(os.getpid() + 1)
    assert callback._follower is follower
    callback._stop(os.getpid())
    assert callback._follower is None
