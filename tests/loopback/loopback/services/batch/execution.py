"""The life of a job: its attempts, and of an array the lives of its children."""

from __future__ import annotations

import contextlib
import contextvars
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from loopback import acting, aws, fargate, runs
from loopback.clock import clock
from loopback.fidelity import assumed, documented
from loopback.runs import Run
from loopback.services.batch import state
from loopback.services.batch.state import Job

Json = dict[str, Any]
GROUP = "/aws/batch/job"
_WORKERS = 8  # children of an array that run at a time on this machine, whatever the environment allows


def execute(job: Job, run: Run) -> None:
    if job.children:
        _array(job, run)
    else:
        _run(job, run)


@documented("Batch user guide, array_jobs: the array fails if a child fails")
@assumed("no more than eight children run at a time")
def _array(job: Job, run: Run) -> None:
    job.move("PENDING")
    waiting, lock = iter(job.children), threading.Lock()

    def work() -> None:
        while not run.stopped:
            with lock:
                child = next(waiting, None)
            if child is None:
                return
            _run(child, run)

    workers = [
        threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
        for _number in range(min(_WORKERS, len(job.children)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = any(child.status != "SUCCEEDED" for child in job.children)
    job.move("FAILED" if failed else "SUCCEEDED", "Array Child Job failed" if failed else None)


@documented("Batch user guide, job_retries: attempts, and what evaluateOnExit says of one that failed")
def _run(job: Job, outer: Run) -> None:
    strategy = job.definition.get("retryStrategy") or {}
    for _attempt in range(strategy.get("attempts", 1)):
        job.move("RUNNABLE")
        with _capacity(job, outer):
            if job.terminated is not None or outer.stopped == runs.CLOUD_ENDS:
                break
            job.move("STARTING")
            attempt = _attempt_once(job, outer)
        code = attempt["container"].get("exitCode")
        if code == 0 and job.terminated is None:
            job.move("SUCCEEDED", "Essential container in task exited")
            return
        if job.terminated is not None or not _retry(strategy, attempt):
            break
    job.move("FAILED", job.terminated or job.document.get("statusReason") or "Job terminated")


def _attempt_once(job: Job, outer: Run) -> Json:
    """One attempt, in a run of its own so that it can be stopped and time out by itself."""
    attempt: Json = {"container": {}, "startedAt": state.milliseconds()}
    seconds = (job.definition.get("timeout") or {}).get("attemptDurationSeconds")

    def work(run: Run) -> None:
        _contain(job, attempt, run)

    run = job.run = runs.start(work, clock.now() + seconds if seconds else None)
    outer.on_stop(run.stop)
    run.wait_for_end()
    attempt["stoppedAt"] = state.milliseconds()
    if run.stopped == runs.TIMED_OUT:
        attempt["statusReason"] = "Job attempt duration exceeded timeout"
    job.document["attempts"].append(attempt)
    job.document["statusReason"] = attempt["statusReason"]
    return attempt


def _contain(job: Job, attempt: Json, run: Run) -> None:
    container = job.document["container"] = attempt["container"]
    number = len(job.document["attempts"]) + 1
    task = uuid.uuid4().hex
    container["taskArn"] = aws.arn("ecs", f"task/AWSBatch/{task}")
    order = _order(job, task, number)
    container["logStreamName"] = order.stream

    def on_running(_digest: str) -> None:
        job.document["startedAt"] = state.milliseconds()
        job.move("RUNNING")

    order.on_running = on_running
    try:
        container["exitCode"] = fargate.run(order, run)
        attempt["statusReason"] = "Essential container in task exited"
    except fargate.NotStarted as failure:
        container["reason"] = str(failure)
        attempt["statusReason"] = "Task failed to start"


@documented("Batch user guide, job_env_vars; using_awslogs: the group is /aws/batch/job by default")
def _order(job: Job, task: str, number: int) -> fargate.Order:
    properties, document = job.definition["containerProperties"], job.document
    variables = {
        "AWS_BATCH_JOB_ID": document["jobId"],
        "AWS_BATCH_JOB_ATTEMPT": str(number),
        "AWS_BATCH_JQ_NAME": state.name_of(document["jobQueue"]),
        "AWS_BATCH_CE_NAME": _environment(job)["computeEnvironmentName"],
    }
    if job.index is not None:
        variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
    logs = _logs(properties)
    prefix = logs["options"].pop("awslogs-stream-prefix", job.definition["jobDefinitionName"])
    stream = f"{prefix}/default/{task}"
    return fargate.Order(
        {**properties, "logConfiguration": logs},
        properties["executionRoleArn"],
        properties.get("jobRoleArn"),
        document["container"]["taskArn"],
        stream,
        variables=variables,
        volumes=frozenset(volume["name"] for volume in properties.get("volumes") or []),
    )


def _logs(properties: Json) -> Json:
    given = (properties.get("logConfiguration") or {}).get("options") or {}
    if "awslogs-group" not in given:
        _make_default_group()
    return {"logDriver": "awslogs", "options": {"awslogs-group": GROUP, **given}}


@assumed("Batch itself makes its default log group")
def _make_default_group() -> None:
    logs = acting.root_client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=GROUP)


@documented("Batch API reference, EvaluateOnExit: the first that matches decides; patterns may end in *")
def _retry(strategy: Json, attempt: Json) -> bool:
    seen = {
        "onExitCode": str(attempt["container"].get("exitCode", "")),
        "onReason": attempt["container"].get("reason", ""),
        "onStatusReason": attempt["statusReason"],
    }
    for condition in strategy.get("evaluateOnExit") or []:
        wanted = {name: pattern for name, pattern in condition.items() if name != "action"}
        if all(re.fullmatch(re.escape(p).replace(r"\*", ".*"), seen[name]) for name, p in wanted.items()):
            return bool(condition["action"].upper() == "RETRY")
    return True


# ------------------------------------------------------------------ room


@contextlib.contextmanager
def _capacity(job: Job, outer: Run) -> Iterator[None]:
    """Wait until the compute environment has vCPUs for the job."""
    place = state.here()
    wanted = float(_requirement(job, "VCPU"))
    most = _environment(job).get("computeResources", {}).get("maxvCpus", 256)
    with place.capacity:
        while place.busy and place.busy + wanted > most and not outer.stopped:
            place.capacity.wait(0.05)
        place.busy += wanted
    try:
        yield
    finally:
        with place.capacity:
            place.busy -= wanted
            place.capacity.notify_all()


def _requirement(job: Job, kind: str) -> str:
    found = {one["type"]: one["value"] for one in job.definition["containerProperties"]["resourceRequirements"]}
    return str(found[kind])


def _environment(job: Job) -> Json:
    queue = state.queue(job.document["jobQueue"])
    name = state.name_of(queue["computeEnvironmentOrder"][0]["computeEnvironment"])
    return state.here().environments[name]
