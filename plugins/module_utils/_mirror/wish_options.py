# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The single options of an image, read one by one: what each may be, and what to write instead of what it may not.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.dockerfile import DockerfileError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import OnMovedTag, TransportName
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import Selection, SelectionError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidDigestError,
    InvalidPlatformError,
    InvalidReferenceError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import (
    Reference,
    check_repository,
    check_tag,
)

ALL_PLATFORMS = "all"
# Can be given for one image, and for all of them.
SHARED_KEYS = ("platforms", "transport", "on_moved_tag", "referrers", "dockerfile", "require_match")

_REPOSITORY_LENGTHS = range(2, 257)
_MAX_SHOWN = 80


class Problems(list[str]):
    """What was found to be wrong so far."""

    def add(self, field: str, problem: str) -> None:
        self.append(f"{field}: {problem}")


@dataclass(frozen=True)
class Manner:
    """How to bring something over. None is what was not said."""

    platforms: tuple[Platform, ...] | None = None
    transport: str | None = None
    on_moved_tag: str | None = None
    referrers: bool | None = None
    dockerfile: tuple[str, ...] | None = None
    require_match: bool | None = None

    @classmethod
    def read(cls, problems: Problems, where: str, options: Mapping[str, Any]) -> Manner:
        def given(key: str) -> tuple[Problems, str, Any]:
            return problems, f"{where}{key}", options.get(key)

        return cls(
            platforms=_platforms(*given("platforms")),
            transport=_choice(*given("transport"), get_args(TransportName)),
            on_moved_tag=_choice(*given("on_moved_tag"), get_args(OnMovedTag)),
            referrers=_boolean(*given("referrers")),
            dockerfile=_lines(*given("dockerfile")),
            require_match=_boolean(*given("require_match")),
        )


def known_keys(problems: Problems, where: str, options: Mapping[Any, Any], known: Sequence[str]) -> None:
    for key in options:
        if key not in known:
            problems.add(f"{where}{str(key)[:_MAX_SHOWN]}", f"unknown, use one of {', '.join(known)}")


def read_source(problems: Problems, field: str, value: Any) -> Reference | None:
    if value is None or value == "":
        problems.add(field, "missing: give the image to copy, such as nginx or ghcr.io/org/app")
        return None
    text = read_text(problems, field, value)
    if text is None:
        return None
    try:
        return Reference.parse(text)
    except InvalidReferenceError as error:
        problems.add(field, str(error))
        return None


def read_repository(problems: Problems, field: str, name: str) -> str | None:
    """The name, if Amazon ECR takes it: which it does not for all that other registries do."""
    try:
        check_repository(name)
    except InvalidReferenceError as error:
        problems.add(field, str(error))
        return None
    if len(name) not in _REPOSITORY_LENGTHS:
        limits = f"from {_REPOSITORY_LENGTHS[0]} to {_REPOSITORY_LENGTHS[-1]} characters"
        problems.add(field, f"{_shown(name)} has {len(name)} characters, and a repository name has {limits}")
        return None
    return name


def read_tag(problems: Problems, field: str, value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        said = f"{value!r} is a number to YAML, which makes 1.1 of 1.10 and 8 of 010"
        problems.add(field, f"{said}: put the tag in quotes")
        return None
    if isinstance(value, Mapping):
        problems.add(field, "must be a tag, or a dictionary with from, a tag of the source, and to, what to call it")
        return None
    text = read_text(problems, field, value)
    if text is None:
        return None
    try:
        check_tag(text)
    except InvalidReferenceError as error:
        way_out = ". A digest goes into the option digest" if text.startswith("sha256:") else ""
        problems.add(field, f"{error}{way_out}" if text else "it is empty")
        return None
    return text


def read_tags(problems: Problems, field: str, value: Any) -> list[tuple[str, str]]:
    """Pairs of the tag in the source and that in the destination."""
    if isinstance(value, Mapping):
        entries = [(f"{field}[{_shown(old)}]", old, new) for old, new in value.items()]
    else:
        listed = value if isinstance(value, (list, tuple)) else [value]
        entries = [(f"{field}[{index}]", *_from_and_to(one)) for index, one in enumerate(listed)]
    if not entries:
        problems.add(field, "an empty list: name a tag, or use select for all tags")
    pairs = []
    for where, old, new in entries:
        source = read_tag(problems, where, old)
        # What is wrong with both is said once.
        target = source if new == old else read_tag(problems, where, new)
        if source is not None and target is not None:
            pairs.append((source, target))
    return pairs


def _from_and_to(entry: Any) -> tuple[Any, Any]:
    """Of an entry of tags. One that has other keys than these is no good as a tag either, which is then said."""
    if isinstance(entry, Mapping) and set(entry) == {"from", "to"}:
        return entry["from"], entry["to"]
    return entry, entry


def read_digest(problems: Problems, field: str, value: Any) -> Digest | None:
    text = read_text(problems, field, value)
    if text is None:
        return None
    try:
        return Digest.parse(text)
    except InvalidDigestError as error:
        problems.add(field, str(error))
        return None


def read_selection(problems: Problems, field: str, value: Any) -> Selection | None:
    if not isinstance(value, Mapping):
        problems.add(field, f"must be a dictionary, such as {{semver: '>=1.27', newest: 5}}, not {_shown(value)}")
        return None
    try:
        return Selection.parse(value)
    except SelectionError as error:
        for problem in error.problems:
            problems.append(f"{field}.{problem}")
        return None


def read_text(problems: Problems, field: str, value: Any) -> str | None:
    if isinstance(value, str):
        return value
    problems.add(field, f"must be text, not {_shown(value)}")
    return None


def _boolean(problems: Problems, field: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    problems.add(field, f"must be true or false, not {_shown(value)}")
    return None


def _choice(problems: Problems, field: str, value: Any, choices: Sequence[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and value in choices:
        return value
    problems.add(field, f"must be one of {', '.join(choices)}, not {_shown(value)}")
    return None


def _platforms(problems: Problems, field: str, value: Any) -> tuple[Platform, ...] | None:
    """In one order, each once; none for all of them."""
    if value is None:
        return None
    names = value if isinstance(value, (list, tuple)) else [value]
    if not names:
        problems.add(field, f"an empty list: name a platform, or write {ALL_PLATFORMS}")
    if ALL_PLATFORMS in names:
        if len(names) > 1:
            problems.add(field, f"{ALL_PLATFORMS} stands alone: leave out the others, or leave out {ALL_PLATFORMS}")
        return ()
    platforms = {_platform(problems, f"{field}[{index}]", name) for index, name in enumerate(names)} - {None}
    return tuple(sorted((platform for platform in platforms if platform), key=str))


def _platform(problems: Problems, field: str, value: Any) -> Platform | None:
    text = read_text(problems, field, value)
    if text is None:
        return None
    try:
        return Platform.parse(text)
    except InvalidPlatformError as error:
        problems.add(field, str(error))
        return None


def _lines(problems: Problems, field: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    before = len(problems)
    entries = value if isinstance(value, (list, tuple)) else [value]
    texts = [read_text(problems, f"{field}[{index}]", entry) for index, entry in enumerate(entries)]
    if len(problems) > before:
        return ()
    lines = tuple(line for text in texts if text for line in text.removesuffix("\n").split("\n"))
    try:
        return lines if dockerfile.parse(lines) else ()
    except DockerfileError as error:
        for problem in error.problems:
            problems.add(field, problem)
        return ()


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text[:_MAX_SHOWN] + "...") if len(text) > _MAX_SHOWN else repr(value)
