# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prefixes of repository names, which is what pull-through cache rules and creation templates go by.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ROOT = "ROOT"

_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_PREFIX = re.compile(rf"{_PART}(/{_PART})*|{ROOT}")


def normal_prefix(prefix: str) -> str:
    """Without the slash at the end, which ECR always adds in its mind."""
    return prefix.removesuffix("/")


def prefix_problem(prefix: str, lengths: range) -> str | None:
    """Why ECR would refuse a normal prefix."""
    if len(prefix) not in lengths:
        return f"must have {lengths[0]} to {lengths[-1]} characters, not {len(prefix)}"
    if _PREFIX.fullmatch(prefix):
        return None
    if _PREFIX.fullmatch(prefix.lower()):
        root = f", or {ROOT}" if prefix.upper() == ROOT else ""
        return f"must be in lower case: {prefix.lower()}{root}"
    return (
        f"must be names of lower-case letters and digits, with . _ or - only between them, joined by /, or {ROOT}, "
        f"not {prefix!r}"
    )


def repeated(prefixes: Sequence[str]) -> list[int]:
    """The places of prefixes that were there before."""
    return [index for index, prefix in enumerate(prefixes) if prefix in prefixes[:index]]


def is_under(name: str, prefix: str) -> bool:
    """Whether a repository, or another prefix, begins with the prefix. Everything is under ROOT."""
    return prefix == ROOT or name == prefix or name.startswith(f"{prefix}/")


def longest_prefix(prefixes: Iterable[str], repository: str) -> str | None:
    """The prefix that ECR would go by for a repository. ROOT takes what no other does."""
    covering = [prefix for prefix in prefixes if prefix == ROOT or repository.startswith(f"{prefix}/")]
    return max(covering, key=lambda prefix: 0 if prefix == ROOT else len(prefix), default=None)
