# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The direct transport between real registries, and into the loopback ECR with all its quirks."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from docker_registry import DockerRegistry
from pushing import Pusher
from registry import OCI_CONFIG, OCI_INDEX, OCI_LAYER, Ecr, Json, descriptor, encoded, sha256

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Copied,
    Item,
    RepositoryMissingError,
    Task,
    Traffic,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    DigestMismatch,
    PlatformNotFoundError,
    RegistryError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.direct import DirectTransport
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import RegistryDestination
from loopback.client import Cloud

PARALLEL = 8
BASE = bytes(range(256)) * 4000  # 1 MB
ARM, AMD = "linux/arm64", "linux/amd64"


class PlentyOfPulls:
    def take(self, registry: str, pulls: int) -> None:
        """There is no end of them."""


class EcrDestination(RegistryDestination):
    """The registry, and of ECR's own API what tells of layers."""

    def __init__(self, client: Client, registry: str, ecr: Any, *, mounts: bool) -> None:
        super().__init__(client, registry)
        self._ecr, self._mounts = ecr, mounts

    def missing_blobs(self, repository: str, blobs: Sequence[Digest]) -> set[Digest] | None:
        digests = [str(blob) for blob in blobs]
        found = self._ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=digests)["layers"]
        there = {layer["layerDigest"] for layer in found if layer["layerAvailability"] == "AVAILABLE"}
        return {blob for blob in blobs if str(blob) not in there}

    def may_mount(self) -> bool:
        return self._mounts


class Mirror:
    """Copies tags of the same name, with a fresh transport each time."""

    def __init__(self, client: Client, source: str, destination: RegistryDestination) -> None:
        self._client, self._source, self._destination = client, source, destination

    def task(self, repository: str, tag: str, *, to: str = "", platforms: Sequence[str] = (), **more: Any) -> Task:
        wanted = tuple(Platform.parse(platform) for platform in platforms)
        is_digest = ":" in tag
        source, destination = (
            ref.with_digest(Digest.parse(tag)) if is_digest else ref.with_tag(tag)
            for ref in (Reference(self._source, repository), Reference(self._destination.registry, to or repository))
        )
        item = Item(Wish(source, destination.repository, platforms=wanted), source, destination)
        recipe = f"platforms={','.join(platforms)}" if platforms else ""
        return Task(item, self._client.head_manifest(source), recipe, **more)

    def plan(self, *tasks: Task) -> list[Traffic | None]:
        with self._transport() as transport, ThreadPoolExecutor(PARALLEL) as pool:
            prepared = list(pool.map(lambda task: transport.prepare(task, check_mode=True), tasks))
            return [one.traffic for one in prepared]

    def copy(self, *tasks: Task) -> list[Copied]:
        with self._transport() as transport, ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(lambda task: transport.execute(transport.prepare(task, check_mode=False)), tasks))

    def _transport(self) -> _Transport:
        return _Transport(self._client, self._destination, blob_workers=PARALLEL, budget=PlentyOfPulls())


class _Transport(DirectTransport):
    def __enter__(self) -> DirectTransport:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def total(found: Sequence[Traffic | None]) -> Traffic:
    some = [one for one in found if one]
    return Traffic(sum(one.moved for one in some), sum(one.reused for one in some), sum(one.mounted for one in some))


def traffic(copied: Sequence[Copied]) -> Traffic:
    return total([one.traffic for one in copied])


# ------------------------------------------------------------------ between real registries


@pytest.fixture
def there(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path) as registry:
        yield registry


@pytest.fixture
def here(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path) as registry:
        yield registry


@pytest.fixture
def source(there: DockerRegistry) -> Pusher:
    return Pusher(there.url)


@pytest.fixture
def target(here: DockerRegistry) -> Pusher:
    return Pusher(here.url)


@pytest.fixture
def mirror(there: DockerRegistry, here: DockerRegistry) -> Iterator[Mirror]:
    client = Client(http=Http(connections=32))
    destination = RegistryDestination(client, here.host)
    yield Mirror(client, there.host, destination)
    destination.close()
    client.close()


def single(source: Pusher, repository: str, **more: Any) -> None:
    source.image(repository, "1", BASE, b"top", **more)


def with_layers(*layers: Json) -> Callable[[Pusher, str], None]:
    """An image whose layers are described in other ways than usual; those without urls are pushed."""

    def build(source: Pusher, repository: str) -> None:
        config = encoded({"architecture": "amd64", "os": "linux"})
        for content in (config, b"odd", b""):
            source.blob(repository, content)
        source.manifest_of(config, list(layers), repository, "1")

    return build


def index(source: Pusher, repository: str, *, docker: bool = False) -> None:
    children = {
        platform: source.image(
            repository, None, BASE, platform.encode(), docker=docker, config={"architecture": platform.split("/")[1]}
        )
        for platform in (AMD, ARM)
    }
    if not docker:
        children["attestation"] = source.image(repository, None, b"attestation")
    source.index(repository, "1", children, docker=docker)


def nested(source: Pusher, repository: str) -> None:
    inner = source.index(repository, None, {AMD: source.image(repository, None, BASE)})
    listed = [descriptor(inner, OCI_INDEX), descriptor(source.image(repository, None, b"x"), OCI_CONFIG)]
    listed[1]["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
    raw = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})
    source.put(repository, "1", raw, OCI_INDEX)


KINDS: dict[str, Callable[[Pusher, str], None]] = {
    "OCI": single,
    "Docker": lambda source, repository: single(source, repository, docker=True),
    "index": index,
    "Docker list": lambda source, repository: index(source, repository, docker=True),
    "index in an index": nested,
    "zstd": with_layers(descriptor(b"odd", "application/vnd.oci.image.layer.v1.tar+zstd")),
    "empty layer": with_layers(descriptor(b"", OCI_LAYER)),
    "no layers": with_layers(),
    "the same layer twice": with_layers(descriptor(b"odd", OCI_LAYER), descriptor(b"odd", OCI_LAYER)),
    "foreign layer": with_layers(
        descriptor(b"odd", OCI_LAYER),
        {
            **descriptor(b"not here", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            "urls": ["https://licensed.example/layer"],
        },
    ),
    "artifact": lambda source, repository: single(source, repository, artifactType="application/vnd.example.sbom"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_very_bytes_arrive(mirror: Mirror, source: Pusher, target: Pusher, kind: str) -> None:
    KINDS[kind](source, "team/app")
    copied = mirror.copy(mirror.task("team/app", "1", to="copy/app"))
    raw = target.assert_complete("copy/app", "1")
    assert raw == source.raw("team/app", "1")
    assert str(copied[0].digest) == sha256(raw)


def family(source: Pusher) -> list[tuple[str, str]]:
    found = [(f"team/app{number}", tag) for number in range(5) for tag in ("1", "2", "3")]
    for repository, tag in found:
        source.image(repository, tag, BASE, f"{repository}{tag}".encode(), config={"of": [repository, tag]})
    return found


def test_each_blob_crosses_once_whoever_shares_it(
    mirror: Mirror, source: Pusher, target: Pusher, there: DockerRegistry, here: DockerRegistry
) -> None:
    images = family(source)
    tasks = [mirror.task(*image) for image in images]
    planned = total(mirror.plan(*tasks))
    assert target.tags("team/app0") == []
    there.requests(), here.requests()
    copied = mirror.copy(*tasks)
    fetched = Counter(asked.path for asked in there.requests() if "/blobs/" in asked.path)
    assert len(fetched) == 1 + 2 * len(images)
    assert set(fetched.values()) == {1}
    sent = here.requests()
    assert sum(asked.method == "PUT" and "/blobs/" in asked.path for asked in sent) == len(fetched)
    assert not [asked for asked in sent if asked.status >= 400]
    assert traffic(copied) == planned
    assert (planned.mounted, planned.reused) == (4 * len(BASE), 10 * len(BASE))
    for repository, tag in images:
        assert target.assert_complete(repository, tag) == source.raw(repository, tag)


def test_a_second_run_moves_nothing(mirror: Mirror, source: Pusher, here: DockerRegistry) -> None:
    images = family(source)
    mirror.copy(*(mirror.task(*image) for image in images))
    tasks = [mirror.task(*image) for image in images]
    planned = total(mirror.plan(*tasks))
    here.requests()
    again = mirror.copy(*tasks)
    assert not [asked for asked in here.requests() if asked.method == "PUT" and "/blobs/" in asked.path]
    found = traffic(again)
    # This registry tells only by a mount, and who is not the first mounts from there what may be here already.
    assert (found.moved, found.mounted + found.reused) == (0, planned.reused)


def test_what_an_index_shares_with_its_predecessor_is_neither_read_nor_pushed(
    mirror: Mirror, source: Pusher, target: Pusher, there: DockerRegistry, here: DockerRegistry
) -> None:
    same = source.image("team/app", None, BASE)
    for number, tag in enumerate(("1", "1")):
        other = source.image("team/app", None, f"{number}".encode(), config={"architecture": "arm64"})
        source.index("team/app", tag, {AMD: same, ARM: other})
        there.requests(), here.requests()
        mirror.copy(mirror.task("team/app", "1"))
    assert not [asked for asked in there.requests() if sha256(same) in asked.path]
    pushed = [asked.path for asked in here.requests() if asked.method == "PUT" and "/manifests/" in asked.path]
    assert pushed == [f"/v2/team/app/manifests/{sha256(other)}", "/v2/team/app/manifests/1"]
    target.assert_complete("team/app", "1")


def test_an_image_with_a_damaged_layer_is_not_published_and_others_are(
    mirror: Mirror, source: Pusher, target: Pusher, there: DockerRegistry
) -> None:
    source.image("team/bad", "1", BASE, b"good")
    source.image("team/good", "1", b"good")
    there.damage_blob(sha256(BASE))
    with pytest.raises(DigestMismatch, match=sha256(BASE)):
        mirror.copy(mirror.task("team/bad", "1"))
    assert target.tags("team/bad") == []
    mirror.copy(mirror.task("team/good", "1"))
    target.assert_complete("team/good", "1")


def test_after_a_failure_only_what_is_missing_is_moved(
    mirror: Mirror, source: Pusher, target: Pusher, there: DockerRegistry
) -> None:
    raw = source.image("team/app", "1", BASE, b"lost")
    there.forget_blob("team/app", sha256(b"lost"))
    with pytest.raises(RegistryError, match=sha256(b"lost")):
        mirror.copy(mirror.task("team/app", "1"))
    assert target.tags("team/app") == []
    source.blob("team/app", b"lost")
    planned, copied = mirror.plan(mirror.task("team/app", "1")), mirror.copy(mirror.task("team/app", "1"))
    assert copied[0].traffic == planned[0]
    assert copied[0].traffic.reused >= len(BASE)
    assert copied[0].traffic.moved >= len(b"lost")
    assert target.assert_complete("team/app", "1") == raw


def test_a_choice_of_platforms_is_an_index_of_the_same_images(mirror: Mirror, source: Pusher, target: Pusher) -> None:
    index(source, "team/app")
    task = mirror.task("team/app", "1", platforms=[ARM])
    copied = mirror.copy(task)
    chosen = json.loads(target.assert_complete("team/app", "1"))
    listed = json.loads(source.raw("team/app", "1"))["manifests"]
    assert chosen["manifests"] == [entry for entry in listed if entry["platform"]["architecture"] == "arm64"]
    assert chosen["annotations"] == {SOURCE_DIGEST: str(task.found.digest), RECIPE: task.recipe}
    assert mirror.copy(task)[0].digest == copied[0].digest


def test_an_image_of_one_platform_is_taken_if_it_is_the_one(mirror: Mirror, source: Pusher, target: Pusher) -> None:
    source.image("team/app", "1", b"layer")
    with pytest.raises(PlatformNotFoundError, match=r"is for linux/amd64 only, not for linux/arm64"):
        mirror.plan(mirror.task("team/app", "1", platforms=[ARM]))
    mirror.copy(mirror.task("team/app", "1", platforms=[AMD]))
    assert json.loads(target.assert_complete("team/app", "1"))["annotations"][RECIPE] == f"platforms={AMD}"


def referrer(source: Pusher, repository: str, subject: bytes, content: bytes) -> bytes:
    listed = descriptor(subject, "application/vnd.oci.image.manifest.v1+json")
    kind = "application/vnd.example.signature"
    return source.image(repository, None, content, subject=listed, artifactType=kind, annotations={"n": "1"})


def test_referrers_are_listed_by_a_tag_where_the_registry_has_no_list(
    mirror: Mirror, source: Pusher, target: Pusher
) -> None:
    subject = source.image("team/app", "1", b"layer")
    signatures = [referrer(source, "team/app", subject, content) for content in (b"one", b"two")]
    tasks = [mirror.task("team/app", sha256(signature)) for signature in signatures]
    mirror.copy(mirror.task("team/app", "1"), *tasks)
    mirror.copy(*tasks)
    fallback = json.loads(target.raw("team/app", sha256(subject).replace(":", "-")))
    assert {entry["digest"] for entry in fallback["manifests"]} == {sha256(raw) for raw in signatures}
    assert len(fallback["manifests"]) == 2
    assert {entry["artifactType"] for entry in fallback["manifests"]} == {"application/vnd.example.signature"}
    assert target.tags("team/app") == ["1", sha256(subject).replace(":", "-")]


def test_many_at_once_into_few_repositories(mirror: Mirror, source: Pusher, target: Pusher) -> None:
    """Registries on files have been seen to stumble over two writers of one blob in one repository."""
    images = [(f"team/app{number % 2}", str(number)) for number in range(24)]
    for repository, tag in images:
        source.image(repository, tag, BASE[:5000], b"shared", tag.encode())
    for attempt in range(2):
        tasks = [mirror.task(repository, tag, to=f"{repository}/{attempt}") for repository, tag in images]
        mirror.copy(*tasks)
        for repository, tag in images:
            target.assert_complete(f"{repository}/{attempt}", tag)


# ------------------------------------------------------------------ into ECR


REPOSITORIES = ("team/app", "team/web", "team/job")


def ecr_host(cloud: Cloud) -> str:
    return urlsplit(cloud.registry).netloc


@pytest.fixture
def into_ecr(cloud: Cloud, there: DockerRegistry) -> Iterator[Callable[..., Mirror]]:
    """into_ecr(mounts=, source=): a mirror into the account's registry; its repositories are made."""
    for name in REPOSITORIES:
        cloud.client("ecr").create_repository(repositoryName=name)
    with ExitStack() as stack:

        def make(*, mounts: bool, source: str = "") -> Mirror:
            ecr = cloud.client("ecr")
            ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED" if mounts else "DISABLED")
            found = ecr.get_authorization_token()["authorizationData"][0]
            username, password = base64.b64decode(found["authorizationToken"]).decode().split(":", 1)
            settings = RegistrySettings(credentials=lambda: Credentials(username, password))
            client = Client({ecr_host(cloud): settings}, http=Http(connections=32))
            stack.callback(client.close)
            destination = EcrDestination(client, ecr_host(cloud), ecr, mounts=mounts)
            stack.callback(destination.close)
            return Mirror(client, source or there.host, destination)

        yield make


@pytest.fixture
def ecr_target(cloud: Cloud) -> Pusher:
    ecr = Ecr(cloud)
    return Pusher(ecr.origin, ecr.authorization)


def shared(source: Pusher) -> None:
    for name in REPOSITORIES:
        source.image(name, "1", BASE, name.encode(), config={"of": name})
    index(source, "team/app")


@pytest.mark.parametrize("mounts", [True, False])
def test_ecr_takes_a_blob_once_if_it_mounts_and_once_a_repository_if_not(
    cloud: Cloud, into_ecr: Callable[..., Mirror], source: Pusher, ecr_target: Pusher, mounts: bool
) -> None:
    shared(source)
    mirror = into_ecr(mounts=mounts)
    tasks = [mirror.task(name, "1") for name in REPOSITORIES]
    planned = total(mirror.plan(*tasks))
    copied = mirror.copy(*tasks)
    assert traffic(copied) == planned
    assert planned.mounted == (2 * len(BASE) if mounts else 0)
    for name in REPOSITORIES:
        assert ecr_target.assert_complete(name, "1") == source.raw(name, "1")
    assert not [call for call in cloud.calls() if call["status"] >= 500]


def test_ecr_that_is_said_to_mount_and_does_not(
    cloud: Cloud, into_ecr: Callable[..., Mirror], source: Pusher, ecr_target: Pusher
) -> None:
    shared(source)
    mirror = into_ecr(mounts=True)
    cloud.client("ecr").put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    copied = mirror.copy(*(mirror.task(name, "1") for name in REPOSITORIES))
    assert traffic(copied).mounted == 0
    for name in REPOSITORIES:
        assert ecr_target.assert_complete(name, "1") == source.raw(name, "1")


def test_a_second_run_into_ecr_uploads_nothing(cloud: Cloud, into_ecr: Callable[..., Mirror], source: Pusher) -> None:
    shared(source)
    mirror = into_ecr(mounts=True)
    tasks = [mirror.task(name, "1") for name in REPOSITORIES]
    mirror.copy(*tasks)
    cloud.forget_calls()
    again = mirror.copy(*tasks)
    assert (traffic(again).moved, traffic(again).mounted) == (0, 0)
    assert not [call for call in cloud.calls() if call["method"] == "POST" and "/blobs/uploads" in call["path"]]


def test_two_runs_at_the_same_time(into_ecr: Callable[..., Mirror], source: Pusher, ecr_target: Pusher) -> None:
    shared(source)
    mirror = into_ecr(mounts=True)
    tasks = [mirror.task(name, "1") for name in REPOSITORIES]
    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(mirror.copy, *tasks) for _run in range(2)]:
            run.result()
    for name in REPOSITORIES:
        assert ecr_target.assert_complete(name, "1") == source.raw(name, "1")


def test_between_repositories_of_one_ecr_nothing_moves(
    cloud: Cloud, into_ecr: Callable[..., Mirror], ecr_target: Pusher
) -> None:
    raw = ecr_target.image("team/app", "1", BASE, b"top")
    mirror = into_ecr(mounts=True, source=ecr_host(cloud))
    copied = mirror.copy(mirror.task("team/app", "1", to="team/web"))
    assert (copied[0].traffic.moved, copied[0].traffic.reused) == (0, 0)
    assert copied[0].traffic.mounted > len(BASE)
    assert ecr_target.assert_complete("team/web", "1") == raw


def test_a_repository_that_is_deleted_meanwhile(cloud: Cloud, into_ecr: Callable[..., Mirror], source: Pusher) -> None:
    shared(source)
    mirror = into_ecr(mounts=True)
    task = mirror.task("team/web", "1", create_repository=True)
    cloud.client("ecr").delete_repository(repositoryName="team/web", force=True)
    with pytest.raises(RepositoryMissingError, match=r"team/web was removed while .*team/web:1 was copied"):
        mirror.copy(task)


@pytest.mark.parametrize("same", [True, False])
def test_an_immutable_tag_that_somebody_else_has_written_meanwhile(
    cloud: Cloud, into_ecr: Callable[..., Mirror], source: Pusher, ecr_target: Pusher, same: bool
) -> None:
    source.image("team/app", "1", b"layer")
    ecr_target.image("team/app", "1", b"layer" if same else b"other")
    cloud.client("ecr").put_image_tag_mutability(repositoryName="team/app", imageTagMutability="IMMUTABLE")
    mirror = into_ecr(mounts=True)
    task = mirror.task("team/app", "1", immutable=True)
    if same:
        assert mirror.copy(task)[0].digest == task.found.digest
        return
    with pytest.raises(RegistryError, match="already exists"):
        mirror.copy(task)


def test_ecr_lists_referrers_itself(into_ecr: Callable[..., Mirror], source: Pusher, ecr_target: Pusher) -> None:
    subject = source.image("team/app", "1", b"layer")
    signature = referrer(source, "team/app", subject, b"one")
    mirror = into_ecr(mounts=True)
    mirror.copy(mirror.task("team/app", "1"))
    mirror.copy(mirror.task("team/app", sha256(signature)))
    listed = ecr_target.call("GET", f"/v2/team/app/referrers/{sha256(subject)}").json["manifests"]
    assert [entry["digest"] for entry in listed] == [sha256(signature)]
    assert ecr_target.tags("team/app") == ["1"]
