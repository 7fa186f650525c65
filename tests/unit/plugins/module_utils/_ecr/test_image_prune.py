# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.image_prune import (
    Image,
    Plan,
    Wanted,
    plan,
    read_protected,
    wanted_by,
)

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def signature(digest: str, kind: str = ".sig") -> str:
    return f"{digest.replace(':', '-')}{kind}"


def entry(tag: str | None = "1", action: str = "up_to_date", **more: Any) -> dict[str, Any]:
    """As ecr_image_mirror returns it."""
    known = {"repository": "app", "source": f"quay.io/team/app:{tag}", "digest": A, "source_digest": A}
    return {**known, "tag": tag, "action": action, **more}


def planned(
    images: dict[str, Sequence[str]],
    wanted: Wanted,
    protect: Sequence[str] = (),
    lists: dict[str, Sequence[str]] | None = None,
) -> Plan:
    lists = lists or {}
    found = [Image(digest, tags, is_index=digest in lists) for digest, tags in images.items()]
    return plan(
        found,
        wanted,
        read_protected(protect),
        lambda indexes: {index.digest: lists[index.digest] for index in indexes},
    )


def gone(found: Plan) -> dict[str, bool]:
    """Each tag that goes, and whether its image goes too."""
    return {one.tag: one.with_image for one in found.unwanted}


# ------------------------------------------------------------------ what goes


@pytest.mark.parametrize(
    ("images", "wanted", "expected"),
    [
        pytest.param({A: ["1"], B: ["2"]}, Wanted({"1", "2"}), {}, id="all are asked for"),
        pytest.param({A: ["1"], B: ["2"]}, Wanted({"2"}), {"1": True}, id="one is not"),
        pytest.param({A: ["1", "latest"]}, Wanted({"1"}), {"latest": False}, id="its image has another tag"),
        pytest.param({A: ["1", "2"]}, Wanted({"3"}), {"1": True, "2": True}, id="all of an image's tags"),
        pytest.param({A: [], B: ["1"]}, Wanted({"1"}), {}, id="what has no tag is not looked at"),
        pytest.param({A: ["1", "2"], B: ["3"]}, Wanted({"3"}, {A}), {}, id="the digest is asked for"),
        pytest.param({}, Wanted({"1"}), {}, id="an empty repository"),
        pytest.param(
            {A: ["10"], B: ["9"], C: ["1"]}, Wanted({"1"}), {"9": True, "10": True}, id="numbers are sorted as such"
        ),
    ],
)
def test_what_nobody_asks_for_goes(images: dict[str, Sequence[str]], wanted: Wanted, expected: dict[str, bool]) -> None:
    assert list(gone(planned(images, wanted)).items()) == list(expected.items())


def test_protected_tags_stay_and_it_is_said_why() -> None:
    found = planned({A: ["release-1", "old"], B: ["1"]}, Wanted({"1"}), ["release-*", "x?"])
    assert gone(found) == {"old": False}
    assert found.spared == {"release-1": "protected by release-*"}


def test_what_a_multi_arch_image_lists_stays_with_it() -> None:
    images = {A: ["1"], B: ["1-amd64", "one-amd64"], C: []}
    found = planned(images, Wanted({"1"}), lists={A: [B, C]})
    assert gone(found) == {}
    assert found.spared == dict.fromkeys(["1-amd64", "one-amd64"], "a multi-arch image that stays lists it")


def test_what_a_multi_arch_image_lists_goes_with_it() -> None:
    found = planned({A: ["1"], B: ["1-amd64"], C: ["2"]}, Wanted({"2"}), lists={A: [B]})
    assert gone(found) == {"1": True, "1-amd64": True}


def test_a_list_without_a_tag_counts_too() -> None:
    assert gone(planned({A: [], B: ["1-amd64"]}, Wanted({"2"}), lists={A: [B]})) == {}


def test_what_stays_for_a_list_keeps_its_own_lists_and_signatures() -> None:
    images = {A: ["1"], B: ["inner"], C: ["leaf"], D: [signature(B), "x"]}
    found = planned(images, Wanted({"1"}), lists={A: [B], B: [C]})
    assert gone(found) == {"x": False}
    assert set(found.spared) == {"inner", "leaf"}


def test_a_signature_that_a_list_has_stays() -> None:
    found = planned({A: ["1"], B: [signature(C)], C: ["2"]}, Wanted({"1"}), lists={A: [B]})
    assert gone(found) == {"2": True}
    assert set(found.spared) == {signature(C)}


def test_lists_are_read_only_if_something_may_go() -> None:
    def never(_indexes: Sequence[Image]) -> dict[str, list[str]]:
        raise AssertionError("it costs a call")

    images = [Image(A, ["1"], is_index=True), Image(B, ["2", "3"])]
    assert gone(plan(images, Wanted({"1", "2"}), [], never)) == {"3": False}


@pytest.mark.parametrize("kind", [".sig", ".att", ".sbom", ""])
def test_signatures_stay_as_long_as_their_image(kind: str) -> None:
    images = {A: ["1"], B: [signature(A, kind)], C: [signature(D, kind)]}
    assert gone(planned(images, Wanted({"1"}))) == {}
    assert gone(planned(images, Wanted({"2"}))) == {"1": True, signature(A, kind): True}


def test_signatures_can_be_asked_for_and_protected() -> None:
    images = {A: ["1"], B: [signature(A)], C: [signature(A, ".att")]}
    assert gone(planned(images, Wanted({"2", signature(A)}), ["*.att"])) == {"1": True}


def test_a_tag_that_cannot_be_changed_stays_with_all_that_took_its_place() -> None:
    images = {A: ["1.2"], B: ["1.2-bbbbbbbbbbbb"], C: ["1.2-cccccccccccc"], D: ["1.3-cccccccccccc"]}
    wanted = wanted_by([entry("1.2-bbbbbbbbbbbb", digest=B, source_digest=B)])["app"]
    found = planned(images, wanted)
    assert gone(found) == {"1.3-cccccccccccc": True}
    assert set(found.spared) == {"1.2", "1.2-cccccccccccc"}


def test_names_of_commits_are_ordinary_tags() -> None:
    images = {A: ["main-0123456789ab"], B: ["main-ba9876543210"]}
    wanted = wanted_by([entry("main-0123456789ab", digest=A, source_digest=A)])["app"]
    assert gone(planned(images, wanted)) == {"main-ba9876543210": True}


TAGS = st.sampled_from(["1", "2", "latest", "release-1", "1-amd64", signature(A), signature(B, ".att")])


@given(
    st.lists(TAGS, unique=True),
    st.lists(st.sampled_from([A, B, C, D]), min_size=7, max_size=7),
    st.sets(TAGS),
    st.sets(st.sampled_from([A, B])),
    st.dictionaries(st.sampled_from([B, C, D]), st.lists(st.sampled_from([A, B])), max_size=3),
)
def test_what_has_to_stay_stays(
    tags: list[str], digests: list[str], wanted: set[str], pinned: set[str], lists: dict[str, list[str]]
) -> None:
    images: dict[str, list[str]] = {digest: [] for digest in (A, B, C, D)}
    for tag, digest in zip(tags, digests, strict=False):
        images[digest].append(tag)
    found = planned(images, Wanted(wanted, pinned), ["release-*"], lists)
    going = set(gone(found))
    after = {digest: [tag for tag in own if tag not in going] for digest, own in images.items()}
    deleted = {digest for digest, own in images.items() if own and not after[digest]}
    assert not going & wanted
    assert not any(tag.startswith("release-") for tag in going)
    assert not deleted & pinned
    assert going.isdisjoint(found.spared)
    # Nothing that stays lists anything that went, so Amazon ECR refuses nothing.
    assert not deleted & {child for digest, children in lists.items() if digest not in deleted for child in children}
    for tag in going & {signature(A), signature(B, ".att")}:
        assert (A if tag == signature(A) else B) in deleted
    assert {one.tag for one in found.unwanted if one.with_image} == {
        tag for digest in deleted for tag in images[digest]
    }


# ------------------------------------------------------------------ what is wanted


def test_wanted_are_tags_and_digests_by_repository() -> None:
    wanted = wanted_by(
        [
            entry("1"),
            entry("2", "copy"),
            entry("3", "skip"),
            entry(None, digest=B, source_digest=B),
            entry(None, "copy", digest=None, source_digest=C),  # in check mode it is not there yet
            entry("9", repository="other"),
        ]
    )
    assert wanted == {"app": Wanted({"1", "2", "3"}, {B, C}), "other": Wanted({"9"})}


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], "the list of images is empty"),
        ([entry(), entry("2", "fail")], "1 of 2 images could not be brought over, quay.io/team/app:2."),
        ([entry(action="refuse")], "1 of 1 images could not be brought over"),
        ([entry(action="defer")], "1 of 1 images could not be brought over"),
        ([entry(str(n), "fail") for n in range(5)], "app:0, quay.io/team/app:1, quay.io/team/app:2 and 2 more"),
        (
            [entry(), entry(None, "skip", digest=None, source_digest=None, source="quay.io/team/app")],
            "nothing was selected of quay.io/team/app.",
        ),
    ],
)
def test_nothing_is_deleted_for_lack_of_knowledge(images: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(AnsibleECRError, match=r"^Nothing is pruned: ") as caught:
        wanted_by(images)
    assert says in str(caught.value)


def test_all_bad_globs_are_told() -> None:
    with pytest.raises(AnsibleECRError, match=r"protect\[1\]: 'a\{b'.*; protect\[2\]: 'c\}'"):
        read_protected(["fine-*", "a{b", "c}"])
