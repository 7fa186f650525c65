# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report as Markdown, for pull requests, job summaries and terminals.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import Image, Run
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import duration, size

_MEANING_SOMETHING = re.compile(r"[\\`*_\[\]#|~&<>]")
# Images, digests and the like: nothing that could end a code span or a cell.
_HARMLESS = re.compile(r"[\w./:@+-]+", re.ASCII)


def markdown(run: Run) -> str:
    blocks = [
        f"# {_text(run.title)}",
        f"**{_text(run.verdict)}**",
        " · ".join(f"{_text(number)} {_text(what)}" for number, what in run.figures),
        *([f"The run failed: {_text(run.problem)}"] if run.problem else []),
        *_section("What did not work", ("image", "what", "why"), map(_ailing_row, run.ailing)),
        *_section("Images", ("image", "what", "use this address", "moved", "time"), map(_image_row, _healthy(run))),
        *_section(_pruned_title(run), ("tag", "digest", "what goes"), _pruned_rows(run)),
        *_section("Pulls left", ("registry", "left", "of", "used", "in"), _quota_rows(run)),
        *(f"- {_text(note)}" for note in run.notes),
        f"{_text(run.when)}",
    ]
    return "\n\n".join(blocks) + "\n"


def _healthy(run: Run) -> list[Image]:
    return [item for item in run.items if not item.is_ailing]


def _ailing_row(image: Image) -> Sequence[str]:
    return _code(image.source), _text(image.status), _text(image.why)


def _image_row(image: Image) -> Sequence[str]:
    moved = size(image.moved) if image.moved else ""
    seconds = duration(image.seconds) if image.seconds else ""
    address = "" if image.is_missing else _code(image.address)
    return _code(image.source), _text(image.status), address, _text(moved), _text(seconds)


def _pruned_title(run: Run) -> str:
    return "Deleted tags" if any(tag.is_deleted for tag in run.pruned) else "Tags that are no longer wanted"


def _pruned_rows(run: Run) -> Iterable[Sequence[str]]:
    return ((_code(tag.address), _code(tag.digest), "tag and image" if tag.is_last else "tag") for tag in run.pruned)


def _quota_rows(run: Run) -> Iterable[Sequence[str]]:
    return (
        (_code(q.registry), f"{q.remaining:,}", f"{q.limit:,}", f"{q.used:,}", duration(q.window) if q.window else "")
        for q in run.quotas
    )


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_row(row) for row in rows]
    if not lines:
        return []
    return [f"## {title} ({len(lines):,})", "\n".join([_row(head), _row(["---"] * len(head)), *lines])]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """As it reads, whatever is in it: no markup and no HTML."""
    return _MEANING_SOMETHING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(found[0], f"\\{found[0]}")


def _code(text: str) -> str:
    return f"`{text}`" if _HARMLESS.fullmatch(text) else _text(text)
