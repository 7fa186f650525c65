# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML in which all text is escaped, because there is no way to put it in otherwise.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from html import escape


class Html(str):
    """Markup. Everything else is text."""

    __slots__ = ()


def tag(name: str, *content: str | None, **attributes: str | bool) -> Html:
    """An element. `class_` and `data_sort` are written class and data-sort; True is an attribute without a value."""
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Html(f"<{name}{written}>{join(*content)}</{name}>")


def join(*content: str | None) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part or "") for part in content))


def _attribute(name: str, value: str | bool) -> str:
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(value)}"'
