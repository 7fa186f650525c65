# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to ask of a site, and what the answers come to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.filter.site_parts import words
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import site_status
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Item, Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound, Unauthorized
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import read
from ansible_collections.stevedore.ecr.plugins.module_utils._site.status import (
    BREAKING,
    KINDS,
    Answers,
    findings,
    lines,
    questions,
    sentence,
    verdict,
)
from ansible_collections.stevedore.ecr.plugins.modules import ecr_status_info
from ansible_collections.stevedore.ecr.tests.unit.support.site_states import (
    image,
    job,
    repository,
    rule,
    run,
    unused,
)

HERE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
LOGIN = {"username": "acme", "access_token": "hidden"}
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
PARTS = ("images", "rules", "repositories", "unused", "jobs", "unknown")


def answers(**given: Any) -> Answers:
    return Answers(**{part: given.get(part, []) for part in PARTS})


def asked(*images: Any, **more: Any) -> dict[str, Any]:
    defaults = {way: one.defaults for way, one in words().items()}
    return questions(read({"images": list(images), **more}, HERE), defaults)


# ------------------------------------------------------------------ what to ask


@pytest.mark.parametrize(
    ("entry", "more", "expected"),
    [
        ("redis:8", {}, {"way": "mirror", "source": "redis:8", "repository": "redis", "transport": "direct"}),
        ("redis:8", {"mirror": {"namespace": "m"}}, {"repository": "m/redis"}),
        ("redis:8", {"mirror": {"platforms": ["linux/amd64"]}}, {"platforms": ["linux/amd64"]}),
        ("quay.io/a/b:1", {}, {"way": "cache", "repository": "quay/a/b"}),
        ({"source": "redis", "tags": ["7", "8"]}, {}, {"tags": ["7", "8"], "source": "redis"}),
        ({"source": "redis", "select": {"globs": ["8*"]}}, {}, {"select": {"globs": ["8*"]}}),
        ({"source": "redis:8", "via": "clone"}, {}, {"way": "clone", "repository": "ecsclone/redis"}),
        (
            {"source": "111122223333.dkr.ecr.us-east-1.amazonaws.com/app", "via": "sync"},
            {"sync": {"namespace": "s"}},
            {"way": "sync", "select": {}},
        ),
    ],
)
def test_images_in_the_words_of_the_engine(entry: Any, more: dict[str, Any], expected: dict[str, Any]) -> None:
    (found,) = asked(entry, **more)["images"]
    assert {key: found.get(key) for key in expected} == expected


def test_a_cache_is_not_asked_for_images_that_are_not_named() -> None:
    assert asked("quay.io/a/b")["images"] == []


def test_rules_with_their_secrets_and_none_of_those_that_go() -> None:
    upstreams = {"docker-hub": LOGIN, "q": {"upstream": "quay"}, "ghcr": {"state": "absent"}}
    assert asked(upstreams=upstreams)["rules"] == [
        {
            "prefix": "docker-hub",
            "upstream_url": "registry-1.docker.io",
            "secret": "ecr-pullthroughcache/docker-hub",
        },
        {"prefix": "q", "upstream_url": "quay.io", "secret": None},
    ]
    assert asked(upstreams=upstreams, cache={"state": "absent"})["rules"] == []


def test_logins_of_upstreams_are_used_unless_mirrors_have_another() -> None:
    login = {"host": "docker.io", "username": "acme", "password": "hidden"}
    assert asked("nginx:1", upstreams={"docker-hub": LOGIN})["registries"] == [login]
    cloner = {"docker_hub_username": "acme", "docker_hub_access_token": "hidden"}
    assert asked({"source": "nginx:1", "via": "clone"}, clone=cloner)["registries"] == [login]
    other = {"host": "docker.io", "token": "x"}
    assert asked("nginx:1", upstreams={"docker-hub": LOGIN}, mirror={"registries": [other]})["registries"] == [other]


def test_jobs_are_called_as_their_roles_call_them() -> None:
    clone = {"source": "redis:8", "via": "clone"}
    sync = {"source": "111122223333.dkr.ecr.us-east-1.amazonaws.com/app:1", "via": "sync"}
    more = {"clone": {"prefix": "x-", "fan_out": 3, "schedule_state": "DISABLED"}, "sync": {"namespace": "s"}}
    assert asked(clone, sync, **more)["jobs"] == [
        {"way": "clone", "enabled": False, "name": "x-cloner", "kind": "codebuild_batch"},
        {"way": "sync", "enabled": True, "name": "s", "kind": "ecs_task"},
    ]
    assert asked("redis:8")["jobs"] == []


# ------------------------------------------------------------------ what the answers come to


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"images": [image(), image("on demand"), image("unknown")]}, []),
        ({"images": [image("stale")]}, ["image_stale"]),
        ({"images": [image("missing", problem="no")]}, ["image_missing", "source_unreadable"]),
        ({"rules": [rule(), rule("unknown")]}, []),
        (
            {"rules": [rule("missing"), rule("invalid", login_problem="bad")]},
            ["rule_missing", "rule_invalid", "login_refused"],
        ),
        ({"repositories": [repository(), repository(None), repository(False)]}, ["no_lifecycle"]),
        ({"unused": [unused()]}, ["image_unused"]),
        ({"jobs": [job(None), job(run()), job(run(None))]}, []),
        ({"jobs": [job(run(False))]}, ["job_failed"]),
        ({"jobs": [job(None, schedule_state="MISSING")]}, ["schedule_missing"]),
        ({"jobs": [job(None, schedule_state="DISABLED")]}, ["schedule_disabled"]),
        ({"jobs": [job(None, schedule_state="DISABLED", enabled=False)]}, []),
        ({"jobs": [job(None, schedule_state="UNKNOWN")]}, []),
        ({"unknown": [{"part": "rules", "why": "no"}], "images": [image("missing")]}, ["image_missing", "unknown"]),
    ],
)
def test_what_is_found(given: dict[str, Any], expected: list[str]) -> None:
    found = findings(answers(**given))
    assert [one["kind"] for one in found] == expected
    assert [one["breaks"] for one in found] == [one in BREAKING for one in expected]
    assert all(one["subject"] and set(one) == {"kind", "breaks", "subject", "what"} for one in found)


def test_one_sentence() -> None:
    found = findings(answers(images=[image("missing"), image("missing"), image("stale")], rules=[rule("missing")]))
    assert sentence(found, BREAKING) == "2 images are missing and 1 rule is missing."
    assert sentence(found, ["image_stale"]) == "1 image is out of date."
    assert sentence(found, ["no_lifecycle"]) == ""
    assert sentence(found, KINDS) == "2 images are missing, 1 rule is missing and 1 image is out of date."


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "All is well, and nothing is to be done."),
        ({"images": [image(), image()]}, "All of 2 images can be pulled, and nothing is to be done."),
        ({"images": [image("stale")]}, "The image can be pulled, but 1 image is out of date."),
        ({"images": [image("on demand")]}, "The image can be pulled, and nothing is to be done."),
        ({"images": [image(), image("unknown")]}, "1 of 2 images can be pulled, 1 is not known."),
        (
            {"images": [image("unknown"), image("unknown")], "unknown": [{"part": "images", "why": "denied"}]},
            "0 of 2 images can be pulled, 2 are not known, but 1 question was not answered.",
        ),
        (
            {"unknown": [{"part": "images", "why": "denied"}]},
            "Nothing is known to be wrong, but 1 question was not answered.",
        ),
        ({"images": [image("missing"), image("stale")]}, "1 image is missing."),
    ],
)
def test_the_verdict(given: dict[str, Any], expected: str) -> None:
    whole = answers(**given)
    assert verdict(whole, findings(whole)) == expected


def test_the_table_lines_up() -> None:
    whole = answers(images=[image(), image("missing", "a:1", pushed_at=None)], rules=[rule()], jobs=[job(run(False))])
    told = lines(whole, findings(whole))
    states = ("state", "current", "missing", "valid", "failed")
    assert len({line.index(word) for line, word in zip(told[:5], states, strict=True)}) == 1
    assert told[1].endswith("2026-01-31")
    assert any(line.startswith("job_failed: cloner: the last run, 2026-01-31") for line in told)


def test_the_choices_of_the_module_are_the_kinds() -> None:
    options = ecr_status_info.ARGUMENTS["fail_on"]
    assert set(options["choices"]) == set(KINDS)
    assert options["default"] == BREAKING


# ------------------------------------------------------------------ what an image is


@pytest.mark.parametrize(
    ("way", "error", "state"),
    [
        # The cache has a login of its own.
        ("cache", Unauthorized("ask ghcr.io", "denied"), "unknown"),
        ("cache", NotFound("ask ghcr.io", "unknown"), "missing"),
        ("mirror", Unauthorized("ask ghcr.io", "denied"), "missing"),
    ],
)
def test_an_image_whose_source_cannot_be_read(way: str, error: Exception, state: str) -> None:
    source, to = Reference.parse("ghcr.io/acme/app:1"), Reference.parse(f"{HERE}/ghcr/acme/app:1")
    finding = Finding(Item(Wish(source, to.repository), source, to), error=error)
    told = site_status.image_state(finding, way, {to.repository: Outcome(to.repository, result=[])})
    assert (told["state"], told["problem"]) == (state, str(error))


# ------------------------------------------------------------------ what nobody uses


@pytest.mark.parametrize(
    ("pushed", "pulled", "more", "is_unused"),
    [
        (10, None, {}, False),
        (100, None, {}, True),
        (100, 10, {}, False),
        (200, 100, {}, True),
        (100, None, {"imageTags": []}, False),
        (100, None, {"subjectManifestDigest": "sha256:0"}, False),
    ],
)
def test_unused_images(pushed: int, pulled: int | None, more: dict[str, Any], is_unused: bool) -> None:
    described = {
        "imageDigest": f"sha256:{'a' * 64}",
        "imageTags": ["1"],
        "imagePushedAt": NOW - timedelta(days=pushed),
        "imageSizeInBytes": 5,
        **({} if pulled is None else {"lastRecordedPullTime": NOW - timedelta(days=pulled)}),
        **more,
    }
    broken = Outcome[Any]("no", error=AnsibleECRError("no"))
    found = list(site_status.unused(HERE, {"app": Outcome("app", result=[described]), "no": broken}, 90, NOW))
    assert [one["address"] for one in found] == ([f"{HERE}/app:1"] if is_unused else [])
