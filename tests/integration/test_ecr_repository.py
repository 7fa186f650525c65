"""The module ecr_repository against the loopback cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]
NAMES = ["team/app", "team/worker"]
EXPIRE = {
    "priority": 1,
    "tag_status": "untagged",
    "count_type": "imageCountMoreThan",
    "count_number": 1,
    "action": "expire",
}
SETTINGS: dict[str, Any] = {
    "scan_on_push": True,
    "image_tag_mutability": "IMMUTABLE",
    "lifecycle_rules": [EXPIRE],
    "resource_tags": {"team": "platform"},
}


def described(cloud: Cloud) -> dict[str, dict[str, Any]]:
    found = cloud.client("ecr").describe_repositories()["repositories"]
    return {repository["repositoryName"]: repository for repository in found}


def test_check_then_run_then_run_again(cloud: Cloud, module: Module) -> None:
    arguments = {"repositories": NAMES, "settings": SETTINGS}
    promised = module("ecr_repository", arguments, check=True)
    assert described(cloud) == {}
    done = module("ecr_repository", arguments)
    assert promised["actions"] == done["actions"] == [f"create the repository {name}" for name in NAMES]
    assert promised["repositories"] == done["repositories"]
    for name, repository in described(cloud).items():
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        ecr = cloud.client("ecr")
        assert ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"] == [
            {"Key": "team", "Value": "platform"}
        ]
        text = ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
        assert json.loads(text)["rules"][0]["selection"]["countNumber"] == 1
    assert not module("ecr_repository", arguments).changed


def test_what_is_mentioned_is_mended_and_the_rest_left_alone(cloud: Cloud, module: Module) -> None:
    module("ecr_repository", {"repositories": NAMES[:1], "settings": SETTINGS})
    assert not module("ecr_repository", {"repositories": NAMES[:1]}).changed
    other = {"scan_on_push": False, "image_tag_mutability": "MUTABLE", "resource_tags": {"stage": "test"}}
    promised = module("ecr_repository", {"repositories": NAMES[:1], "settings": other}, check=True)
    assert described(cloud)["team/app"]["imageTagMutability"] == "IMMUTABLE"
    done = module("ecr_repository", {"repositories": NAMES[:1], "settings": other})
    assert promised["actions"] == done["actions"]
    assert done["repositories"][0]["before"]["image_tag_mutability"] == "IMMUTABLE"
    repository = described(cloud)["team/app"]
    assert repository["imageTagMutability"] == "MUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": False}
    tags = cloud.client("ecr").list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "platform", "stage": "test"}
    assert cloud.client("ecr").get_lifecycle_policy(repositoryName="team/app")
    assert not module("ecr_repository", {"repositories": NAMES[:1], "settings": other}).changed


def test_what_cannot_be_changed_is_an_error_of_that_repository(cloud: Cloud, module: Module) -> None:
    module("ecr_repository", {"repositories": NAMES[:1]})
    result = module("ecr_repository", {"repositories": NAMES, "settings": {"encryption_type": "KMS"}})
    assert result.failed
    assert "team/app: Amazon ECR cannot change encryption_type of a repository that exists" in result.msg
    assert set(described(cloud)) == set(NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repositories": ["Team"]}, "No repository name: 'Team'"),
        ({"repositories": ["team/*"]}, "No repository name: 'team/*'"),
        ({"repositories": NAMES, "settings": {"kms_key_arn": "x"}}, "kms_key_arn"),
        ({"repositories": NAMES, "settings": {"lifecycle_rules": [{"priority": 1}]}}, "lifecycle_rules"),
    ],
)
def test_refused_before_anything_is_made(cloud: Cloud, module: Module, arguments: dict[str, Any], message: str) -> None:
    result = module("ecr_repository", arguments)
    assert result.failed
    assert message in result.msg
    assert described(cloud) == {}


def test_one_that_is_denied_stops_no_other(cloud: Cloud, module: Module) -> None:
    arn = f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/team/app"
    mine = cloud.role("mine", [{"Effect": "Allow", "Action": "ecr:*", "Resource": arn}])
    result = module("ecr_repository", {"repositories": NAMES}, credentials=mine)
    assert result.failed
    assert [entry["changed"] for entry in result["repositories"]] == [True, False]
    assert "not authorized to perform: ecr:DescribeRepositories" in result["repositories"][1]["error"]["msg"]
