"""The docker transport beside the usual shell loop `docker pull; docker tag; docker push`. Needs root.

    bench/mirror_docker.py [--rounds N]

Each run has a new Docker Engine of its own, in the namespace of a full loopback cloud, and new registries on loopback:
an engine remembers what it has pushed where.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "loopback"), str(ROOT / "tests" / "support"), str(ROOT / "bench")]

from docker_registry import DockerRegistry  # noqa: E402
from mirror_corpora import MB, Image  # noqa: E402
from pushing import Pusher  # noqa: E402
from registry import DOCKER_LAYER, descriptor, encoded  # noqa: E402

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import run  # noqa: E402
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget  # noqa: E402
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish  # noqa: E402
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client  # noqa: E402
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference  # noqa: E402
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_transport import (  # noqa: E402
    DockerTransport,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import (  # noqa: E402
    RegistryDestination,
)
from loopback.client import FullCloud  # noqa: E402

ROUNDS = 5
ABOUT = "20 repositories x 3 tags on a shared 60 MB base, full copies and copies of nothing new"


def family(source: Pusher) -> list[Image]:
    """As mirror_corpora has it, but of layers that an engine can unpack."""
    noise = random.Random("family")
    base = [layer(noise, 20 * MB) for _number in range(3)]
    images = []
    for number in range(20):
        for tag in ("1", "2", "3"):
            image = Image(f"family/member{number:02}", tag)
            push(source, image, [*base, layer(noise, 3 * MB + 66_666)])
            images.append(image)
    return images


def layer(noise: random.Random, size: int) -> tuple[bytes, str]:
    """Compressed, with the digest of what it was before."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(f"file-{noise.getrandbits(64):x}")
        member.size = size
        archive.addfile(member, io.BytesIO(noise.randbytes(size)))
    content = packed.getvalue()
    return gzip.compress(content, 1, mtime=0), f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(source: Pusher, image: Image, layers: list[tuple[bytes, str]]) -> None:
    rootfs = {"type": "layers", "diff_ids": [diff for _content, diff in layers]}
    config = encoded({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}})
    for content in (config, *(content for content, _diff in layers)):
        source.blob(image.repository, content)
    parts = [descriptor(content, DOCKER_LAYER) for content, _diff in layers]
    source.manifest_of(config, parts, image.repository, image.tag, docker=True)


# ------------------------------------------------------------------ the tools


def shell(images: list[Image], source: str, destination: str) -> None:
    lines = []
    for image in images:
        names = [f"{host}/{image.repository}:{image.tag}" for host in (source, destination)]
        lines.append(f"docker pull -q {names[0]}; docker tag {names[0]} {names[1]}; docker push -q {names[1]}")
    subprocess.run(["sh", "-ec", "\n".join(lines)], check=True, stdout=subprocess.DEVNULL)


class Destination(RegistryDestination):
    def discard(self, repository: str, tag: str) -> None:
        """This registry cannot remove a tag."""


def stevedore(images: list[Image], source: str, destination: str) -> None:
    client = Client()
    to = Destination(client, destination, records=True)
    transport = DockerTransport(client, to, credentials=lambda _registry: None)
    tags: dict[str, dict[str, str]] = {}
    for image in images:
        tags.setdefault(image.repository, {})[image.tag] = image.tag
    wishes = [Wish(Reference(source, name), name, chosen, transport="docker") for name, chosen in tags.items()]
    report = run.mirror(wishes, client, to, {"docker": transport}, PullBudget(client.rate_limit), run.Settings())
    transport.close()
    to.close()
    client.close()
    failed = [image["error"] for image in report.as_result()["images"] if image.get("error")]
    if failed:
        sys.exit("\n".join(map(str, failed)))


TOOLS: dict[str, Callable[[list[Image], str, str], None]] = {"shell loop": shell, "stevedore": stevedore}


def inside(tool: str) -> None:
    """Prints the seconds of a full copy and of a second one, and what was asked of the registries."""
    roomy = Path("/dev/shm")
    with DockerRegistry(roomy) as source, DockerRegistry(roomy) as destination:
        images = family(Pusher(source.url))
        taken = []
        for _phase in range(2):
            source.requests(), destination.requests()
            started = time.perf_counter()
            TOOLS[tool](images, source.host, destination.host)
            seconds = time.perf_counter() - started
            asked = source.requests()
            moved = sum(one.length for one in asked if one.method == "GET") / 1e6
            taken.append([seconds, moved, len(asked), len(destination.requests())])
        json.dump(taken, sys.stdout)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="The docker transport beside the usual shell loop.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--inside", choices=TOOLS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        inside(options.inside)
        return
    results: dict[str, list[list[list[float]]]] = {tool: [] for tool in TOOLS}
    for _round in range(options.rounds):
        for tool in TOOLS:
            with FullCloud() as cloud:
                done = cloud.run([sys.executable, __file__, "--inside", tool])
            if done.returncode:
                sys.exit(f"{tool} failed: {(done.stdout + done.stderr)[-3000:]}")
            results[tool].append(json.loads(done.stdout))
    show(results)


def show(results: dict[str, list[list[list[float]]]]) -> None:
    rounds = len(next(iter(results.values())))
    print(f"With Docker Engine, {ABOUT}. Medians of {rounds} rounds.")
    for number, phase in enumerate(("full", "no-op")):
        print(f"\n{phase}\n  {'':14}{'s':>8}{'MB from source':>16}{'requests, source + destination':>32}")
        middle = {
            tool: [statistics.median(column) for column in zip(*(r[number] for r in taken), strict=True)]
            for tool, taken in results.items()
        }
        for tool, (seconds, moved, at_source, at_destination) in middle.items():
            print(f"  {tool:14}{seconds:8.2f}{moved:16.1f}{f'{at_source:.0f} + {at_destination:.0f}':>32}")
        print(
            f"  stevedore takes {middle['stevedore'][0] / middle['shell loop'][0]:.2f} times as long as the shell loop"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
