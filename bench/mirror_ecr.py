"""300 tags into the loopback ECR by a playbook: what Ansible costs beside the engine, and how little AWS is asked.

bench/mirror_ecr.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

from docker_registry import DockerRegistry  # noqa: E402
from mirror import BENCH, ENGINE, Scene, engine, measure, roomy_directory  # noqa: E402
from mirror_corpora import Corpus, many  # noqa: E402
from pushing import Pusher  # noqa: E402

from loopback.client import Cloud  # noqa: E402
from running import local_play, playbook_command, playbook_environment  # noqa: E402

ROUNDS = 5
MODULE = ROOT / "plugins" / "modules" / "ecr_image_mirror.py"


def task(source: str, corpus: Corpus) -> dict[str, Any]:
    tags: dict[str, list[str]] = {}
    for image in corpus.images:
        tags.setdefault(image.repository, []).append(image.tag)
    images = [{"source": f"{source}/{name}", "repository": name, "tags": of_it} for name, of_it in tags.items()]
    return {"stevedore.ecr.ecr_image_mirror": {"transport": "direct", "create_repositories": True, "images": images}}


def main(rounds: int = ROUNDS) -> None:
    if not MODULE.exists():
        return
    with Cloud() as cloud, DockerRegistry(roomy_directory()) as source:
        corpus = many(Pusher(source.url))
        alone = statistics.median(engine_alone(source, corpus) for _round in range(rounds))
        idle = [play(cloud, {"ansible.builtin.meta": "noop"}) for _round in range(rounds)]
        first, second, asked = [], [], Counter[str]()
        for _round in range(rounds):
            cloud.reset()
            first.append(play(cloud, task(source.host, corpus)))
            cloud.forget_calls()
            source.requests()
            second.append(play(cloud, task(source.host, corpus)))
            asked = Counter(call["op"] or f"{call['method']} {call['path'].split('/')[1]}" for call in cloud.calls())
    print(f"\n300 tags in 3 repositories into the loopback ECR, by a playbook, medians of {rounds} rounds:")
    print(f"  {'':38}{'s':>8}{'peak MB':>9}")
    for name, taken in (("all of them", first), ("no-op", second), ("a playbook that does nothing", idle)):
        seconds, memory = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"  {name:38}{seconds:8.2f}{memory:9.0f}")
    print(f"  {'the no-op of the engine alone':38}{alone:8.2f}")
    print(f"  requests of the no-op: {', '.join(f'{count} {name}' for name, count in sorted(asked.items()))}")


def engine_alone(source: DockerRegistry, corpus: Corpus) -> float:
    """The seconds of a no-op of the same tags."""
    with DockerRegistry(roomy_directory()) as destination:
        scene = Scene(corpus.images, source.host, destination.host, destination.directory, parallel=8)
        measure(ENGINE, engine(scene), source, destination)
        return measure(ENGINE, engine(scene), source, destination).seconds


def play(cloud: Cloud, what: dict[str, Any]) -> tuple[float, float]:
    """Seconds, and the MB of the largest process."""
    with tempfile.TemporaryDirectory() as name:
        playbook, taken = Path(name, "playbook.yml"), Path(name, "taken")
        playbook.write_text(json.dumps(local_play(what)))
        measured = [sys.executable, "-I", "-S", str(BENCH / "measured.py"), str(taken), *playbook_command(playbook)]
        environment = playbook_environment(Path(name), cloud.environment())
        done = subprocess.run(measured, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found = json.loads(taken.read_text())
    return found["seconds"], found["memory"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="300 tags into the loopback ECR by a playbook.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    main(parser.parse_args().rounds)
