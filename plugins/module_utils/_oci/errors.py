# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors of the registry protocol: one family, fit to be shown to a user as they are.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping

_MAX_SAID = 400


class OciError(Exception):
    """Anything that goes wrong between here and a registry."""


class InvalidReferenceError(OciError):
    """A text that is no image reference, repository name or tag."""


class InvalidDigestError(OciError):
    """A text that is no digest, or one of an algorithm that cannot be verified here."""


class InvalidPlatformError(OciError):
    """A text that is no platform."""


class InvalidManifestError(OciError):
    """A manifest or index that cannot be used, or must not be trusted."""


class PlatformNotFoundError(OciError):
    """An index without the platform that was asked for."""


class CredentialError(OciError):
    """The machine's Docker config or a credential helper cannot be used."""


class RegistryError(OciError):
    """A registry refused something, or could not be asked.

    `doing` completes "Failed to ...", `said` is the registry's own words, `remedy` tells the user what to do.
    """

    def __init__(
        self,
        doing: str,
        said: str,
        *,
        registry: str = "",
        repository: str = "",
        status: int = 0,
        code: str = "",
        remedy: str = "",
    ) -> None:
        said = _printable(said)
        answer = " ".join(str(part) for part in (status, code) if part)
        text = f"Failed to {doing}: {said.rstrip('. ')}" + (f" ({answer})" if answer else "") + "."
        super().__init__(f"{text} {remedy}".rstrip())
        self.message = said
        self.registry, self.repository = registry, repository
        self.status, self.code, self.remedy = status, code, remedy


class Unauthorized(RegistryError):
    """No credential, a wrong one, or one that may not do this."""


class NotFound(RegistryError):
    """There is no such repository, tag, manifest or blob, or none that these credentials may see."""


class RateLimited(RegistryError):
    """Too many requests, for longer than the client was allowed to wait."""

    retry_after: float | None = None


class TooLarge(RegistryError):
    """More bytes than announced, or than anybody could mean."""


class DigestMismatch(RegistryError):
    """The content is not what its digest or its size says."""


class Unreachable(RegistryError):
    """No answer: no connection, no valid certificate, or a connection that broke too often."""


# What Amazon ECR allows is said in the body of an answer, which one to HEAD has not.
_WORDLESS_ECR = (
    "Check the name, and that the role and the policy of the repository allow ecr:BatchGetImage and "
    "ecr:GetDownloadUrlForLayer."
)


def refusal(
    doing: str,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    registry: str,
    repository: str = "",
    redirected_to: str = "",
    anonymous: bool = False,
    authorization: str | None = None,
    secrets: tuple[str, ...] = (),
    retry_after: float | None = None,
) -> RegistryError:
    """The error for an answer. What was sent as a credential is cut out of it, should the registry repeat it.

    A host that the registry redirected to got no credential, and its words may contain the signature of a URL.
    """
    code, message = ("", "") if redirected_to else _said(headers, body)
    said = _without(message, (*_secrets_of(authorization), *secrets))
    who = f"{redirected_to}, where {registry} redirects to," if redirected_to else registry
    judged = 403 if redirected_to and status == 401 else status
    kind, default, remedy = _kind(judged, code, registry, anonymous=anonymous)
    if judged == 403 and not said and not redirected_to and ".dkr.ecr" in registry:
        remedy = _WORDLESS_ECR
    error = kind(
        doing,
        f"{who} said: {said}" if said else f"{who} {default}",
        registry=registry,
        repository=repository,
        status=status,
        code=code,
        remedy=remedy,
    )
    if isinstance(error, RateLimited):
        error.retry_after = retry_after
    return error


def _kind(status: int, code: str, registry: str, *, anonymous: bool) -> tuple[type[RegistryError], str, str]:
    """The class, what to say if the registry said nothing, and what to do."""
    if status == 401 and anonymous:
        remedy = (
            f"Give credentials for {registry}, or log in with docker login. "
            "Registries also answer this for a repository that does not exist."
        )
        return Unauthorized, "wants credentials", remedy
    if status == 401:
        remedy = f"Check the username and password for {registry}, and the name of the repository."
        return Unauthorized, "does not accept the credentials", remedy
    if status == 403:
        return Unauthorized, "does not allow it", "Check the name, and what these credentials are allowed to do."
    if status == 404:
        return NotFound, "does not have it", "Check the name and the tag, and that these credentials may see it."
    if status == 413:
        return TooLarge, "takes no content of this size", "Check the registry's limits, and any proxy before it."
    if status == 429 or code == "TOOMANYREQUESTS":
        return RateLimited, "has had too many requests", f"Log in to {registry} if that raises the limit, or try later."
    if status >= 500:
        return RegistryError, "is in trouble", "Try again later."
    return RegistryError, "refused it", ""


def _said(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Code and message of an answer, or nothing: pages for browsers and storage services help nobody."""
    kind = headers.get("content-type", "").lower()
    text = body.decode("utf-8", errors="replace")
    if "json" in kind or text.lstrip().startswith("{"):
        return _said_in_json(text)
    return "", one_line(text) if kind.startswith("text/plain") else ""


def _said_in_json(text: str) -> tuple[str, str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else document
    if not isinstance(first, dict):
        return "", ""
    code, message = first.get("code"), first.get("message") or first.get("details")
    valid = isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_]{1,60}", code)
    return code if isinstance(code, str) and valid else "", one_line(message) if isinstance(message, str) else ""


def one_line(text: str) -> str:
    """What a stranger said, fit for a terminal."""
    line = _printable(text[: 4 * _MAX_SAID])
    return line if len(line) <= _MAX_SAID else f"{line[:_MAX_SAID]}..."


def _printable(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _secrets_of(authorization: str | None) -> tuple[str, ...]:
    scheme, value = [*(authorization or "").split(" ", 1), ""][:2]
    if scheme.lower() != "basic":
        return (value,)
    try:
        password = base64.b64decode(value).decode("utf-8", errors="replace").partition(":")[2]
    except (ValueError, binascii.Error):
        return (value,)
    return value, password


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
