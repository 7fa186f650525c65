# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pages are made of: the document, its tables and their cells.

Private to this collection: may change in any release.

A page works without its script, which only sorts, filters and copies. A policy in the page lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._report.markup import Html, join, tag
from ansible_collections.stevedore.ecr.plugins.module_utils._report.page_parts import SCRIPT, STYLE
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import size

# So many rows are found faster by a filter than by the eye.
MANY = 8


def document(title: str, body: Html) -> str:
    head = (
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    whole = tag("html", tag("head", *head), tag("body", body, tag("script", Html(SCRIPT))), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _policy() -> str:
    allowed = {"script-src": SCRIPT, "style-src": STYLE}
    hashes = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in allowed.items()}
    return "; ".join(["default-src 'none'", *(f"{name} 'sha256-{digest}'" for name, digest in hashes.items())])


def section(title: str, heads: Sequence[str], rows: Sequence[Html], numbers: int = 0) -> str | None:
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


def row(*cells: Html) -> Html:
    return join(Html("\n"), tag("tr", *cells))


def cell(label: str, *content: str | None, **attributes: str) -> Html:
    """`label` is the head of the column, which phones show before the cell."""
    return tag("td", *content, data_label=label, **attributes)


def number(label: str, text: str, value: float | None) -> Html:
    return cell(label, text, class_="number" if text else "number empty", data_sort=str(-1 if value is None else value))


def byte_count(label: str, count: int | None) -> Html:
    return number(label, size(count) if count else "", count)


def copyable(text: str) -> Html:
    return tag("code", *breakable(text), data_copy=text)


def breakable(reference: str) -> Sequence[str | None]:
    """An address that breaks between its parts, the registry being the least of it."""
    registry, *path = reference.split("/")
    parts = [part for name in path for part in ("/", Html("<wbr>"), name)]
    return tag("span", registry, parts[0] if parts else ""), *parts[1:]


def faint(*texts: str) -> str | None:
    said = " · ".join(filter(None, texts))
    return tag("small", said) if said else None
