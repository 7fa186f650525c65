# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.journal import Journal
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError


def test_two_runs_of_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "kept"}\n')
    with Journal(str(path)) as one, Journal(str(path)) as other, ThreadPoolExecutor(8) as pool:
        for journal in (one, other):
            for number in range(100):
                pool.submit(journal.write, "image", {"number": number, "text": "x" * 5000})

    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written[0] == {"event": "kept"}
    assert sorted(Counter(line["run"] for line in written[1:]).values()) == [100, 100]
    assert datetime.fromisoformat(written[1]["time"]).tzinfo is not None


def test_others_may_read_it_and_not_write_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    before = os.umask(0o022)
    try:
        Journal(str(path)).write("start", {})
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o644


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(str(path)) as journal:
        journal.write("start", {})
        assert json.loads(path.read_text())["event"] == "start"


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal("") as journal:
        journal.write("start", {})

    assert list(tmp_path.iterdir()) == []
    assert journal.trouble == ""


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"cannot be written: Is a directory\. Nothing was copied"):
        Journal(str(tmp_path))
