"""ECR's repositories in the loopback cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecr_api import allow, deny, policy, push_image, refused

from loopback.client import Cloud

OTHER = "210987654321"


def arn(cloud: Cloud, name: str, account: str | None = None) -> str:
    return f"arn:aws:ecr:{cloud.region}:{account or cloud.account}:repository/{name}"


def reader(*principals: str, effect: str = "Allow") -> str:
    statement = {"Sid": "read", "Effect": effect, "Principal": {"AWS": list(principals)}, "Action": ["ecr:*"]}
    return policy(statement)


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    return cloud.client("ecr")


# ------------------------------------------------------------------ create, describe, delete


def test_a_new_repository_has_the_documented_defaults(cloud: Cloud, ecr: Any) -> None:
    made = ecr.create_repository(repositoryName="team/app")["repository"]
    assert made.pop("createdAt")
    assert made == {
        "registryId": cloud.account,
        "repositoryName": "team/app",
        "repositoryArn": arn(cloud, "team/app"),
        "repositoryUri": f"{cloud.registry.partition('://')[2]}/team/app",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def test_a_name_is_taken_once(ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/app")
    with refused("RepositoryAlreadyExistsException", "'team/app'"):
        ecr.create_repository(repositoryName="team/app")


@pytest.mark.parametrize("name", ["Team", "-app", "team//app", "team/", "a" * 257, "team/app:1"])
def test_names_follow_the_service_model(ecr: Any, name: str) -> None:
    with refused("InvalidParameterException", "repositoryName"):
        ecr.create_repository(repositoryName=name)


def test_describes_all_in_pages_or_the_named(ecr: Any) -> None:
    names = [f"team/app-{n:03}" for n in range(105)]
    for name in names:
        ecr.create_repository(repositoryName=name)
    first = ecr.describe_repositories()
    assert len(first["repositories"]) == 100
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 40})
    assert sorted(r["repositoryName"] for page in pages for r in page["repositories"]) == names
    chosen = ecr.describe_repositories(repositoryNames=[names[7], names[3]])["repositories"]
    assert {r["repositoryName"] for r in chosen} == {names[7], names[3]}
    with refused("RepositoryNotFoundException", "'no/such'"):
        ecr.describe_repositories(repositoryNames=[names[0], "no/such"])
    with refused("InvalidParameterException", "maxResults"):
        ecr.describe_repositories(repositoryNames=[names[0]], maxResults=5)
    with refused("InvalidParameterException", "nextToken"):
        ecr.describe_repositories(nextToken="junk")


def test_only_an_empty_repository_goes_without_force(ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/app")
    push_image(ecr, "team/app", ["1"])
    with refused("RepositoryNotEmptyException"):
        ecr.delete_repository(repositoryName="team/app")
    ecr.delete_repository(repositoryName="team/app", force=True)
    with refused("RepositoryNotFoundException"):
        ecr.delete_repository(repositoryName="team/app")


# ------------------------------------------------------------------ settings


def test_mutability_with_exclusions(ecr: Any) -> None:
    filters = [{"filterType": "WILDCARD", "filter": "dev-*"}]
    ecr.create_repository(
        repositoryName="team/app",
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    described = ecr.describe_repositories(repositoryNames=["team/app"])["repositories"][0]
    assert described["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert described["imageTagMutabilityExclusionFilters"] == filters
    changed = ecr.put_image_tag_mutability(repositoryName="team/app", imageTagMutability="IMMUTABLE")
    assert changed["imageTagMutability"] == "IMMUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in changed


@pytest.mark.parametrize(
    ("mutability", "filters"),
    [
        ("IMMUTABLE_WITH_EXCLUSION", None),
        ("MUTABLE", ["dev-*"]),
        ("IMMUTABLE", ["dev-*"]),
        ("MUTABLE_WITH_EXCLUSION", ["dev/*"]),
        ("MUTABLE_WITH_EXCLUSION", [f"dev-{n}" for n in range(6)]),
    ],
)
def test_mutability_and_filters_have_to_fit(ecr: Any, mutability: str, filters: list[str] | None) -> None:
    ecr.create_repository(repositoryName="team/app")
    given = {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": f} for f in filters or []]}
    with refused("InvalidParameterException", "imageTagMutabilityExclusionFilters"):
        ecr.put_image_tag_mutability(
            repositoryName="team/app", imageTagMutability=mutability, **(given if filters else {})
        )


def test_scan_on_push(ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/app")
    ecr.put_image_scanning_configuration(repositoryName="team/app", imageScanningConfiguration={"scanOnPush": True})
    described = ecr.describe_repositories(repositoryNames=["team/app"])["repositories"][0]
    assert described["imageScanningConfiguration"] == {"scanOnPush": True}


def test_kms_without_a_key_uses_the_one_of_aws(cloud: Cloud, ecr: Any) -> None:
    kms = {"encryptionType": "KMS"}
    keys = {
        ecr.create_repository(repositoryName=name, encryptionConfiguration=kms)["repository"][
            "encryptionConfiguration"
        ]["kmsKey"]
        for name in ("team/a", "team/b")
    }
    assert len(keys) == 1
    assert keys.pop().startswith(f"arn:aws:kms:{cloud.region}:{cloud.account}:key/")


def test_kms_keys_by_any_name_come_back_as_arn(cloud: Cloud, ecr: Any) -> None:
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/images", TargetKeyId=key["KeyId"])
    for number, name in enumerate((key["Arn"], key["KeyId"], "alias/images")):
        encryption = {"encryptionType": "KMS", "kmsKey": name}
        made = ecr.create_repository(repositoryName=f"team/app-{number}", encryptionConfiguration=encryption)
        assert made["repository"]["encryptionConfiguration"]["kmsKey"] == key["Arn"]


@pytest.mark.parametrize(
    ("encryption", "code"),
    [
        ({"encryptionType": "KMS", "kmsKey": "alias/no-such"}, "KmsException"),
        ({"encryptionType": "AES256", "kmsKey": "alias/aws/ecr"}, "InvalidParameterException"),
        ({"encryptionType": "KMS_DSSE"}, "InvalidParameterException"),
        ({"encryptionType": "ROT13"}, "InvalidParameterException"),
    ],
)
def test_encryption_that_cannot_be(ecr: Any, encryption: dict[str, str], code: str) -> None:
    with refused(code):
        ecr.create_repository(repositoryName="team/app", encryptionConfiguration=encryption)
    assert ecr.describe_repositories()["repositories"] == []


# ------------------------------------------------------------------ tags


def test_tags_are_set_changed_and_removed(ecr: Any) -> None:
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "tier", "Value": "1"}]
    made = ecr.create_repository(repositoryName="team/app", tags=tags)["repository"]
    where = {"resourceArn": made["repositoryArn"]}
    ecr.tag_resource(**where, tags=[{"Key": "team", "Value": "red"}])
    ecr.untag_resource(**where, tagKeys=["tier"])
    assert ecr.list_tags_for_resource(**where)["tags"] == [{"Key": "team", "Value": "red"}]


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": f"k{n}", "Value": ""} for n in range(51)], "TooManyTagsException"),
        ([{"Key": "k" * 129, "Value": ""}], "InvalidTagParameterException"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidTagParameterException"),
        ([{"Key": "aws:reserved", "Value": ""}], "InvalidTagParameterException"),
    ],
)
def test_tags_have_limits(ecr: Any, tags: list[dict[str, str]], code: str) -> None:
    with refused(code):
        ecr.create_repository(repositoryName="team/app", tags=tags)
    assert ecr.describe_repositories()["repositories"] == []


def test_tagging_needs_the_arn_of_a_repository_that_is_there(cloud: Cloud, ecr: Any) -> None:
    with refused("RepositoryNotFoundException"):
        ecr.list_tags_for_resource(resourceArn=arn(cloud, "no/such"))
    with refused("InvalidParameterException", "resourceArn"):
        ecr.list_tags_for_resource(resourceArn="arn:aws:s3:::bucket")


# ------------------------------------------------------------------ repository policy


def test_policy_is_kept_and_removed(ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/app")
    with refused("RepositoryPolicyNotFoundException"):
        ecr.get_repository_policy(repositoryName="team/app")
    ecr.set_repository_policy(repositoryName="team/app", policyText=reader("*"))
    kept = json.loads(ecr.get_repository_policy(repositoryName="team/app")["policyText"])
    assert kept["Statement"][0]["Sid"] == "read"
    ecr.delete_repository_policy(repositoryName="team/app")
    with refused("RepositoryPolicyNotFoundException"):
        ecr.delete_repository_policy(repositoryName="team/app")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"Statement": []}',
        '{"Statement": [{"Effect": "Allow", "Action": "ecr:*"}]}',
        '{"Statement": [{"Effect": "Maybe", "Principal": "*", "Action": "ecr:*"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*"}]}',
    ],
)
def test_policies_that_are_none(ecr: Any, text: str) -> None:
    ecr.create_repository(repositoryName="team/app")
    with refused("InvalidParameterException", "PolicyText"):
        ecr.set_repository_policy(repositoryName="team/app", policyText=text)


# ------------------------------------------------------------------ who may


def test_tags_at_creation_need_a_permission_of_their_own(cloud: Cloud) -> None:
    tags = [{"Key": "team", "Value": "blue"}]
    creator = cloud.client("ecr", credentials=cloud.role("creator", [allow("ecr:CreateRepository")]))
    creator.create_repository(repositoryName="team/plain")
    with refused("AccessDeniedException", "ecr:TagResource", arn(cloud, "team/app")):
        creator.create_repository(repositoryName="team/app", tags=tags)
    cloud.role("creator", [allow("ecr:CreateRepository", "ecr:TagResource")])
    creator.create_repository(repositoryName="team/app", tags=tags)


def test_conditions_see_the_tags_of_request_and_repository(cloud: Cloud, ecr: Any) -> None:
    only_blue = {"StringEquals": {"aws:RequestTag/team": "blue"}}
    own = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    statements = [
        allow("ecr:CreateRepository", "ecr:TagResource", Condition=only_blue),
        allow("ecr:DeleteRepository", Condition=own),
    ]
    blue = cloud.client("ecr", credentials=cloud.role("blue", statements))
    blue.create_repository(repositoryName="team/a", tags=[{"Key": "team", "Value": "blue"}])
    with refused("AccessDeniedException"):
        blue.create_repository(repositoryName="team/b", tags=[{"Key": "team", "Value": "red"}])
    ecr.create_repository(repositoryName="team/c", tags=[{"Key": "team", "Value": "red"}])
    with refused("AccessDeniedException"):
        blue.delete_repository(repositoryName="team/c")
    blue.delete_repository(repositoryName="team/a")


def test_permissions_are_scoped_by_repository(cloud: Cloud, ecr: Any) -> None:
    for name in ("team/a", "other/b"):
        ecr.create_repository(repositoryName=name)
    mine = cloud.client("ecr", credentials=cloud.role("mine", [allow("ecr:*", on=arn(cloud, "team/*"))]))
    mine.describe_repositories(repositoryNames=["team/a"])
    mine.tag_resource(resourceArn=arn(cloud, "team/a"), tags=[{"Key": "k", "Value": "v"}])
    with refused("AccessDeniedException", arn(cloud, "other/b")):
        mine.describe_repositories(repositoryNames=["team/a", "other/b"])
    with refused("AccessDeniedException", arn(cloud, "*")):
        mine.describe_repositories()
    with refused("AccessDeniedException", "ecr:TagResource"):
        mine.tag_resource(resourceArn=arn(cloud, "other/b"), tags=[{"Key": "k", "Value": "v"}])
    with refused("AccessDeniedException", "ecr:GetAuthorizationToken", "*"):
        mine.get_authorization_token()


def test_an_explicit_deny_wins(cloud: Cloud, ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/a")
    careful = cloud.client("ecr", credentials=cloud.role("careful", [allow("ecr:*"), deny("ecr:DeleteRepository")]))
    with refused("AccessDeniedException", "explicit deny"):
        careful.delete_repository(repositoryName="team/a")


def test_another_account_needs_both_sides(cloud: Cloud, ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/a")
    call = {"repositoryName": "team/a", "registryId": cloud.account}
    allowed = [allow("ecr:ListImages", on=arn(cloud, "team/*"))]
    guest = cloud.client("ecr", credentials=cloud.role("guest", allowed, account=OTHER))
    root = cloud.client("ecr", account=OTHER)
    for stranger in (guest, root):
        with refused("AccessDeniedException", arn(cloud, "team/a"), "no resource-based policy"):
            stranger.list_images(**call)
    ecr.set_repository_policy(repositoryName="team/a", policyText=reader(f"arn:aws:iam::{OTHER}:root"))
    for friend in (guest, root):
        assert friend.list_images(**call)["imageIds"] == []
    with refused("AccessDeniedException", "ecr:DescribeImages"):
        guest.describe_images(**call)
    assert root.describe_repositories(registryId=cloud.account, repositoryNames=["team/a"])["repositories"]


def test_a_repository_policy_allows_and_denies_in_its_own_account(cloud: Cloud, ecr: Any) -> None:
    for name in ("team/open", "team/shut"):
        ecr.create_repository(repositoryName=name)
    role = f"arn:aws:iam::{cloud.account}:role/worker"
    worker = cloud.client(
        "ecr", credentials=cloud.role("worker", [allow("ecr:ListImages", on=arn(cloud, "team/shut"))])
    )
    ecr.set_repository_policy(repositoryName="team/open", policyText=reader(role))
    ecr.set_repository_policy(repositoryName="team/shut", policyText=reader(role, effect="Deny"))
    assert worker.list_images(repositoryName="team/open")["imageIds"] == []
    with refused("AccessDeniedException", "explicit deny"):
        worker.list_images(repositoryName="team/shut")


def test_registries_are_apart_by_account_and_region(cloud: Cloud, ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/a")
    assert cloud.client("ecr", account=OTHER).describe_repositories()["repositories"] == []
    assert cloud.client("ecr", region="us-east-1").describe_repositories()["repositories"] == []
    elsewhere = cloud.client("ecr", region="us-east-1").create_repository(repositoryName="team/a")["repository"]
    assert elsewhere["repositoryArn"].startswith("arn:aws:ecr:us-east-1:")
    assert elsewhere["repositoryUri"] != ecr.describe_repositories()["repositories"][0]["repositoryUri"]
