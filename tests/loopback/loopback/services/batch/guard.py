"""Who may call what in Batch."""

from __future__ import annotations

from typing import Any

from loopback import aws
from loopback.fargate import SERVICE
from loopback.fidelity import assumed, documented
from loopback.services.batch import state
from loopback.services.batch.service import service

Json = dict[str, Any]
_NAMES = {
    "computeEnvironmentName": "compute-environment",
    "computeEnvironment": "compute-environment",
    "jobQueueName": "job-queue",
    "jobQueue": "job-queue",
    "jobDefinitionName": "job-definition",
    "jobDefinition": "job-definition",
    "jobId": "job",
}
_BY_ARN = (
    *("CreateComputeEnvironment", "UpdateComputeEnvironment", "DeleteComputeEnvironment"),
    *("CreateJobQueue", "UpdateJobQueue", "DeleteJobQueue"),
    *("RegisterJobDefinition", "DeregisterJobDefinition", "SubmitJob", "TerminateJob", "CancelJob"),
)


@service.authorizer
@documented("Service authorization reference, Batch: SubmitJob is on the definition and the queue")
@assumed("a job definition that is named without its revision is judged as it is named")
def authorize(operation: str, request: Json) -> None:
    resources = [request["resourceArn"]] if "resourceArn" in request else []
    if operation in _BY_ARN:
        resources += [_arn(kind, request[name]) for name, kind in _NAMES.items() if request.get(name)]
    for resource in resources or ["*"]:
        aws.require(f"batch:{operation}", resource)
    container = request.get("containerProperties") or {}
    aws.require_pass_role([container.get("jobRoleArn"), container.get("executionRoleArn")], SERVICE)
    aws.require_pass_role([request.get("serviceRole")], "batch.amazonaws.com")


def _arn(kind: str, reference: str) -> str:
    return reference if reference.startswith("arn:") else aws.arn("batch", f"{kind}/{state.name_of(reference)}")
