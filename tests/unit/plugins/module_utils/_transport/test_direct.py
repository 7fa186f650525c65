# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What registries do wrong, and what costs pulls. The copies themselves are tested between real registries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Deferred,
    Item,
    RepositoryMissingError,
    Task,
    Traffic,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidManifestError, RegistryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import source_images
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.direct import DirectTransport
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import RegistryDestination
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    FakeRegistry,
    answer,
    descriptor,
    encoded,
    error,
    image,
    reset,
    sha256,
)

BLOB_UNKNOWN = answer(400, error("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"))
ECR_LAYERS_MISSING = answer(400, error("BLOB_UPLOAD_UNKNOWN", "Layers with digests '[...]' do not exist"))
CONFIG = encoded({"architecture": "amd64", "os": "linux"})
METERED = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "50;w=21600"}


class Pulls:
    """`left` may be taken."""

    def __init__(self, left: int = 1000) -> None:
        self.left = left
        self.taken: list[int] = []

    def take(self, registry: str, pulls: int) -> None:
        if pulls > self.left:
            raise Deferred(f"{registry} has no pulls left")
        self.left -= pulls
        self.taken.append(pulls)


@pytest.fixture
def pulls() -> Pulls:
    return Pulls()


@pytest.fixture
def transport(client: Client, here: FakeRegistry, pulls: Pulls) -> Iterator[DirectTransport]:
    destination = RegistryDestination(client, here.host)
    transport = DirectTransport(client, destination, blob_workers=4, budget=pulls)
    yield transport
    transport.close()
    destination.close()


Publish = Callable[..., Task]


@pytest.fixture
def publish(client: Client, there: FakeRegistry, here: FakeRegistry) -> Publish:
    """publish(repository, *layers): put an image into the source; the task of copying it."""

    def push(
        repository: str = "team/app", *layers: bytes, raw: bytes = b"", kind: str = OCI_MANIFEST, **more: Any
    ) -> Task:
        config = encoded({"architecture": "amd64", "os": "linux"})
        for content in (config, *layers):
            there.add_blob(repository, content)
        there.add_manifest(repository, "1", raw or image(config, *layers), kind)
        source, to = Reference(there.host, repository, "1"), Reference(here.host, repository, "1")
        return Task(Item(Wish(source, repository, **more), source, to), client.head_manifest(source))

    return push


def copy(transport: DirectTransport, task: Task) -> Traffic:
    return transport.execute(transport.prepare(task, check_mode=False)).traffic


# ------------------------------------------------------------------ registries that do not keep their word


@pytest.mark.parametrize(("complaint", "times"), [(BLOB_UNKNOWN, 2), (ECR_LAYERS_MISSING, 1)])
def test_a_blob_that_was_said_to_be_there_is_uploaded_after_all(
    transport: DirectTransport, publish: Publish, here: FakeRegistry, complaint: Any, times: int
) -> None:
    task = publish("team/app", b"layer")
    here.add_blob("team/app", b"layer")
    here.on("PUT", "/manifests/", complaint, times=times)
    traffic = copy(transport, task)
    assert (traffic.reused, traffic.moved) == (
        0,
        len(b"layer") + len(encoded({"architecture": "amd64", "os": "linux"})),
    )
    assert len(here.asked("PUT", f"uploads/.*{sha256(b'layer').replace(':', '%3A')}")) == 1
    assert ("team/app", "1") in here.manifests


def test_a_registry_that_misses_blobs_for_ever_gets_no_tag(
    transport: DirectTransport, publish: Publish, here: FakeRegistry
) -> None:
    here.on("PUT", "/manifests/", BLOB_UNKNOWN, times=100)
    with pytest.raises(RegistryError, match="blob unknown to registry"):
        copy(transport, publish("team/app", b"layer"))
    assert len(here.asked("PUT", "/manifests/")) == 4
    assert here.manifests == {}


def test_a_child_that_was_said_to_be_there_is_copied_after_all(
    transport: DirectTransport, publish: Publish, here: FakeRegistry, there: FakeRegistry
) -> None:
    child = image(b"{}", b"layer")
    for content in (b"{}", b"layer"):
        there.add_blob("team/app", content)
    there.add_manifest("team/app", "child", child)
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(child, OCI_MANIFEST)]})
    here.manifests["team/app", sha256(child)] = (OCI_MANIFEST, child)
    here.on("PUT", "/manifests/1", BLOB_UNKNOWN, times=2)
    copy(transport, publish(raw=index, kind=OCI_INDEX))
    assert [seen.path.rpartition("/")[2] for seen in here.asked("PUT", "/manifests/")] == ["1", "1", sha256(child), "1"]
    assert ("team/app", sha256(b"layer")) in here.blobs


def test_an_index_whose_children_are_missed_for_ever_gets_no_tag(
    transport: DirectTransport, publish: Publish, here: FakeRegistry, there: FakeRegistry
) -> None:
    child = image(b"{}")
    there.add_blob("team/app", b"{}")
    there.add_manifest("team/app", "child", child)
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(child, OCI_MANIFEST)]})
    here.manifests["team/app", sha256(child)] = (OCI_MANIFEST, child)
    here.on("PUT", "/manifests/1", BLOB_UNKNOWN, times=100)
    with pytest.raises(RegistryError, match="blob unknown to registry"):
        copy(transport, publish(raw=index, kind=OCI_INDEX))
    assert ("team/app", "1") not in here.manifests


@pytest.mark.parametrize(
    "trouble", [answer(404, error("BLOB_UNKNOWN", "blob unknown")), answer(200, b"other"), answer(403)]
)
def test_no_manifest_without_all_its_blobs(
    transport: DirectTransport, publish: Publish, there: FakeRegistry, here: FakeRegistry, trouble: Any
) -> None:
    task = publish("team/app", b"one", b"layer", b"two")
    there.on("GET", f"/blobs/{sha256(b'layer')}", trouble, times=100)
    with pytest.raises(RegistryError, match=sha256(b"layer")):
        copy(transport, task)
    assert here.asked("PUT", "/manifests/") == []


def test_trouble_on_the_way_is_overcome(
    transport: DirectTransport, publish: Publish, there: FakeRegistry, here: FakeRegistry
) -> None:
    task = publish("team/app", b"layer")
    there.on("GET", "/blobs/", reset, answer(503), times=1)
    here.on("POST", "/uploads/", answer(429, retry_after="7"), answer(500))
    here.on("PUT", "/uploads/", reset, answer(500))
    here.on("PUT", "/manifests/", answer(429), reset)
    copy(transport, task)
    assert here.blobs["team/app", sha256(b"layer")] == b"layer"
    assert ("team/app", "1") in here.manifests


def test_a_registry_that_never_mounts_is_not_asked_for_ever(
    transport: DirectTransport, publish: Publish, here: FakeRegistry
) -> None:
    here.mounts = False
    for number in range(6):
        traffic = copy(transport, publish(f"team/app{number}", b"base"))
        assert traffic.mounted == 0
    asked = [(seen.path.split("/")[3], seen.query["from"][0]) for seen in here.asked("POST", "mount=")]
    from_others = [name for name, origin in asked if not origin.endswith(name)]
    # The layer and the configuration, until the third refusal.
    assert from_others == ["app1", "app1", "app2", "app2"]


def test_a_repository_that_is_gone_is_named(transport: DirectTransport, publish: Publish, here: FakeRegistry) -> None:
    here.on("POST", "/uploads/", answer(404, error("NAME_UNKNOWN", "The repository does not exist")), times=100)
    with pytest.raises(RepositoryMissingError, match=r"team/app was removed while .*team/app:1 was copied"):
        copy(transport, publish("team/app", b"layer"))


# ------------------------------------------------------------------ pulls


def test_every_manifest_that_is_read_is_a_pull(
    transport: DirectTransport, publish: Publish, there: FakeRegistry, pulls: Pulls
) -> None:
    children = [image(b"{}", bytes([number])) for number in range(3)]
    for number, child in enumerate(children):
        there.add_manifest("team/app", f"child{number}", child)
        there.add_blob("team/app", bytes([number]))
    there.add_blob("team/app", b"{}")
    listed = [descriptor(child, OCI_MANIFEST) for child in children]
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})
    copy(transport, publish(raw=index, kind=OCI_INDEX))
    assert sum(pulls.taken) == len(there.asked("GET", "/manifests/")) == 4


def test_without_pulls_nothing_is_read(
    transport: DirectTransport, publish: Publish, there: FakeRegistry, pulls: Pulls
) -> None:
    pulls.left = 0
    task = publish()
    with pytest.raises(Deferred):
        transport.prepare(task, check_mode=False)
    assert there.asked("GET") == []


def test_a_plan_spends_no_pulls(transport: DirectTransport, publish: Publish, there: FakeRegistry) -> None:
    there.extra_headers.update(METERED)
    prepared = transport.prepare(publish(), check_mode=True)
    assert prepared.traffic is None
    assert "counts that as a pull" in prepared.notes[0]
    assert there.asked("GET") == []


# ------------------------------------------------------------------ what is published


def test_lines_that_need_no_engine_are_applied_and_recorded(
    transport: DirectTransport, publish: Publish, here: FakeRegistry
) -> None:
    task = publish("team/app", b"layer", dockerfile=("ENV A=b",))
    transport.execute(transport.prepare(Task(task.item, task.found, recipe="dockerfile=x"), check_mode=False))
    made = json.loads(here.manifests["team/app", "1"][1])
    assert made["annotations"] == {SOURCE_DIGEST: str(task.found.digest), RECIPE: "dockerfile=x"}
    assert json.loads(here.blobs["team/app", made["config"]["digest"]])["config"]["Env"] == ["A=b"]
    assert here.blobs["team/app", sha256(b"layer")] == b"layer"


def test_more_manifests_than_an_honest_image_has_are_refused(
    transport: DirectTransport, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_images, "_MAX_BYTES", 100)
    with pytest.raises(InvalidManifestError, match="more than 100 bytes together"):
        transport.prepare(publish(), check_mode=False)


def listing(kind: str, *children: tuple[bytes, str]) -> bytes:
    platform = {"platform": {"os": "linux", "architecture": "amd64"}}
    entries = [{**descriptor(raw, of), **platform} for raw, of in children]
    return encoded({"schemaVersion": 2, "mediaType": kind, "manifests": entries})


def test_a_choice_from_a_list_of_docker_s_is_recorded_in_an_index(
    transport: DirectTransport, publish: Publish, here: FakeRegistry, there: FakeRegistry
) -> None:
    """Docker's list has no annotations; its images stay what they are."""
    child = image(CONFIG, b"layer", mediaType=DOCKER_MANIFEST)
    there.add_manifest("team/app", "child", child, DOCKER_MANIFEST)
    raw = listing(DOCKER_LIST, (child, DOCKER_MANIFEST))
    task = publish("team/app", b"layer", raw=raw, kind=DOCKER_LIST, platforms=(Platform("linux", "amd64"),))
    transport.execute(transport.prepare(Task(task.item, task.found, recipe="platforms=linux/amd64"), check_mode=False))
    kind, made = here.manifests["team/app", "1"]
    assert (kind, json.loads(made)["mediaType"]) == (OCI_INDEX, OCI_INDEX)
    assert json.loads(made)["annotations"] == {SOURCE_DIGEST: str(task.found.digest), RECIPE: "platforms=linux/amd64"}
    assert json.loads(made)["manifests"] == json.loads(raw)["manifests"]
    assert here.manifests["team/app", sha256(child)] == (DOCKER_MANIFEST, child)


@pytest.mark.parametrize("nested", [False, True])
def test_an_index_of_too_many_manifests_is_refused_before_they_are_read(
    transport: DirectTransport, publish: Publish, there: FakeRegistry, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_images, "_MAX_CHILDREN", 2)
    children = [image(CONFIG, layer) for layer in (b"1", b"2", b"3")]
    raw = listing(OCI_INDEX, *((child, OCI_MANIFEST) for child in children))
    if nested:
        for one in (*children, raw):
            there.add_manifest("team/app", sha256(one), one, OCI_INDEX if one is raw else OCI_MANIFEST)
        raw = listing(OCI_INDEX, (raw, OCI_INDEX))
    task = publish(raw=raw, kind=OCI_INDEX)
    with pytest.raises(InvalidManifestError, match="no honest image has"):
        transport.prepare(task, check_mode=False)
    assert bool(there.asked("GET", "/manifests/.*" + sha256(children[0]).split(":")[1])) is nested
