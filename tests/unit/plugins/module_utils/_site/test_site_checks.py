"""What roles would say of a file, before anything is made; and that what they get from one suits them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.filter.site_parts import site_parts, words
from ansible_collections.stevedore.ecr.plugins.module_utils._site import variables
from ansible_collections.stevedore.ecr.plugins.module_utils._site.checks import read_and_check
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import ELSEWHERE, ROLES
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import SiteError

REGION = "eu-west-1"
HERE = {
    "registry_id": "123456789012",
    "region": REGION,
    "partition": "aws",
    "repository_arn": f"arn:aws:ecr:{REGION}:123456789012:repository",
    "host": f"123456789012.dkr.ecr.{REGION}.amazonaws.com",
}
THERE = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
SYNCED = {"source": f"{THERE}/app", "via": "sync"}
CLONED = {"source": "redis:7", "via": "clone"}


WORDS = words()


def problems(document: dict[str, Any]) -> tuple[str, ...]:
    try:
        read_and_check(document, HERE, WORDS)
    except SiteError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"region": "eu-west-2"}, "region: is eu-west-2, and the settings of this play lead to eu-west-1"),
        ({"cache": {"attach_roles": []}}, "cache.attach_roles: unknown, did you mean attach_to_roles?"),
        ({"mirror": {"paralel": 3}}, "mirror.paralel: unknown, did you mean parallel?"),
        ({"mirror": {"parallel": "many"}}, "mirror.parallel: argument 'parallel' is of type "),
        (
            {"clone": {"architecture": "sparc"}},
            "clone.architecture: value of architecture must be one of: x86_64, arm64",
        ),
        (
            {"upstreams": {"docker-hub": {"username": "a"}}},
            "upstreams.docker-hub.access_token: is required with username",
        ),
        ({"upstreams": {"quay": {"upstrem": "quay"}}}, "upstreams.quay.upstrem: there is no such field"),
        ({"upstreams": {"own": {}}}, "upstreams.own.upstream: is required, one of docker-hub"),
        ({"upstreams": {"quay": {"lifecycle_rules": 3}}}, "upstreams.quay.lifecycle_rules: must be a list"),
        ({"upstreams": {"Quay": {"upstream": "quay"}}}, "upstreams"),
        (
            {"upstreams": {"quay": {}}, "cache": {"attach_to_roles": ["arn:aws:iam::210987654321:role/x"]}},
            "cache.attach_to_roles: arn:aws:iam::210987654321:role/x is not in this account",
        ),
        ({"images": ["quay.io/a/b:1"], "cache": {"warm": ["ghcr.io/a/b:1"]}}, "cache.warm: no pull-through cache rule"),
        ({"images": [CLONED], "clone": {"timeout": 1}}, "clone.timeout: must be 5 to 2160 minutes, not 1"),
        ({"images": [CLONED], "clone": {"docker_hub_username": "a"}}, "clone.docker_hub_access_token: is missing"),
        (
            {"images": [{**CLONED, "dockerfile": "RUN x", "platforms": ["linux/arm64"]}]},
            "images[0]: redis:7: has lines that have to be run",
        ),
        ({"images": [SYNCED]}, "sync.namespace: must be at most 28 small letters"),
        ({"images": [SYNCED], "sync": {"namespace": "a", "task_cpu": 3}}, "sync.task_cpu: must be one of 256"),
        ({"images": [SYNCED], "sync": {"namespace": "a", "config": {"mod": "x"}}}, "sync.config.mod: unknown"),
        (
            {"images": ["nginx:1"], "mirror": {"registries": [{"host": "docker.io", "username": "a"}]}},
            "mirror.registries[0].username: a login is either username and password, or token",
        ),
        (
            {"images": ["nginx:1"], "mirror": {"registries": [{}]}},
            "mirror.registries: missing required arguments: host",
        ),
        (
            {"images": ["nginx:1"], "mirror": {"repository_defaults": {"encryption_type": "X"}}},
            "mirror.repository_defaults: value of encryption_type",
        ),
        (
            {"mirror": {"registries": [{"host": "a.b", "user": "a"}]}},
            "mirror.registries.user: unknown, use one of aws_login",
        ),
    ],
)
def test_what_a_role_would_not_take_is_said_in_the_words_of_the_file(document: dict[str, Any], problem: str) -> None:
    found = problems(document)
    assert any(one.startswith(problem) for one in found), found


def test_all_roles_are_asked_at_once() -> None:
    document = {
        "upstreams": {"docker-hub": {"username": "a"}},
        "images": [CLONED, SYNCED, "ghcr.io/a/b"],
        "clone": {"timeout": 1},
        "sync": {"namespace": "UPPER"},
    }
    places = {problem.partition(":")[0] for problem in problems(document)}
    assert {"upstreams.docker-hub.access_token", "clone.timeout", "sync.namespace", "images[2]"} <= places


def test_no_problem_shows_a_login() -> None:
    login = {"username": "acme", "access_token": "geheim"}
    document = {
        "upstreams": {"quay": login, "docker-hub": {**login, "secret_name": "x"}},
        "images": [CLONED, {"source": "nginx:1", "via": "mirror"}],
        "clone": {"docker_hub_secret_arn": "x"},
        "mirror": {"registries": [{"host": "docker.io", "username": "a", "password": "geheim", "token": "geheim"}]},
    }
    assert problems(document)
    assert "geheim" not in " ".join(problems(document))


def test_what_is_to_be_taken_away_need_not_be_right() -> None:
    assert problems({"images": [CLONED], "clone": {"state": "absent", "timeout": 1}}) == ()


# ------------------------------------------------------------------ roles and this package know the same


def test_the_names_of_variables_that_belong_elsewhere_are_those_of_the_roles() -> None:
    for way, names in ELSEWHERE.items():
        assert {f"{ROLES[way]}_{name}" for name in names} <= set(WORDS[way].options)


def test_clones_are_called_as_the_role_calls_them() -> None:
    assert WORDS["clone"].defaults["codebuild_cloner_namespace"] == variables.CLONE_NAMESPACE


IMAGES = st.lists(
    st.sampled_from(
        [
            "nginx:1.27",
            "quay.io/a/b:1",
            CLONED,
            {"source": "hashicorp/vault", "tags": ["1.14"], "dockerfile": ["ENV A=1"]},
            {"source": "mongo", "select": {"newest": 2}, "via": "clone"},
            {"source": "nginx:1.28", "tag": "stable", "via": "clone"},
            SYNCED,
            {"source": f"{THERE}/other", "tags": ["1"], "repository": "own/name", "via": "sync"},
            {"source": "ghcr.io/a/c", "select": {"semver": ">=1", "exclude": {"regex": "rc"}}},
        ]
    ),
    unique_by=str,
)


@given(IMAGES)
def test_roles_take_what_they_get(images: list[Any]) -> None:
    document = {"images": images, "sync": {"namespace": "acme"}, "upstreams": {"docker-hub": None}}
    assert problems(document) == ()
    found = site_parts(document, HERE)
    known = {name for words in WORDS.values() for name in words.options}
    assert set(found["variables"]) <= known
    assert len(found["images"]) == len(images)
