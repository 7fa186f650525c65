# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report as one HTML file that needs nothing else: for screen, phone and paper, light and dark.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import Image, PrunedTag, Quota, Run
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import duration


def page(run: Run) -> str:
    body = tag(
        "main",
        _header(run),
        _problem(run),
        _ailing(run.ailing),
        _images([item for item in run.items if not item.is_ailing], run.is_plan),
        _pruned(run.pruned),
        _quotas(run.quotas),
        _notes(run.notes),
        tag("footer", f"{run.when} · stevedore.ecr"),
    )
    return document(f"{run.title}: {run.verdict}", body)


# ------------------------------------------------------------------ parts


def _header(run: Run) -> Html:
    figures = (tag("div", tag("dt", what), tag("dd", number)) for number, what in run.figures)
    return tag(
        "header",
        tag("p", "Plan: nothing was changed" if run.is_plan else "", class_="kind") if run.is_plan else None,
        tag("h1", run.title),
        tag("p", run.verdict, class_="verdict good" if run.is_good else "verdict bad"),
        tag("dl", *figures),
    )


def _problem(run: Run) -> str | None:
    # Where images failed, the message says what the table says.
    return tag("p", run.problem, class_="problem") if run.problem and not run.ailing else None


def _ailing(images: Sequence[Image]) -> str | None:
    rows = [
        row(
            cell("Image", tag("b", *breakable(image.source)), faint(image.address)),
            cell("What", _badge(image)),
            cell("Why", image.why, class_="why"),
        )
        for image in images
    ]
    return section("What did not work", ("Image", "What", "Why"), rows)


def _images(images: Sequence[Image], is_plan: bool) -> str | None:
    rows = [
        row(
            cell(
                "Image",
                tag("b", *breakable(image.source)),
                faint("belongs to an image" if image.is_referrer else "", image.why),
            ),
            cell("What", _badge(image)),
            cell("Use this address", _address(image), _pinned(image), class_="address"),
            byte_count("To move" if is_plan else "Moved", image.moved),
            byte_count("There already", image.saved),
            number("Time", duration(image.seconds) if image.seconds else "", image.seconds),
        )
        for image in images
    ]
    heads = ("Image", "What", "Use this address", "To move" if is_plan else "Moved", "There already", "Time")
    return section("Images", heads, rows, numbers=3)


def _pruned(tags: Sequence[PrunedTag]) -> str | None:
    is_done = any(one.is_deleted for one in tags)
    rows = [
        row(
            cell("Tag", tag("b", one.address)),
            cell("Digest", tag("code", one.digest)),
            cell("What goes", "tag and image" if one.is_last else "tag", faint(_undone(one, is_done))),
        )
        for one in tags
    ]
    title = "Deleted tags" if is_done else "Tags that are no longer wanted"
    return section(title, ("Tag", "Digest", "What goes"), rows)


def _undone(one: PrunedTag, is_done: bool) -> str:
    return "is still there" if is_done and not one.is_deleted else ""


def _quotas(quotas: Sequence[Quota]) -> str | None:
    rows = [
        row(
            cell("Registry", tag("b", quota.registry)),
            number("Left", f"{quota.remaining:,}", quota.remaining),
            number("Of", f"{quota.limit:,}", quota.limit),
            number("Used by this run", f"{quota.used:,}", quota.used),
            number("In", duration(quota.window) if quota.window else "", quota.window),
        )
        for quota in quotas
    ]
    return section("Pulls left", ("Registry", "Left", "Of", "Used by this run", "In"), rows, numbers=4)


def _notes(notes: Sequence[str]) -> str | None:
    return tag("section", tag("h2", "Notes"), tag("ul", *(tag("li", note) for note in notes))) if notes else None


def _badge(image: Image) -> Html:
    return tag("span", image.status, class_=f"badge {image.action}")


def _address(image: Image) -> Html | None:
    return None if image.is_missing else copyable(image.address)


def _pinned(image: Image) -> str | None:
    if not image.pinned or image.pinned == image.address:
        return None
    return tag("details", tag("summary", "by digest"), copyable(image.pinned))
