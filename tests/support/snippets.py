"""The YAML in the documentation: found, told apart by its shape, and marked where it is to be run.

What is marked is run by tests/integration/test_docs_snippets.py. In front of the block stands, as a comment of its own,
`.. runnable: PLAYBOOK OPTIONS; images: HOST/REPOSITORY:TAG ...` in a page, the same in `<!-- -->` in Markdown. The
images are in the registries then. Variables of logins, docker_hub_user and docker_hub_token, are given. With `; warns`
in place of the images, the run has to warn; else it must not. `itself` in place of PLAYBOOK stands for the plays or
tasks of the block. An inventory is given as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MARK = re.compile(r"(?:\.\.|<!--) runnable: (?P<what>.*?)(?:-->)?\s*$")
FENCE = re.compile(r"```(\w*)\s*$")
BLOCK = re.compile(r"(?P<indent>\s*)\.\. code-block:: (?P<language>\w+)\s*$")


@dataclass(frozen=True)
class Snippet:
    """`run` is what is to be run with it, empty where it is only to be read."""

    path: Path
    line: int
    text: str
    run: str = ""

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"

    @property
    def document(self) -> Any:
        return yaml.safe_load(self.text)

    @property
    def plays(self) -> list[dict[str, Any]]:
        """Of plays or tasks; none of variables."""
        found = self.document
        if not isinstance(found, list):
            return []
        if all("hosts" in one for one in found):
            return found
        return [{"name": "Tasks", "hosts": "localhost", "gather_facts": False, "tasks": found}]

    @property
    def variables(self) -> list[dict[str, Any]]:
        """Those of a file of variables, or those that plays give to roles."""
        found = self.document
        if isinstance(found, dict):
            return [found]
        return [
            role["vars"]
            for play in self.plays
            for role in [*play.get("roles", []), *play.get("tasks", [])]
            if "vars" in role
        ]

    @property
    def is_site(self) -> bool:
        """Whether it is a desired-state file, which has keys of its own."""
        return self.text.startswith("# stevedore.yml")

    @property
    def is_inventory(self) -> bool:
        return isinstance(self.document, dict) and set(self.document) == {"all"}

    @property
    def command(self) -> list[str]:
        return self.run.partition(";")[0].split()

    @property
    def warns(self) -> bool:
        return self.run.endswith("; warns")

    @property
    def images(self) -> list[tuple[str, str, str]]:
        """(host, repository, tag)"""
        listed: list[tuple[str, str, str]] = re.findall(r"([^/\s]+)/(\S+):([^:\s]+)", self.run.partition("images:")[2])
        return listed


def snippets(root: Path) -> list[Snippet]:
    paths = [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *root.glob("roles/*/README.md"),
        *root.glob("docs/docsite/rst/*.rst"),
    ]
    return [snippet for path in sorted(paths) for snippet in snippets_of(path)]


def snippets_of(path: Path) -> list[Snippet]:
    lines = path.read_text(encoding="utf-8").splitlines()
    blocks = _markdown_blocks(lines) if path.suffix == ".md" else _page_blocks(lines)
    return [
        Snippet(path, start, "\n".join(lines[start:end]) if path.suffix == ".md" else _dedented(lines[start:end]), mark)
        for language, start, end, mark in blocks
        if language == "yaml"
    ]


Found = tuple[str, int, int, str]


def _markdown_blocks(lines: list[str]) -> Iterator[Found]:
    mark = language = ""
    start = -1
    for at, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and start < 0:
            language, start = fence[1], at + 1
        elif fence:
            yield language, start, at, mark
            mark, start = "", -1
        elif start < 0:
            mark = _mark(line, mark)


def _page_blocks(lines: list[str]) -> Iterator[Found]:
    mark = ""
    for at, line in enumerate(lines):
        block = BLOCK.match(line)
        if not block:
            mark = _mark(line, mark)
            continue
        deeper = f"{block['indent']}   "
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(deeper)):
            end += 1
        yield block["language"], at + 1, end, mark
        mark = ""


def _mark(line: str, before: str) -> str:
    """A mark holds for the next block, with nothing but blank lines in between."""
    found = MARK.match(line)
    return found["what"].strip() if found else before if not line.strip() else ""


def _dedented(lines: list[str]) -> str:
    width = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[width:] for line in lines).strip("\n")
