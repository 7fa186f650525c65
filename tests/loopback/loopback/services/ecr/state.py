"""What ECR remembers: registries (one an account and region) of repositories, rules, templates and settings."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from loopback import aws, cloud
from loopback.blobs import BlobStore
from loopback.clock import clock
from loopback.errors import AwsError, invalid_parameter

Json = dict[str, Any]
T = TypeVar("T")

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGE_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
)


@dataclass
class Image:
    """A manifest, as the exact bytes that were pushed."""

    digest: str
    raw: bytes
    media_type: str
    size: int  # of its layers; of the largest child for an index
    artifact_type: str | None = None
    subject: str | None = None
    annotations: dict[str, str] | None = None
    pushed_at: float = field(default_factory=clock.now)
    pulled_at: float | None = None

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES


@dataclass
class Repository:
    account: str
    region: str
    name: str
    mutability: str = "MUTABLE"
    exclusion_filters: list[Json] = field(default_factory=list)
    scanning: Json = field(default_factory=lambda: {"scanOnPush": False})
    encryption: Json = field(default_factory=lambda: {"encryptionType": "AES256"})
    resource_tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    lifecycle: str | None = None
    preview: Any = None  # the lifecycle dry run, if one was started
    images: dict[str, Image] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # tag -> digest
    layers: set[str] = field(default_factory=set)
    checked_upstream: dict[str, float] = field(default_factory=dict)  # tag -> when, for pull-through
    cached: bool = False  # made by a pull-through rule
    created_at: float = field(default_factory=clock.now)

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.name}"

    def immutable(self, tag: str) -> bool:
        """Whether an existing `tag` may not be moved."""
        excluded = any(matches(f["filter"], tag) for f in self.exclusion_filters)
        return {
            "MUTABLE": False,
            "IMMUTABLE": True,
            "IMMUTABLE_WITH_EXCLUSION": not excluded,
            "MUTABLE_WITH_EXCLUSION": excluded,
        }[self.mutability]

    def tags_of(self, digest: str) -> list[str]:
        return sorted(tag for tag, target in self.tags.items() if target == digest)

    def find(self, tag: str | None = None, digest: str | None = None) -> Image | None:
        """The image by tag, by digest, or by both if they agree."""
        wanted = self.tags.get(tag) if tag else digest
        if wanted is None or (digest and digest != wanted):
            return None
        return self.images.get(wanted)


@dataclass
class Registry:
    account: str
    region: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)  # pull-through, by prefix without trailing slash
    templates: dict[str, Json] = field(default_factory=dict)
    policy: str | None = None
    scanning: Json = field(default_factory=lambda: {"scanType": "BASIC", "rules": []})
    replication: Json = field(default_factory=lambda: {"rules": []})
    settings: dict[str, str] = field(default_factory=dict)
    exclusions: dict[str, float] = field(default_factory=dict)  # principal -> when, for pull times

    def repository(self, name: str) -> Repository:
        found = self.repositories.get(name)
        if found is None:
            raise AwsError("RepositoryNotFoundException", missing_repository(name, self.account))
        return found


_registries: dict[tuple[str, str], Registry] = {}
_blobs: list[BlobStore] = []


def registry(account: str | None = None, region: str | None = None) -> Registry:
    """The registry of the call being handled, or the one named."""
    key = (account or aws.account(), region or aws.region())
    return _registries.setdefault(key, Registry(*key))


def blobs() -> BlobStore:
    """Layers and configurations of all registries."""
    if not _blobs:
        _blobs.append(BlobStore(cloud.running().settings.directory / "ecr"))
    return _blobs[0]


def reset() -> None:
    _registries.clear()
    for store in _blobs:
        store.reset()


def repository_policy_for_arn(arn: str) -> tuple[str, str] | None:
    """(policy, owner account) for ministack's IAM evaluation; None where there is no such repository."""
    parts = arn.split(":", 5)
    found = registry(parts[4], parts[3]).repositories.get(parts[5].removeprefix("repository/"))
    return None if found is None else (found.policy or "", found.account)


def missing_repository(name: str, account: str) -> str:
    return f"The repository with name '{name}' does not exist in the registry with id '{account}'"


def matches(pattern: str, text: str) -> bool:
    """ECR's wildcard: `*` is any run of characters, nothing else is special."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def longest_prefix(table: Mapping[str, T], name: str) -> tuple[str, T] | None:
    """The entry of the longest prefix that covers repository `name`; ROOT covers what nothing else does."""
    covering = [prefix for prefix in table if prefix != "ROOT" and name.startswith(f"{prefix}/")]
    if covering:
        best = max(covering, key=len)
        return best, table[best]
    return ("", table["ROOT"]) if "ROOT" in table else None


def page(items: list[Any], request: Json, key: str, default: int = 100) -> Json:
    """One page of a list, with nextToken where more follows."""
    token = request.get("nextToken") or "0"
    if not token.isdigit():
        raise invalid_parameter("nextToken", "Invalid token")
    start = int(token)
    size = request.get("maxResults") or default
    answer: Json = {key: items[start : start + size]}
    if start + size < len(items):
        answer["nextToken"] = str(start + size)
    return answer
