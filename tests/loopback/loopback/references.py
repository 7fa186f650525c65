"""Values that a build or a task names instead of holding: parameters and secrets, read in the role that may."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from loopback.acting import Actor, reason
from loopback.fidelity import documented

_SECRET_ARN_FIELDS = 7


class Unresolved(Exception):
    """The value could not be had; the message says what AWS said."""


@documented("CodeBuild user guide, build-spec-ref (ssm:GetParameters); ECS developer guide, secrets-envvar-ssm")
def parameter(actor: Actor, name: str) -> str:
    """A Systems Manager parameter, decrypted, by name or ARN."""
    if name.startswith("arn:"):
        name = name.split(":parameter", 1)[-1]
        name = name if name.count("/") > 1 else name.lstrip("/")
    try:
        answer = actor.client("ssm").get_parameters(Names=[name], WithDecryption=True)
    except ClientError as error:
        raise Unresolved(reason(error)) from error
    if answer["InvalidParameters"]:
        raise Unresolved(f"parameter does not exist: {name}")
    return str(answer["Parameters"][0]["Value"])


@documented("CodeBuild user guide, build-spec-ref; ECS developer guide, secrets-envvar-secrets-manager")
def secret(actor: Actor, reference: str) -> str:
    """A secret, by `SECRET[:json key[:version stage[:version id]]]`, where SECRET is a name or an ARN."""
    fields = reference.split(":")
    count = _SECRET_ARN_FIELDS if reference.startswith("arn:") else 1
    identity, (key, stage, version) = ":".join(fields[:count]), (*fields[count:], "", "", "")[:3]
    which = {"VersionStage": stage} if stage else {}
    which |= {"VersionId": version} if version else {}
    try:
        text = str(actor.client("secretsmanager").get_secret_value(SecretId=identity, **which)["SecretString"])
    except ClientError as error:
        raise Unresolved(reason(error)) from error
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError) as error:
        raise Unresolved(f"the secret {identity} has no JSON key {key}") from error
