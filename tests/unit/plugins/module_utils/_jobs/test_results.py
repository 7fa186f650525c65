"""Journals of parts of a run, put together."""

from __future__ import annotations

from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.results import union

Line = dict[str, Any]
NOW = "2026-03-01T09:00:00+00:00"


def line(event: str, run: str = "a", **fields: Any) -> Line:
    return {"event": event, "time": NOW, "run": run, **fields}


def end(remaining: int | None, run: str = "a") -> Line:
    return line("end", run, totals={}, rate_limit={"docker.io": {"limit": 100, "remaining": remaining}})


def test_images_of_all_parts_are_there_as_they_were_returned() -> None:
    found = union([[line("start"), line("image", tag="1"), end(7)], [line("start"), line("image", tag="2"), end(5)]])
    assert found["images"] == [{"tag": "1"}, {"tag": "2"}]
    assert found["unfinished"] == 0


def test_the_quota_is_that_of_whoever_saw_least_left() -> None:
    found = union([[end(7)], [end(5)], [end(None)]])
    assert found["rate_limit"] == {"docker.io": {"limit": 100, "remaining": 5}}


def test_of_attempts_in_one_file_only_the_last_counts() -> None:
    first = [line("start"), line("image", tag="1")]
    found = union([[*first, line("start", "b"), line("image", "b", tag="2"), end(1, "b")]])
    assert found["images"] == [{"tag": "2"}]


def test_a_part_that_broke_off_is_counted_and_keeps_what_it_had_done() -> None:
    found = union([[line("start"), line("image", tag="1")], []])
    assert (found["images"], found["unfinished"]) == ([{"tag": "1"}], 2)


def test_there_may_be_nothing_at_all() -> None:
    assert union([]) == {"images": [], "rate_limit": {}, "unfinished": 0}
