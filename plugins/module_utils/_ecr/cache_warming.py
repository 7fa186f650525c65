# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that shall be in a pull-through cache before anybody needs them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_cache as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_pull_through import list_rules
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import ROOT, longest_prefix
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import registry_host, rule_from_ecr
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import ecr_account

IDS_IN_A_CALL = 100
DEFAULT_TAG = "latest"
DOCKER_HUB, OFFICIAL = "docker-hub", "library/"

_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<repository>{_PART}(/{_PART})*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PORT = re.compile(r"[^/]+:\d+/.+")

# What ECR's codes may mean beside what they say, and what helps.
_REMEDIES = {
    "ImageNotFound": "The upstream has no such image, or ecr:BatchImportUpstreamImage is not allowed: Amazon ECR "
    "answers the same to both",
    "RepositoryNotFoundException": "Either ecr:CreateRepository is not allowed, or Amazon ECR could not create the "
    "repository from its creation template: with tags or a KMS key, that needs a role",
    "UpstreamAccessDenied": "Check the login of the rule with validate=true, and that it may pull this image",
    "UpstreamTooManyRequests": "The upstream limits pulls: run again later, or use a login with a higher limit",
    "UpstreamUnavailable": "Run again when the upstream answers",
}


@dataclass(frozen=True)
class Target:
    """An image by the names that ECR has for it."""

    repository: str
    tag: str
    digest: str | None = None


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    parallel: int


def warm(client: Any, images: Sequence[str], settings: Settings) -> list[Outcome[Change]]:
    """Have each of the images in the cache. Those that are there are left alone."""
    host = registry_host(client)
    targets = read_images(images, host)
    tags = _cached_tags(client, targets.values(), settings.parallel)
    missing = [image for image, target in targets.items() if not _is_cached(target, tags[target.repository])]
    prefixes = _upstreams(client) if missing else {}

    def converge(image: str) -> Change:
        target = targets[image]
        address = f"{host}/{target.repository}:{target.tag}"
        before = _state(_usable(tags[target.repository]).get(target.tag))
        if image not in missing:
            return Change(before, before, [], {"address": address, **before})
        _check_upstream(target, prefixes, settings)
        step = [f"fetch {address}"]
        if settings.check_mode:
            return Change(before, {"cached": True, "digest": target.digest}, step, {"address": address, **before})
        after = _state(fetch(client, target))
        return Change(before, after, step, {"address": address, **after})

    return run_each(list(targets), converge, settings.parallel)


def read_images(images: Sequence[str], host: str) -> dict[str, Target]:
    """What the images are called in the registry at `host`; all that cannot be in one error."""
    targets: dict[str, Target] = {}
    problems: list[str] = []
    for image in images:
        try:
            targets[image] = read_image(image, host)
        except ValueError as error:
            problems.append(f"{image!r}: {error}")
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidImage")
    return targets


def read_image(image: str, host: str) -> Target:
    """ValueError says what is wrong with it."""
    name = image.removeprefix(f"{host}/")
    first = name.partition("/")[0]
    if ecr_account(first) or _PORT.fullmatch(name):
        raise ValueError(f"is in another registry than {host}")
    match = _IMAGE.fullmatch(name)
    if not match:
        raise ValueError("must be REPOSITORY:TAG, as in docker-hub/library/nginx:1.27, with or without the registry")
    if match["digest"] and not match["tag"]:
        raise ValueError("needs a tag too: Amazon ECR does not fetch an image by its digest alone")
    return Target(match["repository"], match["tag"] or DEFAULT_TAG, match["digest"])


def fetch(client: Any, target: Target) -> str:
    """Pull the image through the cache, and those of its platforms; returns its digest."""
    image = _pull(client, target.repository, [{"imageTag": target.tag}])[0]
    digest = str(image["imageId"]["imageDigest"])
    if target.digest not in (None, digest):
        raise AnsibleECRError(
            f"{target.repository}:{target.tag} is {digest} now, not {target.digest}: correct the digest, or the tag",
            code="DigestMismatch",
        )
    children = children_of(image.get("imageManifest", ""))
    for start in range(0, len(children), IDS_IN_A_CALL):
        _pull(client, target.repository, [{"imageDigest": child} for child in children[start : start + IDS_IN_A_CALL]])
    return digest


def children_of(manifest: str) -> list[str]:
    """The digests of the images that a multi-arch image lists. Other images list none."""
    try:
        document = json.loads(manifest)
    except json.JSONDecodeError:
        return []
    return list(dict.fromkeys(child["digest"] for child in document.get("manifests") or []))


def _pull(client: Any, repository: str, ids: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    try:
        answer = api.batch_get_image(client, repository, ids)
    except AnsibleECRError as error:
        if error.code not in _REMEDIES:
            raise
        raise AnsibleECRError(f"{error}. {_REMEDIES[error.code]}", code=error.code) from error
    for failure in answer.get("failures") or []:
        raise _failure(repository, failure)
    images: list[dict[str, Any]] = answer["images"]
    return images


def _failure(repository: str, failure: Mapping[str, Any]) -> AnsibleECRError:
    code, image = str(failure.get("failureCode")), failure.get("imageId", {})
    name = f"{repository}:{image['imageTag']}" if "imageTag" in image else f"{repository}@{image.get('imageDigest')}"
    remedy = f". {_REMEDIES[code]}" if code in _REMEDIES else ""
    return AnsibleECRError(f"Failed to fetch {name}: {failure.get('failureReason')} ({code}){remedy}", code=code)


# ------------------------------------------------------------------ what is there


def _cached_tags(client: Any, targets: Any, parallel: int) -> dict[str, Outcome[dict[str, str]]]:
    repositories = list(dict.fromkeys(target.repository for target in targets))
    outcomes = run_each(repositories, lambda name: api.list_tags(client, name) or {}, parallel)
    return {outcome.name: outcome for outcome in outcomes}


def _is_cached(target: Target, tags: Outcome[dict[str, str]]) -> bool:
    digest = (tags.result or {}).get(target.tag)
    return digest is not None and target.digest in (None, digest)


def _usable(tags: Outcome[dict[str, str]]) -> dict[str, str]:
    if tags.error:
        raise tags.error
    return tags.result or {}


def _state(digest: str | None) -> dict[str, Any]:
    return {"cached": digest is not None, "digest": digest}


def _upstreams(client: Any) -> dict[str, str]:
    """The upstream of each rule, by prefix; nothing where the rule puts a prefix before the names."""
    rules = [rule_from_ecr(document) for document in list_rules(client)]
    return {rule["prefix"]: rule["upstream"] if rule["upstream_repository_prefix"] == ROOT else "" for rule in rules}


def _check_upstream(target: Target, prefixes: Mapping[str, str], settings: Settings) -> None:
    """What would fail in a way that says little."""
    prefix = longest_prefix(prefixes, target.repository)
    if prefix is None and settings.check_mode:
        return  # the rule may be one of the things that a real run makes first
    if prefix is None:
        text = f"No pull-through cache rule covers {target.repository}. Create one, or correct the name"
        raise AnsibleECRError(text, code="NoPullThroughCacheRule")
    name = target.repository if prefix == ROOT else target.repository.removeprefix(f"{prefix}/")
    if prefixes[prefix] == DOCKER_HUB and "/" not in name:
        full_name = target.repository.removesuffix(name) + OFFICIAL + name
        raise AnsibleECRError(
            f"Docker Hub keeps its official images in {OFFICIAL}, so this one is {full_name}:{target.tag}",
            code="OfficialImage",
        )
