# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is published and what is left, with an engine and registries in memory: tests/integration/full has real ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Copied,
    Deferred,
    Item,
    Task,
    Traffic,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import recipe_of
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidManifestError,
    NotFound,
    PlatformNotFoundError,
    RegistryError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import OCI_INDEX, OCI_MANIFEST, Index
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import docker_transport, local_images
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import EngineError
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_transport import (
    TEMPORARY,
    DockerTransport,
)
from ansible_collections.stevedore.ecr.tests.unit.support.fake_engine import (
    LAYER_BYTES,
    REGISTRY,
    FakeEngine,
    FakeRegistries,
    image,
    index,
)

AMD, ARM = image("amd64", "base", "top", kind="oci"), image("arm64", "base", "arm", kind="oci")
BOTH = index(("amd64", AMD), ("arm64", ARM))
OTHER = image("amd64", "base", "other")
SOURCES = ("quay.io/team/single:1", "quay.io/team/multi:1", "quay.io/team/other:1")


class Place:
    """Registries with some images, an engine, and transports to it."""

    def __init__(self) -> None:
        self.registries = FakeRegistries()
        self.engine = FakeEngine(self.registries)
        self.registries.add(SOURCES[0], AMD)
        self.registries.add(SOURCES[1], BOTH, AMD, ARM)
        self.registries.add(SOURCES[2], OTHER)

    def transport(self, **more: Any) -> DockerTransport:
        with mock.patch.object(docker_transport, "Engine", return_value=self.engine):
            registries: Any = self.registries
            more.setdefault("credentials", lambda _registry: None)
            return DockerTransport(registries, registries, **more)

    def task(self, source: str = SOURCES[0], to: str = "app:1", **more: Any) -> Task:
        ref = Reference.parse(source)
        wish = Wish(ref, to.partition(":")[0], transport="docker", **more)
        found = self.registries.get_manifest(ref).descriptor
        item = Item(wish, ref, Reference.parse(f"{REGISTRY}/{to}"))
        return Task(item, found, recipe_of(wish, found))

    def copy(self, *tasks: Task, **more: Any) -> list[Copied]:
        transport = self.transport(**more)
        try:
            return [transport.execute(transport.prepare(task, check_mode=False)) for task in tasks]
        finally:
            transport.close()


@pytest.fixture
def place() -> Place:
    return Place()


def platforms(*names: str) -> tuple[Platform, ...]:
    return tuple(Platform("linux", name) for name in names)


def test_nothing_is_asked_before_there_is_something_to_copy(place: Place) -> None:
    transport = place.transport()
    prepared = transport.prepare(place.task(), check_mode=True)
    assert (prepared.traffic, list(prepared.notes)) == (None, [])
    assert place.engine.asked == []


def test_one_image(place: Place) -> None:
    (copied,) = place.copy(place.task())
    (published,) = place.registries.tags_of("app").values()
    assert published.media_type == OCI_MANIFEST
    assert published.annotations == {SOURCE_DIGEST: str(AMD.digest), RECIPE: "engine"}
    assert copied.digest == published.digest
    assert copied.traffic.moved > 2 * LAYER_BYTES
    assert copied.notes == ()
    assert (place.engine.images, place.engine.names) == ({}, {})


def test_platforms(place: Place) -> None:
    one = place.task(SOURCES[1], "app:one", platforms=platforms("arm64"))
    both = place.task(SOURCES[1], "app:both", platforms=platforms("amd64", "arm64"))
    own = place.task(SOURCES[1], "app:own")
    place.copy(one, both, own)
    tags = place.registries.tags_of("app")
    assert [tags[tag].media_type for tag in ("one", "both", "own")] == [OCI_MANIFEST, OCI_INDEX, OCI_MANIFEST]
    listed = tags["both"]
    assert isinstance(listed, Index)
    assert listed.platforms == platforms("amd64", "arm64")
    assert listed.annotations[SOURCE_DIGEST] == str(BOTH.digest)
    assert f"pull quay.io/team/multi@{ARM.digest}" in place.engine.asked


@pytest.mark.parametrize("source", SOURCES[:2])
def test_a_platform_that_is_not_there(place: Place, source: str) -> None:
    with pytest.raises(PlatformNotFoundError, match="linux/s390x"):
        place.copy(place.task(source, platforms=platforms("s390x")))
    assert (place.registries.tags_of("app"), place.engine.names) == ({}, {})


def test_an_index_that_turns_out_to_be_none(place: Place) -> None:
    """A registry may say another thing of it when it is asked for the content."""
    task = place.task(SOURCES[0], platforms=platforms("amd64"))
    task = replace(task, found=replace(task.found, media_type=OCI_INDEX))
    with pytest.raises(InvalidManifestError, match="says that it is an index, and its content is none"):
        place.copy(task)
    assert (place.registries.tags_of("app"), place.engine.names) == ({}, {})


def test_lines_are_built_upon_the_digest(place: Place) -> None:
    place.copy(place.task(dockerfile=("RUN true", "LABEL a=b")))
    (dockerfile,) = place.engine.dockerfiles
    assert dockerfile.decode() == f"FROM quay.io/team/single@{AMD.digest}\nRUN true\nLABEL a=b\n"
    (published,) = place.registries.tags_of("app").values()
    assert published.annotations[RECIPE].startswith("dockerfile=sha256:")
    assert (place.engine.images, place.engine.names) == ({}, {})


def test_a_build_gets_the_logins_of_what_its_lines_copy_from_and_no_other(place: Place) -> None:
    logins = {"docker.io": Credentials("hub", "1"), "quay.io": Credentials("quay", "2")}
    lines = ("COPY --from=busybox /a /b", "COPY --from=ghcr.io/a/b /a /c")
    place.copy(place.task(dockerfile=lines), credentials=logins.get)
    assert place.engine.logins == [{"docker.io": logins["docker.io"]}]


def test_lines_for_buildkit_are_refused_before_the_engine_is_asked(place: Place) -> None:
    task = place.task(dockerfile=("USER x", "RUN --mount=type=tmpfs,target=/x y"))
    with pytest.raises(EngineError, match="without BuildKit, which 'line 2: RUN y' needs"):
        place.transport().prepare(task, check_mode=True)
    assert place.engine.asked == []


def test_tags_of_one_image_are_pushed_once(place: Place) -> None:
    first, second = place.copy(place.task(to="app:1"), place.task(to="app:latest"))
    assert first.digest == second.digest
    assert (second.traffic.moved, second.traffic.reused) == (0, first.traffic.moved)
    assert len([asked for asked in place.engine.asked if asked.startswith("push")]) == 1
    assert sorted(place.registries.tags_of("app")) == ["1", "latest"]


def test_bytes_are_counted_by_what_became_of_them(place: Place) -> None:
    results = place.copy(place.task(to="one:1"), place.task(SOURCES[2], "one:2"), place.task(SOURCES[2], "two:1"))
    config = OTHER.config.size if OTHER.config else 0
    assert [one.traffic for one in results[1:]] == [
        Traffic(moved=LAYER_BYTES + config, reused=LAYER_BYTES),
        Traffic(moved=config, mounted=2 * LAYER_BYTES),
    ]


# ------------------------------------------------------------------ what goes wrong


def test_a_failed_pull_or_push_leaves_nothing(place: Place) -> None:
    for verb in ("pull", "push", "build"):
        place.engine.failing = {verb: EngineError("no")}
        with pytest.raises(EngineError):
            place.copy(place.task(dockerfile=("RUN true",)))
        assert (place.registries.tags_of("app"), place.engine.images, place.engine.names) == ({}, {}, {})


def test_what_may_not_be_pulled_any_more_is_deferred(place: Place) -> None:
    refused = EngineError("toomanyrequests: You have reached your pull rate limit.")
    refused.is_limited = True
    place.engine.failing[f"pull {SOURCES[0].partition(':')[0]}@{AMD.digest}"] = refused
    with pytest.raises(Deferred, match="You have reached your pull rate limit"):
        place.copy(place.task())
    assert (place.registries.tags_of("app"), place.engine.names) == ({}, {})


def test_what_was_pushed_for_a_tag_that_failed_is_not_taken_for_done(place: Place) -> None:
    place.registries.immutable = True
    place.registries.add(f"{REGISTRY}/app:1", OTHER)
    transport = place.transport()
    with pytest.raises(RegistryError, match="immutable"):
        transport.execute(transport.prepare(place.task(to="app:1"), check_mode=False))
    transport.execute(transport.prepare(place.task(to="app:2"), check_mode=False))
    transport.close()
    tags = place.registries.tags_of("app")
    assert tags["1"].digest == OTHER.digest
    assert tags["2"].annotations[SOURCE_DIGEST] == str(AMD.digest)
    assert place.engine.images == {}


def test_an_immutable_tag_that_another_run_wrote_in_the_meantime(place: Place) -> None:
    place.registries.immutable = True
    place.copy(place.task())
    (mine,) = place.registries.tags_of("app").values()
    # Made of the same in the same way, by an engine that compresses otherwise.
    place.registries.add(SOURCES[0], AMD)
    with mock.patch.object(docker_transport.records, "recorded", return_value=OTHER):
        (copied,) = place.copy(place.task())
    assert copied.digest == mine.digest


def test_without_permission_the_temporary_tag_is_left_and_named(place: Place) -> None:
    place.registries.may_discard = False
    (copied,) = place.copy(place.task())
    (left,) = place.registries.tags_of("app").keys() - {"1"}
    assert left.startswith(TEMPORARY)
    (note,) = copied.notes
    assert left in note
    assert "ecr:BatchDeleteImage" in note


@pytest.mark.parametrize("may_write", [True, False])
def test_an_image_that_somebody_may_use_by_digest_does_not_go_with_the_temporary_tag(
    place: Place, may_write: bool
) -> None:
    """As the engine pushed it before, without this collection."""
    old = image("amd64", "base", "top")
    place.registries.add(f"{REGISTRY}/app:1", old)
    place.registries.fixed = () if may_write else (TEMPORARY,)
    (copied,) = place.copy(place.task())
    tags = place.registries.tags_of("app")
    assert place.registries.documents[f"{REGISTRY}/app", old.digest] == old
    assert tags["1"].annotations[SOURCE_DIGEST] == str(AMD.digest)
    if may_write:
        assert (tags.keys(), copied.notes) == ({"1"}, ())
    else:
        (left,) = tags.keys() - {"1"}
        assert left in copied.notes[0]


def test_what_somebody_else_removes_is_pulled_again(place: Place) -> None:
    place.engine.cleaned_up = 1
    place.copy(place.task())
    pulled = [asked for asked in place.engine.asked if asked.startswith("pull")]
    assert pulled == [f"pull quay.io/team/single@{AMD.digest}"] * 2
    place.engine.cleaned_up = 10
    with pytest.raises(EngineError, match="somebody else"):
        place.copy(place.task(to="app:2"))


def test_a_full_disk_is_cleared_of_what_is_not_used_any_more(place: Place) -> None:
    place.engine.rooms = 1
    place.copy(place.task(to="one:1"), place.task(SOURCES[2], "two:1"))
    assert place.engine.images == {}
    place.engine.rooms = 0
    with pytest.raises(EngineError, match="no space"):
        place.copy(place.task(to="one:2"))


def test_images_linger_for_the_next_ones_but_not_for_ever(place: Place) -> None:
    names = [f"quay.io/team/many-{number}:1" for number in range(12)]
    for number, name in enumerate(names):
        place.registries.add(name, image("amd64", "base", f"layer {number}"))
    transport = place.transport()
    for number, name in enumerate(names):
        transport.execute(transport.prepare(place.task(name, f"many:{number}"), check_mode=False))
        assert len(place.engine.images) <= local_images._LINGERING + 1
    assert len(place.engine.images) == local_images._LINGERING
    transport.close()
    assert place.engine.images == {}


def test_a_closed_engine_is_not_asked(place: Place) -> None:
    place.transport().close()
    assert place.engine.asked == ["close"]


def test_keep_local(place: Place) -> None:
    place.copy(place.task(), place.task(to="app:2"), place.task(dockerfile=("RUN true",), to="app:3"), keep_local=True)
    kept = sorted(name for name in place.engine.names if name.startswith(REGISTRY))
    assert kept == [f"{REGISTRY}/app:{tag}" for tag in (1, 2, 3)]
    assert f"quay.io/team/single@{AMD.digest}" in place.engine.names


# ------------------------------------------------------------------ many at a time

wishes = st.tuples(
    st.sampled_from(SOURCES),
    st.sampled_from(["app", "two"]),
    st.sampled_from(["", "amd64", "arm64", "amd64 arm64"]),
    st.booleans(),
)
local = st.lists(
    st.tuples(st.sampled_from(["own/kept:1", f"{REGISTRY}/app:old", "digest", "destination"]), st.booleans()),
    max_size=4,
    unique_by=lambda chosen: chosen[0],
)


@given(st.lists(wishes, min_size=1, max_size=8), local, st.booleans())
def test_whatever_is_copied_the_engine_is_as_before_and_every_tag_is_what_was_wished(
    asked: list[tuple[str, str, str, bool]], there: list[tuple[str, bool]], mounts: bool
) -> None:
    place = Place()
    place.registries.mounts = mounts
    for name, is_other in there:
        _have(place, name, AMD if not is_other else OTHER, SOURCES[0] if not is_other else SOURCES[2])
    before = dict(place.engine.names), dict(place.engine.images)
    tasks = [
        place.task(
            source,
            f"{to}:{number}",
            platforms=platforms(*chosen.split()),
            dockerfile=("RUN true",) if lines else (),
        )
        for number, (source, to, chosen, lines) in enumerate(asked)
    ]
    transport = place.transport()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda task: _attempt(transport, task), tasks))
    transport.close()
    assert not [copied.notes for copied in done if copied and copied.notes]
    assert (place.engine.names, place.engine.images) == before
    wanted: dict[str, dict[str, dict[str, str]]] = {"app": {}, "two": {}}
    for task, copied in zip(tasks, done, strict=True):
        to = task.item.destination
        if copied:
            wanted[to.repository][str(to.tag)] = {SOURCE_DIGEST: str(task.found.digest), RECIPE: task.recipe}
    for repository, records in wanted.items():
        found = place.registries.tags_of(repository)
        assert {tag: one.annotations for tag, one in found.items() if tag != "old"} == records


def _attempt(transport: DockerTransport, task: Task) -> Copied | None:
    try:
        return transport.execute(transport.prepare(task, check_mode=False))
    except PlatformNotFoundError:
        return None


def _have(place: Place, name: str, what: Any, source: str) -> None:
    """The engine has the image by that name before."""
    ref = Reference.parse(source).with_digest(what.digest)
    if name == "destination":
        # Pulled from the destination by digest.
        ref = Reference.parse(f"{REGISTRY}/app@{what.digest}")
        place.registries.add(f"{REGISTRY}/app:old", what)
    place.engine.pull(str(ref), None)
    if name not in ("digest", "destination"):
        place.engine.names[name] = str(what.config.digest)
        del place.engine.names[str(ref)]


def test_a_layer_goes_to_one_repository_first() -> None:
    layers = docker_transport._LayersInTransit()
    order: list[str] = []
    inside, may_leave = threading.Event(), threading.Event()

    def first() -> None:
        with layers.turn(["base", "a"]):
            order.append("first begins")
            inside.set()
            may_leave.wait(20)
            order.append("first ends")

    def second() -> None:
        with layers.turn(["base", "b"]):
            order.append("second")

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(first)]
        inside.wait(20)
        jobs.append(pool.submit(second))
        with layers.turn(["unrelated"]):
            order.append("unrelated")
        may_leave.set()
        for job in jobs:
            job.result(20)
    assert order == ["first begins", "unrelated", "first ends", "second"]


def test_a_layer_that_failed_to_go_is_nobody_elses_to_wait_for() -> None:
    layers = docker_transport._LayersInTransit()
    with pytest.raises(ValueError, match="no"), layers.turn(["base"]):
        raise ValueError("no")
    assert (layers._moving, layers._there) == (set(), set())


def test_the_registry_does_not_have_what_the_engine_says_it_pushed(place: Place) -> None:
    with mock.patch.object(place.engine, "push", return_value={}), pytest.raises(NotFound, match=TEMPORARY):
        place.copy(place.task())
    assert place.engine.names == {}
