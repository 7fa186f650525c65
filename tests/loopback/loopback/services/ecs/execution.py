"""The life of one task, in a thread of its own."""

from __future__ import annotations

import copy
from typing import Any

from loopback import fargate
from loopback.aws import delivery
from loopback.clock import clock
from loopback.fidelity import documented
from loopback.runs import Run
from loopback.services.ecs.state import Task

Json = dict[str, Any]


def execute(task: Task, run: Run) -> None:
    task.run = run
    move(task, "PENDING")
    container = task.document["containers"][0]
    try:
        container["exitCode"] = fargate.run(_order(task), run)
        reason, code = "Essential container in task exited", "EssentialContainerExited"
    except fargate.NotStarted as failure:
        reason, code = str(failure), "TaskFailedToStart"
    if run.stopped:
        reason, code = task.stop_reason or "Task stopped by user", "UserInitiated"
    now = clock.now()
    container["lastStatus"] = "STOPPED"
    task.document.update(stoppedReason=reason, stopCode=code, stoppingAt=now, stoppedAt=now, executionStoppedAt=now)
    task.document["desiredStatus"] = "STOPPED"
    move(task, "STOPPED")


def _order(task: Task) -> fargate.Order:
    document, definition = task.document, task.definition
    identity, overrides = document["taskArn"].rpartition("/")[2], document["overrides"]
    container = _overridden(definition["containerDefinitions"][0], overrides)

    def on_running(digest: str) -> None:
        now = clock.now()
        document["containers"][0].update(lastStatus="RUNNING", imageDigest=digest, runtimeId=f"{identity}-0")
        document.update(startedAt=now, pullStoppedAt=now, connectivity="CONNECTED", connectivityAt=now)
        move(task, "RUNNING")

    return fargate.Order(
        container,
        overrides.get("executionRoleArn") or definition.get("executionRoleArn"),
        overrides.get("taskRoleArn") or definition.get("taskRoleArn"),
        document["taskArn"],
        f"{container['name']}/{identity}",
        volumes=frozenset(volume["name"] for volume in definition.get("volumes", [])),
        on_running=on_running,
    )


@documented("ECS API reference, ContainerOverride: the environment is added to, the command replaced")
def _overridden(container: Json, overrides: Json) -> Json:
    container = copy.deepcopy(container)
    for override in overrides.get("containerOverrides", []):
        if override.get("name") != container["name"]:
            continue
        if "command" in override:
            container["command"] = override["command"]
        variables = {one["name"]: one for one in container["environment"]}
        variables |= {one["name"]: one for one in override.get("environment", [])}
        container["environment"] = list(variables.values())
    return container


@documented("ECS developer guide, ecs_task_events: the event is the task as DescribeTasks shows it")
def move(task: Task, status: str) -> None:
    document = task.document
    document["lastStatus"] = status
    document["version"] += 1
    dates = {key: value for key, value in document.items() if key.endswith("At")}
    detail = {
        **document,
        **{key: delivery.iso_time(value) for key, value in dates.items()},
        "updatedAt": delivery.iso_time(clock.now()),
    }
    delivery.emit("aws.ecs", "ECS Task State Change", detail, [document["taskArn"]])
