"""Batches of builds: build-list. Each build is started, and stopped, in the batch's own service role."""

from __future__ import annotations

import contextlib
import copy
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopback import acting, aws, runs
from loopback.acting import Actor
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.runs import Run
from loopback.services.codebuild import builds, projects, source, state
from loopback.services.codebuild.buildspec import BuildspecError, parse
from loopback.services.codebuild.guard import SERVICE
from loopback.services.codebuild.record import Build, PhaseFailed
from loopback.services.codebuild.service import invalid, missing, service

Json = dict[str, Any]
MAXIMUM_BUILDS = 100  # where restrictions say nothing; UNCONFIRMED
_SHOWN = (
    "source",
    "artifacts",
    "cache",
    "environment",
    "serviceRole",
    "queuedTimeoutInMinutes",
    "encryptionKey",
    "vpcConfig",
)
_ENVIRONMENT = {"compute-type": "computeType", "image": "image", "privileged-mode": "privilegedMode", "type": "type"}


@dataclass
class Batch:
    document: Json
    project: Json
    run: Run | None = None
    children: list[Build] = field(default_factory=list)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One phase; PhaseFailed inside gives it its context."""
        self.document["currentPhase"] = name
        phase: Json = {"phaseType": name, "phaseStatus": "IN_PROGRESS", "startTime": clock.now()}
        self.document["phases"].append(phase)
        status, contexts = "SUCCEEDED", []
        try:
            yield
        except PhaseFailed as failure:
            status, contexts = failure.status, [{"statusCode": failure.code, "message": failure.message}]
            raise
        finally:
            now = clock.now()
            phase.update(phaseStatus=status, endTime=now, durationInSeconds=int(now - phase["startTime"]))
            phase["contexts"] = contexts


@service.operation
@from_model
@documented("CodeBuild user guide, batch-build: needs a batch configuration with a role of its own")
def start_build_batch(request: Json) -> Json:
    project = builds.overridden(projects.find(request["projectName"]), request)
    configuration = project.get("buildBatchConfig") or {}
    if not configuration.get("serviceRole"):
        raise invalid("Build batch config with a service role is required to start a build batch")
    batch = Batch(_document(project, configuration), project)
    state.here().batches[batch.document["id"]] = batch
    deadline = clock.now() + 60 * batch.document["buildTimeoutInMinutes"]
    batch.run = runs.start(lambda run: _execute(batch, run), deadline=deadline)
    return {"buildBatch": batch.document}


@service.operation
@from_model
def batch_get_build_batches(request: Json) -> Json:
    known = state.here().batches
    wanted = {reference: state.build_id(reference) for reference in request["ids"]}
    return {
        "buildBatches": [known[identity].document for identity in wanted.values() if identity in known],
        "buildBatchesNotFound": [reference for reference, identity in wanted.items() if identity not in known],
    }


@service.blocking_operation
@from_model
def stop_build_batch(request: Json) -> Json:
    identity = state.build_id(request["id"])
    batch = state.here().batches.get(identity)
    if batch is None:
        raise missing(f"Build batch {identity} does not exist")
    if batch.run is not None and not batch.document["complete"]:
        batch.run.stop("STOPPED")
    return {"buildBatch": batch.document}


@service.operation
@from_model
def list_build_batches_for_project(request: Json) -> Json:
    name = projects.find(request["projectName"])["name"]
    found = [identity for identity in state.here().batches if identity.startswith(f"{name}:")]
    return projects.page(found if request.get("sortOrder") == "ASCENDING" else found[::-1], request, "ids")


def _document(project: Json, configuration: Json) -> Json:
    identity = f"{project['name']}:{uuid.uuid4()}"
    now = clock.now()
    return {
        "id": identity,
        "arn": aws.arn("codebuild", f"build-batch/{identity}"),
        "startTime": now,
        "currentPhase": "SUBMITTED",
        "buildBatchStatus": "IN_PROGRESS",
        "projectName": project["name"],
        "phases": [{"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": now, "endTime": now}],
        "buildTimeoutInMinutes": configuration.get("timeoutInMins", project["timeoutInMinutes"]),
        "complete": False,
        "initiator": builds.initiator(),
        "buildBatchNumber": 1 + sum(known.startswith(f"{project['name']}:") for known in state.here().batches),
        "buildBatchConfig": configuration,
        "buildGroups": [],
        **{name: project[name] for name in _SHOWN if name in project},
    }


# ------------------------------------------------------------------ the life of a batch


def _execute(batch: Batch, run: Run) -> None:
    try:
        with batch.phase("DOWNLOAD_BATCHSPEC"):
            actor = _assume(batch)
            elements = _elements(batch)
        with batch.phase("IN_PROGRESS"):
            _build_all(batch, run, actor, elements)
        with batch.phase("COMBINE_ARTIFACTS"):
            pass
        status = "SUCCEEDED"
    except PhaseFailed as failure:
        status = failure.status
    now = clock.now()
    last = {"SUCCEEDED": "SUCCEEDED", "STOPPED": "STOPPED"}.get(status, "FAILED")
    batch.document["phases"].append({"phaseType": last, "startTime": now})
    batch.document.update(buildBatchStatus=status, currentPhase=last, endTime=now, complete=True)


def _assume(batch: Batch) -> Actor:
    role, project_arn = batch.document["buildBatchConfig"]["serviceRole"], state.project_arn(batch.project["name"])
    try:
        return acting.assume(role, SERVICE, f"AWSCodeBuild-{batch.document['id'].partition(':')[2]}", project_arn)
    except AwsError as error:
        raise PhaseFailed("ACCESS_DENIED", f"Error calling sts:AssumeRole: {error.message}") from error


@documented("CodeBuild user guide, batch-build-buildspec: build-list; the source is fetched in the service role")
@assumed("wordings; a batch of the other kinds fails")
def _elements(batch: Batch) -> list[Json]:
    project = batch.project
    session = f"AWSCodeBuild-{batch.document['id'].partition(':')[2]}"
    try:
        with tempfile.TemporaryDirectory() as directory:
            actor = acting.assume(project["serviceRole"], SERVICE, session, state.project_arn(project["name"]))
            source.fetch(actor, project["source"], project.get("sourceVersion"), Path(directory))
            spec = parse(source.buildspec_text(actor, project["source"], Path(directory)))
    except (BuildspecError, AwsError) as error:
        raise PhaseFailed("YAML_FILE_ERROR", str(error)) from error
    elements = spec.batch.get("build-list")
    if not isinstance(elements, list) or not elements:
        raise PhaseFailed("INVALID_BATCHSPEC", "the loopback cloud needs a batch with a build-list in the buildspec")
    identifiers = [element.get("identifier") for element in elements]
    if None in identifiers or len(set(identifiers)) != len(identifiers):
        raise PhaseFailed("INVALID_BATCHSPEC", "each build of a build-list needs an identifier of its own")
    restrictions = batch.document["buildBatchConfig"].get("restrictions") or {}
    allowed = restrictions.get("maximumBuildsAllowed", MAXIMUM_BUILDS)
    if len(elements) > allowed:
        message = f"Number of builds in the batch {len(elements)} exceeds the maximum allowed {allowed}"
        raise PhaseFailed("BATCH_RESTRICTIONS_VIOLATED", message)
    return [{**element, "fast-fail": bool(spec.batch.get("fast-fail"))} for element in elements]


def _build_all(batch: Batch, run: Run, actor: Actor, elements: list[Json]) -> None:
    for element in elements:
        _require(actor, "codebuild:StartBuild", batch)
        group = {
            "identifier": element["identifier"],
            "dependsOn": [],
            "ignoreFailure": bool(element.get("ignore-failure")),
        }
        child = builds.start(
            _project_of(batch.project, element),
            initiator=f"codebuild-{batch.project['name']}-batch",
            batch_arn=batch.document["arn"],
            batch_identifier=element["identifier"],
        )
        batch.children.append(child)
        batch.document["buildGroups"].append(
            {**group, "currentBuildSummary": _summary(child), "priorBuildSummaryList": []}
        )
    fast_fail = any(element["fast-fail"] for element in elements)
    while any(child.is_running for child in batch.children):
        _update(batch)
        if run.stopped or (fast_fail and _failed(batch)):
            _require(actor, "codebuild:StopBuild", batch)
            for child in batch.children:
                builds.stop(child)
        time.sleep(0.05)
    _update(batch)
    if run.stopped:
        raise PhaseFailed(run.stopped, "the batch was stopped" if run.stopped == "STOPPED" else "", run.stopped)
    if failed := _failed(batch):
        raise PhaseFailed("BATCH_BUILD_FAILED", f"builds failed: {', '.join(failed)}")


@documented("CodeBuild API reference, ProjectBuildBatchConfig: the batch's role starts and stops its builds")
def _require(actor: Actor, action: str, batch: Batch) -> None:
    refused = aws.denial(actor.credentials()["AccessKeyId"], action, state.project_arn(batch.project["name"]))
    if refused:
        raise PhaseFailed("ACCESS_DENIED", refused)


def _update(batch: Batch) -> None:
    for group, child in zip(batch.document["buildGroups"], batch.children, strict=True):
        group["currentBuildSummary"] = _summary(child)


def _failed(batch: Batch) -> list[str]:
    return [
        group["identifier"]
        for group, child in zip(batch.document["buildGroups"], batch.children, strict=True)
        if not child.is_running and child.document["buildStatus"] != "SUCCEEDED" and not group["ignoreFailure"]
    ]


def _summary(child: Build) -> Json:
    document = child.document
    return {"arn": document["arn"], "requestedOn": document["startTime"], "buildStatus": document["buildStatus"]}


@documented("CodeBuild user guide, batch-build-buildspec: env of a build overrides the project's")
def _project_of(project: Json, element: Json) -> Json:
    build = copy.deepcopy(project)
    env = element.get("env") or {}
    for name, member in _ENVIRONMENT.items():
        if name in env:
            build["environment"][member] = env[name]
    variables = {one["name"]: one for one in build["environment"]["environmentVariables"]}
    for name, value in (env.get("variables") or {}).items():
        variables[name] = {"name": name, "value": str(value), "type": "PLAINTEXT"}
    build["environment"]["environmentVariables"] = list(variables.values())
    if element.get("buildspec"):
        build["source"]["buildspec"] = element["buildspec"]
    return build
