# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import (
    Login,
    RegistryLogin,
    private_login,
    public_login,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError, UnavailableError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirrored import HOST, FakeMirrored

HALF_A_DAY = 12 * 3600


class Aws:
    """Gives logins, each another one."""

    def __init__(self, seconds: float = HALF_A_DAY) -> None:
        self.clock, self.seconds = FakeClock(), seconds
        self.given = 0
        self.failing = False

    def log_in(self) -> Login:
        self.given += 1
        if self.failing:
            raise AnsibleECRError("Failed to log in to Amazon ECR")
        return Login(Credentials("AWS", str(self.given)), self.seconds)

    def login(self, failing: type[MirrorError] = MirrorError) -> RegistryLogin:
        return RegistryLogin(self.log_in, failing, now=self.clock.now)


def test_the_answer_of_ecr() -> None:
    found = private_login(FakeMirrored().client)
    assert found.credentials == Credentials("AWS", "pw")
    assert (found.endpoint, found.host) == (f"https://{HOST}", HOST)
    assert abs(found.seconds - HALF_A_DAY) < 60


def test_an_answer_that_is_none() -> None:
    class NotEcr:
        def get_authorization_token(self) -> dict[str, dict[str, object]]:
            return {"authorizationData": {"authorizationToken": "a", "expiresAt": timedelta()}}

    with pytest.raises(AnsibleECRError, match="the answer has no login in it"):
        public_login(NotEcr())


def test_a_login_is_good_until_shortly_before_it_expires() -> None:
    aws = Aws()
    login = aws.login()
    assert [login.credentials().password for _time in range(3)] == ["1"] * 3
    aws.clock.time += HALF_A_DAY - 1000
    assert login.credentials().password == "1"
    aws.clock.time += 200
    assert login.credentials().password == "2"
    assert aws.given == 2


@pytest.mark.parametrize("seconds", [-3600, 0, 30])
def test_a_clock_that_is_wrong_does_not_ask_again_and_again(seconds: float) -> None:
    aws = Aws(seconds)
    login = aws.login()
    assert {login.credentials().password for _time in range(100)} == {"1"}
    aws.clock.time += 60
    assert login.credentials().password == "2"


def test_one_that_is_refused_is_renewed_but_not_all_the_time() -> None:
    aws = Aws()
    login = aws.login()
    found = []
    for _refusal in range(5):
        found.append(login.credentials().password)
        login.refused()
    assert found == ["1", "2", "2", "2", "2"]
    aws.clock.time += 30
    assert login.credentials().password == "3"


@pytest.mark.parametrize("kind", [MirrorError, UnavailableError])
def test_a_failure_is_remembered_for_a_while(kind: type[MirrorError]) -> None:
    aws = Aws()
    aws.failing = True
    login = aws.login(kind)
    for _attempt in range(10):
        with pytest.raises(kind, match="Failed to log in to Amazon ECR"):
            login.credentials()
    assert aws.given == 1
    aws.failing, aws.clock.time = False, aws.clock.time + 30
    assert login.credentials().password == "2"


def test_many_threads_need_one_login() -> None:
    aws = Aws()
    login, start = aws.login(), threading.Barrier(8)

    def ask(_number: int) -> str:
        start.wait(10)
        return login.credentials().password

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"1"}


def test_a_password_is_not_shown() -> None:
    assert "secret-thing" not in repr(Login(Credentials("AWS", "secret-thing"), 1.0))
