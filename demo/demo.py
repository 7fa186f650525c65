"""`make demo`: the collection at work against the loopback cloud. No AWS account, no root, no Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

import report  # noqa: E402

from loopback.client import Cloud  # noqa: E402
from running import playbook_command, playbook_environment  # noqa: E402

OUTPUT = ROOT / "build" / "demo"
PLAYBOOK = Path(__file__).with_name("playbook.yml")
# What the playbook caches: upstream host, repository and tag there, and the cache's prefix.
IMAGES = [
    ("registry-1.docker.io", "library/nginx", "1.29", "docker-hub"),
    ("registry-1.docker.io", "hashicorp/vault", "1.20", "docker-hub"),
    ("quay.io", "prometheus/prometheus", "v3.5.0", "quay"),
    ("registry.k8s.io", "pause", "3.10", "k8s"),
]


def main() -> int:
    print("stevedore demo: an AWS on 127.0.0.1, the collection's playbook run twice against it, and a report.")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with Cloud() as cloud:
        print(f"\n== The loopback cloud is up at {cloud.url}, and so are its Docker Hub, Quay and registry.k8s.io")
        for host, repository, tag, _prefix in IMAGES:
            cloud.publish(host, repository, tag, platforms=["linux/amd64", "linux/arm64"])
        runs = []
        for number, what in enumerate(["declare what should be", "the same again: nothing changes"], 1):
            print(f"\n== Run {number}: {what}", flush=True)
            output = run_playbook(cloud)
            if output is None:
                return 1
            runs.append((f"run {number}: {what}", recap(output)))
        rows = pullable(cloud)
        print_table(rows)
        report.write(OUTPUT / "report.html", rows, runs)
    print(f"\nReport: {(OUTPUT / 'report.html').relative_to(ROOT)}")
    if "changed=0" not in runs[-1][1]:
        print("The second run changed something: that is a bug.", file=sys.stderr)
        return 1
    return 0


def run_playbook(cloud: Cloud) -> str | None:
    """The output, which is shown as it comes; None when the run failed."""
    environment = {**playbook_environment(OUTPUT, cloud.environment()), "ANSIBLE_FORCE_COLOR": "0"}
    command = playbook_command(PLAYBOOK)
    lines = []
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or []:
            print(line, end="")
            lines.append(line)
    return "".join(lines) if process.returncode == 0 else None


def recap(output: str) -> str:
    return " ".join(re.findall(r"\b\w+=\d+", [line for line in output.splitlines() if ": ok=" in line][-1]))


def pullable(cloud: Cloud) -> list[report.Row]:
    ecr = cloud.client("ecr")
    rows = []
    for host, repository, tag, prefix in IMAGES:
        name = f"{prefix}/{repository}"
        uri = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        image = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"][0]
        size = image["imageSizeInBytes"]
        rows.append(report.Row(f"{host}/{repository}:{tag}", f"{uri}:{tag}", size, policy(ecr, name)))
    return rows


def policy(ecr: Any, repository: str) -> str:
    try:
        ecr.get_lifecycle_policy(repositoryName=repository)
    except ecr.exceptions.LifecyclePolicyNotFoundException:
        return "none"
    return "managed"


def print_table(rows: list[report.Row]) -> None:
    width = max(len(row.source) for row in rows)
    print("\n== What can be pulled now, and from where")
    for row in rows:
        print(f"{row.source:{width}}  {row.address}  (lifecycle: {row.lifecycle})")


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
