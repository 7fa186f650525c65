"""Projects."""

from __future__ import annotations

from loopback import aws
from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.codebuild import state
from loopback.services.codebuild.guard import SERVICE
from loopback.services.codebuild.service import invalid, missing, service
from loopback.validation import service_model

Json = state.Json

#: What an inline buildspec may measure; not in the documentation (GitHub aws/aws-cdk#14974).
BUILDSPEC_LIMIT = 25_600
_FIELDS = frozenset(service_model("codebuild").shape_for("Project").members)
_NO_LIMIT = -1


@service.operation
@from_model
def create_project(request: Json) -> Json:
    name = request["name"]
    place = state.here()
    if name in place.projects:
        raise AwsError("ResourceAlreadyExistsException", f"Project already exists: {state.project_arn(name)}")
    now = clock.now()
    place.projects[name] = _checked(
        {**_defaults(), **_given(request), "arn": state.project_arn(name), "created": now, "lastModified": now}
    )
    return {"project": place.projects[name]}


@service.operation
@from_model
@assumed("a field that UpdateProject leaves out keeps its value")
def update_project(request: Json) -> Json:
    project = find(request["name"])
    place = state.here()
    place.projects[project["name"]] = _checked({**project, **_given(request), "lastModified": clock.now()})
    return {"project": place.projects[project["name"]]}


@service.operation
@documented("CodeBuild API reference, DeleteProject: the project's builds go too; a missing project is no error")
def delete_project(request: Json) -> Json:
    place, name = state.here(), state.project_name(request["name"])
    place.projects.pop(name, None)
    for identity in [identity for identity in place.builds if identity.startswith(f"{name}:")]:
        del place.builds[identity]
    return {}


@service.operation
@from_model
def batch_get_projects(request: Json) -> Json:
    known = state.here().projects
    wanted = {name: state.project_name(name) for name in request["names"]}
    return {
        "projects": [known[name] for name in wanted.values() if name in known],
        "projectsNotFound": [given for given, name in wanted.items() if name not in known],
    }


@service.operation
@from_model
def list_projects(request: Json) -> Json:
    by_time = {"CREATED_TIME": "created", "LAST_MODIFIED_TIME": "lastModified"}.get(request.get("sortBy", ""), "name")
    descending = request.get("sortOrder") == "DESCENDING"
    found = sorted(state.here().projects.values(), key=lambda project: project[by_time], reverse=descending)
    return page([project["name"] for project in found], request, "projects")


def page(items: list[str], request: Json, key: str, size: int = 100) -> Json:
    """One page of a list, as CodeBuild gives it: the token is the place to go on from."""
    try:
        start = int(request.get("nextToken") or 0)
    except ValueError as error:
        raise invalid("Invalid next token") from error
    more = {"nextToken": str(start + size)} if start + size < len(items) else {}
    return {key: items[start : start + size], **more}


def find(reference: str) -> Json:
    name = state.project_name(reference)
    project = state.here().projects.get(name)
    if project is None:
        raise missing(f"Project cannot be found: {state.project_arn(name)}")
    return project


def _given(request: Json) -> Json:
    given = {key: value for key, value in request.items() if key in _FIELDS}
    if "badgeEnabled" in request:
        given["badge"] = {"badgeEnabled": request["badgeEnabled"]}
    return given


@documented("CodeBuild API reference, Project; queuedTimeoutInMinutes from general knowledge")
def _defaults() -> Json:
    return {
        "timeoutInMinutes": 60,
        "queuedTimeoutInMinutes": 480,
        "encryptionKey": aws.arn("kms", "alias/aws/s3"),
        "cache": {"type": "NO_CACHE"},
        "badge": {"badgeEnabled": False},
        "projectVisibility": "PRIVATE",
    }


def _checked(project: Json) -> Json:
    if project.get("concurrentBuildLimit") == _NO_LIMIT:
        del project["concurrentBuildLimit"]
    environment = project["environment"] = _environment_defaults(project["environment"])
    check_source(project["source"])
    check_environment(environment)
    _refuse_what_is_not_emulated(project)
    _check_rest(project)
    check_role(project["serviceRole"], project["arn"])
    return project


@documented("CodeBuild API reference, ProjectEnvironment")
def _environment_defaults(environment: Json) -> Json:
    defaults = {"environmentVariables": [], "privilegedMode": False, "imagePullCredentialsType": "CODEBUILD"}
    variables = [{"type": "PLAINTEXT", **one} for one in environment.get("environmentVariables") or []]
    return {**defaults, **environment, "environmentVariables": variables}


@assumed("wordings; that NO_SOURCE needs a buildspec and others a location is documented")
def check_source(source: Json) -> None:
    kind, buildspec = source["type"], source.get("buildspec") or ""
    if kind == "NO_SOURCE":
        if not buildspec:
            raise invalid("Project source type NO_SOURCE requires a buildspec")
        if source.get("location"):
            raise invalid("Project source type NO_SOURCE takes no location")
    elif kind != "S3":
        raise AwsError("NotEmulatedException", f"the loopback cloud does not emulate CodeBuild sources of type {kind}")
    elif not source.get("location"):
        raise invalid("Project source location is required")
    if len(buildspec) > BUILDSPEC_LIMIT:
        raise invalid(f"Buildspec exceeds maximum length of {BUILDSPEC_LIMIT}")


@documented("CodeBuild API reference, ProjectEnvironment: curated images are pulled with CodeBuild's own credentials")
@assumed("wordings")
def check_environment(environment: Json) -> None:
    if is_curated(environment["image"]) and environment.get("imagePullCredentialsType") == "SERVICE_ROLE":
        raise invalid("Use of SERVICE_ROLE is not allowed with a CodeBuild curated image")
    on_lambda = "_LAMBDA_" in environment["type"]
    if on_lambda != environment["computeType"].startswith("BUILD_LAMBDA_"):
        raise invalid(f"Compute type {environment['computeType']} is not for {environment['type']}")
    if on_lambda and environment.get("privilegedMode"):
        raise invalid("Privileged mode is not supported by Lambda compute")
    names = [variable["name"] for variable in environment.get("environmentVariables", [])]
    if len(names) != len(set(names)):
        raise invalid("Environment variable names must be unique")


_NOT_EMULATED = ("secondarySources", "secondaryArtifacts", "fileSystemLocations")
_NOT_EMULATED_AROUND = ("registryCredential", "fleet", "dockerServer")


def _refuse_what_is_not_emulated(project: Json) -> None:
    artifacts = project["artifacts"]["type"]
    found = [f"artifacts of type {artifacts}"] if artifacts != "NO_ARTIFACTS" else []
    found += [name for name in _NOT_EMULATED if project.get(name)]
    found += [name for name in _NOT_EMULATED_AROUND if project["environment"].get(name)]
    if found:
        raise AwsError("NotEmulatedException", f"the loopback cloud does not emulate CodeBuild's {', '.join(found)}")


@assumed("wordings")
def _check_rest(project: Json) -> None:
    vpc = project.get("vpcConfig") or {}
    given = [bool(vpc.get(name)) for name in ("vpcId", "subnets", "securityGroupIds")]
    if any(given) and not all(given):
        raise invalid("Invalid vpc config: VPC ID, subnets and security groups are all required")
    if project.get("concurrentBuildLimit", 1) < 1:
        raise invalid("Invalid concurrent build limit: must be at least 1")


@assumed("wording, as users quote it")
def check_role(role: str, project_arn: str) -> None:
    if not aws.trusts(role.rpartition("/")[2], SERVICE, project_arn):
        raise invalid(
            "CodeBuild is not authorized to perform: sts:AssumeRole on service role. Please verify that: 1) The "
            "provided service role exists, 2) The role name is case-sensitive and matches exactly, and 3) The role "
            "has the necessary trust policy configured."
        )


@documented("CodeBuild user guide, build-env-ref-available")
def is_curated(image: str) -> bool:
    return image.startswith("aws/codebuild/")
