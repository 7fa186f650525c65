"""Validates a request against botocore's service model: required, type, enum, length, range, pattern.

botocore itself checks only `required` and `min` on the client side; the service checks all of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
import regex  # the models' patterns are Java's: `re` refuses \p{L}
from botocore.model import OperationModel, ServiceModel, Shape

from loopback.errors import AwsError, invalid_parameter


@cache
def service_model(service: str) -> ServiceModel:
    return botocore.session.Session().get_service_model(service)


def operation_model(service: str, operation: str) -> OperationModel:
    return service_model(service).operation_model(operation)


def validate(service: str, operation: str, request: dict[str, Any], code: str = "InvalidParameterException") -> None:
    """Raise an error with the service's code for the first constraint that `request` breaks."""
    shape = operation_model(service, operation).input_shape
    if shape is None:
        return
    try:
        _check(shape, request, "")
    except AwsError as error:
        raise AwsError(code, error.message) from None


def _check(shape: Shape, value: Any, where: str) -> None:
    check = _CHECKS.get(shape.type_name)
    if check is not None:
        check(shape, value, where)


def _structure(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise invalid_parameter(where, "must be a structure")
    for name in shape.required_members:
        if value.get(name) is None:
            raise invalid_parameter(_join(where, name), "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _check(member, value[name], _join(where, name))


def _list(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, list):
        raise invalid_parameter(where, "must be a list")
    _bounds(shape, len(value), where, "length")
    for index, item in enumerate(value, 1):
        _check(shape.member, item, f"{where}.{index}.member")


def _string(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise invalid_parameter(where, "must be a string")
    if shape.enum and value not in shape.enum:
        raise invalid_parameter(where, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not regex.fullmatch(pattern, value):
        raise invalid_parameter(where, f"must satisfy regular expression '{pattern}'")
    _bounds(shape, len(value), where, "length")


def _integer(shape: Any, value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_parameter(where, "must be an integer")
    _bounds(shape, value, where, "value")


def _boolean(_shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise invalid_parameter(where, "must be a boolean")


def _bounds(shape: Shape, size: int, where: str, what: str) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        raise invalid_parameter(where, f"Member must have {what} greater than or equal to {low}")
    if high is not None and size > high:
        raise invalid_parameter(where, f"Member must have {what} less than or equal to {high}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


_CHECKS = {
    "structure": _structure,
    "list": _list,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
}
