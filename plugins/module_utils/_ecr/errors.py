# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors of the ECR layer: one family, a text for people and a code for programs.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

try:
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
except ImportError:
    pass  # handled by AnsibleAWSModule

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.errors import AWSErrorHandler
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

P = ParamSpec("P")
R = TypeVar("R")

# "There is none" as an answer. A repository that does not exist is an error, so its code is not here.
MISSING_CODES = ["LifecyclePolicyNotFoundException", "LifecyclePolicyPreviewNotFoundException"]

ACCESS_DENIED_CODES = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]

_FIX_CREDENTIALS = "Check the credentials: profile, access_key, secret_key and session_token, or the role of this host."
# A connection that broke says nothing of the next one: such an error is the item's own.
_PASSING = ["ConnectionClosedError", "ReadTimeoutError"]

_FIX_ENDPOINT = "Check the region, endpoint_url, any proxy and the network of this host."

# Error codes of AWS and exceptions of botocore that every other item would meet too, and what helps against them.
_REMEDIES = {
    **dict.fromkeys(
        [
            "CredentialRetrievalError",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NoCredentialsError",
            "PartialCredentialsError",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "SSOTokenLoadError",
            "TokenRetrievalError",
            "UnauthorizedSSOTokenError",
        ],
        _FIX_CREDENTIALS,
    ),
    **dict.fromkeys(
        ["InvalidClientTokenId", "UnrecognizedClientException"],
        f"{_FIX_CREDENTIALS} They also look invalid in a region that the account has not enabled.",
    ),
    **dict.fromkeys(
        [
            "ConnectTimeoutError",
            "EndpointConnectionError",
            "HTTPClientError",
            "ProxyConnectionError",
            "SSLError",
        ],
        _FIX_ENDPOINT,
    ),
}


class AnsibleECRError(AnsibleAWSError):
    """Something failed for one item; the others may do better."""

    def __str__(self) -> str:
        parts = [str(self.message), _said_by_aws(self.exception)]
        return ": ".join(part for part in parts if part)

    @property
    def code(self) -> str:
        """AWS's code where AWS answered, else the name of what went wrong."""
        return str(self.kwargs.get("code") or _code_of(self.exception) or type(self).__name__)


class AnsibleECRUnavailableError(AnsibleECRError):
    """AWS cannot be used at all: no endpoint, no valid credentials. Going on to the next item is pointless."""

    def __str__(self) -> str:
        remedy = _REMEDIES.get(self.code)
        return f"{super().__str__()}. {remedy}" if remedy else super().__str__()


class ECRErrorHandler(AWSErrorHandler):
    """Turns what boto3 raises into this family; the decorators of amazon.aws, typed."""

    _CUSTOM_EXCEPTION = AnsibleECRError

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(MISSING_CODES)
        return missing

    @classmethod
    def common_error_handler(cls, description: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(function)
            def handler(*args: P.args, **kwargs: P.kwargs) -> R:
                try:
                    return function(*args, **kwargs)
                except (ClientError, BotoCoreError) as error:
                    raise _translate(description, error) from error
                except (KeyError, UnicodeDecodeError) as error:
                    raise AnsibleECRError(
                        f"Failed to {description}: the answer is none of Amazon ECR's. {_FIX_ENDPOINT}",
                        code="UnexpectedAnswer",
                    ) from error

            return handler

        return decorate

    @classmethod
    def list_error_handler(
        cls, description: str, default_value: Any = None
    ) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
        handler: Callable[[Callable[P, R]], Callable[P, R | None]] = super().list_error_handler(
            description, default_value
        )
        return handler

    @classmethod
    def deletion_error_handler(cls, description: str) -> Callable[[Callable[P, bool]], Callable[P, bool]]:
        handler: Callable[[Callable[P, bool]], Callable[P, bool]] = super().deletion_error_handler(description)
        return handler


def _translate(description: str, error: Exception) -> AnsibleECRError:
    code = _code_of(error)
    if code in ACCESS_DENIED_CODES:
        return AnsibleECRError(f"Failed to {description} (needs {_denied_action(error)})", error)
    is_of_this_item = isinstance(error, (ClientError, ParamValidationError)) or code in _PASSING
    if code in _REMEDIES or not is_of_this_item:
        return AnsibleECRUnavailableError(f"Failed to {description}", error)
    return AnsibleECRError(f"Failed to {description}", error)


def _code_of(error: Exception | None) -> str:
    if error is None:
        return ""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def _said_by_aws(error: Exception | None) -> str:
    """One line: AWS's own words and its code, without botocore's preamble."""
    if error is None:
        return ""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    text = str(response.get("Error", {}).get("Message") or error)
    return f"{' '.join(text.split()).rstrip('.')} ({_code_of(error)})"


def _denied_action(error: Any) -> str:
    """The action to grant. AWS names it when it can; ECR's operations and actions have the same names."""
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", str(error))
    return named.group(1) if named else f"ecr:{error.operation_name}"
