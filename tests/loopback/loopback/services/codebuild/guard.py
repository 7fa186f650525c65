"""Who may call what. Every call is about projects: a build's or a batch's id starts with the name of its project."""

from __future__ import annotations

from loopback import aws
from loopback.fidelity import documented
from loopback.services.codebuild import state
from loopback.services.codebuild.service import service

Json = state.Json
SERVICE = "codebuild.amazonaws.com"


@service.authorizer
@documented("Service authorization reference, CodeBuild: every action is on a project, ListProjects on *")
def authorize(operation: str, request: Json) -> None:
    for resource in _resources(request) or ["*"]:
        aws.require(f"codebuild:{operation}", resource)
    aws.require_pass_role(_roles(request), SERVICE)


def _resources(request: Json) -> list[str]:
    names = [request.get("projectName"), request.get("name"), *(request.get("names") or [])]
    identities = [request.get("id"), *(request.get("ids") or [])]
    found = [state.project_name(name) for name in names if name]
    found += [state.build_id(identity).partition(":")[0] for identity in identities if identity]
    return [state.project_arn(name) for name in dict.fromkeys(found)]


@documented("IAM user guide, id_roles_use_passrole")
def _roles(request: Json) -> list[str | None]:
    batch = request.get("buildBatchConfig") or request.get("buildBatchConfigOverride") or {}
    return [request.get("serviceRole"), request.get("serviceRoleOverride"), batch.get("serviceRole")]
