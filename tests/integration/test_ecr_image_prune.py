"""ecr_image_prune against the loopback cloud: what goes, what stays, and what Amazon ECR itself would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ecr_api import allow, push_image, push_index

from loopback.client import Cloud
from running import ModuleResult

Run = Callable[..., ModuleResult]


def mirrored(repository: str, *tags: str, **more: Any) -> list[dict[str, Any]]:
    """What ecr_image_mirror returned."""
    known = {"repository": repository, "source": f"quay.io/{repository}", "action": "up_to_date"}
    return [{**known, "tag": tag, "digest": "sha256:1", "source_digest": "sha256:1", **more} for tag in tags]


def tags(cloud: Cloud, repository: str) -> list[str]:
    ids = cloud.client("ecr").list_images(repositoryName=repository)["imageIds"]
    return sorted(image_id["imageTag"] for image_id in ids if "imageTag" in image_id)


def digests(cloud: Cloud, repository: str) -> set[str]:
    return {found["imageDigest"] for found in cloud.client("ecr").list_images(repositoryName=repository)["imageIds"]}


def repository(cloud: Cloud, name: str = "team/app", **settings: Any) -> Any:
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName=name, **settings)
    return ecr


def test_check_then_run_then_run_again(cloud: Cloud, module: Run) -> None:
    ecr = repository(cloud)
    repository(cloud, "team/other")
    push_image(ecr, "team/app", ["1"])
    push_image(ecr, "team/app", ["2", "two"])
    push_image(ecr, "team/app", ["release-1"])
    push_image(ecr, "team/other", ["1"])
    untagged = push_image(ecr, "team/app", seed="untagged")
    asked = {"images": mirrored("team/app", "1", "two"), "protect": ["release-*"]}

    promised = module("ecr_image_prune", asked, check=True, diff=True)
    assert (promised.changed, promised["actions"]) == (True, ["delete the tag team/app:2"])
    assert tags(cloud, "team/app") == ["1", "2", "release-1", "two"]

    done = module("ecr_image_prune", asked, diff=True)
    assert done["actions"] == promised["actions"]
    assert done["diff"] == promised["diff"]
    assert tags(cloud, "team/app") == ["1", "release-1", "two"]
    assert tags(cloud, "team/other") == ["1"]
    assert untagged in digests(cloud, "team/app")

    assert not module("ecr_image_prune", asked).changed


def test_multi_arch_images_and_what_they_list(cloud: Cloud, module: Run) -> None:
    """In an order in which Amazon ECR would refuse them if they were deleted one after the other."""
    ecr = repository(cloud)
    old, shared, new = (push_image(ecr, "team/app", [tag]) for tag in ("1-amd64", "2-amd64", "2-arm64"))
    signature = f"{old.replace(':', '-')}.sig"
    push_index(ecr, "team/app", [old], ["z-old"])
    push_index(ecr, "team/app", [shared, new], ["latest"])
    push_image(ecr, "team/app", [signature])
    asked = {"images": mirrored("team/app", "latest")}
    promised = module("ecr_image_prune", asked, check=True)
    done = module("ecr_image_prune", asked)
    assert not done.failed, done.msg
    assert done["actions"] == promised["actions"]
    assert tags(cloud, "team/app") == ["2-amd64", "2-arm64", "latest"]
    spared = {item["tag"]: item["why"] for item in done["repositories"][0]["spared"]}
    assert spared == dict.fromkeys(["2-amd64", "2-arm64"], "a multi-arch image that stays lists it")
    assert not module("ecr_image_prune", asked).changed


def test_a_pinned_digest_keeps_its_image(cloud: Cloud, module: Run) -> None:
    ecr = repository(cloud)
    pinned = push_image(ecr, "team/app", ["old"])
    push_image(ecr, "team/app", ["new"])
    entry = mirrored("team/app", "", digest=pinned, source_digest=pinned)[0]
    done = module("ecr_image_prune", {"images": [{**entry, "tag": None}]})
    assert tags(cloud, "team/app") == ["old"]
    assert done["actions"] == ["delete the tag team/app:new and its image"]


def test_immutable_tags_can_go(cloud: Cloud, module: Run) -> None:
    ecr = repository(cloud, imageTagMutability="IMMUTABLE")
    push_image(ecr, "team/app", ["1"])
    push_image(ecr, "team/app", ["2"])
    assert module("ecr_image_prune", {"images": mirrored("team/app", "2")}).changed
    assert tags(cloud, "team/app") == ["2"]


def test_documented_permissions_suffice_and_are_needed(cloud: Cloud, module: Run) -> None:
    ecr = repository(cloud)
    push_index(ecr, "team/app", [push_image(ecr, "team/app", ["1-amd64"])], ["1"])
    push_image(ecr, "team/app", ["2"])
    asked = {"images": mirrored("team/app", "1")}
    actions = ["ecr:DescribeImages", "ecr:BatchGetImage", "ecr:BatchDeleteImage"]
    for number, missing in enumerate(actions):
        rest = [action for action in actions if action != missing]
        done = module("ecr_image_prune", asked, credentials=cloud.role(f"without-{number}", [allow(*rest)]))
        assert f"(needs {missing})" in done.msg, json.dumps(done.returned)
    assert tags(cloud, "team/app") == ["1", "1-amd64", "2"]
    assert not module("ecr_image_prune", asked, credentials=cloud.role("pruner", [allow(*actions)])).failed
    assert tags(cloud, "team/app") == ["1", "1-amd64"]


def test_throttling_is_waited_for(cloud: Cloud, module: Run) -> None:
    ecr = repository(cloud)
    push_image(ecr, "team/app", ["1"])
    push_image(ecr, "team/app", ["2"])
    throttled = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
    cloud.inject({"op": "BatchDeleteImage", "times": 1, "status": 400, "body": throttled})
    assert module("ecr_image_prune", {"images": mirrored("team/app", "1")}).changed
    assert tags(cloud, "team/app") == ["1"]
