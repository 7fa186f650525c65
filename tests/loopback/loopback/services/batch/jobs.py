"""Jobs and arrays of jobs."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from typing import Any

from loopback import aws, runs
from loopback.fidelity import assumed, documented, from_model
from loopback.runs import Run
from loopback.services.batch import execution, state
from loopback.services.batch.resources import check_timeout
from loopback.services.batch.service import client_error, service
from loopback.services.batch.state import DONE, Job

Json = dict[str, Any]
_SUMMARY = (
    *("jobId", "jobArn", "jobName", "status", "statusReason", "createdAt", "startedAt", "stoppedAt", "jobDefinition"),
)
_STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", *DONE)


@service.operation
@from_model
@documented("Batch API reference, SubmitJob; user guide, array_jobs: 2 to 10,000 children")
def submit_job(request: Json) -> Json:
    queue, definition = state.queue(request["jobQueue"]), state.definition(request["jobDefinition"])
    if queue["state"] != "ENABLED":
        raise client_error(f"Job Queue {queue['jobQueueName']} is not ENABLED")
    if not queue["computeEnvironmentOrder"]:
        raise client_error(f"Job Queue {queue['jobQueueName']} has no compute environment")
    check_timeout(request)
    size = (request.get("arrayProperties") or {}).get("size")
    if size is not None and not 2 <= size <= 10_000:
        raise client_error(f"Error executing request, Exception : ArrayJob size={size} should be between 2 and 10000")
    job = Job(_document(request, queue, definition), overridden(definition, request))
    place = state.here()
    place.jobs[job.document["jobId"]] = job
    if size is not None:
        job.document["arrayProperties"] = {"size": size, "statusSummary": {}}
        for index in range(size):
            child = _child(job, index)
            job.children.append(child)
            place.jobs[child.document["jobId"]] = child

    def work(run: Run) -> None:
        execution.execute(job, run)

    job.run = runs.start(work)
    return {name: job.document[name] for name in ("jobArn", "jobName", "jobId")}


@service.operation
@from_model
def describe_jobs(request: Json) -> Json:
    known = state.here().jobs
    wanted = [state.name_of(reference) for reference in request["jobs"]]
    return {"jobs": [_shown(known[identity]) for identity in wanted if identity in known]}


@service.operation
@from_model
@documented("Batch API reference, ListJobs: RUNNING ones unless jobStatus says otherwise; children by arrayJobId")
def list_jobs(request: Json) -> Json:
    array, wanted = request.get("arrayJobId"), request.get("jobStatus")
    if array is None and "jobQueue" not in request:
        raise client_error("Either jobQueue, arrayJobId or multiNodeJobId is required")
    if array is not None:
        found = state.here().jobs[array].children if array in state.here().jobs else []
    else:
        arn = state.queue(request["jobQueue"])["jobQueueArn"]
        jobs = state.here().jobs.values()
        found = [job for job in jobs if job.parent is None and job.document["jobQueue"] == arn]
        wanted = wanted or "RUNNING"
    chosen = [_summary(job) for job in found if wanted in (None, job.status)]
    size, start = request.get("maxResults", 100), int(request.get("nextToken") or 0)
    more = {"nextToken": str(start + size)} if start + size < len(chosen) else {}
    return {"jobSummaryList": chosen[start : start + size], **more}


@service.operation
@from_model
@documented("Batch API reference, TerminateJob: running jobs end FAILED with the reason, others never start")
def terminate_job(request: Json) -> Json:
    _end(request["jobId"], request["reason"])
    return {}


@service.operation
@from_model
@documented("Batch API reference, CancelJob: jobs that have not come to STARTING")
def cancel_job(request: Json) -> Json:
    job = state.here().jobs.get(request["jobId"])
    if job is not None and job.status in ("SUBMITTED", "PENDING", "RUNNABLE"):
        _end(request["jobId"], request["reason"])
    return {}


@assumed("terminating a job that is not there is no error")
def _end(identity: str, reason: str) -> None:
    job = state.here().jobs.get(identity)
    if job is None:
        return
    for one in (job, *job.children):
        if one.status not in DONE:
            one.terminated = reason
            if one.run is not None and not one.children:
                runs.start(_stopping(one.run))


def _stopping(run: Run) -> Callable[[Run], None]:
    """The container is given its time: nobody waits for it."""

    def stop(_run: Run) -> None:
        run.stop("USER")

    return stop


def _document(request: Json, queue: Json, definition: Json) -> Json:
    identity = str(uuid.uuid4())
    return {
        "jobArn": aws.arn("batch", f"job/{identity}"),
        "jobId": identity,
        "jobName": request["jobName"],
        "jobQueue": queue["jobQueueArn"],
        "jobDefinition": definition["jobDefinitionArn"],
        "status": "SUBMITTED",
        "attempts": [],
        "createdAt": state.milliseconds(),
        "dependsOn": [],
        "parameters": request.get("parameters") or {},
        "tags": request.get("tags") or {},
        "platformCapabilities": ["FARGATE"],
        "isCancelled": False,
        "isTerminated": False,
    }


def _child(parent: Job, index: int) -> Job:
    identity = f"{parent.document['jobId']}:{index}"
    document = copy.deepcopy({key: value for key, value in parent.document.items() if key != "arrayProperties"})
    document |= {"jobId": identity, "jobArn": aws.arn("batch", f"job/{identity}"), "status": "PENDING"}
    return Job({**document, "arrayProperties": {"index": index}}, parent.definition, parent, index)


@documented("Batch API reference, ContainerOverrides: variables are added, the rest is replaced")
def overridden(definition: Json, request: Json) -> Json:
    """The job definition as this job sees it."""
    job: Json = copy.deepcopy(definition)
    container, given = job["containerProperties"], request.get("containerOverrides") or {}
    if "command" in given:
        container["command"] = given["command"]
    for member, key in (("environment", "name"), ("resourceRequirements", "type")):
        merged = {one[key]: one for one in container.get(member) or []}
        merged |= {one[key]: one for one in given.get(member) or []}
        container[member] = list(merged.values())
    for member in ("retryStrategy", "timeout"):
        if request.get(member):
            job[member] = request[member]
    parameters = {**(job.get("parameters") or {}), **(request.get("parameters") or {})}
    container["command"] = [_filled(word, parameters) for word in container.get("command") or []]
    return job


@documented("Batch user guide, job_definition_parameters: Ref::name in a command")
def _filled(word: str, parameters: dict[str, str]) -> str:
    return parameters.get(word.removeprefix("Ref::"), word) if word.startswith("Ref::") else word


def _shown(job: Job) -> Json:
    document = {**job.document, "isTerminated": job.terminated is not None}
    document |= {key: job.definition[key] for key in ("retryStrategy", "timeout") if key in job.definition}
    container = {**job.definition["containerProperties"], **document.get("container", {})}
    if job.children:
        counts = {status: sum(child.status == status for child in job.children) for status in _STATUSES}
        document["arrayProperties"] = {**document["arrayProperties"], "statusSummary": counts}
    return {**document, "container": container}


def _summary(job: Job) -> Json:
    summary = {name: job.document[name] for name in _SUMMARY if name in job.document}
    if job.index is not None or job.children:
        size = {"size": len(job.children)} if job.children else {"index": job.index}
        summary["arrayProperties"] = size
    if "container" in job.document:
        wanted = ("exitCode", "reason")
        summary["container"] = {
            key: job.document["container"][key] for key in wanted if key in job.document["container"]
        }
    return summary
