# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way an image comes, and why.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._site import variables
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import (
    CACHE,
    CLONE,
    MIRROR,
    SYNC,
    Document,
    Entry,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.upstreams import NotCachedError, Upstreams

# What can only be done to a copy.
_OF_COPIES = ("repository", "dockerfile", "platforms", "transport", "on_moved_tag", "referrers", "require_match")
_UNKNOWN_TO_SYNC = ("sort", "part", "digest_tags")
_ALL_TAGS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Choice:
    """A way for an image, with the upstreams that it takes."""

    way: str
    reason: str
    entry: Mapping[str, Any]
    wish: Wish
    upstreams: Upstreams


class _NotThisWayError(Exception):
    """Why an image cannot come some way."""


def choose(entry: Entry, document: Document, upstreams: Upstreams, problems: list[str]) -> Choice | None:
    """The way of an image, or None where something is wrong with it, which is in `problems` then."""
    said = dict(entry.said)
    wish = _wish(entry.place, _for_all_tags(said), variables.defaults("", document), problems)
    if wish is None:
        return None
    if entry.via:
        try:
            found, _why = _going(entry.via, said, wish, upstreams)
        except _NotThisWayError as error:
            problems.append(f"{entry.place}.via: cannot be {entry.via}, because {error}")
            return None
        way, reason = entry.via, f"via says {entry.via}"
    else:
        way, reason, found = _best(said, wish, upstreams)
    if way == CACHE:
        cached = replace(wish, repository=found.repository(wish.source) or wish.repository)
        return Choice(way, reason, said, cached, found)
    # All that is said for this way counts too. A cache and a sync have all tags where none are said, and others ask.
    given = _for_all_tags(said) if way == SYNC else said
    copied = _wish(entry.place, given, variables.defaults(way, document), problems, way)
    return None if copied is None else Choice(way, reason, said, copied, found)


def _best(said: Mapping[str, Any], wish: Wish, upstreams: Upstreams) -> tuple[str, str, Upstreams]:
    """The way that suits an image best. A mirror can do it all."""
    way = CLONE if wish.dockerfile else CACHE
    try:
        found, why = _going(way, said, wish, upstreams)
    except _NotThisWayError as error:
        return MIRROR, str(error), upstreams
    return way, why, found


def _going(way: str, said: Mapping[str, Any], wish: Wish, upstreams: Upstreams) -> tuple[Upstreams, str]:
    """The upstreams that it takes, and why it is a good way. Raises _NotThisWayError."""
    if way == CACHE:
        return _cached(said, wish, upstreams)
    if way == CLONE:
        _check_clone(said, wish)
    if way == SYNC:
        _check_sync(said, wish, upstreams.registry)
    return upstreams, "lines of a Dockerfile are added to it"


def _cached(said: Mapping[str, Any], wish: Wish, upstreams: Upstreams) -> tuple[Upstreams, str]:
    for key in _OF_COPIES:
        if key in said:
            raise _NotThisWayError(f"{key} is for copies, and a cache has images as they are at their source")
    if _renames(wish):
        raise _NotThisWayError("a tag gets another name, and a cache has the tags of its source")
    try:
        return upstreams.covering(wish.source)
    except NotCachedError as error:
        raise _NotThisWayError(str(error)) from error


def _check_clone(said: Mapping[str, Any], wish: Wish) -> None:
    if wish.repository != wish.source.path:
        raise _NotThisWayError("a clone is called as its source, after clone.namespace, and repository says otherwise")
    if "transport" in said:
        raise _NotThisWayError("transport is for this machine, and a clone is made by AWS CodeBuild")
    if _has_digest(wish):
        raise _NotThisWayError("a clone goes by tags, and there is a digest")
    if wish.dockerfile and (wish.selection or _renames(wish)):
        raise _NotThisWayError(
            "a clone gets lines of a Dockerfile by its tag, which has to be named and to stay the same"
        )


def _check_sync(said: Mapping[str, Any], wish: Wish, registry: str) -> None:
    if ecr_host(wish.source.registry) is None:
        raise _NotThisWayError(
            f"a sync is from Amazon ECR to Amazon ECR, and {wish.source.registry} is another registry"
        )
    if wish.source.registry == registry and wish.repository == wish.source.repository:
        raise _NotThisWayError("it is there already: give it another repository, or another source")
    for key in ("dockerfile", "transport"):
        if key in said:
            raise _NotThisWayError(f"{key} is for mirrors, and a sync copies images as they are")
    if _has_digest(wish):
        raise _NotThisWayError("a sync goes by tags, and there is a digest")
    if _renames(wish):
        raise _NotThisWayError("a tag gets another name, and a sync has the tags of its source")
    for key in _UNKNOWN_TO_SYNC:
        if key in said.get("select", {}):
            raise _NotThisWayError(f"a sync does not know select.{key}")


def _has_digest(wish: Wish) -> bool:
    return any(":" in identifier for identifier in wish.tags.values())


def _renames(wish: Wish) -> bool:
    return any(":" not in identifier and name != identifier for name, identifier in wish.tags.items())


def _for_all_tags(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, for all tags where it does not say which."""
    source = said.get("source")
    is_bare = isinstance(source, str) and "@" not in source and ":" not in source.rpartition("/")[2]
    if is_bare and not any(key in said for key in wishes.WHICH_KEYS):
        return {**said, "select": _ALL_TAGS}
    return said


def _wish(
    place: str, said: Mapping[str, Any], defaults: Mapping[str, Any], problems: list[str], way: str = ""
) -> Wish | None:
    """As the engine reads it."""
    try:
        found = wishes.parse([said], defaults)
    except wishes.WishError as error:
        new = [variables.placed(problem, [place], way) for problem in error.problems]
        problems += [problem for problem in new if problem not in problems]
        return None
    return found[0]
