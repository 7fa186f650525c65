"""Task definitions."""

from __future__ import annotations

from typing import Any

from loopback import aws, engine, fargate
from loopback.clock import clock
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecs import state
from loopback.services.ecs.service import client_error, service
from loopback.validation import service_model

Json = dict[str, Any]
_FIELDS = frozenset(service_model("ecs").shape_for("TaskDefinition").members)


@service.operation
@from_model
@documented("ECS API reference, RegisterTaskDefinition: a new revision each time")
def register_task_definition(request: Json) -> Json:
    _check(request)
    place, family = state.here(), request["family"]
    place.revisions[family] += 1
    name = f"{family}:{place.revisions[family]}"
    definition = {
        "networkMode": "bridge",
        "volumes": [],
        "placementConstraints": [],
        **{key: value for key, value in request.items() if key in _FIELDS},
        "containerDefinitions": [_container(one) for one in request["containerDefinitions"]],
        "taskDefinitionArn": aws.arn("ecs", f"task-definition/{name}"),
        "revision": place.revisions[family],
        "status": "ACTIVE",
        "compatibilities": ["EC2", *(["FARGATE"] if _is_fargate(request) else [])],
        "registeredAt": clock.now(),
        "registeredBy": aws.caller_arn(),
    }
    place.definitions[name] = definition
    state.tag(definition["taskDefinitionArn"], request.get("tags"))
    return {"taskDefinition": definition, "tags": state.tags(definition["taskDefinitionArn"])}


@service.operation
@from_model
def describe_task_definition(request: Json) -> Json:
    definition = state.definition(request["taskDefinition"])
    return {"taskDefinition": definition, "tags": state.tags(definition["taskDefinitionArn"])}


@service.operation
@from_model
def list_task_definitions(request: Json) -> Json:
    status, family = request.get("status", "ACTIVE"), request.get("familyPrefix")
    found = [
        one["taskDefinitionArn"]
        for one in state.here().definitions.values()
        if one["status"] == status and family in (None, one["family"])
    ]
    return {"taskDefinitionArns": found[::-1] if request.get("sort") == "DESC" else found}


@service.operation
@from_model
def deregister_task_definition(request: Json) -> Json:
    definition = state.definition(request["taskDefinition"])
    definition.update(status="INACTIVE", deregisteredAt=clock.now())
    return {"taskDefinition": definition}


@service.operation
@from_model
@documented("ECS API reference, DeleteTaskDefinitions: inactive ones only")
def delete_task_definitions(request: Json) -> Json:
    deleted, failures = [], []
    for reference in request["taskDefinitions"]:
        definition = state.definition(reference)
        if definition["status"] == "ACTIVE":
            failures.append(
                {"arn": definition["taskDefinitionArn"], "reason": "The specified task definition is active."}
            )
        else:
            del state.here().definitions[state.name_of(definition["taskDefinitionArn"])]
            deleted.append({**definition, "status": "DELETE_IN_PROGRESS"})
    return {"taskDefinitions": deleted, "failures": failures}


def _is_fargate(request: Json) -> bool:
    return "FARGATE" in request.get("requiresCompatibilities", [])


def _container(given: Json) -> Json:
    empty: dict[str, list[Any]] = {"portMappings": [], "environment": [], "mountPoints": [], "volumesFrom": []}
    return {"cpu": 0, "essential": True, **empty, **given}


@documented("ECS developer guide, fargate-tasks-services; what Fargate asks of a task definition")
@assumed("wordings, as users quote them")
def _check(request: Json) -> None:
    containers = request["containerDefinitions"]
    for container in containers:
        if not container.get("name") or not container.get("image"):
            raise client_error("Container.image and Container.name should not be null or empty.")
    for name in ("taskRoleArn", "executionRoleArn"):
        if request.get(name) and not aws.role_exists(request[name]):
            raise client_error("Role is not valid")
    if not _is_fargate(request):
        return
    if request.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode 'awsvpc'.")
    if not fargate.is_size(fargate.units(request.get("cpu", "")), fargate.units(request.get("memory", ""))):
        raise client_error("No Fargate configuration exists for given values.")
    _check_fargate_containers(request, containers)


def _check_fargate_containers(request: Json, containers: list[Json]) -> None:
    needs = "Fargate requires task definition to have execution role ARN to support"
    for container in containers:
        if container.get("privileged"):
            raise client_error("Fargate doesn't support privileged containers.")
        logs = (container.get("logConfiguration") or {}).get("logDriver")
        if logs == "awslogs" and not request.get("executionRoleArn"):
            raise client_error(f"{needs} log driver awslogs.")
        if engine.is_ecr(container["image"]) and not request.get("executionRoleArn"):
            raise client_error(f"{needs} ECR images.")
        if container.get("secrets") and not request.get("executionRoleArn"):
            raise client_error(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
            )
    storage = (request.get("ephemeralStorage") or {}).get("sizeInGiB", 21)
    if not 21 <= storage <= 200:
        raise client_error("Ephemeral storage size must be between 21 and 200.")
