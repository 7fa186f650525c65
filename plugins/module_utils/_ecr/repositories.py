# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which repositories a user means.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError

_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_NAME_LENGTHS = range(2, 257)
_GLOB_CHARACTERS = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Repositories:
    names: list[str]
    warnings: list[str]


def find_repositories(client: Any, wanted: Sequence[str]) -> Repositories:
    """Names as they are and globs as what they match, each once. ECR is asked only when there is a glob."""
    _refuse(
        [name for name in wanted if not _is_glob(name) and not _is_name(name)], "Neither a repository name nor a glob"
    )
    existing = sorted(api.list_repository_names(client)) if any(map(_is_glob, wanted)) else []
    matches = {item: _matching(item, existing) for item in wanted}
    return Repositories(
        names=list(dict.fromkeys(name for item in wanted for name in matches[item])),
        warnings=[f"No repository matches {item!r}." for item, names in matches.items() if not names],
    )


def check_names(names: Sequence[str]) -> None:
    _refuse([name for name in names if not _is_name(name)], "No repository name")


def _refuse(malformed: Sequence[str], what: str) -> None:
    if malformed:
        raise AnsibleECRError(f"{what}: {', '.join(map(repr, malformed))}", code="InvalidRepositoryName")


def _matching(item: str, existing: Sequence[str]) -> list[str]:
    return [name for name in existing if fnmatchcase(name, item)] if _is_glob(item) else [item]


def _is_glob(item: str) -> bool:
    return _GLOB_CHARACTERS.search(item) is not None


def _is_name(item: str) -> bool:
    return len(item) in _NAME_LENGTHS and _NAME.fullmatch(item) is not None
