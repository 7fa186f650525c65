# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks that what the documentation points to is there: `python tools/check_links.py`.

Files, headings, pages, labels, plugins and playbooks are looked for in this checkout, also where the address is that of
its repository. What the artefact has must not point by a path to what it has not. Addresses of other sites are only
checked for being addresses: nothing is fetched.
"""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).parents[1]
OWN_PAGES = "https://github.com/stevedore-ecr/stevedore.ecr/blob/main/"
OWN_FILE = re.compile(
    r"https://(?:github\.com/stevedore-ecr/stevedore\.ecr/(?:blob|raw|tree)|"
    r"raw\.githubusercontent\.com/stevedore-ecr/stevedore\.ecr)/main/([^?#]*)"
)
LABEL_PREFIX = "ansible_collections.stevedore.ecr."
# What is built, installed or made by others.
SKIPPED = {".venv", ".git", "build", ".ansible", ".cache", "node_modules", ".pytest_cache"}

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
EXPLICIT_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
RST_ROLE = re.compile(r":(doc|ref|ansplugin):`(?:[^`<]*<)?([^`<>]+)>?`")
RST_LINK = re.compile(r"`[^`<]+<([^`>]+)>`__?")
RST_LABEL = re.compile(r"^\.\. _([^:`]+):$", re.MULTILINE)
PLAYBOOK = re.compile(r"ansible-playbook stevedore\.ecr\.(\w+)")
HOST = re.compile(r"(localhost|\[[0-9a-f:]+\]|[a-z0-9-]+(\.[a-z0-9-]+)+)(:\d+)?")


def main() -> int:
    wrong = [problem for path in documents(ROOT) for problem in problems(path, ROOT)]
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


def documents(root: Path) -> list[Path]:
    found = [*root.rglob("*.md"), *root.glob("docs/docsite/rst/**/*.rst")]
    return sorted(path for path in found if not SKIPPED.intersection(path.relative_to(root).parts))


def problems(path: Path, root: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    links = markdown_problems if path.suffix == ".md" else rst_problems
    for what in (*links(path, text, root), *playbook_problems(text, root)):
        yield f"{path.relative_to(root)}: {what}"


def playbook_problems(text: str, root: Path) -> Iterator[str]:
    for name in sorted(set(PLAYBOOK.findall(text))):
        if not (root / "playbooks" / f"{name}.yml").is_file():
            yield f"there is no playbook stevedore.ecr.{name}"


# ------------------------------------------------------------------ Markdown


def markdown_problems(path: Path, text: str, root: Path) -> Iterator[str]:
    prose = INLINE_CODE.sub("", FENCE.sub("", text))
    for target in MARKDOWN_LINK.findall(prose):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield from external_problems(target, root)
            continue
        name, _hash, anchor = unquote(target).partition("#")
        there = (path.parent / name) if name else path
        if not there.exists():
            yield f"there is no {target}"
        elif is_shipped(path, root) and not is_shipped(there, root):
            yield f"{target} is not in the artefact: write {OWN_PAGES}{place(there, root)}"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8")):
            yield f"there is no heading for #{anchor} in {name or path.name}"


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    found: set[str] = set(EXPLICIT_ANCHOR.findall(text))
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-{sum(one.startswith(slug) for one in found)}")
    return found


def is_shipped(path: Path, root: Path) -> bool:
    """Whether it is in the artefact, by the patterns that `ansible-galaxy collection build` compares with paths."""
    whole = Path(place(path, root))
    return not any(fnmatch(str(part), pattern) for part in (whole, *whole.parents) for pattern in ignored(root))


@cache
def ignored(root: Path) -> list[str]:
    patterns: list[str] = yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    return patterns


def place(path: Path, root: Path) -> str:
    return os.path.relpath(path, root)


# ------------------------------------------------------------------ reStructuredText


def rst_problems(path: Path, text: str, root: Path) -> Iterator[str]:
    for role, target in RST_ROLE.findall(text):
        if role == "doc" and not (path.parent / f"{target}.rst").is_file():
            yield f"there is no page {target}"
        elif role == "ref" and target not in labels(path.parent) and not is_plugin_label(target, root):
            yield f"there is no label {target}"
        elif role == "ansplugin" and not is_plugin(target, root):
            yield f"there is no {target}"
    for target in RST_LINK.findall(text):
        if "://" in target:
            yield from external_problems(target, root)


def labels(folder: Path) -> set[str]:
    texts = (page.read_text(encoding="utf-8") for page in folder.glob("*.rst"))
    return {label for text in texts for label in RST_LABEL.findall(text)}


def is_plugin_label(label: str, root: Path) -> bool:
    """Labels of the pages that antsibull-docs makes, such as ...ecr_lifecycle_module."""
    name, _underscore, kind = label.removeprefix(LABEL_PREFIX).rpartition("_")
    return label.startswith(LABEL_PREFIX) and is_plugin(f"stevedore.ecr.{name}#{kind}", root)


def is_plugin(target: str, root: Path) -> bool:
    name, _hash, kind = target.partition("#")
    namespace, _dot, short = name.rpartition(".")
    if namespace != "stevedore.ecr":
        return namespace.count(".") == 1
    folder = "modules" if kind == "module" else kind
    there = root / "roles" / short if kind == "role" else root / "plugins" / folder / f"{short}.py"
    return there.exists()


# ------------------------------------------------------------------ addresses


def external_problems(target: str, root: Path) -> Iterator[str]:
    own = OWN_FILE.match(target)
    if own:
        name = unquote(own[1])
        if not (root / name).exists():
            yield f"there is no {name}, to which {target} leads"
        return
    parts = urlsplit(target)
    if parts.scheme == "mailto":
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", parts.path):
            yield f"no address: {target}"
    elif parts.scheme not in ("http", "https") or not HOST.fullmatch(parts.netloc):
        yield f"no address: {target}"


if __name__ == "__main__":
    sys.exit(main())
