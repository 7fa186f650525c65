"""Options that documents quote in their text and tables, such as `select: {semver: ">=8"}`, are those there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *ROOT.glob("roles/*/README.md"), *ROOT.glob("docs/docsite/rst/*.rst")]
ROLES = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
}
CODE = re.compile(r"(`+)([^`]+)\1")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def quoted(page: Path) -> Iterator[dict[str, Any]]:
    """What is a mapping in YAML."""
    for _ticks, code in CODE.findall(FENCE.sub("", page.read_text())):
        try:
            found = yaml.safe_load(code.replace("sha256:...", f"sha256:{'0' * 64}").replace("...", "example"))
        except yaml.YAMLError:
            continue
        if isinstance(found, dict):
            yield found


QUOTED = [(page.name, options) for page in sorted(PAGES) for options in quoted(page)]
OF_IMAGES = [(name, options) for name, options in QUOTED if set(options) <= set(wishes.IMAGE_KEYS)]
OF_ROLES = [
    (name, options)
    for name, options in QUOTED
    if str(next(iter(options), "")).startswith(tuple(f"{r}_" for r in ROLES))
]


@pytest.mark.parametrize(("page", "options"), OF_IMAGES, ids=str)
def test_options_of_images_are_understood(page: str, options: dict[str, Any]) -> None:
    source = "nginx" if set(options) & set(wishes.WHICH_KEYS) else "nginx:1.29"
    assert wishes.parse([{"source": source, **options}], {"transport": "direct"}), page


@pytest.mark.parametrize(("page", "options"), OF_ROLES, ids=str)
def test_variables_of_roles_are_there(page: str, options: dict[str, Any]) -> None:
    known = {name: {**option, "required": False} for role in ROLES.values() for name, option in role.items()}
    assert ArgumentSpecValidator(known).validate(options).error_messages == [], page


def test_some_are_quoted() -> None:
    assert len(OF_IMAGES) > 5
    assert len(OF_ROLES) > 10
