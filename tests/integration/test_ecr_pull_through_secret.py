"""The module ecr_pull_through_secret against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

SECRET = "ecr_pull_through_secret"
HUB, GITHUB = "ecr-pullthroughcache/docker-hub", "ecr-pullthroughcache/github"
TOKEN, OTHER_TOKEN = "dckr_pat_1f6c0", "dckr_pat_77aa2"
LOGIN = {"username": "docker", "access_token": TOKEN}
READS = ["secretsmanager:DescribeSecret", "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"]
WRITES = [
    f"secretsmanager:{action}"
    for action in ("CreateSecret", "PutSecretValue", "UpdateSecret", "TagResource", "RestoreSecret", "DeleteSecret")
]


def value(cloud: Cloud, name: str) -> Any:
    return json.loads(cloud.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def one(result: ModuleResult) -> dict[str, Any]:
    assert not result.failed, result.msg
    found: dict[str, Any] = result["secrets"][0]
    return found


def write(cloud: Cloud, module: Module, credentials: dict[str, str] | None = None) -> list[ModuleResult]:
    """Everything that the module can do to a secret, one after the other."""
    given = {"name": HUB, **LOGIN, "tags": {"a": "b"}}
    steps: list[dict[str, Any]] = [
        {"secrets": [given]},
        {"secrets": [{**given, "access_token": OTHER_TOKEN, "description": "new"}]},
        {"secrets": [{**given, "tags": {"a": "c"}}]},
        {"secrets": [given], "state": "absent"},
        {"secrets": [given]},
    ]
    return [module(SECRET, step, credentials=credentials) for step in steps]


# ------------------------------------------------------------------ what it does


def test_a_login_is_stored_once_and_again_when_it_changes(cloud: Cloud, module: Module) -> None:
    first = one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))
    assert first["changed"]
    assert first["arn"] == cloud.client("secretsmanager").describe_secret(SecretId=HUB)["ARN"]
    cloud.forget_calls()
    assert not one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))["changed"]
    assert cloud.operations() == ["DescribeSecret", "BatchGetSecretValue"]
    rotated = one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN, "access_token": OTHER_TOKEN}]}))
    assert (rotated["after"]["value"], rotated["arn"]) == ("new credential", first["arn"])
    assert value(cloud, HUB) == {"username": "docker", "accessToken": OTHER_TOKEN}


def test_placeholders_are_reported_until_somebody_fills_them_in(cloud: Cloud, module: Module) -> None:
    arguments = {"secrets": [{"name": GITHUB}]}
    assert one(module(SECRET, arguments))["needs_filling"] is True
    assert value(cloud, GITHUB) == {"username": "FILL-ME", "accessToken": "FILL-ME"}
    again = one(module(SECRET, arguments))
    assert (again["changed"], again["needs_filling"]) == (False, True)
    filled = json.dumps({"username": "me", "accessToken": "ghp_0"})
    cloud.client("secretsmanager").put_secret_value(SecretId=GITHUB, SecretString=filled)
    last = one(module(SECRET, arguments))
    assert (last["changed"], last["needs_filling"]) == (False, False)
    assert value(cloud, GITHUB)["accessToken"] == "ghp_0"


def test_a_deleted_secret_is_restored_not_created(cloud: Cloud, module: Module) -> None:
    first = one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))
    gone = one(module(SECRET, {"secrets": [{"name": HUB}], "state": "absent", "recovery_window": 30}))
    assert (gone["changed"], gone["after"]) == (True, None)
    assert not one(module(SECRET, {"secrets": [{"name": HUB}], "state": "absent"}))["changed"]
    back = one(module(SECRET, {"secrets": [{"name": HUB}]}))
    assert (back["changed"], back["arn"], back["needs_filling"]) == (True, first["arn"], False)
    assert value(cloud, HUB)["accessToken"] == TOKEN


def test_force_deletes_for_good(cloud: Cloud, module: Module) -> None:
    first = one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))
    module(SECRET, {"secrets": [{"name": HUB}], "state": "absent"})
    assert one(module(SECRET, {"secrets": [{"name": HUB}], "state": "absent", "force_delete": True}))["changed"]
    assert one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))["arn"] != first["arn"]


def test_check_mode_promises_what_the_run_then_does(cloud: Cloud, module: Module) -> None:
    arguments = {"secrets": [{"name": HUB, **LOGIN, "tags": {"team": "a"}}, {"name": GITHUB, "description": "x"}]}
    promised = module(SECRET, arguments, check=True, diff=True)
    assert set(cloud.operations()) == {"DescribeSecret"}
    done = module(SECRET, arguments, diff=True)
    for secret in (*promised["secrets"], *done["secrets"]):
        del secret["arn"]
    assert promised.returned == done.returned


def test_ecr_logs_in_with_what_is_stored(cloud: Cloud, module: Module) -> None:
    login = {"username": "hubuser", "access_token": "hubtoken"}
    arn = one(module(SECRET, {"secrets": [{"name": HUB, **login}]}))["arn"]
    rule = {"prefix": "docker-hub", "upstream": "docker-hub", "credential_arn": arn}
    result = module("ecr_pull_through_rule", rule)
    assert result["rules"][0]["validation"] == {"valid": True, "reason": None}


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ({"name": "docker-hub"}, "name: must begin with ecr-pullthroughcache/"),
        ({"name": HUB, "username": "docker"}, "access_token: is required with username"),
        ({"name": HUB, "access_token": TOKEN}, "username: is required with access_token"),
        ({"name": HUB, **LOGIN, "username": ""}, "username: is empty"),
    ],
)
def test_bad_input_is_refused_before_any_call(cloud: Cloud, module: Module, secret: dict[str, Any], says: str) -> None:
    result = module(SECRET, {"secrets": [secret]})
    assert result.failed
    assert says in result.msg
    assert cloud.operations() == []


def test_a_customer_managed_key_is_refused_and_the_way_out_works(cloud: Cloud, module: Module) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name=HUB, SecretString=json.dumps({"username": "u", "accessToken": "t"}), KmsKeyId=key)
    result = module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]})
    assert result["secrets"][0]["error"]["code"] == "CustomerManagedKey"
    assert key in result.msg
    assert "aws secretsmanager update-secret" in result.msg
    secrets.update_secret(SecretId=HUB, KmsKeyId="alias/aws/secretsmanager")
    assert one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))["changed"]


# ------------------------------------------------------------------ permissions and faults


def role(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    results = write(cloud, module, role(cloud, READS + WRITES))
    assert [result.msg for result in results if result.failed] == []
    assert all(result.changed for result in results)


@pytest.mark.parametrize("missing", [READS[0], *WRITES])
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    if missing != "secretsmanager:CreateSecret":
        module(SECRET, {"secrets": [{"name": HUB, **LOGIN, "access_token": "old"}]})
    credentials = role(cloud, [action for action in READS + WRITES if action != missing])
    failures = [result.msg for result in write(cloud, module, credentials) if result.failed]
    assert failures
    assert any(f"needs {missing}" in message for message in failures)


@pytest.mark.parametrize("missing", READS[1:])
def test_without_the_right_to_read_values_only_comparing_fails(cloud: Cloud, module: Module, missing: str) -> None:
    module(SECRET, {"secrets": [{"name": HUB, **LOGIN}, {"name": GITHUB}]})
    credentials = role(cloud, [action for action in READS + WRITES if action != missing])
    result = module(SECRET, {"secrets": [{"name": HUB, **LOGIN}, {"name": GITHUB}]}, credentials=credentials)
    assert f"needs {missing}" in result["secrets"][0]["error"]["msg"]
    assert result["secrets"][1]["needs_filling"] is None
    assert result["secrets"][1]["changed"] is False


def test_throttling_is_waited_out(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    cloud.inject({"op": "CreateSecret", "status": 400, "times": 7, "body": throttled})
    assert one(module(SECRET, {"secrets": [{"name": HUB, **LOGIN}]}))["changed"]


def test_a_run_cut_short_is_finished_by_the_next(cloud: Cloud, module: Module) -> None:
    secrets = [{"name": f"ecr-pullthroughcache/{n}", **LOGIN} for n in range(10)]
    denied = {"__type": "AccessDeniedException", "message": "not authorized"}
    cloud.inject({"op": "CreateSecret", "status": 400, "after": 4, "times": -1, "body": denied})
    assert module(SECRET, {"secrets": secrets}).failed
    cloud.clear_faults()
    result = module(SECRET, {"secrets": secrets})
    assert len([secret for secret in result["secrets"] if secret["changed"]]) == 6


# ------------------------------------------------------------------ secrecy


def test_a_token_never_shows(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    """Not at any verbosity, with a diff, when it rotates, nor when the task fails."""

    def store(token: str) -> PlaybookRun:
        task = {f"stevedore.ecr.{SECRET}": {"secrets": [{"name": HUB, "username": "docker", "access_token": token}]}}
        run = playbook(local_play(task), "-vvvv", "--diff")
        assert token not in run.output
        assert HUB in run.output
        return run

    assert store(TOKEN).status == 0
    assert store(OTHER_TOKEN).recap["changed"] == 1
    refused = {"__type": "InvalidRequestException", "message": "no"}
    cloud.inject({"op": "PutSecretValue", "status": 400, "body": refused})
    failed = store("dckr_pat_third")
    assert failed.status == 2
    assert "Failed to store the value of the secret" in failed.output
