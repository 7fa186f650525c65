"""The two ways in which an emulated service says no."""

from __future__ import annotations


class AwsError(Exception):
    """An error of an AWS API: its modelled code, and a message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class RegistryError(Exception):
    """An error of the registry HTTP API, answered as OCI's error document."""

    def __init__(self, code: str, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers = headers or {}


def invalid_parameter(where: str, why: str) -> AwsError:
    """ECR's wording for a parameter that breaks a constraint."""
    message = f"Invalid parameter at '{where}' failed to satisfy constraint: '{why}'"
    return AwsError("InvalidParameterException", message)
