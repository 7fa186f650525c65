# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import ReportError, run_from
from ansible_collections.stevedore.ecr.tests.unit.support.mirror_results import DIGEST, REGISTRY, image, options

FAILED = {"error": {"msg": "denied", "code": "DENIED"}}


@pytest.mark.parametrize(
    ("params", "good", "verdict"),
    [
        (options(), True, "No image was asked for."),
        (options(problem="no"), False, "The run failed before any image was looked at."),
        (options(image()), True, "The image can be pulled from your own ECR."),
        (options(image(), image(action="copy")), True, "All 2 images can be pulled from your own ECR."),
        (options(image(action="skip")), True, "The image can be pulled from your own ECR."),
        (
            options(image(), image(action="skip", digest=None, tag="1")),
            True,
            "1 of 2 images can be pulled from your own ECR as they should be.",
        ),
        (
            options(image(), image(action="fail", **FAILED), image(action="defer")),
            False,
            "1 of 3 images can be pulled from your own ECR as they should be.",
        ),
        (
            options(image(action="fail", **FAILED)),
            False,
            "The image cannot be pulled from your own ECR as it should be.",
        ),
        (
            options(image(), image(action="fail", kind="referrer", **FAILED)),
            False,
            "The image can be pulled from your own ECR, but not everything went well.",
        ),
        (options(image(), planned=True), True, "Nothing to copy."),
        (options(image(), image(action="copy"), planned=True), True, "1 of 2 images would be copied."),
        (
            options(image(action="copy"), image(action="refuse"), planned=True),
            False,
            "1 of 2 images would be copied, and 1 could not be.",
        ),
        (
            options(image(action="skip", digest=None, tag="1"), planned=True),
            True,
            "Nothing to copy; 1 would be left out.",
        ),
    ],
)
def test_one_sentence_says_it_all(params: dict[str, Any], good: bool, verdict: str) -> None:
    run = run_from(params, "now")
    assert (run.is_good, run.verdict) == (good, verdict)


def test_failures_come_first_and_have_their_reason() -> None:
    entries = [image("a/a:1", "defer"), image("b/b:1"), image("c/c:1", "fail", **FAILED), image("d/d:1", "refuse")]
    run = run_from(options(*entries), "now")
    assert [(item.source, item.status, item.why) for item in run.ailing] == [
        ("quay.io/c/c:1", "failed", "denied"),
        ("quay.io/d/d:1", "refused", "so it is"),
        ("quay.io/a/a:1", "deferred", "so it is"),
    ]


def test_figures_add_up() -> None:
    traffic = {"moved": 1_000_000, "reused": 300, "mounted": 200}
    entries = [image(action="copy", bytes=traffic), image(action="copy", bytes=traffic), image(bytes=None)]
    limit = {"limit": 200, "remaining": 41, "window": 21600, "used": 2}
    params = options(*entries, rate_limit={"docker.io": limit})
    assert run_from(params, "now").figures == [
        ("1", "up to date"),
        ("2", "copied"),
        ("2.0 MB", "moved"),
        ("1.0 kB", "there already"),
        ("41", "pulls left at docker.io"),
    ]
    planned = run_from({**params, "planned": True}, "now").figures
    assert [what for _number, what in planned[:3]] == ["up to date", "would be copied", "to be moved"]


def test_addresses_are_those_of_what_can_be_pulled() -> None:
    by_digest = f"{REGISTRY}/team/app@{DIGEST}"
    entries = [
        image(),
        image("c/c:1", "fail", **FAILED),
        image("team/app:sha256-1.sig", kind="referrer"),
        image("d/d:1", "copy", digest=None),
        image("e/e:1", "skip", digest=None, tag="1", reason="the repository e/e does not exist"),
        image("f/f:1", "skip", destination=f"{REGISTRY}/f/f@{DIGEST}", digest=None, reason="not attempted: the end"),
        image("team/pinned:1", source="quay.io/team/pinned@sha256:1", destination=f"{REGISTRY}/team/app@{DIGEST}"),
        image("team/second:1", source="quay.io/team/app:1"),
    ]
    run = run_from(options(*entries), "now")
    assert (len(run.items), run.notes) == (len(entries), [])
    assert run.addresses == {
        "quay.io/team/app:1": {"tag": f"{REGISTRY}/team/app:1", "digest": by_digest},
        "quay.io/d/d:1": {"tag": f"{REGISTRY}/d/d:1", "digest": None},
        "quay.io/team/pinned@sha256:1": {"tag": None, "digest": by_digest},
    }


def test_the_port_of_a_registry_is_no_tag() -> None:
    entry = image(destination="127.0.0.1:5000/app:1")
    assert run_from(options(entry), "now").items[0].pinned == f"127.0.0.1:5000/app@{DIGEST}"


def test_a_selection_without_tags_is_no_image() -> None:
    nothing = image("c/c", "skip", digest=None, reason="no tag of quay.io/c/c is selected")
    run = run_from(options(nothing, notes=["A note."]), "now")
    assert (run.items, run.addresses) == ([], {})
    assert run.notes == ["no tag of quay.io/c/c is selected", "A note."]


def test_lines_are_for_logs() -> None:
    entries = [
        image(notes=["a note"]),
        image("b/b:1", "copy", bytes={"moved": 61_400_000, "reused": 0, "mounted": 0}, seconds=2.34),
        image("c/c:1", "fail", error={"msg": "denied\n\nby them\x1b[2J", "code": "X"}),
    ]
    tags = [
        {"tag": "1", "digest": DIGEST, "deletes_image": True, "deleted": True},
        {"tag": "2", "digest": DIGEST, "deletes_image": False, "deleted": False},
    ]
    assert run_from(options(*entries, pruned=[{"name": "app", "tags": tags}]), "now").lines == [
        f"up to date: quay.io/team/app:1 -> {REGISTRY}/team/app:1: a note",
        f"copied: quay.io/b/b:1 -> {REGISTRY}/b/b:1 (61.4 MB, 2.3 s): so it is",
        f"failed: quay.io/c/c:1 -> {REGISTRY}/c/c:1: denied by them\N{REPLACEMENT CHARACTER}[2J",
        "deleted: app:1 and its image",
        "no longer asked for: app:2",
    ]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (options({"action": "explode"}), "images[0].action must be one of fail, refuse"),
        (options(image(), {}), "images[1].action must be one of"),
        (options(rate_limit={"docker.io": {"limit": 1}}), "rate_limit.docker.io must have limit and remaining"),
        (options(rate_limit={"docker.io": 1}), "rate_limit.docker.io must have limit and remaining"),
    ],
)
def test_what_is_no_result_is_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(ReportError) as caught:
        run_from(params, "now")
    assert says in str(caught.value)
