"""Who may call what in the control plane. ministack has checked the signature; which resources a call is about, and
which policies guard them, only ECR knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loopback import aws
from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented
from loopback.services.ecr.access import Visitor
from loopback.services.ecr.repositories import split_arn
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json
from loopback.services.ecr.tokens import Token


@service.authorizer
@documented(
    "ECR user guide, security_iam_service-with-iam; service authorization reference: resources, ecr:TagResource"
)
@assumed("a call that is not about a repository is open to other accounts only by a registry policy on *")
def authorize(operation: str, request: Json) -> None:
    """Refuse the call unless its caller may do it; from here on the call is in the registry that it names."""
    if not aws.caller.get():
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    owner = _registry(request)
    actions = [_action(operation)]
    if operation == "CreateRepository" and request.get("tags"):
        actions.append("ecr:TagResource")
    for name in _repositories(operation, request):
        for action in actions:
            _require(action, owner, name, _tags(request))
    aws.act_in(owner, aws.region())


def require(action: str, name: str) -> None:
    """Refuse the call unless its caller may also do `action` on the repository."""
    _require(action, aws.account(), name, {})


@documented(
    "IAM user guide, id_roles_use_passrole; ECR user guide, pull-through-cache-iam, repository-creation-templates"
)
@assumed("a role that is not there, or of another account, is refused as InvalidParameterException")
def pass_role(arn: str | None, to_service: str) -> None:
    """A role that the caller wants ECR to take on, if any."""
    if not arn:
        return
    if arn.split(":")[4:5] != [aws.account()]:
        raise invalid_parameter("customRoleArn", "must be a role of the account of the registry")
    aws.require_pass_role([arn], to_service)
    if not aws.role_exists(arn):
        raise invalid_parameter("customRoleArn", f"the role {arn} does not exist")


def _require(action: str, owner: str, name: str | None, context: Mapping[str, Any]) -> None:
    home = aws.account(), aws.region()
    caller = Token(aws.caller.get(), *home)
    refused = Visitor(caller, owner, home[1]).refusal(action, name, context)
    aws.act_in(*home)
    if refused:
        raise AwsError("AccessDeniedException", refused)


@documented("ECR user guide, logging-using-cloudtrail: listing referrers needs ecr:BatchGetImage")
def _action(operation: str) -> str:
    return "ecr:BatchGetImage" if operation == "ListImageReferrers" else f"ecr:{operation}"


def _registry(request: Json) -> str:
    """The account whose registry the call is about."""
    if "resourceArn" in request:
        return split_arn(request["resourceArn"])[1]
    return request.get("registryId") or aws.account()


def _repositories(operation: str, request: Json) -> list[str | None]:
    """The repositories that the call is about; None stands for the registry itself."""
    if "repositoryName" in request:
        return [request["repositoryName"]]
    if "resourceArn" in request:
        return [split_arn(request["resourceArn"])[2]]
    if operation == "DescribeRepositories":
        return list(request.get("repositoryNames") or ["*"])
    return list(request.get("repositoryNames") or [None])


def _tags(request: Json) -> dict[str, Any]:
    """The condition keys of a request that sets or removes tags."""
    tags = {tag["Key"]: tag["Value"] for tag in request.get("tags") or []}
    keys = [*tags, *(request.get("tagKeys") or [])]
    requested = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    return {**requested, **({"aws:TagKeys": keys} if keys else {})}
