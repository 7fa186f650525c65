"""`make demo`: the collection at work against the loopback cloud. No AWS account, no root, no Docker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

from loopback.client import Cloud  # noqa: E402
from running import playbook_command, playbook_environment  # noqa: E402

OUTPUT = ROOT / "build" / "demo"
REPORT = OUTPUT / "report.html"
SITE = Path(__file__).with_name("stevedore.yml")
# What is in the registries that stevedore.yml names: host, repository and tag.
PUBLISHED = [
    ("registry-1.docker.io", "library/nginx", "1.29"),
    ("registry-1.docker.io", "hashicorp/vault", "1.20"),
    ("registry-1.docker.io", "library/wordpress", "php8.3-apache"),
    ("quay.io", "prometheus/prometheus", "v3.5.0"),
    ("registry.k8s.io", "pause", "3.10"),
]


def main() -> int:
    print("stevedore demo: an AWS on 127.0.0.1, and one file that says which images are to be pullable from it.")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with Cloud() as cloud:
        print(f"\n== The loopback cloud is up at {cloud.url}, and so are its Docker Hub, Quay and registry.k8s.io")
        for host, repository, tag in PUBLISHED:
            cloud.publish(host, repository, tag, platforms=["linux/amd64", "linux/arm64"])
        print(f"\n== {SITE.relative_to(ROOT)}\n{SITE.read_text()}")
        first = run(cloud, "The plan, which makes nothing", "stevedore.ecr.site", "--check") and run(
            cloud, "Do it", "stevedore.ecr.site"
        )
        again = first and run(cloud, "The same again: nothing changes", "stevedore.ecr.site")
        report = again and run(cloud, "How all of it does", "stevedore.ecr.status", "-e", f"status_html={REPORT}")
    if not report:
        return 1
    print(f"\nReport: {REPORT.relative_to(ROOT)}")
    if "changed=0" not in recap(again):
        print("The second run changed something: that is a bug.", file=sys.stderr)
        return 1
    return 0


def run(cloud: Cloud, title: str, playbook: str, *options: str) -> str:
    """The output, which is shown as it comes; nothing when the run failed."""
    # The made-up registries are not where the real ones are.
    hosts = {host.replace("registry-1.docker.io", "docker.io"): endpoint for host, endpoint in cloud.upstreams.items()}
    elsewhere = [{"host": host, "endpoint": endpoint} for host, endpoint in hosts.items()]
    told = json.dumps({"stevedore_file": str(SITE), "image_mirror_registries": elsewhere})
    print(f"\n== {title}: ansible-playbook {playbook}{' --check' * ('--check' in options)}", flush=True)
    settings = {"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false", "ANSIBLE_FORCE_COLOR": "0"}
    environment = {**playbook_environment(OUTPUT, cloud.environment()), **settings}
    command = playbook_command(playbook, "-e", told, *options)
    blocks = []
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for block in in_blocks(process.stdout or []):
            blocks.append(block)
            if says_something(block):
                print(block, end="", flush=True)
    return "".join(blocks) if process.returncode == 0 else ""


def in_blocks(lines: Iterable[str]) -> Iterator[str]:
    """What Ansible prints of a play or a task."""
    block = ""
    for line in lines:
        block += line
        if not line.strip():
            yield block
            block = ""
    yield block


def says_something(block: str) -> bool:
    """Not of a task that found all well, which are most of them."""
    title, *lines = block.strip().splitlines() or [""]
    return not title.startswith("TASK") or not all(
        line.startswith("included:") or re.fullmatch(r"ok: \[localhost\]( => \(item=.*)?", line) for line in lines
    )


def recap(output: str) -> str:
    return " ".join(re.findall(r"\b\w+=\d+", [line for line in output.splitlines() if ": ok=" in line][-1]))


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
