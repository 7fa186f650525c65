# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role pull_sync has the mirror engine do: the list of images, and how it is shared out. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import Sync
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes

# What can be said of a repository, and what it is to the engine.
_SELECTING = {"tags": "globs", "regex": "regex", "semver": "semver", "prereleases": "prereleases", "newest": "newest"}
_MANNERS = ("platforms", "referrers", "on_moved_tag", "require_match")
REPO_KEYS = ("source", "destination", *_SELECTING, "exclude", *_MANNERS, "expected_tags")
_EXPECTED_TAGS = 50


@dataclass(frozen=True)
class Source:
    """A repository that images come from."""

    account: str
    region: str
    repository: str


@dataclass(frozen=True)
class Image:
    """A repository to sync: in the words of the engine, and what it takes to be allowed to."""

    option: Document
    source: Source
    destination: str
    expected_tags: int


def read_images(sync: Sync) -> tuple[list[Image], list[str]]:
    """And what is wrong with them, by the names that the variables have for it."""
    wrong: list[str] = []
    images = []
    options: list[Document] = []
    for number, repo in enumerate(sync.repos):
        where = f"config.repos[{number}]"
        if not isinstance(repo, Mapping):
            wrong.append(f"{where}: must be a dictionary with a source, not {repo!r}")
            continue
        found = list(_repo_problems(sync, where, repo))
        wrong += found
        if not found:
            option = _option(repo)
            options.append(option)
            images.append(_image(repo, option))
    wrong += _engine_problems(sync, options)
    return images, wrong


def _repo_problems(sync: Sync, where: str, repo: Mapping[str, Any]) -> Iterator[str]:
    for key in repo:
        if key not in REPO_KEYS:
            yield f"{where}.{key}: unknown, use one of {', '.join(REPO_KEYS)}"
    host, _slash, path = str(repo.get("source") or "").partition("/")
    here = ecr_host(host)
    if here is None or not path:
        yield (
            f"{where}.source: must be the whole address of a repository of Amazon ECR, "
            f"such as 111122223333.dkr.ecr.us-east-1.amazonaws.com/my-app, not {repo.get('source')!r}"
        )
    elif ":" in path or "@" in path:
        yield f"{where}.source: has a tag or digest, which belongs into tags"
    elif re.search(r"[*?{}\[\]]", path):
        yield f"{where}.source: is one repository, and has no patterns: only tags do"
    elif (here.account, here.region) == (sync.account, sync.region) and (repo.get("destination") or path) == path:
        yield f"{where}.destination: is missing: this source is in the very registry that it would go to"
    if repo.get("tags") is not None and (not isinstance(repo["tags"], (list, tuple)) or not repo["tags"]):
        yield f"{where}.tags: must be a list of patterns such as v1.*, or left out for all tags"
    expected = repo.get("expected_tags", _EXPECTED_TAGS)
    if isinstance(expected, bool) or not isinstance(expected, int) or expected < 1:
        yield f"{where}.expected_tags: must be a number of at least 1, not {expected!r}"


def _option(repo: Mapping[str, Any]) -> Document:
    select = {name: repo[key] for key, name in _SELECTING.items() if repo.get(key) is not None}
    exclude = repo.get("exclude")
    if exclude is not None:
        select["exclude"] = {"globs": exclude} if isinstance(exclude, (str, list, tuple)) else exclude
    manners = {key: repo[key] for key in _MANNERS if repo.get(key) is not None}
    source = str(repo["source"])
    repository = repo.get("destination") or source.partition("/")[2]
    return {"source": source, "repository": repository, "select": select, **manners}


def _image(repo: Mapping[str, Any], option: Document) -> Image:
    host, _slash, path = option["source"].partition("/")
    here = ecr_host(host)
    account, region = (here.account, here.region) if here else ("", "")
    return Image(option, Source(account, region, path), option["repository"], repo.get("expected_tags", _EXPECTED_TAGS))


def _engine_problems(sync: Sync, options: Sequence[Document]) -> list[str]:
    """What the engine would say to it, asked for all that is well so far."""
    numbers = {json.dumps(_option(repo), default=str): n for n, repo in enumerate(sync.repos) if _is_readable(repo)}
    try:
        wishes.parse(list(options), {**defaults(sync), "transport": "direct"})
    except wishes.WishError as error:
        return [_named(options, numbers, problem) for problem in error.problems]
    return []


def _is_readable(repo: Any) -> bool:
    return isinstance(repo, Mapping) and bool(repo.get("source"))


def _named(options: Sequence[Document], numbers: Mapping[str, int], problem: str) -> str:
    """A problem of the engine, in the words of the variables."""
    found = re.match(r"images\[(\d+)\]", problem)
    if not found:
        return problem
    number = numbers[json.dumps(options[int(found.group(1))], default=str)]
    rest = problem[found.end() :]
    rest = (
        rest.replace(".select.globs", ".tags", 1).replace(".select.", ".", 1).replace(".repository", ".destination", 1)
    )
    return f"config.repos[{number}]{rest}"


def defaults(sync: Sync) -> Document:
    """What holds for all images."""
    given = {name: getattr(sync, name) for name in ("on_moved_tag", "referrers", "require_match")}
    return {"platforms": list(sync.platforms) or ["all"], **given}


# ------------------------------------------------------------------ shards


def shards(images: Sequence[Image], count: int, *, whole: bool) -> list[list[Document]]:
    """The images of each shard. A repository is always in the same one, whatever else is in the list.

    One with more tags than the share of a shard goes to several, each of which takes the tags that fall to its part:
    with whatever tags there will be, each falls to one. `whole` keeps all repositories in one piece.
    """
    found: list[list[Document]] = [[] for _number in range(count)]
    share = max(1, math.ceil(sum(image.expected_tags for image in images) / count))
    for image in images:
        parts = 1 if whole else min(count, math.ceil(image.expected_tags / share))
        home = shard_of(image.destination, count)
        for part in range(parts):
            option = image.option
            if parts > 1:
                option = {**option, "select": {**option["select"], "part": {"index": part, "of": parts}}}
            found[(home + part) % count].append(option)
    return found


def shard_of(repository: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(repository.encode()).digest()[:8], "big") % count


# ------------------------------------------------------------------ the job


def job(sync: Sync, shared_out: Sequence[Sequence[Document]]) -> str:
    """What a run reads: variables of the role image_mirror, and the images of each shard."""
    variables: Document = {
        "image_mirror_create_repositories": sync.creates,
        "image_mirror_missing_repositories": "fail" if sync.creates else "skip",
        "image_mirror_repository_defaults": repository_defaults(sync) if sync.creates else {},
        "image_mirror_put_image_rate": sync.put_image_rate / sync.shard_count,
        "image_mirror_prune": sync.prune,
        "image_mirror_prune_protect": list(sync.prune_protect),
        **{f"image_mirror_{name}": value for name, value in defaults(sync).items()},
    }
    return json.dumps({"variables": variables, "shards": shared_out}, indent=1, sort_keys=True) + "\n"


def repository_defaults(sync: Sync) -> Document:
    """With the meaning and the defaults that the configuration has for it."""
    given = {key: value for key, value in sync.repo_defaults.items() if value is not None}
    filters = given.pop("image_tag_mutability_exclusion_filters", None)
    mutability = "IMMUTABLE" if given.pop("tag_immutability", True) else "MUTABLE"
    found: Document = {
        "scan_on_push": True,
        "encryption_type": "AES256",
        **given,
        "image_tag_mutability": f"{mutability}_WITH_EXCLUSION" if filters else mutability,
    }
    if filters:
        found["image_tag_mutability_exclusion_filters"] = filters
    if sync.tags:
        found["resource_tags"] = {**sync.tags, **(given.get("resource_tags") or {})}
    return found
