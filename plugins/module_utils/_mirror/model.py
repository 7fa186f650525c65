# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words in which a mirror run is spoken of: what is wished for, what was found, what is to be done, what was done.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import Selection
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

TransportName = Literal["docker", "direct"]
OnMovedTag = Literal["fail", "skip", "new_tag"]
Action = Literal["up_to_date", "copy", "skip", "refuse", "defer", "fail"]

# The record of an image whose digest cannot be that of its source.
SOURCE_DIGEST = "dev.stevedore.source.digest"
RECIPE = "dev.stevedore.recipe"


class MirrorError(Exception):
    """Something that stops one image, for a reason that the user can do something about. Never a secret in it."""


class RepositoryMissingError(MirrorError):
    """The destination has no such repository."""


class InterruptedRunError(MirrorError):
    """The run is to end before this is done."""


class UnavailableError(MirrorError):
    """The destination cannot be used at all, such as for wrong credentials: nothing more is begun."""


@dataclass(frozen=True)
class Wish:
    """One entry of the list of images: a repository, and what of it is wanted where and how.

    `tags`: for each tag or digest to be in the destination, which one of the source it is. Those that `selection` finds
    keep their names. `require_match`: it is an error if it finds none.
    """

    source: Reference
    repository: str
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    selection: Selection | None = None
    platforms: tuple[Platform, ...] = ()
    transport: TransportName = "direct"
    on_moved_tag: OnMovedTag = "fail"
    referrers: bool = False
    dockerfile: tuple[str, ...] = ()
    require_match: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One tag of a wish: from where, to where.

    `source` has a tag or a digest. So has `destination`: a digest without a tag for what is only referred to.
    """

    wish: Wish
    source: Reference
    destination: Reference


@dataclass(frozen=True, slots=True)
class Present:
    """What the destination has under a tag or digest.

    `config` is the digest of an image's configuration; `children` are those of an index.
    """

    digest: Digest
    media_type: str
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    config: Digest | None = None
    children: tuple[Digest, ...] = ()

    @property
    def source_digest(self) -> str:
        """Of which source this was made, if that was recorded."""
        return self.annotations.get(SOURCE_DIGEST, "")

    @property
    def recipe(self) -> str:
        return self.annotations.get(RECIPE, "")


@dataclass(frozen=True, slots=True)
class Task:
    """One tag to bring over, all decided: what exactly (`found` is the source's answer to HEAD), and how recorded.

    `recipe` is empty where the destination gets the source's very bytes. `immutable`: the tag can be written once only.
    `create_repository`: it is not there when the task is prepared; run.py makes it, once, before the task is executed.
    """

    item: Item
    found: Descriptor
    recipe: str = ""
    immutable: bool = False
    create_repository: bool = False


@dataclass
class Traffic:
    """Bytes of blobs: that crossed the wire, that were in the repository already, that the registry mounted."""

    moved: int = 0
    reused: int = 0
    mounted: int = 0


@dataclass(frozen=True)
class Copied:
    """What a transport has published."""

    digest: Digest
    traffic: Traffic
    notes: tuple[str, ...] = ()


class Prepared(Protocol):
    """A task of which is known what it costs.

    `traffic` is expected, None where finding out would cost a pull. `notes` are for the user.
    """

    @property
    def task(self) -> Task: ...

    @property
    def traffic(self) -> Traffic | None: ...

    @property
    def notes(self) -> Sequence[str]: ...


class PartlyKnownError(MirrorError):
    """Some of the tags and digests that were asked for could not be looked at; what there is of the others is found."""

    def __init__(self, found: Mapping[str, Present], failed: Mapping[str, MirrorError]) -> None:
        first = next(iter(failed.values()))
        super().__init__(str(first))
        self.code = getattr(first, "code", "")
        self.found, self.failed = found, failed


class Budget(Protocol):
    """The pulls that may still be made of a registry."""

    def take(self, registry: str, pulls: int) -> None:
        """Raises Deferred if there are not so many left."""


class Deferred(MirrorError):
    """There are not enough pulls left for this image."""


class Transport(Protocol):
    """A way to execute tasks, for any number of threads."""

    def prepare(self, task: Task, *, check_mode: bool) -> Prepared:
        """Find out what is to be moved. Writes nothing, moves no layer. Reads manifests, so it may cost pulls."""

    def execute(self, prepared: Prepared) -> Copied:
        """Bring it over. The tag is written last, when all that it stands for is there."""

    def close(self) -> None: ...


class Source(Protocol):
    """What is asked of the registries that images come from; `_oci.client.Client` is one."""

    def expect(self, references: Iterable[Reference], *, push: bool = False) -> None: ...

    def head_manifest(self, ref: Reference) -> Descriptor: ...

    def get_manifest(self, ref: Reference) -> Document: ...

    def list_tags(self, ref: Reference) -> Iterable[str]: ...

    def referrers(self, ref: Reference, digest: Digest) -> Sequence[Descriptor]: ...

    def rate_limit(self, registry: str) -> RateLimit | None: ...


class Destination(Protocol):
    """What is asked of the one registry that images go to, apart from taking content. By many threads at once.

    What goes wrong is a MirrorError or OciError, and an UnavailableError where every other image would meet it too.
    """

    @property
    def registry(self) -> str:
        """Its host, as in references."""

    def look_up(self, repositories: Iterable[str]) -> None:
        """Learn about all repositories of the run at once. Called once, before anything else."""

    def exists(self, repository: str) -> bool: ...

    def is_immutable(self, repository: str, tag: str) -> bool:
        """Whether a tag can be written once only; of a repository that is not there yet, as it would be made."""

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        """What there is of these tags and digests; what there is not is left out. Any number of them.

        A PartlyKnownError where some of several could not be looked at.
        """

    def missing_blobs(self, repository: str, blobs: Sequence[Digest]) -> set[Digest] | None:
        """Which of these blobs the repository has not. None where the registry tells no cheaper than by an upload."""

    def create(self, repository: str) -> bool:
        """Make the repository, with the settings that new ones get. False if somebody else has, which is fine."""

    def may_mount(self) -> bool:
        """Whether the registry takes blobs from its other repositories."""
