# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What refers to an image and goes where it goes: signatures, attestations, lists of parts.

There are two ways to refer: the list of referrers that registries keep, and cosign's tags, named after a digest.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import ITEM_ERRORS, Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Deferred,
    Item,
    MirrorError,
    Source,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import ENGINE, recipe_of
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Index, select
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

_COSIGN = ("sig", "att", "sbom")
# A signature of an attestation of an image is the deepest that is in use.
_MAX_DEPTH = 3
_MAX_REFERRERS = 1000


class Referrers:
    """`digest_tags`: of repositories whose tags are known, those that are named after a digest."""

    def __init__(
        self, source: Source, budget: PullBudget, digest_tags: Mapping[str, frozenset[str]], *, check_mode: bool
    ) -> None:
        self._source, self._budget, self._digest_tags = source, budget, digest_tags
        self._check_mode = check_mode

    def find(self, pool: Executor, findings: Sequence[Finding]) -> list[Finding]:
        """Give images their referrers, those that are wished for. All that are new, to be judged."""
        images = [one for one in findings if one.item.wish.referrers and _is_or_will_be_there(one)]
        # Two tags of one image have the same ones, and a selection may have found some already.
        taken = {one.item.destination for one in findings}
        for image, found in zip(images, pool.map(self._of, images), strict=True):
            image.referrers = [one for one in found if one.error or one.item.destination not in taken]
            taken.update(one.item.destination for one in image.referrers)
        return [referrer for image in images for referrer in image.referrers]

    def _of(self, image: Finding) -> list[Finding]:
        """Each once, and none at all if not all can be found."""
        found: dict[Reference, Finding] = {}
        try:
            for referrer in self._referring(image):
                found.setdefault(referrer.item.destination, referrer)
                if len(found) > _MAX_REFERRERS:
                    raise _too_many()
        except ITEM_ERRORS as error:
            failed = Finding(_plainly(image.item, image.item.source, image.item.destination), "referrer")
            failed.fail(_explained(error))
            return [failed]
        return list(found.values())

    def _referring(self, image: Finding) -> Iterator[Finding]:
        asked: set[Digest] = set()
        for subject in self._subjects(image):
            if subject not in asked:
                yield from self._tagged(image.item, subject)
                yield from self._listed(image.item, subject, asked)

    def _subjects(self, image: Finding) -> Iterator[Digest]:
        """The digests that the source and the destination have both: only to them can anything refer."""
        item, found = image.item, image.found
        if found is None:
            return
        recipe = recipe_of(item.wish, found)
        if item.wish.dockerfile or ENGINE in recipe.split(";"):
            image.note("its referrers were left out: they are about the source, and this is another image")
            return
        if recipe:
            image.note("what refers to the image as a whole was left out: it has fewer platforms than that")
        else:
            yield found.digest
        if found.is_index:
            yield from self._children(image, found)

    def _children(self, image: Finding, found: Descriptor) -> Sequence[Digest]:
        item, present = image.item, image.present
        if present and image.decision and image.decision.action == "up_to_date" and present.children:
            return present.children
        if self._check_mode and self._budget.meters(item.source.registry):
            image.note("what refers to its single platforms would cost a pull to find out")
            return ()
        self._budget.take(item.source.registry, 1)
        index = self._source.get_manifest(item.source.with_digest(found.digest))
        if not isinstance(index, Index):
            return ()
        children = select(index, item.wish.platforms) if item.wish.platforms else index.children
        return [child.digest for child in children]

    def _tagged(self, item: Item, subject: Digest) -> Iterator[Finding]:
        """By cosign's tags."""
        known = self._digest_tags.get(item.source.name)
        for kind in _COSIGN:
            tag = f"{subject.algorithm}-{subject.encoded}.{kind}"
            if len(tag) > 128 or (known is not None and tag not in known):
                continue
            source, to = item.source.with_tag(tag), item.destination.with_tag(tag)
            try:
                yield Finding(_plainly(item, source, to), "referrer", self._source.head_manifest(source))
            except NotFound:
                continue

    def _listed(self, item: Item, subject: Digest, asked: set[Digest]) -> Iterator[Finding]:
        """By the registry's list, and what refers to those in turn. Of each it is asked once, however often listed."""
        below = [subject]
        for _depth in range(_MAX_DEPTH):
            subjects, below = [one for one in dict.fromkeys(below) if one not in asked], []
            asked.update(subjects)
            if len(asked) > _MAX_REFERRERS:
                raise _too_many()
            for digest in subjects:
                for referrer in self._source.referrers(item.source, digest):
                    source, to = item.source.with_digest(referrer.digest), item.destination.with_digest(referrer.digest)
                    yield Finding(_plainly(item, source, to), "referrer", _plain(referrer))
                    below.append(referrer.digest)


def _is_or_will_be_there(image: Finding) -> bool:
    return image.decision is not None and image.decision.action in ("copy", "up_to_date")


def _plainly(item: Item, source: Reference, to: Reference) -> Item:
    """Goes as it is, whatever is done to the image."""
    wish = item.wish
    own: Wish = replace(
        wish,
        platforms=(),
        transport="direct",
        on_moved_tag="skip" if wish.on_moved_tag == "new_tag" else wish.on_moved_tag,
        referrers=False,
        dockerfile=(),
    )
    return Item(own, source, to)


def _plain(listed: Descriptor) -> Descriptor:
    """Without what only the list says of it."""
    return Descriptor(listed.media_type, listed.digest, listed.size)


def _too_many() -> MirrorError:
    return MirrorError(f"there are more than {_MAX_REFERRERS}. Set referrers to false for this image")


def _explained(error: Exception) -> Exception:
    kind = Deferred if isinstance(error, Deferred) else MirrorError
    return kind(f"What refers to it was not copied: {error}")
