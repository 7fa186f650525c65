"""Systems Manager: ministack's, with each of several parameters judged that one call names."""

from __future__ import annotations

import json

from loopback import aws, pass_role
from loopback.aws.repairs import parameter_arn
from loopback.fidelity import documented

NAME = "ssm"


@documented("Systems Manager user guide, sysman-paramstore-access: ssm:GetParameters is on each parameter")
def before(_method: str, _path: str, headers: dict[str, str], body: bytes) -> None:
    operation = pass_role.operation(headers)
    if operation in ("GetParameters", "DeleteParameters"):
        for name in json.loads(body or b"{}").get("Names") or []:
            aws.require(f"ssm:{operation}", parameter_arn(name, aws.region(), aws.account()))
