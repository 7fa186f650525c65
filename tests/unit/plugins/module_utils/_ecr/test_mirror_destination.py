# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.mirror_destination import (
    DestinationError,
    EcrDestination,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    RECIPE,
    SOURCE_DIGEST,
    MirrorError,
    PartlyKnownError,
    RepositoryMissingError,
    UnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Document, Refused
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirrored import HOST, FakeMirrored

RULE = {"priority": 1, "tag_status": "any", "count_type": "imageCountMoreThan", "count_number": 5, "action": "expire"}


def destination(ecr: FakeMirrored, **defaults: Any) -> EcrDestination:
    return EcrDestination(ecr.client, HOST, RepositoryDefaults.read(defaults, "eu-west-1"))


def image(name: str, **more: Any) -> str:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": str(digest(name)), "size": 1}
    return json.dumps({"schemaVersion": 2, "mediaType": manifest.OCI_MANIFEST, "config": config, "layers": [], **more})


def index(*children: str) -> str:
    entries = [{"mediaType": manifest.OCI_MANIFEST, "digest": child, "size": 1} for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries})


def digest(text: str) -> Digest:
    return Digest.of(text.encode())


def denied(action: str) -> tuple[str, str]:
    return "AccessDeniedException", f"User: me is not authorized to perform: {action} on resource: it"


# ------------------------------------------------------------------ looking up repositories


def look_up(ecr: FakeMirrored, names: Iterable[str]) -> EcrDestination:
    made = destination(ecr)
    made.look_up(names)
    return made


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_repositories_that_exist_are_asked_for_by_the_hundred(count: int, calls: int) -> None:
    names = [f"app{number}" for number in range(count)]
    ecr = FakeMirrored(*names)
    made = look_up(ecr, [*names, *names])
    assert ecr.count("DescribeRepositories") == calls
    assert all(made.exists(name) for name in names)
    assert not made.exists("other")


@pytest.mark.parametrize(
    ("existing", "wanted", "page_size", "calls"),
    [
        # One name needs no second question.
        ([], ["app-a"], 1000, 1),
        ([], ["app-a", "app-b"], 1000, 2),
        (["app-a"], ["app-a", "app-b", "app-c"], 1000, 2),
        # Two pages are no more than three questions; a third page would be.
        (["app-a", "app-b", "app-d"], ["app-a", "app-b", "app-c"], 2, 3),
        (["app-a", "app-b", "app-d", "app-e", "app-f"], ["app-a", "app-c", "app-x"], 2, 1 + 2 + 2),
    ],
)
def test_where_some_are_missing_the_cheapest_way_is_taken(
    existing: list[str], wanted: list[str], page_size: int, calls: int
) -> None:
    ecr = FakeMirrored(*existing)
    ecr.page_size = page_size
    made = look_up(ecr, wanted)
    assert {name for name in wanted if made.exists(name)} == {*existing} & {*wanted}
    assert ecr.count("DescribeRepositories") == calls


@given(
    existing=st.sets(st.integers(0, 300), max_size=150),
    wanted=st.sets(st.integers(0, 300), max_size=150),
    page_size=st.integers(1, 200),
    may_list=st.booleans(),
)
def test_whatever_there_is_is_found(existing: set[int], wanted: set[int], page_size: int, may_list: bool) -> None:
    ecr = FakeMirrored(*(f"app{number}" for number in existing))
    ecr.page_size = page_size

    def refuse_lists(request: Document) -> None:
        if "repositoryNames" not in request:
            raise Refused(*denied("ecr:DescribeRepositories"))

    if not may_list:
        ecr.on("DescribeRepositories", refuse_lists, times=1000)
    made = look_up(ecr, [f"app{number}" for number in wanted])
    assert {number for number in wanted if made.exists(f"app{number}")} == existing & wanted
    batches = -(-len(wanted) // 100)
    assert ecr.count("DescribeRepositories") <= batches + 2 * len(wanted)


def test_a_registry_of_many_pages_is_not_read_for_a_few() -> None:
    ecr = FakeMirrored(*(f"app{number}" for number in range(100)))
    ecr.page_size = 10
    names = ["missing", *(f"app{number}" for number in range(50, 69))]
    made = look_up(ecr, names)
    assert [name for name in names if not made.exists(name)] == ["missing"]
    listed = sum(name == "DescribeRepositories" and "repositoryNames" not in request for name, request in ecr.calls)
    assert listed == 5


def test_a_repository_that_one_may_not_see_is_its_own_trouble() -> None:
    ecr = FakeMirrored("app-a", "app-b")

    def refuse_b(request: Document) -> None:
        if "app-b" in request.get("repositoryNames", ["app-b"]):
            raise Refused(*denied("ecr:DescribeRepositories"))

    ecr.on("DescribeRepositories", refuse_b, times=100)
    made = look_up(ecr, ["app-a", "app-b"])
    assert made.exists("app-a")
    assert made.exists("app-b")
    assert made.present("app-a", ["1"]) == {}
    with pytest.raises(DestinationError, match="needs ecr:DescribeRepositories") as caught:
        made.present("app-b", ["1"])
    assert caught.value.code == "AccessDeniedException"


def test_where_nothing_may_be_seen_nothing_is_begun() -> None:
    ecr = FakeMirrored("app-a", "app-b")
    ecr.refuse("DescribeRepositories", *denied("ecr:DescribeRepositories"), times=100)
    with pytest.raises(DestinationError, match="needs ecr:DescribeRepositories"):
        look_up(ecr, ["app-a", "app-b"])
    assert ecr.count("DescribeRepositories") == 4


def test_invalid_credentials_end_the_run() -> None:
    ecr = FakeMirrored("app-a")
    ecr.refuse("DescribeRepositories", "UnrecognizedClientException", "The security token is invalid")
    with pytest.raises(UnavailableError, match="Check the credentials"):
        look_up(ecr, ["app-a"])


# ------------------------------------------------------------------ what is present


def test_what_manifests_tell() -> None:
    ecr = FakeMirrored("app")
    record = {SOURCE_DIGEST: "sha256:1", RECIPE: "engine"}
    one = ecr.put("app", "1", image("one", annotations=record))
    other = ecr.put("app", "2", image("two"))
    listed = ecr.put("app", "all", index(one, other), manifest.OCI_INDEX)
    found = look_up(ecr, ["app"]).present("app", ["1", "all", one, "none", str(digest("none"))])
    assert set(found) == {"1", "all", one}
    assert found["1"] == found[one]
    assert (str(found["1"].digest), found["1"].config) == (one, digest("one"))
    assert (found["1"].source_digest, found["1"].recipe) == ("sha256:1", "engine")
    assert (str(found["all"].digest), [str(child) for child in found["all"].children]) == (listed, [one, other])
    assert found["all"].media_type == manifest.OCI_INDEX


@pytest.mark.parametrize("text", ["no JSON", "{}", "[]", '{"schemaVersion": 1}', '{"schemaVersion": 2, "layers": 5}'])
def test_what_cannot_be_understood_is_something_else(text: str) -> None:
    ecr = FakeMirrored("app")
    there = ecr.put("app", "1", text, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    found = look_up(ecr, ["app"]).present("app", ["1"])["1"]
    assert (str(found.digest), found.annotations, found.config, found.children) == (there, {}, None, ())


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_tags_are_asked_for_by_the_hundred(count: int, calls: int) -> None:
    ecr = FakeMirrored("app")
    tags = [str(number) for number in range(count)]
    for tag in tags[::2]:
        ecr.put("app", tag, image(tag))
    found = look_up(ecr, ["app"]).present("app", tags)
    assert sorted(found) == sorted(tags[::2])
    assert ecr.count("BatchGetImage") == calls


def test_tags_of_one_image_that_get_one_answer_are_asked_for_again() -> None:
    ecr = FakeMirrored("app")
    ecr.answers_once = True
    for tag in ("1", "1.0", "latest"):
        ecr.put("app", tag, image("one"))
    assert set(look_up(ecr, ["app"]).present("app", ["1", "1.0", "none", "latest"])) == {"1", "1.0", "latest"}


def test_all_media_types_are_accepted() -> None:
    ecr = FakeMirrored("app")
    look_up(ecr, ["app"]).present("app", ["1"])
    accepted = next(request["acceptedMediaTypes"] for name, request in ecr.calls if name == "BatchGetImage")
    assert {*manifest.ACCEPT.split(", ")} < {*accepted}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("UpstreamUnavailable", "belongs to a pull-through cache"),
        ("KmsError", "Amazon ECR cannot look at 1 in app: no 1. (KmsError)"),
    ],
)
def test_what_is_neither_there_nor_missing_is_trouble(code: str, says: str) -> None:
    ecr = FakeMirrored("app")
    ecr.failures["1"] = code
    with pytest.raises(DestinationError) as caught:
        look_up(ecr, ["app"]).present("app", ["1"])
    assert says in str(caught.value)
    assert caught.value.code == code


def test_trouble_with_one_of_many_is_that_ones_alone() -> None:
    ecr = FakeMirrored("app")
    ecr.put("app", "2", image("two"))
    ecr.failures["1"] = "KmsError"
    with pytest.raises(PartlyKnownError, match=r"cannot look at 1 in app: no 1\. \(KmsError\)") as caught:
        look_up(ecr, ["app"]).present("app", ["1", "2", "3"])
    assert caught.value.code == "KmsError"
    assert ({*caught.value.found}, {*caught.value.failed}) == ({"2"}, {"1"})
    assert ecr.count("BatchGetImage") == 1


def test_an_archived_image_cannot_be_pulled_so_it_is_not_there() -> None:
    ecr = FakeMirrored("app")
    ecr.put("app", "2", image("two"))
    ecr.failures["1"] = "ImageInaccessible"
    assert set(look_up(ecr, ["app"]).present("app", ["1", "2"])) == {"2"}


def test_a_repository_that_was_removed_meanwhile() -> None:
    ecr = FakeMirrored("app")
    made = look_up(ecr, ["app"])
    del ecr.repositories["app"]
    with pytest.raises(RepositoryMissingError, match="does not exist"):
        made.present("app", ["1"])


def test_throttling_is_waited_for(slept: list[float]) -> None:
    ecr = FakeMirrored("app")
    ecr.refuse("BatchGetImage", "ThrottlingException", "Rate exceeded", times=3)
    assert look_up(ecr, ["app"]).present("app", ["1"]) == {}
    assert len(slept) == 3


# ------------------------------------------------------------------ making repositories


def test_a_repository_is_made_with_the_defaults() -> None:
    ecr = FakeMirrored()
    made = destination(ecr, image_tag_mutability="IMMUTABLE", lifecycle_rules=[RULE])
    made.look_up(["app"])
    assert made.is_immutable("app", "1")
    assert made.create("app")
    assert made.exists("app")
    assert ecr.repositories["app"].settings["imageTagMutability"] == "IMMUTABLE"
    assert ecr.policy("app") is not None


def test_one_that_is_there_already_is_fine_and_left_alone() -> None:
    ecr = FakeMirrored("app")
    made = destination(ecr, image_tag_mutability="IMMUTABLE", lifecycle_rules=[RULE])
    assert not made.create("app")
    assert ecr.policy("app") is None


def test_many_threads_may_make_the_same() -> None:
    ecr = FakeMirrored()
    made = destination(ecr)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(made.create, ["app"] * 8)) == 1
    assert [name for name, _request in ecr.calls].count("CreateRepository") == 8
    assert made.exists("app")


def test_one_that_may_not_be_made() -> None:
    ecr = FakeMirrored()
    ecr.refuse("CreateRepository", *denied("ecr:CreateRepository"))
    with pytest.raises(DestinationError, match="needs ecr:CreateRepository"):
        destination(ecr).create("app")


def test_one_whose_lifecycle_policy_fails_is_told_of() -> None:
    ecr = FakeMirrored()
    ecr.refuse("PutLifecyclePolicy", *denied("ecr:PutLifecyclePolicy"))
    with pytest.raises(MirrorError) as caught:
        destination(ecr, lifecycle_rules=[RULE]).create("app")
    assert "The repository app was created, but has no lifecycle policy yet" in str(caught.value)
    assert "needs ecr:PutLifecyclePolicy" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "immutable"),
    [
        ({}, []),
        ({"imageTagMutability": "IMMUTABLE"}, ["1", "latest"]),
        (
            {
                "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "lat*"}],
            },
            ["1"],
        ),
    ],
)
def test_immutable_tags_of_repositories_that_are_there(settings: dict[str, Any], immutable: list[str]) -> None:
    ecr = FakeMirrored("app")
    ecr.repositories["app"].settings = settings
    made = look_up(ecr, ["app"])
    assert [tag for tag in ("1", "latest") if made.is_immutable("app", tag)] == immutable


# ------------------------------------------------------------------ layers, mounts, temporary tags


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (100, 1), (101, 2)])
def test_missing_layers_are_asked_for_by_the_hundred(count: int, calls: int) -> None:
    ecr = FakeMirrored("app")
    blobs = [digest(str(number)) for number in range(count)]
    ecr.repositories["app"].layers = {str(blob) for blob in blobs[1::2]}
    assert destination(ecr).missing_blobs("app", blobs) == {*blobs[::2]}
    assert ecr.count("BatchCheckLayerAvailability") == calls


@pytest.mark.parametrize(("mounting", "expected"), [("ENABLED", True), ("DISABLED", False)])
def test_mounting_as_the_registry_is_set(mounting: str, expected: bool) -> None:
    ecr = FakeMirrored()
    ecr.mounting = mounting
    made = destination(ecr)
    assert [made.may_mount(), made.may_mount()] == [expected] * 2
    assert ecr.count("GetAccountSetting") == 1


def test_mounting_is_tried_where_the_setting_may_not_be_read() -> None:
    ecr = FakeMirrored()
    ecr.refuse("GetAccountSetting", *denied("ecr:GetAccountSetting"))
    assert destination(ecr).may_mount()


def test_a_temporary_tag_goes_and_may_be_gone() -> None:
    ecr = FakeMirrored("app")
    ecr.put("app", "temporary", image("one"))
    made = destination(ecr)
    for _time in range(2):
        made.discard("app", "temporary")
    assert ecr.repositories["app"].tags == {}


def test_a_temporary_tag_that_cannot_go() -> None:
    ecr = FakeMirrored("app")
    ecr.put("app", "temporary", image("one"))
    ecr.failures["temporary"] = "ImageReferencedByManifestList"
    with pytest.raises(DestinationError, match="ImageReferencedByManifestList"):
        destination(ecr).discard("app", "temporary")
    ecr.refuse("BatchDeleteImage", *denied("ecr:BatchDeleteImage"))
    with pytest.raises(DestinationError, match="needs ecr:BatchDeleteImage"):
        destination(ecr).discard("app", "temporary")
