"""Builds: StartBuild and what it overrides, StopBuild, and the lists."""

from __future__ import annotations

import copy
import json
import uuid

from loopback import aws, runs
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.codebuild import execution, projects, record, state
from loopback.services.codebuild.service import invalid, missing, service

Json = state.Json

_TOKEN_LIFE = 300  # seconds
#: What StartBuild and StartBuildBatch may override: parameter -> place in the project.
_OVERRIDES = {
    "sourceVersion": ("sourceVersion",),
    "sourceTypeOverride": ("source", "type"),
    "sourceLocationOverride": ("source", "location"),
    "buildspecOverride": ("source", "buildspec"),
    "environmentTypeOverride": ("environment", "type"),
    "imageOverride": ("environment", "image"),
    "computeTypeOverride": ("environment", "computeType"),
    "privilegedModeOverride": ("environment", "privilegedMode"),
    "imagePullCredentialsTypeOverride": ("environment", "imagePullCredentialsType"),
    "cacheOverride": ("cache",),
    "serviceRoleOverride": ("serviceRole",),
    "timeoutInMinutesOverride": ("timeoutInMinutes",),
    "buildTimeoutInMinutesOverride": ("timeoutInMinutes",),
    "queuedTimeoutInMinutesOverride": ("queuedTimeoutInMinutes",),
    "encryptionKeyOverride": ("encryptionKey",),
    "logsConfigOverride": ("logsConfig",),
    "buildBatchConfigOverride": ("buildBatchConfig",),
}
_IGNORED = {
    "projectName",
    "idempotencyToken",
    "environmentVariablesOverride",
    "artifactsOverride",
    "autoRetryLimitOverride",
}
_SHOWN = (
    "source",
    "artifacts",
    "cache",
    "environment",
    "serviceRole",
    "timeoutInMinutes",
    "queuedTimeoutInMinutes",
    "encryptionKey",
    "sourceVersion",
    "vpcConfig",
)


@service.operation
@from_model
@documented("CodeBuild API reference, StartBuild: a token is valid for 5 minutes, for the same parameters only")
def start_build(request: Json) -> Json:
    project = projects.find(request["projectName"])
    token = (
        (request["idempotencyToken"], json.dumps(request, sort_keys=True)) if "idempotencyToken" in request else None
    )
    for known in state.here().builds.values():
        if token and known.token and known.token[0] == token[0] and known.is_younger_than(_TOKEN_LIFE):
            if known.token != token:
                raise invalid("Parameter mismatch: the idempotency token was used with other parameters")
            return {"build": known.document}
    if not has_room(project):
        raise _no_room(project)
    build = start(overridden(project, request), initiator=initiator(), token=token)
    return {"build": build.document}


@service.operation
@from_model
@documented("CodeBuild user guide, retry-build: a new build with the same settings")
def retry_build(request: Json) -> Json:
    earlier = find(request["id"])
    if earlier.is_running:
        raise invalid(f"Build {earlier.identity} is still in progress")
    if not has_room(earlier.project):
        raise _no_room(earlier.project)
    return {"build": start(copy.deepcopy(earlier.project), initiator=initiator()).document}


@service.blocking_operation
@from_model
@assumed(
    "StopBuild answers at once; the build is STOPPED a moment later, and stopping a build that ended changes nothing"
)
def stop_build(request: Json) -> Json:
    build = find(request["id"])
    stop(build)
    return {"build": build.document}


@service.operation
@from_model
def batch_get_builds(request: Json) -> Json:
    known = state.here().builds
    wanted = {reference: state.build_id(reference) for reference in request["ids"]}
    return {
        "builds": [known[identity].document for identity in wanted.values() if identity in known],
        "buildsNotFound": [reference for reference, identity in wanted.items() if identity not in known],
    }


@service.operation
@from_model
def list_builds(request: Json) -> Json:
    return _listed(request, list(state.here().builds))


@service.operation
@from_model
def list_builds_for_project(request: Json) -> Json:
    name = projects.find(request["projectName"])["name"]
    return _listed(request, [identity for identity in state.here().builds if identity.startswith(f"{name}:")])


@service.operation
@from_model
def batch_delete_builds(request: Json) -> Json:
    known = state.here().builds
    deleted, kept = [], []
    for identity in map(state.build_id, request["ids"]):
        if identity in known and not known[identity].is_running:
            deleted.append(known.pop(identity).document["arn"])
        else:
            kept.append({"id": identity, "statusCode": "BUILD_NOT_DELETED"})
    return {"buildsDeleted": deleted, "buildsNotDeleted": kept}


# ------------------------------------------------------------------ what other files use


def start(
    project: Json,
    *,
    initiator: str,
    token: tuple[str, str] | None = None,
    batch_arn: str | None = None,
    batch_identifier: str | None = None,
) -> record.Build:
    """Begin a build of a project whose overrides are in place."""
    place = state.here()
    identity = str(uuid.uuid4())
    place.numbers[project["name"]] += 1
    now = clock.now()
    document: Json = {
        "id": f"{project['name']}:{identity}",
        "arn": aws.arn("codebuild", f"build/{project['name']}:{identity}"),
        "buildNumber": place.numbers[project["name"]],
        "startTime": now,
        "currentPhase": "SUBMITTED",
        "buildStatus": "IN_PROGRESS",
        "projectName": project["name"],
        "phases": [],
        "logs": record.logs_of(project, identity),
        "buildComplete": False,
        "initiator": initiator,
        **{name: project[name] for name in _SHOWN if name in project},
    }
    if batch_arn:
        document["buildBatchArn"] = batch_arn
    build = record.Build(document, project, token, batch_identifier, wait_for_room=batch_arn is not None)
    with build.phase("SUBMITTED"):
        place.builds[build.identity] = build
    build.begin()
    build.run = runs.start(
        lambda run: execution.execute(build, run), deadline=now + 60 * project["queuedTimeoutInMinutes"]
    )
    return build


def stop(build: record.Build) -> None:
    if build.is_running and build.run is not None:
        build.run.stop("STOPPED")


def find(reference: str) -> record.Build:
    identity = state.build_id(reference)
    build = state.here().builds.get(identity)
    if build is None:
        raise missing(f"Build {identity} does not exist")
    return build


@documented("CodeBuild user guide, builds-working: at the project's limit, builds return an error")
def has_room(project: Json) -> bool:
    limit = project.get("concurrentBuildLimit")
    running = [b for b in state.here().builds.values() if b.document["projectName"] == project["name"] and b.is_running]
    return limit is None or len(running) < limit


@assumed("wording, after that of the account's limit")
def _no_room(project: Json) -> AwsError:
    limit = project["concurrentBuildLimit"]
    return AwsError("AccountLimitExceededException", f"Cannot have more than {limit} active builds for the project")


@documented("CodeBuild user guide, build-env-ref-env-vars: StartBuild's variables win over the project's")
def overridden(project: Json, request: Json) -> Json:
    """The project as this build sees it."""
    unknown = request.keys() - _OVERRIDES.keys() - _IGNORED
    if unknown:
        raise AwsError("NotEmulatedException", f"the loopback cloud does not emulate {', '.join(sorted(unknown))}")
    build = copy.deepcopy(project)
    for name in request.keys() & _OVERRIDES.keys():
        *path, last = _OVERRIDES[name]
        place = build
        for step in path:
            place = place[step]
        place[last] = request[name]
    variables = {one["name"]: one for one in build["environment"]["environmentVariables"]}
    variables |= {one["name"]: {"type": "PLAINTEXT", **one} for one in request.get("environmentVariablesOverride", [])}
    build["environment"]["environmentVariables"] = list(variables.values())
    projects.check_source(build["source"])
    projects.check_environment(build["environment"])
    return build


@assumed("the initiator is the last part of the caller's ARN, as in the documentation's samples")
def initiator() -> str:
    arn = aws.caller_arn()
    return arn.rpartition(":")[2].removeprefix("assumed-role/").removeprefix("user/")


def _listed(request: Json, oldest_first: list[str]) -> Json:
    ascending = request.get("sortOrder") == "ASCENDING"
    return projects.page(oldest_first if ascending else oldest_first[::-1], request, "ids")
