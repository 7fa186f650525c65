"""The modules ecr_cache_warm and ecr_repository_purge against the loopback cloud."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]

WARM, PURGE = "ecr_cache_warm", "ecr_repository_purge"
HUB = "registry-1.docker.io"
PLATFORMS = ["linux/amd64", "linux/arm64", "linux/s390x"]
ACTIONS = [
    "ecr:GetAuthorizationToken",
    "ecr:ListImages",
    "ecr:DescribePullThroughCacheRules",
    "ecr:BatchGetImage",
    "ecr:BatchImportUpstreamImage",
    "ecr:CreateRepository",
]


@pytest.fixture(autouse=True)
def _rules(cloud: Cloud) -> None:
    value = json.dumps({"username": "hubuser", "accessToken": "hubtoken"})
    secret = cloud.client("secretsmanager").create_secret(Name="ecr-pullthroughcache/docker-hub", SecretString=value)
    ecr = cloud.client("ecr")
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix="docker-hub", upstreamRegistryUrl=HUB, credentialArn=secret["ARN"]
    )
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")


def cached(cloud: Cloud, repository: str) -> set[str]:
    details = cloud.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    return {detail["imageDigest"] for detail in details}


def errors(result: ModuleResult) -> list[str | None]:
    return [image.get("error", {}).get("code") for image in result["images"]]


def role(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])


def test_all_platforms_are_in_the_cache_and_a_second_run_pulls_nothing(cloud: Cloud, module: Module) -> None:
    made = cloud.publish(HUB, "library/nginx", "1.27", platforms=PLATFORMS)
    images = {"images": ["docker-hub/library/nginx:1.27"]}
    first = module(WARM, images)
    assert not first.failed, first.msg
    assert (first["images"][0]["changed"], first["images"][0]["digest"]) == (True, made["digest"])
    assert cached(cloud, "docker-hub/library/nginx") == {made["digest"], *made["manifests"].values()}

    cloud.forget_calls()
    second = module(WARM, images)
    assert (second.changed, second["images"][0]["cached"]) == (False, True)
    assert cloud.operations() == ["GetAuthorizationToken", "ListImages"]


def test_the_address_that_is_returned_can_be_given(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "a/b", "1")
    address = module(WARM, {"images": ["quay/a/b:1"]})["images"][0]["address"]
    assert address == f"{cloud.registry.removeprefix('http://')}/quay/a/b:1"
    assert not module(WARM, {"images": [address]}).changed


def test_check_mode_says_what_would_be_fetched_and_fetches_nothing(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "a/b", "1")
    promised = module(WARM, {"images": ["quay/a/b:1"]}, check=True)
    assert promised["images"][0]["cached"] is False
    assert cloud.client("ecr").describe_repositories()["repositories"] == []
    assert promised["actions"] == module(WARM, {"images": ["quay/a/b:1"]})["actions"]


def test_forty_images_are_one_task_and_one_listing_for_each_repository(cloud: Cloud, module: Module) -> None:
    images = []
    for number in range(40):
        cloud.publish("quay.io", f"team/app-{number % 4}", f"v{number}", seed=number)
        images.append(f"quay/team/app-{number % 4}:v{number}")
    cloud.forget_calls()
    result = module(WARM, {"images": images, "parallel": 8})
    assert not result.failed, result.msg
    assert [image["name"] for image in result["images"] if image["changed"]] == images
    assert (len(cloud.calls("ListImages")), len(cloud.calls("BatchGetImage"))) == (4, 40)


def test_a_digest_that_is_pinned_can_be_pulled_afterwards(cloud: Cloud, module: Module) -> None:
    cloud.knobs(ecr__pull_through__by_digest=False)  # as users report it
    made = cloud.publish("quay.io", "a/b", "1", platforms=PLATFORMS)
    pinned = {"repositoryName": "quay/a/b", "imageIds": [{"imageDigest": made["manifests"]["linux/arm64"]}]}
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="quay/a/b")
    assert ecr.batch_get_image(**pinned)["failures"]
    assert not module(WARM, {"images": [f"quay/a/b:1@{made['digest']}"]}).failed
    assert not ecr.batch_get_image(**pinned)["failures"]


def test_one_that_cannot_be_had_does_not_stop_the_others(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "a/b", "1")
    result = module(WARM, {"images": ["quay/a/b:no", "docker-hub/nginx:1", "ghcr/x/y:1", "quay/a/b:1"]})
    assert errors(result) == ["ImageNotFound", "OfficialImage", "NoPullThroughCacheRule", None]
    assert "docker-hub/library/nginx:1" in result.msg
    assert result["images"][3]["changed"] is True


def test_a_rate_limit_of_the_upstream_is_told_and_the_next_run_goes_on(cloud: Cloud, module: Module) -> None:
    for tag in ("1", "2"):
        cloud.publish(HUB, "library/nginx", tag, seed=tag)
    cloud.knobs(hub__limit=1)
    images = {"images": ["docker-hub/library/nginx:1", "docker-hub/library/nginx:2"], "parallel": 1}
    result = module(WARM, images)
    assert errors(result) == [None, "UpstreamTooManyRequests"]
    assert "run again later" in result.msg
    cloud.knobs(hub__limit=100)
    assert [image["changed"] for image in module(WARM, images)["images"]] == [False, True]


def test_a_wrong_login_is_told(cloud: Cloud, module: Module) -> None:
    cloud.publish(HUB, "library/nginx", "1")
    wrong = json.dumps({"username": "hubuser", "accessToken": "wrong"})
    cloud.client("secretsmanager").put_secret_value(SecretId="ecr-pullthroughcache/docker-hub", SecretString=wrong)
    result = module(WARM, {"images": ["docker-hub/library/nginx:1"]})
    assert errors(result) == ["UpstreamAccessDenied"]
    assert "Check the login of the rule" in result.msg


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "a/b", "1", platforms=PLATFORMS)
    result = module(WARM, {"images": ["quay/a/b:1"]}, credentials=role(cloud, ACTIONS))
    assert not result.failed, result.msg


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    cloud.publish("quay.io", "a/b", "1")
    credentials = role(cloud, [action for action in ACTIONS if action != missing])
    result = module(WARM, {"images": ["quay/a/b:1"]}, credentials=credentials)
    assert result.failed
    assert missing in result.msg


# ------------------------------------------------------------------ and away again


def test_what_is_cached_can_be_purged(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "a/b", "1", platforms=PLATFORMS)
    module(WARM, {"images": ["quay/a/b:1"]})
    cloud.client("ecr").create_repository(repositoryName="team/app")
    promised = module(PURGE, {"repositories": ["quay/*"]}, check=True)
    assert [repository["name"] for repository in promised["repositories"]] == ["quay/a/b"]
    assert module(PURGE, {"repositories": ["quay/*"]})["actions"] == promised["actions"]
    left = cloud.client("ecr").describe_repositories()["repositories"]
    assert [repository["repositoryName"] for repository in left] == ["team/app"]
    assert not module(PURGE, {"repositories": ["quay/*"]}).changed


@pytest.mark.parametrize("missing", ["ecr:DescribeRepositories", "ecr:DeleteRepository"])
def test_each_permission_to_purge_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    cloud.client("ecr").create_repository(repositoryName="quay/a")
    both = ["ecr:DescribeRepositories", "ecr:DeleteRepository"]
    credentials = role(cloud, [action for action in both if action != missing])
    assert missing in module(PURGE, {"repositories": ["quay/*"]}, credentials=credentials).msg
    assert not module(PURGE, {"repositories": ["quay/*"]}, credentials=role(cloud, both)).failed
