# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that have to be there, all with the same settings.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api as lifecycle_api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_mirror as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_template_grammar import Template
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.existing_repositories import KINDS, Drift, Kind, plan
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repositories import check_names
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults

_SCAN = "scan_on_push"


@dataclass(frozen=True)
class Wanted:
    """What all of them are like: those that are made, and of those that exist what is mentioned."""

    new: RepositoryDefaults
    mentioned: Template


def read_settings(options: Mapping[str, Any], region: str) -> Wanted:
    """Raises AnsibleECRError with all that is wrong."""
    given = {name: value for name, value in options.items() if value is not None}
    new = RepositoryDefaults.read(given, region)
    return Wanted(new, {**new.template, **({_SCAN: given[_SCAN]} if _SCAN in given else {})})


def converge(
    client: Any, names: Sequence[str], wanted: Wanted, *, check_mode: bool, parallel: int
) -> list[Outcome[Change]]:
    """Make them be there and be like that. Nothing is taken away from them, and none is ever deleted."""
    names = list(dict.fromkeys(names))
    check_names(names)

    def work(name: str) -> tuple[Change, AnsibleECRError | None]:
        found = api.describe_repositories(client, [name])
        if found is None:
            return _create(client, name, wanted, check_mode=check_mode), None
        return _update(client, found[0], wanted, check_mode=check_mode)

    return [
        Outcome(done.name, *done.result) if done.result else Outcome(done.name, error=done.error)
        for done in run_each(names, work, parallel)
    ]


def _create(client: Any, name: str, wanted: Wanted, *, check_mode: bool) -> Change:
    if not check_mode:
        api.create_repository(client, name, wanted.new.settings)
        if wanted.new.lifecycle_policy:
            lifecycle_api.put_lifecycle_policy(client, name, wanted.new.lifecycle_policy)
    return Change(None, dict(wanted.mentioned), [f"create the repository {name}"])


def _update(
    client: Any, found: Mapping[str, Any], wanted: Wanted, *, check_mode: bool
) -> tuple[Change, AnsibleECRError | None]:
    """What was mended before an error is told too."""
    name = found["repositoryName"]
    drifts = [drift for kind in _KINDS for drift in _drift(client, found, kind, wanted.mentioned)]
    fixed = [field for drift in drifts if drift.kind.mend is None for field in drift.fields]
    if fixed:
        raise AnsibleECRError(
            f"Amazon ECR cannot change {', '.join(fixed)} of a repository that exists: leave it as it is, or use "
            "another name",
            code="CannotBeChanged",
        )
    mended: list[Drift] = []
    error = None
    for drift in drifts:
        try:
            if drift.kind.mend and not check_mode:
                drift.kind.mend(client, found, drift)
        except AnsibleECRError as caught:
            error = caught
            break
        mended.append(drift)
    fields = [field for drift in mended for field in drift.fields]
    before = {field: drift.before[field] for drift in mended for field in drift.fields}
    after = {field: drift.after[field] for drift in mended for field in drift.fields}
    return Change(before, after, [f"update {', '.join(fields)} of the repository {name}"] * bool(fields)), error


def _drift(client: Any, found: Mapping[str, Any], kind: Kind, mentioned: Template) -> list[Drift]:
    if mentioned.get(kind.fields[0]) is None:
        return []
    before = kind.read(client, found)
    drift = plan({**before, **mentioned}, kind, before)
    return [drift] if drift.fields else []


def _read_scan(_client: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    return {_SCAN: bool((found.get("imageScanningConfiguration") or {}).get("scanOnPush"))}


def _mend_scan(client: Any, found: Mapping[str, Any], drift: Drift) -> None:
    api.put_scan_on_push(client, found["repositoryName"], drift.after[_SCAN])


_KINDS = (*KINDS, Kind((_SCAN,), _read_scan, _mend_scan))
