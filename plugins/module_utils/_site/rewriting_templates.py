# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image references in templates of Helm and others, which are YAML only once they are filled in: line by line.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import Place, Whole
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_yaml import LABELS

_LINE = re.compile(
    r"""^[ \t]*(?:-[ \t]+)*(?P<quote>["']?)image(?P=quote):[ \t]+"""
    # No comment, anchor, alias, block, list or mapping.
    r"(?P<value>(?![#&*|>\[\s]|\{(?![{%]))[^\r\n]+?)"
    r"(?:[ \t]+#[^\r\n]*)?[ \t]*\r?$",
    re.MULTILINE,
)
# Lines to be filled in are indented in any way.
_KEY = re.compile(
    r"""^(?P<indentation>[ \t]*(?:-[ \t]+)*)["']?(?P<key>[^\s#"'{:-][^\s"':]*)["']?:(?=\s|$)""", re.MULTILINE
)


def places(text: str) -> Iterator[Place]:
    """Of each line that has an image: what is literal can be rewritten, and the rest is told."""
    labels = set(_labels(text))
    for match in _LINE.finditer(text):
        value, start = match["value"], match.start("value")
        if match.start() in labels:
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value, start = value[1:-1], start + 1
        if value:
            is_escaped = "{" not in value and ("\\" in value or "'" in value)
            problem = "it is written with escapes" if is_escaped else ""
            yield Place(value, (start,), Whole(start, start + len(value)), problem=problem)


def _labels(text: str) -> Iterator[int]:
    """Where lines begin that are labels or the like, by how far they are indented."""
    limit: int | None = None
    for match in _KEY.finditer(text):
        column = len(match["indentation"])
        if limit is not None and column > limit:
            yield match.start()
        else:
            limit = column if match["key"] in LABELS else None
