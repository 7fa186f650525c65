# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import FakeECR
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import POLICY

TEXT = json.dumps(POLICY)


@pytest.fixture
def ecr() -> FakeECR:
    ecr = FakeECR()
    ecr.add("with", policy=POLICY)
    ecr.add("without")
    return ecr


def test_repositories_are_listed_over_all_pages(ecr: FakeECR) -> None:
    ecr.add(*[f"many/{number:04}" for number in range(2500)])
    names = api.list_repository_names(ecr.client)
    assert len(names) == 2502
    assert {"with", "without", "many/0000", "many/2499"} <= set(names)
    assert len(ecr.calls) == 3


def test_get_policy(ecr: FakeECR) -> None:
    assert json.loads(api.get_lifecycle_policy(ecr.client, "with") or "") == POLICY
    assert api.get_lifecycle_policy(ecr.client, "without") is None


def test_put_policy(ecr: FakeECR) -> None:
    api.put_lifecycle_policy(ecr.client, "without", TEXT)
    assert ecr.policy("without") == POLICY


def test_delete_policy(ecr: FakeECR) -> None:
    assert api.delete_lifecycle_policy(ecr.client, "with") is True
    assert api.delete_lifecycle_policy(ecr.client, "with") is False


def test_preview(ecr: FakeECR) -> None:
    assert api.get_lifecycle_policy_preview(ecr.client, "with") is None
    api.start_lifecycle_policy_preview(ecr.client, "with", TEXT)
    page = api.get_lifecycle_policy_preview(ecr.client, "with")
    assert page is not None
    assert page["status"] == "COMPLETE"
    assert ecr.calls[-1][1] == {"repositoryName": "with", "maxResults": 100}


@pytest.mark.parametrize(
    ("call", "description", "operation"),
    [
        (api.list_repository_names, "list the repositories", "DescribeRepositories"),
        (lambda client: api.get_lifecycle_policy(client, "xx"), "read the lifecycle policy", "GetLifecyclePolicy"),
        (
            lambda client: api.put_lifecycle_policy(client, "xx", TEXT),
            "write the lifecycle policy",
            "PutLifecyclePolicy",
        ),
        (
            lambda client: api.delete_lifecycle_policy(client, "xx"),
            "remove the lifecycle policy",
            "DeleteLifecyclePolicy",
        ),
        (
            lambda client: api.start_lifecycle_policy_preview(client, "xx", TEXT),
            "start the lifecycle policy preview",
            "StartLifecyclePolicyPreview",
        ),
        (
            lambda client: api.get_lifecycle_policy_preview(client, "xx"),
            "read the lifecycle policy preview",
            "GetLifecyclePolicyPreview",
        ),
    ],
)
def test_a_denied_call_names_the_action_that_is_needed(
    ecr: FakeECR, call: Any, description: str, operation: str
) -> None:
    ecr.refuse(operation, "AccessDeniedException", "User: u is not allowed")
    with pytest.raises(AnsibleECRError) as caught:
        call(ecr.client)
    assert str(caught.value) == (
        f"Failed to {description} (needs ecr:{operation}): User: u is not allowed (AccessDeniedException)"
    )


@pytest.mark.parametrize("code", ["ThrottlingException", "Throttling", "ServerException", "TooManyRequestsException"])
def test_throttling_is_waited_out_with_jitter(ecr: FakeECR, slept: list[float], code: str) -> None:
    ecr.refuse("GetLifecyclePolicy", code, "Rate exceeded", times=4)
    assert api.get_lifecycle_policy(ecr.client, "with") is not None
    assert len(slept) == 4
    assert all(0 < pause < 2**attempt for attempt, pause in enumerate(slept))


def test_throttling_that_does_not_end(ecr: FakeECR, slept: list[float]) -> None:
    ecr.refuse("GetLifecyclePolicy", "ThrottlingException", "Rate exceeded", times=100)
    with pytest.raises(AnsibleECRError, match="Rate exceeded \\(ThrottlingException\\)"):
        api.get_lifecycle_policy(ecr.client, "with")
    assert len(slept) == 7


def test_the_back_off_of_one_call_does_not_slow_down_the_next(ecr: FakeECR, slept: list[float]) -> None:
    """AWSRetry keeps one back-off for a decorated function; calls in other threads would wait ever longer."""
    started = []

    @api.retried
    def outer() -> str | None:
        started.append(1)
        ecr.refuse("GetLifecyclePolicy", "ThrottlingException")
        return api.get_lifecycle_policy(ecr.client, "with")

    for _attempt in range(10):
        outer()
    assert all(pause <= 1 for pause in slept)


def test_other_errors_are_not_tried_again(ecr: FakeECR, slept: list[float]) -> None:
    with pytest.raises(AnsibleECRError, match="RepositoryNotFoundException"):
        api.get_lifecycle_policy(ecr.client, "missing")
    assert slept == []
    assert len(ecr.calls) == 1
