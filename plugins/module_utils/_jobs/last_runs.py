# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a job is still started, and what became of it last.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, TypeAlias

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, ask, ask_for
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_scheduler import Schedule
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import Run
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_batch import BatchJob
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_codebuild import CodeBuildBatch, CodeBuildBuild
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_ecs import EcsTask

Clients = Callable[[str], Any]
Begun: TypeAlias = "tuple[str, datetime | None]"

MISSING = "MISSING"
# What ECS says of a cluster that does not exist, and AWS Batch of a queue.
_NOWHERE = ("ClusterNotFoundException", "ClientException")


def schedule_of(clients: Clients, name: str) -> tuple[str | None, str]:
    """Its expression, and whether it is ENABLED, DISABLED or MISSING."""
    found = Schedule().find(clients("scheduler"), name, {})
    if found is None:
        return None, MISSING
    return str(found.fields["ScheduleExpression"]), str(found.fields.get("State", "ENABLED"))


def last_run(clients: Clients, kind: str, name: str) -> dict[str, Any] | None:
    """None where AWS knows of none. Amazon ECS forgets a task after an hour, and AWS Batch a job after a week."""
    run, find = _KINDS[kind]
    client = clients(run.service)
    try:
        begun = list(find(client, name))
    except AnsibleECRError as error:
        if error.code not in _NOWHERE:
            raise
        return None
    if not begun:
        return None
    run_id, when = max(begun, key=lambda one: one[1] or datetime.min.replace(tzinfo=timezone.utc))
    state = run.state(client, name, run_id)
    return {
        "id": run_id,
        "status": state.status,
        "succeeded": state.succeeded if state.ended else None,
        "at": when.astimezone(timezone.utc).isoformat() if when else None,
        "why": "" if state.succeeded else state.why,
    }


def _builds(client: Any, name: str) -> Iterator[Begun]:
    doing = f"list the builds of {name}"
    listed = ask_for(client, "list_builds_for_project", doing, projectName=name, sortOrder="DESCENDING")
    ids = (listed or {}).get("ids", [])[:1]
    if ids:
        for build in ask(client, "batch_get_builds", doing, ids=ids)["builds"]:
            yield build["id"], build.get("startTime")


def _build_batches(client: Any, name: str) -> Iterator[Begun]:
    doing = f"list the batches of builds of {name}"
    listed = ask_for(client, "list_build_batches_for_project", doing, projectName=name, sortOrder="DESCENDING")
    ids = (listed or {}).get("ids", [])[:1]
    if ids:
        for batch in ask(client, "batch_get_build_batches", doing, ids=ids)["buildBatches"]:
            yield batch["id"], batch.get("startTime")


def _tasks(client: Any, name: str) -> Iterator[Begun]:
    doing = f"list the tasks of {name}"
    arns: list[str] = []
    for status in ("RUNNING", "STOPPED"):
        arns += _listed_tasks(client, doing, name, status)
    if arns:
        for task in ask(client, "describe_tasks", doing, cluster=name, tasks=arns[:100])["tasks"]:
            yield task["taskArn"], task.get("createdAt")


def _listed_tasks(client: Any, doing: str, name: str, status: str) -> list[str]:
    answer = ask_for(client, "list_tasks", doing, cluster=name, family=name, desiredStatus=status)
    return list((answer or {}).get("taskArns", []))


def _batch_jobs(client: Any, name: str) -> Iterator[Begun]:
    doing = f"list the jobs of {name}"
    # With a filter, jobs of every status are listed.
    only = [{"name": "JOB_NAME", "values": [name]}]
    for job in ask(client, "list_jobs", doing, jobQueue=name, filters=only)["jobSummaryList"]:
        yield job["jobId"], _moment(job)


def _moment(job: Fields) -> datetime | None:
    created = job.get("createdAt")
    return datetime.fromtimestamp(created / 1000, timezone.utc) if created else None


_KINDS: Mapping[str, tuple[Run, Callable[[Any, str], Iterator[Begun]]]] = {
    "codebuild_build": (CodeBuildBuild(), _builds),
    "codebuild_batch": (CodeBuildBatch(), _build_batches),
    "ecs_task": (EcsTask(), _tasks),
    "batch_job": (BatchJob(), _batch_jobs),
}
