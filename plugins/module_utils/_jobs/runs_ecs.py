# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon ECS: tasks.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, ask
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import NOT_SHOWN_YET, Log, Run, State


class EcsTask(Run):
    """The id of a run is the task's ARN, which has the name of the cluster in it."""

    service = "ecs"

    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        answer = ask(client, "run_task", f"start a task of {name}", **{**overrides, "taskDefinition": name})
        for failure in answer.get("failures", []):
            raise AnsibleECRError(
                f"Failed to start a task of {name}: {failure.get('reason', '')} {failure.get('detail', '')}".rstrip(),
                code="NotStarted",
            )
        return str(answer["tasks"][0]["taskArn"])

    def state(self, client: Any, name: str, run_id: str) -> State:
        cluster, doing = run_id.split("/")[-2], f"look at the task {run_id}"
        tasks = ask(client, "describe_tasks", doing, cluster=cluster, tasks=[run_id])["tasks"]
        if not tasks:
            return NOT_SHOWN_YET
        task = tasks[0]
        ended = task["lastStatus"] == "STOPPED"
        codes = {one["name"]: one.get("exitCode") for one in task["containers"]}
        return State(
            task["lastStatus"],
            ended=ended,
            succeeded=ended and all(code == 0 for code in codes.values()),
            why="; ".join(_complaints(task)) if ended else "",
            logs=list(self._logs(client, task)),
            details={"exit_codes": codes},
        )

    def _logs(self, client: Any, task: Fields) -> Iterator[Log]:
        arn = task["taskDefinitionArn"]
        definition = ask(client, "describe_task_definition", f"read {arn}", taskDefinition=arn)["taskDefinition"]
        for container in definition["containerDefinitions"]:
            options = container.get("logConfiguration", {}).get("options", {})
            if "awslogs-group" in options and "awslogs-stream-prefix" in options:
                number = task["taskArn"].rpartition("/")[2]
                stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{number}"
                yield Log(options["awslogs-group"], stream)


def _complaints(task: Fields) -> Iterator[str]:
    for container in task["containers"]:
        if container.get("exitCode") != 0:
            code = f"exit code {container['exitCode']}" if "exitCode" in container else "never ran"
            yield f"container {container['name']}: {code} {container.get('reason', '')}".rstrip()
    if task.get("stoppedReason"):
        yield task["stoppedReason"]
