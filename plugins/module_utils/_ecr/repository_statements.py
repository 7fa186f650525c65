# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements of repository policies: had or not had by their Sid, and all others left alone.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_pull_through as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import policy_from_text, policy_to_text
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_policy import Edit, plan


def converge(client: Any, wanted: Mapping[str, Edit], *, check_mode: bool, parallel: int = 8) -> list[Outcome[Change]]:
    """By repository."""

    def work(repository: str) -> Change:
        text = api.get_repository_policy(client, repository)
        change = plan(_read(repository, text) if text else None, wanted[repository])
        if change.changed and not check_mode:
            if change.after is None:
                api.delete_repository_policy(client, repository)
            else:
                api.set_repository_policy(client, repository, policy_to_text(change.after))
        return change

    return run_each(list(wanted), work, parallel)


def edits(repositories: Sequence[Mapping[str, Any]]) -> dict[str, Edit]:
    """From the option of the module."""
    found: dict[str, Edit] = {}
    for one in repositories:
        statements, unwanted = one["statements"] or [], one["absent_sids"] or []
        if one["name"] in found:
            raise AnsibleECRError(f"The repository {one['name']} is there more than once", code="InvalidRepositories")
        if not all(statement.get("Sid") for statement in statements):
            raise AnsibleECRError(f"{one['name']}: each statement needs a Sid to be known by", code="InvalidStatement")
        found[one["name"]] = Edit(statements, unwanted)
    return found


def _read(repository: str, text: str) -> dict[str, Any]:
    try:
        return policy_from_text(text)
    except ValueError as error:
        raise AnsibleECRError(
            f"The policy of {repository} cannot be understood: {error}", code="UnreadableRepositoryPolicy"
        ) from error
