# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates, and the repositories that exist: they are brought to what a template gives to new ones.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api, lifecycle, policies, transformations
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_pull_through as more_api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_template_grammar import Template
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import (
    AES256,
    MUTABLE,
    converge,
    mutability_from_ecr,
    mutability_to_ecr,
    stored_policy,
    stored_templates,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import longest_prefix

# A repository as DescribeRepositories tells it, and some of what it is set to, in the words of a template.
Repository = Mapping[str, Any]
Values = dict[str, Any]

DEFAULTS = (MUTABLE, AES256)


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    apply_to_existing: bool
    parallel: int


@dataclass(frozen=True)
class Kind:
    """Settings that are read and mended together."""

    fields: tuple[str, ...]
    read: Callable[[Any, Repository], Values]
    mend: Callable[[Any, Repository, Drift], None] | None  # None: only a new repository can have it


@dataclass(frozen=True)
class Drift:
    kind: Kind
    before: Values
    after: Values

    @property
    def fields(self) -> list[str]:
        return [field for field in self.kind.fields if self.before[field] != self.after[field]]


@dataclass(frozen=True)
class Aim:
    """A template as it is after the run, and the fields of it that the task mentions."""

    template: Template
    mentioned: Collection[str]

    def covers(self, field: str) -> bool:
        """What a template lacks is no aim, nor is a default that nobody asked for: it could undo immutability."""
        value = self.template[field]
        return field in self.mentioned if value in DEFAULTS else bool(value)


def present(
    client: Any, desired: Sequence[Template], settings: Settings
) -> tuple[list[Outcome[Change]], list[Outcome[Change]]]:
    """Make ECR have these templates. What became of them, and of the repositories that they cover."""
    stored = stored_templates(client)
    said = {template["prefix"]: template for template in desired}
    outcomes = converge(client, stored, said, settings.check_mode)
    if not settings.apply_to_existing:
        return outcomes, []
    aims = {done.name: Aim(done.result.after, said[done.name]) for done in outcomes if done.result}
    return outcomes, _apply_to_existing(client, aims, {*stored, *said}, settings)


def _apply_to_existing(
    client: Any, aims: Mapping[str, Aim], prefixes: Collection[str], settings: Settings
) -> list[Outcome[Change]]:
    """Every repository for which one of the aims is the template with the longest prefix, of all prefixes."""
    repositories = {repository["repositoryName"]: repository for repository in more_api.list_repositories(client)}
    templates = {name: longest_prefix(prefixes, name) for name in sorted(repositories)}
    covered = {name: aims[prefix] for name, prefix in templates.items() if prefix is not None and prefix in aims}

    def work(name: str) -> tuple[Change, AnsibleECRError | None]:
        return _converge(client, repositories[name], covered[name], settings.check_mode)

    return [
        Outcome(done.name, *done.result) if done.result else Outcome(done.name, error=done.error)
        for done in run_each(list(covered), work, settings.parallel)
    ]


def plan(template: Template, kind: Kind, before: Values) -> Drift:
    """What the template makes of the settings. Pure."""
    after = {field: template[field] for field in kind.fields}
    if "repository_policy" in after and policies.same_policy(before["repository_policy"], after["repository_policy"]):
        after = before
    if "resource_tags" in after:
        after["resource_tags"] = {**before["resource_tags"], **after["resource_tags"]}
    if "kms_key_arn" in after:
        after["kms_key_arn"] = after["kms_key_arn"] or before["kms_key_arn"]
    return Drift(kind, before, after)


def _converge(client: Any, repository: Repository, aim: Aim, check_mode: bool) -> tuple[Change, AnsibleECRError | None]:
    """One repository from beginning to end. What was mended before an error is told too."""
    kinds = [kind for kind in KINDS if aim.covers(kind.fields[0])]
    drifts = [plan(aim.template, kind, kind.read(client, repository)) for kind in kinds]
    mended: list[Drift] = []
    error = None
    for drift in drifts:
        if not drift.fields or drift.kind.mend is None:
            continue
        try:
            if not check_mode:
                drift.kind.mend(client, repository, drift)
        except AnsibleECRError as caught:
            error = caught
            break
        mended.append(drift)
    return _change(repository["repositoryName"], aim.template["prefix"], drifts, mended), error


def _change(name: str, prefix: str, drifts: Sequence[Drift], mended: Sequence[Drift]) -> Change:
    fields = [field for drift in mended for field in drift.fields]
    return Change(
        before={field: drift.before[field] for drift in mended for field in drift.fields},
        after={field: drift.after[field] for drift in mended for field in drift.fields},
        actions=[f"bring {', '.join(fields)} of the repository {name} to the template {prefix}"] if fields else [],
        details={
            "template": prefix,
            "drift": [
                {"field": field, "before": drift.before[field], "after": drift.after[field], "mended": drift in mended}
                for drift in drifts
                for field in drift.fields
            ],
        },
    )


# ------------------------------------------------------------------ kinds of settings


def _read_rules(client: Any, repository: Repository) -> Values:
    rules = lifecycle.current_rules(client, repository["repositoryName"])
    return {"lifecycle_rules": None if rules is None else transformations.normal_rules(rules)}


def _mend_rules(client: Any, repository: Repository, drift: Drift) -> None:
    text = transformations.rules_to_text(drift.after["lifecycle_rules"])
    api.put_lifecycle_policy(client, repository["repositoryName"], text)


def _read_policy(client: Any, repository: Repository) -> Values:
    return {"repository_policy": stored_policy(more_api.get_repository_policy(client, repository["repositoryName"]))}


def _mend_policy(client: Any, repository: Repository, drift: Drift) -> None:
    text = policies.policy_to_text(drift.after["repository_policy"])
    more_api.set_repository_policy(client, repository["repositoryName"], text)


def _read_mutability(_client: Any, repository: Repository) -> Values:
    return mutability_from_ecr(repository)


def _mend_mutability(client: Any, repository: Repository, drift: Drift) -> None:
    more_api.put_image_tag_mutability(client, repository["repositoryName"], mutability_to_ecr(drift.after))


def _read_tags(client: Any, repository: Repository) -> Values:
    tags = more_api.list_tags(client, repository["repositoryArn"])
    return {"resource_tags": boto3_tag_list_to_ansible_dict(tags)}


def _mend_tags(client: Any, repository: Repository, drift: Drift) -> None:
    before, after = drift.before["resource_tags"], drift.after["resource_tags"]
    tags = {key: value for key, value in after.items() if before.get(key) != value}
    more_api.tag_repository(client, repository["repositoryArn"], ansible_dict_to_boto3_tag_list(tags))


def _read_encryption(_client: Any, repository: Repository) -> Values:
    encryption = repository.get("encryptionConfiguration") or {}
    return {
        "encryption_type": encryption.get("encryptionType", AES256),
        "kms_key_arn": encryption.get("kmsKey") or None,
    }


KINDS = (
    Kind(("lifecycle_rules",), _read_rules, _mend_rules),
    Kind(("repository_policy",), _read_policy, _mend_policy),
    Kind(("image_tag_mutability", "image_tag_mutability_exclusion_filters"), _read_mutability, _mend_mutability),
    Kind(("resource_tags",), _read_tags, _mend_tags),
    Kind(("encryption_type", "kms_key_arn"), _read_encryption, None),
)
