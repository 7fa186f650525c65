# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.images import Query, find, image_from_ecr, query
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Image
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import FakeECRRegistry

URI = "registry.example/team/app"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def params(**options: Any) -> dict[str, Any]:
    return {"tags": None, "digests": None, "tag_status": None, **options}


@pytest.fixture
def ecr() -> FakeECRRegistry:
    ecr = FakeECRRegistry()
    images = [Image(digest(number), [f"v{number}"], pushed_days_ago=number) for number in range(250)]
    ecr.add("team/app", images=[*images, Image(digest(999))])
    return ecr


def found(ecr: FakeECRRegistry, wanted: Query) -> dict[str, Any]:
    return find(ecr.client, "team/app", URI, wanted)


class TestQuery:
    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            ({}, Query("any", None)),
            ({"tag_status": "untagged"}, Query("untagged", None)),
            ({"tags": []}, Query("any", [])),
            ({"tags": ["1.27", "1.27", "_x"]}, Query("any", [{"imageTag": "1.27"}, {"imageTag": "_x"}])),
            (
                {"tags": ["latest"], "digests": [digest(1)]},
                Query("any", [{"imageTag": "latest"}, {"imageDigest": digest(1)}]),
            ),
        ],
    )
    def test_what_is_asked_for(self, options: dict[str, Any], wanted: Query) -> None:
        assert query(params(**options)) == wanted

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tags": ["v*"]}, "tags: 'v*' is no tag, and patterns are not known here"),
            ({"tags": [""]}, "tags: '' is no tag"),
            ({"tags": ["-x", "a/b"]}, "tags: '-x' is no tag, and patterns are not known here; tags: 'a/b' is no tag"),
            (
                {"digests": ["sha256:ABC"]},
                "digests: must be sha256: and 64 hexadecimal digits in lower case, not 'sha256",
            ),
        ],
    )
    def test_what_is_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(AnsibleECRError) as caught:
            query(params(**options))
        assert message in str(caught.value)


class TestImage:
    def test_everything_that_ecr_says(self) -> None:
        document = {
            "imageDigest": digest(1),
            "imageTags": ["b", "a"],
            "imageSizeInBytes": 5,
            "imagePushedAt": datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
            "lastRecordedPullTime": datetime(2026, 2, 1, tzinfo=timezone.utc),
            "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactMediaType": "application/vnd.example",
            "subjectManifestDigest": digest(2),
            "imageStatus": "ARCHIVED",
        }
        assert image_from_ecr(document, URI) == {
            "digest": digest(1),
            "tags": ["a", "b"],
            "uri": f"{URI}@{digest(1)}",
            "uris": [f"{URI}:a", f"{URI}:b"],
            "size_in_bytes": 5,
            "pushed_at": "2026-01-31T12:00:00+00:00",
            "last_pulled_at": "2026-02-01T00:00:00+00:00",
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "artifact_type": "application/vnd.example",
            "subject": digest(2),
            "status": "archived",
        }

    def test_the_least_that_ecr_says(self) -> None:
        image = image_from_ecr({"imageDigest": digest(1)}, URI)
        assert {name for name, value in image.items() if value in (None, [])} == {
            *("tags", "uris", "size_in_bytes", "pushed_at", "last_pulled_at", "media_type", "artifact_type", "subject")
        }
        assert image["status"] == "active"


class TestAll:
    @pytest.mark.parametrize(("status", "count"), [("any", 251), ("tagged", 250), ("untagged", 1)])
    def test_by_tag_status_over_all_pages_newest_first(self, ecr: FakeECRRegistry, status: str, count: int) -> None:
        ecr.page_size = 100
        result = found(ecr, Query(status))
        assert (result["uri"], len(result["images"]), result["missing"]) == (URI, count, [])
        pushed = [image["pushed_at"] for image in result["images"]]
        assert pushed == sorted(pushed, reverse=True)
        assert len(ecr.calls) == -(-count // 100)

    def test_a_repository_that_does_not_exist(self, ecr: FakeECRRegistry) -> None:
        with pytest.raises(AnsibleECRError, match="Failed to list the images: The repository with name 'nope'"):
            find(ecr.client, "nope", URI, Query())


class TestByIds:
    def test_none_wanted_none_asked(self, ecr: FakeECRRegistry) -> None:
        assert found(ecr, Query(ids=[])) == {"uri": URI, "images": [], "missing": []}
        assert ecr.calls == []

    def test_a_hundred_in_a_call(self, ecr: FakeECRRegistry) -> None:
        result = found(ecr, query(params(tags=[f"v{number}" for number in range(250)])))
        assert (len(result["images"]), result["missing"]) == (250, [])
        assert [len(request["imageIds"]) for _operation, request in ecr.calls] == [100, 100, 50]

    def test_an_image_asked_for_twice_is_returned_once(self, ecr: FakeECRRegistry) -> None:
        ecr.repositories["team/app"].images[0].tags.append("latest")
        result = found(ecr, query(params(tags=["v0", "latest"], digests=[digest(0)])))
        assert [image["tags"] for image in result["images"]] == [["latest", "v0"]]

    def test_one_that_is_missing_costs_one_call(self, ecr: FakeECRRegistry) -> None:
        assert found(ecr, query(params(tags=["nope"]))) == {"uri": URI, "images": [], "missing": ["nope"]}
        assert ecr.operations() == ["DescribeImages"]

    def test_the_missing_are_named_and_the_others_described(self, ecr: FakeECRRegistry) -> None:
        wanted = query(params(tags=["nope", "v3", "gone", "v1"], digests=[digest(12345), digest(999)]))
        result = found(ecr, wanted)
        assert result["missing"] == ["nope", "gone", digest(12345)]
        assert [image["digest"] for image in result["images"]] == [digest(999), digest(1), digest(3)]
        assert ecr.operations() == ["DescribeImages", "ListImages", "DescribeImages"]

    def test_images_that_vanish_meanwhile_are_missing(self, ecr: FakeECRRegistry) -> None:
        images = ecr.repositories["team/app"].images
        ecr.on("ListImages", lambda _request: None)
        ecr.on("DescribeImages", lambda _request: None)
        ecr.on("DescribeImages", lambda _request: images.pop(1))
        result = found(ecr, query(params(tags=["nope", "v0", "v1"])))
        assert result["missing"] == ["nope", "v1"]

    def test_images_that_never_stop_vanishing(self, ecr: FakeECRRegistry) -> None:
        images = ecr.repositories["team/app"].images
        ecr.on("DescribeImages", lambda _request: images.pop(0), times=9)
        with pytest.raises(AnsibleECRError, match="Images vanished while they were read, 3 times in a row"):
            found(ecr, query(params(tags=[f"v{number}" for number in range(10)])))

    @given(st.sets(st.integers(0, 400), max_size=120), st.sets(st.integers(0, 400), max_size=220))
    def test_whatever_there_is_each_is_found_or_missing(self, there: set[int], wanted: set[int]) -> None:
        ecr = FakeECRRegistry()
        ecr.add("team/app", images=[Image(digest(number), [f"v{number}"]) for number in there])
        tags = [f"v{number}" for number in sorted(wanted)]
        result = find(ecr.client, "team/app", URI, query(params(tags=tags)))
        assert {tag for image in result["images"] for tag in image["tags"]} == {f"v{n}" for n in there & wanted}
        assert result["missing"] == [tag for tag in tags if tag not in {f"v{n}" for n in there}]
