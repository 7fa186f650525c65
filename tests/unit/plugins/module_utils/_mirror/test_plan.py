# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    Item,
    Present,
    Task,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import (
    Conditions,
    decide,
    may_be_proven_by_config,
    proven_by_config,
    pulls_of,
    recipe_of,
    renamed,
    wants_new_tag,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

A, B, C = (Digest("sha256", letter * 64) for letter in "abc")
AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
IMAGE, INDEX = Descriptor(OCI_MANIFEST, A, 500), Descriptor(OCI_INDEX, A, 5000)
OPEN, IMMUTABLE = Conditions(), Conditions(immutable=True)


def item(tag: str = "1.27", **manner: Any) -> Item:
    source = Reference.parse("nginx")
    wish = Wish(source, "web/nginx", {tag: tag}, **manner)
    return Item(wish, source.with_tag(tag), Reference("registry.example", "web/nginx", tag))


def made_of(source: Digest, recipe: str, digest: Digest = B, **more: Any) -> Present:
    return Present(digest, OCI_MANIFEST, {SOURCE_DIGEST: str(source), RECIPE: recipe}, **more)


PLAIN, ENGINE = item(), item(transport="docker")
SUBSET = item(platforms=(AMD, ARM))
LINES = item(dockerfile=("USER 1",))


@pytest.mark.parametrize(
    ("one", "found", "expected"),
    [
        (PLAIN, IMAGE, ""),
        (PLAIN, INDEX, ""),
        (SUBSET, INDEX, "platforms=linux/amd64,linux/arm64"),
        # The transport sees to it that it is the right platform.
        (SUBSET, IMAGE, ""),
        (ENGINE, INDEX, "engine"),
        (item(transport="docker", platforms=(ARM,)), INDEX, "platforms=linux/arm64;engine"),
        (item(transport="docker", platforms=(ARM,)), IMAGE, "engine"),
    ],
)
def test_recipe(one: Item, found: Descriptor, expected: str) -> None:
    assert recipe_of(one.wish, found) == expected


def test_recipe_of_lines() -> None:
    recipe = recipe_of(LINES.wish, IMAGE)

    assert recipe.startswith("dockerfile=sha256:")
    assert recipe != recipe_of(item(dockerfile=("USER 2",)).wish, IMAGE)
    both = item(dockerfile=("USER 1",), platforms=(ARM,), transport="docker")
    assert recipe_of(both.wish, INDEX) == f"platforms=linux/arm64;{recipe};engine"


@pytest.mark.parametrize(
    ("one", "found", "present", "conditions", "action", "reason"),
    [
        (PLAIN, IMAGE, None, OPEN, "copy", "not in the destination yet"),
        (PLAIN, IMAGE, Present(A, OCI_MANIFEST), OPEN, "up_to_date", "the digest is that of the source"),
        (PLAIN, IMAGE, Present(B, OCI_MANIFEST), OPEN, "copy", f"the source has moved from {B} to {A}"),
        # The same source, brought by an engine before: now it is to be the very same.
        (PLAIN, IMAGE, made_of(A, "engine"), OPEN, "copy", "in another way: as it is, instead of engine"),
        (SUBSET, INDEX, made_of(A, recipe_of(SUBSET.wish, INDEX)), OPEN, "up_to_date", "as recorded"),
        (SUBSET, INDEX, made_of(A, "platforms=linux/amd64"), OPEN, "copy", "to be made in another way: platforms="),
        (SUBSET, INDEX, made_of(C, recipe_of(SUBSET.wish, INDEX)), OPEN, "copy", f"moved from {C} to {A}"),
        # A subset is wanted, and the whole is there.
        (SUBSET, INDEX, Present(A, OCI_INDEX), OPEN, "copy", "has no record of what it was made of"),
        (SUBSET, IMAGE, Present(A, OCI_MANIFEST), OPEN, "up_to_date", "the digest is that of the source"),
        (ENGINE, INDEX, made_of(A, "engine"), OPEN, "up_to_date", "as recorded"),
        (ENGINE, INDEX, Present(A, OCI_INDEX), OPEN, "up_to_date", "the digest is that of the source"),
        (ENGINE, INDEX, Present(B, OCI_MANIFEST), OPEN, "copy", "has no record of what it was made of"),
        (LINES, IMAGE, Present(A, OCI_MANIFEST), OPEN, "copy", "has no record of what it was made of"),
        # Immutable tags.
        (PLAIN, IMAGE, Present(A, OCI_MANIFEST), IMMUTABLE, "up_to_date", "the digest is that of the source"),
        (PLAIN, IMAGE, None, IMMUTABLE, "copy", "not in the destination yet"),
        (PLAIN, IMAGE, Present(B, OCI_MANIFEST), IMMUTABLE, "refuse", f"and is {B} while the source is {A}"),
        (SUBSET, INDEX, made_of(C, "x"), IMMUTABLE, "refuse", f"is {B}, made of {C}, while the source is {A}"),
        (item(on_moved_tag="skip"), IMAGE, Present(B, OCI_MANIFEST), IMMUTABLE, "skip", "as on_moved_tag says"),
        # Repositories that are not there.
        (PLAIN, IMAGE, None, Conditions(exists=False), "refuse", "set create_repositories"),
        (PLAIN, IMAGE, None, Conditions(exists=False, may_create=True), "copy", "not in the destination yet"),
    ],
)  # fmt: skip
def test_decisions(
    one: Item, found: Descriptor, present: Present | None, conditions: Conditions, action: str, reason: str
) -> None:
    decision = decide(one, found, present, conditions)

    assert decision.action == action
    assert reason in decision.reason
    assert (decision.task is not None) == (action == "copy")


def test_the_task_says_all() -> None:
    decision = decide(SUBSET, INDEX, None, Conditions(exists=False, may_create=True, immutable=True))

    assert decision.task == Task(SUBSET, INDEX, recipe_of(SUBSET.wish, INDEX), immutable=True, create_repository=True)


@pytest.mark.parametrize(
    ("one", "present", "conditions", "expected"),
    [
        (item(on_moved_tag="new_tag"), Present(B, OCI_MANIFEST), IMMUTABLE, True),
        (item(on_moved_tag="new_tag"), Present(A, OCI_MANIFEST), IMMUTABLE, False),
        (item(on_moved_tag="new_tag"), Present(B, OCI_MANIFEST), OPEN, False),
        (item(on_moved_tag="new_tag"), None, IMMUTABLE, False),
        (item(), Present(B, OCI_MANIFEST), IMMUTABLE, False),
    ],
)
def test_who_wants_a_new_tag(one: Item, present: Present | None, conditions: Conditions, expected: bool) -> None:
    assert wants_new_tag(one, IMAGE, present, conditions) is expected


def test_the_new_tag_is_tried_once() -> None:
    other = renamed(item(on_moved_tag="new_tag"), IMAGE)

    assert other.destination.tag == "1.27-aaaaaaaaaaaa"
    assert other.source.tag == "1.27"
    assert decide(other, IMAGE, Present(A, OCI_MANIFEST), IMMUTABLE).action == "up_to_date"
    assert decide(other, IMAGE, Present(B, OCI_MANIFEST), IMMUTABLE).action == "refuse"


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_a_new_tag_is_a_tag(tag: str) -> None:
    other = renamed(item(tag), IMAGE).destination.tag

    assert other is not None
    assert other.endswith("-aaaaaaaaaaaa")
    assert tag.startswith(other[:-13])


@pytest.mark.parametrize(
    ("one", "present", "conditions", "expected"),
    [
        (ENGINE, Present(B, OCI_MANIFEST, config=C), IMMUTABLE, True),
        (ENGINE, Present(B, OCI_MANIFEST, config=C), OPEN, False),
        (ENGINE, Present(B, OCI_INDEX), IMMUTABLE, False),
        (ENGINE, Present(A, OCI_MANIFEST, config=C), IMMUTABLE, False),
        (ENGINE, made_of(C, "engine", config=C), IMMUTABLE, False),
        (PLAIN, Present(B, OCI_MANIFEST, config=C), IMMUTABLE, False),
        (item(transport="docker", dockerfile=("RUN x",)), Present(B, OCI_MANIFEST, config=C), IMMUTABLE, False),
        (ENGINE, None, IMMUTABLE, False),
    ],
)
def test_who_is_asked_for_the_configuration(
    one: Item, present: Present | None, conditions: Conditions, expected: bool
) -> None:
    assert may_be_proven_by_config(one, IMAGE, present, conditions) is expected


def test_proof_by_configuration() -> None:
    decision = proven_by_config(Present(B, OCI_MANIFEST, config=C), [A, C])
    assert decision is not None
    assert decision.action == "up_to_date"
    assert proven_by_config(Present(B, OCI_MANIFEST, config=C), [A, B]) is None


@pytest.mark.parametrize(
    ("one", "found", "pulls"),
    [
        (PLAIN, IMAGE, 1),
        (PLAIN, INDEX, 11),
        (PLAIN, replace(INDEX, size=50), 2),
        (SUBSET, INDEX, 5),
        (SUBSET, IMAGE, 1),
        (ENGINE, INDEX, 2),
        (item(transport="docker", platforms=(AMD, ARM)), INDEX, 3),
    ],
)
def test_estimated_pulls(one: Item, found: Descriptor, pulls: int) -> None:
    assert pulls_of(Task(one, found)) == pulls


digests = st.sampled_from([A, B, C])
manners = st.fixed_dictionaries(
    {
        "platforms": st.sampled_from([(), (AMD,), (AMD, ARM)]),
        "transport": st.sampled_from(["direct", "docker"]),
        "on_moved_tag": st.sampled_from(["fail", "skip", "new_tag"]),
        "dockerfile": st.sampled_from([(), ("USER 1",), ("RUN true",)]),
    }
)
annotations = st.fixed_dictionaries(
    {}, optional={SOURCE_DIGEST: digests.map(str), RECIPE: st.sampled_from(["", "engine", "platforms=linux/amd64"])}
)
presents = st.none() | st.builds(Present, digests, st.sampled_from([OCI_MANIFEST, OCI_INDEX]), annotations)
conditions_of_any_kind = st.builds(Conditions, st.booleans(), st.booleans(), st.booleans())


@given(manners, st.sampled_from([IMAGE, INDEX]), presents, conditions_of_any_kind)
def test_every_decision_is_sound(
    manner: dict[str, Any], found: Descriptor, present: Present | None, conditions: Conditions
) -> None:
    one = item(**manner)
    decision = decide(one, found, present, conditions)
    recipe = recipe_of(one.wish, found)

    assert decision.reason
    if decision.task is not None:
        assert decision.action == "copy"
        # What can be written once only is not written twice, and nothing goes where nothing may be.
        assert not (conditions.immutable and present)
        assert conditions.exists or conditions.may_create
        # The next run knows it again: by its digest, or by the record.
        copy = Present(A, OCI_MANIFEST) if not recipe else made_of(A, recipe, C)
        assert decide(one, found, copy, Conditions(immutable=conditions.immutable)).action == "up_to_date"
    if decision.action == "up_to_date":
        assert present is not None
        assert A in (present.digest, Digest.parse(present.source_digest or str(B)))
    if wants_new_tag(one, found, present, conditions):
        assert decision.action in ("refuse", "skip")
        assert renamed(one, found).destination != one.destination
