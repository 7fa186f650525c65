# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a site comes down to for the role of each way.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import CACHE, CLONE, MIRROR, Document
from ansible_collections.stevedore.ecr.plugins.module_utils._site.upstreams import Upstreams

Coming = Sequence[tuple[Mapping[str, Any], Wish]]

# No Docker Engine is needed, and digests stay as they are, unless the file wants it otherwise.
TRANSPORT = "direct"
# What the role calls its repositories after if nobody says it.
CLONE_NAMESPACE = "ecsclone"
_MANNERS = ("platforms", "on_moved_tag", "referrers", "require_match")


class Placed(Protocol):
    """An image of a site."""

    @property
    def place(self) -> str: ...
    @property
    def way(self) -> str: ...
    @property
    def entry(self) -> Mapping[str, Any]: ...
    @property
    def wish(self) -> Wish: ...


def of_way(way: str, document: Document, upstreams: Upstreams, coming: Coming) -> dict[str, Any]:
    """The variables of its role, without the name of the role."""
    section = dict(document.section(way))
    if way == CACHE:
        named = [str(wish.source.with_tag(tag)) for _entry, wish in coming for tag in wish.tags if ":" not in tag]
        return {"warm": list(dict.fromkeys(named)), **section, "upstreams": dict(upstreams.given)}
    if way == MIRROR:
        found = {"transport": TRANSPORT, **section, "images": [dict(entry) for entry, _wish in coming]}
        registries = [*(section.get("registries") or []), *_logins(section, upstreams, coming)]
        return {**found, "registries": registries} if registries else found
    if way == CLONE:
        return {**_hub_login(upstreams, coming), **section, **_containers(coming)}
    config = section.get("config")
    repos = [_repo(entry, wish) for entry, wish in coming]
    return {**section, "config": {**(config if isinstance(config, Mapping) else {}), "repos": repos}}


def defaults(way: str, document: Document) -> dict[str, Any]:
    """What holds for all images that come one way, in the words of the engine."""
    section = document.section(way)
    if way == MIRROR:
        return {"transport": TRANSPORT, **{key: section[key] for key in wishes.DEFAULT_KEYS if key in section}}
    common = {"transport": TRANSPORT}
    if way == CLONE:
        common["namespace"] = section.get("namespace", CLONE_NAMESPACE)
    # An empty list is all platforms to these roles, and a mistake to the engine.
    return {**common, **{key: section[key] for key in _MANNERS if section.get(key)}}


def contradictions(images: Iterable[Placed]) -> Iterator[str]:
    """Images that do not go together, though each is well by itself."""
    images = list(images)
    yield from _written_twice(images)
    yield from _not_one_container(images)


def placed(problem: str, places: Sequence[str], way: str) -> str:
    """A problem of the engine, with the places of the file."""
    if not problem.startswith("images["):
        return f"{way}.{problem}" if way else problem
    return re.sub(r"images\[(\d+)\]", lambda found: places[int(found.group(1))], problem)


# ------------------------------------------------------------------ contradictions


def _written_twice(images: Sequence[Placed]) -> Iterator[str]:
    """Of a tag in one's own registry, all that write it have to mean the same."""
    first: dict[tuple[str, str], tuple[Placed, Any]] = {}
    for image in images:
        if image.way == CACHE:
            continue
        for name, identifier in image.wish.tags.items():
            what = (image.way, replace(image.wish, tags={}), identifier)
            other, same = first.setdefault((image.wish.repository, name), (image, what))
            if same != what:
                yield (
                    f"{image.place}: writes {image.wish.repository}{'@' if ':' in name else ':'}{name}, which "
                    f"{other.place} writes too, in another way: make them the same, or give one another repository"
                )


def _not_one_container(images: Sequence[Placed]) -> Iterator[str]:
    """A cloner has one way for each repository, and goes by its name without the registry."""
    first: dict[str, tuple[Placed, Any]] = {}
    for image in images:
        if image.way != CLONE:
            continue
        path = image.wish.source.path
        other, same = first.setdefault(path, (image, _container(image.entry, image.wish)))
        mine = _container(image.entry, image.wish)
        if mine != same or (image is not other and "select" in mine):
            yield (
                f"{image.place}: a cloner brings all tags of {path} in one way, and {other.place} has another: make "
                "them the same, or have one of them come via: mirror"
            )


# ------------------------------------------------------------------ in the words of the roles


def _logins(section: Mapping[str, Any], upstreams: Upstreams, coming: Coming) -> Iterator[dict[str, Any]]:
    """The logins of upstreams, for mirrors from the same registries, unless something else is said of those."""
    said = {str(one.get("host")) for one in section.get("registries") or [] if isinstance(one, Mapping)}
    for host in dict.fromkeys(wish.source.registry for _entry, wish in coming):
        login = upstreams.login(host)
        if host not in said and login.get("username") and login.get("access_token"):
            yield {"host": host, "username": login["username"], "password": login["access_token"]}


def _hub_login(upstreams: Upstreams, coming: Coming) -> dict[str, Any]:
    login = upstreams.login(DOCKER_HUB)
    if not any(wish.source.registry == DOCKER_HUB for _entry, wish in coming):
        return {}
    if login.get("secret_arn"):
        return {"docker_hub_secret_arn": login["secret_arn"]}
    if login.get("username") and login.get("access_token"):
        return {"docker_hub_username": login["username"], "docker_hub_access_token": login["access_token"]}
    return {}


def _containers(coming: Coming) -> dict[str, Any]:
    containers: dict[str, dict[str, Any]] = {}
    commands: dict[str, list[str]] = {}
    for entry, wish in coming:
        path = wish.source.path
        container = containers.setdefault(path, _container(entry, wish))
        if wish.selection is None:
            tags = [_tag(name, identifier) for name, identifier in wish.tags.items()]
            container["tags"] = [*container.get("tags", []), *(t for t in tags if t not in container.get("tags", []))]
        if wish.dockerfile:
            commands |= {f"{path}:{name}": list(wish.dockerfile) for name in wish.tags}
    plain = {path: one["tags"] if set(one) == {"tags"} else one for path, one in containers.items()}
    return {"containers": plain, "build_commands": commands}


def _container(entry: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    """But for its tags."""
    elsewhere = {} if wish.source.registry == DOCKER_HUB else {"registry": wish.source.registry}
    selected = {} if wish.selection is None else {"select": entry.get("select", {})}
    return {**elsewhere, **selected, **{key: entry[key] for key in _MANNERS if key in entry}}


def _tag(name: str, identifier: str) -> str | dict[str, str]:
    return name if name == identifier else {"from": identifier, "to": name}


def _repo(entry: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    found: dict[str, Any] = {"source": wish.source.name}
    if wish.repository != wish.source.path:
        found["destination"] = wish.repository
    if wish.selection is None:
        found["tags"] = list(wish.tags)
    else:
        select = dict(entry.get("select") or {})
        globs = select.pop("globs", None)
        if globs is not None:
            found["tags"] = [globs] if isinstance(globs, str) else list(globs)
        found |= select
    return {**found, **{key: entry[key] for key in _MANNERS if key in entry}}
