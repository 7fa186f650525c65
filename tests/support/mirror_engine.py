"""Runs of the whole mirror engine, from anywhere to a registry or to the loopback ECR.

Also a program: it reads an order as JSON, runs it, and prints the result with the memory that it took at most.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.mirror_destination import EcrDestination
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_access import RequestCounters
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import RegistryLogin, private_login
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import run
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import Selection
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, CredentialSource
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http, Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.direct import DirectTransport
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import RegistryDestination

Json = dict[str, Any]


class Impatience:
    """A clock for each thread on which waiting takes no time, and what was waited for."""

    def __init__(self) -> None:
        self._own = threading.local()
        self.slept: list[float] = []

    def now(self) -> float:
        return time.monotonic() + float(getattr(self._own, "ahead", 0.0))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._own.ahead = getattr(self._own, "ahead", 0.0) + seconds


@dataclass
class Engine:
    """`logins` by registry. `connect` and `read` are how long a silent registry is waited for, in real seconds.

    `records`: what is in a registry is read whole, to see what it was made of.
    """

    logins: Mapping[str, CredentialSource] = field(default_factory=dict)
    clock: Impatience = field(default_factory=Impatience)
    connect: float = 10.0
    read: float = 20.0
    parallel: int = 4
    records: bool = False

    def into_registry(self, host: str, wishes: Sequence[Wish], **settings: Any) -> Report:
        client = self._client()
        destination = RegistryDestination(client, host, parallel=self.parallel, records=self.records)
        try:
            return self._run(client, destination, wishes, settings)
        finally:
            destination.close()

    def into_ecr(self, ecr: Any, wishes: Sequence[Wish], **settings: Any) -> Report:
        """By a client of boto3."""
        login = RegistryLogin(lambda: private_login(ecr))
        host = login.current().host
        destination = EcrDestination(ecr, host, settings.pop("defaults", RepositoryDefaults()))
        return self._run(self._client({host: login}), destination, wishes, settings)

    def _client(self, aws: Mapping[str, RegistryLogin] | None = None) -> Client:
        logins = {**self.logins, **{host: login.credentials for host, login in (aws or {}).items()}}
        settings = {host: RegistrySettings(credentials=source) for host, source in logins.items()}
        patience = Patience(connect=self.connect, read=self.read)
        counters = RequestCounters(aws or {})
        http = Http(connections=32, patience=patience, observer=counters, now=self.clock.now, sleep=self.clock.sleep)
        return Client(settings, http=http)

    def _run(self, client: Client, destination: Any, wishes: Sequence[Wish], settings: Json) -> Report:
        budget = PullBudget(client.rate_limit)
        transport = DirectTransport(client, destination, blob_workers=self.parallel, budget=budget)
        wanted = run.Settings(**{"parallel": self.parallel, **settings})
        try:
            return run.mirror(wishes, client, destination, {"direct": transport}, budget, wanted)
        finally:
            transport.close()
            client.close()


def wish(source: str, repository: str, tags: Iterable[str] | Mapping[str, str] = (), **more: Any) -> Wish:
    """`tags` keep their names, unless they are given as destination: source. `select` is as users write it."""
    named = tags if isinstance(tags, Mapping) else {tag: tag for tag in tags}
    selection = Selection.parse(more.pop("select")) if "select" in more else None
    platforms = tuple(map(Platform.parse, more.pop("platforms", ())))
    return Wish(Reference.parse(source), repository, named, selection, platforms, **more)


def ecr_client(endpoint: str, region: str, key: str, secret: str) -> Any:
    return boto3.client(
        "ecr",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 4}, max_pool_connections=16),
    )


def order(
    wishes: Sequence[Json],
    *,
    registry: str = "",
    ecr: Mapping[str, str] | None = None,
    logins: Mapping[str, tuple[str, str]] | None = None,
    **more: Any,
) -> str:
    """For the program: into a registry, or into ECR with the arguments of ecr_client."""
    return json.dumps({"wishes": wishes, "registry": registry, "ecr": ecr, "logins": logins or {}, **more})


PROGRAM = [sys.executable, str(Path(__file__))]


def program_environment() -> dict[str, str]:
    """As bare as can be; nothing of the machine's own AWS or Docker configuration."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(Path(__file__).parent)}


def main() -> None:
    given = json.load(sys.stdin)
    logins = {host: _always(Credentials(*login)) for host, login in given["logins"].items()}
    engine = Engine(logins, **given.get("engine", {}))
    wishes = [wish(**one) for one in given["wishes"]]
    settings = given.get("settings", {})
    if given["ecr"]:
        report = engine.into_ecr(ecr_client(**given["ecr"]), wishes, **settings)
    else:
        report = engine.into_registry(given["registry"], wishes, **settings)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    json.dump({**report.as_result(), "peak_kb": int(peak[1]) if peak else None, "failure": report.failure}, sys.stdout)


def _always(credentials: Credentials) -> CredentialSource:
    return lambda: credentials


if __name__ == "__main__":
    main()
