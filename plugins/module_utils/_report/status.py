# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a site does, as a page.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._report.markup import Html, tag
from ansible_collections.stevedore.ecr.plugins.module_utils._report.pieces import (
    breakable,
    byte_count,
    cell,
    copyable,
    document,
    faint,
    number,
    row,
    section,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import plain

# The colours of the page.
_BADGES = {
    "missing": "fail",
    "invalid": "fail",
    "stale": "defer",
    "unknown": "skip",
    "on demand": "copy",
}
# What is told of in a table of its own.
_ELSEWHERE = ("image_unused",)


def page(status: Mapping[str, Any], title: str, when: str) -> str:
    """`status` is what the module ecr_status_info returns."""
    findings = [one for one in status["findings"] if one["kind"] not in _ELSEWHERE]
    body = tag(
        "main",
        _header(status, plain(title)),
        _findings(findings),
        _images(status["images"]),
        _rules(status["rules"]),
        _jobs(status["jobs"]),
        _repositories(status["repositories"]),
        _unused(status["unused"]),
        tag("footer", f"{plain(when)} · {plain(status['registry'])} · stevedore.ecr"),
    )
    return document(f"{plain(title)}: {plain(status['verdict'])}", body)


def _header(status: Mapping[str, Any], title: str) -> Html:
    is_good = not status["failure"] and not any(one["breaks"] for one in status["findings"])
    return tag(
        "header",
        tag("h1", title),
        tag("p", plain(status["verdict"]), class_="verdict good" if is_good else "verdict bad"),
        tag("dl", *(tag("div", tag("dt", what), tag("dd", f"{count:,}")) for count, what in _figures(status))),
    )


def _figures(status: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    states = [one["state"] for one in status["images"]]
    always = ("current", "stale", "missing")
    for state, name in {
        "current": "up to date",
        "stale": "out of date",
        "missing": "missing",
        "on demand": "fetched when pulled",
        "unknown": "not known",
    }.items():
        if state in always or state in states:
            yield states.count(state), name
    if status["rules"]:
        yield len(status["rules"]), "rules"
    yield len(status["unused"]), "not used"


def _findings(findings: Sequence[Mapping[str, Any]]) -> str | None:
    rows = [
        row(
            cell("What", _badge(plain(one["kind"]).replace("_", " "), "fail" if one["breaks"] else "defer")),
            cell("Of", tag("b", *breakable(plain(one["subject"])))),
            cell("Why", plain(one["what"]), class_="why"),
        )
        for one in findings
    ]
    return section("To be done", ("What", "Of", "Why"), rows)


def _images(images: Sequence[Mapping[str, Any]]) -> str | None:
    rows = [
        row(
            cell("Image", tag("b", *breakable(plain(one["source"]))), faint(plain(one["why"]))),
            cell("State", _badge(plain(one["state"]))),
            cell("Way", plain(one["way"])),
            cell("Use this address", copyable(plain(one["address"])), class_="address"),
            _moment("Pushed", one["pushed_at"]),
            _moment("Last pulled", one["last_pulled_at"]),
        )
        for one in images
    ]
    return section("Images", ("Image", "State", "Way", "Use this address", "Pushed", "Last pulled"), rows)


def _rules(rules: Sequence[Mapping[str, Any]]) -> str | None:
    rows = [
        row(
            cell("Rule", tag("b", plain(one["prefix"])), faint(plain(one["why"]), plain(one["login_problem"]))),
            cell("State", _badge(plain(one["state"]))),
            cell("Leads to", plain(one["upstream_url"])),
        )
        for one in rules
    ]
    return section("Pull-through cache rules", ("Rule", "State", "Leads to"), rows)


def _jobs(jobs: Sequence[Mapping[str, Any]]) -> str | None:
    rows = [
        row(
            cell("Job", tag("b", plain(one["name"])), faint(plain((one["last_run"] or {}).get("why")))),
            cell("Last run", _run(one["last_run"])),
            _moment("Begun", (one["last_run"] or {}).get("at")),
            cell("Schedule", plain(one["schedule"]), faint(plain(one["schedule_state"]).lower())),
        )
        for one in jobs
    ]
    return section("Jobs", ("Job", "Last run", "Begun", "Schedule"), rows)


def _run(run: Mapping[str, Any] | None) -> Html:
    if run is None:
        return _badge("unknown")
    if run["succeeded"] is None:
        return _badge(plain(run["status"]).lower().replace("_", " "), "copy")
    return _badge("succeeded") if run["succeeded"] else _badge("failed", "fail")


def _repositories(repositories: Sequence[Mapping[str, Any]]) -> str | None:
    words = {True: "yes", False: "no", None: "not known"}
    rows = [
        row(
            cell("Repository", tag("b", *breakable(plain(one["name"])))),
            cell("Cleaned up", words[one["lifecycle"]]),
            number("Images", f"{one['images']:,}", one["images"]),
            byte_count("Size", one["size_in_bytes"]),
        )
        for one in repositories
    ]
    return section("Cached repositories", ("Repository", "Cleaned up", "Images", "Size"), rows, numbers=2)


def _unused(unused: Sequence[Mapping[str, Any]]) -> str | None:
    rows = [
        row(
            cell("Image", tag("b", *breakable(plain(one["address"])))),
            _moment("Pushed", one["pushed_at"]),
            _moment("Last pulled", one["last_pulled_at"] or "never"),
            byte_count("Size", one["size_in_bytes"]),
        )
        for one in unused
    ]
    return section("Images that nobody uses", ("Image", "Pushed", "Last pulled", "Size"), rows, numbers=1)


def _badge(text: str, colour: str = "") -> Html:
    return tag("span", text, class_=f"badge {colour or _BADGES.get(text, 'up_to_date')}")


def _moment(label: str, text: str | None) -> Html:
    """To the minute, in UTC."""
    shown = plain(text)[:16].replace("T", " ")
    return cell(label, shown, class_="moment" if shown else "moment empty")
