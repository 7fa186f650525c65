# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option `registries` of modules: how to speak to the registries that images come from.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import CredentialError, InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/.+")
_ENDPOINT = re.compile(r"https?://[^/?#@]+/?")


@dataclass(frozen=True)
class RegistryOptions:
    """What was said of one registry. `aws_login` is None where nothing was said of it."""

    credentials: Credentials | None = None
    endpoint: str = ""
    ca: str = ""
    insecure: bool = False
    aws_login: bool | None = None
    region: str = ""
    role_arn: str = ""


def read_registries(given: Sequence[Mapping[str, Any]], problems: list[str]) -> dict[str, RegistryOptions]:
    """By host, in the form that references have. Adds to `problems` all that is wrong."""
    registries: dict[str, RegistryOptions] = {}
    for index, options in enumerate(given):
        where = f"registries[{index}]"
        wrong = [f"{where}.{problem}" for problem in _problems(options)]
        host = _host(options["host"])
        if host is None:
            wrong.append(f"{where}.host: must be a host, such as ghcr.io or registry.example:5000")
        elif host in registries:
            wrong.append(f"{where}.host: {host} is there more than once")
        else:
            registries[host] = RegistryOptions() if wrong else _read(options)
        problems += wrong
    return registries


def _read(options: Mapping[str, Any]) -> RegistryOptions:
    username, password, token = (options.get(name) or "" for name in ("username", "password", "token"))
    return RegistryOptions(
        credentials=Credentials(username, password, registry_token=token) if password or token else None,
        endpoint=options.get("endpoint") or "",
        ca=options.get("ca") or "",
        insecure=bool(options.get("insecure")),
        aws_login=options.get("aws_login"),
        region=options.get("region") or "",
        role_arn=options.get("role_arn") or "",
    )


def _problems(options: Mapping[str, Any]) -> Iterator[str]:
    """Each begins with its field. Nothing secret is in them."""
    given = {name for name, value in options.items() if value not in (None, "")}
    logins = given & {"username", "password", "token"}
    if logins not in (set(), {"username", "password"}, {"token"}):
        yield f"{min(logins)}: a login is either username and password, or token"
    aws = given & {"region", "role_arn"} | ({"aws_login"} if options.get("aws_login") else set())
    if logins and aws:
        yield f"{min(logins)}: and {min(aws)} are two ways to log in: leave one of them out"
    if aws and options.get("aws_login") is False:
        yield f"{min(aws)}: is for logging in by AWS, and aws_login is false: leave one of them out"
    if "role_arn" in given and not _ROLE_ARN.fullmatch(options["role_arn"]):
        yield f"role_arn: must be the ARN of an IAM role, not {options['role_arn']!r}"
    yield from _token_problems(options)
    yield from _address_problems(options)


def _token_problems(options: Mapping[str, Any]) -> Iterator[str]:
    try:
        Credentials(registry_token=options.get("token") or "")
    except CredentialError as error:
        yield f"token: {error}"


def _address_problems(options: Mapping[str, Any]) -> Iterator[str]:
    endpoint, ca = options.get("endpoint"), options.get("ca")
    if endpoint and not _is_endpoint(endpoint):
        yield "endpoint: must be of the form https://host or https://host:port, without path, user name and password"
    elif endpoint and options.get("insecure") and endpoint.startswith("https:"):
        yield "insecure: means plain HTTP, and endpoint is HTTPS: leave one of them out"
    if ca and not os.path.isfile(ca):
        yield f"ca: there is no file {ca}"


def _is_endpoint(text: str) -> bool:
    try:
        return _ENDPOINT.fullmatch(text) is not None and (urlsplit(text).port or 1) > 0
    except ValueError:
        return False


def _host(text: str) -> str | None:
    try:
        return Reference(text, "any/name").registry
    except InvalidReferenceError:
        return None
