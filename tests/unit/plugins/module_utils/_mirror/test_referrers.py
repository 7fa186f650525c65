# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What refers to an image goes with it: in whole runs between registries in memory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import RegistryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirror import REGISTRY, World, image, index

HUB = "docker.io"
APP: dict[str, Any] = {"source": "org/app:1", "repository": "app", "referrers": True}


@pytest.fixture
def world() -> World:
    """The image app 1 for two platforms: signed as a whole by cosign, one of its platforms with a list of parts, and
    that is signed too."""
    world = World("app")
    amd64, arm64 = image("amd64"), image("arm64")
    top = world.source.add("org/app:1", index(linux_amd64=amd64, linux_arm64=arm64), amd64, arm64)
    world.source.add(f"org/app:{cosign(top.digest)}", image("signature of app"))
    parts = image("parts", subject=amd64)
    world.source.add("org/app", parts)
    world.source.add("org/app", image("signature of parts", subject=parts))
    return world


def cosign(digest: Digest, kind: str = "sig") -> str:
    return f"{digest.algorithm}-{digest.encoded}.{kind}"


def digest_of(world: World, name: str) -> Digest:
    return next(digest for (_name, digest) in world.source.documents if name in _config_of(world, digest))


def _config_of(world: World, digest: Digest) -> list[str]:
    names = ("amd64", "arm64", "signature of app", "parts", "signature of parts")
    document = world.source.documents[f"{HUB}/org/app", digest]
    config = getattr(document, "config", None)
    return [name for name in names if config and config.digest == Digest.of(name.encode())]


def rows(report: Report) -> list[tuple[str, str, str]]:
    return [(one.kind, one.destination.removeprefix(f"{REGISTRY}/"), one.action) for one in report.images]


def test_signatures_and_the_like_go_with_their_image(world: World) -> None:
    top = world.source.tags[f"{HUB}/org/app"]["1"]
    report = world.run(APP)

    expected = [
        ("image", "app:1"),
        ("referrer", f"app:{cosign(top)}"),
        ("referrer", f"app@{digest_of(world, 'parts')}"),
        ("referrer", f"app@{digest_of(world, 'signature of parts')}"),
    ]
    assert rows(report) == [(*row, "copy") for row in expected]
    assert all(("app", digest) in world.destination.documents for _name, digest in world.source.documents)
    # The image is there before what refers to it.
    assert world.direct.executed == [f"{REGISTRY}/{name}" for _kind, name in expected]

    again = world.again(APP)

    assert rows(again) == [(*row, "up_to_date") for row in expected]
    # The platforms are known from the destination.
    assert world.source.count("GET") == 0


def test_a_signature_that_is_made_later_comes_later(world: World) -> None:
    world.run(APP)
    arm64 = digest_of(world, "arm64")
    world.source.add(f"org/app:{cosign(arm64, 'att')}", image("attestation"))

    report = world.again(APP)

    copied = [one for one in rows(report) if one[2] == "copy"]
    assert copied == [("referrer", f"app:{cosign(arm64, 'att')}", "copy")]


def test_nobody_asks_for_what_is_not_wished_for(world: World) -> None:
    report = world.run({**APP, "referrers": False})

    assert rows(report) == [("image", "app:1", "copy")]
    assert world.source.count("REFERRERS") == 0


def test_of_a_listed_repository_the_tags_are_known(world: World) -> None:
    world.source.add("org/app:2", image("app 2"))
    wanted = {"source": "org/app", "repository": "app", "select": {}, "referrers": True}

    report = world.run(wanted)

    assert [row[1] for row in rows(report) if row[0] == "image"] == ["app:2", "app:1"]
    # Two images, and the one signature that the list has.
    assert world.source.count("HEAD") == 3


def test_two_tags_of_one_image_have_the_same_referrers(world: World) -> None:
    report = world.run({**APP, "source": "org/app", "tags": {"1": "stable"}}, APP)

    destinations = [row[1] for row in rows(report)]
    assert len(destinations) == len(set(destinations)) == 5
    assert destinations[0] == "app:stable"
    assert destinations[-1] == "app:1"


def test_check_mode_finds_the_same(world: World) -> None:
    planned = world.run(APP, settings={"check_mode": True})

    assert world.destination.tags == {"app": {}}
    assert rows(planned) == rows(world.again(APP))


def test_check_mode_costs_no_pull(world: World) -> None:
    world.source.limits[HUB] = RateLimit(100, 50)

    planned = world.run(APP, settings={"check_mode": True})

    assert world.source.count("GET") == 0
    assert [row[0] for row in rows(planned)] == ["image", "referrer"]
    assert "what refers to its single platforms would cost a pull to find out" in planned.images[0].notes


def test_an_image_is_deferred_with_its_referrers(world: World) -> None:
    world.source.limits[HUB] = RateLimit(100, 4)

    report = world.run(APP)

    assert {row[2] for row in rows(report)} == {"defer"}
    # The index was read, for the platforms.
    assert world.source.count("GET") == 1


def test_what_refers_to_it_does_not_come_without_it(world: World) -> None:
    world.direct.failing[f"{REGISTRY}/app:1"] = MirrorError("broken")

    report = world.run(APP)

    assert [row[2] for row in rows(report)] == ["fail", "skip", "skip", "skip"]
    assert report.images[1].reason == "not attempted: the image that it refers to was not copied"


def test_one_signature_that_fails_does_not_keep_the_others(world: World) -> None:
    world.run({**APP, "referrers": False})
    top = world.source.tags[f"{HUB}/org/app"]["1"]
    world.renew()
    world.direct.failing[f"{REGISTRY}/app:{cosign(top)}"] = MirrorError("broken")

    report = world.run(APP)

    assert [row[2] for row in rows(report)] == ["up_to_date", "fail", "copy", "copy"]


def test_the_image_comes_even_if_nobody_knows_what_refers_to_it(world: World) -> None:
    top = world.source.tags[f"{HUB}/org/app"]["1"]
    world.source.failing[f"REFERRERS {HUB}/org/app@{top}"] = RegistryError(
        "list the referrers", "it is in trouble", status=500
    )

    report = world.run(APP)

    assert rows(report) == [("image", "app:1", "copy"), ("referrer", "app:1", "fail")]
    assert report.failure.startswith("Failed for 1 of 2 images. ")
    assert "What refers to it was not copied: " in report.failure


def test_of_some_platforms_only_their_own_referrers(world: World) -> None:
    wanted = {**APP, "platforms": ["linux/amd64"]}

    report = world.run(wanted)

    assert [row[1] for row in rows(report)] == [
        "app:1",
        f"app@{digest_of(world, 'parts')}",
        f"app@{digest_of(world, 'signature of parts')}",
    ]
    assert report.images[0].notes == (
        "what refers to the image as a whole was left out: it has fewer platforms than that",
    )
    assert {row[2] for row in rows(world.again(wanted))} == {"up_to_date"}
    other = world.again({**wanted, "platforms": ["linux/arm64"]})
    assert [row[0] for row in rows(other)] == ["image"]


@pytest.mark.parametrize("manner", [{"transport": "docker"}, {"dockerfile": ["USER 1"]}])
def test_an_image_that_was_changed_has_no_signature(world: World, manner: dict[str, Any]) -> None:
    report = world.run({**APP, **manner})

    assert rows(report) == [("image", "app:1", "copy")]
    assert report.images[0].notes[0].startswith("its referrers were left out")


def test_referrers_go_as_they_are(world: World) -> None:
    """Whatever is to be done to the image."""
    world.run({**APP, "platforms": ["linux/amd64"], "on_moved_tag": "new_tag"})

    parts = digest_of(world, "parts")
    assert world.destination.documents["app", parts] == world.source.documents[f"{HUB}/org/app", parts]


def test_an_immutable_signature_that_moved_is_left_alone_if_tags_may_be_renamed(world: World) -> None:
    world.destination.immutable.add("app")
    world.run(APP)
    top = world.source.tags[f"{HUB}/org/app"]["1"]
    world.source.add(f"org/app:{cosign(top)}", image("signatures of app"))

    assert [row[2] for row in rows(world.again(APP))][:2] == ["up_to_date", "refuse"]
    assert [row[2] for row in rows(world.again({**APP, "on_moved_tag": "new_tag"}))][:2] == ["up_to_date", "skip"]


def test_a_source_without_end_is_refused() -> None:
    world = World("app")
    top = world.source.add("org/app:1", image("app"))
    for number in range(1100):
        world.source.add("org/app", image(f"referrer {number}", subject=top))

    report = world.run(APP)

    assert [row[2] for row in rows(report)] == ["copy", "fail"]
    assert "there are more than 1000" in report.images[1].reason
    assert world.source.count("REFERRERS") < 1100


def test_referrers_in_a_circle_end() -> None:
    """No registry can have them, as a digest is of content; one that lies can."""
    world = World("app")
    top = world.source.add("org/app:1", image("app"))
    referrer = world.source.add("org/app", image("liar", subject=top))

    def referrers(ref: object, digest: Digest) -> list[Any]:
        world.source.asked.append(("REFERRERS", str(digest)))
        return [referrer.descriptor]

    world.source.referrers = referrers  # type: ignore[method-assign]

    report = world.run(APP)

    assert rows(report) == [("image", "app:1", "copy"), ("referrer", f"app@{referrer.digest}", "copy")]
    assert world.source.count("REFERRERS") < 10
