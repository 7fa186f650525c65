"""The mirror engine alone, without Ansible: copies images between any two registries.

    .venv/bin/python bench/engine.py LIST [--parallel N] [--insecure]

LIST has lines such as `quay.io/team/app:1 registry.example/team/app:1`. Credentials are those of the Docker config.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import run
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import DockerConfig
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import OciError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DEFAULT_TAG, Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.direct import DirectTransport
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import RegistryDestination

Pairs = list[tuple[Reference, Reference]]


def main() -> None:
    options = parse_options()
    started = time.perf_counter()
    counters = Counters()
    with options.list.open() as lines:
        pairs = read_pairs(lines)
    hosts = {ref.registry for pair in pairs for ref in pair}
    settings = {host: RegistrySettings(insecure=options.insecure) for host in hosts}
    http = Http(observer=counters, connections=max(32, 2 * options.parallel))
    client = Client(settings, credentials=DockerConfig.load().credentials_for, http=http)
    failed = 0
    try:
        for registry in sorted({destination.registry for unused, destination in pairs}):
            failed += copy(client, registry, [pair for pair in pairs if pair[1].registry == registry], options.parallel)
    except OciError as error:
        sys.exit(str(error))
    finally:
        client.close()
    for host in sorted(hosts):
        moved = f"{counters.received[host] / 1e6:.1f} MB received, {counters.sent[host] / 1e6:.1f} MB sent"
        print(f"{host}: {counters.total(host)} requests, {moved}")
    print(f"{len(pairs)} images, {failed} failed, {time.perf_counter() - started:.2f} s")
    sys.exit(1 if failed else 0)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Copy images from registry to registry.")
    parser.add_argument("list", type=Path, help="a file of lines: SOURCE DESTINATION")
    parser.add_argument("--parallel", type=int, default=8, help="images, and blobs, at a time")
    parser.add_argument("--insecure", action="store_true", help="plain HTTP, for all of the registries")
    return parser.parse_args()


def read_pairs(lines: Iterable[str]) -> Pairs:
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(Reference.parse(source), Reference.parse(destination)) for source, destination in pairs]


def copy(client: Client, registry: str, pairs: Pairs, parallel: int) -> int:
    """How many could not be copied."""
    destination = RegistryDestination(client, registry, parallel=parallel)
    budget = PullBudget(client.rate_limit)
    transport = DirectTransport(client, destination, blob_workers=parallel, budget=budget)
    try:
        settings = run.Settings(parallel=parallel)
        report = run.mirror(wishes_for(pairs), client, destination, {"direct": transport}, budget, settings)
    finally:
        transport.close()
        destination.close()
    failures = [image for image in report.as_result()["images"] if image.get("error")]
    for image in failures:
        print(f"{image['source']}: {image['error']}", file=sys.stderr)
    return len(failures)


def wishes_for(pairs: Pairs) -> list[Wish]:
    """One for each pair of repositories."""
    tags: dict[tuple[Reference, str], dict[str, str]] = {}
    for source, destination in pairs:
        repository = Reference(source.registry, source.repository)
        of_repository = tags.setdefault((repository, destination.repository), {})
        of_repository[destination.tag or DEFAULT_TAG] = source.identifier
    return [Wish(source, repository, chosen) for (source, repository), chosen in tags.items()]


if __name__ == "__main__":
    main()
