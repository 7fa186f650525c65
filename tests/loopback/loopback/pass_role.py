"""iam:PassRole, which AWS checks whenever a caller hands a role to a service, and ministack does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from loopback import aws
from loopback.fidelity import documented

Json = dict[str, Any]
Guard = Callable[[str, str, dict[str, str], bytes], None]


def operation(headers: dict[str, str]) -> str:
    return headers.get("x-amz-target", "").rpartition(".")[2]


def guard(service: str, operations: Iterable[str], roles: Callable[[Json], list[str | None]]) -> Guard:
    """A check for services/NAME.py: the caller of these JSON operations must be allowed to pass the roles they name."""
    guarded = frozenset(operations)

    @documented("IAM user guide, id_roles_use_passrole")
    def before(_method: str, _path: str, headers: dict[str, str], body: bytes) -> None:
        if operation(headers) in guarded:
            aws.require_pass_role(roles(json.loads(body or b"{}")), service)

    return before
