# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resources of scheduled jobs: planned, then made as they are defined.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

try:
    from botocore.validate import ParamValidator
except ImportError:
    pass  # handled by AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.compare import differing, mentioned
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, given
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_batch import (
    BatchComputeEnvironment,
    BatchJobDefinition,
    BatchJobQueue,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_codebuild import CodeBuildProject
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_ecs import EcsCluster, EcsTaskDefinition
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_s3 import S3AccessLog, S3Lifecycle
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_scheduler import Schedule
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_sns import SnsSubscription, SnsTopic
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_ssm import SsmParameter
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.patience import patiently

KINDS: Mapping[str, Kind] = {
    "batch_compute_environment": BatchComputeEnvironment(),
    "batch_job_definition": BatchJobDefinition(),
    "batch_job_queue": BatchJobQueue(),
    "codebuild_project": CodeBuildProject(),
    "ecs_cluster": EcsCluster(),
    "ecs_task_definition": EcsTaskDefinition(),
    "s3_access_log": S3AccessLog(),
    "s3_lifecycle": S3Lifecycle(),
    "schedule": Schedule(),
    "sns_subscription": SnsSubscription(),
    "sns_topic": SnsTopic(),
    "ssm_parameter": SsmParameter(),
}

SECRET = "(secret)"
OTHER_SECRET = "(another secret)"


@dataclass(frozen=True)
class Resource:
    """One that is wanted, or wanted gone."""

    kind: Kind
    name: str
    wanted: Fields = field(repr=False)
    tags: Mapping[str, str]
    absent: bool

    @property
    def label(self) -> str:
        return f"{self.kind.says} {self.name}"


# ------------------------------------------------------------------ what is asked for


def wanted_resources(options: Sequence[Mapping[str, Any]], client: Callable[[str], Any]) -> list[Resource]:
    """From the options of the module, each checked by the service's own model, before anything is asked of AWS."""
    resources = [_resource(one) for one in options]
    problems = [f"{one.label}: {problem}" for one in resources for problem in _problems(one, client)]
    labels = [one.label for one in resources]
    problems += [f"{label}: is there more than once" for label in sorted({x for x in labels if labels.count(x) > 1})]
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidDefinition")
    return resources


def _resource(options: Mapping[str, Any]) -> Resource:
    kind = KINDS[options["kind"]]
    wanted: Fields = dict(options["definition"] or {})
    if options["secret"] is not None and kind.secret:
        wanted[kind.secret] = options["secret"]
    return Resource(kind, options["name"], wanted, options["tags"] or {}, options["state"] == "absent")


def _problems(resource: Resource, client: Callable[[str], Any]) -> list[str]:
    if resource.absent:
        return []
    shape = client(resource.kind.service).meta.service_model.operation_model(resource.kind.creation).input_shape
    known = list(shape.members)
    wrong = ["tags: it can have none"] if resource.tags and not resource.kind.has_tags else []
    for name in resource.wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            wrong.append(f"definition.{name}: unknown" + (f", did you mean {near[0]}?" if near else ""))
    fields = {name: value for name, value in given(resource.wanted).items() if name in known}
    report = ParamValidator().validate({**fields, resource.kind.named: resource.name}, shape)
    # The report may quote values, and a secret is only ever text.
    return wrong + ([" ".join(report.generate_report().split())] if report.has_errors() else [])


# ------------------------------------------------------------------ plan


def plan(resource: Resource, found: Found | None) -> Change:
    """Compare what is mentioned. Pure."""
    before = _shown(resource, mentioned(resource.wanted, found.fields), found.tags) if found else None
    if resource.absent:
        # What has not the tags is not the one that is meant.
        if found and not resource.tags.items() <= found.tags.items():
            return Change(before, before, [])
        return Change(before, None, [f"delete {resource.label}"] if found else [])
    tags = {**(found.tags if found else {}), **resource.tags}
    after = _shown(resource, given(resource.wanted), tags)
    if found is None:
        return Change(None, after, [f"create {resource.label}"])
    different = [name for name, value in resource.wanted.items() if differing(value, found.fields.get(name), name)]
    fixed = [name for name in different if name in resource.kind.fixed]
    if fixed:
        raise AnsibleECRError(
            f"AWS cannot change {', '.join(fixed)} of what is there: delete it first, by state: absent",
            code="CannotBeChanged",
        )
    if dict(found.tags) != tags:
        different.append("tags")
    if not different:
        return Change(before, before, [])
    if resource.kind.secret in different:
        after["definition"][resource.kind.secret] = OTHER_SECRET
    return Change(before, after, [f"update {', '.join(different)} of {resource.label}"])


def _shown(resource: Resource, fields: Fields, tags: Mapping[str, str]) -> dict[str, Any]:
    secret = {resource.kind.secret: SECRET} if resource.kind.secret in fields else {}
    return {"definition": {**fields, **secret}, "tags": dict(tags)}


# ------------------------------------------------------------------ apply


def converge(
    resources: Sequence[Resource], client: Callable[[str], Any], clock: Clock, *, check_mode: bool
) -> list[Outcome[Change]]:
    """Make them be as they are defined, one after the other: those that come later may need those before."""
    by_label = {resource.label: resource for resource in resources}

    def work(label: str) -> Change:
        resource = by_label[label]
        connection = client(resource.kind.service)
        found = resource.kind.find(connection, resource.name, resource.wanted)
        change = plan(resource, found)
        arn = found.arn if found else None
        if change.changed and not check_mode:
            arn = patiently(lambda: apply(connection, resource, found), clock)
        return replace(change, details={"arn": arn if change.after else None})

    return run_each(list(by_label), work, parallel=1)


def apply(client: Any, resource: Resource, found: Found | None) -> str | None:
    """Do what the plan says. The ARN of what there is then."""
    kind, name = resource.kind, resource.name
    if resource.absent:
        if found:
            kind.delete(client, name, found)
        return None
    if found is None:
        return kind.create(client, name, resource.wanted, resource.tags)
    return kind.update(client, name, resource.wanted, {**found.tags, **resource.tags}, found)
