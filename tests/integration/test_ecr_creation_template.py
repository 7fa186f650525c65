"""The module ecr_creation_template against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

TEMPLATE = "ecr_creation_template"
CACHE = ["pull_through_cache"]
UNTAGGED = {
    "priority": 1,
    "tag_status": "untagged",
    "count_type": "sinceImagePushed",
    "count_number": 14,
    "action": "expire",
}
KEEP_TEN = {
    "priority": 2,
    "tag_status": "tagged",
    "tag_patterns": ["*"],
    "count_type": "imageCountMoreThan",
    "count_number": 10,
    "action": "expire",
}
ACCESS: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Pull",
            "Effect": "Allow",
            "Principal": {"AWS": ["210987654321"]},
            "Action": ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
        }
    ],
}
QUAY: dict[str, Any] = {"prefix": "quay", "applied_for": CACHE}


def role(cloud: Cloud, name: str = "templates") -> str:
    """A role with which ECR may create repositories, and tag and encrypt them."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ecr.amazonaws.com"}, "Action": "sts:AssumeRole"}
    permission = {"Effect": "Allow", "Action": ["ecr:*", "kms:*"], "Resource": "*"}
    iam = cloud.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    document = json.dumps({"Version": "2012-10-17", "Statement": [permission]})
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=document)
    return str(made["Role"]["Arn"])


def full(cloud: Cloud) -> dict[str, Any]:
    """A template of which everything is said but for encryption."""
    return {
        **QUAY,
        "description": "Cache of Quay",
        "lifecycle_rules": [UNTAGGED, KEEP_TEN],
        "repository_policy": ACCESS,
        "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
        "image_tag_mutability_exclusion_filters": ["latest", "dev-*"],
        "resource_tags": {"team": "platform"},
        "custom_role_arn": role(cloud),
    }


def stored(cloud: Cloud) -> dict[str, dict[str, Any]]:
    found = cloud.client("ecr").describe_repository_creation_templates()["repositoryCreationTemplates"]
    return {template["prefix"]: template for template in found}


def make_repositories(cloud: Cloud, *names: str, **settings: Any) -> None:
    for name in names:
        cloud.client("ecr").create_repository(repositoryName=name, **settings)


def lifecycle(cloud: Cloud, name: str) -> list[int] | None:
    """The priorities of a repository's lifecycle rules."""
    ecr = cloud.client("ecr")
    try:
        text = ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
    except ecr.exceptions.LifecyclePolicyNotFoundException:
        return None
    return [rule["rulePriority"] for rule in json.loads(text)["rules"]]


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    repository: dict[str, Any] = cloud.client("ecr").describe_repositories(repositoryNames=[name])["repositories"][0]
    return repository


def tags(cloud: Cloud, name: str) -> dict[str, str]:
    found = cloud.client("ecr").list_tags_for_resource(resourceArn=described(cloud, name)["repositoryArn"])["tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def changed(entries: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [(entry["name"], entry["changed"]) for entry in entries]


def drift(entry: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(item["field"], item["mended"]) for item in entry["drift"]]


# ------------------------------------------------------------------ templates


def test_writes_once_and_then_leaves_alone(cloud: Cloud, module: Module) -> None:
    arguments = {"templates": [full(cloud), {**QUAY, "prefix": "ROOT"}]}
    first = module(TEMPLATE, arguments)
    assert not first.failed, first.msg
    assert changed(first["templates"]) == [("quay", True), ("ROOT", True)]
    assert stored(cloud)["quay"]["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    cloud.forget_calls()
    second = module(TEMPLATE, arguments)
    assert not second.failed, second.msg
    assert not second.changed
    assert cloud.operations() == ["DescribeRepositoryCreationTemplates"]


def test_a_cached_image_gets_a_repository_as_the_template_says(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "team/app", "v1")
    module(TEMPLATE, full(cloud))
    module("ecr_pull_through_rule", {"prefix": "quay", "upstream": "quay"})
    assert cloud.client("ecr").batch_get_image(repositoryName="quay/team/app", imageIds=[{"imageTag": "v1"}])["images"]
    assert lifecycle(cloud, "quay/team/app") == [1, 2]
    assert tags(cloud, "quay/team/app") == {"team": "platform"}
    assert described(cloud, "quay/team/app")["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"lifecycle_rules": [KEEP_TEN, {**UNTAGGED, "storage_class": "standard"}]}, id="rules"),
        pytest.param({"repository_policy": json.dumps(ACCESS, indent=8)}, id="policy as text"),
        pytest.param(
            {
                "repository_policy": {
                    "Version": "2012-10-17",
                    "Statement": {
                        **ACCESS["Statement"][0],
                        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
                        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    },
                }
            },
            id="policy in other words",
        ),
        pytest.param(
            {
                "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
                "image_tag_mutability_exclusion_filters": ["dev-*", "latest"],
            },
            id="filters in another order",
        ),
        pytest.param({"prefix": "quay/"}, id="a slash"),
        pytest.param({}, id="nothing said"),
    ],
)
def test_compares_meaning_not_text(cloud: Cloud, module: Module, same: dict[str, Any]) -> None:
    module(TEMPLATE, full(cloud))
    again = module(TEMPLATE, {"prefix": "quay", **same})
    assert not again.failed, again.msg
    assert not again.changed, again["actions"]


@pytest.mark.parametrize("omitted", ["clear", "keep"])
def test_an_update_changes_what_is_said_and_nothing_else(cloud: Cloud, module: Module, omitted: str) -> None:
    cloud.knobs(ecr__templates__omitted=omitted)  # what AWS makes of what an update leaves out is not documented
    module(TEMPLATE, full(cloud))
    before = stored(cloud)["quay"]
    changes = {"description": "", "lifecycle_rules": [], "applied_for": [*CACHE, "replication"]}
    assert module(TEMPLATE, {"prefix": "quay", **changes}).changed
    after = stored(cloud)["quay"]
    assert sorted(before.keys() - after.keys()) == ["description", "lifecyclePolicy"]
    assert after["appliedFor"] == ["PULL_THROUGH_CACHE", "REPLICATION"]
    for kept in ("repositoryPolicy", "resourceTags", "imageTagMutability", "customRoleArn"):
        assert after[kept] == before[kept]
    assert not module(TEMPLATE, {"prefix": "quay", **changes}).changed

    bare = {"repository_policy": "", "resource_tags": {}, "custom_role_arn": "", "image_tag_mutability": "MUTABLE"}
    assert module(TEMPLATE, {"prefix": "quay", **bare}).changed
    bare_keys = {"prefix", "appliedFor", "imageTagMutability", "encryptionConfiguration", "createdAt", "updatedAt"}
    assert stored(cloud)["quay"].keys() == bare_keys
    assert not module(TEMPLATE, {"prefix": "quay", **bare}).changed


def test_encryption_with_a_key(cloud: Cloud, module: Module) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    arguments = {**QUAY, "encryption_type": "KMS", "kms_key_arn": key, "custom_role_arn": role(cloud)}
    assert module(TEMPLATE, arguments).changed
    assert stored(cloud)["quay"]["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    assert not module(TEMPLATE, arguments).changed


def test_check_mode_promises_what_the_run_then_does(cloud: Cloud, module: Module) -> None:
    module(TEMPLATE, {"templates": [{**QUAY, "prefix": "update"}, {**QUAY, "prefix": "same"}]})
    make_repositories(cloud, "quay/app", "update/app", "same/app", "other")
    before = stored(cloud)
    arguments = {
        "templates": [
            full(cloud),
            {"prefix": "update", "lifecycle_rules": [UNTAGGED]},
            {"prefix": "same", "description": ""},
        ],
        "apply_to_existing": True,
    }
    promised = module(TEMPLATE, arguments, check=True, diff=True)
    assert stored(cloud) == before
    assert lifecycle(cloud, "quay/app") is None
    done = module(TEMPLATE, arguments, diff=True)
    assert promised.returned == done.returned
    assert changed(done["templates"]) == [("quay", True), ("update", True), ("same", False)]
    assert changed(done["repositories"]) == [("quay/app", True), ("same/app", False), ("update/app", True)]
    assert [entry["before_header"] for entry in done["diff"]] == ["quay", "update", "quay/app", "update/app"]
    assert not module(TEMPLATE, arguments).changed


def test_absent_removes_templates_and_leaves_repositories(cloud: Cloud, module: Module) -> None:
    module(TEMPLATE, {**full(cloud), "apply_to_existing": True})
    make_repositories(cloud, "quay/app")
    module(TEMPLATE, {"prefix": "quay", "apply_to_existing": True})
    removal = {"prefix": "quay", "state": "absent"}
    assert module(TEMPLATE, removal, check=True).changed
    assert list(stored(cloud)) == ["quay"]
    assert module(TEMPLATE, removal).changed
    assert stored(cloud) == {}
    assert lifecycle(cloud, "quay/app") == [1, 2]
    assert not module(TEMPLATE, removal).changed


# ------------------------------------------------------------------ repositories that exist


def test_a_template_alone_never_touches_what_exists(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "quay/app")
    module(TEMPLATE, full(cloud))
    assert lifecycle(cloud, "quay/app") is None
    assert described(cloud, "quay/app")["imageTagMutability"] == "MUTABLE"


def test_drift_is_mended_and_reported_once(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "quay/app", "quay", "quayside/app", "team/app")
    make_repositories(cloud, "quay/tagged", tags=[{"Key": "team", "Value": "old"}, {"Key": "keep", "Value": "me"}])
    arguments = {**full(cloud), "apply_to_existing": True}
    first = module(TEMPLATE, arguments)
    assert not first.failed, first.msg
    assert changed(first["repositories"]) == [("quay/app", True), ("quay/tagged", True)]
    app = first["repositories"][0]
    assert app["template"] == "quay"
    assert drift(app) == [
        ("lifecycle_rules", True),
        ("repository_policy", True),
        ("image_tag_mutability", True),
        ("image_tag_mutability_exclusion_filters", True),
        ("resource_tags", True),
    ]
    assert lifecycle(cloud, "quay/app") == [1, 2]
    assert tags(cloud, "quay/tagged") == {"team": "platform", "keep": "me"}
    assert described(cloud, "quay/app")["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert lifecycle(cloud, "quayside/app") is None

    cloud.forget_calls()
    second = module(TEMPLATE, arguments)
    assert not second.changed
    assert [entry["drift"] for entry in second["repositories"]] == [[], []]
    reads = ["GetLifecyclePolicy", "GetRepositoryPolicy", "ListTagsForResource"] * 2
    listed = ["DescribeRepositoryCreationTemplates", "DescribeRepositories"]
    assert sorted(cloud.operations()) == sorted([*listed, *reads])


def test_encryption_is_reported_and_not_mended(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "quay/app")
    arguments = {**QUAY, "encryption_type": "KMS", "custom_role_arn": role(cloud), "apply_to_existing": True}
    result = module(TEMPLATE, arguments)
    assert changed(result["repositories"]) == [("quay/app", False)]
    assert result["repositories"][0]["drift"] == [
        {"field": "encryption_type", "before": "AES256", "after": "KMS", "mended": False}
    ]
    assert not module(TEMPLATE, arguments).changed


def test_immutability_is_not_undone_unless_asked(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "quay/app", imageTagMutability="IMMUTABLE")
    assert not module(TEMPLATE, {**QUAY, "apply_to_existing": True})["repositories"][0]["changed"]
    asked = {"prefix": "quay", "image_tag_mutability": "MUTABLE", "apply_to_existing": True}
    assert module(TEMPLATE, asked)["repositories"][0]["changed"]
    assert described(cloud, "quay/app")["imageTagMutability"] == "MUTABLE"


def test_root_takes_what_no_longer_prefix_does(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "quay/app", "team/app", "single")
    module(TEMPLATE, QUAY)
    root = {"prefix": "ROOT", "applied_for": CACHE, "lifecycle_rules": [UNTAGGED], "apply_to_existing": True}
    result = module(TEMPLATE, root)
    assert changed(result["repositories"]) == [("single", True), ("team/app", True)]
    assert lifecycle(cloud, "quay/app") is None


def test_two_hundred_repositories_are_one_task(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, *(f"quay/app-{number:03}" for number in range(200)))
    result = module(TEMPLATE, {**QUAY, "lifecycle_rules": [UNTAGGED], "apply_to_existing": True})
    assert len([entry for entry in result["repositories"] if entry["changed"]]) == 200
    assert len(cloud.calls("DescribeRepositories")) == 1


# ------------------------------------------------------------------ bad input and faults


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({**QUAY, "prefix": "Quay"}, ["prefix", "lower case: quay"], id="capitals"),
        pytest.param({**QUAY, "prefix": "a" * 257}, ["prefix", "not 257"], id="long prefix"),
        pytest.param({**QUAY, "applied_for": ["pulls"]}, ["applied_for", "pull_through_cache"], id="unknown purpose"),
        pytest.param(
            {**QUAY, "resource_tags": {"a": "b"}},
            ["custom_role_arn", "resource_tags", "creates no repository"],
            id="tags without a role",
        ),
        pytest.param(
            {**QUAY, "encryption_type": "KMS"}, ["custom_role_arn", "encryption_type KMS"], id="KMS without a role"
        ),
        pytest.param(
            {**QUAY, "encryption_type": "KMS", "kms_key_arn": "alias/x", "custom_role_arn": "arn:aws:iam::1:role/x"},
            ["kms_key_arn", "alias"],
            id="alias",
        ),
        pytest.param(
            {**QUAY, "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION"},
            ["image_tag_mutability_exclusion_filters", "required"],
            id="exclusion of nothing",
        ),
        pytest.param({**QUAY, "repository_policy": "{not json"}, ["repository_policy", "JSON"], id="policy"),
        pytest.param(
            {**QUAY, "lifecycle_rules": [UNTAGGED, {**KEEP_TEN, "priority": 1}]},
            ["lifecycle_rules", "priority", "taken"],
            id="rules",
        ),
        pytest.param({"templates": [QUAY, {**QUAY, "prefix": "quay/"}]}, ["prefix", "more than once"], id="twice"),
    ],
)
def test_bad_input_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: list[str]
) -> None:
    result = module(TEMPLATE, arguments)
    assert result.failed
    for words in says:
        assert words in result.msg
    assert cloud.operations() == []


def test_a_new_template_must_say_what_it_is_for(cloud: Cloud, module: Module) -> None:
    result = module(TEMPLATE, {"templates": [{"prefix": "new"}, QUAY]})
    assert result.failed
    assert "'new', applied_for: is required to create a template" in result.msg
    assert changed(result["templates"]) == [("new", False), ("quay", True)]


def test_what_ecr_refuses_does_not_hide_the_others(cloud: Cloud, module: Module) -> None:
    refused = {**QUAY, "prefix": "refused", "repository_policy": {"Statement": [{"Effect": "Perhaps"}]}}
    result = module(TEMPLATE, {"templates": [refused, QUAY]})
    assert result.failed
    assert "Failed for 1 of 2 templates. refused: " in result.msg
    assert "InvalidParameterException" in result.msg
    assert list(stored(cloud)) == ["quay"]


def test_throttling_is_waited_out(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    make_repositories(cloud, "quay/app")
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    for operation in ("CreateRepositoryCreationTemplate", "PutLifecyclePolicy"):
        cloud.inject({"op": operation, "status": 400, "times": 7, "body": throttled})
    result = module(TEMPLATE, {**QUAY, "lifecycle_rules": [UNTAGGED], "apply_to_existing": True})
    assert not result.failed, result.msg
    assert lifecycle(cloud, "quay/app") == [1]


def test_a_run_cut_short_is_finished_by_the_next(cloud: Cloud, module: Module) -> None:
    names = [f"quay/app-{number}" for number in range(10)]
    make_repositories(cloud, *names)
    arguments = {**QUAY, "lifecycle_rules": [UNTAGGED], "apply_to_existing": True}
    denied = {"__type": "AccessDeniedException", "message": "not authorized"}
    cloud.inject({"op": "PutLifecyclePolicy", "status": 400, "after": 4, "times": -1, "body": denied})
    cut = module(TEMPLATE, arguments)
    assert cut.failed
    assert "Failed for 6 of 10 repositories" in cut.msg
    cloud.clear_faults()
    result = module(TEMPLATE, arguments)
    assert len([entry for entry in result["repositories"] if entry["changed"]]) == 6
    assert not module(TEMPLATE, arguments).changed


# ------------------------------------------------------------------ permissions

ACTIONS = [
    "ecr:DescribeRepositoryCreationTemplates",
    "ecr:CreateRepositoryCreationTemplate",
    "ecr:UpdateRepositoryCreationTemplate",
    "ecr:DeleteRepositoryCreationTemplate",
    "ecr:CreateRepository",
    "ecr:PutLifecyclePolicy",
    "ecr:SetRepositoryPolicy",
    "iam:PassRole",
]
EXISTING_ACTIONS = [
    "ecr:DescribeRepositories",
    "ecr:GetLifecyclePolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:ListTagsForResource",
    "ecr:PutImageTagMutability",
    "ecr:TagResource",
]


def everything(cloud: Cloud, module: Module, actions: list[str]) -> list[ModuleResult]:
    """One run for each kind of change, as an operator who may do just this."""
    operator = cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])
    make_repositories(cloud, "quay/app")
    runs = [
        full(cloud),
        {"prefix": "quay", "description": "Another"},
        {"prefix": "quay", "apply_to_existing": True},
        {"prefix": "quay", "state": "absent"},
    ]
    return [module(TEMPLATE, arguments, credentials=operator) for arguments in runs]


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    results = everything(cloud, module, ACTIONS + EXISTING_ACTIONS)
    assert [result.msg for result in results if result.failed] == []
    assert all(result.changed for result in results)


@pytest.mark.parametrize("missing", ACTIONS + EXISTING_ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    results = everything(cloud, module, [action for action in ACTIONS + EXISTING_ACTIONS if action != missing])
    failures = [result.msg for result in results if result.failed]
    assert failures
    assert missing in failures[0]


# ------------------------------------------------------------------ as a user runs it


def test_a_playbook_in_check_mode_run_and_run_again(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    make_repositories(cloud, "quay/app")
    arguments = {**full(cloud), "apply_to_existing": True}
    play = local_play({"stevedore.ecr.ecr_creation_template": arguments})
    runs = [playbook(play, "--check", "--diff"), playbook(play, "--diff"), playbook(play, "--diff", "-vvvv")]
    assert [run.status for run in runs] == [0, 0, 0], runs[-1].output
    assert [run.recap["changed"] for run in runs] == [1, 1, 0]
    for run in runs:
        assert "[WARNING]" not in run.output
        assert "[DEPRECATION" not in run.output
    promised, done = (run.output[: run.output.index("PLAY RECAP")] for run in runs[:2])
    assert promised == done
    assert '+  "description": "Cache of Quay"' in done
