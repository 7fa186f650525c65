"""ECR's pull-through cache rules in the loopback cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecr_api import allow, policy, refused

from loopback.client import Cloud

OTHER = "210987654321"
SERVICE = "pullthroughcache.ecr.amazonaws.com"
LOGIN = {"username": "hubuser", "accessToken": "hubtoken"}


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    return cloud.client("ecr")


def secret(cloud: Cloud, name: str = "docker-hub", value: Any = None, *, region: str | None = None, **more: Any) -> str:
    manager = cloud.client("secretsmanager", region=region)
    text = value if isinstance(value, str) else json.dumps(LOGIN if value is None else value)
    return str(manager.create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=text, **more)["ARN"])


def docker_hub(cloud: Cloud, **more: Any) -> dict[str, Any]:
    """The arguments of a good rule for Docker Hub."""
    return {
        "ecrRepositoryPrefix": "docker-hub",
        "upstreamRegistryUrl": "registry-1.docker.io",
        **({} if "credentialArn" in more else {"credentialArn": secret(cloud)}),
        **more,
    }


def service_role(cloud: Cloud, name: str, *, trusted: str = SERVICE) -> str:
    trust = policy({"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"})
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    return str(role["Arn"])


# ------------------------------------------------------------------ create and describe

UPSTREAMS = [
    ("ecr-public", "public.ecr.aws", False),
    ("k8s", "registry.k8s.io", False),
    ("quay", "quay.io", False),
    ("docker-hub", "registry-1.docker.io", True),
    ("github-container-registry", "ghcr.io", True),
    ("gitlab-container-registry", "registry.gitlab.com", True),
    ("azure-container-registry", "example.azurecr.io", True),
    ("chainguard", "cgr.dev", True),
]


@pytest.mark.parametrize(("name", "url", "needs_login"), UPSTREAMS, ids=[name for name, _url, _login in UPSTREAMS])
def test_every_upstream_and_whether_it_needs_a_login(
    cloud: Cloud, ecr: Any, name: str, url: str, needs_login: bool
) -> None:
    call = {"ecrRepositoryPrefix": "cache", "upstreamRegistryUrl": url}
    if needs_login:
        with refused("InvalidParameterException", "credentialArn"):
            ecr.create_pull_through_cache_rule(**call)
        call["credentialArn"] = secret(cloud)
    made = ecr.create_pull_through_cache_rule(**call)
    assert made["upstreamRegistry"] == name
    assert "updatedAt" not in made
    (described,) = ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]
    assert described.pop("createdAt") == described.pop("updatedAt")
    assert described == {
        **call,
        "registryId": cloud.account,
        "upstreamRegistry": name,
        "upstreamRepositoryPrefix": "ROOT",
    }


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("docker.io", None),
        ("https://quay.io", None),
        ("quay.io/", None),
        ("harbor.example.com", None),
        ("evil-quay.io", None),
        ("quay.io", "k8s"),
    ],
)
def test_other_upstreams_are_not_supported(ecr: Any, url: str, name: str | None) -> None:
    more = {"upstreamRegistry": name} if name else {}
    with refused("UnsupportedUpstreamRegistryException"):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="cache", upstreamRegistryUrl=url, **more)


def test_a_trailing_slash_is_assumed(ecr: Any) -> None:
    made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay/", upstreamRegistryUrl="quay.io")
    assert made["ecrRepositoryPrefix"] == "quay"
    with refused("PullThroughCacheRuleAlreadyExistsException"):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    found = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["quay/"])["pullThroughCacheRules"]
    assert [rule["ecrRepositoryPrefix"] for rule in found] == ["quay"]


@pytest.mark.parametrize("prefix", ["Quay", "-quay", "quay//io", "q" * 31, "quay io", "root-"])
def test_prefixes_follow_the_service_model(ecr: Any, prefix: str) -> None:
    with refused("InvalidParameterException", "ecrRepositoryPrefix"):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")


def test_root_takes_no_prefix_of_the_upstream(ecr: Any) -> None:
    call = {"upstreamRegistryUrl": "quay.io", "ecrRepositoryPrefix": "ROOT"}
    with refused("InvalidParameterException", "upstreamRepositoryPrefix"):
        ecr.create_pull_through_cache_rule(**call, upstreamRepositoryPrefix="team")
    ecr.create_pull_through_cache_rule(**call, upstreamRepositoryPrefix="ROOT")
    made = ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix="root", upstreamRegistryUrl="quay.io", upstreamRepositoryPrefix="team"
    )
    assert made["upstreamRepositoryPrefix"] == "team"


def test_fifty_rules_are_the_limit(ecr: Any) -> None:
    for number in range(50):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=f"quay-{number}", upstreamRegistryUrl="quay.io")
    with refused("LimitExceededException"):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="more", upstreamRegistryUrl="quay.io")
    pages = ecr.get_paginator("describe_pull_through_cache_rules").paginate(PaginationConfig={"PageSize": 20})
    assert [len(page["pullThroughCacheRules"]) for page in pages] == [20, 20, 10]


def test_asking_for_an_absent_prefix_is_an_error(ecr: Any) -> None:
    assert ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"] == []
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    with refused("PullThroughCacheRuleNotFoundException", "'absent'"):
        ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["quay", "absent"])


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"])
def test_some_regions_do_not_have_the_feature(cloud: Cloud, region: str) -> None:
    elsewhere = cloud.client("ecr", region=region)
    with refused("UnknownOperationException", region):
        elsewhere.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")


# ------------------------------------------------------------------ secrets


def test_the_secret_has_to_be_there(cloud: Cloud, ecr: Any) -> None:
    rule = docker_hub(cloud)
    partial = rule["credentialArn"].rpartition("-")[0]
    for arn in (f"{partial}-abcdef", partial):
        with refused("SecretNotFoundException"):
            ecr.create_pull_through_cache_rule(**{**rule, "credentialArn": arn})
    cloud.client("secretsmanager").delete_secret(SecretId=rule["credentialArn"])
    with refused("SecretNotFoundException"):
        ecr.create_pull_through_cache_rule(**rule)


def test_the_secret_is_of_the_same_region(cloud: Cloud, ecr: Any) -> None:
    elsewhere = secret(cloud, region="us-east-1")
    with refused("SecretNotFoundException"):
        ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=elsewhere))


def test_the_secret_has_a_prescribed_name(cloud: Cloud, ecr: Any) -> None:
    made = cloud.client("secretsmanager").create_secret(Name="docker-hub-credential", SecretString=json.dumps(LOGIN))
    with refused("InvalidParameterException", "credentialArn"):
        ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=made["ARN"]))


@pytest.mark.parametrize(
    "value",
    ["token", json.dumps(["hubuser", "hubtoken"]), json.dumps({"username": "u", "accesstoken": "t"}), "{}"],
)
def test_the_secret_holds_username_and_access_token(cloud: Cloud, ecr: Any, value: str) -> None:
    with refused("UnableToAccessSecretException"):
        ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=secret(cloud, "other", value)))


def test_the_secret_has_no_key_of_its_own(cloud: Cloud, ecr: Any) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    arn = secret(cloud, "with-key", KmsKeyId=key)
    with refused("UnableToDecryptSecretValueException"):
        ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=arn))
    usual = secret(cloud, "with-the-usual-key", KmsKeyId="alias/aws/secretsmanager")
    ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=usual))


# ------------------------------------------------------------------ update and delete


def test_the_secret_can_be_exchanged_and_little_else(cloud: Cloud, ecr: Any) -> None:
    before = ecr.create_pull_through_cache_rule(**docker_hub(cloud))
    other = secret(cloud, "other")
    changed = ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub/", credentialArn=other)
    assert changed["credentialArn"] == other
    assert "upstreamRegistryUrl" not in changed
    (after,) = ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]
    assert after["createdAt"] == before["createdAt"] <= after["updatedAt"]
    assert after["upstreamRegistryUrl"] == "registry-1.docker.io"
    with refused("InvalidParameterException", "credentialArn"):
        ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")
    with refused("SecretNotFoundException"):
        ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub", credentialArn=f"{other[:-6]}abcdef")
    with refused("PullThroughCacheRuleNotFoundException"):
        ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="absent", credentialArn=other)


def test_deleting_a_rule_leaves_what_it_cached(cloud: Cloud, ecr: Any) -> None:
    cloud.publish("quay.io", "team/app", "1")
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    ecr.batch_get_image(repositoryName="quay/team/app", imageIds=[{"imageTag": "1"}])
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay/")
    assert ecr.describe_images(repositoryName="quay/team/app", imageIds=[{"imageTag": "1"}])["imageDetails"]
    with refused("PullThroughCacheRuleNotFoundException"):
        ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")


# ------------------------------------------------------------------ validate


def test_a_login_that_works_is_valid(cloud: Cloud, ecr: Any) -> None:
    rule = docker_hub(cloud)
    ecr.create_pull_through_cache_rule(**rule)
    answer = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub/")
    assert answer["isValid"] is True
    assert "failure" not in answer
    assert answer["credentialArn"] == rule["credentialArn"]


def test_a_refused_login_is_no_error_but_invalid(cloud: Cloud, ecr: Any) -> None:
    wrong = secret(cloud, "wrong", {**LOGIN, "accessToken": "wrong"})
    ecr.create_pull_through_cache_rule(**docker_hub(cloud, credentialArn=wrong))
    answer = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")
    assert answer["isValid"] is False
    assert answer["failure"]


def test_a_secret_that_went_away_is_invalid(cloud: Cloud, ecr: Any) -> None:
    rule = docker_hub(cloud)
    ecr.create_pull_through_cache_rule(**rule)
    cloud.client("secretsmanager").delete_secret(SecretId=rule["credentialArn"])
    assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")["isValid"] is False


def test_there_is_nothing_to_refuse_without_a_login(ecr: Any) -> None:
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="quay")["isValid"] is True
    with refused("PullThroughCacheRuleNotFoundException"):
        ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="absent")


# ------------------------------------------------------------------ ECR as an upstream


def test_another_account_as_upstream_needs_a_role(cloud: Cloud, ecr: Any) -> None:
    call = {
        "ecrRepositoryPrefix": "shared",
        "upstreamRegistryUrl": f"{OTHER}.dkr.ecr.us-east-1.amazonaws.com",
    }
    with refused("InvalidParameterException", "customRoleArn"):
        ecr.create_pull_through_cache_rule(**call)
    role = service_role(cloud, "pull-through")
    made = ecr.create_pull_through_cache_rule(**call, customRoleArn=role)
    assert (made["upstreamRegistry"], made["customRoleArn"]) == ("ecr", role)


def test_another_region_of_the_account_needs_none(cloud: Cloud, ecr: Any) -> None:
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix="usa", upstreamRegistryUrl=f"{cloud.account}.dkr.ecr.us-east-1.amazonaws.com"
    )
    with refused("InvalidParameterException", "upstreamRegistryUrl"):
        ecr.create_pull_through_cache_rule(
            ecrRepositoryPrefix="self", upstreamRegistryUrl=f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com"
        )


def test_the_role_has_to_be_there_in_the_account(cloud: Cloud, ecr: Any) -> None:
    call = {"ecrRepositoryPrefix": "usa", "upstreamRegistryUrl": f"{cloud.account}.dkr.ecr.us-east-1.amazonaws.com"}
    for account in (cloud.account, OTHER):
        with refused("InvalidParameterException", "customRoleArn"):
            ecr.create_pull_through_cache_rule(**call, customRoleArn=f"arn:aws:iam::{account}:role/absent")


# ------------------------------------------------------------------ who may


def test_passing_a_role_needs_a_permission(cloud: Cloud) -> None:
    role = service_role(cloud, "pull-through")
    call = {
        "ecrRepositoryPrefix": "usa",
        "upstreamRegistryUrl": f"{cloud.account}.dkr.ecr.us-east-1.amazonaws.com",
        "customRoleArn": role,
    }
    may = [allow("ecr:CreatePullThroughCacheRule", "iam:CreateServiceLinkedRole")]
    admin = cloud.client("ecr", credentials=cloud.role("admin", may))
    with refused("AccessDeniedException", "iam:PassRole", role):
        admin.create_pull_through_cache_rule(**call)
    to_another = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    cloud.role("admin", [*may, allow("iam:PassRole", on=role, Condition=to_another)])
    with refused("AccessDeniedException", "iam:PassRole", role):
        admin.create_pull_through_cache_rule(**call)
    to_ecr = {"StringEquals": {"iam:PassedToService": SERVICE}}
    cloud.role("admin", [*may, allow("iam:PassRole", on=role, Condition=to_ecr)])
    admin.create_pull_through_cache_rule(**call)


def test_the_first_rule_makes_the_service_linked_role(cloud: Cloud) -> None:
    may = [allow("ecr:CreatePullThroughCacheRule")]
    admin = cloud.client("ecr", credentials=cloud.role("admin", may))
    with refused("AccessDeniedException", "iam:CreateServiceLinkedRole", "AWSServiceRoleForECRPullThroughCache"):
        admin.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    for_it = {"StringEquals": {"iam:AWSServiceName": SERVICE}}
    cloud.role("admin", [*may, allow("iam:CreateServiceLinkedRole", Condition=for_it)])
    admin.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    cloud.role("admin", may)
    admin.create_pull_through_cache_rule(ecrRepositoryPrefix="k8s", upstreamRegistryUrl="registry.k8s.io")


@pytest.mark.parametrize(
    ("action", "operation"),
    [
        ("ecr:DescribePullThroughCacheRules", "describe_pull_through_cache_rules"),
        ("ecr:ValidatePullThroughCacheRule", "validate_pull_through_cache_rule"),
        ("ecr:UpdatePullThroughCacheRule", "update_pull_through_cache_rule"),
        ("ecr:DeletePullThroughCacheRule", "delete_pull_through_cache_rule"),
    ],
)
def test_each_operation_needs_its_permission(cloud: Cloud, ecr: Any, action: str, operation: str) -> None:
    ecr.create_pull_through_cache_rule(**docker_hub(cloud))
    nobody = cloud.client("ecr", credentials=cloud.role("nobody", [allow("ecr:GetAuthorizationToken")]))
    call = {} if operation.startswith("describe") else {"ecrRepositoryPrefix": "docker-hub"}
    with refused("AccessDeniedException", action):
        getattr(nobody, operation)(**call)


def test_rules_are_not_administered_from_another_account(cloud: Cloud) -> None:
    with refused("AccessDeniedException"):
        cloud.client("ecr", account=OTHER).describe_pull_through_cache_rules(registryId=cloud.account)
