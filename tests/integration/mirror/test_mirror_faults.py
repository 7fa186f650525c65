"""The fault table: what the engine does when something goes wrong on the way, with a name for each outcome.

After every fault each tag in the destination stands for something complete, and once the fault is over another run
brings what is missing.
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from docker_registry import DockerRegistry
from mirror_engine import Engine, wish
from mirror_scene import EcrScene, RegistryScene, Scene, Target, by_tag, noise
from mirror_server import Fault, Login, Proxy, Seen
from registry import Ecr, sha256

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from loopback.client import Cloud

Json = dict[str, Any]

MANIFEST, BLOB, UPLOAD = r"/manifests/", r"/blobs/sha256:", r"/blobs/uploads/"
BUSY = {"status": 429, "body": b"Too Many Requests"}
IN_TROUBLE = {"status": 503, "body": b"upstream connect error"}


def failed(report: Report) -> dict[str, str]:
    """The reasons, by tag."""
    return {tag: entry.reason for tag, entry in by_tag(report).items() if entry.has_failed}


# ------------------------------------------------------------------ what is got over

# Faults of the source, and faults of the destination.
GOT_OVER: dict[str, tuple[list[Json], list[Json]]] = {
    "429 without Retry-After": (
        [{"method": method, "path": path, "times": 3, **BUSY} for method, path in (("HEAD", ""), ("GET", ""))],
        [{"method": method, "times": 3, **BUSY} for method in ("HEAD", "POST", "PUT")],
    ),
    "429 with Retry-After": (
        [{"method": "GET", "path": MANIFEST, "times": 2, "headers": {"Retry-After": "17"}, **BUSY}],
        [{"method": "PUT", "path": MANIFEST, "times": 2, "headers": {"Retry-After": "23"}, **BUSY}],
    ),
    "a burst of 500": (
        [{"method": "GET", "path": path, "times": 4, "status": 500} for path in (MANIFEST, BLOB)],
        [{"method": method, "times": 4, "status": 500} for method in ("POST", "PUT")],
    ),
    "a burst of 503": (
        [{"times": 4, **IN_TROUBLE}],
        [{"method": "PUT", "path": path, "times": 4, **IN_TROUBLE} for path in (UPLOAD, MANIFEST)],
    ),
    "connections reset before an answer": ([{"lose_answer": True, "times": 4}], []),
    "connections reset in the middle of blobs that are read": (
        [{"method": "GET", "path": BLOB, "after": after, "cut_answer": 200_000} for after in range(4)],
        [],
    ),
    "connections reset in the middle of blobs that are sent": (
        [],
        [{"method": "PUT", "path": UPLOAD, "cut_request": cut} for cut in (0, 65_000, 300_000)],
    ),
    "both sides break": (
        [{"method": "GET", "path": BLOB, "after": after, "cut_answer": 100_000} for after in (0, 2)],
        [{"method": "PUT", "path": UPLOAD, "after": after, "cut_request": 150_000} for after in (0, 1)],
    ),
    "blobs that end too early": ([{"method": "GET", "path": BLOB, "times": 3, "end_answer": 100_000}], []),
    "the answer to an upload gets lost": ([], [{"method": "PUT", "path": UPLOAD, "times": 3, "lose_answer": True}]),
    "the answer to a manifest gets lost": ([], [{"method": "PUT", "path": MANIFEST, "times": 3, "lose_answer": True}]),
    "the answer to a mount gets lost": ([], [{"method": "POST", "path": "mount=", "times": 2, "lose_answer": True}]),
    "an upload is forgotten": (
        [],
        [
            {
                "method": "PUT",
                "path": UPLOAD,
                "times": 2,
                "status": 404,
                "body": b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}',
                "headers": {"Content-Type": "application/json"},
            }
        ],
    ),
    "a slow source": ([{"method": "GET", "path": BLOB, "times": 2, "rate": 800_000}], []),
    "a source that falls silent": ([{"method": "GET", "path": BLOB, "times": 2, "stall_answer": 100_000}], []),
}


@pytest.mark.parametrize("name", GOT_OVER)
def test_what_passes_is_got_over(scene: RegistryScene, name: str) -> None:
    scene.corpus()
    scene.engine.read = 0.5 if "silent" in name else 20.0
    of_source, of_destination = ([Fault(**fault) for fault in faults] for faults in GOT_OVER[name])
    scene.inward.faults += of_source
    scene.outward.faults += of_destination
    report = scene.run()
    struck = [fault for fault in (*of_source, *of_destination) if fault.seen > fault.after]
    assert struck, "no fault was met"
    assert not failed(report)
    if "with Retry-After" in name:
        assert len([seconds for seconds in scene.engine.clock.slept if 17 <= seconds < 19]) == 2
        assert len([seconds for seconds in scene.engine.clock.slept if 23 <= seconds < 25]) == 2
    scene.assert_mirrored()


def test_a_slow_destination_is_waited_for_while_content_is_sent(scene: RegistryScene) -> None:
    """For longer than a connection to it may take; and it is sent nothing twice."""
    # More than the machine's buffers take in before anybody reads.
    scene.image("app", "1", noise(f"{scene.prefix} large", 10_000_000))
    scene.engine.connect = 0.2
    slow = Fault("PUT", UPLOAD, times=-1, call=lambda _seen: time.sleep(0.5))
    scene.outward.faults.append(slow)
    report = scene.run()
    assert not failed(report)
    assert slow.seen == 2
    scene.assert_mirrored()


ECR_GOT_OVER: dict[str, Json] = {
    "429 for uploads": {"method": "POST", "path": UPLOAD, "times": 3, "status": 429, "headers": {"Retry-After": "2"}},
    "429 for manifests": {"method": "PUT", "path": MANIFEST, "times": 3, "status": 429},
    "503 for layers": {"method": "PUT", "path": UPLOAD, "times": 4, "status": 503},
    "reset in an upload": {"method": "PUT", "path": UPLOAD, "times": 2, "reset": True},
    "the answer to a layer is cut": {"method": "PUT", "path": UPLOAD, "times": 2, "truncate": 0},
    "the answer to a manifest is cut": {"method": "PUT", "path": MANIFEST, "times": 2, "truncate": 0},
    "tokens expire while layers are sent": {"method": "PUT", "path": UPLOAD, "after": 2, "expire_tokens": True},
    "tokens expire before a manifest": {"method": "PUT", "path": MANIFEST, "after": 1, "expire_tokens": True},
    "the API throttles": {
        "op": "BatchGetImage",
        "times": 2,
        "status": 400,
        "body": {"__type": "ThrottlingException", "message": "Rate exceeded"},
    },
    "the API breaks": {"op": "BatchCheckLayerAvailability", "times": 2, "status": 500},
}


@pytest.mark.parametrize("name", ECR_GOT_OVER)
def test_what_passes_in_ecr_is_got_over(ecr_scene: EcrScene, name: str) -> None:
    ecr_scene.corpus()
    ecr_scene.create("app", "web")
    ecr_scene.cloud.inject(ECR_GOT_OVER[name])
    report = ecr_scene.run()
    (rule,) = ecr_scene.cloud.faults()
    assert rule["hits"], "no fault was met"
    assert not failed(report)
    ecr_scene.assert_mirrored()


def test_tokens_that_expire_on_both_sides_are_renewed(scene: RegistryScene) -> None:
    scene.corpus()
    before = len(scene.inward.secrets), len(scene.outward.secrets)
    assert scene.inward.login
    assert scene.outward.login
    scene.inward.faults.append(Fault(path=BLOB, after=1, call=scene.inward.login.expire))
    scene.outward.faults.append(Fault(method="PUT", path=UPLOAD, after=3, call=scene.outward.login.expire))
    report = scene.run()
    assert not failed(report)
    assert len(scene.inward.secrets) > before[0]
    assert len(scene.outward.secrets) > before[1]
    scene.assert_mirrored()


# ------------------------------------------------------------------ what is not

FOR_EVER = {"times": -1}
# Where, what, and what the item that meets it is told.
FAILS: dict[str, tuple[str, Json, str]] = {
    "the source is busy for an hour": (
        "inward",
        {"method": "GET", "path": "app/manifests/", "headers": {"Retry-After": "3600"}, **BUSY},
        r"has had too many requests \(429\)",
    ),
    "the source is in trouble": (
        "inward",
        {"method": "GET", "path": "app/blobs/", **IN_TROUBLE},
        r"Failed to read sha256:\w+ from .*app: .* is in trouble \(503\)\. Try again later",
    ),
    "the source always breaks": (
        "inward",
        {"method": "GET", "path": "app/blobs/", "lose_answer": True},
        r"Failed to read sha256:\w+ from .*app: no answer from",
    ),
    "blobs are always cut short": (
        "inward",
        {"method": "GET", "path": "app/blobs/", "end_answer": 0},
        r"Failed to read sha256:\w+ from .*app: ",
    ),
    "blobs are shorter than they should be": (
        "inward",
        {"method": "GET", "path": "app/blobs/", "shorten_answer": 10},
        r"Failed to read sha256:\w+ from .*app: ",
    ),
    "blobs are damaged": (
        "inward",
        {"method": "GET", "path": "app/blobs/", "corrupt_answer": 3},
        r"Failed to read sha256:\w+ from .*app: its content has the digest sha256:\w+",
    ),
    "manifests are damaged": (
        "inward",
        {"method": "GET", "path": "app/manifests/", "corrupt_answer": 30},
        r"Failed to read the manifest of .*app@sha256:\w+: its digest should be",
    ),
    "the destination takes no manifest": (
        "outward",
        {"method": "PUT", "path": "app/manifests/", **IN_TROUBLE},
        r"Failed to push the manifest of .*app.*is in trouble \(503\)",
    ),
    "the destination always breaks": (
        "outward",
        {"method": "PUT", "path": "app/blobs/uploads/", "cut_request": 10},
        r"Failed to upload sha256:\w+ to .*app: no answer from",
    ),
    "the destination refuses large content": (
        "outward",
        {"method": "PUT", "path": "app/blobs/uploads/", "status": 413},
        r"Failed to upload sha256:\w+ to .*app: .*takes no content of this size \(413\)",
    ),
    "the destination has no space": (
        "outward",
        {"method": "PUT", "path": "app/blobs/uploads/", "status": 507},
        r"Failed to upload sha256:\w+ to .*app: .*is in trouble \(507\)",
    ),
    "the destination forbids": (
        "outward",
        {
            "method": "POST",
            "path": "app/blobs/uploads/",
            "status": 403,
            "body": b'{"errors":[{"code":"DENIED","message":"not for you"}]}',
            "headers": {"Content-Type": "application/json"},
        },
        r"app.* said: not for you \(403 DENIED\)",
    ),
    "the destination sends elsewhere": (
        "outward",
        {"method": "PUT", "path": "app/manifests/", "status": 307, "headers": {"Location": "http://127.0.0.1:1/"}},
        r"app.* answers PUT with a redirect to http://127.0.0.1:1/",
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_what_stays_fails_one_repository_and_is_made_up_for_later(scene: RegistryScene, name: str) -> None:
    scene.corpus()
    where, fault, why = FAILS[name]
    getattr(scene, where).faults.append(Fault(**FOR_EVER, **fault))
    report = scene.run()
    reasons = failed(report)
    assert reasons.keys() == {"app:1", "app:2"}
    for reason in reasons.values():
        assert re.search(why, reason), reason
    assert scene.assert_sound().keys() == {("web", "1"), ("web", "2")}
    again = scene.run()
    assert {tag: entry.action for tag, entry in by_tag(again).items()} == {
        "app:1": "copy",
        "app:2": "copy",
        "web:1": "up_to_date",
        "web:2": "up_to_date",
    }
    scene.assert_mirrored()


def test_a_source_that_is_missing_stops_nobody_else(scene: RegistryScene) -> None:
    scene.corpus()
    wishes = [*scene.wishes(), scene.wish("app", ["no-such-tag"]), scene.wish("nowhere", ["1"])]
    reasons = failed(scene.run(wishes))
    assert reasons.keys() == {"app:no-such-tag", "nowhere:1"}
    for tag, reason in reasons.items():
        assert re.search(
            rf"Failed to read the manifest of \S+{tag}: \S+ does not have it \(404\)\. Check the name", reason
        )
    scene.assert_mirrored()


def log_in_wrongly(scene: Scene, host: str) -> None:
    wrong = Credentials("robot", "not-the-password")
    scene.engine.logins = {**scene.engine.logins, host: lambda: wrong}
    scene.more_secrets += [wrong.password, wrong.basic.removeprefix("Basic ")]


def test_a_source_that_does_not_accept_the_password(scene: RegistryScene, outward: Proxy) -> None:
    scene.corpus()
    log_in_wrongly(scene, scene.inward.host)
    reasons = failed(scene.run())
    assert len(reasons) == 4
    for reason in reasons.values():
        assert "incorrect username or password" in reason
        assert f"Check the username and password for {scene.inward.host}" in reason
    assert not outward.asked("POST")
    assert not scene.assert_sound()


def test_a_source_that_wants_a_password_and_gets_none(scene: RegistryScene) -> None:
    scene.corpus()
    scene.engine.logins = {scene.outward.host: scene.engine.logins[scene.outward.host]}
    reasons = failed(scene.run())
    assert len(reasons) == 4
    assert all(f"Give credentials for {scene.inward.host}" in reason for reason in reasons.values())
    assert not scene.assert_sound()


def test_a_password_that_is_revoked_on_the_way(
    source_registry: DockerRegistry, scene: RegistryScene, stack: ExitStack
) -> None:
    """What was complete by then stays, and nothing else is there."""
    login = Login(tokens=False)
    scene.inward = stack.enter_context(Proxy(source_registry.host, login))
    scene.engine.logins = {**scene.engine.logins, scene.inward.host: scene.login_of(login)}
    scene.engine.parallel = 1
    scene.corpus()
    scene.inward.faults.append(Fault("GET", BLOB, after=6, call=login.expire))
    reasons = failed(scene.run())
    assert 1 <= len(reasons) < 4
    assert all("Check the username and password" in reason for reason in reasons.values())
    assert len(scene.assert_sound()) == 4 - len(reasons)


def test_a_destination_that_does_not_accept_the_password(scene: RegistryScene) -> None:
    scene.corpus()
    log_in_wrongly(scene, scene.outward.host)
    reasons = failed(scene.run())
    assert len(reasons) == 4
    assert all(f"Check the username and password for {scene.outward.host}" in reason for reason in reasons.values())
    assert not scene.assert_sound()


def test_one_bad_image_among_fifty(scene: RegistryScene) -> None:
    for number in range(50):
        scene.image("app", str(number), noise(f"{scene.prefix} {number}", 2_000), noise(scene.prefix, 1_000))
    bad = noise(f"{scene.prefix} 31", 2_000)
    scene.inward.faults.append(Fault("GET", sha256(bad), times=-1, corrupt_answer=1_999))
    report = scene.run()
    assert failed(report).keys() == {"app:31"}
    assert re.fullmatch(
        rf"Failed for 1 of 50 images\. \S+app:31 -> \S+app:31: Failed to read {sha256(bad)} .*", report.failure
    )
    assert len(scene.assert_sound()) == 49
    scene.inward.forget()
    again = scene.run()
    assert [tag for tag, entry in by_tag(again).items() if entry.changed] == ["app:31"]
    assert again.images[31].traffic
    assert again.images[31].traffic.moved < 3_000
    scene.assert_mirrored()


def test_without_keep_going_what_has_not_begun_is_not_begun(scene: RegistryScene) -> None:
    scene.engine.parallel = 1
    for number in range(6):
        scene.image("app", str(number), noise(f"{scene.prefix} {number}", 2_000))
    scene.inward.faults.append(Fault("GET", sha256(noise(f"{scene.prefix} 2", 2_000)), times=-1, status=404))
    entries = by_tag(scene.run(keep_going=False))
    assert [entries[f"app:{number}"].action for number in range(6)] == ["copy", "copy", "fail", "skip", "skip", "skip"]
    assert "not attempted: keep_going is false" in entries["app:3"].reason
    assert scene.assert_sound().keys() == {("app", "0"), ("app", "1")}


@pytest.mark.parametrize("path", [MANIFEST, BLOB])
def test_a_tag_that_moves_is_copied_as_it_was(scene: RegistryScene, path: str) -> None:
    first = scene.image("app", "1", noise(f"{scene.prefix} first"))
    moved: list[bytes] = []

    def move(_seen: Seen) -> None:
        moved.append(scene.source.image(scene.name("app"), "1", noise(f"{scene.prefix} second"), config={"of": "2nd"}))

    scene.inward.faults.append(Fault("GET", path, call=move))
    assert not failed(scene.run())
    assert scene.tags() == {("app", "1"): first}
    assert by_tag(scene.run())["app:1"].reason.startswith("the source has moved from ")
    assert scene.tags() == {("app", "1"): moved[0]}


def test_a_source_that_is_deleted_meanwhile_is_not_published(scene: RegistryScene) -> None:
    raw = scene.image("app", "1")
    scene.image("app", "2")

    def delete(_seen: Seen) -> None:
        assert scene.source.call("DELETE", f"/v2/{scene.name('app')}/manifests/{sha256(raw)}").status == 202

    scene.inward.faults.append(Fault("GET", f"manifests/{sha256(raw)}", call=delete))
    reasons = failed(scene.run())
    assert reasons.keys() == {"app:1"}
    assert re.search(r"app@sha256:\w+: .* \(404 MANIFEST_UNKNOWN\)", reasons["app:1"])
    assert scene.assert_sound().keys() == {("app", "2")}


def test_a_blob_that_the_destination_loses_is_brought_again(
    scene: RegistryScene, target_registry: DockerRegistry
) -> None:
    """It had said that it has it."""
    base = noise(f"{scene.prefix} base")
    scene.image("app", "1", base)
    scene.run()
    scene.image("app", "2", base, b"more")

    def lose(_seen: Seen) -> None:
        target_registry.forget_blob(scene.name("app"), sha256(base))

    scene.outward.faults.append(Fault("PUT", "manifests/2", call=lose))
    assert not failed(scene.run())
    scene.assert_mirrored()


# ------------------------------------------------------------------ pulls that are counted

HUB = "registry-1.docker.io"


def test_what_pulls_do_not_suffice_for_is_deferred_and_brought_later(cloud: Cloud) -> None:
    """The smallest first; an index with many platforms waits, and no pull is wasted on it."""
    platforms = [f"linux/{name}" for name in ("amd64", "arm64", "s390x", "ppc64le", "riscv64", "386")]
    made = {"index": cloud.publish(HUB, "team/app", "index", platforms=platforms)["digest"]}
    for tag in ("1", "2", "3"):
        made[tag] = cloud.publish(HUB, "team/app", tag)["digest"]
    cloud.knobs(hub__limit=5)
    origin = cloud.upstreams[HUB].removeprefix("http://")
    wishes = [wish(f"{origin}/team/app", "copy/app", ["index", "1", "2", "3"])]

    def copy() -> Report:
        return Engine().into_ecr(cloud.client("ecr", attempts=4), wishes, create_repositories=True)

    def there() -> dict[str, str]:
        ecr = Ecr(cloud)
        found = Target(ecr.origin, ecr.authorization).everything(["copy/app"])
        return {tag: sha256(raw) for (_repository, tag), raw in found.items()}

    first = by_tag(copy())
    assert {tag: entry.action for tag, entry in first.items()} == {
        "app:index": "defer",
        **dict.fromkeys(("app:1", "app:2", "app:3"), "copy"),
    }
    assert re.match(r"needs about \d pulls of \S+, which has 2 of 5 left: ", first["app:index"].reason)
    assert there() == {tag: made[tag] for tag in ("1", "2", "3")}
    cloud.knobs(hub__limit=100)
    cloud.advance(21_600)
    assert {tag: entry.action for tag, entry in by_tag(copy()).items()} == {
        "app:index": "copy",
        **dict.fromkeys(("app:1", "app:2", "app:3"), "up_to_date"),
    }
    assert there() == made


def test_pulls_that_others_use_up_meanwhile(cloud: Cloud) -> None:
    """The registry says so in the middle of an index: it fails, and nothing of it is published."""
    cloud.publish(HUB, "team/app", "1", platforms=[f"linux/{name}" for name in ("amd64", "arm64", "s390x")])
    refused = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
    headers = {"Retry-After": "21600", "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
    path = "/v2/team/app/manifests/"
    cloud.inject(
        {"method": "GET", "path": path, "after": 2, "times": -1, "status": 429, "headers": headers, "body": refused}
    )
    origin = cloud.upstreams[HUB].removeprefix("http://")
    ecr = cloud.client("ecr", attempts=4)
    report = Engine().into_ecr(ecr, [wish(f"{origin}/team/app", "copy/app", ["1"])], create_repositories=True)
    (entry,) = report.images
    assert entry.action == "fail"
    assert "You have reached your pull rate limit" in entry.reason
    looking = Ecr(cloud)
    assert Target(looking.origin, looking.authorization).everything(["copy/app"]) == {}


# ------------------------------------------------------------------ two at a time


def at_once(scene: Scene, runs: int) -> list[Report]:
    start = threading.Barrier(runs)

    def one(_number: int) -> Report:
        start.wait()
        return scene.run()

    with ThreadPoolExecutor(runs) as pool:
        return list(pool.map(one, range(runs)))


def test_two_runs_at_the_same_time(scene: RegistryScene) -> None:
    scene.corpus()
    for report in at_once(scene, 2):
        assert not failed(report)
    scene.assert_mirrored()


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
def test_two_runs_at_the_same_time_into_ecr(ecr_scene: EcrScene, mutability: str) -> None:
    ecr_scene.corpus()
    ecr_scene.create("app", "web", imageTagMutability=mutability)
    for report in at_once(ecr_scene, 2):
        assert not failed(report)
    ecr_scene.assert_mirrored()


def test_two_runs_that_both_create_the_repositories(ecr_scene: EcrScene) -> None:
    ecr_scene.corpus()
    for report in at_once(ecr_scene, 2):
        assert not failed(report)
    ecr_scene.assert_mirrored()


# ------------------------------------------------------------------ Amazon ECR's own


def test_a_repository_that_is_deleted_meanwhile(ecr_scene: EcrScene) -> None:
    ecr_scene.corpus()
    ecr_scene.create("app", "web")

    def delete(_seen: Seen) -> None:
        ecr_scene.ecr.delete_repository(repositoryName=ecr_scene.name("app"), force=True)

    ecr_scene.inward.faults.append(Fault("GET", "app/blobs/", call=delete))
    reasons = failed(ecr_scene.run(create_repositories=False))
    assert reasons.keys() <= {"app:1", "app:2"}
    assert reasons
    for reason in reasons.values():
        assert "app" in reason
        assert "Find out who removes it, then run again" in reason
    assert ecr_scene.assert_sound().keys() == {("web", "1"), ("web", "2")}
    assert not failed(ecr_scene.run())
    ecr_scene.assert_mirrored()


def test_a_repository_that_is_missing_is_refused_or_made(ecr_scene: EcrScene) -> None:
    ecr_scene.corpus()
    ecr_scene.create("web")
    reasons = failed(ecr_scene.run(create_repositories=False))
    assert reasons.keys() == {"app:1", "app:2"}
    assert all("does not exist" in reason and "create_repositories" in reason for reason in reasons.values())
    assert ecr_scene.assert_sound().keys() == {("web", "1"), ("web", "2")}
    report = ecr_scene.run()
    assert report.repositories_created == [ecr_scene.name("app")]
    ecr_scene.assert_mirrored()


def test_an_immutable_tag_of_the_same_digest_is_never_pushed_again(ecr_scene: EcrScene) -> None:
    ecr_scene.corpus()
    ecr_scene.create("app", "web", imageTagMutability="IMMUTABLE")
    assert not failed(ecr_scene.run())
    ecr_scene.cloud.forget_calls()
    again = ecr_scene.run()
    assert {entry.action for entry in again.images} == {"up_to_date"}
    assert not [call for call in ecr_scene.cloud.calls() if call["method"] == "PUT"]
    ecr_scene.assert_mirrored()


def test_an_immutable_tag_of_another_digest_stays_what_it_is(ecr_scene: EcrScene) -> None:
    ecr_scene.create("app", imageTagMutability="IMMUTABLE")
    first = ecr_scene.image("app", "1", b"first")
    ecr_scene.run()
    second = ecr_scene.image("app", "1", b"second")
    before, after = sha256(first), sha256(second)
    refused = by_tag(ecr_scene.run())["app:1"]
    assert refused.action == "refuse"
    assert f"is {before} while the source is {after}" in refused.reason
    skipped = by_tag(ecr_scene.run(ecr_scene.wishes(on_moved_tag="skip")))["app:1"]
    assert (skipped.action, skipped.has_failed) == ("skip", False)
    new_tag = f"1-{after.removeprefix('sha256:')[:12]}"
    for action in ("copy", "up_to_date"):
        renamed = by_tag(ecr_scene.run(ecr_scene.wishes(on_moved_tag="new_tag")))
        assert renamed[f"app:{new_tag}"].action == action
    assert ecr_scene.tags() == {("app", "1"): first, ("app", new_tag): second}


@pytest.mark.parametrize("same", [True, False])
def test_an_immutable_tag_that_somebody_else_writes_first(ecr_scene: EcrScene, same: bool) -> None:
    """After the plan was made, and before the tag is pushed."""
    ecr_scene.create("app", imageTagMutability="IMMUTABLE")
    raw = ecr_scene.image("app", "1", b"layer")
    others: list[bytes] = []

    def push_first(_seen: Seen) -> None:
        config = {"of": f"{ecr_scene.prefix}/app:1"} if same else {"of": "other"}
        others.append(ecr_scene.target.image(ecr_scene.name("app"), "1", b"layer", config=config))

    ecr_scene.inward.faults.append(Fault("GET", BLOB, call=push_first))
    report = ecr_scene.run()
    assert ecr_scene.tags() == {("app", "1"): others[0]}
    if same:
        assert (others[0], failed(report)) == (raw, {})
        return
    assert re.search(r"Failed to push the manifest of .*app:1: .*already exists.*TAG_INVALID", failed(report)["app:1"])


def test_a_repository_with_immutable_tags_is_made_and_filled(ecr_scene: EcrScene) -> None:
    ecr_scene.corpus()
    defaults = RepositoryDefaults.read({"image_tag_mutability": "IMMUTABLE"}, ecr_scene.cloud.region)
    assert not failed(ecr_scene.run(defaults=defaults))
    found = ecr_scene.ecr.describe_repositories(repositoryNames=[ecr_scene.name("app")])["repositories"]
    assert found[0]["imageTagMutability"] == "IMMUTABLE"
    ecr_scene.assert_mirrored()


def test_aws_credentials_that_end_meanwhile_stop_the_run_in_order(ecr_scene: EcrScene) -> None:
    """The API says so once; what was not begun is not begun, and nothing is half there."""
    ecr_scene.corpus()
    ecr_scene.create("app", "web")
    ecr_scene.engine.parallel = 1
    expired = {"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}
    ecr_scene.cloud.inject(
        {"op": "BatchCheckLayerAvailability", "after": 1, "times": -1, "status": 400, "body": expired}
    )
    report = ecr_scene.run()
    reasons = failed(report)
    assert len(reasons) == 1
    assert "is expired" in next(iter(reasons.values()))
    assert "Check the credentials" in next(iter(reasons.values()))
    left = [entry for entry in report.images if entry.action == "skip"]
    assert left
    assert all("the destination cannot be used" in entry.reason for entry in left)
    ecr_scene.assert_sound()
    assert not failed(ecr_scene.run())
    ecr_scene.assert_mirrored()
