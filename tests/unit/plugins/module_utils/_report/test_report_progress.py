# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._report import live_bar
from ansible_collections.stevedore.ecr.plugins.module_utils._report.progress import Watcher, time_left
from ansible_collections.stevedore.ecr.tests.unit.support.mirror_results import image

START = {"event": "start", "run": "a", "destination": "ecr", "check_mode": False}
QUOTA = {"docker.io": {"limit": 100, "remaining": 92, "window": 3600, "used": 8}}
GO_ON = "Run the same again to go on: what is there is complete, and is not copied again."
LEFT_OVER = {
    "reason": "not attempted: the run was interrupted",
    "tag": "1",
    "digest": None,
    "source_digest": "sha256:1",
}


def plan(images: int, copies: int, **more: Any) -> dict[str, Any]:
    return {"event": "plan", "run": "a", "images": images, "copies": copies, "quota": {}, **more}


def pace(begun: int, expected: int, moved: int) -> dict[str, Any]:
    return {"event": "pace", "run": "a", "begun": begun, "expected": expected, "moved": moved, "quota": {}}


def done(name: str = "a/a:1", action: str = "copy", **more: Any) -> dict[str, Any]:
    return {"event": "image", "run": "a", **image(name, action), **more}


def end(seconds: float = 1.0, *, interrupted: bool = False, totals: Any = True) -> dict[str, Any]:
    return {
        "event": "end",
        "run": "a",
        "totals": totals and {"images": 1, "seconds": seconds},
        "interrupted": interrupted,
        "quota": {},
    }


def watched(*events: tuple[float, dict[str, Any]]) -> Watcher:
    watcher = Watcher()
    for now, event in events:
        watcher.take(event, now)
    return watcher


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "under 10 s"),
        (9.9, "under 10 s"),
        (10, "about 10 s"),
        (44, "about 40 s"),
        (89, "about 90 s"),
        (100, "about 2 min"),
        (179, "about 3 min"),
        (3600, "about 60 min"),
        (5400, "about 1 h 30 min"),
        (7300, "about 2 h 00 min"),
        (100_000, "about 27 h 40 min"),
    ],
)
def test_time_left(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


@pytest.mark.parametrize(
    ("events", "now", "status", "fraction"),
    [
        ([], 0, "", None),
        ([(0, START)], 1, "asking what is there on both sides", None),
        ([(0, START), (1, plan(3, 0))], 1, "0 of 3 images", 0),
        ([(0, START), (1, plan(4, 2)), (2, done(action="up_to_date", bytes=None))], 2, "1 of 4 images", 0),
        # All are begun: it is known what is to be moved.
        (
            [(0, START), (0, plan(2, 2)), (1, pace(2, 10_000_000, 0)), (11, pace(2, 10_000_000, 5_000_000))],
            11,
            "0 of 2 images, 5.0 MB of 10.0 MB, 500 kB/s, about 10 s left",
            0.5,
        ),
        # One in four is begun: what the others have is guessed.
        (
            [(0, START), (0, plan(4, 4)), (1, pace(1, 10_000_000, 0)), (11, pace(1, 10_000_000, 5_000_000))],
            11,
            "0 of 4 images, 5.0 MB of about 40.0 MB, 500 kB/s, about 80 s left",
            0.125,
        ),
        # Nothing is told of an engine's bytes but when it is done.
        (
            [(0, START), (0, plan(4, 4)), (20, done(bytes={"moved": 2_000_000, "reused": 0, "mounted": 0}))],
            20,
            "1 of 4 images, 2.0 MB, about 60 s left",
            0.25,
        ),
        # Nothing has come for long.
        (
            [(0, START), (0, plan(1, 1)), (1, pace(1, 100, 0)), (2, pace(1, 100, 50))],
            20,
            "0 of 1 image, 50 B of 100 B, about 20 s left",
            0.5,
        ),
        # What was sent again does not make more of it.
        ([(0, START), (0, plan(1, 1)), (1, pace(1, 100, 150))], 1, "0 of 1 image, 150 B of 150 B", 1.0),
        ([(0, START), (0, plan(1, 1, quota=QUOTA))], 0, "0 of 1 image, 92 pulls left at docker.io", 0),
        ([(0, START), (0, plan(1, 1)), (1, done()), (2, end())], 2, "", None),
    ],
)
def test_how_far_it_is(events: list[Any], now: float, status: str, fraction: float | None) -> None:
    watcher = watched(*events)
    assert watcher.status(now) == status
    assert watcher.fraction == fraction


def test_runs_at_the_same_time() -> None:
    watcher = watched((0, START), (0, plan(2, 0)), (0, {**START, "run": "b"}))
    assert watcher.status(1) == "0 of 2 images; asking what is there on both sides"
    assert watcher.fraction is None
    watcher.take({**plan(4, 0), "run": "b"}, 1)
    watcher.take({**done(action="up_to_date"), "run": "b"}, 1)
    assert watcher.fraction == 0.125
    assert len(watcher.active) == 2


def test_one_line_for_each_image_and_one_at_the_end() -> None:
    watcher = Watcher()
    events = [
        (START, ""),
        (plan(3, 1), ""),
        (
            done("a/a:1", bytes={"moved": 61_400_000, "reused": 0, "mounted": 0}, seconds=2.3, reason="it is new"),
            f"copied: quay.io/a/a:1 -> {image('a/a:1')['destination']} (61.4 MB, 2.3 s): it is new",
        ),
        (
            done("b/b:1", "fail", bytes=None, error={"msg": "no \x1b[31m such", "code": "X"}),
            f"failed: quay.io/b/b:1 -> {image('b/b:1')['destination']}: no \N{REPLACEMENT CHARACTER}[31m such",
        ),
        (
            done("c/c:1", "up_to_date", bytes=None),
            f"up to date: quay.io/c/c:1 -> {image('c/c:1')['destination']}",
        ),
        (end(200.0), "3 of 3 images: 1 up to date, 1 copied, 1 failed; 61.4 MB moved in 3 min 20 s."),
    ]
    lines = [watcher.take(event, number * 40) for number, (event, _line) in enumerate(events)]
    assert lines == [line for _event, line in events]
    assert not watcher.was_interrupted


def test_a_plan_is_told_as_one() -> None:
    watcher = watched((0, {**START, "check_mode": True}), (0, plan(1, 1)))
    assert watcher.take(done(bytes=None), 1).startswith("would be copied: ")
    assert watcher.take(end(), 2) == "1 of 1 image: 1 would be copied; 0 B to be moved in 1.0 s."


def test_of_a_run_that_broke_off_the_task_says_why() -> None:
    watcher = watched((0, START))
    assert watcher.take(end(totals=None), 1) == ""
    assert not watcher.was_interrupted


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([(0, START)], "No image was done yet."),
        ([(0, START), (1, end(interrupted=True, totals=None))], "No image was done yet."),
        ([(0, START), (1, plan(2, 2))], "0 of 2 images: none done yet; 0 B moved."),
        (
            [
                (0, START),
                (1, plan(3, 2)),
                (2, done(action="up_to_date", bytes=None)),
                (3, pace(1, 9000, 4000)),
                (4, done(action="skip", **LEFT_OVER)),
                (4, done(action="skip", **LEFT_OVER)),
                (5, end(5.0, interrupted=True)),
            ],
            "1 of 3 images: 1 up to date; 4.0 kB moved after 5.0 s.",
        ),
    ],
)
def test_after_an_interruption(events: list[Any], text: str) -> None:
    watcher = Watcher()
    lines = [watcher.take(event, now) for now, event in events]
    assert [line for line in lines if line and "up to date" not in line] == []
    assert watcher.was_interrupted
    assert watcher.farewell() == f"Interrupted. {text} {GO_ON}"


# ------------------------------------------------------------------ the bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    return terminal


@pytest.mark.parametrize(
    ("stream", "term", "expected"),
    [(Terminal(), "xterm", True), (Terminal(), "dumb", False), (io.StringIO(), "xterm", False)],
)
def test_a_bar_needs_a_terminal(monkeypatch: pytest.MonkeyPatch, stream: Any, term: str, expected: bool) -> None:
    monkeypatch.setenv("TERM", term)
    assert live_bar.can_have_bar(stream) is expected
    monkeypatch.setattr(live_bar, "HAS_RICH", False)
    assert not live_bar.can_have_bar(stream)


@pytest.mark.parametrize("columns", [10, 20, 40, 80, 200])
def test_the_bar_fits_into_one_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    line = live_bar.rendered(terminal, 0.5, "1 of 2 images, 5.0 MB of [10.0] MB, 500 kB/s, about 10 s left")
    assert "\n" not in line
    assert len(line) < max(columns, 20)
    assert ("500 kB/s" in line) is (columns >= 80)


def test_lines_of_others_stay_as_they_are(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    bottom = live_bar.Bar(threading.RLock())
    bottom.draw(None, "looking")
    long = "x" * 500
    print(long)
    print("begun ", end="")
    bottom.draw(0.5, "half")
    print("ended")
    sys.stderr.write("trouble\n")
    bottom.draw(0.5, "more than half")
    bottom.draw(None, "")
    assert sys.stdout is terminal
    print("after")
    screen = shown(terminal.getvalue())
    assert screen == [long, "begun ended", "trouble", "after", ""]
    assert "half" in terminal.getvalue()


def shown(written: str) -> list[str]:
    """What is on a screen in the end."""
    lines = [""]
    for part in written.split("\n"):
        lines[-1] = part.rpartition("\r\x1b[2K")[2]
        lines.append("")
    return lines[:-1]
