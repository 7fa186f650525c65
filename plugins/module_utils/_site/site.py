# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired-state file: which images, which way each comes, and what each role is to do about it. Asks nobody.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DEFAULT_TAG, Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._site import variables
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import (
    CACHE,
    ROLES,
    WAYS,
    Document,
    SiteError,
    read_document,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.upstreams import Upstreams
from ansible_collections.stevedore.ecr.plugins.module_utils._site.ways import Choice, choose

__all__ = ["ROLES", "WAYS", "Site", "SiteError", "SiteImage", "read"]


@dataclass(frozen=True)
class SiteImage:
    """One entry of `images`.

    place: where it stands in the file, such as images[3].
    way: cache, mirror, clone or sync. reason: why, as a sentence without a full stop.
    source: registry and repository, without tag and digest.
    entry: what the file says of it, as a mapping, without `via`.
    wish: what of the repository is wanted, and what it is called in one's own registry. For a cached image, wish.tags
    are those that are named, and wish.repository is the one of the cache.
    """

    place: str
    way: str
    reason: str
    entry: Mapping[str, Any]
    wish: Wish

    @property
    def source(self) -> Reference:
        return self.wish.source

    @property
    def keeps_digests(self) -> bool:
        """Whether the copy is the same to the byte, so that a digest of the source finds it."""
        if self.way == CACHE:
            return True
        return self.wish.transport == "direct" and not self.wish.platforms and not self.wish.dockerfile


@dataclass(frozen=True)
class Site:
    """A file that makes sense.

    registry: the host of one's own Amazon ECR. region: what the file says, or nothing.
    images: in the order of the file. upstreams: what is cached, with those that images brought in.
    """

    registry: str
    region: str
    images: Sequence[SiteImage]
    upstreams: Upstreams
    document: Document

    @property
    def ways(self) -> list[str]:
        """Those that have something to do."""
        return [way for way in WAYS if self._has_work(way)]

    def variables(self, way: str) -> dict[str, Any]:
        """The variables of the role of a way, with their whole names; nothing where it has nothing to do.

        Logins are in them: show them to nobody.
        """
        if not self._has_work(way):
            return {}
        given = variables.of_way(way, self.document, self.upstreams, self._coming_by(way))
        return {f"{ROLES[way]}_{name}": value for name, value in given.items()}

    def address(self, reference: str) -> str | None:
        """Where an image is to be found in one's own registry; None if nothing here covers it.

        Of an upstream that is cached, that is every image. Else it has to be declared: by its tag, by its digest, or by
        a selection that its tag matches (how many of those stay is not looked at). An image without tag is `latest`.
        By a digest it is covered only where the copy has the same one.
        What is in one's own registry already is where it is. A reference that is none is covered by nothing.
        """
        try:
            image = Reference.parse(reference)
        except InvalidReferenceError:
            return None
        if image.registry == self.registry:
            return reference
        for one in self.images:
            if one.way != CACHE and one.source.name == image.name:
                name = _copied_as(one, image)
                if name:
                    return f"{self.registry}/{one.wish.repository}{name}"
        return self.upstreams.address(image, self.registry)

    def addresses(self) -> dict[str, str]:
        """By what is named in the file, tag by tag: where it is to be found."""
        found: dict[str, str] = {}
        for one in self.images:
            for name, identifier in one.wish.tags.items():
                said = _identified(one.source, identifier)
                found[str(said)] = f"{self.registry}/{one.wish.repository}{_joint(name)}{name}"
        return found

    def _coming_by(self, way: str) -> list[tuple[Mapping[str, Any], Wish]]:
        return [(one.entry, one.wish) for one in self.images if one.way == way]

    def _has_work(self, way: str) -> bool:
        if self._coming_by(way) or self.document.section(way).get("state") == "absent":
            return True
        return way == CACHE and bool(self.upstreams.given)


def read(document: Any, registry: str, *, region: str = "") -> Site:
    """The site that a file describes. Raises SiteError with all problems, each beginning with its place.

    registry: the host of one's own Amazon ECR, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com.
    region: that of the registry. Without it, the host has to tell.
    """
    problems: list[str] = []
    site = read_as_far(document, registry, problems, region=region)
    if problems:
        raise SiteError(problems)
    return site


def read_as_far(document: Any, registry: str, problems: list[str], *, region: str = "") -> Site:
    """The same, of what makes sense. Adds to `problems` what does not."""
    whole = read_document(document, problems)
    upstreams = Upstreams.read(whole, registry, region)
    images = []
    for entry in whole.entries:
        chosen = choose(entry, whole, upstreams, problems)
        if chosen is None:
            continue
        upstreams = chosen.upstreams
        images.append(_image(entry.place, chosen))
    problems += variables.contradictions(images)
    return Site(registry, whole.region, images, upstreams, whole)


def _image(place: str, chosen: Choice) -> SiteImage:
    return SiteImage(place, chosen.way, chosen.reason, chosen.entry, chosen.wish)


# ------------------------------------------------------------------ where a copy is


def _copied_as(one: SiteImage, image: Reference) -> str:
    """What of the copied repository an image is, as it is written after its name; empty if it is none of it."""
    if image.digest is not None:
        return _by_digest(one, image, image.digest)
    tag = image.tag or DEFAULT_TAG
    for name, identifier in one.wish.tags.items():
        if identifier == tag:
            return f":{name}"
    selected = one.wish.selection is not None and one.wish.selection.select([tag])
    return f":{tag}" if selected else ""


def _by_digest(one: SiteImage, image: Reference, digest: Digest) -> str:
    """It stays pinned. By its tag alone it may be another image by now, and then the digest is nowhere."""
    for name, identifier in one.wish.tags.items():
        if identifier == str(digest) and one.keeps_digests:
            return f":{name}@{digest}" if image.tag and ":" not in name else f"@{digest}"
    return ""


def _joint(name: str) -> str:
    return "@" if ":" in name else ":"


def _identified(source: Reference, identifier: str) -> Reference:
    if ":" in identifier:
        return replace(source, digest=Digest.parse(identifier))
    return source.with_tag(identifier)
