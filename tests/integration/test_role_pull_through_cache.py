"""The role pull_through_cache against the loopback cloud, as a user runs it."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml
from ecr_api import refused

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import cached_address
from loopback.client import Cloud
from running import PlaybookRun

ROLE = "stevedore.ecr.pull_through_cache"
HUB_HOST = "registry-1.docker.io"
HUB_SECRET, GITHUB_SECRET = "ecr-pullthroughcache/docker-hub", "ecr-pullthroughcache/github"
CONSUMER = "210987654321"
TOKEN = "hubtoken"
HUB = {"username": "hubuser", "access_token": TOKEN}
EIGHT = {
    "docker-hub": HUB,
    "github": {**HUB, "upstream": "ghcr"},
    "gitlab": HUB,
    "chainguard": HUB,
    "azure": {**HUB, "upstream": "acr", "upstream_url": "example.azurecr.io"},
    "quay": None,
    "kubernetes": {"upstream": "k8s"},
    "ecr-public": None,
}
PULL_ACTIONS = [
    "ecr:BatchGetImage",
    "ecr:BatchImportUpstreamImage",
    "ecr:CreateRepository",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchCheckLayerAvailability",
]


@dataclass(frozen=True)
class RoleRun:
    run: PlaybookRun
    result: dict[str, Any]

    @property
    def changed(self) -> int:
        return self.run.recap["changed"]


@dataclass(frozen=True)
class Cache:
    """The role, with one set of variables after another."""

    playbook: Callable[..., PlaybookRun]
    directory: Path

    def __call__(self, upstreams: dict[str, Any], *options: str, fails: bool = False, **variables: Any) -> RoleRun:
        told = self.directory / "result.json"
        told.unlink(missing_ok=True)
        tell = {"content": "{{ pull_through_cache_result | to_json }}", "dest": str(told), "mode": "0600"}
        play = {
            "name": "Cache",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"pull_through_cache_upstreams": upstreams, **_named(variables)},
            "roles": [{"role": ROLE}],
            # It is no part of what is counted.
            "post_tasks": [{"ansible.builtin.copy": tell, "check_mode": False, "diff": False, "changed_when": False}],
        }
        run = self.playbook([play], *options)
        assert run.status == (2 if fails else 0), run.output
        assert "[WARNING]" not in run.output
        assert "DEPRECATION" not in run.output
        return RoleRun(run, json.loads(told.read_text()) if told.exists() else {})


def _named(variables: dict[str, Any]) -> dict[str, Any]:
    return {f"pull_through_cache_{name}": value for name, value in variables.items()}


@pytest.fixture
def cache(playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Cache:
    return Cache(playbook, tmp_path)


def rules(cloud: Cloud, **where: Any) -> dict[str, dict[str, Any]]:
    found = cloud.client("ecr", **where).describe_pull_through_cache_rules()["pullThroughCacheRules"]
    return {rule["ecrRepositoryPrefix"]: rule for rule in found}


def templates(cloud: Cloud) -> dict[str, dict[str, Any]]:
    found = cloud.client("ecr").describe_repository_creation_templates()["repositoryCreationTemplates"]
    return {template["prefix"]: template for template in found}


def repositories(cloud: Cloud) -> list[str]:
    return [found["repositoryName"] for found in cloud.client("ecr").describe_repositories()["repositories"]]


def policies(cloud: Cloud) -> list[str]:
    return [policy["PolicyName"] for policy in cloud.client("iam").list_policies(Scope="Local")["Policies"]]


def token_in(cloud: Cloud, secret: str = HUB_SECRET) -> str:
    value = cloud.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    return str(json.loads(value)["accessToken"])


def document(cloud: Cloud, policy_arn: str) -> dict[str, Any]:
    iam = cloud.client("iam")
    version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
    found: dict[str, Any] = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
    return found


def pull(cloud: Cloud, repository: str, tag: str, credentials: dict[str, str] | None = None, **more: Any) -> str:
    """An image by the API, as whoever has these credentials; the code of the failure, or nothing."""
    ecr = cloud.client("ecr", credentials=credentials)
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}], **more)
    return str(answer["failures"][0]["failureCode"]) if answer["failures"] else ""


# ------------------------------------------------------------------ from nothing to a cache and back


def test_check_then_run_then_run_again(cloud: Cloud, cache: Cache) -> None:
    cloud.role("nodes", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    cloud.publish(HUB_HOST, "library/nginx", "1.27", platforms=["linux/amd64", "linux/arm64"])
    cloud.publish("quay.io", "a/b", "1")
    wanted = {
        "tags": {"team": "platform"},
        "attach_to_roles": ["nodes"],
        "cross_account_principals": [CONSUMER],
        "warm": ["nginx:1.27", "quay.io/a/b:1"],
    }
    promised = cache(EIGHT, "--check", "--diff", **wanted)
    assert (rules(cloud), templates(cloud), policies(cloud), repositories(cloud)) == ({}, {}, [], [])

    done = cache(EIGHT, "--diff", **wanted)
    assert done.changed == promised.changed
    assert set(rules(cloud)) == set(templates(cloud)) == set(EIGHT)
    host = cloud.registry.removeprefix("http://")
    assert done.result["pull_urls"] == {prefix: f"{host}/{prefix}" for prefix in EIGHT}
    assert done.result["policy_name"] == f"pull-through-cache-{cloud.region}"
    assert set(done.result["secret_arns"]) == {"docker-hub", "github", "gitlab", "chainguard", "azure"}
    assert done.result["secret_arns"]["docker-hub"] == rules(cloud)["docker-hub"]["credentialArn"]
    assert [rule["validation"] for rule in done.result["rules"]].count({"valid": True, "reason": None}) == 5
    assert [image["cached"] for image in done.result["warmed"]] == [True, True]
    assert done.result["needs_filling"] == []
    attached = cloud.client("iam").list_attached_role_policies(RoleName="nodes")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [done.result["policy_arn"]]
    tags = cloud.client("ecr").list_tags_for_resource(
        resourceArn=f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/docker-hub/library/nginx"
    )["tags"]
    assert tags == [{"Key": "team", "Value": "platform"}]

    again = cache(EIGHT, "--diff", **wanted)
    assert again.changed == 0
    assert again.result == {**done.result, "rules": again.result["rules"], "warmed": again.result["warmed"]}


def test_what_was_made_goes_and_what_is_cached_stays_until_told_otherwise(cloud: Cloud, cache: Cache) -> None:
    cloud.role("nodes", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    cloud.publish("quay.io", "a/b", "1")
    cloud.client("ecr").create_repository(repositoryName="quayside/ours")
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": CONSUMER}, "Action": "ecr:ReplicateImage"}
    policy = {"Version": "2012-10-17", "Statement": [{**theirs, "Resource": "*"}]}
    cloud.client("ecr").put_registry_policy(policyText=json.dumps(policy))
    upstreams = {"docker-hub": HUB, "quay": {"tags": {"a": "b"}}}
    cache(upstreams, attach_to_roles=["nodes"], cross_account_principals=[CONSUMER], warm=["quay.io/a/b:1"])

    emptied = cache(upstreams, "--check", state="absent", delete_images=True)
    assert (emptied.changed, emptied.result["left_behind"]) == (7, [])
    promised = cache(upstreams, "--check", state="absent")
    assert set(rules(cloud)) == set(upstreams)
    gone = cache(upstreams, state="absent")
    assert gone.changed == promised.changed == 6
    assert (rules(cloud), templates(cloud), policies(cloud)) == ({}, {}, [])
    left = json.loads(cloud.client("ecr").get_registry_policy()["policyText"])["Statement"]
    assert [statement["Sid"] for statement in left] == ["Theirs"]
    assert "DeletedDate" in cloud.client("secretsmanager").describe_secret(SecretId=HUB_SECRET)
    assert gone.result["left_behind"] == ["quay/a/b"]
    assert "1 repositories stay, with their images: quay/a/b" in gone.run.output
    with refused("NoSuchEntity"):
        cloud.client("iam").get_role(RoleName=f"pull-through-cache-{cloud.region}-templates")

    emptied = cache(upstreams, state="absent", delete_images=True)
    assert (emptied.changed, emptied.result["left_behind"]) == (1, [])  # nothing but that was left to do
    assert repositories(cloud) == ["quayside/ours"]

    back = cache(upstreams)  # the secret awaits its deletion, and comes back
    assert back.result["rules"][0]["validation"]["valid"] is True


def test_one_upstream_goes_and_the_others_stay(cloud: Cloud, cache: Cache) -> None:
    cloud.role("nodes", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    cloud.publish("ghcr.io", "org/app", "1")
    wanted = {"attach_to_roles": ["nodes"], "tags": {"a": "b"}}
    made = cache({"quay": None, "github": {**HUB, "upstream": "ghcr"}}, warm=["ghcr.io/org/app:1"], **wanted)
    cloud.client("iam").create_role(RoleName="others", AssumeRolePolicyDocument="{}")
    cloud.client("iam").attach_role_policy(RoleName="others", PolicyArn=made.result["policy_arn"])

    upstreams = {"quay": None, "github": {"upstream": "ghcr", "state": "absent"}}
    promised = cache(upstreams, "--check", **wanted)
    assert set(rules(cloud)) == {"quay", "github"}
    gone = cache(upstreams, **wanted)
    assert (
        gone.changed == promised.changed == 5
    )  # rule, template, secret, and what two policies say of its repositories
    assert (set(rules(cloud)), set(templates(cloud))) == ({"quay"}, {"quay"})
    assert "DeletedDate" in cloud.client("secretsmanager").describe_secret(SecretId=GITHUB_SECRET)
    assert gone.result["left_behind"] == ["github/org/app"]
    assert "github" not in json.dumps(document(cloud, made.result["policy_arn"]))
    roles = cloud.client("iam").list_entities_for_policy(PolicyArn=made.result["policy_arn"])["PolicyRoles"]
    assert sorted(role["RoleName"] for role in roles) == ["nodes", "others"]

    assert cache({"quay": None, "github": {"upstream": "ghcr", "state": "absent"}}, **wanted).changed == 0


def test_a_second_run_costs_no_more_for_eight_upstreams_than_for_one(cloud: Cloud, cache: Cache) -> None:
    costs = []
    for upstreams in ({"docker-hub": HUB}, EIGHT):
        cloud.reset()
        cache(upstreams)
        cloud.forget_calls()
        assert cache(upstreams).changed == 0
        calls = [call for call in cloud.calls() if call["host"].startswith("127.0.0.1:")]  # not those to upstreams
        costs.append((Counter(cloud.operations()), len([call for call in calls if not call["op"]])))
    (one, one_iam), (eight, eight_iam) = costs
    for_each = ("DescribeSecret", "ValidatePullThroughCacheRule")
    assert {op: count for op, count in eight.items() if op not in for_each} == dict.fromkeys(
        [
            "BatchGetSecretValue",
            "DescribeRepositoryCreationTemplates",
            "DescribePullThroughCacheRules",
            "GetAuthorizationToken",
            "GetRegistryPolicy",
        ],
        1,
    )
    assert [eight[op] for op in for_each] == [5, 5]
    assert {op: count for op, count in one.items() if op not in for_each} == {
        op: count for op, count in eight.items() if op not in for_each
    }
    counts = f"{sum(one.values())} for 1 upstream, {sum(eight.values())} for 8, and {eight_iam} of IAM and STS"
    print(f"calls of a second run: {counts}")
    assert one_iam == eight_iam


# ------------------------------------------------------------------ logins


def test_a_wrong_token_is_caught_and_the_right_one_takes_its_place(cloud: Cloud, cache: Cache) -> None:
    wrong = cache({"docker-hub": {**HUB, "access_token": "a-wrong-token"}}, fails=True)
    assert "registry-1.docker.io cannot be used with" in wrong.run.output
    assert token_in(cloud) == "a-wrong-token"
    arn = rules(cloud)["docker-hub"]["credentialArn"]
    cache({"docker-hub": HUB}, "--check")  # which cannot try what is not stored yet
    right = cache({"docker-hub": HUB})
    assert token_in(cloud) == TOKEN
    assert right.result["secret_arns"] == {"docker-hub": arn}
    assert right.result["rules"][0]["validation"] == {"valid": True, "reason": None}


def test_a_login_can_be_filled_in_later(cloud: Cloud, cache: Cache) -> None:
    cloud.publish("ghcr.io", "org/app", "1")
    cloud.publish("quay.io", "a/b", "1")
    upstreams = {"github": {"upstream": "ghcr"}, "quay": None}
    wanted = {"warm": ["ghcr.io/org/app:1", "quay.io/a/b:1"]}
    first = cache(upstreams, **wanted)
    assert first.result["needs_filling"] == ["github"]
    assert f"Fill in {GITHUB_SECRET}: aws secretsmanager put-secret-value" in first.run.output
    assert [image["name"].rpartition("/quay/")[2] for image in first.result["warmed"]] == ["a/b:1"]
    assert set(rules(cloud)) == {"github", "quay"}

    again = cache(upstreams, **wanted)
    assert (again.changed, again.result["needs_filling"]) == (0, ["github"])

    filled = json.dumps({"username": "hubuser", "accessToken": TOKEN})
    cloud.client("secretsmanager").put_secret_value(SecretId=GITHUB_SECRET, SecretString=filled)
    last = cache(upstreams, **wanted)
    assert last.result["needs_filling"] == []
    assert [rule["validation"] for rule in last.result["rules"]] == [{"valid": True, "reason": None}, None]
    assert [image["cached"] for image in last.result["warmed"]] == [True, True]
    assert token_in(cloud, GITHUB_SECRET) == TOKEN


def test_a_secret_of_somebody_else_is_used_and_left_alone(cloud: Cloud, cache: Cache) -> None:
    value = json.dumps({"username": "hubuser", "accessToken": TOKEN})
    made = cloud.client("secretsmanager").create_secret(Name="ecr-pullthroughcache/theirs", SecretString=value)
    upstreams = {"docker-hub": {"secret_arn": made["ARN"]}}
    cloud.forget_calls()
    assert cache(upstreams).result["secret_arns"] == {"docker-hub": made["ARN"]}
    assert not {"DescribeSecret", "CreateSecret", "BatchGetSecretValue", "DeleteSecret"} & set(cloud.operations())


def test_a_token_never_shows(cloud: Cloud, cache: Cache, tmp_path: Path) -> None:
    """Not at any verbosity, with a diff, in the result, in the files but one, nor when something fails."""
    clients = tmp_path / "clients"
    runs = [
        cache({"docker-hub": HUB}, "-vvvv", "--diff", client_files_dir=str(clients)),
        cache({"docker-hub": {**HUB, "access_token": "a-wrong-token"}}, "-vvvv", "--diff", fails=True),
        cache({"docker-hub": HUB, "Quay": {**HUB, "upstream": "ghcr"}}, "-vvvv", fails=True),
    ]
    for run in runs:
        assert TOKEN not in run.run.output
        assert "a-wrong-token" not in run.run.output
        assert TOKEN not in json.dumps(run.result)
    secret = clients / "kubernetes" / "pull-secret.yml"
    assert secret.stat().st_mode & 0o777 == 0o600
    others = [path for path in clients.rglob("*") if path.is_file() and path != secret]
    encoded = base64.b64encode(TOKEN.encode()).decode().rstrip("=")
    assert others
    assert not any(text in path.read_text() for path in others for text in (TOKEN, encoded))


# ------------------------------------------------------------------ those who pull


def test_the_policy_is_all_that_a_pull_takes_and_nothing_in_it_is_superfluous(cloud: Cloud, cache: Cache) -> None:
    """By the API. tests/integration/full does the same with Docker."""
    upstreams = {"quay": {"tags": {"team": "a"}}}
    statements = document(cloud, cache(upstreams).result["policy_arn"])["Statement"]
    granted = [action for statement in statements for action in statement["Action"]]
    assert sorted(granted) == sorted([*PULL_ACTIONS, "ecr:TagResource"])
    cloud.publish("quay.io", "team/app", "all")
    assert pull(cloud, "quay/team/app", "all", cloud.role("puller", statements)) == ""
    for number, missing in enumerate(["ecr:BatchGetImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]):
        rest = [{**s, "Action": kept} for s in statements if (kept := [a for a in s["Action"] if a != missing])]
        credentials = cloud.role(f"without-{number}", rest)
        repository = f"quay/team/other-{number}"
        cloud.publish("quay.io", f"team/other-{number}", "1")
        try:
            failure = pull(cloud, repository, "1", credentials)
        except cloud.client("ecr").exceptions.ClientError as error:
            failure = error.response["Error"]["Code"]
        assert failure in ("AccessDeniedException", "ImageNotFound", "RepositoryNotFoundException"), missing
    elsewhere = cloud.role("puller", statements)
    cloud.client("ecr").create_repository(repositoryName="team/app")
    with refused("AccessDeniedException"):
        pull(cloud, "team/app", "1", elsewhere)


def test_another_account_can_be_the_first_to_pull(cloud: Cloud, cache: Cache) -> None:
    cloud.publish("quay.io", "a/b", "1")
    cloud.publish("quay.io", "a/c", "1")
    cache({"quay": None}, warm=["quay.io/a/c:1"])
    statement = {"Effect": "Allow", "Action": [*PULL_ACTIONS, "ecr:TagResource"], "Resource": "*"}
    consumer = cloud.role("consumer", [statement], account=CONSUMER)
    for repository in ("quay/a/b", "quay/a/c"):
        with refused("AccessDeniedException"):
            pull(cloud, repository, "1", consumer, registryId=cloud.account)

    wanted = {"cross_account_principals": [CONSUMER], "tags": {"team": "a"}}
    opened = cache({"quay": None}, **wanted, apply_to_existing=True)
    drift = [(found["name"], [item["field"] for item in found["drift"]]) for found in opened.result["drift"]]
    assert drift == [("quay/a/c", ["repository_policy", "resource_tags"])]
    for repository in ("quay/a/b", "quay/a/c"):
        assert pull(cloud, repository, "1", consumer, registryId=cloud.account) == ""
    with refused("AccessDeniedException"):
        pull(cloud, "team/app", "1", consumer, registryId=cloud.account)

    cache({"quay": None}, tags={"team": "a"})
    cloud.publish("quay.io", "a/d", "1")
    with refused("AccessDeniedException"):
        pull(cloud, "quay/a/d", "1", consumer, registryId=cloud.account)


def test_two_caches_of_one_region_do_not_clash(cloud: Cloud, cache: Cache) -> None:
    one = cache({"quay": {"tags": {"a": "b"}}}, cross_account_principals=[CONSUMER])
    two = cache({"k8s": {"tags": {"a": "b"}}}, name="second", cross_account_principals=[CONSUMER])
    assert one.result["policy_arn"] != two.result["policy_arn"]
    cache({"k8s": {"tags": {"a": "b"}}}, name="second", state="absent")
    assert policies(cloud) == [one.result["policy_name"]]
    statements = json.loads(cloud.client("ecr").get_registry_policy()["policyText"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["PullThroughCacheConsumerse1555d29"]
    cloud.publish("quay.io", "a/b", "1")
    assert pull(cloud, "quay/a/b", "1") == ""


def test_three_images_stay_and_neither_their_parts_nor_their_signatures_are_counted_out(
    cloud: Cloud, cache: Cache
) -> None:
    cache({"quay": None})
    made = []
    for number in range(5):
        two = ["linux/amd64", "linux/arm64"]
        made.append(cloud.publish("quay.io", "a/b", f"v{number}", seed=number, platforms=two, cosign=True))
        assert pull(cloud, "quay/a/b", f"v{number}") == ""
        cloud.advance(60)
    for image in made:
        assert pull(cloud, "quay/a/b", f"sha256-{image['digest'].removeprefix('sha256:')}.sig") == ""
    cloud.advance(-60 * 5 - 1)  # as if they had been pulled before the images
    ecr = cloud.client("ecr")
    cloud.knobs(ecr__preview__polls=0)
    ecr.start_lifecycle_policy_preview(repositoryName="quay/a/b")
    results = ecr.get_lifecycle_policy_preview(repositoryName="quay/a/b")["previewResults"]
    tags = sorted(tag for result in results for tag in result.get("imageTags", []))
    assert not [tag for tag in tags if tag.endswith(".sig")]
    assert not [result for result in results if not result.get("imageTags")]


# ------------------------------------------------------------------ several registries


def test_each_host_of_an_inventory_is_a_registry(
    cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "pull_through_cache_upstreams": {"docker-hub": HUB, "quay": None},
    }
    hosts = {"frankfurt": {"aws_region": "eu-central-1"}, "virginia": {"aws_region": "us-east-1"}}
    inventory = tmp_path / "regions.yml"
    inventory.write_text(yaml.safe_dump({"all": {"vars": shared, "hosts": hosts}}))
    options = ["-i", str(inventory), "-e", "pull_through_cache_hosts=all"]
    first = playbook(ROLE, *options, without=("AWS_REGION", "AWS_DEFAULT_REGION"))
    assert first.status == 0, first.output
    for host in hosts.values():
        found = rules(cloud, region=host["aws_region"])
        assert set(found) == {"docker-hub", "quay"}
        assert f":{host['aws_region']}:" in found["docker-hub"]["credentialArn"]
    assert sorted(policies(cloud)) == ["pull-through-cache-eu-central-1", "pull-through-cache-us-east-1"]
    second = playbook(ROLE, *options, without=("AWS_REGION", "AWS_DEFAULT_REGION"))
    assert second.status == 0, second.output
    assert re.findall(r"changed=(\d+)", second.output) == ["0", "0"]


def test_a_play_can_go_from_region_to_region(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    """What was found in the one does not count in the other."""
    regions = ["eu-central-1", "us-east-1"]
    cloud.publish("quay.io", "a/b", "1")
    tasks = []
    for region, warm in zip(regions, (["quay.io/a/b:1"], []), strict=True):
        role = {"name": ROLE, "apply": {"environment": {"AWS_REGION": region}}}
        upstreams = {"docker-hub": HUB, "quay": None}
        tasks.append({"ansible.builtin.include_role": role, "vars": _named({"upstreams": upstreams, "warm": warm})})
    told = {"ansible.builtin.assert": {"that": "pull_through_cache_result.warmed == []"}}
    run = playbook([{"name": "Regions", "hosts": "localhost", "gather_facts": False, "tasks": [*tasks, told]}])
    assert run.status == 0, run.output
    for region in regions:
        assert f":{region}:" in rules(cloud, region=region)["docker-hub"]["credentialArn"]


# ------------------------------------------------------------------ bad input

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "prefix of one character": ({"q": {"upstream": "quay"}}, "'q', prefix: must have 2 to 30 characters, not 1"),
    "prefix of 31 characters": ({"q" * 31: {"upstream": "quay"}}, "prefix: must have 2 to 30 characters, not 31"),
    "capitals": ({"Quay": {"upstream": "quay"}}, "'Quay', prefix: must be in lower case: quay"),
    "unknown upstream": ({"x1": {"upstream": "elastic"}}, "'x1', upstream: must be one of docker-hub,"),
    "token without a user": ({"docker-hub": {"access_token": "t"}}, "username: is required with access_token"),
    "secret of another name": (
        {"docker-hub": {"secret_arn": f"arn:aws:secretsmanager:eu-central-1:{CONSUMER}:secret:hub-a1B2c3"}},
        "secret_arn: the name of the secret must begin with ecr-pullthroughcache/",
    ),
    "secret name outside the prefix": (
        {"docker-hub": {**HUB, "secret_name": "hub"}},
        "secret_name: must begin with ecr-pullthroughcache/",
    ),
    "secret in another region": (
        {"docker-hub": {"secret_arn": f"arn:aws:secretsmanager:us-east-1:{CONSUMER}:secret:{HUB_SECRET}-a1B2c3"}},
        "secret_arn: the secret is in us-east-1, but must be in the region of the rule, eu-central-1",
    ),
    "prefix twice": ({"quay": None, "quay/": None}, "'quay', prefix: is there more than once"),
    "field that is none": ({"quay": {"tag": "x"}}, "'quay', tag: there is no such field"),
    "nothing at all": ({}, "pull_through_cache_upstreams is empty"),
}
BAD_VARIABLES: dict[str, tuple[dict[str, Any], str]] = {
    "image to warm that no rule covers": ({"warm": ["nginx"]}, "pull_through_cache_warm: no pull-through cache rule"),
    "name for no policy": ({"name": "my cache"}, "pull_through_cache_name: must be 1 to 41 of letters"),
    "role of another account": (
        {"attach_to_roles": [f"arn:aws:iam::{CONSUMER}:role/nodes"]},
        "role/nodes is not in this account, 123456789012: let it pull with pull_through_cache_cross_account_principals",
    ),
    "role of pullers": ({"attach_to_roles": ["eks/nodes"]}, "pull_through_cache_attach_to_roles: neither a name nor"),
    "account": ({"cross_account_principals": ["me"]}, "pull_through_cache_cross_account_principals: must be accounts"),
    "role of templates": (
        {"tags": {"a": "b"}, "template_role_arn": "nodes"},
        "pull_through_cache_template_role_arn: must be the ARN of an IAM role, not 'nodes'",
    ),
    "lifecycle rule": ({"lifecycle_rules": [{"priority": 1}]}, "lifecycle_rules: The lifecycle policy is not valid"),
}


def test_bad_input_is_refused_before_anything_is_asked_of_ecr(
    cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    """All in one play, one after the other."""
    told = tmp_path / "told"
    told.mkdir()
    tasks = []
    cases = {name: ({"upstreams": upstreams}, says) for name, (upstreams, says) in BAD.items()}
    cases |= {name: ({"upstreams": {"quay": None}, **given}, says) for name, (given, says) in BAD_VARIABLES.items()}
    for number, (given, _says) in enumerate(cases.values()):
        role = {"name": ROLE}
        variables = _named(given)
        content = {"content": "{{ ansible_failed_result.msg }}", "dest": str(told / str(number)), "mode": "0600"}
        tasks.append(
            {
                "block": [{"ansible.builtin.include_role": role, "vars": variables}],
                "rescue": [{"ansible.builtin.copy": content}],
            }
        )
    run = playbook([{"name": "Bad", "hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    assert run.status == 0, run.output
    for number, (name, (_given, says)) in enumerate(cases.items()):
        message = (told / str(number)).read_text()
        print(f"{name}: {message}")
        assert says in message, name
    assert cloud.operations() == []


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_a_region_without_the_feature_is_refused(
    cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path, region: str
) -> None:
    def there(plays: list[dict[str, Any]], *options: str) -> PlaybookRun:
        return playbook([{**plays[0], "environment": {"AWS_REGION": region}}], *options)

    run = Cache(there, tmp_path)({"quay": None}, fails=True)
    assert f"no pull-through caches in {region}" in run.run.output
    assert cloud.operations() == []


def test_a_customer_managed_key_is_refused(cloud: Cloud, cache: Cache) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    value = json.dumps({"username": "hubuser", "accessToken": TOKEN})
    cloud.client("secretsmanager").create_secret(Name=HUB_SECRET, SecretString=value, KmsKeyId=key)
    run = cache({"docker-hub": HUB}, fails=True)
    assert f"customer managed key {key}" in run.run.output
    assert rules(cloud) == {}


def test_library_that_was_forgotten_is_told(cloud: Cloud, cache: Cache) -> None:
    host = cloud.registry.removeprefix("http://")
    run = cache({"docker-hub": HUB}, fails=True, warm=[f"{host}/docker-hub/nginx:1"])
    assert "this one is docker-hub/library/nginx:1" in run.run.output


def test_an_upstream_that_changes_needs_leave_to_recreate_its_rule(cloud: Cloud, cache: Cache) -> None:
    cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="images", upstreamRegistryUrl="quay.io")
    assert "recreate=true" in cache({"images": {"upstream": "k8s"}}, fails=True).run.output
    cache({"images": {"upstream": "k8s"}}, recreate=True)
    assert rules(cloud)["images"]["upstreamRegistryUrl"] == "registry.k8s.io"


# ------------------------------------------------------------------ files for clients

IMAGES = [
    *("nginx", "nginx:1.27", "library/redis", "docker.io/library/redis:7", "docker.io/nginx", "hashicorp/vault:1.14"),
    *("docker.io/hashicorp/vault@sha256:" + "a" * 64, "nginx:1@sha256:" + "b" * 64, "ghcr.io/org/x:1"),
    *("registry.k8s.io/pause:3.9", "quay.io/prometheus/prometheus:v3", "quay.io/acme/app:1", "cgr.dev/chainguard/go"),
]


def test_files_for_clients_are_what_their_clients_read(cloud: Cloud, cache: Cache, tmp_path: Path) -> None:
    """Clients that are here read them in tests/integration/full."""
    clients = tmp_path / "clients"
    upstreams = {
        **EIGHT,
        "ROOT": {**HUB, "upstream": "docker-hub"},
        "team": {"upstream": "quay", "upstream_repository_prefix": "acme"},
    }
    done = cache(upstreams, client_files_dir="clients")
    assert cache(upstreams, client_files_dir=str(clients)).changed == 0
    host = cloud.registry.removeprefix("http://")
    hosts = {path.parent.name: tomllib.loads(path.read_text()) for path in clients.glob("containerd/*/hosts.toml")}
    assert set(hosts) == {
        *("docker.io", "quay.io", "ghcr.io", "registry.gitlab.com", "cgr.dev", "example.azurecr.io"),
        *("registry.k8s.io", "public.ecr.aws"),
    }
    assert hosts["quay.io"] == {
        "server": "https://quay.io",
        "host": {f"https://{host}/v2/quay": {"capabilities": ["pull", "resolve"], "override_path": True}},
    }
    assert set(hosts["docker.io"]["host"]) == {f"https://{host}/v2", f"https://{host}/v2/docker-hub"}

    registries = tomllib.loads((clients / "crio" / "registries.conf").read_text())["registry"]
    by_prefix = {registry["prefix"]: registry["mirror"] for registry in registries}
    assert by_prefix["quay.io/acme"] == [{"location": f"{host}/team"}]
    assert by_prefix["ghcr.io"] == [{"location": f"{host}/github"}]

    daemon = json.loads((clients / "docker" / "daemon.json").read_text())
    assert daemon == {"registry-mirrors": [f"https://{host}"]}
    assert "Docker Engine" in (clients / "README.md").read_text()

    check_kyverno_policy(clients / "kubernetes" / "kyverno-policy.yml", done.result["rules"])

    secret = yaml.safe_load((clients / "kubernetes" / "pull-secret.yml").read_text())
    assert (secret["kind"], secret["type"]) == ("Secret", "kubernetes.io/dockerconfigjson")
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    assert set(auths) == {
        *("https://index.docker.io/v1/", "ghcr.io", "registry.gitlab.com", "cgr.dev", "example.azurecr.io"),
    }
    for auth in auths.values():
        assert base64.b64decode(auth["auth"]).decode() == f"{auth['username']}:{auth['password']}" == f"hubuser:{TOKEN}"


def check_kyverno_policy(path: Path, rules: list[dict[str, Any]]) -> None:
    """It rewrites images as the filter does."""
    policy = yaml.safe_load(path.read_text())
    assert (policy["apiVersion"], policy["kind"]) == ("kyverno.io/v1", "ClusterPolicy")
    kinds = ["containers", "initContainers", "ephemeralContainers"]
    assert [rule["name"] for rule in policy["spec"]["rules"]] == [kind.lower() for kind in kinds]
    for kind, rule in zip(kinds, policy["spec"]["rules"], strict=True):
        steps = rule["mutate"]["foreach"]
        assert {step["list"] for step in steps} == {f"request.object.spec.{kind}"}
        for image in IMAGES:
            assert mutated(image, kind, steps) == cached_address(image, rules)
        assert mutated("registry.example.com/team/app:1", kind, steps) == "registry.example.com/team/app:1"


def mutated(image: str, kind: str, steps: list[dict[str, Any]]) -> str:
    """What Kyverno would do, step by step, of what it says of regex_match and regex_replace_all."""
    for step in steps:
        key = step["preconditions"]["all"][0]["key"]
        pattern = re.fullmatch(r"\{\{ regex_match\('(.+)', element\.image\) \}\}", key)
        container = step["patchStrategicMerge"]["spec"][kind][0]
        replacing = re.fullmatch(r"\{\{ regex_replace_all\('(.+)', element\.image, '(.+)'\) \}\}", container["image"])
        assert pattern
        assert replacing
        assert replacing[1] == pattern[1]
        if re.search(pattern[1], image):
            image = re.sub(pattern[1], replacing[2].replace("$1", r"\1"), image)
    return image


# ------------------------------------------------------------------ what the README says


def readme_permissions() -> list[dict[str, Any]]:
    """The actions of its table, as a policy."""
    text = (Path(__file__).parents[2] / "roles" / "pull_through_cache" / "README.md").read_text()
    services = {"ECR": "ecr", "Secrets Manager": "secretsmanager", "IAM": "iam"}
    actions = []
    for line in text.partition("## Permissions")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        service = next((services[name] for name in services if cells[0].startswith(name)), None)
        actions += [f"{service}:{name}" for name in re.findall(r"`(\w+)`", cells[-1])] if service else []
    return [{"Effect": "Allow", "Action": actions, "Resource": "*"}]


def test_documented_permissions_suffice(cloud: Cloud, playbook: Callable[..., PlaybookRun], cache: Cache) -> None:
    operator = cloud.role("operator", readme_permissions())
    cloud.role("nodes", [{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    cloud.publish("quay.io", "a/b", "1")
    restricted = Cache(lambda *what: playbook(*what, credentials=operator), cache.directory)
    wanted = {
        "attach_to_roles": ["nodes"],
        "cross_account_principals": [CONSUMER],
        "warm": ["quay.io/a/b:1"],
        "tags": {"team": "a"},
    }
    restricted({"docker-hub": HUB, "quay": None}, **wanted)
    restricted(
        {
            "docker-hub": {**HUB, "access_token": TOKEN},
            "quay": {"description": "new", "image_tag_mutability": "IMMUTABLE"},
        },
        apply_to_existing=True,
        **{**wanted, "tags": {"team": "b"}},
    )
    restricted({"docker-hub": HUB, "quay": None}, state="absent", delete_images=True)
