"""A pull-sync that really runs: two accounts, the runner's own image, and IAM on both sides.

The role has made everything once, which takes most of the time; each test then has its own repositories here.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builds import until
from ecr_api import MANIFEST, policy, push_image
from fargate_api import log
from python_image import make_python_image

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.results import read_results
from loopback.client import Cloud, FullCloud
from running import PlaybookRun, run_playbook

Json = dict[str, Any]
SOURCE, SOURCE_REGION = "210987654321", "us-east-1"
HOST = f"{SOURCE}.dkr.ecr.{SOURCE_REGION}.amazonaws.com"
NAMESPACE = "example-ecr-sync"
BASE = "loopback/python:slim"
TESTS = Path(__file__).parents[2]
REQUIREMENTS = TESTS.parent / "roles" / "codebuild_cloner" / "files" / "requirements.txt"
RULE = {
    "priority": 1,
    "tag_status": "untagged",
    "count_type": "imageCountMoreThan",
    "count_number": 1,
    "action": "expire",
}
CONFIG = {
    "repos": [
        {"source": f"{HOST}/my-app/backend"},
        {"source": f"{HOST}/team-a/library", "destination": "team-b/library", "tags": ["v?.?.?"]},
    ],
    "repo_defaults": {"lifecycle_rules": [RULE]},
}
THERE = {"my-app/backend": ["latest", "v1.0"], "team-a/library": ["v1.2.3", "v1.2.34"]}
HERE = ("my-app/backend", "team-b/library")

READING = ("BatchGetImage", "GetDownloadUrlForLayer", "ListImages")
# By the statements of the role's policy. For s3:ListBucket see test_job_claim.
OF_THE_TASK = {
    "Login": ["ecr:GetAuthorizationToken"],
    "Pull": [f"ecr:{action}" for action in READING],
    "Push": [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeRepositories",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ],
    "Create": ["ecr:CreateRepository", "ecr:TagResource", "ecr:PutLifecyclePolicy"],
    "Prune": ["ecr:BatchDeleteImage", "ecr:DescribeImages"],
    "Job": ["s3:GetObject"],
    "Lock": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
    "Look": ["s3:ListBucket"],
    "Results": ["s3:PutObject"],
}
# Layers here are read again only to put lines of a Dockerfile on top of them.
UNUSED = [("Look", "s3:ListBucket"), ("Push", "ecr:GetDownloadUrlForLayer")]
TASK_CASES = [
    (sid, action) for sid, actions in OF_THE_TASK.items() for action in actions if (sid, action) not in UNUSED
]


@dataclass
class Sync:
    """The role, and what it has made, run and looked at."""

    cloud: FullCloud
    directory: Path
    # What the role was given last, and what came of it: a run that changes nothing takes its time too.
    given: Json = field(default_factory=dict)
    made: Json = field(default_factory=dict)
    allowed: list[Json] = field(default_factory=list)

    def play(self, variables: Json, *, account: str | None = None, **include: Any) -> PlaybookRun:
        region = {"AWS_REGION": SOURCE_REGION} if account else {}
        environment = {
            **Cloud.environment(self.cloud, account=account),
            **region,
            "DOCKER_HOST": f"unix://{self.cloud.directory}/docker.sock",
        }
        told = str(self.directory / "result.json")
        tell = {"content": "{{ pull_sync_result | default({}) | to_json }}", "dest": told, "mode": "0600"}
        role = {"ansible.builtin.include_role": {"name": "stevedore.ecr.pull_sync", **include}}
        named = {f"pull_sync_{name}": value for name, value in variables.items()}
        tasks = [role, *([] if account else [{"ansible.builtin.copy": tell}])]
        play = {"name": "Sync", "hosts": "localhost", "gather_facts": False, "vars": named, "tasks": tasks}
        run = run_playbook([play], directory=self.directory, environment=environment)
        assert run.status == 0, run.output
        return run

    def make(self, **variables: Any) -> Json:
        given = {"namespace": NAMESPACE, "config": CONFIG, "schedule": "cron(0 9 ? * * *)", "runner_base": BASE}
        given |= {"task_memory": 1024, "prune": "delete", "tags": {"team": "platform"}, **variables}
        if given != self.given:
            self.play(given)
            self.given, self.made = given, json.loads((self.directory / "result.json").read_text())
        return self.made

    def allow(self) -> None:
        """As the account that the images come from."""
        policies = self.made["source_policies"]
        if policies != self.allowed:
            self.play({"source_policies": policies}, account=SOURCE, tasks_from="source_policy")
            self.allowed = policies

    def forbid(self) -> None:
        for repository in THERE:
            with contextlib.suppress(self.source.exceptions.RepositoryPolicyNotFoundException):
                self.source.delete_repository_policy(repositoryName=repository)
        self.allowed = []

    def fire(self) -> tuple[int, str]:
        """Let the schedule start a task, and wait for its end: its exit code, and what it has said."""
        known = set(self.tasks())
        answer = self.cloud.fire(schedule=NAMESPACE)
        assert "answer" in answer, answer
        (arn,) = until(lambda: set(self.tasks()) - known)
        ecs = self.cloud.client("ecs")

        def ended() -> Any:
            (task,) = ecs.describe_tasks(cluster=NAMESPACE, tasks=[arn])["tasks"]
            return task if task["lastStatus"] == "STOPPED" else None

        task = until(ended, patience=240)
        said = log(self.cloud, f"/{NAMESPACE}/ecr-pull-sync", f"sync/runner/{arn.rpartition('/')[2]}")
        return task["containers"][0].get("exitCode", -1), "\n".join([*said, task.get("stoppedReason", "")])

    def tasks(self) -> list[str]:
        ecs = self.cloud.client("ecs")
        return [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=NAMESPACE, desiredStatus=status)["taskArns"]
        ]

    def images(self, repository: str) -> dict[str, str]:
        found = self.cloud.client("ecr").list_images(repositoryName=repository)["imageIds"]
        return {one["imageTag"]: one["imageDigest"] for one in found if "imageTag" in one}

    def forget_images(self) -> None:
        ecr = self.cloud.client("ecr")
        for one in ecr.describe_repositories()["repositories"]:
            if one["repositoryName"] != f"{NAMESPACE}/runner":
                ecr.delete_repository(repositoryName=one["repositoryName"], force=True)

    @property
    def source(self) -> Any:
        return self.cloud.client("ecr", account=SOURCE, region=SOURCE_REGION)

    def statements(self, purpose: str) -> list[Json]:
        """What a role of ours may do."""
        iam, role = self.cloud.client("iam"), self.role(purpose)
        found = []
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            found += iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        return found

    def set_statements(self, purpose: str, statements: list[Json]) -> None:
        iam, role = self.cloud.client("iam"), self.role(purpose)
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy(*statements))

    def role(self, purpose: str) -> str:
        return f"{NAMESPACE}-{purpose}-{self.cloud.region}"


def without(statements: list[Json], sid: str, action: str) -> list[Json]:
    """The same, less one action."""
    found = []
    for one in statements:
        left = [other for other in one["Action"] if (one["Sid"], other) != (sid, action)]
        found += [{**one, "Action": left}] if left else []
    assert found != statements, f"{action} is no part of {sid}"
    return found


@dataclass(frozen=True)
class Scene:
    """What all tests have: a sync that was made once, and the digests at its source by repository and tag."""

    sync: Sync
    digests: dict[str, str]


@pytest.fixture(scope="module")
def scene(running_full_cloud: FullCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    cloud = running_full_cloud
    cloud.reset()
    make_python_image(cloud, BASE, REQUIREMENTS)
    sync = Sync(cloud, tmp_path_factory.mktemp("sync"))
    found = {}
    for repository, tags in THERE.items():
        sync.source.create_repository(repositoryName=repository)
        for tag in tags:
            found[f"{repository}:{tag}"] = push_image(sync.source, repository, [tag], seed=f"{repository}{tag}")
    yield Scene(sync, found)
    cloud.docker("rmi", "--force", BASE)


@pytest.fixture
def sync(scene: Scene) -> Sync:
    """With what the role makes of CONFIG."""
    scene.sync.forget_images()
    scene.sync.make()
    return scene.sync


# ------------------------------------------------------------------ the whole way


def test_the_schedule_syncs_across_accounts(sync: Sync, scene: Scene) -> None:
    sync.forbid()
    code, said = sync.fire()
    assert code != 0
    assert "ecr:BatchGetImage" in said or "ecr:ListImages" in said, said

    sync.allow()
    ecr = sync.cloud.client("ecr")
    ecr.create_repository(repositoryName="my-app/backend")
    push_image(ecr, "my-app/backend", ["nobody-asks-for-it"])
    code, said = sync.fire()
    assert code == 0, said
    digests = scene.digests
    assert sync.images("my-app/backend") == {tag: digests[f"my-app/backend:{tag}"] for tag in ("latest", "v1.0")}
    assert sync.images("team-b/library") == {"v1.2.3": digests["team-a/library:v1.2.3"]}

    sync.cloud.forget_calls()
    code, said = sync.fire()
    assert code == 0, said
    assert "All 3 images can be pulled from your own ECR." in said
    assert "copied: " not in said
    calls = sync.cloud.calls()
    assert not [call for call in calls if call["method"] in ("PUT", "POST", "PATCH") and call["path"][:4] == "/v2/"]
    assert not [call for call in calls if call["op"] == "CreateRepository"]


def test_a_run_leaves_the_work_to_one_that_is_at_it(sync: Sync) -> None:
    s3, lock = sync.cloud.client("s3"), {"Bucket": sync.made["bucket"], "Key": f"{NAMESPACE}/locks/0"}
    s3.put_object(**lock, Body=json.dumps({"owner": "the-other", "seconds": 600}).encode())
    sync.cloud.forget_calls()
    code, said = sync.fire()
    s3.delete_object(**lock)
    assert code == 0, said
    assert "Another run, the-other, is at work" in said
    assert not [call for call in sync.cloud.calls() if call["host"].startswith(SOURCE)]


def test_refresh_creates_nothing_and_one_trouble_stops_nothing_else(sync: Sync, scene: Scene) -> None:
    """A moved tag gets a new one beside it, what matches nothing is told and fails the run, and the rest is done."""
    ecr = sync.cloud.client("ecr")
    ecr.create_repository(repositoryName="my-app/backend", imageTagMutability="IMMUTABLE")
    older = push_image(ecr, "my-app/backend", ["latest"], seed="older")
    repos = [
        {**CONFIG["repos"][0], "on_moved_tag": "new_tag"},
        CONFIG["repos"][1],
        {**CONFIG["repos"][1], "destination": "none", "tags": ["nothing-*"], "require_match": True},
    ]
    sync.make(config={"mode": "refresh", "repos": repos}, prune=False)
    sync.allow()
    code, said = sync.fire()
    assert code != 0
    found = sync.images("my-app/backend")
    assert found.pop("latest") == older
    digests = scene.digests
    assert found.pop("v1.0") == digests["my-app/backend:v1.0"]
    assert set(found.values()) == {digests["my-app/backend:latest"]}, said
    names = {one["repositoryName"] for one in ecr.describe_repositories()["repositories"]}
    assert names == {f"{NAMESPACE}/runner", "my-app/backend"}
    assert "require_match is set" in said


def test_the_role_waits_for_a_run_and_sums_it_up(sync: Sync, scene: Scene) -> None:
    page = sync.directory / "sync.html"
    again = {**sync.given, "run_now": "always", "wait": True, "report_html": str(page)}
    sync.allow()
    run = sync.play(again)
    assert "All 3 images can be pulled from your own ECR." in run.output
    assert "All 3 images can be pulled from your own ECR." in page.read_text()
    told = json.loads((sync.directory / "result.json").read_text())
    assert told["verdict"] == "All 3 images can be pulled from your own ECR."
    assert {(one["repository"], one["tag"]) for one in told["images"]} == {
        ("my-app/backend", "latest"),
        ("my-app/backend", "v1.0"),
        ("team-b/library", "v1.2.3"),
    }


# ------------------------------------------------------------------ one action less


@pytest.fixture(scope="module")
def steps(scene: Scene) -> dict[tuple[str, str], str]:
    """By statement and action: what a run says without it. All in one process, for each would take seconds to start."""
    sync = scene.sync
    sync.forget_images()
    sync.make()
    whole = sync.statements("task")
    account = {"Sid": "All", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{sync.cloud.account}:root"}}
    reading = [f"ecr:{action}" for action in READING]
    cases = [("", "")] + TASK_CASES + [("Source", action) for action in reading]
    given = []
    for number, (sid, action) in enumerate(cases):
        ours = without(whole, sid, action) if sid and sid != "Source" else whole
        there = {**account, "Action": [one for one in reading if (sid, one) != ("Source", action)]}
        keys = sync.cloud.role(f"case-{number}", ours)
        environment = {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }
        given.append({"environment": environment, "source_policy": json.loads(policy(there))})
    order = {
        "cases": given,
        "bucket": sync.made["bucket"],
        "key": f"{NAMESPACE}/job.json",
        "lock": f"{NAMESPACE}/locks/0",
        "results": f"{NAMESPACE}/runs",
        "destinations": HERE,
        "sources": list(THERE),
        "account": SOURCE,
        "region": SOURCE_REGION,
    }
    paths = ":".join(str(TESTS / name) for name in ("support", "loopback"))
    done = sync.cloud.run(
        [sys.executable, str(TESTS / "support" / "sync_steps.py")],
        environment={"PYTHONPATH": paths},
        stdin=json.dumps(order),
    )
    assert done.returncode == 0, done.stderr
    # Runs that failed have not given it back.
    sync.cloud.client("s3").delete_object(Bucket=order["bucket"], Key=order["lock"])
    sync.forbid()
    return dict(zip(cases, json.loads(done.stdout), strict=True))


def test_with_all_of_them_nothing_fails(steps: dict[tuple[str, str], str]) -> None:
    assert steps["", ""] == ""


def test_the_table_has_all_that_the_task_may_do(scene: Scene, steps: dict[tuple[str, str], str]) -> None:
    assert {one["Sid"]: one["Action"] for one in scene.sync.statements("task")} == OF_THE_TASK


@pytest.mark.parametrize(("sid", "action"), [*TASK_CASES, *(("Source", f"ecr:{action}") for action in READING)])
def test_each_action_of_the_task_is_needed_and_named(steps: dict[tuple[str, str], str], sid: str, action: str) -> None:
    assert action in steps[sid, action]


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("Log", "logs:CreateLogStream"),
        ("Login", "ecr:GetAuthorizationToken"),
        ("Image", "ecr:BatchGetImage"),
        ("Image", "ecr:GetDownloadUrlForLayer"),
    ],
)
def test_each_action_of_the_execution_role_is_needed_and_named(sync: Sync, sid: str, action: str) -> None:
    whole = sync.statements("execution")
    sync.set_statements("execution", without(whole, sid, action))
    code, said = sync.fire()
    sync.set_statements("execution", whole)
    assert code == -1
    assert action in said


def test_without_leave_to_write_the_log_it_stays_empty(sync: Sync) -> None:
    whole = sync.statements("execution")
    sync.set_statements("execution", without(whole, "Log", "logs:PutLogEvents"))
    code, said = sync.fire()
    sync.set_statements("execution", whole)
    assert code != -1, said
    assert "TASK [" not in said


@pytest.mark.parametrize(("sid", "action"), [("Start", "ecs:RunTask"), ("Pass", "iam:PassRole")])
def test_each_action_of_the_schedule_is_needed_and_named(sync: Sync, sid: str, action: str) -> None:
    whole = sync.statements("schedule")
    sync.set_statements("schedule", without(whole, sid, action))
    answer = sync.cloud.fire(schedule=NAMESPACE)
    sync.set_statements("schedule", whole)
    assert action in str(answer["error"])


# ------------------------------------------------------------------ many at once

REPOSITORIES, TAGS, SHARDS = 40, 50, 8
VICTIM = 3


def test_an_array_covers_everything_once_and_goes_on_after_one_was_killed(sync: Sync) -> None:
    wanted = {(f"many/{number:02}", f"v{tag}") for number in range(REPOSITORIES) for tag in range(TAGS)}
    for number in range(REPOSITORIES):
        publish_many(sync.source, f"many/{number:02}")
    repos = [{"source": f"{HOST}/many/{number:02}"} for number in range(REPOSITORIES)]
    made = sync.make(engine="batch", shards=SHARDS, put_image_rate=4000, config={"repos": repos}, prune=False)
    assert sync.cloud.client("ecs").describe_clusters(clusters=[NAMESPACE])["clusters"][0]["status"] == "INACTIVE"
    sync.allow()

    whole = sync.statements("schedule")
    # It is the only one, and a policy without any is none.
    another = {"Sid": "Look", "Effect": "Allow", "Action": ["batch:DescribeJobs"], "Resource": ["*"]}
    sync.set_statements("schedule", [another, *without(whole, "Start", "batch:SubmitJob")])
    refused = sync.cloud.fire(schedule=NAMESPACE)
    sync.set_statements("schedule", whole)
    assert "batch:SubmitJob" in str(refused["error"])

    batch = sync.cloud.client("batch")
    job = sync.cloud.fire(schedule=NAMESPACE)["answer"]["jobId"]
    sync.cloud.docker("kill", until(lambda: container_of(sync.cloud, VICTIM), patience=120))

    def ended() -> Any:
        (found,) = batch.describe_jobs(jobs=[job])["jobs"]
        return found if found["status"] in ("SUCCEEDED", "FAILED") else None

    array = until(ended, patience=280)
    children = batch.describe_jobs(jobs=[f"{job}:{index}" for index in range(SHARDS)])["jobs"]
    said = "\n".join(line for one in children for line in log_of(sync.cloud, one))
    assert array["status"] == "SUCCEEDED", said
    assert [len(child["attempts"]) for child in children] == [2 if index == VICTIM else 1 for index in range(SHARDS)]
    assert {(name, tag) for name in sync_names(sync) for tag in sync.images(name)} == wanted

    found = read_results(sync.cloud.client("s3"), made["bucket"], f"{NAMESPACE}/runs/{job}/")
    assert (found["journals"], found["unfinished"]) == (SHARDS, 0)
    reported = Counter((image["repository"], image["tag"]) for image in found["images"])
    assert reported == Counter(dict.fromkeys(wanted, 1))


def publish_many(ecr: Any, repository: str) -> None:
    """One image under many tags."""
    ecr.create_repository(repositoryName=repository)
    digest = push_image(ecr, repository, ["v0"], seed=repository)
    (image,) = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    for tag in range(1, TAGS):
        ecr.put_image(
            repositoryName=repository,
            imageManifest=image["imageManifest"],
            imageManifestMediaType=MANIFEST,
            imageTag=f"v{tag}",
        )


def sync_names(sync: Sync) -> list[str]:
    found = sync.cloud.client("ecr").describe_repositories(maxResults=1000)["repositories"]
    return sorted(one["repositoryName"] for one in found if one["repositoryName"].startswith("many/"))


def container_of(cloud: FullCloud, index: int) -> str:
    """The container of one child of an array, once it runs."""
    running = cloud.docker("ps", "--quiet").stdout.split()
    for identity in running:
        variables = json.loads(cloud.docker("inspect", "--format", "{{json .Config.Env}}", identity).stdout or "[]")
        if f"AWS_BATCH_JOB_ARRAY_INDEX={index}" in variables:
            return identity
    return ""


def log_of(cloud: FullCloud, job: Json) -> list[str]:
    return log(cloud, f"/{NAMESPACE}/ecr-pull-sync", job["container"]["logStreamName"])
