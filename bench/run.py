"""`make bench`: speed, as ratios to peers in the same run. Medians of a few rounds; nothing here passes or fails.

With arguments only the mirror engine is measured: bench/run.py --rounds 3 family, see mirror.py.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

import mirror  # noqa: E402
import mirror_docker  # noqa: E402
import mirror_ecr  # noqa: E402
import runner_image  # noqa: E402

from loopback.client import Cloud  # noqa: E402
from running import local_play, run_playbook  # noqa: E402

ROUNDS = 3
REPOSITORIES = 200
# The peer takes one repository a task; it is timed on a part of them.
PEER_REPOSITORIES = 20
RULE = {
    "priority": 1,
    "tag_status": "untagged",
    "count_type": "sinceImagePushed",
    "count_number": 14,
    "action": "expire",
}
PEER_POLICY = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 14,
            },
            "action": {"type": "expire"},
        }
    ]
}


def main() -> None:
    print(f"{os.cpu_count()} processors, of which {os.getloadavg()[0]:.1f} were busy at the start.")
    if len(sys.argv) == 1:
        lifecycles()
        mirror_ecr.main()
        print()
        runner_image.main([])
        print()
        mirror_docker.main([])
    print()
    mirror.main(sys.argv[1:])


def lifecycles() -> None:
    print(f"Medians of {ROUNDS} rounds, seconds.\n")
    print(f"loopback cloud, start and stop: {median(start_and_stop):.2f}")
    with Cloud() as cloud:
        print(f"loopback cloud, reset:          {median(cloud.reset):.3f}")
        names = [f"team/app-{number:03}" for number in range(REPOSITORIES)]
        empty = median(lambda: play(cloud, {"ansible.builtin.meta": "noop"}))
        print(f"\nansible-playbook that does nothing: {empty:.2f}")
        ours = {"stevedore.ecr.ecr_lifecycle": {"repositories": ["team/*"], "rules": [RULE]}}
        peer = {
            "community.aws.ecs_ecr": {"name": "{{ item }}", "lifecycle_policy": PEER_POLICY},
            "loop": names[:PEER_REPOSITORIES],
        }
        for what in ("write the policies", "second run, no change"):
            first = what.startswith("write")
            of_ours = per_repository(cloud, ours, names, REPOSITORIES, empty, fresh=first)
            of_peer = per_repository(cloud, peer, names, PEER_REPOSITORIES, empty, fresh=first)
            print(f"\n{what}, milliseconds a repository beyond that:")
            print(f"  ecr_lifecycle, one task:         {of_ours * 1000:8.1f}")
            print(f"  community.aws.ecs_ecr, in a loop:{of_peer * 1000:8.1f}   ({of_peer / of_ours:.0f} times as long)")


def start_and_stop() -> None:
    with Cloud():
        pass


def per_repository(
    cloud: Cloud, task: dict[str, Any], names: list[str], count: int, empty: float, *, fresh: bool
) -> float:
    def prepare() -> None:
        cloud.reset()
        ecr = cloud.client("ecr")
        for name in names:
            ecr.create_repository(repositoryName=name)
        if not fresh:
            play(cloud, task)

    return (median(lambda: play(cloud, task), prepare) - empty) / count


def play(cloud: Cloud, task: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        done = run_playbook(local_play(task), directory=Path(directory), environment=cloud.environment())
    if done.status:
        sys.exit(done.output)


def median(work: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    seconds = []
    for _round in range(ROUNDS):
        prepare()
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
