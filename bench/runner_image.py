"""The image that the role pull_sync has tasks run: its size, and how long it takes to its first request to a registry.

    bench/runner_image.py [--rounds N] [--base IMAGE]

Needs root: it is built and run by the engine of a full loopback cloud, which has no network. So it is built upon an
image of this machine's own Python, which is not what `python:3.13-slim` is, and its size says so. Elsewhere, --base
names an image that the engine can get.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

from ecr_api import push_image  # noqa: E402
from python_image import make_python_image  # noqa: E402

from loopback.client import Cloud, FullCloud  # noqa: E402
from running import local_play, run_playbook  # noqa: E402

ROUNDS = 3
TARGET_MEGABYTES, TARGET_SECONDS = 300, 5
NAMESPACE = "bench-sync"
SOURCE, SOURCE_REGION = "210987654321", "us-east-1"
BASE = "loopback/python:slim"
REQUIREMENTS = ROOT / "roles" / "codebuild_cloner" / "files" / "requirements.txt"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--base", default=BASE)
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("The image of the runner is not measured: that needs root.")
        return
    with FullCloud() as cloud:
        if given.base == BASE:
            make_python_image(cloud, BASE, REQUIREMENTS)
        started = time.perf_counter()
        made = prepare(cloud, given.base)
        print(f"the role, with the image built upon {given.base}: {time.perf_counter() - started:.0f} seconds\n")
        sizes(cloud, made["image"], given.base)
        rounds = [start(cloud) for _round in range(given.rounds)]
    print(f"\nMedians of {given.rounds} rounds, seconds from the start of the container:")
    for number, what in enumerate(("the first request to AWS, for the job", "the first request to a registry")):
        print(f"  {what}: {statistics.median(one[number] for one in rounds):.1f}")
    print(f"  (target: {TARGET_SECONDS})")


def prepare(cloud: FullCloud, base: str) -> dict[str, Any]:
    """A sync of one repository, as the role makes it."""
    there = cloud.client("ecr", account=SOURCE, region=SOURCE_REGION)
    there.create_repository(repositoryName="my-app")
    push_image(there, "my-app", ["latest"])
    reader = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    statement = {"Effect": "Allow", "Principal": reader, "Action": "ecr:*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    there.set_repository_policy(repositoryName="my-app", policyText=text)
    source = f"{SOURCE}.dkr.ecr.{SOURCE_REGION}.amazonaws.com/my-app"
    given = {
        "pull_sync_namespace": NAMESPACE,
        "pull_sync_config": {"repos": [{"source": source}]},
        "pull_sync_schedule": "cron(0 9 ? * * *)",
        "pull_sync_runner_base": base,
    }
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "result.json"
        role = {"ansible.builtin.include_role": {"name": "stevedore.ecr.pull_sync"}, "vars": given}
        tell = {
            "ansible.builtin.copy": {"content": "{{ pull_sync_result | to_json }}", "dest": str(told), "mode": "0600"}
        }
        environment = {**Cloud.environment(cloud), "DOCKER_HOST": f"unix://{cloud.directory}/docker.sock"}
        done = run_playbook(local_play(role, tell), directory=Path(directory), environment=environment)
        if done.status:
            sys.exit(done.output)
        made: dict[str, Any] = json.loads(told.read_text())
    # It refuses plain HTTP, which is what the API of this cloud speaks.
    cloud.client("s3").delete_bucket_policy(Bucket=made["bucket"])
    return made


def sizes(cloud: FullCloud, image: str, base: str) -> None:
    repository, _colon, tag = image.partition("/")[2].rpartition(":")
    ecr = cloud.client("ecr")
    (found,) = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
    (answer,) = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])["images"]
    layers = json.loads(answer["imageManifest"])["layers"]
    own = layers[-_own_layers(cloud, layers, base) :]
    whole = found["imageSizeInBytes"] / 1e6
    print(f"compressed, as Amazon ECR counts and a task pulls: {whole:.0f} MB (target: {TARGET_MEGABYTES})")
    print(f"  of which is not of the base:                     {sum(one['size'] for one in own) / 1e6:.0f} MB")


def _own_layers(cloud: FullCloud, layers: list[dict[str, Any]], base: str) -> int:
    told = cloud.docker("inspect", "--format", "{{len .RootFS.Layers}}", base).stdout
    return len(layers) - int(told)


def start(cloud: FullCloud) -> tuple[float, float]:
    """By the clock of the cloud, which notes when it was asked."""
    ecs = cloud.client("ecs")
    cloud.forget_calls()
    known = set(ecs.list_tasks(cluster=NAMESPACE, desiredStatus="STOPPED")["taskArns"])
    answer = cloud.fire(schedule=NAMESPACE)
    if "answer" not in answer:
        sys.exit(str(answer))
    while not (new := set(ecs.list_tasks(cluster=NAMESPACE, desiredStatus="STOPPED")["taskArns"]) - known):
        time.sleep(0.1)
    (task,) = ecs.describe_tasks(cluster=NAMESPACE, tasks=list(new))["tasks"]
    if task["containers"][0].get("exitCode") != 0:
        sys.exit(f"the task failed:\n{_log(cloud)}")
    begun = task["startedAt"].timestamp()
    job = [call["at"] for call in cloud.calls() if call["path"].endswith("/job.json")]
    registry = [call["at"] for call in cloud.calls() if call["host"].startswith(SOURCE)]
    return min(job) - begun, min(registry) - begun


def _log(cloud: FullCloud) -> str:
    logs = cloud.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    events = [event for name in groups for event in logs.filter_log_events(logGroupName=name)["events"]]
    return "\n".join(event["message"] for event in events)


if __name__ == "__main__":
    main(sys.argv[1:])
