# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.lifecycle_preview import preview_policy
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import AnsibleECRTimeoutError
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import FakeECR, Image
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import NORMAL, POLICY, Rule

OTHER_POLICY = json.dumps({"rules": POLICY["rules"][:1]})


@pytest.fixture
def ecr() -> FakeECR:
    ecr = FakeECR()
    ecr.add("a/b", images=[Image("sha256:young", [], 1), Image("sha256:old", [], 30), Image("sha256:v1", ["v1"], 400)])
    return ecr


def preview(ecr: FakeECR, rules: list[Rule] | None = None, timeout: float = 300) -> dict[str, Any]:
    return preview_policy(ecr.client, "a/b", rules or NORMAL, timeout=timeout, clock=FakeClock())


def start_another(ecr: FakeECR, looks: int = 0) -> None:
    """Somebody else tries another policy, which takes so many looks."""
    ours, ecr.preview_looks = ecr.preview_looks, looks
    ecr._start_lifecycle_policy_preview({"repositoryName": "a/b", "lifecyclePolicyText": OTHER_POLICY})
    ecr.preview_looks = ours


def digests(result: dict[str, Any]) -> list[str]:
    return [image["digest"] for image in result["images"]]


def test_it_returns_what_would_expire(ecr: FakeECR) -> None:
    assert preview(ecr) == {
        "expiring_total": 1,
        "transitioning_total": 0,
        "images": [
            {
                "digest": "sha256:old",
                "tags": [],
                "pushed_at": "2026-05-02T12:00:00+00:00",
                "storage_class": "standard",
                "rule_priority": 1,
                "action": "expire",
                "target_storage_class": None,
            }
        ],
    }


def test_it_returns_what_would_be_archived(ecr: FakeECR) -> None:
    archive = {**NORMAL[1], "count_number": 1, "tag_patterns": ["*"], "action": "transition"}
    ecr.repositories["a/b"].images.append(Image("sha256:v2", ["v2"], 2))
    result = preview(ecr, [{**archive, "target_storage_class": "archive"}])
    assert (result["expiring_total"], result["transitioning_total"]) == (0, 1)
    assert digests(result) == ["sha256:v1"]
    assert result["images"][0]["target_storage_class"] == "archive"


def test_it_waits_while_ecr_works(ecr: FakeECR) -> None:
    ecr.preview_looks = 3
    assert digests(preview(ecr)) == ["sha256:old"]
    assert len(ecr.called("GetLifecyclePolicyPreview")) == 4
    assert len(ecr.called("StartLifecyclePolicyPreview")) == 1


def test_it_reads_all_pages(ecr: FakeECR) -> None:
    ecr.repositories["a/b"].images += [Image(f"sha256:{number}", [], 20) for number in range(249)]
    result = preview(ecr)
    assert result["expiring_total"] == 250
    assert len(set(digests(result))) == 250
    assert len(ecr.called("GetLifecyclePolicyPreview")) == 3


def test_it_waits_for_the_preview_of_somebody_else_and_then_runs_its_own(ecr: FakeECR) -> None:
    start_another(ecr, looks=3)
    ecr.repositories["a/b"].images.append(Image("sha256:v0", ["v0"], 500))
    assert digests(preview(ecr, [{**NORMAL[1], "count_number": 1}])) == ["sha256:v0"]


def test_a_preview_that_was_replaced_is_run_again(ecr: FakeECR) -> None:
    ecr.on("GetLifecyclePolicyPreview", lambda _request: start_another(ecr))
    assert digests(preview(ecr, [{**NORMAL[0], "count_number": 500}])) == []
    assert len(ecr.called("StartLifecyclePolicyPreview")) == 2


def test_a_preview_that_was_replaced_between_two_pages_is_run_again(ecr: FakeECR) -> None:
    ecr.repositories["a/b"].images += [Image(f"sha256:{number}", [], 20) for number in range(150)]
    ecr.on("GetLifecyclePolicyPreview", lambda _request: None)
    ecr.on("GetLifecyclePolicyPreview", lambda _request: start_another(ecr, looks=2))
    assert preview(ecr)["expiring_total"] == 151
    assert len(ecr.called("GetLifecyclePolicyPreview")) == 4


def test_the_preview_of_the_same_policy_in_other_words_is_ours(ecr: FakeECR) -> None:
    def reword(_request: Any) -> None:
        running = ecr.repositories["a/b"].preview
        assert running
        running.text = json.dumps({"rules": POLICY["rules"][::-1]}, indent=4)

    ecr.on("GetLifecyclePolicyPreview", reword)
    assert digests(preview(ecr)) == ["sha256:old"]
    assert len(ecr.called("StartLifecyclePolicyPreview")) == 1


def test_a_policy_that_nobody_understands_is_not_ours(ecr: FakeECR) -> None:
    def scramble(_request: Any) -> None:
        running = ecr.repositories["a/b"].preview
        assert running
        running.text = "?" * 100

    ecr.on("GetLifecyclePolicyPreview", scramble)
    assert digests(preview(ecr)) == ["sha256:old"]
    assert len(ecr.called("StartLifecyclePolicyPreview")) == 2


def test_a_preview_that_is_not_there_yet_is_waited_for(ecr: FakeECR) -> None:
    ecr.refuse("GetLifecyclePolicyPreview", "LifecyclePolicyPreviewNotFoundException", times=2)
    assert digests(preview(ecr)) == ["sha256:old"]
    assert len(ecr.called("StartLifecyclePolicyPreview")) == 1


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        ("FAILED", "LifecyclePolicyPreviewFailed", "ECR could not work it out"),
        ("EXPIRED", "LifecyclePolicyPreviewExpired", "ECR threw its result away before it could be read"),
    ],
)
def test_a_preview_with_a_bad_end(ecr: FakeECR, end: str, code: str, reason: str) -> None:
    ecr.preview_looks, ecr.preview_end = 1, end
    with pytest.raises(AnsibleECRError) as caught:
        preview(ecr)
    assert str(caught.value) == (
        f"The lifecycle policy preview ended {end}: {reason}. Nothing was changed; run it again."
    )
    assert caught.value.code == code


@pytest.mark.parametrize("others", [False, True])
def test_a_preview_that_takes_too_long_says_how_far_it_came(ecr: FakeECR, others: bool) -> None:
    ecr.preview_looks = 1000
    if others:
        start_another(ecr, looks=1000)
    with pytest.raises(AnsibleECRTimeoutError) as caught:
        preview(ecr, timeout=5)
    reached = "waiting for another preview of this repository to end" if others else "IN_PROGRESS"
    assert caught.value.reached == reached
    assert str(caught.value) == f"Waited 5 s for the lifecycle policy preview, which is still: {reached}"


def test_a_policy_that_ecr_refuses(ecr: FakeECR) -> None:
    ecr.refuse("StartLifecyclePolicyPreview", "InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText'")
    with pytest.raises(AnsibleECRError, match="Failed to start the lifecycle policy preview: Invalid parameter at"):
        preview(ecr)
