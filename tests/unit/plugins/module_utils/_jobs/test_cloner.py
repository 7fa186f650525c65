# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the variables of codebuild_cloner come down to, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner import leftovers, parts
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_images import shard_of

ACCOUNT = "123456789012"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:ecr-pullthroughcache/hub-AbCdEf"
DEFAULTS: dict[str, Any] = {
    "containers": {"redis": ["7.4"], "hashicorp/vault": ["1.14", "1.13.3"]},
    "build_commands": {},
    "platforms": [],
    "docker_hub_username": "",
    "has_token": False,
    "docker_hub_secret_arn": "",
    "namespace": "ecsclone",
    "prefix": "ecs-clone-",
    "region": "eu-west-1",
    "asked_region": "",
    "account": ACCOUNT,
    "account_id": "",
    "partition": "aws",
    "registry": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
    "schedule": "cron(0 9 ? * * *)",
    "schedule_timezone": "UTC",
    "schedule_state": "ENABLED",
    "dead_letter_queue_arn": "",
    "fan_out": 1,
    "image": "",
    "architecture": "x86_64",
    "compute_type": "BUILD_GENERAL1_SMALL",
    "timeout": 480,
    "vpc": {},
    "bucket": "",
    "kms_key_arn": "",
    "log_retention_days": 30,
    "notify": "",
    "alarm_hours": 26,
    "tags": {},
}


def made(**variables: Any) -> dict[str, Any]:
    return parts({**DEFAULTS, **variables})


def images(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [image for text in document["files"].values() for image in json.loads(text)["image_mirror_images"]]


def allowed(document: dict[str, Any], role: int = 0) -> dict[str, list[str]]:
    """The resources of each action."""
    return {
        action: statement["Resource"]
        for statement in document["roles"][role]["policy"]["Statement"]
        for action in statement["Action"]
    }


# ------------------------------------------------------------------ what is wrong

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no containers": ({"containers": {}}, "containers: must be repositories with their tags"),
    "no tags": ({"containers": {"redis": []}}, "containers.redis: has no tags: name at least one"),
    "one tag, no list": ({"containers": {"redis": "7"}}, "containers.redis: has no tags: name at least one"),
    "a number": ({"containers": {"redis": [7.4]}}, "containers.redis.tags[0]: 7.4 is a number to YAML"),
    "an unknown field": ({"containers": {"redis": {"tag": "7"}}}, "containers.redis.tag: unknown, use one of tags,"),
    "a bad selection": ({"containers": {"redis": {"select": {"globz": 1}}}}, "containers.redis.select.globz: unknown"),
    "tags and a selection": (
        {"containers": {"redis": {"tags": ["7"], "select": {"newest": 1}}}},
        "containers.redis.tags: tags and select contradict each other",
    ),
    "lines for nothing": (
        {"build_commands": {"mongo:latest": ["RUN true"]}},
        "build_commands.mongo:latest: is no tag of containers: write repository:tag as it stands there, one of "
        "hashicorp/vault:1.13.3, hashicorp/vault:1.14, redis:7.4",
    ),
    "a wrong line": ({"build_commands": {"redis:7.4": ["RUUN x"]}}, "build_commands.redis:7.4.dockerfile: "),
    "FROM": ({"build_commands": {"redis:7.4": ["FROM scratch"]}}, "build_commands.redis:7.4.dockerfile: "),
    "a platform that cannot be built": (
        {"build_commands": {"redis:7.4": ["RUN x"]}, "platforms": ["linux/arm64"]},
        "build_commands.redis:7.4: has lines that have to be run, which a build on x86_64 does for linux/amd64 alone",
    ),
    "a schedule": ({"schedule": "rate(1 days)"}, "schedule: a rate is written with"),
    "a token without a user": ({"has_token": True}, "docker_hub_username: is missing"),
    "a user without a token": ({"docker_hub_username": "me"}, "docker_hub_access_token: is missing"),
    "a token and a secret": (
        {"docker_hub_username": "me", "has_token": True, "docker_hub_secret_arn": SECRET},
        "docker_hub_secret_arn: there is docker_hub_access_token too",
    ),
    "no secret": ({"docker_hub_secret_arn": "hub"}, "docker_hub_secret_arn: must be the ARN of a secret"),
    "a VPC without subnets": ({"vpc": {"id": "vpc-1", "security_groups": ["sg"]}}, "vpc: needs id, subnets and"),
    "another account": ({"account_id": "210987654321"}, "account_id: is 210987654321, and the credentials and"),
    "another region": ({"asked_region": "us-east-1"}, "region: is us-east-1, and the credentials and settings"),
    "a prefix": ({"prefix": "Clone_"}, "prefix: must be at most 20 small letters"),
    "a namespace": ({"namespace": "Ours"}, "namespace: "),
    "no namespace": ({"namespace": ""}, "namespace: "),
    "shards": ({"fan_out": 0}, "fan_out: must be a number from 1 to 100"),
    "a timeout": ({"timeout": 4}, "timeout: must be 5 to 2160 minutes"),
    "days": ({"log_retention_days": 2}, "log_retention_days: must be one of 1, 3, 5"),
    "hours": ({"alarm_hours": 200}, "alarm_hours: must be at most 168"),
    "nobody": ({"notify": "ops"}, "notify: must be the ARN of an SNS topic or an e-mail address"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str) -> None:
    variables, message = WRONG[name]
    with pytest.raises(AnsibleECRError) as caught:
        made(**variables)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["another account", "another region", "a prefix", "a namespace", "no namespace"])
def test_nothing_of_somebody_else_s_goes(name: str) -> None:
    variables, message = WRONG[name]
    with pytest.raises(AnsibleECRError) as caught:
        leftovers({**DEFAULTS, **variables})
    assert message in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(AnsibleECRError) as caught:
        made(
            **{
                name: value
                for name in ("a prefix", "a schedule", "no tags", "nobody")
                for name, value in WRONG[name][0].items()
            }
        )
    assert all(f"{name}: " in str(caught.value) for name in ("prefix", "schedule", "containers.redis", "notify"))


# ------------------------------------------------------------------ images


def test_each_kind_of_image() -> None:
    document = made(
        containers={
            "redis": ["7.4", "7.2"],
            "prometheus/prometheus": {"registry": "quay.io", "select": {"newest": 3}},
            "nginx": {"tags": ["1.29"], "platforms": ["linux/arm64"]},
        },
        build_commands={"redis:7.2": ["RUN x"], "nginx:1.29": ["ENV a=b"]},
        platforms=["linux/amd64"],
    )
    redis, nginx = ({"source": f"docker.io/{name}", "repository": name} for name in ("redis", "nginx"))
    quay = "quay.io/prometheus/prometheus"
    assert images(document) == [
        {**redis, "platforms": ["linux/amd64"], "tags": ["7.4"]},
        {**redis, "platforms": ["linux/amd64"], "tags": ["7.2"], "dockerfile": ["RUN x"]},
        {"source": quay, "repository": "prometheus/prometheus", "platforms": ["linux/amd64"], "select": {"newest": 3}},
        {**nginx, "platforms": ["linux/arm64"], "tags": ["1.29"], "dockerfile": ["ENV a=b"]},
    ]  # fmt: skip
    assert document["repositories"] == ["ecsclone/nginx", "ecsclone/prometheus/prometheus", "ecsclone/redis"]
    assert document["addresses"] == {
        name: f"{DEFAULTS['registry']}/ecsclone/{name}" for name in ("redis:7.4", "redis:7.2", "nginx:1.29")
    }


@pytest.mark.parametrize(
    ("lines", "privileged"),
    [([], False), (["VOLUME /x"], False), (["ENV a=b", "RUN x"], True), (["COPY --from=busybox /a /b"], True)],
)
def test_privileged_only_if_something_has_to_be_run(lines: list[str], privileged: bool) -> None:
    document = made(build_commands={"redis:7.4": lines} if lines else {})
    assert document["project"]["definition"]["environment"]["privilegedMode"] is privileged
    assert ("ecr:BatchDeleteImage" in allowed(document)) is privileged


def test_the_token_is_named_and_never_there() -> None:
    document = made(docker_hub_username="me", has_token=True)
    assert {"name": "DOCKER_HUB_TOKEN", "value": "/ecs-clone-cloner/docker-hub-token", "type": "PARAMETER_STORE"} in (
        document["project"]["definition"]["environment"]["environmentVariables"]
    )
    (login,) = json.loads(document["files"]["job.json"])["image_mirror_registries"]
    assert login["password"] == "{{ lookup('ansible.builtin.env', 'DOCKER_HUB_TOKEN') }}"
    secret = made(docker_hub_secret_arn=SECRET)
    assert secret["project"]["definition"]["environment"]["environmentVariables"][1]["value"] == f"{SECRET}:accessToken"
    assert secret["token"]["state"] == "absent"
    assert "image_mirror_registries" not in json.loads(made()["files"]["job.json"])


# ------------------------------------------------------------------ shards


@given(
    st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=30, unique=True), st.integers(2, 100)
)
def test_shards_cover_the_list_once(names: list[str], shards: int) -> None:
    document = made(containers={name: ["1"] for name in names}, fan_out=shards)
    assert len(document["files"]) == shards
    assert sorted(image["repository"] for image in images(document)) == sorted(names)
    for number in range(shards):
        listed = json.loads(document["files"][f"job-{number}.json"])["image_mirror_images"]
        assert all(shard_of(image["repository"], shards) == number for image in listed)


def test_a_batch_has_a_build_for_each_shard() -> None:
    document = made(fan_out=3)
    spec = yaml.safe_load(document["project"]["definition"]["source"]["buildspec"])
    assert [one["env"]["variables"]["SHARD"] for one in spec["batch"]["build-list"]] == ["-0", "-1", "-2"]
    assert spec["batch"]["fast-fail"] is False
    assert document["project"]["definition"]["buildBatchConfig"]["timeoutInMins"] == 480
    assert document["run"] == "codebuild_batch"
    assert [role["name"] for role in document["roles"]][2] == "ecs-clone-cloner-batch-eu-west-1"
    assert allowed(document, 1) == {"codebuild:StartBuildBatch": [PROJECT_ARN]}
    assert document["schedule"]["definition"]["Target"]["Arn"].endswith(":aws-sdk:codebuild:startBuildBatch")
    assert made()["roles_of_no_use"] == [{"name": "ecs-clone-cloner-batch-eu-west-1"}]


# ------------------------------------------------------------------ resources

PROJECT_ARN = f"arn:aws:codebuild:eu-west-1:{ACCOUNT}:project/ecs-clone-cloner"


def test_the_buildspec() -> None:
    spec = yaml.safe_load(made()["project"]["definition"]["source"]["buildspec"])
    assert spec["phases"]["install"]["commands"][0].endswith("--require-hashes -r requirements.txt")
    assert "ansible-playbook stevedore.ecr.mirror -e @job$SHARD.json" in spec["phases"]["build"]["commands"]
    own = made(image=f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/tools/runner:1")
    definition = own["project"]["definition"]
    assert "install" not in yaml.safe_load(definition["source"]["buildspec"])["phases"]
    assert definition["environment"]["imagePullCredentialsType"] == "SERVICE_ROLE"
    assert f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/tools/runner" in allowed(own)["ecr:GetDownloadUrlForLayer"]


def test_another_image_of_aws_is_pulled_and_fitted_out_as_the_usual_one() -> None:
    document = made(image="aws/codebuild/standard:7.0")
    environment = document["project"]["definition"]["environment"]
    assert (environment["image"], environment["imagePullCredentialsType"]) == (
        "aws/codebuild/standard:7.0",
        "CODEBUILD",
    )
    assert "install" in yaml.safe_load(document["project"]["definition"]["source"]["buildspec"])["phases"]
    assert document["installs"]
    assert not made(image="ghcr.io/org/runner:1")["installs"]


def test_the_buildspec_is_short_however_long_the_list() -> None:
    document = made(containers={f"team/app{number}": ["1"] for number in range(5000)}, fan_out=100)
    assert len(document["project"]["definition"]["source"]["buildspec"]) < 25_600
    # Nor does a policy hold five thousand names.
    assert allowed(document)["ecr:PutImage"] == [f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/ecsclone/*"]


def test_a_build_may_write_its_repositories_and_no_others() -> None:
    found = allowed(made())
    name = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/ecsclone"
    assert found["ecr:PutImage"] == [f"{name}/hashicorp/vault", f"{name}/redis"]
    assert [action for action, resources in found.items() if resources == ["*"]] == ["ecr:GetAuthorizationToken"]
    assert not [action for action in found if "*" in action]


def pulls(**variables: Any) -> list[str]:
    (found,) = [one for one in made(**variables)["roles"][0]["policy"]["Statement"] if one["Sid"] == "Pull"]
    assert found["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"]
    return list(found["Resource"])


def test_a_build_may_read_sources_in_amazon_ecr_and_no_others() -> None:
    there = {"registry": "111122223333.dkr.ecr.us-east-1.amazonaws.com", "tags": ["1"]}
    arn = "arn:aws:ecr:us-east-1:111122223333:repository"
    assert pulls(containers={"team/app": there, "redis": ["7"]}) == [f"{arn}/team/app"]
    assert "Pull" not in [one["Sid"] for one in made()["roles"][0]["policy"]["Statement"]]
    many = {f"team/app{number:04}": there for number in range(400)}
    assert pulls(containers=many) == [f"{arn}/*"]


def test_the_schedule_s_role_starts_the_project_alone() -> None:
    assert allowed(made(), 1) == {"codebuild:StartBuild": [PROJECT_ARN]}
    queue = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:dead"
    assert allowed(made(dead_letter_queue_arn=queue), 1)["sqs:SendMessage"] == [queue]
    for role in made(fan_out=2)["roles"]:
        (statement,) = role["trust_policy"]["Statement"]
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
        assert f":{ACCOUNT}:" in statement["Condition"]["ArnLike"]["aws:SourceArn"]


def test_other_partitions() -> None:
    document = made(partition="aws-cn", region="cn-north-1", registry=f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn")
    assert "arn:aws:" not in json.dumps(document)


def test_a_vpc() -> None:
    document = made(vpc={"id": "vpc-1", "subnets": ["subnet-1"], "security_groups": ["sg-1"]})
    assert document["project"]["definition"]["vpcConfig"] == {
        "vpcId": "vpc-1",
        "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"],
    }
    assert "ec2:CreateNetworkInterfacePermission" in allowed(document)
    assert made()["project"]["definition"]["vpcConfig"] is None


def test_who_is_told() -> None:
    topic = f"arn:aws:sns:eu-west-1:{ACCOUNT}:ops"
    assert made(notify=topic)["topic_arn"] == topic
    assert [one["state"] for one in made(notify=topic)["topic"]] == ["absent"]
    mailed = made(notify="ops@example.org")
    assert mailed["topic_arn"] == f"arn:aws:sns:eu-west-1:{ACCOUNT}:ecs-clone-cloner"
    assert [one["name"] for one in mailed["topic"]] == ["ecs-clone-cloner", "ops@example.org"]
    assert made()["topic_arn"] == ""


def test_a_topic_that_is_told_never_goes_and_another_only_if_it_is_ours() -> None:
    theirs = {"notify": f"arn:aws:sns:eu-west-1:{ACCOUNT}:ecs-clone-cloner"}
    assert made(**theirs)["topic"] == []
    assert "sns_topic" not in [one["kind"] for one in leftovers({**DEFAULTS, **theirs})["resources"]]
    (topic, _subscription), (gone,) = made(notify="ops@example.org", tags={"a": "b"})["topic"], made()["topic"]
    assert topic["tags"] == {"a": "b", "stevedore.ecr": "ecs-clone-cloner"}
    assert (gone["state"], gone["tags"]) == ("absent", {"stevedore.ecr": "ecs-clone-cloner"})


def test_what_has_to_go_is_all_that_was_made() -> None:
    gone = leftovers({**DEFAULTS, "containers": {"redis": []}, "schedule": "whatever"})
    document = made(fan_out=2, notify="ops@example.org", has_token=True, docker_hub_username="me")
    assert [role["name"] for role in gone["roles"]] == [role["name"] for role in document["roles"]]
    kinds = {one["kind"]: one["name"] for one in gone["resources"]}
    for one in (document["project"], document["schedule"], document["token"], document["topic"][0]):
        assert kinds.pop(one["kind"]) == one["name"]
    assert kinds == {}
    assert gone["repositories"] == ["ecsclone/redis"]
