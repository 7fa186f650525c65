"""ministack's parts, under names of our own. Nothing outside this package touches ministack's internals.

ministack (pinned) brings SigV4, IAM evaluation, STS, Secrets Manager, SSM, S3, Logs, EventBridge, SNS, SQS and EC2.
Services of ours replace or add to its table of services, so that its authentication and authorisation run
before our handlers; of a service that AUTHORIZES itself it only checks the credentials. `repairs` mends what ministack
gets wrong, `delivery` is its events, queues, topics and metrics.
`tests/integration/loopback/test_ministack.py` pins each internal that is leaned on here, `test_events.py` those of
`delivery`, `rules` and `alarms`.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

from loopback.aws.lookups import kms_key_arn, role_exists, secret_exists, secret_kms_key, secret_string, subnet_exists
from loopback.config import Settings
from loopback.errors import AwsError
from loopback.web import App

# Beside what is written here.
__all__ = ["kms_key_arn", "role_exists", "secret_exists", "secret_kms_key", "secret_string", "subnet_exists"]

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]

#: The access key that signed the API call being handled.
caller: ContextVar[str] = ContextVar("caller", default="")


def configure(settings: Settings, port: int) -> None:
    """ministack reads its environment when it is imported: call this first."""
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        AUTH="true" if settings.enforce_iam else "false",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        MINISTACK_ACCOUNT_ID=settings.account,
        MINISTACK_REGION=settings.region,
        LOG_LEVEL="WARNING",
        S3_DATA_DIR=str(settings.directory / "s3"),
    )


def application() -> App:
    """ministack's ASGI application. It never looks for a Docker daemon: the machine's own is nobody's business."""
    import ministack.app as ministack

    from loopback.aws import alarms, delivery, repairs

    ministack._docker_socket_present = lambda: False
    repairs.apply()
    delivery.install()
    alarms.install()
    app: App = ministack.app
    return app


def install(name: str, module: ModuleType) -> None:
    """Put one of our services in ministack's place, or add it. The module offers handle_request and reset."""
    import ministack.app as ministack
    from ministack import services

    if not hasattr(module, "start_scheduler"):
        module.start_scheduler = lambda: None  # type: ignore[attr-defined]  # what ministack starts along with itself
    sys.modules[f"ministack.services.{name}"] = module
    setattr(services, name, module)
    ministack._loaded_modules[name] = module
    ministack.SERVICE_HANDLERS[name] = module.handle_request
    if getattr(module, "AUTHORIZES", False):
        _leave_authorization_to(name)


def _leave_authorization_to(name: str) -> None:
    """ministack checks only the signatures of calls to this service: it cannot tell which resources they are about."""
    from ministack.core import iam_actions

    inner = iam_actions.extract_iam_action

    def extract(service: str, *request: Any) -> str | None:
        return None if service == name else inner(service, *request)

    iam_actions.extract_iam_action = extract


def guard(name: str, before: Callable[[str, str, dict[str, str], bytes], None], *, authorizes: bool = False) -> None:
    """Run `before` ahead of a service's handler; an AwsError from it is the answer."""
    import ministack.app as ministack

    inner: Handler = ministack.SERVICE_HANDLERS[name]

    async def handler(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
        caller.set(access_key(headers, query))
        try:
            before(method, path, headers, body)
        except AwsError as error:
            document = {"__type": error.code, "message": error.message}
            # botocore reads the code of a REST service from the header, of a JSON service from the document.
            kind = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": error.code}
            return error.status, kind, json.dumps(document).encode()
        return await inner(method, path, headers, body, query)

    ministack.SERVICE_HANDLERS[name] = handler
    if authorizes:
        _leave_authorization_to(name)


def reset() -> None:
    import ministack.app as ministack

    ministack._reset_all_state()


# ------------------------------------------------------------------ who and where


def account() -> str:
    from ministack.core.responses import get_account_id

    return str(get_account_id())


def region() -> str:
    from ministack.core.responses import get_region

    return str(get_region())


def act_in(account_id: str, region_name: str) -> None:
    """Handle the rest of this request in that account and region."""
    from ministack.core.responses import set_request_account_id, set_request_region

    set_request_account_id(account_id)
    set_request_region(region_name)


def access_key(headers: dict[str, str], query: dict[str, Any]) -> str:
    from ministack.core.router import extract_access_key_id

    return str(extract_access_key_id(headers, query) or "")


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{region()}:{account()}:{resource}"


# ------------------------------------------------------------------ may they


def denial(key: str, action: str, resource: str, context: dict[str, Any] | None = None) -> str | None:
    """None when IAM allows it, else AWS's sentence. `key` is the access key of the caller."""
    import ministack.app as ministack
    from ministack.core.iam_evaluator import AuthError, enforce

    if not ministack.AUTH:
        return None
    service = action.split(":", 1)[0]
    verdict = enforce(key, action, service, region(), resource_arn=resource, service_context=context or {})
    if verdict is None:
        return None
    if isinstance(verdict, AuthError):
        return str(verdict.message)
    return _sentence(verdict, action, resource)


def refusal(
    key: str, action: str, resource: str, *, owner: str, policies: Iterable[str | None], context: dict[str, Any]
) -> str | None:
    """As `denial`, where account `owner` guards the resource by several policies: a repository's and its registry's.

    In one account an Allow on either side is enough; across accounts both sides must allow; a Deny anywhere wins.
    """
    import ministack.app as ministack
    from ministack.core.iam_evaluator import AuthError, EvalResult, combine_resource_policy, evaluate, resolve_principal

    if not ministack.AUTH:
        return None
    principal = resolve_principal(key, _account_of(key))
    if isinstance(principal, AuthError):
        return str(principal.message)
    request = _evaluation(principal, action, resource, context)
    if principal.policies is None:  # an account's root user
        identity = EvalResult("Allow", principal.arn)
    else:
        identity = evaluate(request, principal.policies, *principal.limits)
    statements = [statement for policy in filter(None, policies) for statement in _statements(policy)]
    verdict = combine_resource_policy(identity, request, {"Statement": statements}, owner, limits=principal.limits)
    if verdict.decision == "Allow":
        return None
    # Who may by identity, and still may not, is kept out by the owner's policies.
    return _sentence(verdict, action, resource, "a resource" if identity.decision == "Allow" else "an identity")


def _sentence(verdict: Any, action: str, resource: str, by: str = "an identity") -> str:
    missing = f"because no {by.partition(' ')[2]}-based policy allows the {action} action"
    kind = f"with an explicit deny in {by}-based policy" if verdict.decision == "Deny" else missing
    return f"User: {verdict.principal_arn} is not authorized to perform: {action} on resource: {resource} {kind}"


def _evaluation(principal: Any, action: str, resource: str, context: dict[str, Any]) -> Any:
    from ministack.core.iam_evaluator import EvalContext

    return EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=region(),
        service_context={name.lower(): value for name, value in context.items()},
        principal_keys=principal.keys,
    )


def _statements(policy: str) -> list[dict[str, Any]]:
    statements = json.loads(policy).get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def require(action: str, resource: str, context: dict[str, Any] | None = None) -> None:
    """Refuse the API call being handled unless its caller may also do `action`."""
    refused = denial(caller.get(), action, resource, context)
    if refused:
        raise AwsError("AccessDeniedException", refused)


def require_pass_role(role_arns: Iterable[str | None], to_service: str) -> None:
    """iam:PassRole, which ministack does not check by itself."""
    for role in filter(None, role_arns):
        require("iam:PassRole", role, {"iam:PassedToService": to_service})


def caller_arn() -> str:
    """Whose call is being handled."""
    from ministack.core.iam_evaluator import AuthError, resolve_principal

    principal = resolve_principal(caller.get(), _account_of(caller.get()))
    return f"arn:aws:iam::{account()}:root" if isinstance(principal, AuthError) else str(principal.arn)


def _account_of(key: str) -> str:
    from ministack.core.responses import _account_from_sts_session

    return str(_account_from_sts_session(key) or account())


# ------------------------------------------------------------------ roles of services


def trusts(role_name: str, service: str, source_arn: str = "") -> bool:
    """Whether the role's trust policy lets the AWS service assume it."""
    from ministack.core.iam_evaluator import EvalContext, _conditions_met
    from ministack.services import iam

    role = iam._roles.get(role_name)
    if not role:
        return False
    document = role.get("AssumeRolePolicyDocument")
    statements = (json.loads(document) if isinstance(document, str) else document or {}).get("Statement", [])
    allowed = False
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if service not in ([services] if isinstance(services, str) else services):
            continue
        context = EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=account(),
            action="sts:AssumeRole",
            resource_arn=role["Arn"],
            region=region(),
            service_context={"aws:sourceaccount": account(), "aws:sourcearn": source_arn},
        )
        if not _conditions_met(statement.get("Condition", {}), context):
            continue
        if statement["Effect"] == "Deny":
            return False
        allowed = True
    return allowed


def service_session(role_arn: str, service: str, name: str, source_arn: str = "", ttl: float = 3600) -> dict[str, Any]:
    """Credentials with which an AWS service acts in a role that trusts it."""
    from ministack.services import sts

    role_name = role_arn.rsplit("/", 1)[-1]
    if not trusts(role_name, service, source_arn):
        raise AwsError("AccessDeniedException", f"{service} is not authorized to perform: sts:AssumeRole on {role_arn}")
    key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_urlsafe(64)
    owner, expires = role_arn.split(":")[4], time.time() + ttl
    sts.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{owner}:assumed-role/{role_name}/{name[:64]}",
            "UserId": f"{sts._role_id(role_arn)}:{name[:64]}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": expires,
            "AccountId": owner,
            "PrincipalType": "AssumedRole",
        },
    )
    return {
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": datetime.fromtimestamp(expires, timezone.utc),
    }
