"""What the role codebuild_cloner makes, at work: its own project, role, buildspec and job in real builds."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from builds import Ended, Project, until
from ecr_api import policy, refused
from fargate_api import push_host_image

from loopback.client import Cloud, FullCloud
from running import PlaybookRun, run_playbook

Json = dict[str, Any]
ROLE = "stevedore.ecr.codebuild_cloner"
HUB = "registry-1.docker.io"
PROJECT = "ecs-clone-cloner"
LOGIN = {"docker_hub_username": "hubuser", "docker_hub_access_token": "hubtoken"}
PLATFORMS = ["linux/amd64", "linux/arm64"]
SEED_LINES = ["RUN mkdir /etc/vault", "RUN chmod 777 /etc/vault", 'VOLUME ["/etc/vault"]']
BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class Cloner:
    """The role, run from outside the cloud, and the builds of its project, which run inside."""

    cloud: FullCloud
    directory: Path

    def role(self, containers: Json, *, fails: bool = False, **variables: Any) -> PlaybookRun:
        given = {"containers": containers, "run_now": "never", **LOGIN, **variables}
        play = {
            "name": "Clone",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {f"codebuild_cloner_{name}": value for name, value in given.items()},
            "roles": [{"role": ROLE}],
        }
        run = run_playbook([play], directory=self.directory, environment=Cloud.environment(self.cloud), timeout=600)
        assert run.status == (2 if fails else 0), run.output
        return run

    @property
    def project(self) -> Project:
        return Project(self.cloud, PROJECT)

    def build(self, status: str = "SUCCEEDED") -> Ended:
        ended = self.project.build()
        assert ended.status == status, "\n".join([ended.contexts, *ended.log])
        return ended

    def publish(self, repository: str, *tags: str, **more: Any) -> list[str]:
        """Multi-arch images that can be run; their digests."""
        content = base64.b64encode(BUSYBOX.read_bytes()).decode()
        files = {f"bin/{name}": {"base64": content, "mode": 0o755} for name in ("busybox", "sh", "mkdir", "chmod")}
        how = {"platforms": PLATFORMS, "files": files, "entrypoint": ["/bin/busybox"], **more}
        return [self.cloud.publish(HUB, repository, tag, **how)["digest"] for tag in tags]

    def digests(self, repository: str) -> dict[str, str]:
        """Of what is in Amazon ECR, by tag."""
        found = self.cloud.client("ecr").describe_images(repositoryName=f"ecsclone/{repository}")["imageDetails"]
        return {tag: image["imageDigest"] for image in found for tag in image.get("imageTags", [])}

    def manifest(self, repository: str, tag: str) -> Json:
        answer = self.cloud.client("ecr").batch_get_image(
            repositoryName=f"ecsclone/{repository}", imageIds=[{"imageTag": tag}]
        )
        found: Json = json.loads(answer["images"][0]["imageManifest"])
        return found

    def pulls(self) -> list[str]:
        """What Docker Hub counts, since it was last forgotten."""
        return [
            call["path"]
            for call in self.cloud.calls()
            if call["host"] == HUB and call["method"] == "GET" and "/manifests/" in call["path"]
        ]

    def results(self) -> list[str]:
        found = self.cloud.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=f"{PROJECT}/runs/")
        return [entry["Key"] for entry in found.get("Contents", [])]

    @property
    def bucket(self) -> str:
        return f"{PROJECT}-{self.cloud.account}-{self.cloud.region}"

    def forget_local_images(self) -> None:
        listed = self.cloud.docker("images", "--all", "--quiet", "--no-trunc", "--filter", "reference=*/*/*").stdout
        for identity in sorted(set(listed.split())):
            self.cloud.docker("rmi", "--force", identity)

    def log_in(self) -> str:
        """Docker, to Amazon ECR; what names of images begin with there."""
        host = self.cloud.registry.removeprefix("https://")
        token = self.cloud.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        self.docker(
            *("login", "--username", "AWS", "--password-stdin", host), stdin=base64.b64decode(token).decode()[4:]
        )
        return f"{host}/ecsclone"

    def volumes(self, image: str, platform: str) -> Json:
        name = f"{self.log_in()}/{image}"
        self.docker("pull", "--platform", platform, name)
        found: Json = json.loads(self.docker("inspect", "--format", "{{json .Config.Volumes}}", name))
        self.docker("rmi", name)
        return found

    def mode(self, image: str, path: str) -> str:
        """The permissions of a path in a container of the image, on the platform of this machine."""
        name = f"{self.log_in()}/{image}"
        found = self.docker("run", "--rm", "--network", "none", name, "stat", "-c", "%a", path).strip()
        self.docker("rmi", name)
        return found

    def docker(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.cloud.docker(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def cloner(full: FullCloud, tmp_path: Path) -> Iterator[Cloner]:
    full.knobs(host_image__venv=sys.prefix)
    found = Cloner(full, tmp_path)
    yield found
    found.forget_local_images()


# ------------------------------------------------------------------ what a build does


def test_from_the_first_build_to_a_moved_tag(cloner: Cloner) -> None:
    (redis,) = cloner.publish("library/redis", "7.4")
    cloner.publish("hashicorp/vault", "1.14", "1.13.3")
    run = cloner.role(
        {"redis": ["7.4"], "hashicorp/vault": ["1.14", "1.13.3"]},
        build_commands={"hashicorp/vault:1.14": SEED_LINES, "hashicorp/vault:1.13.3": ['VOLUME ["/etc/vault"]']},
        run_now="on_change",
        wait=True,
    )
    # Its log is in the play's output.
    assert "copied: docker.io/library/redis:7.4 -> " in run.output
    assert "All 3 images can be pulled from your own ECR." in run.output
    assert cloner.digests("redis") == {"7.4": redis}
    # What needs no engine is made for all platforms, and what needs one for that of the build.
    built = cloner.manifest("hashicorp/vault", "1.13.3")
    assert [child["platform"]["architecture"] for child in built["manifests"]] == ["amd64", "arm64"]
    for image, platform in (("1.14", PLATFORMS[0]), ("1.13.3", PLATFORMS[0]), ("1.13.3", PLATFORMS[1])):
        assert cloner.volumes(f"hashicorp/vault:{image}", platform) == {"/etc/vault": {}}
    assert cloner.mode("hashicorp/vault:1.14", "/etc/vault") == "777"
    assert {Path(key).name for key in cloner.results()} == {"journal.jsonl", "report.html", "report.md"}

    # The second build copies nothing, and costs no pull.
    before = {name: cloner.digests(name) for name in ("redis", "hashicorp/vault")}
    cloner.cloud.forget_calls()
    second = cloner.build()
    assert cloner.pulls() == []
    assert {name: cloner.digests(name) for name in before} == before
    assert len(cloner.results()) == 6
    figures = json.loads(next(line for line in second.log if line.startswith('{"_aws"')))
    assert {name: figures[name] for name in ("Job", "Copied", "UpToDate", "Failed", "BytesMoved")} == {
        "Job": PROJECT,
        "Copied": 0,
        "UpToDate": 3,
        "Failed": 0,
        "BytesMoved": 0,
    }
    assert figures["PullsLeft"] > 0
    metrics = cloner.cloud.client("cloudwatch").list_metrics(Namespace="stevedore")["Metrics"]
    assert {metric["MetricName"] for metric in metrics} >= {"Copied", "UpToDate", "Failed", "PullsLeft"}

    # A tag that has moved is refreshed, and it alone.
    (moved,) = cloner.publish("library/redis", "7.4", seed="moved")
    cloner.cloud.forget_calls()
    cloner.build()
    assert cloner.digests("redis") == {"7.4": moved}
    assert cloner.digests("hashicorp/vault") == before["hashicorp/vault"]
    assert {path.split("/manifests/")[0] for path in cloner.pulls()} == {"/v2/library/redis"}


def test_a_wrong_token_fails_the_build_in_the_registry_s_words(cloner: Cloner) -> None:
    cloner.publish("library/redis", "7.4")
    run = cloner.role(
        {"redis": ["7.4"]}, docker_hub_access_token="not-the-token", run_now="always", wait=True, fails=True
    )
    assert "incorrect username or password" in run.output
    assert "ended as FAILED: phase BUILD FAILED" in run.output
    assert "Log: https://" in run.output
    assert "not-the-token" not in run.output


def test_a_failure_is_told_and_stops_no_other_image(cloner: Cloner) -> None:
    cloud = cloner.cloud
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    queue = f"arn:aws:sqs:{cloud.region}:{cloud.account}:told"
    topic = sns.create_topic(Name="ops")["TopicArn"]
    services = [
        {
            "Effect": "Allow",
            "Principal": {"Service": f"{name}.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic,
        }
        for name in ("events", "cloudwatch")
    ]
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy(*services))
    to_queue = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Resource": queue}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy({**to_queue, "Action": "sqs:SendMessage"})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)

    def told() -> str:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return "\n".join(message["Body"] for message in messages)

    (redis,) = cloner.publish("library/redis", "7.4")
    cloner.role({"redis": ["7.4", "none"]}, notify=topic)
    # Nothing has succeeded here for long: that is the alarm.
    assert f"{PROJECT}-no-success" in until(told)

    ended = cloner.build("FAILED")
    assert cloner.digests("redis") == {"7.4": redis}
    log = "\n".join(ended.log)
    assert "failed: docker.io/library/redis:none -> " in log
    assert "1 of 2 images can be pulled from your own ECR as they should be." in log
    assert len(cloner.results()) == 3
    event = until(told)
    assert "FAILED" in event
    assert PROJECT in event


def test_an_image_a_network_a_secret_and_a_key_of_our_own(cloner: Cloner, table: Table) -> None:
    (redis,) = cloner.publish("library/redis", "7.4")
    client = cloner.cloud.client
    secret = client("secretsmanager").create_secret(
        Name="ecr-pullthroughcache/docker-hub",
        SecretString=json.dumps({"username": "hubuser", "accessToken": "hubtoken"}),
    )["ARN"]
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    (subnet, *_others) = client("ec2").describe_subnets()["Subnets"]
    cloner.role(
        {"redis": ["7.4"]},
        image=push_host_image(cloner.cloud),
        vpc={"id": subnet["VpcId"], "subnets": [subnet["SubnetId"]], "security_groups": ["sg-1"]},
        docker_hub_username="",
        docker_hub_access_token="",
        docker_hub_secret_arn=secret,
        kms_key_arn=key,
    )
    ended = cloner.build()
    assert cloner.digests("redis") == {"7.4": redis}
    assert not [line for line in ended.log if "pip" in line]
    objects = [f"{PROJECT}/job.zip", *cloner.results()]
    assert len(objects) == 4
    assert {client("s3").head_object(Bucket=cloner.bucket, Key=name)["SSEKMSKeyId"] for name in objects} == {key}
    # What these take is needed, too. The cloud does not ask for permission to use keys.
    for sid, action, allowed in without_one(statements(cloner, "build")):
        if sid in ("Token", "Image", "Network", "NetworkOfBuilds"):
            allow_builds(cloner, allowed)
            less = cloner.project.build()
            table.line(f"{action} ({sid})", less.status, less.contexts)
            assert less.status == "FAILED", action


# ------------------------------------------------------------------ starts


def test_the_schedule_starts_one_build_of_this_project(cloner: Cloner) -> None:
    (redis,) = cloner.publish("library/redis", "7.4")
    cloud, codebuild, sqs = cloner.cloud, cloner.project.codebuild, cloner.cloud.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    cloner.role(
        {"redis": ["7.4"]},
        schedule=f"at({moment:%Y-%m-%dT%H:%M:%S})",
        dead_letter_queue_arn=f"arn:aws:sqs:{cloud.region}:{cloud.account}:dead",
    )
    assert codebuild.list_builds()["ids"] == []
    cloud.advance(601)
    (started,) = until(lambda: codebuild.list_builds()["ids"])
    with refused("AccountLimitExceededException"):
        codebuild.start_build(projectName=PROJECT)

    # What the schedule's role may do is that, and nothing else.
    other = Project(cloud, "other").make("version: 0.2\nphases: {build: {commands: ['true']}}")
    as_schedule = cloud.client("codebuild", credentials=cloud.role("starter", statements(cloner, "schedule")))
    with refused("AccountLimitExceededException"):
        as_schedule.start_build(projectName=PROJECT)
    with refused("AccessDeniedException", "codebuild:StartBuild"):
        as_schedule.start_build(projectName=other.name)
    with refused("AccessDeniedException", "codebuild:StopBuild"):
        as_schedule.stop_build(id=started)

    assert cloner.project.follow(started).status == "SUCCEEDED"
    assert codebuild.list_builds()["ids"] == [started]
    assert cloner.digests("redis") == {"7.4": redis}

    # A build that cannot be started is told of.
    codebuild.delete_project(name=PROJECT)
    assert "error" in cloud.fire(schedule=PROJECT)
    (message,) = until(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))
    assert PROJECT in message["Body"]


def test_a_batch_of_four_shards_covers_the_list_once(cloner: Cloner) -> None:
    names = [f"team/app{number}" for number in range(9)]
    digests = {name: cloner.publish(name, "1", files={})[0] for name in names}
    cloner.cloud.forget_calls()
    run = cloner.role({name: ["1"] for name in names}, fan_out=4, run_now="always", wait=True)
    lines = [line for line in run.output.splitlines() if "copied: docker.io/" in line]
    assert sorted(name for name in names for line in lines if f"/{name}:1 ->" in line) == names, run.output
    assert len({line.split(":")[0] for line in lines}) > 1
    assert {name: cloner.digests(name)["1"] for name in names} == digests
    written = [
        call for call in cloner.cloud.calls() if call["method"] == "PUT" and call["path"].endswith("/manifests/1")
    ]
    assert len(written) == len(names)


# ------------------------------------------------------------------ least privilege


def test_every_permission_of_a_build_is_needed(cloner: Cloner, table: Table) -> None:
    # One layer is in both, and Amazon ECR may mount it.
    cloner.cloud.client("ecr").put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    cloner.publish("library/redis", "7.4")
    cloner.publish("hashicorp/vault", "1.14", "1.13.3", seed="other")
    cloner.role(
        {"redis": ["7.4"], "hashicorp/vault": ["1.14", "1.13.3"]},
        build_commands={"hashicorp/vault:1.14": SEED_LINES},
    )
    whole = statements(cloner, "build")

    def build_with(allowed: list[Json], what: str) -> tuple[str, int, list[str]]:
        """How it ended, the bytes that were moved, and the tags that there are then."""
        forget_copies(cloner)
        allow_builds(cloner, allowed)
        ended = cloner.project.build()
        moved = sum(json.loads(line)["BytesMoved"] for line in ended.log if line.startswith('{"_aws"'))
        tags = sorted([*cloner.digests("redis"), *cloner.digests("hashicorp/vault")])
        table.line(what, ended.status, f"{moved:,} bytes moved, tags {' '.join(tags)}")
        return ended.status, moved, tags

    usual = build_with(whole, "nothing")
    assert (usual[0], usual[2]) == ("SUCCEEDED", ["1.13.3", "1.14", "7.4"])
    ends = {action: build_with(allowed, action) for _sid, action, allowed in without_one(whole)}
    # Without these two, everything is cloned, but not as it should be.
    moved_again, left_behind = ends.pop("ecr:GetDownloadUrlForLayer"), ends.pop("ecr:BatchDeleteImage")
    assert moved_again[1] > usual[1]
    assert len(left_behind[2]) > len(usual[2])
    assert {action for action, (status, _moved, _tags) in ends.items() if status != "FAILED"} == set()


@dataclass(frozen=True)
class Table:
    """Builds with one permission less, shown as they end."""

    capsys: pytest.CaptureFixture[str]

    def line(self, without: str, status: str, more: str) -> None:
        with self.capsys.disabled():
            print(f"\nwithout {without:44} {status} {more[:80]}", end="", flush=True)


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str]) -> Table:
    return Table(capsys)


def statements(cloner: Cloner, purpose: str) -> list[Json]:
    """What the role made a policy of."""
    name = f"{PROJECT}-{purpose}-{cloner.cloud.region}"
    found = cloner.cloud.client("iam").get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]["Statement"]
    return list(found)


def without_one(whole: list[Json]) -> Iterator[tuple[str, str, list[Json]]]:
    """The Sid of a statement, an action of it, and all else that is allowed."""
    for index, statement in enumerate(whole):
        for action in statement["Action"]:
            less = deepcopy(whole)
            less[index]["Action"].remove(action)
            yield statement["Sid"], action, [one for one in less if one["Action"]]


def allow_builds(cloner: Cloner, allowed: list[Json]) -> None:
    name = f"{PROJECT}-build-{cloner.cloud.region}"
    cloner.cloud.client("iam").put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy(*allowed))


def forget_copies(cloner: Cloner) -> None:
    """As it was before the first build: layers too go with their repository."""
    cloner.forget_local_images()
    ecr = cloner.cloud.client("ecr")
    for repository in ("ecsclone/redis", "ecsclone/hashicorp/vault"):
        ecr.delete_repository(repositoryName=repository, force=True)
        ecr.create_repository(repositoryName=repository)
