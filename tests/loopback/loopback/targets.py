"""What schedules and rules start, in their role: builds, tasks, jobs, messages, any API call by a universal target."""

from __future__ import annotations

import json
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, UnknownServiceError

from loopback import cloud
from loopback.acting import Actor
from loopback.fidelity import assumed, documented
from loopback.validation import operation_model, service_model

Json = dict[str, Any]
_UNIVERSAL = ":scheduler:::aws-sdk:"


class TargetError(Exception):
    """The target refused, or there is none such."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    @assumed("what is not tried again: missing permissions, and requests that can never be right")
    def is_final(self) -> bool:
        return any(word in self.code for word in ("AccessDenied", "Validation", "NotFound", "InvalidInput", "Client"))


def start(actor: Actor, target: Json, given: str | None) -> Json:
    """Start what the target names; what the API answered."""
    arn = target["Arn"]
    try:
        if _UNIVERSAL in arn:
            service, operation = universal(arn)
            return _call(actor, service, operation, arguments(service, operation, given))
        kind = arn.split(":")[2]
        if kind not in _TEMPLATED:
            raise TargetError("NotEmulated", f"the loopback cloud does not start targets such as {arn}")
        operation, build = _TEMPLATED[kind]
        answer = _call(actor, kind, operation, build(target, given))
    except (ValueError, BotoCoreError) as error:
        raise TargetError("ValidationException", str(error)) from error
    if answer.get("failures"):
        raise TargetError("Ecs.ClientException", str(answer["failures"]))
    return answer


def _call(actor: Actor, service: str, operation: str, request: Json) -> Json:
    try:
        answer: Json = getattr(actor.client(service), xform_name(operation))(**request)
    except ClientError as error:
        said = error.response["Error"]
        raise TargetError(said["Code"], said["Message"]) from error
    return answer


# ------------------------------------------------------------------ universal targets


@documented("EventBridge Scheduler user guide, managing-targets-universal: aws-sdk:service:apiAction")
def universal(arn: str) -> tuple[str, str]:
    """The service and the operation that the ARN names."""
    service, _colon, action = arn.partition(_UNIVERSAL)[2].partition(":")
    operation = action[:1].upper() + action[1:]
    try:
        known = service_model(service).operation_names
    except UnknownServiceError as error:
        raise ValueError(f"there is no service {service}") from error
    if action[:1].isupper() or operation not in known:
        raise ValueError(f"{service} has no action {action}")
    return service, operation


@documented("EventBridge Scheduler user guide, managing-targets-universal: the input is the request, in PascalCase")
def arguments(service: str, operation: str, given: str | None) -> Json:
    """The arguments of the call that the input asks for; ValueError where there are none such."""
    document = json.loads(given or "{}")
    if not isinstance(document, dict):
        raise ValueError("the input is no object")
    shape = operation_model(service, operation).input_shape
    found: Json = _renamed(shape, document)
    if shape is not None and (missing := [name for name in shape.required_members if name not in found]):
        raise ValueError(f"the input lacks {', '.join(missing)}")
    return found


def _renamed(shape: Any, value: Any) -> Any:
    """The document with the names of the service model."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name[:1].upper() + name[1:]: name for name in shape.members}
        if unknown := value.keys() - names.keys():
            raise ValueError(f"the input has no field {sorted(unknown)[0]}")
        return {names[key]: _renamed(shape.members[names[key]], item) for key, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_renamed(shape.member, item) for item in value]
    return value


# ------------------------------------------------------------------ templated targets


@assumed("overrides for a build in the input of a templated target, in either spelling")
def _build(target: Json, given: str | None) -> Json:
    return {"projectName": target["Arn"].rpartition("/")[2], **_lower(json.loads(given or "{}"))}


@documented("EventBridge Scheduler API reference, EcsParameters")
@assumed("container overrides come by the input of a templated target")
def _task(target: Json, given: str | None) -> Json:
    parameters = _lower(target.get("EcsParameters") or {})
    request = {name: value for name, value in parameters.items() if name not in ("taskDefinitionArn", "taskCount")}
    overrides = json.loads(given or "{}")
    return {
        "cluster": target["Arn"],
        "taskDefinition": parameters.get("taskDefinitionArn", ""),
        "count": parameters.get("taskCount", 1),
        **request,
        **({"overrides": overrides} if overrides else {}),
    }


@documented("EventBridge API reference, BatchParameters")
def _job(target: Json, given: str | None) -> Json:
    parameters = target.get("BatchParameters") or {}
    more: Json = {}
    if "ArrayProperties" in parameters:
        more["arrayProperties"] = {"size": parameters["ArrayProperties"]["Size"]}
    if "RetryStrategy" in parameters:
        more["retryStrategy"] = {"attempts": parameters["RetryStrategy"]["Attempts"]}
    names = {"jobName": parameters.get("JobName", ""), "jobDefinition": parameters.get("JobDefinition", "")}
    return {"jobQueue": target["Arn"], **names, **more, **_lower(json.loads(given or "{}"))}


def _message(target: Json, given: str | None) -> Json:
    return {"QueueUrl": queue_url(target["Arn"]), "MessageBody": given or "{}"}


def _notification(target: Json, given: str | None) -> Json:
    return {"TopicArn": target["Arn"], "Message": given or "{}"}


_TEMPLATED = {
    "codebuild": ("StartBuild", _build),
    "ecs": ("RunTask", _task),
    "batch": ("SubmitJob", _job),
    "sqs": ("SendMessage", _message),
    "sns": ("Publish", _notification),
}


def _lower(value: Any) -> Any:
    """The document with the first letter of each name in lower case, as these services' models have them."""
    if isinstance(value, dict):
        return {_lower_name(key): _lower(item) for key, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


def _lower_name(name: str) -> str:
    return name[:1].lower() + name[1:]


def queue_url(arn: str) -> str:
    account, name = arn.split(":")[4:6]
    return f"{cloud.running().endpoint}/{account}/{name}"
