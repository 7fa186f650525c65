# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as botocore_exceptions
from botocore.exceptions import ClientError

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
    ECRErrorHandler,
)


def client_error(code: str, message: str, operation: str = "PutLifecyclePolicy") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def translated(error: Exception) -> AnsibleECRError:
    @ECRErrorHandler.common_error_handler("do it")
    def fail() -> None:
        raise error

    with pytest.raises(AnsibleECRError) as caught:
        fail()
    assert caught.value.__cause__ is error
    return caught.value


DENIED = "User: arn:aws:iam::1:user/u is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r"


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (
            client_error("RepositoryNotFoundException", "The repository with name 'x' does not exist"),
            "Failed to do it: The repository with name 'x' does not exist (RepositoryNotFoundException)",
            "RepositoryNotFoundException",
        ),
        (
            client_error("AccessDeniedException", ""),
            "Failed to do it (needs ecr:PutLifecyclePolicy): An error occurred (AccessDeniedException) when calling "
            "the PutLifecyclePolicy operation: (AccessDeniedException)",
            "AccessDeniedException",
        ),
        (
            client_error("AccessDenied", DENIED),
            f"Failed to do it (needs iam:PassRole): {DENIED} (AccessDenied)",
            "AccessDenied",
        ),
        (
            botocore_exceptions.ParamValidationError(report="Invalid length\n for parameter x"),
            "Failed to do it: Parameter validation failed: Invalid length for parameter x (ParamValidationError)",
            "ParamValidationError",
        ),
    ],
)
def test_an_error_of_one_item(error: Exception, text: str, code: str) -> None:
    result = translated(error)
    assert (str(result), result.code) == (text, code)
    assert not isinstance(result, AnsibleECRUnavailableError)


CREDENTIALS = "Check the credentials: profile, access_key, secret_key and session_token, or the role of this host."
ENDPOINT = "Check the region, endpoint_url, any proxy and the network of this host."


@pytest.mark.parametrize(
    ("error", "said", "remedy"),
    [
        (
            botocore_exceptions.NoCredentialsError(),
            "Unable to locate credentials (NoCredentialsError)",
            f". {CREDENTIALS}",
        ),
        (
            botocore_exceptions.EndpointConnectionError(endpoint_url="https://api.ecr.eu-east-1.amazonaws.com/"),
            'Could not connect to the endpoint URL: "https://api.ecr.eu-east-1.amazonaws.com/" '
            "(EndpointConnectionError)",
            f". {ENDPOINT}",
        ),
        (
            client_error("ExpiredTokenException", "The security token included in the request is expired"),
            "The security token included in the request is expired (ExpiredTokenException)",
            f". {CREDENTIALS}",
        ),
        (
            client_error("UnrecognizedClientException", "The security token included in the request is invalid."),
            "The security token included in the request is invalid (UnrecognizedClientException)",
            f". {CREDENTIALS} They also look invalid in a region that the account has not enabled.",
        ),
        (botocore_exceptions.DataNotFoundError(data_path="x"), "Unable to load data for: x (DataNotFoundError)", ""),
    ],
)
def test_an_error_of_all_items(error: Any, said: str, remedy: str) -> None:
    result = translated(error)
    assert isinstance(result, AnsibleECRUnavailableError)
    assert str(result) == f"Failed to do it: {said}{remedy}"


def test_an_error_without_aws() -> None:
    assert str(AnsibleECRError("Not so")) == "Not so"
    assert AnsibleECRError("Not so").code == "AnsibleECRError"
    assert AnsibleECRError("Not so", code="Own").code == "Own"


MISSING = client_error("LifecyclePolicyNotFoundException", "none")
NO_REPOSITORY = client_error("RepositoryNotFoundException", "none")


def test_none_is_an_answer_when_reading() -> None:
    def read(error: Exception) -> Any:
        @ECRErrorHandler.list_error_handler("read it", default_value="nothing")
        def fail() -> str:
            raise error

        return fail()

    assert read(MISSING) == "nothing"
    with pytest.raises(AnsibleECRError, match="Failed to read it"):
        read(NO_REPOSITORY)


def test_none_is_an_answer_when_deleting() -> None:
    def delete(error: Exception) -> bool:
        @ECRErrorHandler.deletion_error_handler("delete it")
        def fail() -> bool:
            raise error

        return fail()

    assert delete(MISSING) is False
    with pytest.raises(AnsibleECRError, match="Failed to delete it"):
        delete(NO_REPOSITORY)
