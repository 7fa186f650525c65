"""Each file of examples/ as a user runs it: a plan that makes nothing, a run, and a run that has nothing left to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback.client import Cloud
from running import PlaybookRun, run_playbook

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "hubtoken"
LOGIN = {"DOCKER_HUB_USERNAME": "hubuser", "DOCKER_HUB_TOKEN": TOKEN}
HUB_HOST = "registry-1.docker.io"
# What is in the registries that images come from.
PUBLISHED = {
    HUB_HOST: {
        "library/nginx": ["1.27"],
        "library/wordpress": ["php8.3-apache", "php7.4-apache"],
        "timberio/vector": ["0.45.0-alpine"],
    },
    "quay.io": {"prometheus/prometheus": ["v3.5.0"], "coreos/etcd": ["v3.4.9", "v3.5.1", "v3.5.2", "v3.6.0", "v3.6.4"]},
    "registry.k8s.io": {"pause": ["3.10"]},
    "public.ecr.aws": {"docker/library/busybox": ["1.37"]},
}
PLATFORMS = ["linux/amd64", "linux/arm64/v8"]
# What changes something, or would. BatchGet... and the like read.
READING = ("Get", "List", "Describe", "Batch", "Head", "Assume", "Lookup", "Validate")


# What is in the registry afterwards. What CodeBuild and Fargate copy is not: their runs are not emulated here.
EXISTING = {
    "small.yml": ["k8s/pause:3.10", "nginx:1.27", "quay/prometheus/prometheus:v3.5.0"],
    "full.yml": [
        "docker-hub/library/nginx:1.27",
        "ecr-public/docker/library/busybox:1.37",
        "mirror/control-plane/etcd:v3.5.2",
        "mirror/control-plane/etcd:v3.6.0",
        "mirror/control-plane/etcd:v3.6.4",
        "mirror/web/wordpress:base",
        "quay/prometheus/prometheus:v3.5.0",
    ],
    "from-ecr-mirror.yml": ["php_wordpress:base"],
    "from-ecr-pull-through-cache.yml": [],
    "from-ecr-pull-through.yml": ["dockerhub/timberio/vector:0.45.0-alpine"],
    "from-ecr-sync.yml": [],
    "from-ecs-dockerhub-clone.yml": [],
}
# Schedules of EventBridge Scheduler.
SCHEDULES = {
    "full.yml": {"acme-sync": "rate(1 hour)", "ecs-clone-cloner": "cron(0 3 ? * * *)"},
    "from-ecr-sync.yml": {"example-ecr-sync": "rate(15 minutes)"},
    "from-ecs-dockerhub-clone.yml": {"ecs-clone-cloner": "cron(0 9 ? * * *)"},
}


@dataclass(frozen=True)
class Account:
    """Where an example is run."""

    cloud: Cloud
    directory: Path

    def run(self, example: str, *options: str) -> PlaybookRun:
        hosts = {host.replace(HUB_HOST, "docker.io"): endpoint for host, endpoint in self.cloud.upstreams.items()}
        registries = [{"host": host, "endpoint": endpoint} for host, endpoint in hosts.items()]
        told: dict[str, Any] = {"stevedore_file": str(EXAMPLES / example), "image_mirror_registries": registries}
        # Without an engine here, none can be built.
        told |= {"pull_sync_task_image_uri": self.runner} if example == "from-ecr-sync.yml" else {}
        done = run_playbook(
            "stevedore.ecr.site",
            "-e",
            json.dumps(told),
            *options,
            directory=self.directory,
            environment={**self.cloud.environment(), **LOGIN},
            timeout=900,
        )
        assert done.status == 0, done.output
        assert "[WARNING]" not in done.output, done.output
        assert "DEPRECAT" not in done.output, done.output
        assert TOKEN not in done.output, done.output
        return done

    @property
    def runner(self) -> str:
        return f"{self.cloud.account}.dkr.ecr.{self.cloud.region}.amazonaws.com/runner"

    def host(self, region: str) -> str:
        """The registry, of which each region has its own."""
        answer = self.cloud.client("ecr", region=region).get_authorization_token()
        return str(answer["authorizationData"][0]["proxyEndpoint"]).removeprefix("http://")

    def images(self, region: str) -> list[str]:
        """Repositories with their tags."""
        ecr = self.cloud.client("ecr", region=region)
        names = [found["repositoryName"] for found in ecr.describe_repositories()["repositories"]]
        return sorted(
            f"{name}:{tag}"
            for name in names
            for image in ecr.describe_images(repositoryName=name)["imageDetails"]
            for tag in image.get("imageTags", [])
        )

    def schedules(self, region: str) -> dict[str, str]:
        scheduler = self.cloud.client("scheduler", region=region)
        names = [found["Name"] for found in scheduler.list_schedules()["Schedules"]]
        return {name: scheduler.get_schedule(Name=name)["ScheduleExpression"] for name in names}


@pytest.fixture
def account(cloud: Cloud, tmp_path: Path) -> Account:
    cloud.knobs(codebuild__light="SUCCEEDED", tasks__light=0)
    for host, repositories in PUBLISHED.items():
        for repository, tags in repositories.items():
            for tag in tags:
                cloud.publish(host, repository, tag, platforms=PLATFORMS)
    cloud.forget_calls()
    return Account(cloud, tmp_path)


def changes(cloud: Cloud) -> list[str]:
    return [call for call in cloud.operations() if not call.startswith(READING)]


def test_there_is_a_test_for_each_example() -> None:
    assert {path.name for path in EXAMPLES.glob("*.yml")} == set(EXISTING)


def test_no_example_has_an_image_that_cannot_run_our_job() -> None:
    sync = yaml.safe_load((EXAMPLES / "from-ecr-sync.yml").read_text())["sync"]
    assert "task_image_uri" not in sync
    # What moves, among repositories whose tags do not.
    assert {"latest", "stable"} <= set(sync["config"]["repo_defaults"]["image_tag_mutability_exclusion_filters"])


@pytest.mark.parametrize("example", EXISTING)
def test_an_example_is_a_plan_then_a_state_then_nothing_to_do(account: Account, example: str) -> None:
    region = yaml.safe_load((EXAMPLES / example).read_text())["region"]
    planned = account.run(example, "--check", "--diff")
    assert changes(account.cloud) == []
    assert planned.recap["changed"] > 0

    done = account.run(example)
    assert done.recap["changed"] >= planned.recap["changed"], done.output
    assert account.images(region) == EXISTING[example]
    assert account.schedules(region) == SCHEDULES.get(example, {})
    for image in EXISTING[example]:
        assert f"{account.host(region)}/{image}" in done.output

    again = account.run(example)
    assert again.recap["changed"] == 0, again.output
    assert (account.directory / "report.html").exists() is (example == "full.yml")
