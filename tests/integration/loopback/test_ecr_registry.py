"""What holds for a whole registry, in the loopback cloud: policy, scanning, replication, settings, tokens."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from ecr_api import allow, policy, refused

from loopback.client import Cloud

OTHER = "210987654321"


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    return cloud.client("ecr")


def opening(*actions: str, to: str, on: str = "*", effect: str = "Allow") -> str:
    statement = {
        "Sid": "opening",
        "Effect": effect,
        "Principal": {"AWS": to},
        "Action": list(actions),
        "Resource": on,
    }
    return policy(statement)


# ------------------------------------------------------------------ tokens


def registry_status(address: str, token: str) -> int:
    request = urllib.request.Request(f"{address}/v2/", headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_token_opens_the_registry_for_twelve_hours(cloud: Cloud, ecr: Any) -> None:
    (data,) = ecr.get_authorization_token()["authorizationData"]
    assert data["proxyEndpoint"] == cloud.registry
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert registry_status(data["proxyEndpoint"], data["authorizationToken"]) == 200
    cloud.advance(12 * 3600 - 60)
    assert registry_status(data["proxyEndpoint"], data["authorizationToken"]) == 200
    cloud.advance(120)
    assert registry_status(data["proxyEndpoint"], data["authorizationToken"]) == 403


def test_one_endpoint_for_each_registry_asked_for(cloud: Cloud, ecr: Any) -> None:
    data = ecr.get_authorization_token(registryIds=[cloud.account, OTHER])["authorizationData"]
    assert data[0]["proxyEndpoint"] == cloud.registry
    assert data[1]["proxyEndpoint"] not in ("", cloud.registry)


def test_token_needs_a_permission_on_everything(cloud: Cloud) -> None:
    on_repositories = [allow("ecr:*", on=f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/*")]
    with refused("AccessDeniedException", "ecr:GetAuthorizationToken"):
        cloud.client("ecr", credentials=cloud.role("puller", on_repositories)).get_authorization_token()


# ------------------------------------------------------------------ registry policy


def test_policy_is_kept_and_removed(cloud: Cloud, ecr: Any) -> None:
    with refused("RegistryPolicyNotFoundException"):
        ecr.get_registry_policy()
    ecr.put_registry_policy(policyText=opening("ecr:CreateRepository", to=f"arn:aws:iam::{OTHER}:root"))
    kept = json.loads(ecr.get_registry_policy()["policyText"])["Statement"]
    assert [statement["Sid"] for statement in kept] == ["opening"]
    assert ecr.delete_registry_policy()["registryId"] == cloud.account
    with refused("RegistryPolicyNotFoundException"):
        ecr.delete_registry_policy()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"Statement": []}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:CreateRepository"}]}',
        policy(*[{"Sid": "x", "Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}] * 2),
    ],
    ids=["no JSON", "no statement", "no resource", "a Sid twice"],
)
def test_policies_that_are_none(ecr: Any, text: str) -> None:
    with refused("InvalidParameterException", "PolicyText"):
        ecr.put_registry_policy(policyText=text)


def test_policy_opens_the_registry_to_another_account(cloud: Cloud, ecr: Any) -> None:
    team = f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/team/*"
    guest = cloud.client("ecr", credentials=cloud.role("guest", [allow("ecr:*")], account=OTHER))
    call = {"registryId": cloud.account}
    with refused("AccessDeniedException", "ecr:CreateRepository"):
        guest.create_repository(repositoryName="team/a", **call)
    ecr.put_registry_policy(policyText=opening("ecr:CreateRepository", to=f"arn:aws:iam::{OTHER}:root", on=team))
    guest.create_repository(repositoryName="team/a", **call)
    with refused("AccessDeniedException"):
        guest.create_repository(repositoryName="other/a", **call)
    assert [r["repositoryName"] for r in ecr.describe_repositories()["repositories"]] == ["team/a"]


def test_scope_decides_which_actions_a_policy_governs(cloud: Cloud, ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/a")
    me = f"arn:aws:iam::{cloud.account}:role/me"
    mine = cloud.client("ecr", credentials=cloud.role("me", [allow("ecr:*")]))
    ecr.put_registry_policy(policyText=opening("ecr:*", to=me, effect="Deny"))
    with refused("AccessDeniedException", "explicit deny"):
        mine.list_images(repositoryName="team/a")
    ecr.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V1")
    assert mine.list_images(repositoryName="team/a")["imageIds"] == []
    with refused("AccessDeniedException", "explicit deny"):
        mine.create_repository(repositoryName="team/b")


# ------------------------------------------------------------------ scanning


def scan_rule(frequency: str, *filters: str) -> dict[str, Any]:
    wildcards = [{"filter": text, "filterType": "WILDCARD"} for text in filters]
    return {"scanFrequency": frequency, "repositoryFilters": wildcards}


def test_scanning_configuration_is_replaced_as_a_whole(cloud: Cloud, ecr: Any) -> None:
    assert ecr.get_registry_scanning_configuration() | {"ResponseMetadata": None} == {
        "registryId": cloud.account,
        "scanningConfiguration": {"scanType": "BASIC", "rules": []},
        "ResponseMetadata": None,
    }
    rules = [scan_rule("CONTINUOUS_SCAN", "prod*"), scan_rule("SCAN_ON_PUSH", "*")]
    put = ecr.put_registry_scanning_configuration(scanType="ENHANCED", rules=rules)
    assert put["registryScanningConfiguration"] == {"scanType": "ENHANCED", "rules": rules}
    ecr.put_registry_scanning_configuration(scanType="BASIC")
    assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("BASIC", [scan_rule("CONTINUOUS_SCAN", "*")]),
        ("ENHANCED", [scan_rule("MANUAL", "*")]),
        ("ENHANCED", [scan_rule("SCAN_ON_PUSH", "*"), scan_rule("SCAN_ON_PUSH", "a")]),
        ("BASIC", [scan_rule("SCAN_ON_PUSH", "Team")]),
        ("THOROUGH", []),
    ],
)
def test_scanning_that_cannot_be(ecr: Any, kind: str, rules: list[dict[str, Any]]) -> None:
    with refused("InvalidParameterException"):
        ecr.put_registry_scanning_configuration(scanType=kind, rules=rules)


def test_effective_scanning_of_repositories(ecr: Any) -> None:
    for name in ("prod/app", "my-prod", "dev/app"):
        ecr.create_repository(repositoryName=name)
    rules = [scan_rule("CONTINUOUS_SCAN", "prod/*"), scan_rule("SCAN_ON_PUSH", "prod")]
    ecr.put_registry_scanning_configuration(scanType="ENHANCED", rules=rules)
    answer = ecr.batch_get_repository_scanning_configuration(
        repositoryNames=["prod/app", "my-prod", "dev/app", "no/such"]
    )
    found = {c["repositoryName"]: (c["scanFrequency"], c["scanOnPush"]) for c in answer["scanningConfigurations"]}
    assert found == {
        "prod/app": ("CONTINUOUS_SCAN", True),
        "my-prod": ("SCAN_ON_PUSH", True),
        "dev/app": ("MANUAL", False),
    }
    assert [f["failureCode"] for f in answer["failures"]] == ["REPOSITORY_NOT_FOUND"]


# ------------------------------------------------------------------ replication


def destination(region: str, account: str) -> dict[str, Any]:
    return {"destinations": [{"region": region, "registryId": account}]}


def test_replication_is_described_as_it_was_put(cloud: Cloud, ecr: Any) -> None:
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}
    filters = [{"filter": "prod", "filterType": "PREFIX_MATCH"}]
    wanted = {"rules": [{**destination("us-east-1", cloud.account), "repositoryFilters": filters}]}
    ecr.put_replication_configuration(replicationConfiguration=wanted)
    assert ecr.describe_registry()["replicationConfiguration"] == wanted
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}


def test_replication_has_limits(cloud: Cloud, ecr: Any) -> None:
    with refused("InvalidParameterException"):
        ecr.put_replication_configuration(
            replicationConfiguration={"rules": [destination(cloud.region, cloud.account)]}
        )
    many = {"destinations": [{"region": "us-east-1", "registryId": f"{n:012}"} for n in range(26)]}
    with refused("InvalidParameterException", "25"):
        ecr.put_replication_configuration(replicationConfiguration={"rules": [many]})


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [
        ("BLOB_MOUNTING", "DISABLED", "ENABLED"),
        ("REGISTRY_POLICY_SCOPE", "V2", "V1"),
        ("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", "AWS_NATIVE"),
    ],
)
def test_settings_have_defaults_and_can_be_put(ecr: Any, name: str, default: str, other: str) -> None:
    assert ecr.get_account_setting(name=name)["value"] == default
    assert ecr.put_account_setting(name=name, value=other)["value"] == other
    assert ecr.get_account_setting(name=name)["value"] == other


def test_settings_that_are_none(ecr: Any) -> None:
    with refused("InvalidParameterException", "name"):
        ecr.get_account_setting(name="COLOUR")
    with refused("InvalidParameterException", "value"):
        ecr.put_account_setting(name="BLOB_MOUNTING", value="SOMETIMES")
    with refused("InvalidParameterException", "value"):
        ecr.put_account_setting(name="BASIC_SCAN_TYPE_VERSION", value="CLAIR")


def test_settings_are_of_a_region(cloud: Cloud, ecr: Any) -> None:
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    elsewhere = cloud.client("ecr", region="us-east-1")
    assert elsewhere.get_account_setting(name="BLOB_MOUNTING")["value"] == "DISABLED"


# ------------------------------------------------------------------ pull-time update exclusions


def test_exclusions_are_registered_once_and_deregistered(cloud: Cloud, ecr: Any) -> None:
    role = f"arn:aws:iam::{cloud.account}:role/mirror"
    assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == []
    ecr.register_pull_time_update_exclusion(principalArn=role)
    with refused("ExclusionAlreadyExistsException"):
        ecr.register_pull_time_update_exclusion(principalArn=role)
    assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [role]
    ecr.deregister_pull_time_update_exclusion(principalArn=role)
    with refused("ExclusionNotFoundException"):
        ecr.deregister_pull_time_update_exclusion(principalArn=role)


def test_exclusions_have_a_limit_and_pages(cloud: Cloud, ecr: Any) -> None:
    for number in range(100):
        ecr.register_pull_time_update_exclusion(principalArn=f"arn:aws:iam::{cloud.account}:role/r{number}")
    with refused("LimitExceededException"):
        ecr.register_pull_time_update_exclusion(principalArn=f"arn:aws:iam::{cloud.account}:role/more")
    first = ecr.list_pull_time_update_exclusions(maxResults=60)
    rest = ecr.list_pull_time_update_exclusions(maxResults=60, nextToken=first["nextToken"])
    assert len(set(first["pullTimeUpdateExclusions"] + rest["pullTimeUpdateExclusions"])) == 100
