"""Tasks."""

from __future__ import annotations

import uuid
from typing import Any

from loopback import aws, runs
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.runs import Run
from loopback.services.ecs import execution, state
from loopback.services.ecs.service import client_error, invalid, service

Json = dict[str, Any]
_PLATFORM = "1.4.0"
_MOST = 10  # tasks in one call


@service.operation
@from_model
def run_task(request: Json) -> Json:
    cluster, definition = state.cluster(request.get("cluster")), state.definition(request["taskDefinition"])
    if definition["status"] != "ACTIVE":
        raise client_error("TaskDefinition is inactive")
    _check(request, definition)
    started = [_start(request, cluster, definition) for _number in range(request.get("count", 1))]
    return {"tasks": [_shown(task, request) for task in started], "failures": []}


@service.blocking_operation
@from_model
@assumed("StopTask answers at once; the task is STOPPED when its container has ended")
def stop_task(request: Json) -> Json:
    state.cluster(request.get("cluster"))
    task = state.task(request["task"])
    if task is None:
        raise invalid("The referenced task was not found.")
    task.document["desiredStatus"] = "STOPPED"
    if task.run is not None and task.document["lastStatus"] != "STOPPED":
        task.stop_reason = request.get("reason") or "Task stopped by user"
        # The container is given its time: the answer does not wait for it.
        stop = task.run.stop
        runs.start(lambda _run: stop("USER"))
    return {"task": _shown(task, request)}


@service.operation
@from_model
def describe_tasks(request: Json) -> Json:
    state.cluster(request.get("cluster"))
    found, failures = [], []
    for reference in request["tasks"]:
        task = state.task(reference)
        if task is None:
            failures.append({"arn": reference, "reason": "MISSING"})
        else:
            found.append(_shown(task, request))
    return {"tasks": found, "failures": failures}


@service.operation
@from_model
@documented("ECS API reference, ListTasks: running ones, unless desiredStatus says otherwise")
def list_tasks(request: Json) -> Json:
    cluster, wanted = state.cluster(request.get("cluster")), request.get("desiredStatus", "RUNNING")
    family, started_by = request.get("family"), request.get("startedBy")
    found = [
        task.document["taskArn"]
        for task in state.here().tasks.values()
        if task.document["clusterArn"] == cluster["clusterArn"]
        and task.document["desiredStatus"] == wanted
        and family in (None, task.definition["family"])
        and started_by in (None, task.document.get("startedBy"))
    ]
    return {"taskArns": found}


def _shown(task: state.Task, request: Json) -> Json:
    with_tags = "TAGS" in request.get("include", [])
    return {**task.document, "tags": state.tags(task.document["taskArn"]) if with_tags else []}


@documented("ECS developer guide, fargate-tasks-services: awsvpc, and what it needs")
@assumed("wordings, as users quote them")
def _check(request: Json, definition: Json) -> None:
    network = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if definition["networkMode"] == "awsvpc" and not network:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if request.get("count", 1) > _MOST:
        raise invalid(f"count should be less than or equal to {_MOST}.")
    launch = request.get("launchType") or ("FARGATE" if request.get("capacityProviderStrategy") else "EC2")
    if launch != "FARGATE" or "FARGATE" not in definition["compatibilities"]:
        raise AwsError("NotEmulatedException", "the loopback cloud runs tasks on Fargate only")
    if len(definition["containerDefinitions"]) != 1:
        raise AwsError("NotEmulatedException", "the loopback cloud runs tasks of one container only")
    if missing := [name for name in (network or {}).get("subnets", []) if not aws.subnet_exists(name)]:
        raise invalid(f"The subnet ID '{missing[0]}' does not exist")
    names = {one["name"] for one in definition["containerDefinitions"]}
    overrides = (request.get("overrides") or {}).get("containerOverrides", [])
    if unknown := [one["name"] for one in overrides if one.get("name") not in names]:
        raise invalid(f"Override for container named {unknown[0]} is not a container in the TaskDefinition.")


def _start(request: Json, cluster: Json, definition: Json) -> state.Task:
    identity = uuid.uuid4().hex
    arn = aws.arn("ecs", f"task/{cluster['clusterName']}/{identity}")
    now = clock.now()
    container = definition["containerDefinitions"][0]
    document: Json = {
        "taskArn": arn,
        "clusterArn": cluster["clusterArn"],
        "taskDefinitionArn": definition["taskDefinitionArn"],
        "overrides": request.get("overrides") or {"containerOverrides": []},
        "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING",
        "launchType": "FARGATE",
        "platformVersion": _PLATFORM,
        "platformFamily": "Linux",
        "cpu": definition.get("cpu"),
        "memory": definition.get("memory"),
        "ephemeralStorage": definition.get("ephemeralStorage") or {"sizeInGiB": 20},
        "group": request.get("group") or f"family:{definition['family']}",
        "createdAt": now,
        "pullStartedAt": now,
        "containers": [
            {
                "containerArn": aws.arn("ecs", f"container/{cluster['clusterName']}/{identity}/{uuid.uuid4()}"),
                "taskArn": arn,
                "name": container["name"],
                "image": container["image"],
                "lastStatus": "PENDING",
            }
        ],
        "attachments": [],
        "version": 1,
        **({"startedBy": request["startedBy"]} if request.get("startedBy") else {}),
    }
    task = state.Task(document, definition)
    state.here().tasks[arn] = task
    state.tag(arn, request.get("tags"))
    if request.get("propagateTags") == "TASK_DEFINITION":
        state.tag(arn, state.tags(definition["taskDefinitionArn"]))

    def work(run: Run) -> None:
        execution.execute(task, run)

    task.run = runs.start(work)
    return task
