# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_repository_purge
from ansible_collections.stevedore.ecr.tests.unit.support.fake_cache import FakeCache
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Image
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeCache:
    fake = FakeCache()
    fake.add("quay/a", "quay/b/c", "quayside/d", "team/e", images=[Image("sha256:1", ["1"])])
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(*repositories: str, check_mode: bool = False) -> dict[str, Any]:
    return run_module(ecr_repository_purge.main, check_mode=check_mode, repositories=list(repositories))


def names(result: dict[str, Any]) -> list[str]:
    return [repository["name"] for repository in result["repositories"]]


def test_what_is_named_goes_with_its_images(ecr: FakeCache) -> None:
    result = run("quay/*", "team/e", "no/such")
    assert names(result) == ["quay/a", "quay/b/c", "team/e"]
    assert result["actions"][0] == "delete the repository quay/a with all its images"
    assert list(ecr.repositories) == ["quayside/d"]
    assert not run("quay/*", "team/e", "no/such")["changed"]


def test_check_mode_lists_and_deletes_nothing(ecr: FakeCache) -> None:
    result = run("quay/*", check_mode=True)
    assert (result["changed"], names(result)) == (True, ["quay/a", "quay/b/c"])
    assert ecr.writes() == []


def test_nothing_is_meant_by_no_names(ecr: FakeCache) -> None:
    assert names(run()) == []
    assert ecr.calls == []


def test_one_that_fails_does_not_stop_the_others(ecr: FakeCache) -> None:
    ecr.refuse("DeleteRepository", "AccessDeniedException", "no", only="quay/a")
    result = run("quay/*")
    assert (
        "Failed for 1 of 2 repositories. quay/a: Failed to delete the repository (needs ecr:DeleteRepository)"
        in result["msg"]
    )
    assert list(ecr.repositories) == ["quay/a", "quayside/d", "team/e"]


def test_one_that_somebody_else_deleted_is_gone(ecr: FakeCache) -> None:
    ecr.refuse("DeleteRepository", "RepositoryNotFoundException", "gone", only="quay/a")
    assert not run("quay/a").get("failed")
