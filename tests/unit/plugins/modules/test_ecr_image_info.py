# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with ECR in memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_image_info
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Image
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import HOST, FakeECRRegistry
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeECRRegistry:
    fake = FakeECRRegistry()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    fake.add("team/app", images=[Image(OLD, ["v1"], 2), Image(NEW, ["v2", "latest"], 1)])
    fake.add("team/web", "other")
    return fake


def run(repositories: Any, **options: Any) -> dict[str, Any]:
    return run_module(ecr_image_info.main, repositories=repositories, **options)


def test_all_images_of_a_glob(ecr: FakeECRRegistry) -> None:
    result = run(["team/*"])
    assert not result["changed"]
    assert [item["name"] for item in result["repositories"]] == ["team/app", "team/web"]
    app = result["repositories"][0]
    assert app["uri"] == f"{HOST}/team/app"
    assert [image["digest"] for image in app["images"]] == [NEW, OLD]
    assert app["images"][0]["uris"] == [f"{HOST}/team/app:latest", f"{HOST}/team/app:v2"]


def test_the_same_in_check_mode(ecr: FakeECRRegistry) -> None:
    assert run_module(ecr_image_info.main, check_mode=True, repositories=["team/app"]) == run(["team/app"])


def test_the_aliases_take_one(ecr: FakeECRRegistry) -> None:
    result = run_module(ecr_image_info.main, repository="team/app", tag="v1", digest=NEW)
    assert [image["digest"] for image in result["repositories"][0]["images"]] == [NEW, OLD]


def test_what_is_missing_is_no_failure(ecr: FakeECRRegistry) -> None:
    result = run(["team/app", "team/web"], tags=["v1"])
    assert not result.get("failed")
    assert [item["missing"] for item in result["repositories"]] == [[], ["v1"]]


def test_nothing_matches_nothing_is_asked(ecr: FakeECRRegistry) -> None:
    result = run(["none/*"])
    assert result["repositories"] == []
    assert result["warnings"] == ["No repository matches 'none/*'."]
    assert ecr.operations() == ["DescribeRepositories"]


def test_two_hundred_repositories_in_one_task(ecr: FakeECRRegistry) -> None:
    names = [f"many/{number:03}" for number in range(200)]
    ecr.add(*names, images=[Image(OLD, ["v1"])])
    ecr.calls.clear()
    result = run(["many/*"])
    assert [item["name"] for item in result["repositories"]] == names
    assert all(len(item["images"]) == 1 for item in result["repositories"])
    assert len(ecr.calls) == 1 + 1 + 200


def test_a_failing_repository_does_not_hide_the_others(ecr: FakeECRRegistry) -> None:
    result = run(["team/app", "team/none", "team/web"])
    assert result["failed"]
    assert result["msg"] == (
        "Failed for 1 of 3 repositories. team/none: Failed to list the images: The repository with name 'team/none' "
        "does not exist in the registry with id '123456789012' (RepositoryNotFoundException)"
    )
    assert [sorted(item) for item in result["repositories"]] == [
        ["images", "missing", "name", "uri"],
        ["error", "name"],
        ["images", "missing", "name", "uri"],
    ]


@pytest.mark.parametrize(
    ("operation", "options"),
    [("DescribeImages", {}), ("DescribeImages", {"tags": ["v1", "no"]}), ("ListImages", {"tags": ["v1", "no"]})],
)
def test_a_denied_call_names_the_action_that_is_needed(
    ecr: FakeECRRegistry, operation: str, options: dict[str, Any]
) -> None:
    ecr.refuse(operation, "AccessDeniedException", "User: u is not allowed", only="team/app")
    result = run(["team/app"], **options)
    assert result["failed"]
    assert f"(needs ecr:{operation})" in result["msg"]


def test_the_address_cannot_be_had_without_permission(ecr: FakeECRRegistry) -> None:
    ecr.refuse("GetAuthorizationToken", "AccessDeniedException", "User: u is not allowed")
    assert "(needs ecr:GetAuthorizationToken)" in run(["team/app"])["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": ["v*"]}, "Not valid: tags: 'v*' is no tag"),
        ({"digests": ["latest"]}, "Not valid: digests: must be sha256: and 64 hexadecimal digits"),
        ({"tags": ["v1"], "tag_status": "tagged"}, "parameters are mutually exclusive: tags|tag_status"),
        ({"tag_status": "new"}, "value of tag_status must be one of: any, tagged, untagged, got: new"),
        ({"repositories": ["Team/App"]}, "Neither a repository name nor a glob: 'Team/App'"),
    ],
)
def test_bad_input_is_refused_before_any_call(ecr: FakeECRRegistry, options: dict[str, Any], message: str) -> None:
    result = run_module(ecr_image_info.main, **{"repositories": ["team/*"], **options})
    assert result["failed"]
    assert message in result["msg"]
    assert ecr.calls == []


def test_throttling_is_waited_out(ecr: FakeECRRegistry, slept: list[float]) -> None:
    ecr.refuse("DescribeImages", "ThrottlingException", "Rate exceeded", times=3)
    assert not run(["team/app"]).get("failed")
    assert len(slept) == 3
