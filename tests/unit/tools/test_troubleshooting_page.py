"""The messages in the page on troubleshooting are those that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "docsite" / "rst" / "troubleshooting.rst"
MESSAGE = re.compile(r"^\.\. message\n\n\.\. code-block:: text\n\n((?:   .+\n)+)", re.MULTILINE)
MESSAGES = [" ".join(found.split()) for found in MESSAGE.findall(PAGE.read_text(encoding="utf-8"))]
# Shorter pieces, between two placeholders, would be found anywhere.
SHORTEST = 8


@pytest.fixture(scope="module")
def said() -> str:
    """All texts of the plugins, with a mark where something is put in, and those of roles and playbooks."""
    texts = [text for path in (ROOT / "plugins").rglob("*.py") for text in _texts(ast.parse(path.read_text()))]
    tasks = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    return "\n".join(" ".join(text.split()) for text in [*texts, *(path.read_text() for path in tasks)])


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_so(message: str, said: str) -> None:
    pieces = [piece.strip(" '") for piece in message.split("...")]
    long = [piece for piece in pieces if len(piece) >= SHORTEST]
    assert long
    assert [piece for piece in long if piece not in said] == []


def test_all_of_ours_are_looked_for() -> None:
    ours = PAGE.read_text(encoding="utf-8").partition("What stevedore says\n")[2]
    assert ours.count(".. code-block:: text") == len(MESSAGES) >= 25
