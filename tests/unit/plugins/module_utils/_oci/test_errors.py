# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    NotFound,
    OciError,
    RateLimited,
    RegistryError,
    TooLarge,
    Unauthorized,
    refusal,
)

JSON = {"content-type": "application/json"}
PLAIN = {"content-type": "text/plain; charset=utf-8"}
HTML = {"content-type": "text/html"}
UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'


def refused(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None, authorization: str = "Bearer abc"
) -> RegistryError:
    return refusal(
        "read it",
        status=status,
        headers=JSON if headers is None else headers,
        body=body,
        registry="quay.io",
        repository="a/b",
        authorization=authorization,
    )


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (
            401,
            Unauthorized,
            "quay.io does not accept the credentials (401). Check the username and password for quay.io,",
        ),
        (403, Unauthorized, "quay.io does not allow it (403). Check the name, and what"),
        (404, NotFound, "quay.io does not have it (404). Check the name and the tag"),
        (413, TooLarge, "quay.io takes no content of this size (413). Check the registry's limits"),
        (429, RateLimited, "quay.io has had too many requests (429). Log in to quay.io"),
        (500, RegistryError, "quay.io is in trouble (500). Try again later."),
        (503, RegistryError, "quay.io is in trouble (503). Try again later."),
        (400, RegistryError, "quay.io refused it (400)."),
        (302, RegistryError, "quay.io refused it (302)."),
    ],
)
def test_each_status_has_its_class_and_its_advice(status: int, kind: type[RegistryError], text: str) -> None:
    error = refused(status)
    assert error.__class__ is kind
    assert isinstance(error, OciError)
    assert str(error).startswith(f"Failed to read it: {text}")
    assert (error.status, error.registry, error.repository) == (status, "quay.io", "a/b")


def test_without_credentials_the_advice_is_to_give_some() -> None:
    error = refusal("x", status=401, headers={}, body=b"", registry="quay.io", anonymous=True)
    assert str(error).startswith(
        "Failed to x: quay.io wants credentials (401). Give credentials for quay.io, or log in"
    )


def test_the_words_of_a_host_that_was_redirected_to_are_not_shown() -> None:
    error = refusal("x", status=401, headers=PLAIN, body=b"s3cret", registry="quay.io", redirected_to="cdn.example")
    assert error.__class__ is Unauthorized
    assert error.status == 401
    assert str(error).startswith("Failed to x: cdn.example, where quay.io redirects to, does not allow it (401).")


@pytest.mark.parametrize(
    ("headers", "body", "code", "said"),
    [
        (JSON, UNKNOWN, "MANIFEST_UNKNOWN", "quay.io said: manifest unknown"),
        ({}, UNKNOWN, "MANIFEST_UNKNOWN", "quay.io said: manifest unknown"),
        (JSON, b'{"details":"incorrect username"}', "", "quay.io said: incorrect username"),
        (JSON, b'{"errors":[]}', "", "quay.io refused it"),
        (JSON, b'{"errors":["x"]}', "", "quay.io refused it"),
        (JSON, b'{"errors":[{"code":7,"message":[]}]}', "", "quay.io refused it"),
        (JSON, b'{"errors":[{"code":"<b>"}]}', "", "quay.io refused it"),
        (JSON, b"[]", "", "quay.io refused it"),
        (JSON, b"not json", "", "quay.io refused it"),
        (JSON, b"[" * 60_000, "", "quay.io refused it"),
        (PLAIN, b"Too Many\r\n\x1b[31mRequests ", "", "quay.io said: Too Many [31mRequests"),
        (PLAIN, b"x" * 60_000, "", "quay.io said: " + "x" * 400 + "..."),
        (PLAIN, b"\xff\xfe", "", "quay.io said: \ufffd\ufffd"),
        (HTML, b"<html>no</html>", "", "quay.io refused it"),
    ],
)
def test_what_registries_say_is_shown_in_one_short_line(
    headers: dict[str, str], body: bytes, code: str, said: str
) -> None:
    error = refused(400, body, headers)
    assert (error.code, error.message) == (code, said)


@pytest.mark.parametrize(
    "secret", ["Bearer s3cret-token", "Basic " + base64.b64encode(b"user:s3cret-word").decode(), "Basic s3cret"]
)
def test_a_credential_that_the_registry_repeats_is_cut_out(secret: str) -> None:
    hidden = ["s3cret-token", "s3cret-word", secret.split()[1]]
    body = f"no: {secret} {' '.join(hidden[1:])}".encode()
    text = str(refused(403, body, PLAIN, secret))
    assert "***" in text
    assert secret.split()[1] not in text
    if secret != "Basic s3cret":
        assert not any(word in text for word in hidden if word in ("s3cret-token", "s3cret-word") and word in secret)


def test_the_wait_that_was_asked_for_is_kept() -> None:
    error = refusal("x", status=429, headers={}, body=b"", registry="docker.io", retry_after=7)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


def test_an_error_without_an_answer_names_no_status() -> None:
    assert str(RegistryError("do it", "no way.", remedy="Stop.")) == "Failed to do it: no way. Stop."


def test_where_amazon_ecr_cannot_say_which_action_it_is_about_the_advice_does() -> None:
    host = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
    error = refusal("see what a:1 is", status=403, headers={}, body=b"", registry=host)
    assert "does not allow it (403). Check the name, and that the role and the policy" in str(error)
    assert "ecr:BatchGetImage" in str(error)
