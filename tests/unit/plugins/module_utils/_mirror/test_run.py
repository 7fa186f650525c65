# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole runs between registries in memory: what is asked, what is copied, what is reported."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import Interruption
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    InterruptedRunError,
    MirrorError,
    RepositoryMissingError,
    UnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.progress import Progress
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Entry, Report
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.run import Settings
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wishes import WishError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import Unauthorized, Unreachable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirror import REGISTRY, World, image, index

HUB = "docker.io"
CHECK = {"check_mode": True}


@pytest.fixture
def world() -> World:
    """Two images that share a layer; the destination has an empty repository for one of them."""
    world = World("nginx")
    world.source.add("nginx:1.27", image("nginx 1.27", "base", "web"))
    world.source.add("redis:7", image("redis 7", "base", "db"))
    return world


def actions(report: Report) -> list[tuple[str, str]]:
    return [(one.destination.removeprefix(f"{REGISTRY}/"), one.action) for one in report.images]


def entry(report: Report, destination: str) -> Entry:
    return next(one for one in report.images if one.destination == f"{REGISTRY}/{destination}")


# ------------------------------------------------------------------ copying


def test_copies_what_is_missing_and_then_nothing(world: World) -> None:
    report = world.run("nginx:1.27")

    assert actions(report) == [("nginx:1.27", "copy")]
    assert report.changed
    assert report.failure == ""
    digest = world.source.tags["docker.io/library/nginx"]["1.27"]
    assert world.destination.digest_of("nginx", "1.27") == digest
    one = entry(report, "nginx:1.27").as_dict()
    assert (one["source_digest"], one["digest"], one["previous_digest"]) == (str(digest), str(digest), None)
    assert one["bytes"] == {"moved": 3000, "reused": 0, "mounted": 0}

    again = world.again("nginx:1.27")

    assert actions(again) == [("nginx:1.27", "up_to_date")]
    assert not again.changed
    assert world.source.questions() == {"HEAD": 1}
    assert again.as_result()["actions"] == []


def test_follows_a_tag_that_moves(world: World) -> None:
    world.run("nginx:1.27")
    old = world.destination.digest_of("nginx", "1.27")
    new = world.source.add("nginx:1.27", image("nginx 1.27.1", "base", "web")).digest

    report = world.again("nginx:1.27")

    assert world.destination.digest_of("nginx", "1.27") == new
    one = entry(report, "nginx:1.27")
    assert (one.previous_digest, one.digest) == (str(old), str(new))
    assert one.reason == f"the source has moved from {old} to {new}"
    assert report.diff() == {
        "before_header": REGISTRY,
        "after_header": REGISTRY,
        "before": f"nginx:1.27 {old}\n",
        "after": f"nginx:1.27 {new}\n",
        "prepared": "copy nginx:1.27: 1,000 bytes to move, 2,000 there already\n",
    }


def test_one_source_in_two_places_is_asked_for_once(world: World) -> None:
    report = world.run({"source": "nginx", "tags": ["1.27", {"from": "1.27", "to": "stable"}]})

    assert actions(report) == [("nginx:1.27", "copy"), ("nginx:stable", "copy")]
    assert world.source.count("HEAD") == 1
    assert world.destination.digest_of("nginx", "stable") == world.destination.digest_of("nginx", "1.27")


def test_by_digest(world: World) -> None:
    digest = world.source.tags["docker.io/library/nginx"]["1.27"]
    wanted = [{"source": "nginx", "digest": str(digest)}, {"source": "redis:7", "repository": "nginx"}]

    report = world.run(*wanted)

    assert actions(report) == [(f"nginx@{digest}", "copy"), ("nginx:7", "copy")]
    assert entry(report, f"nginx@{digest}").tag is None
    assert [action for _name, action in actions(world.again(*wanted))] == ["up_to_date", "up_to_date"]


def test_a_selection(world: World) -> None:
    for tag in ("1.25.0", "1.26.0", "1.27.0", "latest"):
        world.source.add(f"nginx:{tag}", image(tag))
    wanted = {"source": "nginx", "select": {"semver": ">=1.26"}}

    report = world.run(wanted, "redis:7", settings={"create_repositories": True})

    assert actions(report) == [
        ("nginx:1.27.0", "copy"),
        ("nginx:1.27", "copy"),
        ("nginx:1.26.0", "copy"),
        ("redis:7", "copy"),
    ]
    # Only the repository that has to be matched is listed.
    assert [what for verb, what in world.source.asked if verb == "LIST"] == ["docker.io/library/nginx"]


def test_two_selections_of_a_repository_list_it_once(world: World) -> None:
    world.source.add("nginx:1.26", image("1.26"))
    wanted = [{"source": "nginx", "select": {"globs": glob}} for glob in ("1.2*", "1.27")]

    report = world.run(*wanted)

    assert actions(report) == [("nginx:1.27", "copy"), ("nginx:1.26", "copy")]
    assert world.source.count("LIST") == 1


def test_two_selections_that_contradict_each_other(world: World) -> None:
    world.source.add("quay.io/nginx/nginx:1.27", image("another"))
    wanted = [
        {"source": "nginx", "select": {"globs": "*"}},
        {"source": "quay.io/nginx/nginx", "repository": "nginx", "select": {"globs": "*"}},
    ]

    report = world.run(*wanted)

    assert [one.action for one in report.images] == ["copy", "refuse"]
    assert "is also to be docker.io/library/nginx:1.27" in report.images[1].reason
    assert world.destination.digest_of("nginx", "1.27") == world.source.tags["docker.io/library/nginx"]["1.27"]


@pytest.mark.parametrize(("require_match", "action"), [(False, "skip"), (True, "fail")])
def test_a_selection_of_nothing(world: World, require_match: bool, action: str) -> None:
    report = world.run({"source": "nginx", "select": {"globs": "x*"}, "require_match": require_match})

    one = report.images[0]
    assert (one.action, one.tag, one.destination) == (action, None, f"{REGISTRY}/nginx")
    assert "no tag of docker.io/library/nginx is selected" in one.reason
    assert bool(report.failure) == require_match
    assert report.warnings == ([] if require_match else ["no tag of docker.io/library/nginx is selected"])


# ------------------------------------------------------------------ few questions, many at a time


def test_an_exact_list_costs_one_question_a_tag(world: World) -> None:
    tags = [f"1.{number}" for number in range(250)]
    for tag in tags:
        world.source.add(f"nginx:{tag}", image(tag))
    world.run({"source": "nginx", "tags": tags})

    world.again({"source": "nginx", "tags": tags}, "redis:7", settings=CHECK)

    assert world.source.questions() == {"HEAD": 251}
    assert sorted(world.destination.batches) == [("nginx", 50), ("nginx", 100), ("nginx", 100)]
    assert set(world.source.expected) == {"docker.io/library/nginx", "docker.io/library/redis"}


def test_thirty_two_questions_at_a_time_however_many_copies(world: World) -> None:
    tags = [f"1.{number}" for number in range(64)]
    for tag in tags:
        world.source.add(f"nginx:{tag}", image(tag))
    # Nobody gets an answer before 32 have asked.
    world.source.meeting = threading.Barrier(32)

    report = world.run({"source": "nginx", "tags": tags}, settings={"parallel": 1})

    assert report.totals()["copied"] == 64


def test_copies_as_many_at_a_time_as_it_may(world: World) -> None:
    tags = [f"1.{number}" for number in range(12)]
    for tag in tags:
        world.source.add(f"nginx:{tag}", image(tag))
    world.direct.meeting = threading.Barrier(6)

    report = world.run({"source": "nginx", "tags": tags}, settings={"parallel": 6})

    assert report.totals()["copied"] == 12


# ------------------------------------------------------------------ check mode


def test_the_plan_says_what_does_not_come_about_and_why(platforms: World) -> None:
    platforms.run("nginx:1.27")
    platforms.source.limits["quay.io"] = RateLimit(100, 0)
    platforms.source.add("quay.io/org/app:1", image("app"))
    late = {"source": "quay.io/org/app:1", "repository": "nginx", "tag": "late"}

    report = platforms.again("nginx:1.27", "nginx:none", "redis:7", late, settings=CHECK)

    told = report.diff()
    assert (told["before"], told["after"]) == ("", "")
    assert [line.partition(": ")[0] for line in told["prepared"].splitlines()] == [
        "fail nginx:none",
        "refuse redis:7",
        "defer nginx:late",
    ]
    assert all(one.reason in told["prepared"] for one in report.images if one.action != "up_to_date")


def test_check_mode_says_the_same_and_does_nothing(world: World) -> None:
    wanted = ["nginx:1.27", {"source": "redis:7", "repository": "cache"}, {"source": "nginx", "tag": "9"}]
    settings = {"create_repositories": True}

    planned = world.run(*wanted, settings={**settings, **CHECK})

    assert world.destination.tags == {"nginx": {}}
    assert world.destination.created == []
    assert world.direct.executed == []
    done = world.again(*wanted, settings=settings)
    without_time = [{**one.as_dict(), "seconds": 0} for one in planned.images]
    assert without_time == [{**one.as_dict(), "seconds": 0} for one in done.images]
    for key in ("changed", "actions", "repositories_created"):
        assert planned.as_result()[key] == done.as_result()[key]
    assert planned.diff() == done.diff()
    assert planned.as_result()["actions"] == [
        "create the repository cache",
        f"copy docker.io/library/nginx:1.27 to {REGISTRY}/nginx:1.27",
        f"copy docker.io/library/redis:7 to {REGISTRY}/cache:7",
    ]
    assert planned.totals()["bytes"] == {"moved": 5000, "reused": 0, "mounted": 1000}


def test_check_mode_costs_no_pull(world: World) -> None:
    world.source.limits[HUB] = RateLimit(100, 60, 21600)

    report = world.run("nginx:1.27", settings=CHECK)

    assert world.source.count("GET") == 0
    one = entry(report, "nginx:1.27")
    assert one.traffic is None
    assert one.as_dict()["bytes"] is None
    assert one.notes == ("not looked into",)


# ------------------------------------------------------------------ repositories


def test_makes_a_repository_once(world: World) -> None:
    for number in range(20):
        world.source.add(f"redis:{number}", image(f"redis {number}"))

    report = world.run(
        {"source": "redis", "tags": [str(number) for number in range(20)]}, settings={"create_repositories": True}
    )

    assert world.destination.created == ["redis"]
    assert report.repositories_created == ["redis"]
    assert report.totals()["copied"] == 20


def test_a_repository_that_another_run_makes_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    create = world.destination.create

    def too_late(repository: str) -> bool:
        world.destination.tags[repository] = {}
        return create(repository)

    monkeypatch.setattr(world.destination, "create", too_late)
    world.source.add("redis:8", image("redis 8"))

    report = world.run({"source": "redis", "tags": ["7", "8"]}, settings={"create_repositories": True})

    assert report.totals()["copied"] == 2
    assert world.destination.created == ["redis"]
    assert report.repositories_created == []


def test_a_repository_that_does_not_exist(world: World) -> None:
    report = world.run("nginx:1.27", "redis:7")

    assert actions(report) == [("nginx:1.27", "copy"), ("redis:7", "refuse")]
    assert report.images[1].reason == (
        f"the repository redis does not exist in {REGISTRY}: create it, or set create_repositories"
    )
    assert report.images[1].as_dict()["error"] == {"msg": report.images[1].reason, "code": "Refused"}
    assert report.failure.startswith("Failed for 1 of 2 images. docker.io/library/redis:7 -> ")
    assert world.destination.created == []


def test_a_repository_that_cannot_be_made(world: World) -> None:
    world.destination.failing["redis"] = MirrorError("no permission to create redis")
    world.source.add("redis:8", image("redis 8"))

    report = world.run({"source": "redis", "tags": ["7", "8"]}, "nginx:1.27", settings={"create_repositories": True})

    assert [action for _name, action in actions(report)] == ["fail", "fail", "copy"]
    assert world.destination.created == ["redis"]
    assert report.repositories_created == []


def test_no_repository_for_an_image_that_is_not_there(world: World) -> None:
    report = world.run({"source": "redis", "tag": "99"}, settings={"create_repositories": True})

    assert [one.action for one in report.images] == ["fail"]
    assert world.destination.created == []


# ------------------------------------------------------------------ what goes wrong


def test_one_bad_image_among_fifty(world: World) -> None:
    for number in range(50):
        world.source.add(f"nginx:{number}", image(str(number)))
    world.direct.failing[f"{REGISTRY}/nginx:17"] = MirrorError("the layer is corrupted")

    report = world.run({"source": "nginx", "tags": [str(number) for number in range(50)]})

    assert report.totals()["copied"] == 49
    assert report.totals()["failed"] == 1
    assert report.failure == (
        f"Failed for 1 of 50 images. docker.io/library/nginx:17 -> {REGISTRY}/nginx:17: the layer is corrupted"
    )
    assert world.destination.digest_of("nginx", "17") is None
    assert len(world.destination.tags["nginx"]) == 49


def test_all_kinds_of_trouble_stay_with_their_image(world: World) -> None:
    for tag in ("missing-later", "unauthorised", "fine"):
        world.source.add(f"nginx:{tag}", image(tag))
    world.source.failing["docker.io/library/nginx:unauthorised"] = Unauthorized(
        "read the manifest", "no access", status=401, code="UNAUTHORIZED"
    )
    world.direct.failing[f"{REGISTRY}/nginx:missing-later"] = RepositoryMissingError("it was removed")

    report = world.run({"source": "nginx", "tags": ["missing-later", "unauthorised", "gone", "fine"]})

    assert [action for _name, action in actions(report)] == ["fail", "fail", "fail", "copy"]
    codes = [one.as_dict().get("error", {}).get("code") for one in report.images]
    assert codes == ["RepositoryMissingError", "UNAUTHORIZED", "NotFound", None]


def test_a_list_that_cannot_be_had(world: World) -> None:
    report = world.run({"source": "ghcr.io/org/app", "repository": "nginx", "select": {}}, "nginx:1.27")

    assert [one.action for one in report.images] == ["fail", "copy"]
    assert "ghcr.io/org/app" in report.failure


def test_a_registry_that_never_answers_is_not_waited_for_again(world: World) -> None:
    tags = [str(number) for number in range(200)]
    for tag in tags:
        world.source.failing[f"gone.example/app:{tag}"] = Unreachable("read it", "no answer", registry="gone.example")

    report = world.run({"source": "gone.example/app", "repository": "nginx", "tags": tags}, "nginx:1.27")

    assert report.totals()["failed"] == 200
    assert report.totals()["copied"] == 1
    assert world.source.count("HEAD") < 200
    assert "; and 190 more" in report.failure


def test_without_keep_going_nothing_more_is_begun(world: World) -> None:
    for number in range(10):
        world.source.add(f"nginx:{number}", image(str(number)))
    world.direct.failing[f"{REGISTRY}/nginx:3"] = MirrorError("broken")

    report = world.run(
        {"source": "nginx", "tags": [str(number) for number in range(10)]},
        settings={"keep_going": False, "parallel": 1},
    )

    assert [action for _name, action in actions(report)] == ["copy"] * 3 + ["fail"] + ["skip"] * 6
    assert report.images[-1].reason == "not attempted: keep_going is false, and another image failed"
    assert world.direct.executed[-1] == f"{REGISTRY}/nginx:3"


def test_without_keep_going_a_refusal_is_a_failure_too(world: World) -> None:
    report = world.run("nginx:1.27", "redis:7", settings={"keep_going": False})

    assert [action for _name, action in actions(report)] == ["skip", "refuse"]
    assert world.direct.prepared == []


def test_a_destination_that_cannot_be_used(world: World) -> None:
    for number in range(5):
        world.source.add(f"nginx:{number}", image(str(number)))
    world.direct.failing[f"{REGISTRY}/nginx:0"] = UnavailableError("the token has expired")

    report = world.run({"source": "nginx", "tags": list("01234")}, settings={"parallel": 1})

    assert [action for _name, action in actions(report)] == ["fail", "skip", "skip", "skip", "skip"]
    world.destination.failing["nginx"] = UnavailableError("no credentials")
    with pytest.raises(UnavailableError, match="no credentials"):
        world.again("nginx:1.27")


def test_a_destination_that_fails_for_one_repository(world: World) -> None:
    world.destination.tags["redis"] = {}
    world.destination.failing["redis"] = MirrorError("no permission to look at redis")

    report = world.run("redis:7", "nginx:1.27")

    assert actions(report) == [("redis:7", "fail"), ("nginx:1.27", "copy")]


def test_a_destination_that_fails_for_one_tag(world: World) -> None:
    world.source.add("nginx:1", image("one"))
    world.run("nginx:1.27")
    world.destination.failing["nginx:1"] = MirrorError("cannot look at 1")

    report = world.again("nginx:1", "nginx:1.27")

    assert actions(report) == [("nginx:1", "fail"), ("nginx:1.27", "up_to_date")]
    assert report.images[0].reason == "cannot look at 1"


def test_errors_that_are_ours_are_not_hidden(world: World) -> None:
    world.direct.failing[f"{REGISTRY}/nginx:1.27"] = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        world.run("nginx:1.27")


class InterruptingProgress(Progress):
    """Interrupts the run when the first image is done."""

    def __init__(self) -> None:
        super().__init__()
        self.interruption = Interruption()

    def image(self, entry: Entry) -> None:
        self.interruption.interrupt()


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_interrupted_run_begins_nothing_more_and_comes_to_its_usual_end(
    world: World, tmp_path: Path, check_mode: bool
) -> None:
    tags = [str(number) for number in range(40)]
    for tag in tags:
        world.source.add(f"nginx:{tag}", image(tag))
    wished = ({"source": "nginx", "tags": tags}, "redis:none")
    progress, journal = InterruptingProgress(), tmp_path / "journal"
    interrupted = {"parallel": 2, "progress": progress, "interruption": progress.interruption, "journal": str(journal)}

    report = world.run(*wished, settings={**interrupted, "check_mode": check_mode})

    # The one that is not there was known to fail, and interrupted the run.
    assert Counter(one.action for one in report.images) == {"fail": 1, "skip": 40}
    assert world.direct.executed == []
    assert report.failure == (
        "The run was interrupted when 0 of 41 images were done. "
        "Run the same again to go on: what is there is complete, and is not copied again."
    )
    if not check_mode:
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        assert [line["event"] for line in lines] == ["start", *["image"] * 41, "end"]
    assert Counter(one.action for one in world.again(*wished).images) == {"fail": 1, "copy": 40}


def test_what_is_under_way_may_end_when_a_run_is_interrupted(world: World) -> None:
    progress = InterruptingProgress()
    interrupted = {"parallel": 1, "progress": progress, "interruption": progress.interruption}

    report = world.run("nginx:1.27", "redis:7", settings={"create_repositories": True, **interrupted})

    assert actions(report) == [("nginx:1.27", "copy"), ("redis:7", "skip")]
    assert report.failure.startswith("The run was interrupted when 1 of 2 images were done.")


def test_what_was_stopped_halfway_has_not_failed(world: World) -> None:
    world.direct.failing[f"{REGISTRY}/nginx:1.27"] = InterruptedRunError("the run was interrupted")

    report = world.run("nginx:1.27", settings={"keep_going": False})

    assert [(one.action, one.reason) for one in report.images] == [("skip", "not finished: the run was interrupted")]


def test_parallel_is_at_least_one() -> None:
    with pytest.raises(MirrorError, match="parallel must be at least 1, not 0"):
        Settings(parallel=0)


# ------------------------------------------------------------------ tags that are written once


@pytest.fixture
def moved(world: World) -> World:
    """An immutable tag whose source has moved."""
    world.destination.immutable.add("nginx")
    world.run("nginx:1.27")
    world.source.add("nginx:1.27", image("nginx 1.27.1"))
    world.renew()
    return world


def test_the_same_in_an_immutable_tag_is_fine(world: World) -> None:
    world.destination.immutable.add("nginx")
    world.run("nginx:1.27")

    assert actions(world.again("nginx:1.27")) == [("nginx:1.27", "up_to_date")]


def test_a_moved_immutable_tag_is_refused(moved: World) -> None:
    old = moved.destination.digest_of("nginx", "1.27")
    new = moved.source.tags["docker.io/library/nginx"]["1.27"]

    report = moved.run("nginx:1.27")

    assert actions(report) == [("nginx:1.27", "refuse")]
    assert f"is {old} while the source is {new}" in report.failure
    assert entry(report, "nginx:1.27").digest == str(old)
    assert moved.direct.prepared == []


def test_a_moved_immutable_tag_may_be_left_alone(moved: World) -> None:
    report = moved.run("nginx:1.27", on_moved_tag="skip")

    assert actions(report) == [("nginx:1.27", "skip")]
    assert not report.failure


def test_a_moved_immutable_tag_may_get_a_new_one(moved: World) -> None:
    new = moved.source.tags["docker.io/library/nginx"]["1.27"]
    tag = f"1.27-{new.encoded[:12]}"

    report = moved.run("nginx:1.27", on_moved_tag="new_tag")

    assert actions(report) == [(f"nginx:{tag}", "copy")]
    assert moved.destination.digest_of("nginx", tag) == new
    assert report.images[0].notes == ("1.27 is immutable and stays what it is, so this is a new tag",)
    assert actions(moved.again("nginx:1.27", on_moved_tag="new_tag")) == [(f"nginx:{tag}", "up_to_date")]


# ------------------------------------------------------------------ copies that are not the source


@pytest.fixture
def platforms(world: World) -> World:
    """The tag multi with three platforms."""
    children = {f"linux_{name}": image(f"multi {name}", "base", name) for name in ("amd64", "arm64", "s390x")}
    world.source.add("nginx:multi", index(**children), *children.values())
    return world


def test_some_platforms_are_recognised_by_their_record(platforms: World) -> None:
    wanted = {"source": "nginx:multi", "platforms": ["linux/amd64", "linux/arm64"]}

    report = platforms.run(wanted)

    one = entry(report, "nginx:multi")
    assert one.recipe == "platforms=linux/amd64,linux/arm64"
    assert one.digest not in (None, one.source_digest)
    assert actions(platforms.again(wanted)) == [("nginx:multi", "up_to_date")]
    assert platforms.source.questions() == {"HEAD": 1}
    other = platforms.again({**wanted, "platforms": ["linux/amd64"]})
    assert actions(other) == [("nginx:multi", "copy")]
    planned = platforms.again(wanted, settings=CHECK)
    assert planned.images[0].digest is None
    assert planned.diff()["after"] == f"nginx:multi made of {one.source_digest}\n"


def test_the_engine_is_left_alone_when_nothing_changed(platforms: World) -> None:
    report = platforms.run("nginx:multi", transport="docker")

    assert actions(report) == [("nginx:multi", "copy")]
    assert report.images[0].transport == "docker"
    assert platforms.direct.executed == []
    assert actions(platforms.again("nginx:multi", transport="docker")) == [("nginx:multi", "up_to_date")]
    assert platforms.engine.prepared == []


def test_the_configuration_proves_an_engines_image_where_no_record_could_be_written(platforms: World) -> None:
    platforms.destination.immutable.add("nginx")
    platforms.run("nginx:multi", "nginx:1.27", transport="docker")
    assert platforms.destination.present("nginx", ["1.27"])["1.27"].source_digest == ""

    again = platforms.again("nginx:multi", "nginx:1.27", transport="docker")

    assert actions(again) == [("nginx:multi", "up_to_date"), ("nginx:1.27", "up_to_date")]
    # The index and its first child, and the image.
    assert platforms.source.questions() == {"HEAD": 2, "GET": 3}
    platforms.source.add("nginx:1.27", image("nginx 1.27.1"))
    assert actions(platforms.again("nginx:1.27", transport="docker")) == [("nginx:1.27", "refuse")]


def test_what_the_configuration_proves_gets_no_new_tag(world: World) -> None:
    world.destination.immutable.add("nginx")
    world.run("nginx:1.27", transport="docker")
    wanted = {"source": "nginx:1.27", "transport": "docker", "on_moved_tag": "new_tag"}

    assert actions(world.again(wanted)) == [("nginx:1.27", "up_to_date")]
    new = world.source.add("nginx:1.27", image("nginx 1.27.1"))
    renamed = f"nginx:1.27-{new.digest.encoded[:12]}"
    assert actions(world.again(wanted)) == [(renamed, "copy")]
    assert actions(world.again(wanted)) == [(renamed, "up_to_date")]
    # Of the one source, for both tags.
    assert world.source.questions() == {"HEAD": 1, "GET": 1}


def test_check_mode_spends_no_pull_on_a_proof(world: World) -> None:
    world.destination.immutable.add("nginx")
    world.run("nginx:1.27", transport="docker")
    world.source.limits[HUB] = RateLimit(100, 50)

    report = world.again("nginx:1.27", transport="docker", settings=CHECK)

    assert world.source.questions() == {"HEAD": 1}
    assert report.images[0].notes == ("whether it is made of the source would cost pulls to find out",)


# ------------------------------------------------------------------ pulls that are counted


def test_copies_what_fits_and_defers_the_rest(platforms: World) -> None:
    platforms.source.limits[HUB] = RateLimit(100, 4, 21600)
    platforms.reserve = 2
    platforms.renew()

    report = platforms.run("nginx:multi", "nginx:1.27", {"source": "redis:7", "repository": "nginx", "tag": "redis"})

    assert actions(report) == [("nginx:multi", "defer"), ("nginx:1.27", "copy"), ("nginx:redis", "copy")]
    assert "which has 0 of 100 left after a reserve of 2" in report.images[0].reason
    assert not report.failure
    assert report.warnings == [f"1 of 3 images were deferred. docker.io/library/nginx:multi: {report.images[0].reason}"]
    assert platforms.source.count("GET") == 2
    assert report.as_result()["rate_limit"] == {HUB: {"limit": 100, "remaining": 2, "window": 21600, "used": 2}}


def test_what_costs_more_than_it_seemed_is_deferred_before_its_tag_is_written(world: World) -> None:
    children = {f"linux_a{number}": image(f"many {number}") for number in range(9)}
    # Its size says little of how many there are.
    many = index(**children)
    world.source.add("nginx:many", many, *children.values())
    world.source.limits[HUB] = RateLimit(100, many.size // 500 + 2)

    report = world.run("nginx:many")

    assert actions(report) == [("nginx:many", "defer")]
    assert world.destination.tags["nginx"] == {}
    assert world.source.count("GET") == 1


def test_the_engines_pulls_are_counted_for_it(world: World) -> None:
    world.source.limits[HUB] = RateLimit(100, 1)
    world.source.add("nginx:2", image("2"))

    report = world.run("nginx:1.27", "nginx:2", transport="docker", settings={"parallel": 1})

    assert [action for _name, action in actions(report)] == ["copy", "defer"]


def test_a_run_without_copies_reports_the_limit(world: World) -> None:
    world.source.limits[HUB] = RateLimit(100, 99, 21600, "192.0.2.1")
    world.run("nginx:1.27")

    report = world.again("nginx:1.27")

    assert report.rate_limit == {HUB: {"limit": 100, "remaining": 98, "window": 21600, "used": 0}}


# ------------------------------------------------------------------ whatever is wished for

SOURCES = ("nginx:1", "nginx:multi", "quay.io/org/app:1", "quay.io/org/app:none")
wanted_images = st.fixed_dictionaries(
    {"source": st.sampled_from(SOURCES), "repository": st.sampled_from(["open", "fixed", "new"])},
    optional={
        "tag": st.sampled_from(["a", "b", "c"]),
        "platforms": st.sampled_from(["all", "linux/amd64", ["linux/amd64", "linux/arm64"]]),
        "transport": st.sampled_from(["direct", "docker"]),
        "on_moved_tag": st.sampled_from(["fail", "skip", "new_tag"]),
        "dockerfile": st.just("USER 1"),
        "referrers": st.booleans(),
    },
)


def fresh_world(left: int | None) -> World:
    world = World("open", "fixed")
    world.destination.immutable.add("fixed")
    world.source.add("nginx:1", image("nginx 1"))
    world.source.add("quay.io/org/app:1", image("app 1"))
    children = {f"linux_{name}": image(f"multi {name}") for name in ("amd64", "arm64")}
    top = world.source.add("nginx:multi", index(**children), *children.values())
    world.source.add("nginx", image("signature", subject=top))
    for repository in ("open", "fixed"):
        world.destination.put_whole(f"{repository}:b", image("somebody else's"))
    if left is not None:
        world.source.limits[HUB] = RateLimit(100, left)
    return world


def sound(wanted: dict[str, Any]) -> bool:
    """Whether it can be wished for."""
    try:
        World().wishes(wanted)
    except WishError:
        return False
    return True


@given(
    st.lists(wanted_images.filter(sound), max_size=5, unique_by=lambda one: (one["repository"], one.get("tag"))),
    st.booleans(),
    st.none() | st.integers(0, 12),
    st.integers(0, 3),
)
def test_a_run_does_what_it_says_and_the_next_one_nothing(
    wanted: list[dict[str, Any]], create_repositories: bool, left: int | None, reserve: int
) -> None:
    world = fresh_world(left)
    wanted = [one if "tag" in one else {**one, "tag": "d"} for one in wanted]
    settings = {"create_repositories": create_repositories}
    world.reserve = reserve
    world.renew()

    report = world.run(*wanted, settings=settings)

    assert all(one.reason for one in report.images)
    for one in report.images:
        if one.action in ("copy", "up_to_date"):
            there = world.destination.present(one.repository, [one.destination.partition("@")[2] or one.tag or ""])
            assert [str(present.digest) for present in there.values()] == [one.digest]
    if left is not None:
        assert world.source.limits[HUB].remaining >= min(left, reserve)
    # With all the pulls in the world, what can be done is done, and then again nothing is to do.
    world.source.limits.clear()
    middle = world.again(*wanted, settings=settings)
    last = world.again(*wanted, settings=settings)
    assert not last.changed
    done = {one.destination for run in (report, middle) for one in run.images if one.action in ("copy", "up_to_date")}
    assert {one.destination for one in last.images if one.action == "up_to_date"} == done
    assert world.direct.executed == world.engine.executed == []


# ------------------------------------------------------------------ journal and progress


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_journal_has_every_image_and_ends_with_the_totals(world: World, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    settings = {"journal": str(path)}

    report = world.run("nginx:1.27", "redis:7", settings=settings)

    written = lines(path)
    assert [line["event"] for line in written] == ["start", "image", "image", "end"]
    assert written[0]["images"] == 2
    assert {line["destination"] for line in written[1:3]} == {one.destination for one in report.images}
    assert written[-1]["totals"]["copied"] == 1
    copied = next(line for line in written if line.get("action") == "copy")
    assert copied.items() >= entry(report, "nginx:1.27").as_dict().items()
    assert len({line["run"] for line in written}) == 1

    world.again("nginx:1.27", settings=settings)
    assert [line["event"] for line in lines(path)] == ["start", "image", "image", "end", "start", "image", "end"]
    assert len({line["run"] for line in lines(path)}) == 2


def test_a_journal_that_cannot_be_written_stops_everything(world: World, tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"The journal .* cannot be written: No such file or directory"):
        world.run("nginx:1.27", settings={"journal": str(tmp_path / "none" / "journal")})

    assert world.destination.looked_up == []
    assert world.source.asked == []


def test_a_full_disk_ends_the_journal_and_not_the_run(world: World) -> None:
    report = world.run("nginx:1.27", settings={"journal": "/dev/full"})

    assert actions(report) == [("nginx:1.27", "copy")]
    assert report.warnings == ["The journal /dev/full ends early: No space left on device."]


def test_check_mode_writes_no_journal(world: World, tmp_path: Path) -> None:
    world.run("nginx:1.27", settings={"journal": str(tmp_path / "journal"), **CHECK})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_progress_is_told_of_each_image_once(world: World, tmp_path: Path, check_mode: bool) -> None:
    path = tmp_path / "events"
    path.touch()

    report = world.run("nginx:1.27", "nginx:none", settings={"progress": Progress(str(path)), "check_mode": check_mode})

    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "plan", "image", "image", "end"]
    assert events[0]["check_mode"] is check_mode
    assert (events[1]["images"], events[1]["copies"]) == (2, 1)
    told = sorted(event["destination"] for event in events[2:4])
    assert told == sorted(one.destination for one in report.images)
    assert events[4]["totals"] == report.totals()
    assert events[4]["interrupted"] is False


# ------------------------------------------------------------------ the result


def test_the_result_has_one_shape(world: World) -> None:
    world.run("nginx:1.27")
    nothing = world.again()
    report = world.again("nginx:1.27", "redis:7", {"source": "nginx", "tag": "none"})

    assert set(nothing.as_result()) == set(report.as_result())
    assert nothing.as_result()["totals"]["images"] == 0
    assert {key for one in report.images for key in one.as_dict()} - {"error"} == set(report.images[0].as_dict())
    totals = report.as_result({"docker.io": 3})["totals"]
    counted = ("up_to_date", "copied", "skipped", "refused", "deferred", "failed")
    assert [totals[key] for key in counted] == [1, 0, 0, 1, 0, 1]
    assert totals["images"] == 3
    assert totals["requests"] == {"docker.io": 3}
    assert report.totals()["requests"] is None
    json.dumps(report.as_result())


def test_the_message_names_the_first_failures(world: World) -> None:
    report = world.run({"source": "nginx", "tags": [f"no{number:02}" for number in range(13)]})

    assert report.failure.startswith("Failed for 13 of 13 images. docker.io/library/nginx:no00 -> ")
    assert "no09" in report.failure
    assert "no10" not in report.failure
    assert report.failure.endswith("; and 3 more")
