# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report as one HTML file that needs nothing else: for screen, phone and paper, light and dark.

Private to this collection: may change in any release.

It works without its script, which only sorts, filters and copies. A policy in the page lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._report.markup import Html, join, tag
from ansible_collections.stevedore.ecr.plugins.module_utils._report.page_parts import SCRIPT, STYLE
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import Image, PrunedTag, Quota, Run
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import duration, size

# So many rows are found faster by a filter than by the eye.
MANY = 8


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
    head = (
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'),
        tag("title", f"{run.title}: {run.verdict}"),
        tag("style", Html(STYLE)),
    )
    document = tag("html", tag("head", *head), tag("body", body, tag("script", Html(SCRIPT))), lang="en")
    return f"<!doctype html>\n{document}\n"


def _policy() -> str:
    allowed = {"script-src": SCRIPT, "style-src": STYLE}
    hashes = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in allowed.items()}
    return "; ".join(["default-src 'none'", *(f"{name} 'sha256-{digest}'" for name, digest in hashes.items())])


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
        _row(
            _cell("Image", tag("b", *_breakable(image.source)), _faint(image.address)),
            _cell("What", _badge(image)),
            _cell("Why", image.why, class_="why"),
        )
        for image in images
    ]
    return _section("What did not work", ("Image", "What", "Why"), rows)


def _images(images: Sequence[Image], is_plan: bool) -> str | None:
    rows = [
        _row(
            _cell(
                "Image",
                tag("b", *_breakable(image.source)),
                _faint("belongs to an image" if image.is_referrer else "", image.why),
            ),
            _cell("What", _badge(image)),
            _cell("Use this address", _copyable(image.address), _pinned(image), class_="address"),
            _bytes("To move" if is_plan else "Moved", image.moved),
            _bytes("There already", image.saved),
            _number("Time", duration(image.seconds) if image.seconds else "", image.seconds),
        )
        for image in images
    ]
    heads = ("Image", "What", "Use this address", "To move" if is_plan else "Moved", "There already", "Time")
    return _section("Images", heads, rows, numbers=3)


def _pruned(tags: Sequence[PrunedTag]) -> str | None:
    is_done = any(one.is_deleted for one in tags)
    rows = [
        _row(
            _cell("Tag", tag("b", one.address)),
            _cell("Digest", tag("code", one.digest)),
            _cell("What goes", "tag and image" if one.is_last else "tag", _faint(_undone(one, is_done))),
        )
        for one in tags
    ]
    title = "Deleted tags" if is_done else "Tags that are no longer wanted"
    return _section(title, ("Tag", "Digest", "What goes"), rows)


def _undone(one: PrunedTag, is_done: bool) -> str:
    return "is still there" if is_done and not one.is_deleted else ""


def _quotas(quotas: Sequence[Quota]) -> str | None:
    rows = [
        _row(
            _cell("Registry", tag("b", quota.registry)),
            _number("Left", f"{quota.remaining:,}", quota.remaining),
            _number("Of", f"{quota.limit:,}", quota.limit),
            _number("Used by this run", f"{quota.used:,}", quota.used),
            _number("In", duration(quota.window) if quota.window else "", quota.window),
        )
        for quota in quotas
    ]
    return _section("Pulls left", ("Registry", "Left", "Of", "Used by this run", "In"), rows, numbers=4)


def _notes(notes: Sequence[str]) -> str | None:
    return tag("section", tag("h2", "Notes"), tag("ul", *(tag("li", note) for note in notes))) if notes else None


# ------------------------------------------------------------------ pieces


def _section(title: str, heads: Sequence[str], rows: Sequence[Html], numbers: int = 0) -> str | None:
    """A table that can be sorted. The last `numbers` columns have numbers."""
    if not rows:
        return None
    columns = (
        tag("th", head, scope="col", class_="number" if index >= len(heads) - numbers else "text")
        for index, head in enumerate(heads)
    )
    table = tag("table", tag("thead", tag("tr", *columns)), tag("tbody", *rows))
    heading = tag("h2", title, " ", tag("small", f"{len(rows):,}"))
    return tag("section", heading, table, data_filter="yes" if len(rows) > MANY else "no")


def _row(*cells: Html) -> Html:
    return join(Html("\n"), tag("tr", *cells))


def _cell(label: str, *content: str | None, **attributes: str) -> Html:
    """`label` is the head of the column, which phones show before the cell."""
    return tag("td", *content, data_label=label, **attributes)


def _number(label: str, text: str, value: float | None) -> Html:
    return _cell(
        label, text, class_="number" if text else "number empty", data_sort=str(-1 if value is None else value)
    )


def _bytes(label: str, count: int | None) -> Html:
    return _number(label, size(count) if count else "", count)


def _badge(image: Image) -> Html:
    return tag("span", image.status, class_=f"badge {image.action}")


def _copyable(text: str) -> Html:
    return tag("code", *_breakable(text), data_copy=text)


def _breakable(reference: str) -> Sequence[str | None]:
    """An address that breaks between its parts, the registry being the least of it."""
    registry, *path = reference.split("/")
    parts = [part for name in path for part in ("/", Html("<wbr>"), name)]
    return tag("span", registry, parts[0] if parts else ""), *parts[1:]


def _pinned(image: Image) -> str | None:
    if not image.pinned or image.pinned == image.address:
        return None
    return tag("details", tag("summary", "by digest"), _copyable(image.pinned))


def _faint(*texts: str) -> str | None:
    said = " · ".join(filter(None, texts))
    return tag("small", said) if said else None
