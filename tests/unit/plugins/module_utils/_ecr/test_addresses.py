# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import (
    AddressError,
    cached_address,
    mirrored_address,
)

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ELSEWHERE = "210987654321.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"

RULES = [
    {"prefix": "hub", "upstream": "docker-hub"},
    {"prefix": "github", "upstream": "ghcr"},
    {"prefix": "quay", "upstream_url": "quay.io"},
    {"prefix": "k8s/", "upstream_registry_url": "registry.k8s.io", "upstream_repository_prefix": "ROOT"},
    {"ecr_repository_prefix": "azure", "upstream": "acr", "upstream_url": "https://example.azurecr.io/"},
    {"prefix": "sister", "upstream": "ecr", "upstream_url": ELSEWHERE, "upstream_repository_prefix": None},
]


class TestCached:
    @pytest.mark.parametrize(
        ("reference", "address"),
        [
            ("nginx", "hub/library/nginx"),
            ("nginx:1.27", "hub/library/nginx:1.27"),
            ("library/nginx:1.27", "hub/library/nginx:1.27"),
            ("docker.io/library/redis", "hub/library/redis"),
            ("docker.io/redis:7", "hub/library/redis:7"),
            ("index.docker.io/library/redis", "hub/library/redis"),
            ("registry-1.docker.io/redis", "hub/library/redis"),
            ("hashicorp/vault:1.14", "hub/hashicorp/vault:1.14"),
            (f"nginx@{DIGEST}", f"hub/library/nginx@{DIGEST}"),
            (f"nginx:1.27@{DIGEST}", f"hub/library/nginx:1.27@{DIGEST}"),
            (f"ghcr.io/org/x@{DIGEST}", f"github/org/x@{DIGEST}"),
            ("GHCR.io/org/deep/er/x:1", "github/org/deep/er/x:1"),
            ("quay.io/library/x", "quay/library/x"),
            ("registry.k8s.io/pause:3.9", "k8s/pause:3.9"),
            ("example.azurecr.io/team/app:1", "azure/team/app:1"),
            (f"{ELSEWHERE}/team/app:1", "sister/team/app:1"),
            (" nginx:1.27\n", "hub/library/nginx:1.27"),
        ],
    )
    def test_any_way_to_write_an_image(self, reference: str, address: str) -> None:
        assert cached_address(reference, RULES, HOST) == f"{HOST}/{address}"

    @pytest.mark.parametrize("path", [f"/hub/library/nginx:1.27@{DIGEST}", "/some/thing/else"])
    def test_what_is_in_the_registry_stays(self, path: str) -> None:
        assert cached_address(f"{HOST}{path}", RULES, HOST) == f"{HOST}{path}"
        assert cached_address(f"{HOST}{path}", _returned("a", "quay.io")) == f"{HOST}{path}"

    @pytest.mark.parametrize(
        ("rules", "reference", "repository"),
        [
            # the longest upstream prefix that fits, wherever it stands
            ([("a", "ROOT"), ("b", "org"), ("c", "org/team")], "quay.io/org/team/x", "c/x"),
            ([("a", "ROOT"), ("b", "org"), ("c", "org/team")], "quay.io/org/other/x", "b/other/x"),
            ([("a", "ROOT"), ("b", "org"), ("c", "org/team")], "quay.io/organic/x", "a/organic/x"),
            ([("c", "org/team"), ("b", "org"), ("a", None)], "quay.io/org/team/x", "c/x"),
            # a prefix covers what is under it, not a repository of its name
            ([("a", "ROOT"), ("b", "org")], "quay.io/org", "a/org"),
            # among equals the first
            ([("b", "ROOT"), ("a", "ROOT")], "quay.io/x", "b/x"),
            # ROOT as the prefix adds nothing
            ([("ROOT", "ROOT")], "quay.io/org/x", "org/x"),
        ],
    )
    def test_the_most_specific_rule(self, rules: list[tuple[str, str | None]], reference: str, repository: str) -> None:
        given_rules = [
            {"prefix": prefix, "upstream": "quay", "upstream_repository_prefix": upstream} for prefix, upstream in rules
        ]
        assert cached_address(reference, given_rules, HOST) == f"{HOST}/{repository}"

    def test_a_rule_is_not_chosen_for_what_another_rule_would_fetch(self) -> None:
        """HOST/quay/x would come from quay.io, not from Docker Hub."""
        rules = [{"prefix": "ROOT", "upstream": "docker-hub"}, {"prefix": "quay", "upstream": "quay"}]
        assert cached_address("other/x", rules, HOST) == f"{HOST}/other/x"
        with pytest.raises(AddressError, match=r"of docker\.io there are ROOT"):
            cached_address("quay/x", rules, HOST)
        rules.append({"prefix": "hub", "upstream": "docker-hub"})
        assert cached_address("quay/x", rules, HOST) == f"{HOST}/hub/quay/x"

    def test_rules_as_the_modules_return_them(self) -> None:
        for rules in (_returned("hub", "registry-1.docker.io"), _changed("hub", "registry-1.docker.io")):
            assert cached_address("nginx", rules) == f"{HOST}/hub/library/nginx"
            assert cached_address("nginx", rules, "localhost:5000") == "localhost:5000/hub/library/nginx"

    def test_rules_that_were_removed_or_could_not_be_made_are_none(self) -> None:
        gone = [
            {"name": "hub", "changed": True, "before": {"prefix": "hub"}, "after": None, "pull_url": None},
            {"name": "hub", "changed": False, "error": {"msg": "No", "code": "No"}},
        ]
        with pytest.raises(AddressError, match="the rules cache none at all"):
            cached_address("nginx", gone, HOST)

    def test_with_a_root_rule_the_registry_is_known_too(self) -> None:
        assert cached_address("quay.io/xy", _returned("ROOT", "quay.io")) == f"{HOST}/xy"

    @pytest.mark.parametrize("default", ["registry.example.com/x:1", "", "elsewhere"])
    def test_a_default_is_returned_as_it_is(self, default: str) -> None:
        assert cached_address("registry.example.com/x:1", RULES, HOST, default) == default

    @pytest.mark.parametrize(
        ("reference", "rules", "registry", "message"),
        [
            (
                "registry.example.com/x:1",
                RULES[:2],
                HOST,
                "no pull-through cache rule covers 'registry.example.com/x:1': it comes from registry.example.com, and "
                "the rules cache docker.io, ghcr.io. Add a rule, or give a default",
            ),
            (
                "quay.io/other/x",
                [{"prefix": "a", "upstream": "quay", "upstream_repository_prefix": "org"}],
                HOST,
                "of quay.io there are a (caching org), and none leads to other/x",
            ),
            ("nginx", RULES, None, "registry is required: the rule hub does not say by pull_url where it is"),
            (
                "nginx",
                RULES,
                f"{HOST}/hub",
                f"registry must be a host, not '{HOST}/hub': ",
            ),
            ("nginx", RULES, 5, "registry must be a text, not int"),
            (None, RULES, HOST, "the image must be a text, not nothing"),
            ("", RULES, HOST, "the image must be a text, not nothing"),
            (["nginx"], RULES, HOST, "the image must be a text, not list"),
            ("nginx", {"rules": RULES}, HOST, "rules must be a list of rules, such as the value `rules` that"),
            ("nginx", "hub", HOST, "rules must be a list of rules"),
            ("nginx", None, HOST, "rules must be a list of rules"),
            ("nginx", ["hub"], HOST, "rules[0] must be a dictionary, not str"),
            ("nginx", [{"upstream": "quay"}], HOST, "rules[0] has no prefix"),
            (
                "nginx",
                [{"prefix": "a", "upstream": "dockerhub"}],
                HOST,
                "rules[0] needs upstream_url, or as upstream one of docker-hub, ecr-public, quay, k8s, ghcr, gitlab, "
                "chainguard, not 'dockerhub'",
            ),
            ("nginx", [{"prefix": "a", "upstream": "acr"}], HOST, "rules[0] needs upstream_url"),
            ("nginx", [{"prefix": "a", "upstream": ["quay"]}], HOST, "rules[0] needs upstream_url"),
            (
                "nginx",
                [{"prefix": "a", "upstream_url": "a b"}],
                HOST,
                "rules[0], upstream_url must be a host, not 'a b'",
            ),
            ("quay.io/x", [{"prefix": "ROOT", "upstream": "quay"}], HOST, "'x' cannot be the name of a repository"),
            (
                f"quay.io/{'x' * 240}",
                [{"prefix": "p" * 30, "upstream": "quay"}],
                HOST,
                "cannot be the name of a repository in Amazon ECR: it must have 2 to 256",
            ),
        ],
    )
    def test_what_is_refused(self, reference: Any, rules: Any, registry: Any, message: str) -> None:
        with pytest.raises(AddressError) as caught:
            cached_address(reference, rules, registry)
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        "reference", ["NGINX", "nginx:", "nginx:a b", "a//b", "nginx@sha256:12", "https://ghcr.io/x", ":1"]
    )
    def test_what_is_no_image(self, reference: str) -> None:
        with pytest.raises(AddressError) as caught:
            cached_address(reference, RULES, HOST, default="never")
        assert reference in str(caught.value)


class TestMirrored:
    @pytest.mark.parametrize(
        ("reference", "options", "address"),
        [
            ("redis", {}, "redis"),
            ("library/redis:7", {}, "redis:7"),
            ("docker.io/library/redis:7", {"namespace": "mirror"}, "mirror/redis:7"),
            ("docker.io/redis", {"namespace": "mirror/"}, "mirror/redis"),
            ("hashicorp/vault:1.14", {"namespace": "a/b"}, "a/b/hashicorp/vault:1.14"),
            ("quay.io/library/redis:7", {}, "library/redis:7"),
            ("library/a/b", {}, "library/a/b"),
            (f"ghcr.io/org/x:1@{DIGEST}", {}, f"org/x:1@{DIGEST}"),
            ("registry.k8s.io/pause:3.9", {"namespace": None}, "pause:3.9"),
            ("redis:7", {"repository": "cache"}, "cache:7"),
            ("redis:7", {"repository": "team/cache", "namespace": "mirror"}, "mirror/team/cache:7"),
            (f"{ELSEWHERE}/team/app:1", {}, "team/app:1"),
            ("localhost:5000/app", {}, "app"),
        ],
    )
    def test_the_name_of_the_copy(self, reference: str, options: dict[str, Any], address: str) -> None:
        assert mirrored_address(reference, HOST, **options) == f"{HOST}/{address}"

    def test_what_is_in_the_registry_stays(self) -> None:
        assert mirrored_address(f"{HOST}/x/redis:7", f"https://{HOST}/", "mirror") == f"{HOST}/x/redis:7"

    @pytest.mark.parametrize(
        ("reference", "registry", "options", "message"),
        [
            ("redis", None, {}, "registry must be a text, not nothing"),
            ("redis", "", {}, "registry must be a text, not nothing"),
            ("redis", f"{HOST}/mirror", {}, "registry must be a host"),
            (
                "redis",
                HOST,
                {"namespace": "Mirror"},
                "'Mirror/redis' cannot be the name of a repository in Amazon ECR: it ",
            ),
            ("redis", HOST, {"repository": ""}, "repository must be a text, not nothing"),
            ("redis", HOST, {"repository": "cache:7"}, "'cache:7' cannot be the name of a repository"),
            ("redis", HOST, {"namespace": 7}, "namespace must be a text, not int"),
            (7, HOST, {}, "the image must be a text, not int"),
        ],
    )
    def test_what_is_refused(self, reference: Any, registry: Any, options: dict[str, Any], message: str) -> None:
        with pytest.raises(AddressError) as caught:
            mirrored_address(reference, registry, **options)
        assert message in str(caught.value)


# Few, so that prefixes, upstream prefixes and paths often meet.
_PART = st.sampled_from(["library", "org", "team", "quay", "a1", "x-y", "b.c", "z"])
_PATHS = st.lists(_PART, min_size=1, max_size=4).map("/".join).filter(lambda path: len(path) > 1)
_HOSTS = st.sampled_from(["docker.io", "quay.io", "ghcr.io", "registry.k8s.io"])
_SUFFIXES = st.sampled_from(["", ":1", f"@{DIGEST}", f":v1.2-rc.3@{DIGEST}"])
_PREFIXES = st.lists(_PART, min_size=1, max_size=2).map("/".join).filter(lambda prefix: len(prefix) > 1)
_RULES = st.lists(
    st.builds(
        lambda prefix, host, upstream: {
            "prefix": prefix,
            "upstream_url": host,
            "upstream_repository_prefix": upstream if prefix != "ROOT" else "ROOT",
        },
        st.just("ROOT") | _PREFIXES,
        _HOSTS,
        st.just("ROOT") | _PREFIXES,
    ),
    max_size=5,
    unique_by=lambda rule: rule["prefix"],
)


class TestProperties:
    @given(_HOSTS, _PATHS, _SUFFIXES, _RULES)
    def test_ecr_would_fetch_exactly_the_image_that_was_meant(
        self, host: str, path: str, suffix: str, rules: list[dict[str, str]]
    ) -> None:
        """The way back, as ECR goes it: the longest prefix, replaced by the upstream's."""
        address = cached_address(f"{host}/{path}{suffix}", rules, HOST, default="")
        assume(address)
        repository = address.removeprefix(f"{HOST}/").removesuffix(suffix)
        covering = [r for r in rules if r["prefix"] == "ROOT" or repository.startswith(f"{r['prefix']}/")]
        rule = max(covering, key=lambda r: (r["prefix"] != "ROOT", len(r["prefix"])))
        rest = repository if rule["prefix"] == "ROOT" else repository.removeprefix(f"{rule['prefix']}/")
        upstream = rule["upstream_repository_prefix"]
        fetched = rest if upstream == "ROOT" else f"{upstream}/{rest}"
        official = f"library/{path}" if host == "docker.io" and "/" not in path else path
        assert (rule["upstream_url"], fetched) == (host, official)

    @given(_HOSTS, _PATHS, _SUFFIXES, _RULES)
    def test_twice_is_once(self, host: str, path: str, suffix: str, rules: list[dict[str, str]]) -> None:
        address = cached_address(f"{host}/{path}{suffix}", rules, HOST, default=f"{HOST}/x")
        assert cached_address(address, rules, HOST) == address
        copy = mirrored_address(f"{host}/{path}{suffix}", HOST, "mirror")
        assert mirrored_address(copy, HOST, "mirror") == copy

    @given(_PATHS, _SUFFIXES)
    def test_all_ways_to_write_an_image_of_docker_hub_are_one(self, path: str, suffix: str) -> None:
        assume("." not in path.partition("/")[0] and path.partition("/")[0] != "localhost")
        rules = [{"prefix": "hub", "upstream": "docker-hub"}]
        ways = {path, f"docker.io/{path}", f"index.docker.io/{path}"} | (
            {f"library/{path}"} if "/" not in path else set()
        )
        assert len({cached_address(way + suffix, rules, HOST) for way in ways}) == 1
        assert len({mirrored_address(way + suffix, HOST, "mirror") for way in ways}) == 1

    @given(st.text(max_size=30))
    def test_any_text_is_an_address_or_a_clear_refusal(self, text: str) -> None:
        for call in (
            lambda: cached_address(text, RULES, HOST, default="unknown"),
            lambda: mirrored_address(text, HOST),
        ):
            try:
                answer = call()
            except AddressError as error:
                answer = str(error)
            assert answer


def _returned(prefix: str, url: str) -> list[dict[str, Any]]:
    """As ecr_pull_through_rule_info does."""
    pull_url = HOST if prefix == "ROOT" else f"{HOST}/{prefix}"
    fields = {"prefix": prefix, "upstream": "x", "upstream_url": url, "upstream_repository_prefix": "ROOT"}
    return [{**fields, "registry_id": "123456789012", "pull_url": pull_url, "validation": None}]


def _changed(prefix: str, url: str) -> list[dict[str, Any]]:
    """As ecr_pull_through_rule does."""
    [rule] = _returned(prefix, url)
    pull_url = rule.pop("pull_url")
    return [{"name": prefix, "changed": True, "before": None, "after": rule, "pull_url": pull_url, "validation": None}]
