"""An AWS service that speaks JSON 1.1, from a table of functions. A service of ours is one of these in one file:

    service = JsonService("codebuild")
    handle_request = service.handle_request

    @service.operation
    @from_model
    def batch_get_projects(request: Json) -> Json: ...

The function is named as boto3 names the operation. By then IAM has allowed the call, the request has been validated
against the service model, and aws.account(), aws.region() and aws.caller say whose call it is.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable
from typing import Any

from botocore import xform_name

from loopback import aws
from loopback.errors import AwsError
from loopback.validation import service_model, validate

Json = dict[str, Any]
Operation = Callable[[Json], Json]
Authorizer = Callable[[str, Json], None]


class JsonService:
    def __init__(self, name: str, invalid: str = "InvalidParameterException") -> None:
        self.name = name
        self._invalid = invalid  # the code of a request that breaks the service model
        self._names = {xform_name(op): op for op in service_model(name).operation_names}
        self._operations: dict[str, Operation] = {}
        self._blocking: set[str] = set()
        self._authorize: Authorizer = lambda _operation, _request: None

    def authorizer(self, function: Authorizer) -> Authorizer:
        """Register what decides whether a call is allowed, for a service that AUTHORIZES itself (see aws.install)."""
        self._authorize = function
        return function

    def operation(self, function: Operation) -> Operation:
        """Register the function as the operation it is named after."""
        self._operations[self._names[function.__name__]] = function
        return function

    def blocking_operation(self, function: Operation) -> Operation:
        """The same for a function that waits for something, such as an upstream: it gets a thread."""
        self._blocking.add(self._names[function.__name__])
        return self.operation(function)

    @property
    def emulated(self) -> frozenset[str]:
        return frozenset(self._operations)

    async def handle_request(
        self, _method: str, _path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> aws.Answer:
        aws.caller.set(aws.access_key(headers, query))
        try:
            name = headers.get("x-amz-target", "").rpartition(".")[2]
            return _answer(200, await self.call(name, document(body)))
        except AwsError as error:
            return _answer(error.status, {"__type": error.code, "message": error.message})

    async def call(self, name: str, request: Json) -> Json:
        if name not in self._names.values():
            raise AwsError("UnknownOperationException", f"{self.name} has no operation {name}")
        function = self._operations.get(name)
        if function is None:
            # 400, so that botocore does not retry what will never work.
            raise AwsError("NotEmulatedException", f"the loopback cloud does not emulate {self.name}:{name}")
        validate(self.name, name, request, self._invalid)
        self._authorize(name, request)
        if name not in self._blocking:
            return function(request)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(None, context.run, function, request)


def document(body: bytes) -> Json:
    try:
        found: Json = json.loads(body or b"{}")
    except ValueError as error:
        raise AwsError("SerializationException", "the request body is not JSON") from error
    return found


def _answer(status: int, document: Json) -> aws.Answer:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
