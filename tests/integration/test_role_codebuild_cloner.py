"""The role codebuild_cloner against the light cloud: what it makes, that it makes it once, and what it refuses."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from builds import until

from loopback.client import Cloud
from running import PlaybookRun

ROLE = "stevedore.ecr.codebuild_cloner"
TOKEN = "dckr_pat_of_somebody"
LOGIN = {"docker_hub_username": "hubuser", "docker_hub_access_token": TOKEN}
CONTAINERS = {"redis": ["7.4"], "hashicorp/vault": ["1.14", "1.13.3"]}
PROJECT, GROUP = "ecs-clone-cloner", "/aws/codebuild/ecs-clone-cloner"
PARAMETER = f"/{PROJECT}/docker-hub-token"
BUCKET = "ecs-clone-cloner-123456789012-eu-central-1"
# What changes something, or would.
READING = ("Get", "List", "Describe", "Batch", "Head", "Assume", "Lookup")


@dataclass(frozen=True)
class Role:
    """The role, with one set of variables after another."""

    playbook: Callable[..., PlaybookRun]
    directory: Path

    def __call__(self, *options: str, fails: bool = False, **variables: Any) -> PlaybookRun:
        told = self.directory / "result.json"
        told.unlink(missing_ok=True)
        tell = {"content": "{{ codebuild_cloner_result | to_json }}", "dest": str(told), "mode": "0600"}
        play = {
            "name": "Clone",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                f"codebuild_cloner_{name}": value for name, value in {"containers": CONTAINERS, **variables}.items()
            },
            "roles": [{"role": ROLE}],
            "post_tasks": [{"ansible.builtin.copy": tell, "check_mode": False, "diff": False, "changed_when": False}],
        }
        run = self.playbook([play], *options)
        assert run.status == (2 if fails else 0), run.output
        assert "[WARNING]" not in run.output, run.output
        assert "DEPRECATION" not in run.output
        assert TOKEN not in run.output
        return run

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.directory / "result.json").read_text())
        return result


@pytest.fixture
def role(cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Role:
    cloud.knobs(codebuild__light="SUCCEEDED")
    return Role(playbook, tmp_path)


def changes(cloud: Cloud) -> list[str]:
    return [call for call in cloud.operations() if not call.startswith(READING)]


def builds(cloud: Cloud) -> list[str]:
    ids: list[str] = cloud.client("codebuild").list_builds()["ids"]
    return ids


def versions(cloud: Cloud) -> list[str]:
    found = cloud.client("s3").list_object_versions(Bucket=BUCKET, Prefix=f"{PROJECT}/job.zip")
    return [version["VersionId"] for version in found.get("Versions", [])]


def project_of(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("codebuild").batch_get_projects(names=[PROJECT])["projects"][0]
    return found


def job(cloud: Cloud, name: str = "job.json") -> dict[str, Any]:
    content = cloud.client("s3").get_object(Bucket=BUCKET, Key=f"{PROJECT}/job.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found: dict[str, Any] = json.loads(archive.read(name))
        return found


# ------------------------------------------------------------------ once


def test_check_then_run_then_run_again(cloud: Cloud, role: Role) -> None:
    cloud.forget_calls()
    everything = {
        **LOGIN,
        "notify": "ops@example.org",
        "tags": {"team": "platform"},
        "schedule": "cron(30 6 ? * MON-FRI *)",
        "schedule_timezone": "Europe/Berlin",
        "dead_letter_queue_arn": f"arn:aws:sqs:{cloud.region}:{cloud.account}:dead",
    }
    promised = role("--check", "--diff", **everything)
    assert changes(cloud) == []
    assert promised.recap["changed"] > 5

    first = role("--diff", **everything)
    assert first.recap["changed"] >= promised.recap["changed"]
    assert len(builds(cloud)) == len(versions(cloud)) == 1
    _is_all_there(cloud)
    host = cloud.registry.removeprefix("http://")
    assert role.result["image_base_url"] == f"{host}/ecsclone/"
    assert role.result["images"]["hashicorp/vault:1.14"] == f"{host}/ecsclone/hashicorp/vault:1.14"
    assert len(role.result["images"]) == 3

    cloud.forget_calls()
    again = role("--diff", **everything)
    assert again.recap["changed"] == 0, again.output
    assert changes(cloud) == []
    assert len(builds(cloud)) == len(versions(cloud)) == 1


def _is_all_there(cloud: Cloud) -> None:
    repositories = {one["repositoryName"]: one for one in cloud.client("ecr").describe_repositories()["repositories"]}
    assert set(repositories) == {"ecsclone/redis", "ecsclone/hashicorp/vault"}
    policy = cloud.client("ecr").get_lifecycle_policy(repositoryName="ecsclone/redis")["lifecyclePolicyText"]
    assert [rule["selection"] for rule in json.loads(policy)["rules"]] == [
        {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1}
    ]
    project = project_of(cloud)
    assert project["concurrentBuildLimit"] == 1
    assert project["environment"]["privilegedMode"] is False
    assert project["source"]["type"] == "S3"
    assert TOKEN not in json.dumps(project, default=str)
    schedule = cloud.client("scheduler").get_schedule(Name=PROJECT)
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 2
    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(":dead")
    parameter = cloud.client("ssm").get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]
    assert (parameter["Type"], parameter["Value"]) == ("SecureString", TOKEN)
    assert TOKEN not in json.dumps(job(cloud))
    group = cloud.client("logs").describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"][0]
    assert group["retentionInDays"] == 30
    s3 = cloud.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    # Mail to one address, for a failed build and for the alarm.
    sns = cloud.client("sns")
    assert [(one["Protocol"], one["Endpoint"]) for one in sns.list_subscriptions()["Subscriptions"]] == [
        ("email", "ops@example.org")
    ]
    (topic,) = sns.list_topics()["Topics"]
    (target,) = cloud.client("events").list_targets_by_rule(Rule=f"{PROJECT}-failed")["Targets"]
    (alarm,) = cloud.client("cloudwatch").describe_alarms(AlarmNames=[f"{PROJECT}-no-success"])["MetricAlarms"]
    assert target["Arn"] == topic["TopicArn"]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [topic["TopicArn"]]
    assert (alarm["Period"] * alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (26 * 3600, "breaching")


def test_a_playbook_of_the_same_name_and_another_region_and_bucket(
    cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    region = "us-east-1"
    s3 = cloud.client("s3", region=region)
    s3.create_bucket(Bucket="ours")
    variables = {"containers": {"redis": ["7.4"]}, "region": region, "bucket": "ours", "run_now": "never"}
    given = tmp_path / "cloner.yml"
    given.write_text(yaml.safe_dump({f"codebuild_cloner_{name}": value for name, value in variables.items()}))

    def run(*options: str) -> None:
        done = playbook("stevedore.ecr.codebuild_cloner", "-e", f"@{given}", *options)
        assert done.status == 0, done.output

    run()
    assert cloud.client("codebuild", region=region).list_projects()["projects"] == [PROJECT]
    assert cloud.client("codebuild").list_projects()["projects"] == []
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="ours")["Contents"]] == [f"{PROJECT}/job.zip"]
    run("-e", "codebuild_cloner_state=absent")
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["ours"]
    assert "Contents" not in s3.list_objects_v2(Bucket="ours")


# ------------------------------------------------------------------ changes


def test_what_changes_is_changed_and_run(cloud: Cloud, role: Role) -> None:
    role(**LOGIN, run_now="never")
    assert builds(cloud) == []

    # A new token alone is a reason to clone.
    ssm = cloud.client("ssm")
    role(**{**LOGIN, "docker_hub_access_token": "dckr_pat_another"})
    assert ssm.get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]["Value"] == "dckr_pat_another"
    assert (len(builds(cloud)), len(versions(cloud))) == (1, 1)

    # Everything at once: without a login, with lines that have to be run, as a batch, and with somebody to tell.
    much = {
        "containers": {"redis": ["7.4"], "nginx": ["1.29"]},
        "build_commands": {"redis:7.4": ["RUN true"]},
        "fan_out": 4,
        "notify": "ops@example.org",
    }
    role(**much)
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=PARAMETER)
    project, codebuild = project_of(cloud), cloud.client("codebuild")
    assert project["environment"]["privilegedMode"]
    assert project["buildBatchConfig"]["serviceRole"].endswith(f"role/{PROJECT}-batch-eu-central-1")
    assert len(codebuild.list_build_batches_for_project(projectName=PROJECT)["ids"]) == 1
    images = [image for number in range(4) for image in job(cloud, f"job-{number}.json")["image_mirror_images"]]
    assert sorted((image["repository"], image.get("platforms")) for image in images) == [
        ("nginx", None),
        ("redis", ["linux/amd64"]),
    ]
    # What is no longer asked for stays.
    assert len(cloud.client("ecr").describe_repositories()["repositories"]) == 3
    before = versions(cloud)
    again = role(**much)
    assert again.recap["changed"] == 0, again.output
    assert versions(cloud) == before

    # And back: what is of no use any more goes.
    role(run_now="always", wait=True)
    iam, sns, events = cloud.client("iam"), cloud.client("sns"), cloud.client("events")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=f"{PROJECT}-batch-eu-central-1")
    assert (sns.list_topics()["Topics"], events.list_rules()["Rules"]) == ([], [])
    project = project_of(cloud)
    assert not project["environment"]["privilegedMode"]
    assert project["concurrentBuildLimit"] == 1
    assert role.result["run_status"] == "SUCCEEDED"


# ------------------------------------------------------------------ the end


def test_absent_leaves_images_and_nothing_else(cloud: Cloud, role: Role) -> None:
    role(**LOGIN, notify="ops@example.org", fan_out=2, schedule="rate(6 hours)")
    # The schedule does its first run at once, so that the role leaves it at that.
    assert role.result["run_status"] == "NOT_STARTED"
    batches = cloud.client("codebuild").list_build_batches_for_project
    assert len(until(lambda: batches(projectName=PROJECT)["ids"])) == 1
    gone = role(state="absent")
    assert gone.recap["changed"] > 5
    assert role.result["left_behind"] == ["ecsclone/redis", "ecsclone/hashicorp/vault"]
    assert "These repositories stay, with their images: ecsclone/redis, ecsclone/hashicorp/vault." in gone.output
    assert left(cloud) == {"repositories": ["ecsclone/hashicorp/vault", "ecsclone/redis"]}
    # Of all tasks, only that for the images has something to do.
    assert role(state="absent", delete_images=True).recap["changed"] == 1
    assert left(cloud) == {}


def left(cloud: Cloud) -> dict[str, list[str]]:
    """Everything of the kinds that the role makes."""
    found = {
        "repositories": [one["repositoryName"] for one in cloud.client("ecr").describe_repositories()["repositories"]],
        "projects": cloud.client("codebuild").list_projects()["projects"],
        "schedules": [one["Name"] for one in cloud.client("scheduler").list_schedules()["Schedules"]],
        "roles": [one["RoleName"] for one in cloud.client("iam").list_roles()["Roles"]],
        "policies": [one["PolicyName"] for one in cloud.client("iam").list_policies(Scope="Local")["Policies"]],
        "buckets": [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]],
        "parameters": [one["Name"] for one in cloud.client("ssm").describe_parameters()["Parameters"]],
        "groups": [one["logGroupName"] for one in cloud.client("logs").describe_log_groups()["logGroups"]],
        "topics": [one["TopicArn"] for one in cloud.client("sns").list_topics()["Topics"]],
        "subscriptions": [one["Endpoint"] for one in cloud.client("sns").list_subscriptions()["Subscriptions"]],
        "rules": [one["Name"] for one in cloud.client("events").list_rules()["Rules"]],
        "alarms": [one["AlarmName"] for one in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]],
    }
    return {kind: sorted(names) for kind, names in found.items() if names}


def test_nothing_goes_from_an_account_that_is_not_meant(cloud: Cloud, role: Role) -> None:
    role(run_now="never")
    before = left(cloud)
    cloud.forget_calls()
    gone = role(fails=True, state="absent", delete_images=True, account_id="210987654321")
    assert "account_id: is 210987654321" in " ".join(gone.output.split())
    assert changes(cloud) == []
    assert left(cloud) == before


# ------------------------------------------------------------------ refused

# What else is refused is a table in the unit tests.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no tags": ({"containers": {"redis": []}}, "containers.redis: has no tags: name at least one"),
    "lines for nothing": (
        {"build_commands": {"mongo:latest": ["RUN true"]}},
        "build_commands.mongo:latest: is no tag of containers",
    ),
    "a wrong line": ({"build_commands": {"redis:7.4": ["RUUN true"]}}, "build_commands.redis:7.4.dockerfile: "),
    "an illegal schedule": ({"schedule": "cron(0 9 * * * *)"}, "schedule: cron() needs a ? for one of"),
    "a token without a user": ({"docker_hub_access_token": TOKEN}, "docker_hub_username: is missing"),
    "a VPC without subnets": (
        {"vpc": {"id": "vpc-1", "security_groups": ["sg-1"]}},
        "vpc: needs id, subnets and security_groups",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_made(cloud: Cloud, role: Role, name: str) -> None:
    variables, message = REFUSED[name]
    cloud.forget_calls()
    refused = role(fails=True, **variables)
    assert message in " ".join(refused.output.split())
    assert changes(cloud) == []
