# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_access import RegistryAccess, RequestCounters
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import Login, RegistryLogin
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import RegistryOptions
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirrored import FakeMirrored

OWN = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
OTHER = "210987654321.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::210987654321:role/reader"
PASSWORD = Credentials("user", "password")


class FakeAws:
    """Makes clients, and remembers for what."""

    def __init__(self) -> None:
        self.clients: list[tuple[str, dict[str, Any]]] = []
        self.assumed: list[str] = []

    def client(self, service: str, **settings: Any) -> Any:
        self.clients.append((service, settings))
        return _FakeClient(self, service, settings)


class _FakeClient:
    def __init__(self, aws: FakeAws, service: str, settings: dict[str, Any]) -> None:
        self._aws, self._service, self._settings = aws, service, settings

    def get_authorization_token(self) -> dict[str, Any]:
        who = self._settings.get("aws_session_token", "me")
        password = f"AWS:{self._service} {self._settings.get('region', 'here')} {who}".encode()
        data = {
            "authorizationToken": base64.b64encode(password).decode(),
            "expiresAt": datetime.now(timezone.utc) + timedelta(hours=12),
        }
        return {"authorizationData": data if self._service == "ecr-public" else [data]}

    def assume_role(self, **request: str) -> dict[str, Any]:
        self._aws.assumed.append(request["RoleArn"])
        return {"Credentials": {"AccessKeyId": "id", "SecretAccessKey": "key", "SessionToken": "somebody"}}


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture(autouse=True)
def _docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    auth = base64.b64encode(b"docker:login").decode()
    hosts = ("ghcr.io", "public.ecr.aws", OTHER)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def access(aws: FakeAws, **options: RegistryOptions) -> RegistryAccess:
    """`options` by host, with underscores for dots."""
    logins = {OWN: RegistryLogin(lambda: Login(Credentials("AWS", "own"), 1000.0, f"https://{OWN}"))}
    by_host = {host.replace("_", "."): one for host, one in options.items()}
    return RegistryAccess(aws.client, by_host, OWN, logins, ca_bundle="/bundle")


def password(access: RegistryAccess, host: str) -> str | None:
    found = access.credentials_for(host)
    from_settings = access.settings([host])[host].credentials
    assert from_settings is not None
    assert from_settings() == found
    return found.password if found else None


@pytest.mark.parametrize(
    ("host", "options", "expected"),
    [
        (OWN, {}, "own"),
        ("quay.io", {}, None),
        ("ghcr.io", {}, "login"),
        ("ghcr.io", {"credentials": PASSWORD}, "password"),
        (OTHER, {}, "ecr us-east-1 me"),
        (OTHER, {"region": "us-west-2"}, "ecr us-west-2 me"),
        (OTHER, {"role_arn": ROLE}, "ecr us-east-1 somebody"),
        (OTHER, {"credentials": PASSWORD}, "password"),
        (OTHER, {"aws_login": False}, "login"),
        ("127.0.0.2:4566", {"aws_login": True}, "ecr here me"),
        ("public.ecr.aws", {}, "login"),
        ("public.ecr.aws", {"aws_login": True}, "ecr-public us-east-1 me"),
        ("public.ecr.aws", {"role_arn": ROLE}, "ecr-public us-east-1 somebody"),
    ],
)
def test_whose_login(aws: FakeAws, host: str, options: dict[str, Any], expected: str | None) -> None:
    made = access(aws, **{host: RegistryOptions(**options)})
    made.settings([host])
    assert password(made, host) == expected
    assert aws.assumed == [ROLE] * (options.get("role_arn") == ROLE)


def test_aws_is_asked_for_nothing_before_a_login_is_needed(aws: FakeAws) -> None:
    access(aws, **{OTHER: RegistryOptions(role_arn=ROLE)}).settings([OTHER, "quay.io"])
    assert aws.clients == [("sts", {})]
    assert aws.assumed == []


def test_addresses_and_authorities(aws: FakeAws) -> None:
    options = RegistryOptions(endpoint="https://mirror.example", ca="/ca", insecure=False)
    found = access(aws, quay_io=options, localhost=RegistryOptions(insecure=True)).settings(
        ["quay.io", "localhost", OTHER, "ghcr.io"]
    )
    assert {host: (one.endpoint, one.ca_bundle, one.insecure) for host, one in found.items()} == {
        "quay.io": ("https://mirror.example", "/ca", False),
        "localhost": ("", "", True),
        OTHER: ("", "/bundle", False),
        "ghcr.io": ("", "", False),
        OWN: (f"https://{OWN}", "/bundle", False),
    }


class Refusals:
    """A login that counts how often it is refused."""

    def __init__(self) -> None:
        self.count = 0

    def refused(self) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("statuses", "refusals"),
    [([200, 404, 500], 0), ([401], 0), ([401, 200, 403, 201], 1), ([401, 401], 1), ([403], 1)],
)
def test_a_refusal_is_told_but_for_the_first_question(statuses: list[int], refusals: int) -> None:
    login = Refusals()
    counters = RequestCounters({OWN: login})  # type: ignore[dict-item]
    for status in statuses:
        counters.answered(Asked(OWN, "PUT", "manifest"), status)
        counters.answered(Asked("docker.io", "GET", "manifest"), 403)
    assert login.count == refusals
    assert counters.by_registry() == {OWN: len(statuses), "docker.io": len(statuses)}


def test_calls_of_aws_are_counted() -> None:
    ecr, counters = FakeMirrored("app"), RequestCounters({})
    counters.count_calls(ecr.client)
    # The fake answers before anything is sent: the event is that of botocore for what is.
    ecr.client.meta.events.emit("before-send.ecr.DescribeRepositories", request=None)
    assert counters.by_registry() == {"Amazon ECR API": 1}
