"""The role pull_sync against the loopback cloud, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builds import until

from loopback.client import Cloud
from running import PlaybookRun

Json = dict[str, Any]
ROLE = "stevedore.ecr.pull_sync"
SOURCE = "111122223333"
HOST = f"{SOURCE}.dkr.ecr.us-east-1.amazonaws.com"
NAMESPACE = "example-ecr-sync"
CONFIG = {"repos": [{"source": f"{HOST}/my-app", "tags": ["v1.*", "latest"]}]}
RUNNER = "111122223333.dkr.ecr.us-east-1.amazonaws.com/runner"


@dataclass(frozen=True)
class RoleRun:
    run: PlaybookRun
    result: dict[str, Any]

    @property
    def changed(self) -> int:
        return self.run.recap["changed"]


@dataclass(frozen=True)
class Sync:
    """The role, with one set of variables after another."""

    playbook: Callable[..., PlaybookRun]
    directory: Path

    def __call__(self, *options: str, fails: bool = False, before: Json | None = None, **variables: Any) -> RoleRun:
        """`before` has the role done first, in the same play, with other variables."""
        told = self.directory / "result.json"
        told.unlink(missing_ok=True)
        tell = {"content": "{{ pull_sync_result | to_json }}", "dest": str(told), "mode": "0600"}
        given = {"namespace": NAMESPACE, "config": CONFIG, "task_image_uri": RUNNER, **variables}
        play = {
            "name": "Sync",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {f"pull_sync_{name}": value for name, value in given.items()},
            "roles": [
                *(
                    [{"role": ROLE, "vars": {f"pull_sync_{name}": one for name, one in before.items()}}]
                    if before
                    else []
                ),
                {"role": ROLE},
            ],
            # It is no part of what is counted.
            "post_tasks": [{"ansible.builtin.copy": tell, "check_mode": False, "diff": False, "changed_when": False}],
        }
        run = self.playbook([play], *options)
        assert run.status == (2 if fails else 0), run.output
        assert "[WARNING]" not in run.output, run.output
        assert "DEPRECATION" not in run.output, run.output
        return RoleRun(run, json.loads(told.read_text()) if told.exists() else {})


@pytest.fixture
def sync(playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Sync:
    return Sync(playbook, tmp_path)


def roles(cloud: Cloud) -> set[str]:
    names = {role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]}
    return {name for name in names if name.startswith(NAMESPACE)}


def schedule(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("scheduler").get_schedule(Name=NAMESPACE)
    return found


def job(cloud: Cloud) -> dict[str, Any]:
    bucket = f"{NAMESPACE}-{cloud.account}-{cloud.region}"
    text = cloud.client("s3").get_object(Bucket=bucket, Key=f"{NAMESPACE}/job.json")["Body"].read()
    found: dict[str, Any] = json.loads(text)
    return found


# ------------------------------------------------------------------ from nothing to a sync and back


@pytest.mark.parametrize("engine", ["fargate", "batch"])
def test_check_then_run_then_run_again_then_away(cloud: Cloud, sync: Sync, engine: str) -> None:
    wanted = {"engine": engine, "shards": 1 if engine == "fargate" else 8, "notify": "ops@example.com"}
    wanted["tags"] = {"team": "platform"}
    sync("--check", "--diff", **wanted)
    assert roles(cloud) == set()
    assert cloud.client("s3").list_buckets()["Buckets"] == []

    done = sync("--diff", **wanted)
    assert roles(cloud) == {f"{NAMESPACE}-{purpose}-{cloud.region}" for purpose in ("execution", "task", "schedule")}
    assert schedule(cloud)["ScheduleExpression"] == "rate(15 minutes)"
    assert done.result["cloudwatch_log_group_name"] == f"/{NAMESPACE}/ecr-pull-sync"
    host = cloud.registry.removeprefix("http://")
    assert done.result["addresses"] == {f"{HOST}/my-app": f"{host}/my-app"}
    assert len(job(cloud)["shards"]) == wanted["shards"]

    again = sync("--diff", **wanted)
    assert again.changed == 0, again.run.output
    assert again.result == done.result

    gone = sync(state="absent")
    assert gone.changed > 0
    assert roles(cloud) == set()
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []
    assert sync(state="absent").changed == 0


def test_a_run_at_work_does_not_keep_anything_from_going(cloud: Cloud, sync: Sync) -> None:
    cloud.knobs(tasks__light="RUNNING")
    sync(run_now="always", wait=False)
    sync(state="absent")
    ecs = cloud.client("ecs")
    assert [one["status"] for one in ecs.describe_clusters(clusters=[NAMESPACE])["clusters"]] == ["INACTIVE"]
    assert "StopTask" in cloud.operations()


def test_what_only_has_the_same_name_stays(cloud: Cloud, sync: Sync) -> None:
    sns, ecs = cloud.client("sns"), cloud.client("ecs")
    topic = sns.create_topic(Name=NAMESPACE)["TopicArn"]
    ecs.create_cluster(clusterName=NAMESPACE)
    wanted = {"engine": "batch", "notify": topic}
    sync(**wanted)
    assert sync("--check", **wanted).changed == 0
    sync(state="absent", notify=topic)
    assert [one["TopicArn"] for one in sns.list_topics()["Topics"]] == [topic]
    assert [one["status"] for one in ecs.describe_clusters(clusters=[NAMESPACE])["clusters"]] == ["ACTIVE"]


def test_a_bucket_of_one_s_own_stays_as_it_is(cloud: Cloud, sync: Sync) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_bucket_versioning(Bucket="ours", VersioningConfiguration={"Status": "Enabled"})
    s3.delete_public_access_block(Bucket="ours")
    who = {"AWS": f"arn:aws:iam::{SOURCE}:root"}
    allowed = {"Effect": "Allow", "Principal": who, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::ours/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    s3.put_bucket_policy(Bucket="ours", Policy=policy)
    s3.put_object(Bucket="ours", Key="payroll", Body=b"ours")

    sync(s3_bucket="ours")
    assert s3.get_bucket_policy(Bucket="ours")["Policy"] == policy
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="ours")
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchPublicAccessBlockConfiguration"):
        s3.get_public_access_block(Bucket="ours")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="ours")["Contents"]] == [f"{NAMESPACE}/job.json", "payroll"]

    sync(s3_bucket="ours", state="absent")
    assert [one["Key"] for one in s3.list_object_versions(Bucket="ours")["Versions"]] == ["payroll"]
    assert s3.get_bucket_policy(Bucket="ours")["Policy"] == policy
    assert sync(s3_bucket="ours", state="absent").changed == 0


# ------------------------------------------------------------------ what a run has done


def journal() -> bytes:
    image = {
        "source": "a:1",
        "destination": "b:1",
        "repository": "b",
        "tag": "1",
        "digest": "sha256:1",
        "action": "copy",
    }
    events: list[tuple[str, Json]] = [("start", {}), ("image", image), ("end", {"totals": {}, "rate_limit": {}})]
    lines = [{"event": name, "time": "2026-03-01T09:00:00+00:00", "run": "r", **fields} for name, fields in events]
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


def test_a_part_that_left_its_work_to_another_run_is_missed(cloud: Cloud, sync: Sync) -> None:
    """Its lock was taken, so that it ended well and wrote nothing."""
    cloud.knobs(tasks__light="RUNNING")
    batch, s3 = cloud.client("batch"), cloud.client("s3")

    def runs() -> list[Json]:
        with suppress(batch.exceptions.ClientException):  # there is no queue yet
            return list(batch.list_jobs(jobQueue=NAMESPACE, jobStatus="PENDING")["jobSummaryList"])
        return []

    def one_of_two_writes() -> None:
        try:
            (run,) = until(runs, patience=200)
            key = f"{NAMESPACE}/runs/{run['jobId']}/0/journal.jsonl"
            s3.put_object(Bucket=f"{NAMESPACE}-{cloud.account}-{cloud.region}", Key=key, Body=journal())
        finally:
            cloud.knobs(tasks__light=0)

    waiting = {"schedule_state": "DISABLED", "run_now": "always", "wait": True}
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(one_of_two_writes)
        done = sync(engine="batch", shards=2, **waiting)
        writing.result()
    said = "Parts of the run that have done nothing: 1 of 2. Their images are not here"
    assert said in " ".join(done.run.output.split())
    assert done.result["verdict"].startswith(f"The image can be pulled from your own ECR. {said}")
    assert [image["tag"] for image in done.result["images"]] == ["1"]


def test_what_a_run_has_done_is_not_said_of_another_call_of_the_role(cloud: Cloud, sync: Sync) -> None:
    cloud.knobs(tasks__light=0)
    done = sync(before={"run_now": "always", "wait": True}, run_now="never", schedule_state="DISABLED")
    assert "The run has done nothing itself" in done.run.output
    said = {name: done.result[name] for name in ("run_id", "run_status", "verdict", "images")}
    assert said == {"run_id": "", "run_status": "NOT_STARTED", "verdict": "", "images": []}


# ------------------------------------------------------------------ what is caught before anything is made


def test_a_private_network_without_endpoints_is_caught(cloud: Cloud, sync: Sync) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    config = {"repos": [{"source": f"{SOURCE}.dkr.ecr.{cloud.region}.amazonaws.com/my-app"}]}
    private = {"vpc_id": vpc, "subnet_ids": [subnet], "assign_public_ip": False, "config": config}

    def make_endpoint(service: str, kind: str) -> None:
        name = f"com.amazonaws.{cloud.region}.{service}"
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=name, VpcEndpointType=kind)

    for service in ("ecr.dkr", "logs", "s3"):
        make_endpoint(service, "Interface")
    said = sync(fails=True, **private).run.output
    assert f"{vpc} has no endpoint for ecr.api (Interface), s3 (Gateway)" in said
    assert roles(cloud) == set()

    make_endpoint("ecr.api", "Interface")
    make_endpoint("s3", "Gateway")
    sync(**private)
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [NAMESPACE]}])["SecurityGroups"]
    allowed = group["IpPermissionsEgress"]
    assert {block["CidrIp"] for rule in allowed for block in rule.get("IpRanges", [])} == {"10.7.0.0/16"}
    assert {one["PrefixListId"][:3] for rule in allowed for one in rule.get("PrefixListIds", [])} == {"pl-"}
    target = schedule(cloud)["Target"]["EcsParameters"]["NetworkConfiguration"]["awsvpcConfiguration"]
    assert target == {"Subnets": [subnet], "SecurityGroups": [group["GroupId"]], "AssignPublicIp": "DISABLED"}


def test_a_group_of_somebody_else_with_the_same_name_stays(cloud: Cloud, sync: Sync) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    theirs = ec2.create_security_group(GroupName=NAMESPACE, Description="theirs", VpcId=vpc)["GroupId"]
    by_name = [{"Name": "group-name", "Values": [NAMESPACE]}]

    def groups() -> list[str]:
        return [one["GroupId"] for one in ec2.describe_security_groups(Filters=by_name)["SecurityGroups"]]

    sync()
    assert len(groups()) == 2
    sync(state="absent")
    assert groups() == [theirs]


def test_all_mistakes_are_told_before_anything_is_made(cloud: Cloud, sync: Sync) -> None:
    config = {"mode": "mirror", "repos": [{"source": "docker.io/nginx"}, {"source": f"{HOST}/xx", "tags": ["v[1]"]}]}
    said = sync(fails=True, config=config, schedule="hourly", task_cpu=300).run.output
    for problem in ("config.mode", "config.repos[0].source", "config.repos[1].tags[0]", "schedule:", "task_cpu:"):
        assert problem in said
    assert roles(cloud) == set()
    assert cloud.client("s3").list_buckets()["Buckets"] == []
