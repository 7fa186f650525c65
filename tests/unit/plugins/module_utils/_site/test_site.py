"""The desired-state file: what it says, which way each image comes, and what the roles get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import WAYS, Site, SiteError, read

HERE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
THERE = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = f"sha256:{'a' * 64}"
LOGIN = {"username": "acme", "access_token": "secret"}


def site_of(*images: Any, **more: Any) -> Site:
    return read({"images": list(images), **more}, HERE)


def way_of(image: Any, **more: Any) -> tuple[str, str]:
    (one,) = site_of(image, **more).images
    return one.way, one.reason


# ------------------------------------------------------------------ the way


@pytest.mark.parametrize(
    ("image", "more", "way", "because"),
    [
        ("quay.io/a/b:1", {}, "cache", "Amazon ECR can cache quay.io, which needs no login"),
        ("registry.k8s.io/pause:3", {}, "cache", "needs no login"),
        (f"quay.io/a/b@{DIGEST}", {}, "cache", "needs no login"),
        ("quay.io/a/b", {}, "cache", "needs no login"),
        ("quay.io/a/b:1", {"upstreams": {"q": {"upstream": "quay"}}}, "cache", "as upstreams.q says"),
        ("nginx:1", {}, "mirror", "declare docker-hub under upstreams, and it will be cached"),
        ("nginx:1", {"upstreams": {"docker-hub": LOGIN}}, "cache", "as upstreams.docker-hub says"),
        ("docker.io/library/nginx:1", {"upstreams": {"hub": {"upstream": "docker-hub"}}}, "cache", "as upstreams.hub"),
        ("ghcr.io/a/b:1", {}, "mirror", "declare ghcr under upstreams"),
        ("docker.elastic.co/e/e:8", {}, "mirror", "Amazon ECR cannot cache docker.elastic.co"),
        ("x.azurecr.io/app:1", {}, "mirror", "x.azurecr.io is not declared under upstreams"),
        (f"{THERE}/app:1", {}, "mirror", "is not declared under upstreams"),
        (
            "x.azurecr.io/app:1",
            {"upstreams": {"acr": {"upstream_url": "x.azurecr.io", **LOGIN}}},
            "cache",
            "as upstreams.acr says",
        ),
        (
            "quay.io/c/d:1",
            {"upstreams": {"quay": {"upstream_repository_prefix": "a"}}},
            "mirror",
            "does not lead to c/d",
        ),
        ("quay.io/a/b:1", {"upstreams": {"quay": {"state": "absent"}}}, "mirror", "no longer to be cached"),
        ("quay.io/a/b:1", {"upstreams": {"quay": {"upstream": "k8s"}}}, "mirror", "its name is taken"),
        ("quay.io/a/b:1", {"cache": {"state": "absent"}}, "mirror", "the cache is to be removed"),
        ({"source": "quay.io/a/b:1", "repository": "own"}, {}, "mirror", "repository is for copies"),
        ({"source": "quay.io/a/b:1", "platforms": "linux/amd64"}, {}, "mirror", "platforms is for copies"),
        ({"source": "quay.io/a/b", "tags": {"1": "2"}}, {}, "mirror", "a tag gets another name"),
        ({"source": "quay.io/a/b:1", "tag": "2"}, {}, "mirror", "a tag gets another name"),
        ({"source": "quay.io/a/b:1", "dockerfile": "ENV A=1"}, {}, "clone", "lines of a Dockerfile are added to it"),
        (
            {"source": "quay.io/a/b:1", "dockerfile": "ENV A=1", "repository": "own"},
            {},
            "mirror",
            "a clone is called as its source",
        ),
        (
            {"source": "quay.io/a/b", "select": {"newest": 1}, "dockerfile": "ENV A=1"},
            {},
            "mirror",
            "which has to be named",
        ),
        ({"source": "quay.io/a/b:1", "via": "mirror"}, {}, "mirror", "via says mirror"),
        ({"source": "quay.io/a/b:1", "via": "clone"}, {}, "clone", "via says clone"),
        ({"source": f"{THERE}/app", "via": "sync"}, {}, "sync", "via says sync"),
    ],
)
def test_the_way_of_an_image_and_why(image: Any, more: dict[str, Any], way: str, because: str) -> None:
    found, reason = way_of(image, **more)
    assert found == way
    assert because in reason


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_where_there_are_no_caches_all_is_mirrored(region: str) -> None:
    (image,) = read({"images": ["quay.io/a/b:1"]}, f"123456789012.dkr.ecr.{region}.amazonaws.com", region=region).images
    assert (image.way, image.reason) == ("mirror", f"Amazon ECR has no caches in {region}")


def test_an_upstream_is_brought_in_once() -> None:
    site = site_of("quay.io/a/b:1", "quay.io/c/d:2", "registry.k8s.io/pause:3")
    assert site.upstreams.brought_in == ("quay", "k8s")
    assert site.variables("cache")["pull_through_cache_upstreams"] == {
        "quay": {"upstream": "quay"},
        "k8s": {"upstream": "k8s"},
    }


# ------------------------------------------------------------------ what the roles get


def test_a_way_that_has_nothing_to_do_gets_nothing() -> None:
    assert site_of().ways == []
    assert {way: site_of().variables(way) for way in WAYS} == {way: {} for way in WAYS}


def test_a_way_that_is_to_be_taken_away_has_something_to_do() -> None:
    assert site_of(clone={"state": "absent"}).variables("clone")["codebuild_cloner_state"] == "absent"


def test_what_is_named_and_cached_is_fetched_at_once_unless_the_file_says_what_is() -> None:
    images = ["quay.io/a/b:1", {"source": "quay.io/c/d", "tags": ["2", "3"]}, f"quay.io/e/f@{DIGEST}", "quay.io/g/h"]
    named = ["quay.io/a/b:1", "quay.io/c/d:2", "quay.io/c/d:3"]
    assert site_of(*images).variables("cache")["pull_through_cache_warm"] == named
    assert site_of(*images, cache={"warm": []}).variables("cache")["pull_through_cache_warm"] == []


def test_mirrors_are_direct_and_log_in_as_their_upstreams_do() -> None:
    image = {"source": "wordpress:6", "repository": "web/wordpress"}
    site = site_of(image, upstreams={"docker-hub": LOGIN}, mirror={"parallel": 2})
    assert site.variables("mirror") == {
        "image_mirror_transport": "direct",
        "image_mirror_parallel": 2,
        "image_mirror_images": [image],
        "image_mirror_registries": [{"host": "docker.io", "username": "acme", "password": "secret"}],
    }


def test_what_is_said_of_a_registry_is_not_said_again() -> None:
    own = [{"host": "docker.io", "username": "other", "password": "other"}]
    image = {"source": "wordpress:6", "via": "mirror"}
    site = site_of(image, upstreams={"docker-hub": LOGIN}, mirror={"registries": own, "transport": "docker"})
    assert site.variables("mirror")["image_mirror_registries"] == own
    assert site.variables("mirror")["image_mirror_transport"] == "docker"


def test_clones_are_containers_with_their_lines() -> None:
    site = site_of(
        {"source": "redis", "tags": ["7", "8"], "via": "clone"},
        {"source": "redis:6", "via": "clone"},
        {"source": "hashicorp/vault:1.14", "dockerfile": ["ENV A=1", "ENV B=2"]},
        {"source": "quay.io/prometheus/prometheus", "select": {"newest": 2}, "via": "clone"},
        {"source": "nginx", "tags": {"1.27": "stable"}, "via": "clone", "referrers": True},
        upstreams={"docker-hub": LOGIN},
        clone={"fan_out": 2},
    )
    assert site.variables("clone") == {
        "codebuild_cloner_docker_hub_username": "acme",
        "codebuild_cloner_docker_hub_access_token": "secret",
        "codebuild_cloner_fan_out": 2,
        "codebuild_cloner_containers": {
            "redis": ["7", "8", "6"],
            "hashicorp/vault": ["1.14"],
            "prometheus/prometheus": {"registry": "quay.io", "select": {"newest": 2}},
            "nginx": {"tags": [{"from": "1.27", "to": "stable"}], "referrers": True},
        },
        "codebuild_cloner_build_commands": {"hashicorp/vault:1.14": ["ENV A=1", "ENV B=2"]},
    }


def test_clones_use_the_secret_of_the_upstream() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
    site = site_of({"source": "redis:7", "via": "clone"}, upstreams={"docker-hub": {"secret_arn": arn}})
    assert site.variables("clone")["codebuild_cloner_docker_hub_secret_arn"] == arn


def test_syncs_are_repositories_with_patterns() -> None:
    site = site_of(
        {"source": f"{THERE}/one", "via": "sync"},
        {"source": f"{THERE}/two", "via": "sync", "tags": ["1", "2"], "repository": "own"},
        {
            "source": f"{THERE}/four",
            "via": "sync",
            "select": {"globs": "v*", "newest": 3, "exclude": {"globs": "*-rc"}},
        },
        sync={"namespace": "acme", "config": {"mode": "refresh"}},
    )
    assert site.variables("sync") == {
        "pull_sync_namespace": "acme",
        "pull_sync_config": {
            "mode": "refresh",
            "repos": [
                {"source": f"{THERE}/one"},
                {"source": f"{THERE}/two", "destination": "own", "tags": ["1", "2"]},
                {"source": f"{THERE}/four", "tags": ["v*"], "newest": 3, "exclude": {"globs": "*-rc"}},
            ],
        },
    }


# ------------------------------------------------------------------ addresses

WHOLE: dict[str, Any] = {
    "upstreams": {"docker-hub": LOGIN, "quay": None},
    "images": [
        {"source": "nginx:1.27", "via": "mirror"},
        {"source": "wordpress:php8", "repository": "web/wordpress", "tag": "base"},
        {"source": f"busybox@{DIGEST}", "via": "mirror"},
        {"source": "ghcr.io/a/b", "select": {"globs": "v1.*"}},
        {"source": "ghcr.io/small/one:1", "platforms": ["linux/amd64"]},
        {"source": "redis:7", "dockerfile": ["ENV A=1"]},
        {"source": f"{THERE}/app", "via": "sync", "repository": "team/app"},
        {"source": f"ghcr.io/pinned/one:1@{DIGEST}", "tag": "one"},
        {"source": f"ghcr.io/pinned/two:2@{DIGEST}", "platforms": ["linux/amd64"]},
    ],
    "mirror": {"namespace": "mirror"},
}


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("nginx:1.27", "mirror/nginx:1.27"),
        ("docker.io/library/nginx:1.27", "mirror/nginx:1.27"),
        ("nginx:1.28", "docker-hub/library/nginx:1.28"),
        ("nginx", "docker-hub/library/nginx"),
        (f"nginx:1.27@{DIGEST}", f"docker-hub/library/nginx:1.27@{DIGEST}"),
        ("wordpress:php8", "mirror/web/wordpress:base"),
        (f"busybox@{DIGEST}", f"mirror/busybox@{DIGEST}"),
        ("quay.io/what/ever:1", "quay/what/ever:1"),
        ("ghcr.io/a/b:v1.2", "mirror/a/b:v1.2"),
        ("ghcr.io/a/b:v2.0", None),
        (f"ghcr.io/small/one:1@{DIGEST}", None),
        ("redis:7", "ecsclone/redis:7"),
        (f"{THERE}/app:anything", "team/app:anything"),
        (f"{THERE}/other:1", None),
        (f"ghcr.io/pinned/one:1@{DIGEST}", f"mirror/pinned/one:one@{DIGEST}"),
        (f"ghcr.io/pinned/one@{DIGEST}", f"mirror/pinned/one@{DIGEST}"),
        ("ghcr.io/pinned/one:1", None),
        # With other platforms, it has another digest.
        (f"ghcr.io/pinned/two:2@{DIGEST}", None),
        ("docker.elastic.co/e/e:8", None),
        ("not an image", None),
        ("", None),
    ],
)
def test_the_address_of_an_image(reference: str, address: str | None) -> None:
    assert read(WHOLE, HERE).address(reference) == (f"{HERE}/{address}" if address else None)


def test_what_is_here_already_is_where_it_is() -> None:
    assert read(WHOLE, HERE).address(f"{HERE}/anything:1") == f"{HERE}/anything:1"


def test_the_addresses_of_all_that_is_named() -> None:
    assert read(WHOLE, HERE).addresses() == {
        "docker.io/library/nginx:1.27": f"{HERE}/mirror/nginx:1.27",
        "docker.io/library/wordpress:php8": f"{HERE}/mirror/web/wordpress:base",
        f"docker.io/library/busybox@{DIGEST}": f"{HERE}/mirror/busybox@{DIGEST}",
        "ghcr.io/small/one:1": f"{HERE}/mirror/small/one:1",
        "docker.io/library/redis:7": f"{HERE}/ecsclone/redis:7",
        f"ghcr.io/pinned/one@{DIGEST}": f"{HERE}/mirror/pinned/one:one",
        f"ghcr.io/pinned/two@{DIGEST}": f"{HERE}/mirror/pinned/two:2",
    }


@given(st.text())
def test_any_text_has_an_address_or_none(text: str) -> None:
    address = read(WHOLE, HERE).address(text)
    assert address is None or address.startswith(f"{HERE}/")


# ------------------------------------------------------------------ what makes no sense


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (None, "The file must be a dictionary with region, upstreams, images,"),
        ([], "The file must be a dictionary"),
        (
            "quay",
            "The file must be a dictionary with region, upstreams, images, cache, mirror, clone, sync, not a text",
        ),
        ({"imges": []}, "imges: unknown, did you mean images?"),
        ({"Region": "x"}, "Region: unknown, did you mean region?"),
        ({"stages": []}, "stages: unknown, "),
        ({"region": 3}, "region: must be a text, not a number"),
        ({"region": True}, "region: must be a text, not true or false"),
        ({"upstreams": ["quay"]}, "upstreams: must be a dictionary: write quay: and so on"),
        ({"upstreams": "quay"}, "upstreams: must be a dictionary by prefix"),
        ({"upstreams": {"quay": "yes"}}, "upstreams.quay: must be a dictionary, or nothing, not a text"),
        ({"images": "nginx:1"}, "images: must be a list, not a text"),
        ({"images": [3]}, "images[0]: must be a dictionary with a source, or the source as a text, not a number"),
        ({"images": [{}]}, "images[0].source: missing"),
        ({"images": ["Nginx:1"]}, "images[0].source: 'Nginx:1' is not an image reference"),
        ({"images": ["a/b:1", "nginx"]}, "images[1]: does not say which tags of nginx"),
        ({"images": [{"source": "nginx", "tag": 1.10}]}, "images[0].tag: 1.1 is a number to YAML"),
        ({"images": [{"source": "nginx:1", "vai": "mirror"}]}, "images[0].vai: unknown, did you mean via?"),
        (
            {"images": [{"source": "nginx:1", "via": "copy"}]},
            "images[0].via: must be one of cache, mirror, clone, sync",
        ),
        (
            {"images": [{"source": "nginx:1", "via": "cache"}]},
            "images[0].via: cannot be cache, because Amazon ECR caches",
        ),
        (
            {"images": [{"source": "quay.io/a/b:1", "via": "cache", "repository": "own"}]},
            "images[0].via: cannot be cache, because repository is for copies",
        ),
        ({"images": [{"source": "nginx:1", "via": "sync"}]}, "cannot be sync, because a sync is from Amazon ECR"),
        ({"images": [{"source": f"{HERE}/one:1", "via": "sync"}]}, "cannot be sync, because it is there already"),
        (
            {"images": [{"source": f"{THERE}/one@{DIGEST}", "via": "sync"}]},
            "cannot be sync, because a sync goes by tags",
        ),
        (
            {"images": [{"source": f"{THERE}/one", "via": "sync", "select": {"sort": "semver"}}]},
            "a sync does not know select.sort",
        ),
        (
            {"images": [{"source": f"nginx@{DIGEST}", "via": "clone"}]},
            "cannot be clone, because a clone goes by tags",
        ),
        ({"cache": 3}, "cache: must be a dictionary with variables of the role pull_through_cache, not a number"),
        ({"cache": {"upstreams": {}}}, "cache.upstreams: they belong under upstreams"),
        ({"mirror": {"images": []}}, "mirror.images: they belong under images"),
        ({"clone": {"containers": {}}}, "clone.containers: they belong under images, with via: clone"),
        ({"sync": {"config": {"repos": []}}}, "sync.config.repos: they belong under images, with via: sync"),
        ({"images": ["nginx:1"], "mirror": {"namespace": "A"}}, "mirror.namespace: "),
        (
            {"images": [{"source": "nginx:1", "repository": "a/b"}, "ghcr.io/a/b:1"]},
            "images[1]: writes a/b:1, which images[0] writes too, in another way",
        ),
        *(
            (
                {"images": ["nginx:1", {"source": "nginx:1", **manner}]},
                "images[1]: writes nginx:1, which images[0] writes too, in another way",
            )
            for manner in ({"referrers": True}, {"on_moved_tag": "skip"}, {"transport": "docker"})
        ),
        (
            {
                "images": [
                    {"source": "redis:7", "via": "clone"},
                    {"source": "redis:8", "via": "clone", "referrers": True},
                ]
            },
            "images[1]: a cloner brings all tags of redis in one way, and images[0] has another",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Any, problem: str) -> None:
    with pytest.raises(SiteError) as caught:
        read(document, HERE)
    assert any(problem in one for one in caught.value.problems), caught.value.problems


def test_all_that_is_wrong_is_said_at_once_and_once() -> None:
    document = {
        "region": 1,
        "images": ["A", "ghcr.io/b/c:1", "ghcr.io/b/d:1", {"source": "x:1", "via": "z"}],
        "mirror": {"namespace": "?"},
    }
    with pytest.raises(SiteError) as caught:
        read(document, HERE)
    places = [problem.split(":")[0] for problem in caught.value.problems]
    assert sorted(places) == ["images[0].source", "images[3].via", "mirror.namespace", "region"]


def test_no_problem_shows_a_login() -> None:
    document = {"upstreams": {"docker-hub": "secret"}, "clone": ["secret"], "images": [{"secret": 1}]}
    with pytest.raises(SiteError) as caught:
        read({**document, "region": ["secret"]}, HERE)
    assert "secret" not in str(caught.value).replace("images[0].secret", "")


# ------------------------------------------------------------------ any file

SOURCES = [
    "nginx",
    "hashicorp/vault",
    "quay.io/a/b",
    "ghcr.io/c/d",
    "registry.k8s.io/pause",
    f"{THERE}/app",
    "x.example/y",
]
TAGS = st.sampled_from(["1", "2", "latest"])
ENTRIES = st.fixed_dictionaries(
    {"source": st.sampled_from(SOURCES)},
    optional={
        "tag": TAGS,
        "tags": st.one_of(st.lists(TAGS, min_size=1, max_size=2), st.dictionaries(TAGS, TAGS, min_size=1, max_size=2)),
        "select": st.sampled_from([{"newest": 2}, {"globs": "v*"}, {"semver": ">=1", "sort": "semver"}]),
        "digest": st.just(DIGEST),
        "via": st.sampled_from(WAYS),
        "repository": st.sampled_from(["own/name", "other"]),
        "platforms": st.just(["linux/amd64"]),
        "dockerfile": st.just(["ENV A=1"]),
    },
)
FILES = st.fixed_dictionaries(
    {"images": st.lists(ENTRIES, max_size=4)},
    optional={
        "upstreams": st.dictionaries(
            st.sampled_from(["docker-hub", "quay", "ghcr"]), st.sampled_from([None, {"state": "absent"}]), max_size=3
        ),
        "mirror": st.just({"namespace": "mirror"}),
        "cache": st.sampled_from([{"state": "absent"}, {"warm": []}]),
    },
)


def read_or_told(document: Any) -> Site | None:
    """None where what is wrong was told, which has to be something."""
    try:
        return read(document, HERE)
    except SiteError as error:
        if not all(error.problems) or not error.problems:
            raise AssertionError("nothing is said to be wrong") from error
        return None


@given(FILES)
def test_each_image_of_a_file_that_makes_sense_comes_one_way_and_has_an_address(document: dict[str, Any]) -> None:
    site = read_or_told(document)
    if site is None:
        return
    assert [image.place for image in site.images] == [f"images[{n}]" for n in range(len(document["images"]))]
    for image in site.images:
        assert image.way in site.ways
        assert image.reason
        for identifier in image.wish.tags.values():
            joint = "@" if ":" in identifier else ":"
            address = site.address(f"{image.source.name}{joint}{identifier}")
            if address is None:
                assert joint == "@"
                assert not image.keeps_digests
            else:
                assert address.startswith(f"{HERE}/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "region": JSON,
        "upstreams": JSON | st.dictionaries(st.sampled_from(["quay", "docker-hub"]), JSON, max_size=2),
        "images": JSON
        | st.lists(st.dictionaries(st.sampled_from(["source", "via", "tags", "select"]), JSON), max_size=3),
        **dict.fromkeys(WAYS, JSON),
    },
)


@given(JSON | SHAPED)
def test_whatever_is_in_a_file_there_is_a_site_or_what_is_wrong(document: Any) -> None:
    site = read_or_told(document)
    assert site is None or all(isinstance(site.variables(way), dict) for way in WAYS)
