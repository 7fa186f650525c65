# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of a pull-sync may do, and what the source has to allow. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import (
    FROM,
    INTO,
    Document,
    allow,
    policy,
    trusted,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_images import Image, Source, repository_defaults
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import Sync

PURPOSES = ("execution", "task", "schedule")
SID = "StevedorePullSync"

# What IAM takes of a role's policies, with some room for the rest of them.
_ROOM_FOR_ARNS = 40_000
_TASKS = "ecs-tasks.amazonaws.com"


def roles(sync: Sync, images: Sequence[Image]) -> list[Document]:
    # Tasks of Batch are tasks of ECS too, in a cluster that Batch has made.
    tasks = trusted(_TASKS, sync.account, sync.arn("ecs", "*"))
    scheduler = trusted("scheduler.amazonaws.com", sync.account, sync.arn("scheduler", "schedule-group/default"))
    starting = list(_batch_statements(sync) if sync.on_batch else _fargate_statements(sync))
    if sync.dead_letter_queue_arn:
        starting.append(allow("DeadLetter", ["sqs:SendMessage"], [sync.dead_letter_queue_arn]))
    found = (
        ("execution", f"Starts the containers of {sync.namespace}.", tasks, list(_execution_statements(sync))),
        ("task", f"What runs of {sync.namespace} may do.", tasks, list(_task_statements(sync, images))),
        ("schedule", f"Starts {sync.namespace} on its schedule.", scheduler, starting),
    )
    return [
        {
            "name": sync.role(purpose),
            "description": description,
            "trust_policy": trust,
            "policy": policy(statements),
            "tags": sync.tags,
        }
        for purpose, description, trust, statements in found
    ]


def _execution_statements(sync: Sync) -> Iterator[Document]:
    yield allow(
        "Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [sync.arn("logs", f"log-group:{sync.log_group}:*")]
    )
    arn = image_arn(sync)
    if arn:
        yield allow("Login", ["ecr:GetAuthorizationToken"], ["*"])
        yield allow("Image", ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], [arn])


def image_arn(sync: Sync) -> str:
    """Of the repository of the runner; empty where it is not in Amazon ECR."""
    if not sync.image:
        return sync.repository_arn(sync.runner_repository)
    host, _slash, path = sync.image.partition("/")
    here = ecr_host(host)
    name = re.split("[:@]", path)[0]
    return f"arn:{sync.partition}:ecr:{here.region}:{here.account}:repository/{name}" if here else ""


def _task_statements(sync: Sync, images: Sequence[Image]) -> Iterator[Document]:
    destinations = _destination_arns(sync, images)
    yield allow("Login", ["ecr:GetAuthorizationToken"], ["*"])
    # Nothing else reaches the account that images come from.
    yield allow("Pull", FROM, _source_arns(sync, images))
    yield allow("Push", INTO, destinations)
    if sync.creates:
        yield from _creation_statements(sync, destinations)
    if sync.prune:
        yield allow("Prune", ["ecr:BatchDeleteImage", "ecr:DescribeImages"], destinations)
    yield allow("Job", ["s3:GetObject"], [f"{sync.bucket_arn}/{sync.key}"])
    yield allow("Lock", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [f"{sync.bucket_arn}/{sync.locks}/*"])
    # To tell that there is no lock from that nothing may be known of it.
    yield allow("Look", ["s3:ListBucket"], [sync.bucket_arn])
    yield allow("Results", ["s3:PutObject"], [f"{sync.bucket_arn}/{sync.results}/*"])
    if sync.s3_bucket_kms_key_arn:
        yield allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [sync.s3_bucket_kms_key_arn])


def _creation_statements(sync: Sync, destinations: Sequence[str]) -> Iterator[Document]:
    defaults = repository_defaults(sync)
    also = {"resource_tags": "ecr:TagResource", "lifecycle_rules": "ecr:PutLifecyclePolicy"}
    yield allow("Create", ["ecr:CreateRepository", *(also[key] for key in also if defaults.get(key))], destinations)
    if defaults.get("kms_key_arn"):
        yield allow(
            "RepositoryKey", ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"], [defaults["kms_key_arn"]]
        )


def _source_arns(sync: Sync, images: Sequence[Image]) -> list[str]:
    if sync.repository_patterns:
        wanted = {Source(image.source.account, image.source.region, "") for image in images}
        return sorted(_arn(sync, one, pattern) for one in wanted for pattern in sync.repository_patterns)
    return sorted({_arn(sync, image.source, image.source.repository) for image in images})


def _destination_arns(sync: Sync, images: Sequence[Image]) -> list[str]:
    names = sync.repository_patterns or {image.destination for image in images}
    return sorted(sync.repository_arn(name) for name in names)


def _arn(sync: Sync, source: Source, name: str) -> str:
    return f"arn:{sync.partition}:ecr:{source.region}:{source.account}:repository/{name}"


def _fargate_statements(sync: Sync) -> Iterator[Document]:
    definition, cluster = (sync.arn("ecs", f"{kind}/{sync.namespace}") for kind in ("task-definition", "cluster"))
    yield allow("Start", ["ecs:RunTask"], [definition, f"{definition}:*"], {"ArnEquals": {"ecs:cluster": cluster}})
    passed = [sync.role_arn(purpose) for purpose in ("execution", "task")]
    yield allow("Pass", ["iam:PassRole"], passed, {"StringEquals": {"iam:PassedToService": _TASKS}})


def _batch_statements(sync: Sync) -> Iterator[Document]:
    definition, queue = (sync.arn("batch", f"{kind}/{sync.namespace}") for kind in ("job-definition", "job-queue"))
    yield allow("Start", ["batch:SubmitJob"], [definition, f"{definition}:*", queue])


def role_problems(sync: Sync, images: Sequence[Image]) -> Iterator[str]:
    """Whether roles can hold it, and what they would not let the job do."""
    names = {name for image in images for name in (image.source.repository, image.destination)}
    for name in sorted(names):
        if sync.repository_patterns and not any(fnmatchcase(name, one) for one in sync.repository_patterns):
            yield f"repository_patterns: none of them stands for {name}, which config.repos has"
    # To push, to create, to prune: each has a statement of its own with all destinations.
    times = 1 + sync.creates + bool(sync.prune)
    needed = sum(map(len, (*_source_arns(sync, images), *times * _destination_arns(sync, images))))
    if needed > _ROOM_FOR_ARNS:
        yield (
            f"repository_patterns: the names of {len(names)} repositories are more than the policies of a role can "
            'hold: give patterns that stand for them, such as ["team-a/*", "team-b/*"]'
        )


# ------------------------------------------------------------------ the other side


def source_policies(sync: Sync, images: Sequence[Image]) -> list[Document]:
    """For each other account and region, the statement that the policies of its repositories have to have.

    Where the role is named itself, as a principal, a policy is of no use any more when the role is made again.
    """
    statement = {
        "Sid": SID,
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{sync.partition}:iam::{sync.account}:root"},
        "Action": list(FROM),
        "Condition": {"StringEquals": {"aws:PrincipalArn": sync.role_arn("task")}},
    }
    repositories: dict[tuple[str, str], set[str]] = {}
    for source in (image.source for image in images):
        if source.account != sync.account:
            repositories.setdefault((source.account, source.region), set()).add(source.repository)
    return [
        {
            "account": account,
            "region": region,
            "repositories": [{"name": name, "statements": [statement]} for name in sorted(names)],
        }
        for (account, region), names in sorted(repositories.items())
    ]
