# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import (
    RegistryOptions,
    read_registries,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials

ROLE = "arn:aws:iam::123456789012:role/reader"
SECRET = "secret-thing"


def read(*given: dict[str, Any]) -> tuple[dict[str, RegistryOptions], list[str]]:
    problems: list[str] = []
    return read_registries([{"host": "ghcr.io", **options} for options in given], problems), problems


def test_what_can_be_said_of_a_registry(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    found, problems = read(
        {"username": "a", "password": "b"},
        {"host": "Quay.io", "token": "c", "endpoint": "https://mirror.example:5000/", "ca": str(ca)},
        {"host": "registry-1.docker.io", "insecure": True, "endpoint": "http://127.0.0.1:5000"},
        {"host": "127.0.0.2:4566", "role_arn": ROLE, "region": "eu-west-1"},
        {"host": "public.ecr.aws", "aws_login": True},
        {"host": "localhost", "username": None, "password": "", "aws_login": False},
    )
    assert problems == []
    assert found == {
        "ghcr.io": RegistryOptions(Credentials("a", "b")),
        "quay.io": RegistryOptions(
            Credentials(registry_token="c"), endpoint="https://mirror.example:5000/", ca=str(ca)
        ),
        "docker.io": RegistryOptions(insecure=True, endpoint="http://127.0.0.1:5000"),
        "127.0.0.2:4566": RegistryOptions(role_arn=ROLE, region="eu-west-1"),
        "public.ecr.aws": RegistryOptions(aws_login=True),
        "localhost": RegistryOptions(aws_login=False),
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "ghcr"}, "registries[0].host: must be a host"),
        ({"host": "https://ghcr.io"}, "registries[0].host: must be a host"),
        ({"host": ""}, "registries[0].host: must be a host"),
        ({"username": "a"}, "registries[0].username: a login is either"),
        ({"password": SECRET}, "registries[0].password: a login is either"),
        ({"username": "a", "password": SECRET, "token": SECRET}, "registries[0].password: a login is either"),
        ({"token": f"{SECRET} x"}, "registries[0].token: The registry token has a space"),
        ({"token": SECRET, "role_arn": ROLE}, "registries[0].token: and role_arn are two ways to log in"),
        ({"token": SECRET, "aws_login": True}, "registries[0].token: and aws_login are two ways to log in"),
        ({"region": "eu-west-1", "aws_login": False}, "registries[0].region: is for logging in by AWS"),
        ({"role_arn": "reader"}, "registries[0].role_arn: must be the ARN of an IAM role, not 'reader'"),
        ({"endpoint": "mirror.example"}, "registries[0].endpoint: must be of the form https://host"),
        ({"endpoint": "https://a.example/path"}, "registries[0].endpoint: must be of the form https://host"),
        ({"endpoint": f"https://u:{SECRET}@a.example"}, "registries[0].endpoint: must be of the form https://host"),
        ({"endpoint": "https://a.example:x"}, "registries[0].endpoint: must be of the form https://host"),
        ({"endpoint": "https://a.example", "insecure": True}, "registries[0].insecure: means plain HTTP"),
        ({"ca": "/no/such/file"}, "registries[0].ca: there is no file /no/such/file"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(options: dict[str, Any], says: str) -> None:
    problems = read(options)[1]
    assert len(problems) == 1
    assert problems[0].startswith(says)
    assert SECRET not in problems[0]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    problems = read({"username": "a"}, {"host": "GHCR.io"}, {"host": "x", "ca": "/none"})[1]
    assert [problem.partition(":")[0] for problem in problems] == [
        "registries[0].username",
        "registries[1].host",
        "registries[2].ca",
        "registries[2].host",
    ]
