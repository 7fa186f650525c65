"""Who may call what in ECS."""

from __future__ import annotations

from typing import Any

from loopback import aws
from loopback.errors import AwsError
from loopback.fargate import SERVICE
from loopback.fidelity import assumed, documented
from loopback.services.ecs import state
from loopback.services.ecs.service import service

Json = dict[str, Any]
_ROLES = ("taskRoleArn", "executionRoleArn")


@service.authorizer
@documented("Service authorization reference, ECS: RunTask is on the task definition, with the condition ecs:cluster")
def authorize(operation: str, request: Json) -> None:
    aws.require(f"ecs:{operation}", _resource(operation, request), _context(operation, request))
    if request.get("tags") and operation in ("CreateCluster", "RegisterTaskDefinition", "RunTask"):
        aws.require("ecs:TagResource", "*")
    aws.require_pass_role(_roles(operation, request), SERVICE)


def _resource(operation: str, request: Json) -> str:
    if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        return str(request["resourceArn"])
    if operation == "RunTask":
        return _definition_arn(request["taskDefinition"])
    if operation in ("StopTask", "DescribeTasks"):
        named = request.get("task") or next(iter(request.get("tasks", [])), "*")
        return aws.arn("ecs", f"task/{state.name_of(request.get('cluster'))}/{state.name_of(named)}")
    if operation in ("DeleteCluster", "DescribeClusters", "UpdateCluster", "PutClusterCapacityProviders"):
        named = request.get("cluster") or next(iter(request.get("clusters", [])), "default")
        return _cluster_arn(named)
    if operation == "CreateCluster":
        return _cluster_arn(request.get("clusterName"))
    return "*"


def _cluster_arn(reference: str | None) -> str:
    return aws.arn("ecs", f"cluster/{state.name_of(reference)}")


@assumed("a task definition that is named by its family alone is judged with its latest revision")
def _definition_arn(reference: str) -> str:
    try:
        return str(state.definition(reference)["taskDefinitionArn"])
    except AwsError:
        return aws.arn("ecs", f"task-definition/{state.name_of(reference)}")


def _context(operation: str, request: Json) -> Json:
    in_cluster = operation in ("RunTask", "StopTask", "DescribeTasks", "ListTasks")
    return {"ecs:cluster": _cluster_arn(request.get("cluster"))} if in_cluster else {}


@documented("ECS developer guide, CWE_IAM_role: who runs a task must be allowed to pass the task definition's roles")
def _roles(operation: str, request: Json) -> list[str | None]:
    found = [request.get(name) for name in _ROLES]
    if operation == "RunTask":
        overrides = request.get("overrides") or {}
        try:
            definition = state.definition(request["taskDefinition"])
        except AwsError:
            definition = {}
        found = [overrides.get(name) or definition.get(name) for name in _ROLES]
    return found
