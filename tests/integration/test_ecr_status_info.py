"""The module ecr_status_info and the playbook status.yml against the loopback cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ecr_api import allow, push_image

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun

MODULE = "ecr_status_info"
HUB, QUAY = "registry-1.docker.io", "quay.io"
SECRET = "ecr-pullthroughcache/docker-hub"
GOOD = {"username": "hubuser", "accessToken": "hubtoken"}
# What changes something. All else is to begin with one of these.
READING = ("Get", "List", "Describe", "Batch", "Validate")
JOB = {"way": "clone", "name": "ecs-clone-cloner", "kind": "codebuild_build"}
# The permissions as the module documents them, for the parts that a healthy site has, and what they are about.
PERMISSIONS = {
    "ecr:DescribeRepositories": "cached repositories",
    "ecr:DescribeImages": "images",
    "ecr:GetLifecyclePolicy": "lifecycle policies",
    "ecr:DescribePullThroughCacheRules": "rules",
    "ecr:ValidatePullThroughCacheRule": "rules",
    "secretsmanager:DescribeSecret": "rules",
    "secretsmanager:BatchGetSecretValue": "rules",
    "secretsmanager:GetSecretValue": "rules",
    "scheduler:GetSchedule": "schedules",
    "codebuild:ListBuildsForProject": "runs",
    "codebuild:BatchGetBuilds": "runs",
}
SERVICES = ["codebuild.amazonaws.com", "scheduler.amazonaws.com"]
# It is not to start anything while the calls are looked at.
NEVER = "cron(0 0 1 1 ? 2199)"
INDISPENSABLE = "ecr:GetAuthorizationToken"


@dataclass(frozen=True)
class Scene:
    """A cache of Docker Hub and one of Quay, two copies and a job, all well."""

    cloud: Cloud
    module: Callable[..., ModuleResult]

    def ask(self, credentials: dict[str, str] | None = None, **more: Any) -> ModuleResult:
        options = {**self.questions(), **more}
        result = self.module(MODULE, options, credentials=credentials)
        assert not result.failed, result.msg
        assert not result.changed
        return result

    def questions(self) -> dict[str, Any]:
        return {
            "images": [
                {"way": "cache", "source": "nginx:1.27", "repository": "docker-hub/library/nginx"},
                {"way": "cache", "source": "quay.io/later/on:1", "repository": "quay/later/on"},
                {"way": "mirror", "source": "redis", "tags": ["7", "8"], "repository": "copies/redis"},
            ],
            "registries": self.registries(),
            "rules": [
                {"prefix": "docker-hub", "upstream_url": HUB, "secret": SECRET},
                {"prefix": "quay", "upstream_url": QUAY},
            ],
            "jobs": [JOB],
        }

    def registries(self) -> list[dict[str, Any]]:
        hub, quay = self.cloud.upstreams[HUB], self.cloud.upstreams[QUAY]
        return [{"host": "docker.io", "endpoint": hub}, {"host": QUAY, "endpoint": quay}]

    def client(self, service: str) -> Any:
        return self.cloud.client(service)


@pytest.fixture
def scene(cloud: Cloud, module: Callable[..., ModuleResult]) -> Scene:
    for host, repository, tags in (
        (HUB, "library/nginx", ["1.27"]),
        (HUB, "library/redis", ["7", "8"]),
        (QUAY, "later/on", ["1"]),
    ):
        for tag in tags:
            cloud.publish(host, repository, tag, platforms=["linux/amd64", "linux/arm64"])
    ecr = cloud.client("ecr")
    secret = cloud.client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(GOOD))["ARN"]
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub", upstreamRegistryUrl=HUB, credentialArn=secret)
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl=QUAY)
    made = Scene(cloud, module)
    copies = [
        {"source": "nginx:1.27", "repository": "docker-hub/library/nginx"},
        {"source": "redis", "tags": ["7", "8"], "repository": "copies/redis"},
    ]
    lifecycle = [{"tag_status": "untagged", "count_type": "imageCountMoreThan", "count_number": 5}]
    done = module(
        "ecr_image_mirror",
        {
            "images": copies,
            "transport": "direct",
            "registries": made.registries(),
            "repository_defaults": {"lifecycle_rules": [{"priority": 1, "action": "expire", **lifecycle[0]}]},
        },
    )
    assert not done.failed, done.msg
    cloud.knobs(codebuild__light="SUCCEEDED")
    make_job(cloud)
    cloud.forget_calls()
    return made


def make_job(cloud: Cloud) -> None:
    name = JOB["name"]
    arn = "arn:aws:iam::123456789012:role/any"
    trust = {"Effect": "Allow", "Principal": {"Service": SERVICES}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    cloud.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=document)
    codebuild = cloud.client("codebuild")
    codebuild.create_project(
        name=name,
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases:\n  build:\n    commands:\n      - 'true'\n"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=arn,
        # Its calls would be among those that are counted.
        logsConfig={"cloudWatchLogs": {"status": "DISABLED"}},
    )
    codebuild.start_build(projectName=name)
    set_schedule(cloud, "create")


def set_schedule(cloud: Cloud, how: str, **more: Any) -> None:
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:codebuild:startBuild",
        "RoleArn": "arn:aws:iam::123456789012:role/any",
    }
    getattr(cloud.client("scheduler"), f"{how}_schedule")(
        Name=JOB["name"],
        ScheduleExpression=NEVER,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={**target, "Input": json.dumps({"ProjectName": JOB["name"]})},
        **more,
    )


def kinds(result: ModuleResult) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in result["findings"]:
        found.setdefault(one["kind"], []).append(one["subject"])
    return found


def states(result: ModuleResult) -> dict[str, str]:
    return {image["source"]: image["state"] for image in result["images"]}


# ------------------------------------------------------------------ all is well


def test_a_healthy_site(scene: Scene) -> None:
    result = scene.ask()
    assert kinds(result) == {}, result["findings"]
    assert (result["failure"], result["unknown"], result["unused"]) == ("", [], [])
    assert result["verdict"] == "All of 4 images can be pulled, and nothing is to be done."
    assert states(result) == {
        "docker.io/library/nginx:1.27": "current",
        "docker.io/library/redis:7": "current",
        "docker.io/library/redis:8": "current",
        "quay.io/later/on:1": "on demand",
    }
    assert all(image["digest"] == image["source_digest"] for image in result["images"] if image["digest"])
    assert {rule["prefix"]: rule["state"] for rule in result["rules"]} == {"docker-hub": "valid", "quay": "valid"}
    [job] = result["jobs"]
    assert (job["schedule"], job["schedule_state"]) == (NEVER, "ENABLED")
    assert (job["last_run"]["status"], job["last_run"]["succeeded"]) == ("SUCCEEDED", True)
    assert [one["name"] for one in result["repositories"]] == ["docker-hub/library/nginx"]
    assert scene.ask()["findings"] == result["findings"]


def test_nothing_is_written_and_no_pull_is_counted(scene: Scene) -> None:
    def left() -> int:
        asked = scene.module("registry_rate_limit_info", {"registry_url": scene.cloud.upstreams[HUB]})
        return int(asked["remaining"])

    before = left()
    scene.cloud.forget_calls()
    result = scene.ask()
    calls = scene.cloud.calls()
    assert [call["op"] for call in calls if call["op"] and not call["op"].startswith(READING)] == []
    # A look at a manifest in Amazon ECR would count as a pull, and hide that nobody pulls it.
    assert "BatchGetImage" not in scene.cloud.operations()
    manifests = [call for call in calls if "/manifests/" in call["path"]]
    assert {call["method"] for call in manifests} == {"HEAD"}
    # The first ones are told to log in, and are asked again.
    assert len([call for call in manifests if call["status"] == 200]) == len(result["images"])
    assert not [call for call in calls if "/blobs/" in call["path"]]
    assert left() == before
    assert all(image["last_pulled_at"] is None for image in result["images"])


def test_calls_do_not_grow_with_the_images(scene: Scene) -> None:
    tags = [f"t{number}" for number in range(60)]
    for tag in tags:
        push_image(scene.client("ecr"), "copies/redis", [tag])
    scene.cloud.forget_calls()
    images = [{"way": "mirror", "source": "redis", "tags": tags, "repository": "copies/redis"}]
    result = scene.ask(images=images, rules=[], jobs=[])
    assert len(result["images"]) == 60
    assert len(scene.cloud.operations()) <= 4


# ------------------------------------------------------------------ what can be found


def delete_image(scene: Scene) -> None:
    scene.client("ecr").batch_delete_image(repositoryName="copies/redis", imageIds=[{"imageTag": "8"}])


def move_the_source(scene: Scene) -> None:
    scene.cloud.publish(HUB, "library/redis", "8", platforms=["linux/amd64"], seed="new")


def delete_rule(scene: Scene) -> None:
    scene.client("ecr").delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")


def other_rule(scene: Scene) -> None:
    delete_rule(scene)
    scene.client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="quay", upstreamRegistryUrl="registry.k8s.io"
    )


def secret(value: Any) -> Callable[[Scene], None]:
    def put(scene: Scene) -> None:
        text = json.dumps(value)
        scene.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=text)

    return put


def delete_secret(scene: Scene) -> None:
    scene.client("secretsmanager").delete_secret(SecretId=SECRET)


def delete_lifecycle(scene: Scene) -> None:
    scene.client("ecr").delete_lifecycle_policy(repositoryName="docker-hub/library/nginx")


def fail_a_build(scene: Scene) -> None:
    # The last one is the one that counts.
    scene.cloud.advance(60)
    scene.cloud.knobs(codebuild__light="FAILED")
    scene.client("codebuild").start_build(projectName=JOB["name"])


def delete_schedule(scene: Scene) -> None:
    scene.client("scheduler").delete_schedule(Name=JOB["name"])


def disable_schedule(scene: Scene) -> None:
    set_schedule(scene.cloud, "update", State="DISABLED")


@pytest.mark.parametrize(
    ("damage", "expected", "says"),
    [
        (delete_image, {"image_missing": ["/copies/redis:8"]}, "run the playbook site.yml"),
        (move_the_source, {"image_stale": ["/copies/redis:8"]}, "the source has moved"),
        (delete_rule, {"rule_missing": ["quay"]}, "there is no such rule"),
        (other_rule, {"rule_invalid": ["quay"]}, "it leads to registry.k8s.io, and the file says quay.io"),
        (
            secret({"username": "FILL-ME", "accessToken": "FILL-ME"}),
            {"rule_invalid": ["docker-hub"], "login_refused": ["docker-hub"]},
            "still has FILL-ME in it",
        ),
        (secret({**GOOD, "accessToken": "old"}), {"rule_invalid": ["docker-hub"]}, HUB),
        (
            secret("no login"),
            {"rule_invalid": ["docker-hub"], "login_refused": ["docker-hub"]},
            "not a JSON object with username and accessToken",
        ),
        (delete_lifecycle, {"no_lifecycle": ["docker-hub/library/nginx"]}, "stays forever"),
        (fail_a_build, {"job_failed": [JOB["name"]]}, "is FAILED"),
        (delete_schedule, {"schedule_missing": [JOB["name"]]}, "nothing starts it"),
        (disable_schedule, {"schedule_disabled": [JOB["name"]]}, "the file says otherwise"),
    ],
)
def test_each_kind_of_damage_is_found(
    scene: Scene, damage: Callable[[Scene], None], expected: dict[str, list[str]], says: str
) -> None:
    damage(scene)
    result = scene.ask()
    found = kinds(result)
    host = result["registry"]
    assert {kind: [one.removeprefix(host) for one in subjects] for kind, subjects in found.items()} == expected
    assert says in " ".join(one["what"] for one in result["findings"])
    assert bool(result["failure"]) == any(one["breaks"] for one in result["findings"])
    for one in result["findings"]:
        assert any(one["subject"] in line and one["what"] in line for line in result["lines"])


def test_a_secret_that_is_about_to_go(scene: Scene) -> None:
    delete_secret(scene)
    assert kinds(scene.ask())["login_refused"] == ["docker-hub"]


def test_a_secret_with_a_name_that_amazon_ecr_may_not_read(scene: Scene) -> None:
    delete_rule(scene)
    rules = [{"prefix": "quay", "upstream_url": QUAY, "secret": "other/name"}]
    result = scene.ask(rules=rules)
    assert kinds(result) == {"rule_missing": ["quay"], "login_refused": ["quay"]}
    assert "its name must begin with ecr-pullthroughcache/" in result["findings"][1]["what"]


def test_a_source_that_is_gone_is_told_and_breaks_nothing(scene: Scene) -> None:
    push_image(scene.client("ecr"), "copies/redis", ["old"])
    images = [{"way": "mirror", "source": "redis:old", "repository": "copies/redis"}]
    result = scene.ask(images=images)
    assert kinds(result) == {"source_unreadable": ["docker.io/library/redis:old"]}
    assert (states(result), result["failure"]) == ({"docker.io/library/redis:old": "unknown"}, "")


def test_unused_images_and_their_use(scene: Scene) -> None:
    result = scene.ask(unused_days=0)
    host = result["registry"]
    names = ["copies/redis:7", "copies/redis:8", "docker-hub/library/nginx:1.27"]
    assert sorted(kinds(result)["image_unused"]) == [f"{host}/{name}" for name in names]
    assert result["failure"] == ""
    assert scene.ask(unused_days=0, fail_on=["image_unused"])["failure"] == "3 images are not used."
    # A year later by the clock of the cloud, so that it is used in the eyes of this host for a year.
    scene.cloud.advance(365 * 86400)
    scene.client("ecr").batch_get_image(repositoryName="copies/redis", imageIds=[{"imageTag": "8"}])
    assert f"{host}/copies/redis:8" not in kinds(scene.ask(unused_days=0))["image_unused"]


def test_a_copy_with_lines_of_its_own_is_told_by_its_record(scene: Scene) -> None:
    image = {"source": "redis:8", "repository": "copies/made", "platforms": ["linux/amd64"], "transport": "direct"}
    done = scene.module(
        "ecr_image_mirror", {"images": [image], "transport": "direct", "registries": scene.registries()}
    )
    assert not done.failed, done.msg
    asked = {**image, "way": "mirror"}
    assert list(states(scene.ask(images=[asked])).values()) == ["current"]
    assert list(states(scene.ask(images=[{**asked, "platforms": ["linux/arm64"]}])).values()) == ["stale"]


# ------------------------------------------------------------------ what may not be known


def test_documented_permissions_suffice(scene: Scene) -> None:
    role = scene.cloud.role("reader", [allow(INDISPENSABLE, *PERMISSIONS)])
    result = scene.ask(role)
    assert (result["findings"], result["unknown"]) == ([], [])


@pytest.mark.parametrize("missing", PERMISSIONS)
def test_without_a_permission_all_else_is_told(scene: Scene, missing: str) -> None:
    delete_image(scene)
    others = [action for action in PERMISSIONS if action != missing]
    result = scene.ask(scene.cloud.role("reader", [allow(INDISPENSABLE, *others)]))
    told = [one["part"] for one in result["unknown"] if missing in one["why"]]
    assert PERMISSIONS[missing] in told, result["unknown"]
    assert "unknown" in kinds(result)
    seen = {"image_missing": ["ecr:DescribeRepositories", "ecr:DescribeImages"]}
    assert ("image_missing" in kinds(result)) == (missing not in seen["image_missing"])


def test_without_the_registry_there_is_nothing(scene: Scene) -> None:
    result = scene.module(MODULE, scene.questions(), credentials=scene.cloud.role("nobody", [allow(*PERMISSIONS)]))
    assert result.failed
    assert INDISPENSABLE in result.msg


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"images": [{"way": "cache", "source": "quay.io/a:1"}, {"way": "mirror"}]}, "images[1].source"),
        ({"unused_days": -1}, "unused_days: must be at least 0"),
        ({"registries": [{"host": "a b"}]}, "registries[0].host"),
    ],
)
def test_bad_options_ask_nobody(cloud: Cloud, module: Callable[..., ModuleResult], options: Any, says: str) -> None:
    cloud.forget_calls()
    result = module(MODULE, options)
    assert result.failed
    assert says in result.msg
    assert cloud.operations() == []


# ------------------------------------------------------------------ as a user runs it


def test_the_playbook_tells_writes_and_fails(
    scene: Scene, playbook: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    login = {"username": GOOD["username"], "access_token": GOOD["accessToken"]}
    document = {
        "upstreams": {"docker-hub": login, "quay": None},
        "images": [
            "nginx:1.27",
            "quay.io/later/on:1",
            {"source": "redis", "tags": ["7", "8"], "repository": "copies/redis", "via": "mirror"},
            # Twice, which is as good as once.
            {"source": "redis:7", "repository": "copies/redis", "via": "mirror"},
            "nginx:1.27",
        ],
    }
    file, page, data = tmp_path / "site.yml", tmp_path / "status.html", tmp_path / "status.json"
    file.write_text(yaml.safe_dump(document))
    told = {
        "stevedore_file": str(file),
        "image_mirror_registries": scene.registries(),
        # From where Ansible is started, and not from where the playbook is.
        "status_html": page.name,
        "status_json": f"./{data.name}",
    }
    options = ("-e", json.dumps(told))
    run = playbook("stevedore.ecr.status", *options)
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0
    assert "All of 4 images can be pulled, and nothing is to be done." in run.output
    assert "[WARNING]" not in run.output
    assert GOOD["accessToken"] not in run.output + page.read_text() + data.read_text()
    first = data.read_text()

    again = playbook("stevedore.ecr.status", *options, "--check", "--diff")
    assert (again.status, data.read_text()) == (0, first), again.output

    delete_image(scene)
    delete_lifecycle(scene)
    broken = playbook("stevedore.ecr.status", *options)
    assert broken.status == 2, broken.output
    assert '"1 image is missing."' in broken.output
    found = json.loads(data.read_text())
    assert [one["kind"] for one in found["findings"]] == ["image_missing", "no_lifecycle"]
    assert list(found) == sorted(found)
    assert "1 image is missing." in page.read_text()

    lenient = playbook("stevedore.ecr.status", *options, "-e", json.dumps({"status_fail_on": ["job_failed"]}))
    assert lenient.status == 0, lenient.output
