# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired-state file as a person writes it: its keys, and what is in them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wishes import IMAGE_KEYS

CACHE, MIRROR, CLONE, SYNC = "cache", "mirror", "clone", "sync"
WAYS = (CACHE, MIRROR, CLONE, SYNC)
ROLES = {CACHE: "pull_through_cache", MIRROR: "image_mirror", CLONE: "codebuild_cloner", SYNC: "pull_sync"}
VIA = "via"
KEYS = ("region", "upstreams", "images", *WAYS)
ENTRY_KEYS = (*IMAGE_KEYS, VIA)
# To Python, true is a number too.
_KINDS = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "a text"),
    (Mapping, "a dictionary"),
    (list, "a list"),
)

# Variables of roles that the file has another place for.
ELSEWHERE = {
    CACHE: {"upstreams": "they belong under upstreams"},
    MIRROR: dict.fromkeys(("images", "images_file"), "they belong under images, with via: mirror where it matters"),
    CLONE: {
        "containers": "they belong under images, with via: clone",
        "build_commands": "they belong to the image under images, as dockerfile",
        "region": "it is the region of the whole file",
    },
    SYNC: {},
}


class SiteError(Exception):
    """Everything that is wrong with a file: for each problem its place, what is wrong and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        listed = "\n".join(f"- {problem}" for problem in problems)
        super().__init__(f"The desired state is not right, and nothing was done:\n{listed}\n")
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Entry:
    """One image, with its place in the file. `via` is empty where the file does not say."""

    place: str
    said: Mapping[str, Any]
    via: str = ""


@dataclass(frozen=True)
class Document:
    """The file, with what makes no sense left out."""

    region: str = ""
    upstreams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entries: Sequence[Entry] = ()
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def section(self, way: str) -> Mapping[str, Any]:
        return self.sections.get(way, {})


def read_document(given: Any, problems: list[str]) -> Document:
    if not isinstance(given, Mapping):
        problems.append(f"The file must be a dictionary with {', '.join(KEYS)}, not {_kind(given)}")
        return Document()
    problems += unknown_keys("", given, KEYS)
    return Document(
        region=_text(problems, "region", given.get("region")),
        upstreams=_upstreams(problems, given.get("upstreams")),
        entries=_entries(problems, given.get("images")),
        sections={way: _section(problems, way, given.get(way)) for way in WAYS},
    )


def unknown_keys(place: str, given: Iterable[Any], known: Sequence[str]) -> list[str]:
    """Each with what was meant, if that can be guessed."""
    return [f"{place}{str(key)[:80]}: unknown, {_meant(str(key), known)}" for key in given if key not in known]


def _meant(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}"


def _upstreams(problems: list[str], given: Any) -> dict[str, Mapping[str, Any]]:
    if given is None:
        return {}
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        problems.append(f"upstreams: must be a dictionary: write {given[0] if given else 'quay'}: and so on")
        return {}
    if not isinstance(given, Mapping):
        problems.append(
            f"upstreams: must be a dictionary by prefix, such as quay: and nothing after it, not {_kind(given)}"
        )
        return {}
    for prefix, fields in given.items():
        if fields is not None and not isinstance(fields, Mapping):
            problems.append(f"upstreams.{prefix}: must be a dictionary, or nothing, not {_kind(fields)}")
    return {str(prefix): fields or {} for prefix, fields in given.items() if isinstance(fields or {}, Mapping)}


def _entries(problems: list[str], given: Any) -> list[Entry]:
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        problems.append(f"images: must be a list, not {_kind(given)}")
        return []
    found = [_entry(problems, f"images[{index}]", one) for index, one in enumerate(given)]
    return [entry for entry in found if entry is not None]


def _entry(problems: list[str], place: str, given: Any) -> Entry | None:
    if isinstance(given, str):
        return Entry(place, {"source": given})
    if not isinstance(given, Mapping):
        problems.append(f"{place}: must be a dictionary with a source, or the source as a text, not {_kind(given)}")
        return None
    unknown = unknown_keys(f"{place}.", given, ENTRY_KEYS)
    problems += unknown
    via = given.get(VIA)
    if via is not None and via not in WAYS:
        problems.append(f"{place}.{VIA}: must be one of {', '.join(WAYS)}, or left out, not {via!r}")
        return None
    if unknown:
        return None
    return Entry(place, {key: value for key, value in given.items() if key != VIA and value is not None}, via or "")


def _section(problems: list[str], way: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.append(f"{way}: must be a dictionary with variables of the role {ROLES[way]}, not {_kind(given)}")
        return {}
    for name, instead in ELSEWHERE[way].items():
        if name in given:
            problems.append(f"{way}.{name}: {instead}")
    config = given.get("config")
    if way == SYNC and isinstance(config, Mapping) and "repos" in config:
        problems.append(f"{way}.config.repos: they belong under images, with via: sync")
    return {str(name): value for name, value in given.items() if name not in ELSEWHERE[way] and value is not None}


def _text(problems: list[str], place: str, given: Any) -> str:
    if given is None or isinstance(given, str):
        return given or ""
    problems.append(f"{place}: must be a text, not {_kind(given)}")
    return ""


def _kind(value: Any) -> str:
    """What something is, without what may be secret in it."""
    for kinds, name in _KINDS:
        if isinstance(value, kinds):
            return name
    return "nothing" if value is None else type(value).__name__
