"""An AWS service that speaks REST with JSON bodies: as loopback.json_service, operations told by method and path."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from loopback import aws
from loopback.errors import AwsError
from loopback.json_service import Json, JsonService, document
from loopback.validation import service_model


class RestService(JsonService):
    def __init__(self, name: str, invalid: str) -> None:
        super().__init__(name, invalid)
        model = service_model(name)
        self._routes = [_Route(model.operation_model(operation)) for operation in model.operation_names]
        # The most literal route first: /tags/{arn} before /{anything}.
        self._routes.sort(key=lambda route: route.pattern.groups)

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> aws.Answer:
        aws.caller.set(aws.access_key(headers, query))
        try:
            name, request = self._understand(method, path, body, query)
            return 200, {"Content-Type": "application/json"}, json.dumps(await self.call(name, request)).encode()
        except AwsError as error:
            status = error.status if error.status != 400 else self._status(error.code)
            kind = {"Content-Type": "application/json", "x-amzn-errortype": error.code}
            return status, kind, json.dumps({"message": error.message, "Message": error.message}).encode()

    def _understand(self, method: str, path: str, body: bytes, query: dict[str, Any]) -> tuple[str, Json]:
        for route in self._routes:
            if route.method == method and (match := route.pattern.fullmatch(path)):
                return route.name, {**document(body), **route.parameters(query), **route.labels(match)}
        raise AwsError("UnknownOperationException", f"{self.name} has no operation {method} {path}")

    def _status(self, code: str) -> int:
        shapes = service_model(self.name)
        if code not in shapes.shape_names:
            return 400
        return int(shapes.shape_for(code).metadata.get("error", {}).get("httpStatusCode", 400))


class _Route:
    def __init__(self, model: Any) -> None:
        self.name: str = model.name
        self.method: str = model.http["method"]
        self._members = model.input_shape.members if model.input_shape else {}
        pieces = re.split(r"\{(\w+)\+?\}", model.http["requestUri"].partition("?")[0])
        self._labels = pieces[1::2]
        self.pattern = re.compile("(.+?)".join(re.escape(piece) for piece in pieces[::2]))

    def labels(self, match: re.Match[str]) -> Json:
        return {name: unquote(value) for name, value in zip(self._labels, match.groups(), strict=True)}

    def parameters(self, query: dict[str, Any]) -> Json:
        """Members of the request that come by the query string."""
        found: Json = {}
        for name, shape in self._members.items():
            if shape.serialization.get("location") != "querystring":
                continue
            key = shape.serialization.get("name", name)
            if key in query:
                values = query[key] if isinstance(query[key], list) else [query[key]]
                found[name] = values if shape.type_name == "list" else _scalar(shape, values[0])
        return found


def _scalar(shape: Any, value: str) -> Any:
    return int(value) if shape.type_name == "integer" and value.isdigit() else value
