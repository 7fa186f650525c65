"""Pull-through: images are really fetched from the upstream, kept, checked again, and refused as ECR refuses them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from registry import Ecr, sha256

from loopback.client import Cloud

HUB = "registry-1.docker.io"
OTHER, OTHER_REGION = "210987654321", "us-east-1"
DAY = 24 * 3600
PULL = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
PLATFORMS = ["linux/amd64", "linux/arm64"]


def credential(cloud: Cloud, name: str = "docker-hub", password: str = "hubtoken") -> str:
    secret = json.dumps({"username": "hubuser", "accessToken": password})
    made = cloud.client("secretsmanager").create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=secret)
    return str(made["ARN"])


@pytest.fixture
def quay(cloud: Cloud) -> Cloud:
    """With a rule for quay.io."""
    cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    return cloud


@pytest.fixture
def hub(cloud: Cloud) -> Cloud:
    """With a rule for Docker Hub, and its credential."""
    cloud.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="hub", upstreamRegistryUrl=HUB, credentialArn=credential(cloud)
    )
    return cloud


def upstream_calls(cloud: Cloud, host: str = "quay.io", part: str = "/manifests/") -> int:
    address = cloud.upstreams[host].removeprefix("http://")
    return sum(call["host"] == address and part in call["path"] for call in cloud.calls())


def cached(cloud: Cloud, name: str) -> set[str]:
    answer = cloud.client("ecr").describe_images(repositoryName=name)
    return {image["imageDigest"] for image in answer["imageDetails"]}


def visitor(cloud: Cloud, *actions: str) -> Ecr:
    statement = {"Effect": "Allow", "Action": [*PULL, *actions], "Resource": "*"}
    return Ecr(cloud, credentials=cloud.role("puller", [statement]))


# ------------------------------------------------------------------ the first pull


def test_first_pull_fetches_the_image_and_makes_the_repository(quay: Cloud) -> None:
    made = quay.publish("quay.io", "team/app", "1")
    registry = Ecr(quay)
    answer = registry.manifest("quay/team/app", "1")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, made["digest"])
    for digest, size in made["blobs"].items():
        assert len(registry.blob("quay/team/app", digest)) == size
    repository = quay.client("ecr").describe_repositories()["repositories"][0]
    assert (repository["repositoryName"], repository["imageTagMutability"]) == ("quay/team/app", "MUTABLE")


def test_all_platforms_of_an_index_are_fetched(quay: Cloud) -> None:
    made = quay.publish("quay.io", "team/app", "1", platforms=PLATFORMS, attestations=True)
    assert Ecr(quay).manifest("quay/team/app", "1").status == 200
    expected = {made["digest"], *made["manifests"].values(), *made["attestations"]}
    assert cached(quay, "quay/team/app") == expected


def test_layers_that_live_elsewhere_are_not_fetched(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1", foreign_layers=1, empty_layers=2)
    assert Ecr(quay).manifest("quay/team/app", "1").status == 200


def test_head_is_a_pull_too(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    assert Ecr(quay).call("HEAD", "/v2/quay/team/app/manifests/1").status == 200


def test_api_pull_fetches_too(quay: Cloud) -> None:
    made = quay.publish("quay.io", "team/app", "1")
    answer = quay.client("ecr").batch_get_image(repositoryName="quay/team/app", imageIds=[{"imageTag": "1"}])
    assert answer["images"][0]["imageId"]["imageDigest"] == made["digest"]


def test_repository_comes_from_its_template(quay: Cloud) -> None:
    ecr = quay.client("ecr")
    ecr.create_repository_creation_template(
        prefix="quay", appliedFor=["PULL_THROUGH_CACHE"], imageTagMutability="IMMUTABLE"
    )
    quay.publish("quay.io", "team/app", "1")
    assert Ecr(quay).manifest("quay/team/app", "1").status == 200
    assert ecr.describe_repositories()["repositories"][0]["imageTagMutability"] == "IMMUTABLE"


@pytest.mark.parametrize(
    ("prefix", "upstream_prefix", "asked", "upstream"),
    [
        ("quay", "ROOT", "quay/team/app", "team/app"),
        ("ROOT", "ROOT", "team/app", "team/app"),
        ("mine", "team", "mine/app", "team/app"),
    ],
)
def test_prefixes(cloud: Cloud, prefix: str, upstream_prefix: str, asked: str, upstream: str) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io", upstreamRepositoryPrefix=upstream_prefix
    )
    cloud.publish("quay.io", upstream, "1")
    assert Ecr(cloud).manifest(asked, "1").status == 200


def test_credential_is_used(hub: Cloud) -> None:
    hub.publish(HUB, "team/secret", "1", private=True)
    assert Ecr(hub).manifest("hub/team/secret", "1").status == 200
    hub.knobs(hub__limit=1, hub__rate_limited_hosts=[HUB])
    hub.publish(HUB, "team/secret", "2", private=True)
    assert Ecr(hub).manifest("hub/team/secret", "2").error == (429, "TOOMANYREQUESTS")  # the user's own allowance


@pytest.mark.parametrize("host", ["registry.k8s.io", "public.ecr.aws"])
def test_upstreams_without_login(cloud: Cloud, host: str) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="up", upstreamRegistryUrl=host)
    made = cloud.publish(host, "team/app", "1", platforms=PLATFORMS)
    assert Ecr(cloud).manifest("up/team/app", "1").headers["Docker-Content-Digest"] == made["digest"]


@pytest.mark.parametrize("host", ["ghcr.io", "registry.gitlab.com", "example.azurecr.io", "cgr.dev"])
def test_upstreams_with_login(cloud: Cloud, host: str) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="up", upstreamRegistryUrl=host, credentialArn=credential(cloud)
    )
    made = cloud.publish(host, "team/app", "1", private=True)
    assert Ecr(cloud).manifest("up/team/app", "1").headers["Docker-Content-Digest"] == made["digest"]


def test_concurrent_first_pulls_fetch_once(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1", platforms=PLATFORMS, layers=3)
    quay.inject({"host": quay.upstreams["quay.io"].removeprefix("http://"), "path": "/blobs/", "delay": 0.05})
    statuses: list[int] = []
    barrier = threading.Barrier(6)

    def pull() -> None:
        registry = Ecr(quay)
        barrier.wait()
        statuses.append(registry.manifest("quay/team/app", "1").status)

    threads = [threading.Thread(target=pull) for _caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    token_needed = 1
    assert upstream_calls(quay) == token_needed + 1 + len(PLATFORMS)


# ------------------------------------------------------------------ later pulls


def test_a_day_is_served_from_the_cache(quay: Cloud) -> None:
    first = quay.publish("quay.io", "team/app", "1")
    registry = Ecr(quay)
    registry.manifest("quay/team/app", "1")
    moved = quay.publish("quay.io", "team/app", "1", seed="moved")
    quay.forget_calls()
    quay.advance(DAY - 60)
    registry = Ecr(quay)
    assert registry.manifest("quay/team/app", "1").headers["Docker-Content-Digest"] == first["digest"]
    assert upstream_calls(quay) == 0
    quay.advance(120)
    assert registry.manifest("quay/team/app", "1").headers["Docker-Content-Digest"] == moved["digest"]
    assert registry.manifest("quay/team/app", first["digest"]).status == 200


def test_unchanged_tag_is_checked_once_a_day(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    Ecr(quay).manifest("quay/team/app", "1")
    quay.advance(DAY + 60)
    quay.forget_calls()
    registry = Ecr(quay)
    for _pull in range(3):
        assert registry.manifest("quay/team/app", "1").status == 200
    assert upstream_calls(quay) == 2  # the challenge, and the answer
    assert upstream_calls(quay, part="/blobs/") == 0


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"reset": True}, id="unreachable"),
        pytest.param({"status": 500}, id="broken"),
        pytest.param({"status": 429, "headers": {"Retry-After": "60"}}, id="limited"),
        pytest.param({"truncate": 10}, id="broken off"),
    ],
)
def test_cached_image_is_served_when_the_upstream_is_in_trouble(quay: Cloud, trouble: dict[str, Any]) -> None:
    first = quay.publish("quay.io", "team/app", "1")
    Ecr(quay).manifest("quay/team/app", "1")
    quay.publish("quay.io", "team/app", "1", seed="moved")
    quay.publish("quay.io", "team/app", "2")
    quay.advance(DAY + 60)
    quay.inject({"host": quay.upstreams["quay.io"].removeprefix("http://"), "times": -1, **trouble})
    registry = Ecr(quay)
    assert registry.manifest("quay/team/app", "1").headers["Docker-Content-Digest"] == first["digest"]
    assert registry.manifest("quay/team/app", "2").status >= 400
    quay.clear_faults()
    assert registry.manifest("quay/team/app", "2").status == 200


def test_immutable_tags_are_not_refreshed(quay: Cloud) -> None:
    quay.client("ecr").create_repository(repositoryName="quay/team/app", imageTagMutability="IMMUTABLE")
    first = quay.publish("quay.io", "team/app", "1")
    assert Ecr(quay).manifest("quay/team/app", "1").status == 200
    quay.publish("quay.io", "team/app", "1", seed="moved")
    quay.advance(2 * DAY)
    assert Ecr(quay).manifest("quay/team/app", "1").headers["Docker-Content-Digest"] == first["digest"]


def test_deleted_rule_leaves_what_was_cached(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    Ecr(quay).manifest("quay/team/app", "1")
    quay.client("ecr").delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")
    quay.advance(DAY + 60)
    registry = Ecr(quay)
    assert registry.manifest("quay/team/app", "1").status == 200
    assert registry.manifest("quay/team/app", "2").error == (404, "MANIFEST_UNKNOWN")


# ------------------------------------------------------------------ by digest


def test_pull_by_digest(quay: Cloud) -> None:
    """AWS's guide says that it works, users say that it does not: both ways can be had."""
    made = quay.publish("quay.io", "team/app", "1", platforms=PLATFORMS)
    child = made["manifests"]["linux/arm64"]
    quay.knobs(ecr__pull_through__by_digest=False)
    assert Ecr(quay).manifest("quay/team/app", child).status == 404
    quay.knobs(ecr__pull_through__by_digest=True)
    assert sha256(Ecr(quay).manifest("quay/team/app", child).body) == child
    assert cached(quay, "quay/team/app") == {child}


def test_cached_digest_is_never_checked_again(quay: Cloud) -> None:
    made = quay.publish("quay.io", "team/app", "1")
    registry = Ecr(quay)
    registry.manifest("quay/team/app", "1")
    quay.forget_calls()
    assert registry.manifest("quay/team/app", made["digest"]).status == 200
    assert upstream_calls(quay) == 0


# ------------------------------------------------------------------ refusals


def test_without_a_rule_nothing_is_fetched(cloud: Cloud) -> None:
    cloud.publish("quay.io", "team/app", "1")
    assert Ecr(cloud).manifest("quay/team/app", "1").error == (404, "NAME_UNKNOWN")
    assert upstream_calls(cloud) == 0


@pytest.mark.parametrize(("name", "tag"), [("quay/team/app", "none"), ("quay/team/app", f"sha256:{'0' * 64}")])
def test_missing_upstream(quay: Cloud, name: str, tag: str) -> None:
    quay.publish("quay.io", "team/app", "1")
    assert Ecr(quay).manifest(name, tag).error == (404, "MANIFEST_UNKNOWN")
    assert quay.client("ecr").describe_repositories()["repositories"] == []


def test_official_image_without_library_is_forbidden(hub: Cloud) -> None:
    hub.publish(HUB, "library/nginx", "1")
    assert Ecr(hub).manifest("hub/nginx", "1").error == (403, "DENIED")
    assert Ecr(hub).manifest("hub/library/nginx", "1").status == 200


def test_bad_credential_is_forbidden(hub: Cloud) -> None:
    hub.client("secretsmanager").put_secret_value(
        SecretId="ecr-pullthroughcache/docker-hub",
        SecretString=json.dumps({"username": "hubuser", "accessToken": "wrong"}),
    )
    hub.publish(HUB, "library/nginx", "1")
    answer = Ecr(hub).manifest("hub/library/nginx", "1")
    assert answer.error == (403, "DENIED")
    assert "incorrect username or password" in answer.message
    valid = hub.client("ecr").validate_pull_through_cache_rule(ecrRepositoryPrefix="hub")
    assert valid["isValid"] is False
    assert "incorrect username or password" in valid["failure"]


def test_good_credential_is_valid(hub: Cloud) -> None:
    assert hub.client("ecr").validate_pull_through_cache_rule(ecrRepositoryPrefix="hub")["isValid"] is True


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 429}, 429, "TOOMANYREQUESTS"),
        ({"status": 403}, 403, "DENIED"),
        ({"status": 404}, 404, "MANIFEST_UNKNOWN"),
        ({"status": 500}, 503, "UNAVAILABLE"),
        ({"reset": True}, 503, "UNAVAILABLE"),
    ],
)
def test_upstream_errors(quay: Cloud, fault: dict[str, Any], status: int, code: str) -> None:
    quay.publish("quay.io", "team/app", "1")
    quay.inject(
        {"host": quay.upstreams["quay.io"].removeprefix("http://"), "path": "/manifests/", "times": -1, **fault}
    )
    assert Ecr(quay).manifest("quay/team/app", "1").error == (status, code)


@pytest.mark.parametrize("damage", [{"corrupt": 5}, {"truncate": 100}])
@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_damaged_content_is_not_kept(quay: Cloud, what: str, damage: dict[str, Any]) -> None:
    made = quay.publish("quay.io", "team/app", "1", platforms=PLATFORMS)
    # Manifests: after the challenge and the index, so that what is damaged has a digest to be checked against.
    children = {"host": quay.upstreams["quay.io"].removeprefix("http://"), "path": "/manifests/", "after": 2}
    rule = children if what == "manifests" else {"path": "/_content/.*/blobs/"}
    quay.inject({"times": -1, **rule, **damage})
    assert Ecr(quay).manifest("quay/team/app", "1").error == (503, "UNAVAILABLE")
    assert made["digest"] not in cached(quay, "quay/team/app")
    quay.clear_faults()
    assert Ecr(quay).manifest("quay/team/app", "1").headers["Docker-Content-Digest"] == made["digest"]


# ------------------------------------------------------------------ permissions


def test_without_create_repository_the_name_is_unknown(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    answer = visitor(quay, "ecr:BatchImportUpstreamImage").manifest("quay/team/app", "1")
    assert answer.error == (404, "NAME_UNKNOWN")
    assert answer.message.startswith("The repository with name 'quay/team/app' does not exist")
    assert upstream_calls(quay) == 0


def test_without_import_the_manifest_is_unknown(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    answer = visitor(quay, "ecr:CreateRepository").manifest("quay/team/app", "1")
    assert answer.error == (404, "MANIFEST_UNKNOWN")
    assert answer.message == "Requested image not found"
    assert upstream_calls(quay) == 0


def test_both_permissions_are_enough(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    assert (
        visitor(quay, "ecr:CreateRepository", "ecr:BatchImportUpstreamImage").manifest("quay/team/app", "1").status
        == 200
    )


def test_cached_image_needs_pull_permissions_only(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    Ecr(quay).manifest("quay/team/app", "1")
    assert visitor(quay).manifest("quay/team/app", "1").status == 200
    assert visitor(quay).manifest("quay/team/app", "2").error == (404, "MANIFEST_UNKNOWN")


def test_registry_policy_can_grant_both(quay: Cloud) -> None:
    quay.publish("quay.io", "team/app", "1")
    puller = visitor(quay)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:role/puller"},
        "Action": ["ecr:CreateRepository", "ecr:BatchImportUpstreamImage"],
        "Resource": "arn:aws:ecr:eu-central-1:123456789012:repository/quay/*",
    }
    assert puller.manifest("quay/team/app", "1").status == 404
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    quay.client("ecr").put_registry_policy(policyText=policy)
    assert puller.manifest("quay/team/app", "1").status == 200


def test_template_that_needs_a_role_and_has_none(quay: Cloud) -> None:
    quay.client("ecr").create_repository_creation_template(
        prefix="quay", appliedFor=["PULL_THROUGH_CACHE"], resourceTags=[{"Key": "a", "Value": "b"}]
    )
    quay.publish("quay.io", "team/app", "1")
    assert Ecr(quay).manifest("quay/team/app", "1").status == 404


# ------------------------------------------------------------------ from ECR to ECR

ROLE_ACTIONS = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchImportUpstreamImage",
    "ecr:GetImageCopyStatus",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
OWNER_ACTIONS = (
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchImportUpstreamImage",
    "ecr:GetImageCopyStatus",
)


def caching_role(cloud: Cloud, *actions: str, trusted: str = "pullthroughcache.ecr.amazonaws.com") -> str:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    made = iam.create_role(RoleName="cache", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.put_role_policy(RoleName="cache", PolicyName="cache", PolicyDocument=json.dumps({"Statement": [allow]}))
    return str(made["Role"]["Arn"])


def their_image(cloud: Cloud, *granted: str) -> bytes:
    """An image in the registry of another account, whose policy lets ours in."""
    ecr = cloud.client("ecr", account=OTHER, region=OTHER_REGION)
    ecr.create_repository(repositoryName="team/app")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": list(granted),
    }
    ecr.set_repository_policy(
        repositoryName="team/app", policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    return Ecr(cloud, account=OTHER, region=OTHER_REGION).push_image("team/app", "1")


def cache_theirs(cloud: Cloud, role: str) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="theirs",
        upstreamRegistryUrl=f"{OTHER}.dkr.ecr.{OTHER_REGION}.amazonaws.com",
        customRoleArn=role,
    )


def test_registry_of_another_account(cloud: Cloud) -> None:
    manifest = their_image(cloud, *OWNER_ACTIONS)
    cache_theirs(cloud, caching_role(cloud, *ROLE_ACTIONS))
    assert Ecr(cloud).manifest("theirs/team/app", "1").body == manifest
    layer = json.loads(manifest)["layers"][0]["digest"]
    assert sha256(Ecr(cloud).blob("theirs/team/app", layer)) == layer


@pytest.mark.parametrize("missing", ROLE_ACTIONS)
def test_role_needs_each_of_its_actions(cloud: Cloud, missing: str) -> None:
    their_image(cloud, *OWNER_ACTIONS)
    cache_theirs(cloud, caching_role(cloud, *(action for action in ROLE_ACTIONS if action != missing)))
    answer = Ecr(cloud).manifest("theirs/team/app", "1")
    assert answer.error == (403, "DENIED")
    assert missing in answer.message


@pytest.mark.parametrize("missing", OWNER_ACTIONS)
def test_owner_must_grant_each_action(cloud: Cloud, missing: str) -> None:
    their_image(cloud, *(action for action in OWNER_ACTIONS if action != missing))
    cache_theirs(cloud, caching_role(cloud, *ROLE_ACTIONS))
    assert Ecr(cloud).manifest("theirs/team/app", "1").error == (403, "DENIED")


def test_role_must_trust_the_service(cloud: Cloud) -> None:
    their_image(cloud, *OWNER_ACTIONS)
    cache_theirs(cloud, caching_role(cloud, *ROLE_ACTIONS, trusted="ecr.amazonaws.com"))
    assert Ecr(cloud).manifest("theirs/team/app", "1").error == (403, "DENIED")


def test_another_region_of_the_account_needs_no_role(cloud: Cloud) -> None:
    cloud.client("ecr", region=OTHER_REGION).create_repository(repositoryName="team/app")
    manifest = Ecr(cloud, region=OTHER_REGION).push_image("team/app", "1")
    cloud.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="there", upstreamRegistryUrl=f"123456789012.dkr.ecr.{OTHER_REGION}.amazonaws.com"
    )
    assert Ecr(cloud).manifest("there/team/app", "1").body == manifest
