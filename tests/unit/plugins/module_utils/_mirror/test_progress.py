# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Traffic
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.progress import Progress
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Entry

ENTRY = Entry("docker.io/a/a:1", "ecr/a:1", "a", "1", "copy", "because", traffic=Traffic(moved=7))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "events"
    path.touch()
    return path


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def test_bytes_are_told_some_times_a_second_only(path: Path) -> None:
    clock = Clock()
    with Progress(str(path), now=clock) as progress:
        progress.planned(3, 2, lambda: {"docker.io": {"remaining": 9}})
        progress.expected(1000)
        for number in range(100):
            clock.time = 100 + number / 50
            progress.moved(10)
        progress.ended({"images": 3}, interrupted=False)
    told = events(path)
    paces = [event for event in told if event["event"] == "pace"]
    assert 5 <= len(paces) <= 8
    assert paces[0]["begun"] == 1
    assert paces[0]["expected"] == 1000
    assert [pace["moved"] for pace in paces] == sorted(pace["moved"] for pace in paces)
    assert paces[-1]["quota"] == {"docker.io": {"remaining": 9}}
    assert [event["event"] for event in told][-1] == "end"
    assert len({event["run"] for event in told}) == 1


def test_two_runs_of_many_threads_write_whole_lines(path: Path) -> None:
    with Progress(str(path)) as one, Progress(str(path)) as other, ThreadPoolExecutor(8) as pool:
        for _number in range(50):
            for progress in (one, other):
                pool.submit(progress.image, ENTRY)
                pool.submit(progress.moved, 10)
    told = events(path)
    assert sum(event["event"] == "image" for event in told) == 100
    assert len({event["run"] for event in told}) == 2


@pytest.mark.parametrize(("error", "interrupted"), [(ValueError, False), (KeyboardInterrupt, True)])
def test_a_run_that_breaks_off_has_an_end_too(path: Path, error: type[BaseException], interrupted: bool) -> None:
    with pytest.raises(error), Progress(str(path)):
        raise error
    assert events(path)[0]["totals"] is None
    assert events(path)[0]["interrupted"] is interrupted


def test_what_nobody_may_see_is_taken_out(path: Path) -> None:
    entry = replace(ENTRY, action="fail", reason="not with hunter2", notes=("hunter2 is wrong",))
    with Progress(str(path), clean=lambda said: said.replace("hunter2", "***")) as progress:
        progress.image(entry)
    assert "hunter2" not in path.read_text()
    told = events(path)[0]
    assert (told["reason"], told["error"]["msg"], told["notes"]) == ("not with ***", "not with ***", ["*** is wrong"])


@pytest.mark.parametrize("kind", ["none", "missing", "directory", "link", "pipe", "full"])
def test_a_file_that_cannot_be_written_is_no_trouble(tmp_path: Path, path: Path, kind: str) -> None:
    """And none is made: whoever watches has made it."""
    target = {"none": "", "full": "/dev/full", "directory": str(tmp_path)}.get(kind, str(tmp_path / "other"))
    if kind == "link":
        (tmp_path / "other").symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(target)
    before = sorted(tmp_path.iterdir())
    with Progress(target) as progress:
        progress.started("ecr", check_mode=False)
        progress.image(ENTRY)
        progress.moved(1)
        progress.ended({}, interrupted=False)
        assert progress.was_watched is (kind == "full")
        assert not progress.is_watched
    assert sorted(tmp_path.iterdir()) == before
    assert path.read_text() == ""
