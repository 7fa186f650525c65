# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that shall go, with all their images.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_cache as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import list_repository_names
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change


def existing(client: Any, wanted: Sequence[str]) -> list[str]:
    """The repositories that these names and globs mean."""
    names = sorted(list_repository_names(client)) if wanted else []
    return [name for name in names if any(fnmatchcase(name, item) for item in wanted)]


def remove(client: Any, repository: str, *, check_mode: bool) -> Change:
    if not check_mode:
        api.delete_repository(client, repository)
    return Change(repository, None, [f"delete the repository {repository} with all its images"])
