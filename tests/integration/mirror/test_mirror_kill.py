"""The process is killed without a chance to tidy up; what is there by then is sound, and the rest follows."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from builds import until
from mirror_engine import PROGRAM, order, program_environment
from mirror_scene import EcrScene, RegistryScene, Scene, blobs_of
from mirror_server import Fault, Seen

from loopback.client import ROOT_SECRET

UPLOAD = r"/blobs/uploads/"
# Other points in each run of the tests; what failed can be had again with the number that is printed.
SEED = random.randrange(1_000_000)
POINTS = 10


class Child:
    """The engine in a process of its own."""

    def __init__(self, given: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(PROGRAM, env=program_environment(), text=True, **pipes)
        self._given = given

    def kill(self, _seen: Seen | None = None) -> None:
        """Called by what it talks to, so at a point that does not depend on any clock."""
        os.kill(self._process.pid, signal.SIGKILL)

    def run(self) -> tuple[int, dict[str, Any]]:
        """Exit status, and what it printed."""
        printed, complaints = self._process.communicate(self._given, timeout=120)
        assert "Traceback" not in complaints, complaints
        return self._process.returncode, json.loads(printed) if printed else {}


def given_for(scene: Scene, **where: Any) -> str:
    wishes = [
        {"source": str(one.source), "repository": one.repository, "tags": dict(one.tags)} for one in scene.wishes()
    ]
    logins = {}
    for proxy in (scene.inward, getattr(scene, "outward", None)):
        if proxy and proxy.login:
            logins[proxy.host] = (proxy.login.username, proxy.login.password)
    return order(wishes, logins=logins, settings={"journal": str(scene.journal)}, **where)


def there(scene: Scene) -> set[tuple[str, str]]:
    """All blobs of the source that the destination has by now."""
    found = set()
    for (name, _tag), raw in scene.read.items():
        repository = scene.name(name)
        for digest in blobs_of(raw, lambda digest, repository=repository: scene.source.raw(repository, digest)):
            if scene.target.has(repository, digest):
                found.add((repository, digest))
    return found


def uploaded(paths: Iterable[str]) -> set[tuple[str, str]]:
    """Repository and digest of uploads that were completed."""
    found = (path.replace("%3A", ":").removeprefix("/v2/").partition(UPLOAD) for path in paths)
    return {(repository, rest.rpartition("digest=")[2]) for repository, _uploads, rest in found}


@pytest.mark.parametrize("number", range(POINTS))
def test_killed_and_run_again(scene: RegistryScene, number: int) -> None:
    point = random.Random(f"{SEED} {number}")
    scene.corpus()
    when = point.choice(["before", "during", "after"])
    # Only uploads and manifests have content. A whole run has 47 requests, and 21 with content.
    method, requests = ("PUT", 20) if when == "during" else ("", 45)
    after = point.randrange(requests)
    print(f"seed {SEED}: killed {when} the request {after} of {method or 'all'}")
    child = Child(given_for(scene, registry=scene.outward.host))
    scene.outward.faults.append(Fault(method, after=after, call=child.kill, when=when))
    status, _printed = child.run()
    assert status == -signal.SIGKILL
    scene.assert_sound()
    before = there(scene)
    report = scene.run()
    assert not report.failure
    assert not uploaded(one.path for one in scene.outward.asked("PUT", UPLOAD) if one.status == 201) & before
    scene.assert_mirrored()
    for line in scene.journal.read_text().splitlines():
        json.loads(line)


IN_ECR = [("PUT", UPLOAD, 3), ("POST", UPLOAD, 5), ("PUT", "/manifests/", 2)]


@pytest.mark.parametrize(("method", "path", "after"), IN_ECR)
def test_killed_while_it_writes_to_ecr_and_run_again(ecr_scene: EcrScene, method: str, path: str, after: int) -> None:
    """ECR says what it has, so nothing of that is sent or mounted again."""
    scene, cloud = ecr_scene, ecr_scene.cloud
    scene.corpus()
    scene.create("app", "web")
    ecr = {"endpoint": cloud.url, "region": cloud.region, "key": cloud.account, "secret": ROOT_SECRET}
    child = Child(given_for(scene, ecr=ecr))
    # The request waits for the child to be gone, and then comes to nothing.
    cloud.inject({"method": method, "path": path, "after": after, "delay": 20, "reset": True})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(child.run)
        until(lambda: bool(cloud.faults()[0]["hits"]) or running.done())
        child.kill()
        status, _printed = running.result()
    assert status == -signal.SIGKILL
    scene.assert_sound()
    before = there(scene)
    cloud.forget_calls()
    report = scene.run()
    assert not report.failure
    calls = cloud.calls()
    paths = [f"{call['path']}?{call['query']}" for call in calls if call["method"] == "PUT" and UPLOAD in call["path"]]
    assert not uploaded(paths) & before
    assert not [call for call in calls if "mount=" in call["query"]]
    scene.assert_mirrored()
