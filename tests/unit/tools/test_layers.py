"""Imports of the collection's own parts point downwards only, as CONTRIBUTING.md draws it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGINS = ROOT / "plugins"
# By part, those that it may import.
BELOW: dict[str, set[str]] = {
    "_oci": set(),
    "_mirror": {"_oci"},
    "_transport": {"_mirror", "_oci"},
    "_report": {"_mirror"},
    "_ecr": {"_transport", "_mirror", "_oci"},
    "_jobs": {"_ecr", "_transport", "_mirror", "_oci"},
    "_site": {"_jobs", "_ecr", "_report", "_mirror", "_oci"},
}
PARTS = sorted(path.name for path in (PLUGINS / "module_utils").glob("_*") if any(path.glob("*.py")))


def source(part: str) -> str:
    return "\n".join(path.read_text() for path in sorted((PLUGINS / "module_utils" / part).rglob("*.py")))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_those_below_it(part: str) -> None:
    text = source(part)
    imported = set(re.findall(r"module_utils(?:\.| import )(\w+)", text)) - {part}
    assert imported & set(PARTS) <= BELOW[part]
    # All imports are by full names, so none is missed here. And nothing looks upwards to plugins.
    assert not re.search(r"^\s*from \.", text, re.MULTILINE)
    assert set(re.findall(r"stevedore\.ecr\.plugins\.(\w+)", text)) <= {"module_utils"}


@pytest.mark.parametrize("part", ["_oci", "_mirror"])
def test_the_lowest_know_nothing_of_aws_or_ansible(part: str) -> None:
    assert re.findall(r"^\s*(?:from|import) (?:ansible\.|ansible\b(?!_)|boto)\S*", source(part), re.MULTILINE) == []


def test_contributing_has_all_parts() -> None:
    map_of_parts = (ROOT / "CONTRIBUTING.md").read_text().partition("```")[2].partition("```")[0]
    assert [part for part in PARTS if f"plugins/module_utils/{part}/" not in map_of_parts] == []
    kinds = sorted(path.name for path in PLUGINS.iterdir() if any(path.glob("*.py")) and path.name != "doc_fragments")
    assert [kind for kind in kinds if f"plugins/{kind}/" not in map_of_parts] == []
