"""The mirror engine beside its peers and beside what is physically possible, between real registries on loopback.

    bench/mirror.py [--rounds N] [--parallel N] [CORPUS ...]

The tools take turns within each round, so that the ratios hold on a machine that is busy with other things too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "bench"
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support")]

from docker_registry import DockerRegistry  # noqa: E402
from mirror_corpora import CORPORA, Corpus, Image, change  # noqa: E402
from pushing import Pusher  # noqa: E402

ROUNDS = 5
# The limit with one thread, and with as many as the engine has.
ENGINE, LIMIT, SERIAL = "stevedore", "limit", "limit, 1 by 1"
DELAY = 0.02
# Which runs of a corpus say something.
PHASES = {
    "family": ("full", "no-op", "5% changed"),
    "big": ("full",),
    "many": ("full", "no-op", "no-op, 20 ms"),
    "multiarch": ("full", "no-op"),
}


@dataclass(frozen=True)
class Measured:
    """One run of one tool. `moved` are the MB that the source gave out."""

    seconds: float
    cpu: float
    memory: float
    at_source: int
    at_destination: int
    moved: float


@dataclass(frozen=True)
class Scene:
    """What a tool is to copy from where to where, and a directory for its files."""

    images: list[Image]
    source: str
    destination: str
    directory: Path
    parallel: int


class Failed(Exception):
    """A tool did not do it."""


# ------------------------------------------------------------------ the tools


def engine(scene: Scene) -> list[str]:
    lines = [f"{scene.source}/{i.repository}:{i.tag} {scene.destination}/{i.repository}:{i.tag}" for i in scene.images]
    listed = scene.directory / "list"
    listed.write_text("\n".join(lines))
    return [sys.executable, str(BENCH / "engine.py"), str(listed), "--parallel", str(scene.parallel), "--insecure"]


def skopeo(scene: Scene) -> list[str]:
    images: dict[str, list[str]] = {}
    for image in scene.images:
        images.setdefault(image.repository, []).append(image.tag)
    listed = scene.directory / "sync.yml"
    listed.write_text(json.dumps({scene.source: {"tls-verify": False, "images": images}}))
    command = ["skopeo", "sync", "--all", "--src", "yaml", "--dest", "docker", "--dest-tls-verify=false"]
    return [*command, str(listed), f"{scene.destination}/sync"]


def crane(scene: Scene) -> list[str]:
    names = sorted({image.repository for image in scene.images})
    copies = [f"crane copy --insecure -a {scene.source}/{name} {scene.destination}/{name}" for name in names]
    return ["sh", "-ec", "\n".join(copies)]


def limit(scene: Scene, copies: list[dict[str, object]] | None, threads: int) -> list[str]:
    """To make the copies, or to ask both sides for each tag."""
    plan: dict[str, object] = {"source": scene.source, "destination": scene.destination, "threads": threads}
    plan |= {"copies": copies} if copies else {"heads": [[i.repository, i.tag] for i in scene.images]}
    file = scene.directory / "plan.json"
    file.write_text(json.dumps(plan))
    return [sys.executable, str(BENCH / "mirror_limit.py"), str(file)]


def copies_of(source: Pusher, images: list[Image]) -> list[dict[str, object]]:
    """What the limit is told: every manifest with its blobs, children before their index."""
    found: list[dict[str, object]] = []
    for image in images:
        document = json.loads(source.raw(image.repository, image.tag))
        children = [child["digest"] for child in document.get("manifests", [])]
        for reference in [*children, image.tag]:
            manifest = json.loads(source.raw(image.repository, reference))
            parts = [*manifest.get("layers", []), *([manifest["config"]] if "config" in manifest else [])]
            blobs = [part["digest"] for part in parts]
            is_index = "manifests" in manifest
            found.append({"repository": image.repository, "reference": reference, "blobs": blobs, "is_index": is_index})
    return found


# ------------------------------------------------------------------ measuring


def measure(name: str, command: list[str], source: DockerRegistry, destination: DockerRegistry) -> Measured:
    source.requests(), destination.requests()
    environment = {"PATH": os.environ["PATH"], "HOME": str(destination.directory)}
    taken = destination.directory / "taken"
    measured = [sys.executable, "-I", "-S", str(BENCH / "measured.py"), str(taken), *command]
    done = subprocess.run(measured, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise Failed(f"{name} failed: {(done.stdout + done.stderr).decode()[-3000:]}")
    asked = source.requests()
    moved = sum(one.length for one in asked if one.method == "GET") / 1e6
    return Measured(
        **json.loads(taken.read_text()), at_source=len(asked), at_destination=len(destination.requests()), moved=moved
    )


class Bench:
    def __init__(self, corpus: Corpus, phases: tuple[str, ...], directory: Path, parallel: int) -> None:
        self._corpus, self._phases, self._directory, self._parallel = corpus, phases, directory, parallel
        peers = {"skopeo sync": skopeo, "crane -a": crane}
        self._peers = {name: peer for name, peer in peers.items() if shutil.which(name.split()[0])}
        self.results: dict[str, dict[str, list[Measured]]] = {phase: {} for phase in phases}

    def round(self, number: int, source: DockerRegistry) -> None:
        pusher = Pusher(source.url)
        copies = copies_of(pusher, self._corpus.images)
        with contextlib.ExitStack() as stack:
            tools = [LIMIT, SERIAL, ENGINE, *self._peers]
            destinations = {tool: stack.enter_context(DockerRegistry(self._directory)) for tool in tools}
            for tool, destination in destinations.items():
                self._run("full", tool, source, destination, copies)
                if "no-op" in self._phases and tool != SERIAL:
                    self._run("no-op", tool, source, destination, None)
            if "no-op, 20 ms" in self._phases:
                with delayed(source.host) as there, delayed(destinations[ENGINE].host) as here:
                    self._run("no-op, 20 ms", ENGINE, source, destinations[ENGINE], None, there=there, here=here)
            if "5% changed" in self._phases:
                change(pusher, self._corpus, number)
                copies = copies_of(pusher, self._corpus.changed)
                for tool, destination in destinations.items():
                    self._run("5% changed", tool, source, destination, copies)

    def _run(
        self,
        phase: str,
        tool: str,
        source: DockerRegistry,
        destination: DockerRegistry,
        copies: list[dict[str, object]] | None,
        *,
        there: str = "",
        here: str = "",
    ) -> None:
        addresses = there or source.host, here or destination.host
        scene = Scene(self._corpus.images, *addresses, destination.directory, self._parallel)
        threads = {LIMIT: self._parallel, SERIAL: 1}.get(tool)
        command = limit(scene, copies, threads) if threads else {**self._peers, ENGINE: engine}[tool](scene)
        self.results[phase].setdefault(tool, []).append(measure(tool, command, source, destination))


@contextlib.contextmanager
def delayed(host: str) -> Iterator[str]:
    command = [sys.executable, str(BENCH / "delay.py"), host, str(DELAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            yield proxy.stdout.readline().strip() if proxy.stdout else ""
        finally:
            proxy.terminate()


# ------------------------------------------------------------------ telling


def show(corpus: Corpus, results: dict[str, dict[str, list[Measured]]]) -> None:
    for phase, by_tool in results.items():
        print(f"\n{corpus.name}, {phase}: {corpus.about}")
        print(f"  {'':14}{'s':>8}{'CPU s':>8}{'peak MB':>9}{'MB moved':>10}{'requests, both sides':>22}{'/limit':>8}")
        best = statistics.median(run.seconds for run in by_tool.get(LIMIT, by_tool[ENGINE]))
        for tool, runs in by_tool.items():
            middle = {name: statistics.median(getattr(run, name) for run in runs) for name in Measured.__annotations__}
            requests = f"{middle['at_source']:.0f} + {middle['at_destination']:.0f}"
            figures = f"{middle['seconds']:8.2f}{middle['cpu']:8.2f}{middle['memory']:9.0f}{middle['moved']:10.1f}"
            ratio = f"{middle['seconds'] / best:8.2f}" if LIMIT in by_tool else ""
            print(f"  {tool:14}{figures}{requests:>22}{ratio}")
        ours = statistics.median(run.seconds for run in by_tool[ENGINE])
        for tool in by_tool.keys() - {ENGINE, LIMIT}:
            theirs = statistics.median(run.seconds for run in by_tool[tool])
            print(
                f"  {ENGINE} takes {ours / theirs:.2f} of the time of {tool}, and is {theirs / ours:.1f} times as fast"
            )


def roomy_directory() -> Path | None:
    """Memory rather than disk, if there is enough: disks differ from one minute to the next."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 12e9 else None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The mirror engine beside its peers.")
    parser.add_argument("corpora", nargs="*", choices=[[], *CORPORA], help="all of them by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--parallel", type=int, default=8)
    options = parser.parse_args(arguments)
    print(
        f"Copies between docker-registry processes on loopback, medians of {options.rounds} interleaved rounds.",
        flush=True,
    )
    for name in options.corpora or CORPORA:
        with DockerRegistry(roomy_directory()) as source:
            corpus = CORPORA[name](Pusher(source.url))
            bench = Bench(corpus, PHASES[name], source.directory.parent, options.parallel)
            try:
                for number in range(options.rounds):
                    bench.round(number, source)
            except Failed as error:
                sys.exit(str(error))
            show(corpus, bench.results)


if __name__ == "__main__":
    main()
