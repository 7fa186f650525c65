"""Compute environments, job queues, job definitions, and tags."""

from __future__ import annotations

from typing import Any

from loopback import aws, fargate
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.batch import state
from loopback.services.batch.service import client_error, service
from loopback.validation import service_model

Json = dict[str, Any]
_DEFINITION = frozenset(service_model("batch").shape_for("JobDefinition").members)

# ------------------------------------------------------------------ compute environments


@service.operation
@from_model
@documented("Batch user guide, fargate: of Fargate's resources only maximum, subnets and security groups are given")
@assumed("an environment is VALID at once")
def create_compute_environment(request: Json) -> Json:
    known, name = state.here().environments, request["computeEnvironmentName"]
    if name in known:
        raise client_error("Object already exists")
    resources = request.get("computeResources") or {}
    if request["type"] == "MANAGED" and resources.get("type") not in ("FARGATE", "FARGATE_SPOT"):
        raise AwsError("NotEmulatedException", "the loopback cloud emulates Batch on Fargate only")
    if missing := [subnet for subnet in resources.get("subnets", []) if not aws.subnet_exists(subnet)]:
        raise client_error(f"The subnet ID '{missing[0]}' does not exist")
    arn = aws.arn("batch", f"compute-environment/{name}")
    known[name] = {
        "state": "ENABLED",
        "tags": {},
        **request,
        "computeEnvironmentArn": arn,
        "ecsClusterArn": aws.arn("ecs", f"cluster/AWSBatch-{name}"),
        "status": "VALID",
        "statusReason": "ComputeEnvironment Healthy",
        "containerOrchestrationType": "ECS",
    }
    return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}


@service.operation
@from_model
def update_compute_environment(request: Json) -> Json:
    environment = _environment(request["computeEnvironment"])
    resources = {**environment.get("computeResources", {}), **(request.get("computeResources") or {})}
    environment["computeResources"] = resources
    environment.update({key: request[key] for key in ("state", "serviceRole") if key in request})
    return {name: environment[name] for name in ("computeEnvironmentName", "computeEnvironmentArn")}


@service.operation
@from_model
def describe_compute_environments(request: Json) -> Json:
    return {"computeEnvironments": _named(state.here().environments, request.get("computeEnvironments"))}


@service.operation
@from_model
@documented("Batch API reference, DeleteComputeEnvironment: disabled first, and in no queue")
def delete_compute_environment(request: Json) -> Json:
    name = state.name_of(request["computeEnvironment"])
    environment = _environment(name)
    if environment["state"] != "DISABLED":
        raise client_error("Cannot delete, state must be DISABLED")
    for queue in state.here().queues.values():
        if name in [state.name_of(one["computeEnvironment"]) for one in queue["computeEnvironmentOrder"]]:
            raise client_error("Cannot delete, found existing JobQueue relationship")
    del state.here().environments[name]
    return {}


def _environment(reference: str) -> Json:
    found = state.here().environments.get(state.name_of(reference))
    if found is None:
        raise client_error(f"Object does not exist: {reference}")
    return found


# ------------------------------------------------------------------ job queues


@service.operation
@from_model
def create_job_queue(request: Json) -> Json:
    known, name = state.here().queues, request["jobQueueName"]
    if name in known:
        raise client_error("Object already exists")
    order = request.get("computeEnvironmentOrder") or []
    for one in order:
        _environment(one["computeEnvironment"])
    arn = aws.arn("batch", f"job-queue/{name}")
    known[name] = {
        "state": "ENABLED",
        "tags": {},
        **request,
        "computeEnvironmentOrder": order,
        "jobQueueArn": arn,
        "status": "VALID",
        "statusReason": "JobQueue Healthy",
    }
    return {"jobQueueName": name, "jobQueueArn": arn}


@service.operation
@from_model
def update_job_queue(request: Json) -> Json:
    queue = state.queue(request["jobQueue"])
    queue.update({key: request[key] for key in ("state", "priority", "computeEnvironmentOrder") if key in request})
    return {name: queue[name] for name in ("jobQueueName", "jobQueueArn")}


@service.operation
@from_model
def describe_job_queues(request: Json) -> Json:
    return {"jobQueues": _named(state.here().queues, request.get("jobQueues"))}


@service.operation
@from_model
@documented("Batch API reference, DeleteJobQueue: disabled first")
def delete_job_queue(request: Json) -> Json:
    queue = state.queue(request["jobQueue"])
    if queue["state"] != "DISABLED":
        raise client_error("Cannot delete, state must be DISABLED")
    del state.here().queues[queue["jobQueueName"]]
    return {}


def _named(known: dict[str, Json], references: list[str] | None) -> list[Json]:
    if not references:
        return list(known.values())
    return [known[name] for name in map(state.name_of, references) if name in known]


# ------------------------------------------------------------------ job definitions


@service.operation
@from_model
def register_job_definition(request: Json) -> Json:
    _check(request)
    place, name = state.here(), request["jobDefinitionName"]
    place.revisions[name] += 1
    revision = place.revisions[name]
    arn = aws.arn("batch", f"job-definition/{name}:{revision}")
    place.definitions[f"{name}:{revision}"] = {
        "tags": {},
        **{key: value for key, value in request.items() if key in _DEFINITION},
        "containerProperties": _kept(request["containerProperties"]),
        "jobDefinitionArn": arn,
        "revision": revision,
        "status": "ACTIVE",
        "containerOrchestrationType": "ECS",
    }
    return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}


@documented("terraform-provider-aws, batch/container_properties.go: AWS drops environment variables without a value")
def _kept(container: Json) -> Json:
    return {**container, "environment": [one for one in container.get("environment") or [] if one.get("value")]}


@service.operation
@from_model
def describe_job_definitions(request: Json) -> Json:
    names = [state.name_of(one) for one in request.get("jobDefinitions") or []]
    name, status = request.get("jobDefinitionName"), request.get("status")
    found = [
        one
        for key, one in state.here().definitions.items()
        if (not names or key in names or one["jobDefinitionName"] in names)
        and name in (None, one["jobDefinitionName"])
        and status in (None, one["status"])
    ]
    return {"jobDefinitions": found[::-1]}


@service.operation
@from_model
def deregister_job_definition(request: Json) -> Json:
    state.definition(request["jobDefinition"])["status"] = "INACTIVE"
    return {}


@documented("Batch user guide, fargate-job-definitions: sizes, execution role; timeouts of a minute or more")
@assumed("wordings")
def _check(request: Json) -> None:
    container = request.get("containerProperties")
    if request["type"] != "container" or not container or "FARGATE" not in request.get("platformCapabilities", []):
        raise AwsError("NotEmulatedException", "the loopback cloud emulates container jobs on Fargate only")
    for name in ("jobRoleArn", "executionRoleArn"):
        if container.get(name) and not aws.role_exists(container[name]):
            raise client_error(f"Error executing request, Exception : Role is not valid: {container[name]}")
    if not container.get("executionRoleArn"):
        raise client_error("Error executing request, Exception : executionRoleArn is required for Fargate jobs")
    if container.get("privileged"):
        raise client_error("Error executing request, Exception : privileged is not applicable for Fargate jobs")
    sizes = {one["type"]: one["value"] for one in container.get("resourceRequirements") or []}
    if not fargate.is_size(int(float(sizes.get("VCPU", 0)) * 1024), int(sizes.get("MEMORY", 0))):
        raise client_error(
            "Error executing request, Exception : Fargate resource requirements (VCPU, MEMORY) not valid"
        )
    check_timeout(request)


@documented("Batch API reference, JobTimeout: at least 60 seconds")
def check_timeout(request: Json) -> None:
    if (request.get("timeout") or {}).get("attemptDurationSeconds", 60) < 60:
        raise client_error("Error executing request, Exception : timeout must be at least 60 seconds")


# ------------------------------------------------------------------ tags


@service.operation
@from_model
def tag_resource(request: Json) -> Json:
    _tags(request).update(request["tags"])
    return {}


@service.operation
@from_model
def untag_resource(request: Json) -> Json:
    for key in request["tagKeys"]:
        _tags(request).pop(key, None)
    return {}


@service.operation
@from_model
def list_tags_for_resource(request: Json) -> Json:
    return {"tags": _tags(request)}


def _tags(request: Json) -> dict[str, str]:
    arn, place = request["resourceArn"], state.here()
    groups: list[dict[str, Json]] = [place.environments, place.queues, place.definitions]
    for known in groups:
        found = known.get(state.name_of(arn))
        if found is not None and arn in found.values():
            tags: dict[str, str] = found.setdefault("tags", {})
            return tags
    raise client_error(f"Resource {arn} not found")
