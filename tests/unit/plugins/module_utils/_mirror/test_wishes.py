# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wishes import (
    DEFAULT_KEYS,
    IMAGE_KEYS,
    WishError,
    parse,
)

D1 = "sha256:" + "1" * 64
D2 = "sha256:" + "2" * 64


def only(image: Any, **defaults: Any) -> Wish:
    wishes = parse([image], defaults)
    assert len(wishes) == 1
    return wishes[0]


def problems(images: Any, **defaults: Any) -> list[str]:
    with pytest.raises(WishError) as error:
        parse(images, defaults)
    assert str(error.value) == "; ".join(error.value.problems)
    return list(error.value.problems)


@pytest.mark.parametrize(
    ("image", "repository", "tags"),
    [
        ("nginx:1.27", "nginx", {"1.27": "1.27"}),
        ({"source": "nginx:1.27"}, "nginx", {"1.27": "1.27"}),
        ({"source": "docker.io/library/nginx", "tag": "1.27"}, "nginx", {"1.27": "1.27"}),
        ({"source": "library/nginx", "tags": ["1.27", "1.26"]}, "nginx", {"1.27": "1.27", "1.26": "1.26"}),
        ({"source": "hashicorp/vault", "tags": "1.14"}, "hashicorp/vault", {"1.14": "1.14"}),
        ({"source": "quay.io/library/x", "tag": "1"}, "library/x", {"1": "1"}),
        ({"source": "nginx", "repository": "web/proxy", "tag": "1"}, "web/proxy", {"1": "1"}),
        # A tag of the source under another name, in all ways to write that.
        ({"source": "wordpress:php7.4-apache", "repository": "wp", "tag": "base"}, "wp", {"base": "php7.4-apache"}),
        ({"source": "redis", "tags": [{"from": "7-alpine", "to": "base"}]}, "redis", {"base": "7-alpine"}),
        ({"source": "wordpress", "tags": {"php7.4-apache": "base"}}, "wordpress", {"base": "php7.4-apache"}),
        ({"source": "nginx", "tags": ["1", {"from": "1", "to": "stable"}]}, "nginx", {"1": "1", "stable": "1"}),
        ({"source": "nginx", "tags": ["1", "1"]}, "nginx", {"1": "1"}),
        # Digests, pinned by a tag or not.
        ({"source": "nginx", "digest": D1}, "nginx", {D1: D1}),
        ({"source": f"nginx@{D1}"}, "nginx", {D1: D1}),
        ({"source": f"nginx:1.27@{D1}"}, "nginx", {"1.27": D1}),
        ({"source": "nginx:1.27", "digest": D1}, "nginx", {"1.27": D1}),
        ({"source": f"nginx@{D1}", "digest": D1, "tag": "pinned"}, "nginx", {"pinned": D1}),
        ({"source": "nginx", "digest": D1, "tag": "pinned"}, "nginx", {"pinned": D1}),
        # None is not given.
        ({"source": "nginx:1", "tag": None, "tags": None, "select": None, "digest": None}, "nginx", {"1": "1"}),
    ],
)  # fmt: skip
def test_what_is_meant(image: Any, repository: str, tags: dict[str, str]) -> None:
    wish = only(image, transport="direct")

    assert wish.repository == repository
    assert dict(wish.tags) == tags
    assert wish.source.tag is None
    assert wish.source.digest is None


@pytest.mark.parametrize(
    ("namespace", "repository", "expected"),
    [
        (None, None, "nginx"),
        ("", None, "nginx"),
        ("mirror", None, "mirror/nginx"),
        ("mirror/", None, "mirror/nginx"),
        ("a", "web", "a/web"),
        ("team/mirror", "web", "team/mirror/web"),
    ],
)
def test_namespace(namespace: str | None, repository: str | None, expected: str) -> None:
    assert only({"source": "nginx:1", "repository": repository}, namespace=namespace).repository == expected


def test_selection() -> None:
    wish = only({"source": "nginx", "select": {"semver": ">=1.27", "newest": 2}, "require_match": True})

    assert wish.selection is not None
    assert [one.tag for one in wish.selection.select(["1.26.0", "1.27.0", "1.28.0", "1.29.0"])] == ["1.29.0", "1.28.0"]
    assert wish.require_match


def test_an_image_has_the_last_word() -> None:
    defaults = {
        "platforms": ["linux/arm64", "linux/amd64"],
        "transport": "docker",
        "on_moved_tag": "skip",
        "referrers": True,
        "dockerfile": "RUN true",
        "require_match": True,
    }
    own = {
        "platforms": "all",
        "transport": "direct",
        "on_moved_tag": "new_tag",
        "referrers": False,
        "dockerfile": [],
        "require_match": False,
    }
    inherited, overridden = parse(["nginx:1", {"source": "redis:1", **own}], defaults)

    assert list(map(str, inherited.platforms)) == ["linux/amd64", "linux/arm64"]
    assert (inherited.transport, inherited.on_moved_tag, inherited.referrers) == ("docker", "skip", True)
    assert (inherited.dockerfile, inherited.require_match) == (("RUN true",), True)
    assert overridden.platforms == ()
    assert (overridden.transport, overridden.on_moved_tag, overridden.referrers) == ("direct", "new_tag", False)
    assert (overridden.dockerfile, overridden.require_match) == ((), False)


def test_platforms_are_the_same_however_they_are_written() -> None:
    one = only({"source": "nginx:1", "platforms": ["linux/arm64/v8", "linux/x86_64", "linux/amd64"]})
    other = only({"source": "nginx:1", "platforms": ["linux/amd64", "linux/aarch64"]})

    assert one == other
    assert only({"source": "nginx:1", "platforms": "linux/amd64"}).platforms == (one.platforms[0],)


@pytest.mark.parametrize(
    ("lines", "own", "default", "expected"),
    [
        (["LABEL a=b"], None, "docker", "direct"),
        (["LABEL a=b"], None, "direct", "direct"),
        (["LABEL a=b"], "direct", "docker", "direct"),
        (["LABEL a=b"], "docker", "direct", "docker"),
        (["RUN true"], None, None, "docker"),
        (["LABEL a=b", "RUN true"], None, "direct", "docker"),
        (["RUN true"], "docker", "direct", "docker"),
        ([], None, None, "docker"),
        (["# nothing"], None, "direct", "direct"),
    ],
)
def test_lines_go_where_they_can_be_done(lines: list[str], own: str | None, default: str | None, expected: str) -> None:
    wish = only({"source": "nginx:1", "dockerfile": lines, "transport": own}, transport=default)

    assert wish.transport == expected


def test_lines_may_be_one_text() -> None:
    text = only({"source": "nginx:1", "dockerfile": "LABEL a=b\nUSER 1000\n"})
    assert text.dockerfile == ("LABEL a=b", "USER 1000")
    assert text == only({"source": "nginx:1", "dockerfile": ["LABEL a=b", "USER 1000"]})


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (None, "images[0]: must be a dictionary with a source"),
        (["nginx"], "images[0]: must be a dictionary with a source"),
        ({}, "images[0].source: missing"),
        ("", "images[0].source: missing"),
        ({"source": 7}, "images[0].source: must be text, not 7"),
        ({"source": "https://nginx"}, "images[0].source: .* not a URL"),
        ("nginx", "images[0]: does not say which tags of nginx: .* or write nginx:latest"),
        ({"source": "nginx:1", "sauce": 1}, "images[0].sauce: unknown, use one of source, repository, tag"),
        ({"source": "nginx:1", "namespace": "x"}, "images[0].namespace: unknown"),
        ({"source": "nginx:1", "repository": "Web"}, "images[0].repository: .* must be lower case"),
        ({"source": "nginx:1", "repository": "x"}, "images[0].repository: 'x' has 1 characters"),
        ({"source": "nginx:1", "repository": "x" * 300}, "images[0].repository: .* has 300 characters"),
        ({"source": "nginx:1", "repository": "a//b"}, "images[0].repository: .* empty part"),
        # YAML has made a number of it.
        ({"source": "nginx", "tag": 1.1}, "images[0].tag: 1.1 is a number to YAML, .* put the tag in quotes"),
        ({"source": "nginx", "tags": ["1", 8]}, r"images[0].tags[1]: 8 is a number to YAML"),
        ({"source": "nginx", "tags": {1.27: "a"}}, r"images[0].tags[1.27]: 1.27 is a number to YAML"),
        ({"source": "nginx", "tag": True}, "images[0].tag: must be text, not True"),
        ({"source": "nginx", "tag": ""}, "images[0].tag: it is empty"),
        ({"source": "nginx", "tag": D1}, "images[0].tag: .* A digest goes into the option digest"),
        ({"source": "nginx", "tag": "a b"}, "images[0].tag: the tag 'a b' may have only"),
        ({"source": "nginx", "tags": []}, "images[0].tags: an empty list: name a tag, or use select"),
        ({"source": "nginx", "tags": [{"from": "a"}]}, r"images[0].tags[0]: must be a tag, or a dictionary"),
        ({"source": "nginx", "tags": [{"from": "a", "to": "b", "as": "c"}]}, "images[0].tags[0]: must be a tag, or a"),
        ({"source": "nginx", "tags": {"a": "x", "b": "x"}}, "images[0].tags: x cannot be both a and b"),
        ({"source": "nginx", "digest": "1234"}, "images[0].digest: .* is not a digest"),
        ({"source": f"nginx:1@{D1}", "digest": D2}, f"images[0].digest: {D2} is not the digest in source"),
        # Ways to say which contradict each other.
        ({"source": "nginx", "tag": "1", "tags": ["1"]}, "images[0].tags: tag and tags contradict each other"),
        ({"source": "nginx", "tags": ["1"], "select": {}}, "images[0].tags: tags and select contradict each other"),
        ({"source": "nginx", "select": {}, "digest": D1}, "images[0].select: select and digest contradict"),
        ({"source": "nginx:1", "select": {}}, "images[0].select: select and the tag or digest in source contradict"),
        ({"source": "nginx", "select": "1.*"}, "images[0].select: must be a dictionary"),
        ({"source": "nginx", "select": {"newest": 0}}, "images[0].select.newest: 0 would select nothing"),
        ({"source": "nginx:1", "platforms": []}, "images[0].platforms: an empty list"),
        ({"source": "nginx:1", "platforms": ["linux"]}, r"images[0].platforms[0]: 'linux' is not a platform"),
        ({"source": "nginx:1", "platforms": ["all", "linux/amd64"]}, "images[0].platforms: all stands alone"),
        ({"source": "nginx:1", "platforms": [7]}, r"images[0].platforms[0]: must be text"),
        ({"source": "nginx:1", "transport": "crane"}, "images[0].transport: must be one of docker, direct"),
        ({"source": "nginx:1", "transport": ["docker"]}, "images[0].transport: must be one of docker, direct"),
        ({"source": "nginx:1", "on_moved_tag": "x"}, "images[0].on_moved_tag: must be one of fail, skip, new_tag"),
        ({"source": "nginx:1", "referrers": "yes"}, "images[0].referrers: must be true or false, not 'yes'"),
        ({"source": "nginx:1", "dockerfile": ["LABLE a=b"]}, "images[0].dockerfile: line 1"),
        ({"source": "nginx:1", "dockerfile": [1]}, r"images[0].dockerfile[0]: must be text"),
        (
            {"source": "nginx:1", "dockerfile": ["RUN true"], "transport": "direct"},
            "images[0].transport: direct can only change the configuration",
        ),
        # What has another digest than its source cannot be found by that.
        ({"source": "nginx", "digest": D1}, "images[0].tag: missing"),
        ({"source": "nginx", "digest": D1, "transport": "direct", "platforms": "linux/386"}, "images[0].tag: missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(image: Any, expected: str) -> None:
    pattern = re.sub(r"\[(\d+|1\.27)\]", r"\\[\1\\]", expected)
    found = problems([image])

    assert len(found) == 1
    assert re.match(pattern, found[0]), found


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"namespace": "Mirror"}, "namespace: .* must be lower case"),
        ({"namespace": 5}, "namespace: must be text"),
        ({"platforms": ["x"]}, r"platforms\[0\]: 'x' is not a platform"),
        ({"transport": "x"}, "transport: must be one of"),
        ({"parallel": 3}, "parallel: unknown"),
    ],
)
def test_what_is_wrong_for_all_images_is_said_once(defaults: dict[str, Any], expected: str) -> None:
    found = problems(["nginx:1", "redis:1"], **defaults)

    assert len(found) == 1
    assert re.match(expected, found[0])


def test_all_problems_at_once() -> None:
    images = [
        "nginx:1",
        {"source": "nginx", "tag": 1.1, "referrers": 3},
        {"source": "a b", "platforms": ["x"]},
        "redis",
    ]
    found = problems(images, namespace="X Y")

    fields = [problem.partition(":")[0] for problem in found]
    assert fields == [
        "namespace",
        "images[1].referrers",
        "images[1].tag",
        "images[2].platforms[0]",
        "images[2].source",
        "images[3]",
    ]


def test_images_must_be_a_list() -> None:
    assert problems({"source": "nginx:1"}) == ["images: must be a list of images"]
    assert parse([], {}) == []


def test_what_is_wished_for_twice_is_done_once() -> None:
    wishes = parse(
        [
            "nginx:1",
            {"source": "docker.io/library/nginx", "tags": ["1", "2"]},
            {"source": "nginx", "tag": "1"},
            {"source": "redis", "select": {"newest": 1}},
            {"source": "redis", "select": {"newest": 1}},
        ],
        {},
    )

    assert [dict(wish.tags) for wish in wishes] == [{"1": "1"}, {"2": "2"}, {}]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (
            {"source": "quay.io/x/nginx:1", "repository": "nginx"},
            "images[1]: writes nginx:1 from quay.io/x/nginx 1, and images[0] writes it from docker.io/library/nginx 1: "
            "give one another repository or tag",
        ),
        (
            {"source": "nginx", "tags": {"2": "1"}},
            "images[1]: writes nginx:1 from docker.io/library/nginx 2, and images[0] writes it from "
            "docker.io/library/nginx 1: give one another repository or tag",
        ),
        (
            {"source": "nginx:1", "platforms": ["linux/amd64"]},
            "images[1]: writes nginx:1 in another way than images[0]: "
            "make them the same, or give one another repository or tag",
        ),
    ],
)
def test_two_images_for_one_tag(second: Any, expected: str) -> None:
    assert problems(["nginx:1", second]) == [expected]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["nginx:1", "nginx", "1.27", "all", "linux/amd64", D1, "direct", "docker", "RUN true", "USER 1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
images = st.lists(
    json_values | st.dictionaries(st.sampled_from(IMAGE_KEYS) | st.text(max_size=4), json_values, max_size=6),
    max_size=4,
)


@given(
    images | json_values, st.dictionaries(st.sampled_from(DEFAULT_KEYS) | st.text(max_size=4), json_values, max_size=4)
)
def test_any_input_is_understood_or_explained(given_images: Any, defaults: dict[str, Any]) -> None:
    found, wishes = understood(given_images, defaults)

    keys = (*DEFAULT_KEYS, "images", *map(str, defaults))
    assert all(problem.startswith(keys) for problem in found)
    named = [(wish.repository, name) for wish in wishes for name in wish.tags]
    assert len(named) == len(set(named))
    assert all(wish.selection or wish.tags for wish in wishes)


def understood(given_images: Any, defaults: dict[str, Any]) -> tuple[list[str], list[Wish]]:
    """The problems, or else what is wished for."""
    try:
        return [], parse(given_images, defaults)
    except WishError as error:
        return [*error.problems] or ["nothing is said"], []


tags = st.from_regex(r"[a-z0-9_][a-z0-9._-]{0,6}", fullmatch=True)


@given(st.dictionaries(tags, tags, min_size=1, max_size=5), st.sampled_from(["nginx", "ghcr.io/org/app", "x.y:5/z1"]))
def test_renaming_keeps_every_tag(renaming: dict[str, str], source: str) -> None:
    """New names by old ones, as a dictionary and as a list."""
    entries = [{"from": old, "to": new} for old, new in renaming.items()]
    if len(set(renaming.values())) < len(renaming):
        assert problems([{"source": source, "tags": entries}])
        return
    wish = only({"source": source, "tags": entries})

    assert wish == only({"source": source, "tags": renaming})
    assert dict(wish.tags) == {new: old for old, new in renaming.items()}
