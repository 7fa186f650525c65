"""The schema of stevedore.yml is that of this version, takes what is right, and refuses what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import site_schema
import yaml
from jsonschema import Draft202012Validator

EXAMPLES = Path(__file__).parents[3] / "examples"
VALIDATOR = Draft202012Validator(site_schema.schema())


def test_the_schema_is_up_to_date() -> None:
    assert site_schema.SCHEMA.read_text() == site_schema.text(), "run: python tools/site_schema.py"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json.loads(site_schema.text()))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_every_example_is_valid(example: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(example.read_text()))


@pytest.mark.parametrize(
    "document",
    [
        {"upstreams": {"quay": None}},
        {
            "images": [
                "nginx:1",
                {"source": "nginx", "tags": "1"},
                {"source": "nginx", "tags": ["1", {"from": "2", "to": "3"}]},
            ]
        },
        {
            "images": [
                {"source": "nginx", "tags": {"1": "2"}},
                {"source": "nginx", "select": {"globs": "v*", "newest": 3}},
            ]
        },
        {"mirror": {"parallel": "{{ parallel }}", "prune": False}},
        {"mirror": {"registries": [{"host": "docker.io", "username": "a", "password": "b"}]}},
        {"cache": None},
    ],
)
def test_what_is_right_is_valid(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "$"),
        ({"imges": []}, "$"),
        ({"region": 1}, "$.region"),
        ({"upstreams": ["quay"]}, "$.upstreams"),
        ({"upstreams": {"quay": {"upstrem": "quay"}}}, "$.upstreams.quay"),
        ({"upstreams": {"x": {"upstream": "dockerhub"}}}, "$.upstreams.x.upstream"),
        ({"images": [3]}, "$.images[0]"),
        ({"images": [{"repository": "a"}]}, "$.images[0]"),
        ({"images": [{"source": "nginx", "via": "copy"}]}, "$.images[0]"),
        ({"images": [{"source": "nginx", "tag": 1.1}]}, "$.images[0]"),
        ({"images": [{"source": "nginx", "tags": [1.1]}]}, "$.images[0]"),
        ({"images": [{"source": "nginx", "select": {"newst": 3}}]}, "$.images[0]"),
        ({"cache": {"upstreams": {}}}, "$.cache"),
        ({"mirror": {"images": []}}, "$.mirror"),
        ({"mirror": {"parallel": "many"}}, "$.mirror.parallel"),
        ({"mirror": {"registries": [{"username": "a"}]}}, "$.mirror.registries"),
        ({"clone": {"architecture": "sparc"}}, "$.clone.architecture"),
        ({"sync": {"config": {"repos": []}}}, "$.sync.config"),
        ({"sync": {"config": {"mode": "update"}}}, "$.sync.config.mode"),
    ],
)
def test_what_is_not_right_is_not_valid_and_the_place_is_said(document: Any, place: str) -> None:
    assert [error.json_path for error in VALIDATOR.iter_errors(document)] == [place]


def test_no_default_is_a_secret_and_each_variable_is_described() -> None:
    sections = [VALIDATOR.schema["properties"][way] for way in ("cache", "mirror", "clone", "sync")]
    for section in sections:
        for name, option in section["properties"].items():
            assert option.get("description") or name == "config"
