# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_image_prune
from ansible_collections.stevedore.ecr.tests.unit.support.fake_prune import FakePrune
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakePrune:
    fake = FakePrune()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def mirrored(*names: str) -> list[dict[str, Any]]:
    """What ecr_image_mirror returned for these repository:tag."""
    return [
        {"repository": repository, "tag": tag, "action": "up_to_date", "source": name, "digest": "sha256:1"}
        for name in names
        for repository, tag in [name.split(":")]
    ]


def run(*names: str, **more: Any) -> dict[str, Any]:
    return run_module(ecr_image_prune.main, images=mirrored(*names), **more)


def test_tags_that_nobody_asks_for_are_deleted_and_once_only(ecr: FakePrune) -> None:
    ecr.fill("app", {"sha256:1": ["1", "old"], "sha256:2": ["2"], "sha256:3": ["3"]})
    ecr.fill("other", {"sha256:1": ["1"]})
    result = run("app:1", "app:3", diff=True)
    assert result["actions"] == ["delete the tag app:2 and its image", "delete the tag app:old"]
    assert result["repositories"] == [
        {
            "name": "app",
            "changed": True,
            "before": ["1", "2", "3", "old"],
            "after": ["1", "3"],
            "tags": [
                {
                    "tag": "2",
                    "digest": "sha256:2",
                    "size_in_bytes": 1000,
                    "deletes_image": True,
                    "deleted": True,
                },
                {
                    "tag": "old",
                    "digest": "sha256:1",
                    "size_in_bytes": 1000,
                    "deletes_image": False,
                    "deleted": True,
                },
            ],
            "spared": [],
        }
    ]
    assert '"old"' in result["diff"][0]["before"]
    assert (ecr.tags("app"), ecr.tags("other")) == (["1", "3"], ["1"])

    ecr.calls.clear()
    assert not run("app:1", "app:3")["changed"]
    assert ecr.operations() == ["DescribeImages"]


def test_check_mode_promises_what_is_done(ecr: FakePrune) -> None:
    ecr.fill("app", {"sha256:1": ["1"], "sha256:2": ["2"], "sha256:3": ["keep"]})
    promised = run("app:1", protect=["k*"], check_mode=True)
    assert ecr.tags("app") == ["1", "2", "keep"]
    done = run("app:1", protect=["k*"])
    assert promised["actions"] == done["actions"] == ["delete the tag app:2 and its image"]
    assert promised["repositories"][0]["spared"] == [{"tag": "keep", "why": "protected by k*"}]
    assert [tag["deleted"] for tag in promised["repositories"][0]["tags"]] == [False]


def test_a_multi_arch_image_goes_before_what_it_lists(ecr: FakePrune) -> None:
    images = {"sha256:child": ["1-amd64"], "sha256:list": ["list"], "sha256:1": ["1"], "sha256:other": ["kept"]}
    ecr.fill("app", images, **{"sha256:list": ["sha256:child"], "sha256:other": []})
    assert not run("app:1", "app:kept").get("failed")
    assert ecr.tags("app") == ["1", "kept"]


def test_calls_grow_with_hundreds_of_tags_and_not_with_tags(ecr: FakePrune) -> None:
    ecr.fill("app", {"sha256:1": ["1"], **{f"sha256:x{n}": [f"x{n}"] for n in range(250)}})
    run("app:1")
    assert ecr.operations() == ["DescribeImages", *["BatchDeleteImage"] * 3]
    assert ecr.tags("app") == ["1"]


def test_a_repository_that_is_not_there_yet_has_no_tags(ecr: FakePrune) -> None:
    result = run("app:1", check_mode=True)
    assert (result["changed"], result["repositories"][0]["after"]) == (False, [])


def test_one_that_fails_does_not_stop_the_others(ecr: FakePrune) -> None:
    ecr.fill("aa", {"sha256:1": ["1"], "sha256:2": ["2"]})
    ecr.fill("bb", {"sha256:1": ["1"], "sha256:2": ["2"]})
    ecr.refuse("BatchDeleteImage", "AccessDeniedException", "no", only="aa")
    result = run("aa:1", "bb:1")
    assert "aa: Failed to delete the tags (needs ecr:BatchDeleteImage)" in result["msg"]
    assert (ecr.tags("aa"), ecr.tags("bb")) == (["1", "2"], ["1"])
    assert result["actions"] == ["delete the tag bb:2 and its image"]


def test_what_somebody_else_deleted_is_deleted(ecr: FakePrune) -> None:
    ecr.fill("app", {"sha256:1": ["1"], "sha256:2": ["2"]})
    ecr.on("BatchDeleteImage", lambda _request: ecr.fill("app", {"sha256:1": ["1"]}))
    assert not run("app:1").get("failed")


def test_what_became_part_of_a_multi_arch_image_meanwhile_is_told(ecr: FakePrune) -> None:
    ecr.fill("app", {"sha256:1": ["1"], "sha256:2": ["2"], "sha256:3": ["3"]})
    now = {"sha256:1": ["1"], "sha256:2": ["2"], "sha256:3": ["3"], "sha256:list": ["list"]}
    ecr.on("BatchDeleteImage", lambda _request: ecr.fill("app", now, **{"sha256:list": ["sha256:2"]}))
    result = run("app:1")
    assert "Failed to delete 1 tags: 2: no (ImageReferencedByManifestList)" in result["msg"]
    entry = result["repositories"][0]
    assert (entry["changed"], entry["after"]) == (True, ["1", "2"])
    assert {tag["tag"]: tag["deleted"] for tag in entry["tags"]} == {"2": False, "3": True}


def test_nothing_is_asked_of_aws_after_a_bad_run(ecr: FakePrune) -> None:
    bad = {**mirrored("app:2")[0], "action": "fail"}
    result = run_module(ecr_image_prune.main, images=[*mirrored("app:1"), bad])
    assert result["msg"].startswith("Nothing is pruned: 1 of 2 images could not be brought over, app:2.")
    assert ecr.calls == []
