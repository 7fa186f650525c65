"""Resource policies: the documents that open a repository or a registry to principals."""

from __future__ import annotations

import json
import re
from typing import Any

from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed

_ACCOUNT = re.compile(r"\d{12}")


@assumed("ECR gives a policy back re-serialised: one-element lists as strings, account ids as the ARN of their root")
def checked(text: str, kind: str) -> str:
    """The policy as ECR keeps it. `kind` is repository or registry; a registry's statements name resources."""
    document = _parse(text, kind)
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _invalid(kind)
    for statement in statements:
        _check(statement, kind)
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(sids) != len(set(sids)):
        raise _invalid(kind)
    kept = {**document, "Statement": [_normal(statement) for statement in statements]}
    return json.dumps(kept, indent=2, separators=(",", " : "))


def _parse(text: str, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _invalid(kind) from error
    if not isinstance(document, dict):
        raise _invalid(kind)
    return document


@assumed("which statements ECR refuses; the wording is known from users' reports")
def _check(statement: Any, kind: str) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise _invalid(kind)
    if len(statement.keys() & {"Principal", "NotPrincipal"}) != 1:
        raise _invalid(kind)
    if len(statement.keys() & {"Action", "NotAction"}) != 1:
        raise _invalid(kind)
    if kind == "registry" and len(statement.keys() & {"Resource", "NotResource"}) != 1:
        raise _invalid(kind)
    for action in _as_list(statement.get("Action", statement.get("NotAction"))):
        if not isinstance(action, str) or (action != "*" and not action.lower().startswith("ecr:")):
            raise _invalid(kind)


def _normal(statement: dict[str, Any]) -> dict[str, Any]:
    kept = {key: _single(value) for key, value in statement.items()}
    principal = statement.get("Principal")
    if isinstance(principal, dict):
        kept["Principal"] = {
            kind: _single([_principal_arn(one) for one in _as_list(names)]) for kind, names in principal.items()
        }
    return kept


def _principal_arn(name: Any) -> Any:
    return f"arn:aws:iam::{name}:root" if isinstance(name, str) and _ACCOUNT.fullmatch(name) else name


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _invalid(kind: str) -> AwsError:
    return invalid_parameter("PolicyText", f"Invalid {kind} policy provided")
