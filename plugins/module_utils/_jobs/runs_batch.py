# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS Batch: jobs, and arrays of them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, ask
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import NOT_SHOWN_YET, Log, Run, State

_LOG_GROUP = "/aws/batch/job"
_JOBS_IN_A_CALL = 100


class BatchJob(Run):
    """The overrides name queue and definition; the name is that of the job."""

    service = "batch"

    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        return str(ask(client, "submit_job", f"submit the job {name}", **{**overrides, "jobName": name})["jobId"])

    def state(self, client: Any, name: str, run_id: str) -> State:
        doing = f"look at the job {run_id}"
        jobs = ask(client, "describe_jobs", doing, jobs=[run_id])["jobs"]
        if not jobs:
            return NOT_SHOWN_YET
        job = jobs[0]
        size = job.get("arrayProperties", {}).get("size", 0)
        children = _described(client, doing, [f"{run_id}:{number}" for number in range(size)])
        status = job["status"]
        return State(
            status,
            ended=status in ("SUCCEEDED", "FAILED"),
            succeeded=status == "SUCCEEDED",
            why="; ".join(complaint for one in (*children, job) if (complaint := _complaint(one))),
            logs=[log for one in (children or [job]) if (log := _log(one, size > 0))],
            details={"children": {str(number): child["status"] for number, child in enumerate(children)}},
        )


def _described(client: Any, doing: str, ids: Sequence[str]) -> list[Fields]:
    found: list[Fields] = []
    for at in range(0, len(ids), _JOBS_IN_A_CALL):
        found += ask(client, "describe_jobs", doing, jobs=ids[at : at + _JOBS_IN_A_CALL])["jobs"]
    return sorted(found, key=lambda job: int(job["jobId"].rpartition(":")[2]))


def _complaint(job: Fields) -> str:
    if job["status"] != "FAILED":
        return ""
    container = job.get("container", {})
    code = f"exit code {container['exitCode']}" if "exitCode" in container else ""
    said = [code, container.get("reason", ""), job.get("statusReason", "")]
    return f"{_label(job)}: {', '.join(one for one in said if one) or 'failed'}"


def _log(job: Fields, labelled: bool) -> Log | None:
    container = job.get("container", {})
    if not container.get("logStreamName"):
        return None
    group = container.get("logConfiguration", {}).get("options", {}).get("awslogs-group", _LOG_GROUP)
    return Log(group, container["logStreamName"], _label(job) if labelled else "")


def _label(job: Fields) -> str:
    _id, colon, number = job["jobId"].partition(":")
    return f"child {number}" if colon else f"job {job['jobName']}"
