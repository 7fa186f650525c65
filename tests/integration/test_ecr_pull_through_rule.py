"""The modules for pull-through cache rules against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

OTHER_ACCOUNT = "210987654321"
TOKEN = "hubtoken"
PASSWORD_BEGINS = "QVdTO"  # how every password of ECR begins: AWS: in base64
READS = ["DescribePullThroughCacheRules", "GetAuthorizationToken"]
VALIDATE = "ValidatePullThroughCacheRule"
VALID = {"valid": True, "reason": None}
RULE = "ecr_pull_through_rule"
INFO = "ecr_pull_through_rule_info"

QUAY = {"prefix": "quay", "upstream": "quay"}


def secret(cloud: Cloud, name: str = "docker-hub", token: str = TOKEN, **more: Any) -> str:
    value = json.dumps({"username": "hubuser", "accessToken": token})
    made = cloud.client("secretsmanager").create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=value, **more)
    return str(made["ARN"])


def hub(cloud: Cloud, **more: Any) -> dict[str, Any]:
    return {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": secret(cloud), **more}


def stored(cloud: Cloud) -> dict[str, dict[str, Any]]:
    rules = cloud.client("ecr").describe_pull_through_cache_rules()["pullThroughCacheRules"]
    return {rule["ecrRepositoryPrefix"]: rule for rule in rules}


def changed(result: ModuleResult) -> list[tuple[str, bool]]:
    return [(rule["name"], rule["changed"]) for rule in result["rules"]]


def ecr_role(cloud: Cloud) -> str:
    """A role with which ECR may read from another account."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "pullthroughcache.ecr.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    permission = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
    iam = cloud.client("iam")
    made = iam.create_role(RoleName="cache", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    document = json.dumps({"Version": "2012-10-17", "Statement": [permission]})
    iam.put_role_policy(RoleName="cache", PolicyName="cache", PolicyDocument=document)
    return str(made["Role"]["Arn"])


def every_upstream(cloud: Cloud) -> list[dict[str, Any]]:
    arn = secret(cloud)
    return [
        *({"prefix": name, "upstream": name} for name in ("ecr-public", "quay", "k8s")),
        *({"prefix": n, "upstream": n, "credential_arn": arn} for n in ("docker-hub", "ghcr", "gitlab", "chainguard")),
        {"prefix": "acr", "upstream": "acr", "upstream_url": "example.azurecr.io", "credential_arn": arn},
        {
            "prefix": "ecr",
            "upstream": "ecr",
            "upstream_url": f"{OTHER_ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com",
            "custom_role_arn": ecr_role(cloud),
        },
    ]


# ------------------------------------------------------------------ what they do


def test_one_rule_is_created_validated_and_then_left_alone(cloud: Cloud, module: Module) -> None:
    arguments = hub(cloud)
    first = module(RULE, arguments)
    assert not first.failed, first.msg
    [rule] = first["rules"]
    assert (rule["name"], rule["changed"], rule["before"], rule["validation"]) == ("docker-hub", True, None, VALID)
    assert rule["pull_url"] == f"{cloud.registry.removeprefix('http://')}/docker-hub"
    assert stored(cloud)["docker-hub"]["upstreamRegistry"] == "docker-hub"
    cloud.forget_calls()
    second = module(RULE, arguments)
    assert not second.changed
    assert second["rules"][0]["before"] == second["rules"][0]["after"] == rule["after"]
    assert cloud.operations() == [*READS, VALIDATE]


def test_every_upstream_is_one_line_of_a_list(cloud: Cloud, module: Module) -> None:
    rules = every_upstream(cloud)
    first = module(RULE, {"rules": rules, "validate": True})
    assert not first.failed, first.msg
    assert changed(first) == [(rule["prefix"], True) for rule in rules]
    assert all(rule["validation"] == VALID for rule in first["rules"])
    assert stored(cloud)["ghcr"]["upstreamRegistry"] == "github-container-registry"


def test_a_second_run_of_all_costs_no_more_calls_than_of_one_but_for_the_logins(cloud: Cloud, module: Module) -> None:
    rules = every_upstream(cloud)
    more = [{"prefix": f"quay-{number}", "upstream": "quay"} for number in range(30)]
    module(RULE, {"rules": rules + more})
    cloud.forget_calls()
    assert not module(RULE, {"rules": rules + more}).changed
    logins = {(rule["upstream"], rule["credential_arn"]) for rule in rules if "credential_arn" in rule}
    assert sorted(cloud.operations()) == sorted([*READS, *[VALIDATE] * len(logins)])


def test_an_image_comes_through_the_rule_and_stays_without_it(cloud: Cloud, module: Module) -> None:
    cloud.publish("registry-1.docker.io", "library/nginx", "1.27")
    module(RULE, hub(cloud))
    image = {"repositoryName": "docker-hub/library/nginx", "imageIds": [{"imageTag": "1.27"}]}
    ecr = cloud.client("ecr")
    assert ecr.batch_get_image(**image)["images"]
    assert module(RULE, {"prefix": "docker-hub", "state": "absent"}).changed
    assert stored(cloud) == {}
    assert ecr.batch_get_image(**image)["images"]


def test_an_image_of_another_registry_comes_under_another_prefix(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "their-team/app", "v1")
    module(RULE, {**QUAY, "prefix": "our-team", "upstream_repository_prefix": "their-team"})
    images = cloud.client("ecr").batch_get_image(repositoryName="our-team/app", imageIds=[{"imageTag": "v1"}])
    assert images["images"]


def test_root_rule(cloud: Cloud, module: Module) -> None:
    cloud.publish("quay.io", "team/app", "v1")
    result = module(RULE, {"prefix": "ROOT", "upstream": "quay"})
    assert result["rules"][0]["pull_url"] == cloud.registry.removeprefix("http://")
    assert cloud.client("ecr").batch_get_image(repositoryName="team/app", imageIds=[{"imageTag": "v1"}])["images"]
    again = module(RULE, {"prefix": "ROOT", "upstream": "quay", "upstream_repository_prefix": "ROOT"})
    assert not again.changed


def test_check_mode_promises_what_the_run_then_does(cloud: Cloud, module: Module) -> None:
    arn = secret(cloud)
    module(
        RULE,
        {
            "rules": [
                {"prefix": "same", "upstream": "docker-hub", "credential_arn": arn},
                {"prefix": "update", "upstream": "docker-hub", "credential_arn": secret(cloud, "old")},
                {"prefix": "recreate", "upstream": "k8s"},
                {"prefix": "purge", "upstream": "k8s"},
            ]
        },
    )
    before = stored(cloud)
    arguments = {
        "rules": [
            {"prefix": "same", "upstream": "docker-hub", "credential_arn": arn},
            {"prefix": "update", "upstream": "docker-hub", "credential_arn": arn},
            {"prefix": "recreate", "upstream": "quay"},
            {"prefix": "create", "upstream": "quay"},
        ],
        "recreate": True,
        "purge": True,
        "purge_prefix": "ROOT",
    }
    promised = module(RULE, arguments, check=True, diff=True)
    assert stored(cloud) == before
    done = module(RULE, arguments, diff=True)
    # All of it: the new login of `update` is that of `same`, which can be validated already.
    assert promised.returned == done.returned
    assert changed(done) == [("same", False), ("update", True), ("recreate", True), ("create", True), ("purge", True)]
    assert sorted(stored(cloud)) == ["create", "recreate", "same", "update"]
    assert not module(RULE, arguments).changed


def test_check_mode_does_not_validate_what_is_not_there(cloud: Cloud, module: Module) -> None:
    result = module(RULE, hub(cloud), check=True)
    assert not result.failed, result.msg
    assert result["rules"][0]["validation"] is None
    assert cloud.operations().count(VALIDATE) == 0
    assert stored(cloud) == {}


def test_absent_removes_and_then_has_nothing_to_do(cloud: Cloud, module: Module) -> None:
    module(RULE, {"rules": [QUAY, {"prefix": "k8s", "upstream": "k8s"}]})
    removal = {"rules": [{"prefix": "quay/"}, {"prefix": "never-there"}], "state": "absent"}
    assert changed(module(RULE, removal)) == [("quay", True), ("never-there", False)]
    assert list(stored(cloud)) == ["k8s"]
    assert not module(RULE, removal).changed


def test_rules_are_read_with_their_logins_on_request(cloud: Cloud, module: Module) -> None:
    module(RULE, {"rules": [hub(cloud), QUAY]})
    cloud.forget_calls()
    hub_rule, quay_rule = module(INFO, {})["rules"]
    assert (hub_rule["upstream"], quay_rule["upstream_url"]) == ("docker-hub", "quay.io")
    assert (hub_rule["registry_id"], hub_rule["validation"]) == (cloud.account, None)
    assert quay_rule["pull_url"].endswith("/quay")
    assert cloud.operations() == READS
    assert [rule["prefix"] for rule in module(INFO, {"prefixes": ["quay", "none"]})["rules"]] == ["quay"]
    validated = module(INFO, {"validate": True})
    assert [rule["validation"] for rule in validated["rules"]] == [VALID, VALID]
    assert not validated.changed


# ------------------------------------------------------------------ logins


def test_a_wrong_token_is_found_when_the_rule_is_made(cloud: Cloud, module: Module) -> None:
    arguments = {"rules": [hub(cloud), {**hub_with_bad_token(cloud), "prefix": "bad"}, QUAY]}
    result = module(RULE, arguments)
    assert result.failed
    assert "incorrect username or password" in result.msg
    assert "The rule stays as it is" in result.msg
    assert changed(result) == [("docker-hub", True), ("bad", True), ("quay", True)]
    assert result["rules"][1]["validation"]["valid"] is False
    assert "error" not in result["rules"][0]
    assert "bad" in stored(cloud)

    mended = json.dumps({"username": "hubuser", "accessToken": TOKEN})
    cloud.client("secretsmanager").put_secret_value(SecretId="ecr-pullthroughcache/bad", SecretString=mended)
    again = module(RULE, arguments)
    assert not again.failed, again.msg
    assert not again.changed


def hub_with_bad_token(cloud: Cloud) -> dict[str, Any]:
    arn = secret(cloud, "bad", token="expired-token")
    return {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": arn}


def test_a_wrong_token_can_be_put_up_with(cloud: Cloud, module: Module) -> None:
    result = module(RULE, {**hub_with_bad_token(cloud), "validate": False})
    assert not result.failed, result.msg
    assert VALIDATE not in cloud.operations()


def test_info_reports_a_wrong_token_and_does_not_fail(cloud: Cloud, module: Module) -> None:
    module(RULE, hub_with_bad_token(cloud))
    result = module(INFO, {"validate": True})
    assert not result.failed, result.msg
    assert "incorrect username or password" in result["rules"][0]["validation"]["reason"]


def test_a_new_credential_is_an_update(cloud: Cloud, module: Module) -> None:
    module(RULE, hub(cloud))
    arguments = {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": secret(cloud, "new")}
    cloud.forget_calls()
    assert module(RULE, arguments).changed
    assert cloud.operations() == [*READS, "UpdatePullThroughCacheRule", VALIDATE]
    assert stored(cloud)["docker-hub"]["credentialArn"] == arguments["credential_arn"]
    assert not module(RULE, arguments).changed


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"prefix": "a", "upstream": "quay"}, ["prefix", "2 to 30 characters"], id="prefix of 1"),
        pytest.param({"prefix": "a" * 31, "upstream": "quay"}, ["prefix", "not 31"], id="prefix of 31"),
        pytest.param({"prefix": "Quay", "upstream": "quay"}, ["prefix", "lower case: quay"], id="capitals"),
        pytest.param({"prefix": "quay", "upstream": "quai"}, ["upstream", "docker-hub"], id="unknown upstream"),
        pytest.param(
            {"prefix": "harbor", "upstream_url": "harbor.example.com"},
            ["upstream_url", "harbor.example.com", "ecr_image_mirror"],
            id="unknown URL",
        ),
        pytest.param(
            {"prefix": "docker-hub", "upstream": "docker-hub"},
            ["credential_arn", "is required", "ecr-pullthroughcache/"],
            id="no credential",
        ),
        pytest.param(
            {
                "prefix": "docker-hub",
                "upstream": "docker-hub",
                "credential_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hub-a1B2c3",
            },
            ["credential_arn", "must begin with ecr-pullthroughcache/"],
            id="secret outside",
        ),
        pytest.param(
            {
                "prefix": "docker-hub",
                "upstream": "docker-hub",
                "credential_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/x-a1B2c3",
            },
            ["credential_arn", "us-east-1", "eu-central-1"],
            id="secret in another region",
        ),
        pytest.param(
            {"rules": [QUAY, {"prefix": "quay/", "upstream": "k8s"}]}, ["'quay', prefix", "more than once"], id="twice"
        ),
        pytest.param(
            {**QUAY, "credential_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"},
            ["credential_arn", "takes none"],
            id="credential too many",
        ),
        pytest.param({**QUAY, "region": "cn-north-1"}, ["cn-north-1", "China", "ecr_image_mirror"], id="China"),
        pytest.param({**QUAY, "region": "us-gov-west-1"}, ["us-gov-west-1", "GovCloud"], id="GovCloud"),
    ],
)
def test_bad_input_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: list[str]
) -> None:
    result = module(RULE, arguments)
    assert result.failed
    for words in says:
        assert words in result.msg
    assert cloud.operations() == []


def test_what_ecr_cannot_change_is_named_and_recreated_only_on_request(cloud: Cloud, module: Module) -> None:
    module(RULE, {"prefix": "tools", "upstream": "k8s"})
    move = {"prefix": "tools", "upstream": "quay"}
    refused = module(RULE, move)
    assert refused.failed
    assert "upstream_url (registry.k8s.io to quay.io)" in refused.msg
    assert "recreate=true" in refused.msg
    assert stored(cloud)["tools"]["upstreamRegistryUrl"] == "registry.k8s.io"
    assert module(RULE, {**move, "recreate": True}).changed
    assert stored(cloud)["tools"]["upstreamRegistryUrl"] == "quay.io"
    assert not module(RULE, move).changed


@pytest.mark.parametrize(
    ("made", "says"),
    [
        pytest.param(
            lambda cloud: secret(cloud, "own-key", KmsKeyId=cloud.client("kms").create_key()["KeyMetadata"]["Arn"]),
            ["UnableToDecryptSecretValueException", "aws/secretsmanager", "customer managed key"],
            id="customer managed key",
        ),
        pytest.param(
            lambda cloud: secret(cloud)[:-6] + "ZZZZZZ",
            ["SecretNotFoundException", "six characters at the end of credential_arn"],
            id="wrong suffix",
        ),
    ],
)
def test_secrets_that_ecr_cannot_use_come_with_advice(
    cloud: Cloud, module: Module, made: Callable[[Cloud], str], says: list[str]
) -> None:
    rule = {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": made(cloud)}
    result = module(RULE, {"rules": [rule, QUAY]})
    assert result.failed
    for words in says:
        assert words in result.msg
    assert changed(result) == [("docker-hub", False), ("quay", True)]


def test_the_quota_is_readable(cloud: Cloud, module: Module) -> None:
    rules = [{"prefix": f"quay-{number:02}", "upstream": "quay"} for number in range(51)]
    result = module(RULE, {"rules": rules})
    assert result.failed
    assert "Failed for 1 of 51 rules. quay-50: " in result.msg
    assert "Amazon ECR allows 50 rules in a registry and region" in result.msg
    assert len(stored(cloud)) == 50
    swap = {"rules": [*rules[1:50], rules[50]], "purge": True, "purge_prefix": "ROOT"}
    assert not module(RULE, swap).failed
    assert sorted(stored(cloud))[-1] == "quay-50"


# ------------------------------------------------------------------ faults


def test_throttling_is_waited_out(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    for operation in ("DescribePullThroughCacheRules", "CreatePullThroughCacheRule"):
        cloud.inject({"op": operation, "status": 400, "times": 7, "body": throttled})
    result = module(RULE, QUAY)
    assert not result.failed, result.msg
    assert "quay" in stored(cloud)


def test_a_run_cut_short_is_finished_by_the_next(cloud: Cloud, module: Module) -> None:
    rules = [{"prefix": f"quay-{number}", "upstream": "quay"} for number in range(6)]
    denied = {"__type": "AccessDeniedException", "message": "not authorized"}
    cloud.inject({"op": "CreatePullThroughCacheRule", "status": 400, "after": 4, "times": -1, "body": denied})
    assert module(RULE, {"rules": rules}).failed
    cloud.clear_faults()
    result = module(RULE, {"rules": rules})
    assert [name for name, was_changed in changed(result) if was_changed] == ["quay-4", "quay-5"]


def test_a_recreation_that_fails_brings_the_old_rule_back(cloud: Cloud, module: Module) -> None:
    module(RULE, {"prefix": "tools", "upstream": "k8s", "upstream_repository_prefix": "org"})
    refusal = {"__type": "UnsupportedUpstreamRegistryException", "message": "not today"}
    cloud.inject({"op": "CreatePullThroughCacheRule", "status": 400, "body": refusal})
    result = module(RULE, {"prefix": "tools", "upstream": "quay", "recreate": True})
    assert result.failed
    assert not result.changed
    assert "not today" in result.msg
    assert "The old rule was restored" in result.msg
    assert stored(cloud)["tools"]["upstreamRegistryUrl"] == "registry.k8s.io"
    assert stored(cloud)["tools"]["upstreamRepositoryPrefix"] == "org"


# ------------------------------------------------------------------ permissions

ACTIONS = [
    "ecr:DescribePullThroughCacheRules",
    "ecr:GetAuthorizationToken",
    "ecr:CreatePullThroughCacheRule",
    "ecr:UpdatePullThroughCacheRule",
    "ecr:DeletePullThroughCacheRule",
    "ecr:ValidatePullThroughCacheRule",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
]


def everything(cloud: Cloud, module: Module, actions: list[str]) -> list[ModuleResult]:
    """One run for each kind of change, and the other module, as an operator who may do just this."""
    operator = cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])
    rule = hub(cloud)
    ecr_rule = {
        "prefix": "ecr",
        "upstream": "ecr",
        "upstream_url": f"{OTHER_ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com",
        "custom_role_arn": ecr_role(cloud),
    }
    runs: list[tuple[str, dict[str, Any]]] = [
        (RULE, {"rules": [rule, ecr_rule]}),
        (RULE, {**rule, "credential_arn": secret(cloud, "new")}),
        (INFO, {"validate": True}),
        (RULE, {"prefix": "docker-hub", "state": "absent"}),
    ]
    return [module(name, arguments, credentials=operator) for name, arguments in runs]


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    results = everything(cloud, module, ACTIONS)
    assert [result.msg for result in results if result.failed] == []
    assert [result.changed for result in results] == [True, True, False, True]


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    results = everything(cloud, module, [action for action in ACTIONS if action != missing])
    failures = [result.msg for result in results if result.failed]
    assert failures
    assert missing in failures[0]


# ------------------------------------------------------------------ as a user runs them


def test_a_playbook_in_check_mode_run_and_run_again_shows_no_secret(
    cloud: Cloud, playbook: Callable[..., PlaybookRun]
) -> None:
    arn = secret(cloud)
    play = local_play(
        {"stevedore.ecr.ecr_pull_through_rule": {"rules": [hub_rule(arn), QUAY]}, "register": "caches"},
        {"stevedore.ecr.ecr_pull_through_rule_info": {"validate": True}, "register": "info"},
        {"ansible.builtin.debug": {"var": "caches"}},
        {"ansible.builtin.debug": {"var": "info"}},
    )
    runs = [playbook(play, "--check", "--diff", "-vvvv"), playbook(play, "--diff", "-vvvv"), playbook(play, "-vvvv")]
    assert [run.status for run in runs] == [0, 0, 0], runs[-1].output
    assert [run.recap["changed"] for run in runs] == [1, 1, 0]
    for run in runs:
        assert TOKEN not in run.output
        assert PASSWORD_BEGINS not in run.output
        assert "[WARNING]" not in run.output
        assert "[DEPRECATION" not in run.output


def hub_rule(arn: str) -> dict[str, Any]:
    return {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": arn}
