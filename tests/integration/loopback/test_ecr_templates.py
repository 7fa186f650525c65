"""ECR's repository creation templates in the loopback cloud, and the repositories made from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecr_api import allow, policy, refused

from loopback.client import Cloud

SERVICE = "ecr.amazonaws.com"
TAGS = [{"Key": "team", "Value": "blue"}]
READERS = policy({"Sid": "read", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"})
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3},
                "action": {"type": "expire"},
            }
        ]
    }
)


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    return cloud.client("ecr")


def create(ecr: Any, prefix: str = "quay", *applied_for: str, **more: Any) -> Any:
    applied = list(applied_for) or ["PULL_THROUGH_CACHE"]
    call = {"prefix": prefix, "appliedFor": applied, **more}
    return ecr.create_repository_creation_template(**call)["repositoryCreationTemplate"]


def described(ecr: Any, *prefixes: str) -> list[dict[str, Any]]:
    call = {"prefixes": list(prefixes)} if prefixes else {}
    templates: list[dict[str, Any]] = ecr.describe_repository_creation_templates(**call)["repositoryCreationTemplates"]
    return templates


def service_role(cloud: Cloud, *actions: str, trusted: str = SERVICE) -> str:
    iam = cloud.client("iam")
    trust = policy({"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName="template", AssumeRolePolicyDocument=trust)["Role"]
    if actions:
        iam.put_role_policy(RoleName="template", PolicyName="template", PolicyDocument=policy(allow(*actions)))
    return str(role["Arn"])


# ------------------------------------------------------------------ templates


def test_defaults_and_the_slash(cloud: Cloud, ecr: Any) -> None:
    made = create(ecr, "quay/")
    assert made.pop("createdAt") == made.pop("updatedAt")
    assert made == {
        "prefix": "quay",
        "appliedFor": ["PULL_THROUGH_CACHE"],
        "imageTagMutability": "MUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    with refused("TemplateAlreadyExistsException"):
        create(ecr, "quay")


def test_an_absent_prefix_is_an_empty_answer(ecr: Any) -> None:
    create(ecr, "quay")
    assert [template["prefix"] for template in described(ecr, "absent", "quay/")] == ["quay"]
    assert described(ecr, "absent") == []


def test_templates_come_in_pages(ecr: Any) -> None:
    for number in range(25):
        create(ecr, f"quay-{number}")
    pages = ecr.get_paginator("describe_repository_creation_templates").paginate(PaginationConfig={"PageSize": 10})
    assert [len(page["repositoryCreationTemplates"]) for page in pages] == [10, 10, 5]


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"prefix": "Quay"}, "prefix"),
        ({"appliedFor": ["PULL"]}, "appliedFor"),
        ({"imageTagMutability": "SOMETIMES"}, "imageTagMutability"),
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}, "imageTagMutabilityExclusionFilters"),
        ({"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/mine"}}, "kmsKey"),
        ({"repositoryPolicy": "{"}, "PolicyText"),
        ({"lifecyclePolicy": '{"rules": []}'}, "LifecyclePolicyText"),
        ({"description": "x" * 257}, "description"),
        ({"customRoleArn": "arn:aws:iam::123456789012:role/absent"}, "customRoleArn"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_templates_that_cannot_be(ecr: Any, more: dict[str, Any], names: str) -> None:
    with refused("InvalidParameterException", names):
        create(ecr, **{"prefix": "quay", **more})
    assert described(ecr) == []


def test_policies_come_back_with_the_same_meaning(ecr: Any) -> None:
    create(ecr, repositoryPolicy=READERS, lifecyclePolicy=LIFECYCLE)
    (template,) = described(ecr)
    assert json.loads(template["repositoryPolicy"]) == json.loads(READERS)
    assert json.loads(template["lifecyclePolicy"]) == json.loads(LIFECYCLE)


def test_update_makes_tags_mutable_again_when_it_says_nothing_of_them(ecr: Any) -> None:
    created = create(ecr, imageTagMutability="IMMUTABLE", description="before")
    ecr.update_repository_creation_template(prefix="quay/", description="after")
    (template,) = described(ecr)
    assert (template["imageTagMutability"], template["description"]) == ("MUTABLE", "after")
    assert template["createdAt"] == created["createdAt"]
    assert template["appliedFor"] == ["PULL_THROUGH_CACHE"]


@pytest.mark.parametrize(("knob", "left"), [("clear", None), ("keep", "before")])
def test_what_update_does_with_other_omitted_fields_is_not_known(cloud: Cloud, ecr: Any, knob: str, left: Any) -> None:
    cloud.knobs(ecr__templates__omitted=knob)
    create(ecr, description="before")
    ecr.update_repository_creation_template(prefix="quay", imageTagMutability="IMMUTABLE")
    assert described(ecr)[0].get("description") == left


def test_update_clears_what_is_sent_empty(ecr: Any) -> None:
    create(ecr, repositoryPolicy=READERS, lifecyclePolicy=LIFECYCLE)
    ecr.update_repository_creation_template(prefix="quay", repositoryPolicy="", lifecyclePolicy="")
    assert not described(ecr)[0].keys() & {"repositoryPolicy", "lifecyclePolicy"}


def test_delete(ecr: Any) -> None:
    create(ecr)
    ecr.delete_repository_creation_template(prefix="quay/")
    for call in (ecr.delete_repository_creation_template, ecr.update_repository_creation_template):
        with refused("TemplateNotFoundException", "'quay'"):
            call(prefix="quay")


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize(
    "missing",
    [
        "ecr:CreateRepositoryCreationTemplate",
        "ecr:CreateRepository",
        "ecr:PutLifecyclePolicy",
        "ecr:SetRepositoryPolicy",
        "iam:PassRole",
    ],
)
def test_each_permission_is_needed(cloud: Cloud, missing: str) -> None:
    needed = {
        "ecr:CreateRepositoryCreationTemplate",
        "ecr:CreateRepository",
        "ecr:PutLifecyclePolicy",
        "ecr:SetRepositoryPolicy",
        "iam:PassRole",
    }
    role = service_role(cloud)
    whole = {"repositoryPolicy": READERS, "lifecyclePolicy": LIFECYCLE, "customRoleArn": role}
    admin = cloud.client("ecr", credentials=cloud.role("admin", [allow(*needed - {missing})]))
    with refused("AccessDeniedException", missing):
        create(admin, **whole)
    cloud.role("admin", [allow(*needed)])
    create(admin, **whole)


# ------------------------------------------------------------------ repositories made from templates


def pull(cloud: Cloud, repository: str, **more: Any) -> Any:
    """Pull an image of quay.io through the cache, for the first time."""
    cloud.publish("quay.io", repository, "1", platforms=["linux/amd64"], kind="image")
    ecr = cloud.client("ecr", **more)
    return ecr.batch_get_image(repositoryName=f"quay/{repository}", imageIds=[{"imageTag": "1"}])


@pytest.fixture
def quay(ecr: Any) -> None:
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")


@pytest.mark.usefixtures("quay")
def test_without_a_template_a_repository_has_defaults(cloud: Cloud, ecr: Any) -> None:
    create(ecr, "other")
    create(ecr, "quay", "REPLICATION", imageTagMutability="IMMUTABLE")
    pull(cloud, "team/app")
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["imageTagMutability"] == "MUTABLE"
    with refused("LifecyclePolicyNotFoundException"):
        ecr.get_lifecycle_policy(repositoryName="quay/team/app")


@pytest.mark.usefixtures("quay")
def test_the_template_is_applied_to_new_repositories_only(cloud: Cloud, ecr: Any) -> None:
    filters = [{"filterType": "WILDCARD", "filter": "latest"}]
    pull(cloud, "team/old")
    create(
        ecr,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
        repositoryPolicy=READERS,
        lifecyclePolicy=LIFECYCLE,
    )
    pull(cloud, "team/new")
    found = {r["repositoryName"]: r for r in ecr.describe_repositories()["repositories"]}
    assert found["quay/team/old"]["imageTagMutability"] == "MUTABLE"
    assert found["quay/team/new"]["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert found["quay/team/new"]["imageTagMutabilityExclusionFilters"] == filters
    kept = ecr.get_lifecycle_policy(repositoryName="quay/team/new")["lifecyclePolicyText"]
    assert json.loads(kept) == json.loads(LIFECYCLE)
    assert "read" in ecr.get_repository_policy(repositoryName="quay/team/new")["policyText"]


@pytest.mark.usefixtures("quay")
def test_the_longest_prefix_wins_and_root_covers_the_rest(cloud: Cloud, ecr: Any) -> None:
    create(ecr, "ROOT", imageTagMutability="IMMUTABLE")
    create(ecr, "quay/team", lifecyclePolicy=LIFECYCLE)
    pull(cloud, "team/app")
    pull(cloud, "teams/app")
    found = {r["repositoryName"]: r["imageTagMutability"] for r in ecr.describe_repositories()["repositories"]}
    assert found == {"quay/team/app": "MUTABLE", "quay/teams/app": "IMMUTABLE"}


@pytest.mark.usefixtures("quay")
def test_tags_and_keys_without_a_role_fail_only_when_a_repository_is_made(cloud: Cloud, ecr: Any) -> None:
    for prefix, setting in {
        "quay/tags": {"resourceTags": TAGS},
        "quay/kms": {"encryptionConfiguration": {"encryptionType": "KMS"}},
    }.items():
        create(ecr, prefix, **setting)
        with refused("RepositoryNotFoundException", prefix):
            pull(cloud, f"{prefix.removeprefix('quay/')}/app")
    assert ecr.describe_repositories()["repositories"] == []


@pytest.mark.usefixtures("quay")
def test_a_role_sets_tags(cloud: Cloud, ecr: Any) -> None:
    role = service_role(cloud, "ecr:CreateRepository", "ecr:TagResource")
    create(ecr, resourceTags=TAGS, customRoleArn=role)
    pull(cloud, "team/app")
    (made,) = ecr.describe_repositories()["repositories"]
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == TAGS


@pytest.mark.usefixtures("quay")
def test_puller_must_be_allowed_to_tag_too(cloud: Cloud, ecr: Any) -> None:
    create(ecr, resourceTags=TAGS, customRoleArn=service_role(cloud, "ecr:CreateRepository", "ecr:TagResource"))
    actions = ["ecr:BatchGetImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
    with refused("RepositoryNotFoundException", "quay/team/app"):
        pull(cloud, "team/app", credentials=cloud.role("puller", [allow(*actions)]))
    pull(cloud, "team/app", credentials=cloud.role("puller", [allow(*actions, "ecr:TagResource")]))


@pytest.mark.parametrize(
    ("actions", "trusted"),
    [
        (["ecr:CreateRepository"], SERVICE),
        (["ecr:TagResource"], SERVICE),
        (["ecr:CreateRepository", "ecr:TagResource"], "pullthroughcache.ecr.amazonaws.com"),
    ],
    ids=["may not tag", "may not create", "trusts another service"],
)
@pytest.mark.usefixtures("quay")
def test_a_role_that_cannot_do_it(cloud: Cloud, ecr: Any, actions: list[str], trusted: str) -> None:
    create(ecr, resourceTags=TAGS, customRoleArn=service_role(cloud, *actions, trusted=trusted))
    with refused("RepositoryNotFoundException"):
        pull(cloud, "team/app")


@pytest.mark.usefixtures("quay")
@pytest.mark.parametrize("missing", [None, "kms:CreateGrant", "kms:RetireGrant", "kms:DescribeKey"])
def test_a_role_uses_a_key(cloud: Cloud, ecr: Any, missing: str | None) -> None:
    needed = {"ecr:CreateRepository", "kms:CreateGrant", "kms:RetireGrant", "kms:DescribeKey"}
    encryption = {"encryptionType": "KMS", "kmsKey": cloud.client("kms").create_key()["KeyMetadata"]["Arn"]}
    create(ecr, encryptionConfiguration=encryption, customRoleArn=service_role(cloud, *needed - {missing or ""}))
    if missing:
        with refused("RepositoryNotFoundException"):
            pull(cloud, "team/app")
        return
    pull(cloud, "team/app")
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["encryptionConfiguration"] == encryption
