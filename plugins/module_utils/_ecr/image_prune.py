# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags of a mirror that nobody asks for any more.

Private to this collection: may change in any release.

Only tags are deleted, and with its last tag an image. What has no tag is never touched: neither the children of a
multi-arch image nor what refers to an image by its digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_cache, api_prune, api_registry
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.cache_warming import children_of
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.images import IDS_IN_A_CALL
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.globs import Glob, GlobError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.patterns import RegexError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import natural_key
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import DOCKER_LIST, OCI_INDEX

UNFINISHED = ("fail", "refuse", "defer")
EXAMPLES_IN_MESSAGE = 3
REFERRED_TO = "ImageReferencedByManifestList"
GONE = "ImageNotFound"

# What belongs to the image with this digest: cosign's signatures, attestations and SBOMs, and OCI's list of referrers.
_DIGEST_TAG = re.compile(r"(?P<algorithm>sha256|sha512)-(?P<hex>[0-9a-f]{64,128})(\..*)?")
# What on_moved_tag=new_tag adds to a tag, as far as that fits.
_DIGITS = 12
_ROOM = 128 - _DIGITS - 1
_MOVED_TAG = re.compile(rf"(?P<tag>.+)-[0-9a-f]{{{_DIGITS}}}")


@dataclass(frozen=True)
class Wanted:
    """What of a repository has to stay. `moved` are tags that cannot be changed, so that their source got others."""

    tags: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Image:
    digest: str
    tags: Sequence[str]
    is_index: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Unwanted:
    """A tag to delete. `with_image`: after this tag and others that go too, the image has none."""

    tag: str
    image: Image
    with_image: bool


@dataclass(frozen=True)
class Plan:
    """`spared` are tags that nobody asks for either, and why they stay."""

    unwanted: Sequence[Unwanted]
    spared: Mapping[str, str]


# ------------------------------------------------------------------ what is wanted


def wanted_by(images: Sequence[Mapping[str, Any]]) -> dict[str, Wanted]:
    """By repository, what a mirror run was asked for. Raises where that is not all that was wished for.

    A tag that could not be found, or a list of tags that came back empty, is no reason to delete its copies.
    """
    _check_finished(images)
    wanted: dict[str, Wanted] = {}
    for image in images:
        here = wanted.setdefault(str(image.get("repository")), Wanted())
        if image.get("tag"):
            here.tags.add(str(image["tag"]))
            ending = f"-{str(image.get('source_digest')).partition(':')[2][:_DIGITS]}"
            if len(ending) > _DIGITS and str(image["tag"]).endswith(ending):
                here.moved.add(str(image["tag"]).removesuffix(ending))
        else:
            here.digests.update(str(image[key]) for key in ("digest", "source_digest") if image.get(key))
    return wanted


def _check_finished(images: Sequence[Mapping[str, Any]]) -> None:
    if not images:
        raise AnsibleECRError("Nothing is pruned: the list of images is empty", code="NothingMirrored")
    unfinished = [image for image in images if image.get("action") in UNFINISHED]
    if unfinished:
        raise AnsibleECRError(
            f"Nothing is pruned: {len(unfinished)} of {len(images)} images could not be brought over, "
            f"{_examples(unfinished)}. Run again when they can be",
            code="MirrorUnfinished",
        )
    empty = [image for image in images if not (image.get("tag") or image.get("digest") or image.get("source_digest"))]
    if empty:
        raise AnsibleECRError(
            f"Nothing is pruned: nothing was selected of {_examples(empty)}. Correct the selection, or remove it",
            code="NothingSelected",
        )


def _examples(images: Sequence[Mapping[str, Any]]) -> str:
    named = ", ".join(str(image.get("source")) for image in images[:EXAMPLES_IN_MESSAGE])
    more = len(images) - EXAMPLES_IN_MESSAGE
    return f"{named} and {more} more" if more > 0 else named


def read_protected(patterns: Sequence[str]) -> list[Glob]:
    """Raises with all problems."""
    globs, problems = [], []
    for index, pattern in enumerate(patterns):
        try:
            globs.append(Glob.parse(pattern))
        except (GlobError, RegexError) as error:
            problems.append(f"protect[{index}]: {pattern!r}: {error}")
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidGlob")
    return globs


# ------------------------------------------------------------------ what goes


def plan(
    images: Sequence[Image],
    wanted: Wanted,
    protected: Sequence[Glob],
    children: Callable[[Sequence[Image]], Mapping[str, Collection[str]]],
) -> Plan:
    """What goes of a repository with these images. `children` says what multi-arch images list, and may cost a call.

    What a multi-arch image lists that stays has to stay too, and may itself be one, or have signatures.
    """
    spared = {tag: why for image in images for tag in image.tags if (why := _why_spared(tag, image, wanted, protected))}
    kept = {*wanted.tags, *spared}
    lists: dict[str, Collection[str]] = {}
    while True:
        gone = _unneeded(images, kept)
        deleted = {image.digest for image in images if image.tags and gone.issuperset(image.tags)}
        staying = [image for image in images if image.is_index and image.digest not in deleted]
        unread = [image for image in staying if image.digest not in lists]
        if deleted and unread:
            lists.update(children(unread))
        needed = deleted.intersection(child for image in staying for child in lists.get(image.digest, ()))
        if not needed:
            break
        tags = [tag for image in images if image.digest in needed for tag in image.tags]
        spared.update(dict.fromkeys(tags, "a multi-arch image that stays lists it"))
        kept.update(tags)
    unwanted = [Unwanted(tag, image, image.digest in deleted) for image in images for tag in image.tags if tag in gone]
    return Plan(sorted(unwanted, key=lambda one: natural_key(one.tag)), dict(sorted(spared.items())))


def _unneeded(images: Sequence[Image], kept: Collection[str]) -> set[str]:
    """Ordinary tags that need not be kept, and those that belong to images which then have none."""
    ordinary = {tag for image in images for tag in image.tags if tag not in kept and not _subject(tag)}
    going = {image.digest for image in images if image.tags and ordinary.issuperset(image.tags)}
    return ordinary | {tag for image in images for tag in image.tags if tag not in kept and _subject(tag) in going}


def _why_spared(tag: str, image: Image, wanted: Wanted, protected: Sequence[Glob]) -> str:
    """Why a tag stays that is not asked for; empty if nothing speaks for it, or if it is asked for."""
    if tag in wanted.tags:
        return ""
    if image.digest in wanted.digests:
        return "its digest is asked for"
    glob = next((glob for glob in protected if glob.matches(tag)), None)
    if glob:
        return f"protected by {glob.text}"
    moved = _MOVED_TAG.fullmatch(tag)
    if tag[:_ROOM] in wanted.moved or (moved and moved["tag"] in wanted.moved):
        return "it cannot be changed, and its source has moved on"
    return ""


def _subject(tag: str) -> str:
    """The digest of the image that a tag belongs to; empty for an ordinary tag."""
    match = _DIGEST_TAG.fullmatch(tag)
    return f"{match['algorithm']}:{match['hex']}" if match else ""


# ------------------------------------------------------------------ against ECR


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    protected: Sequence[Glob]
    check_mode: bool
    parallel: int


def prune(client: Any, wanted: Mapping[str, Wanted], settings: Settings) -> list[Outcome[Change]]:
    """Delete what nobody asks for, of the repositories that something is asked of, and of no others."""

    def work(repository: str) -> tuple[Change, AnsibleECRError | None]:
        images = _images(client, repository)
        todo = plan(images, wanted[repository], settings.protected, lambda lists: _children(client, repository, lists))
        if settings.check_mode:
            return _change(repository, images, todo, {one.tag for one in todo.unwanted}, is_done=False), None
        failures = _delete(client, repository, [one.tag for one in todo.unwanted])
        gone = {one.tag for one in todo.unwanted} - set(failures)
        return _change(repository, images, todo, gone, is_done=True), _error(failures)

    return [
        Outcome(done.name, *done.result) if done.result else Outcome(done.name, error=done.error)
        for done in run_each(sorted(wanted), work, settings.parallel)
    ]


def _images(client: Any, repository: str) -> list[Image]:
    """All of them, those without a tag included; none where there is no such repository."""
    try:
        found = api_registry.describe_all_images(client, repository, "ANY")
    except AnsibleECRError as error:
        if error.code == "RepositoryNotFoundException":
            return []
        raise
    return [
        Image(
            digest=image["imageDigest"],
            tags=image.get("imageTags", []),
            is_index=image.get("imageManifestMediaType") in (OCI_INDEX, DOCKER_LIST),
            size=image.get("imageSizeInBytes"),
        )
        for image in found
    ]


def _children(client: Any, repository: str, lists: Sequence[Image]) -> dict[str, list[str]]:
    ids = [{"imageDigest": image.digest} for image in lists]
    answers = [
        api_cache.batch_get_image(client, repository, ids[start : start + IDS_IN_A_CALL])
        for start in range(0, len(ids), IDS_IN_A_CALL)
    ]
    found = [image for answer in answers for image in answer["images"]]
    return {image["imageId"]["imageDigest"]: children_of(image["imageManifest"]) for image in found}


def _delete(client: Any, repository: str, tags: Sequence[str]) -> dict[str, str]:
    """Why each tag is still there that could not be deleted.

    Amazon ECR refuses what a multi-arch image lists as long as that is there: such tags are tried again after it.
    """
    left: dict[str, str] = {}
    pending = list(tags)
    while pending:
        failures = _failures(client, repository, pending)
        waiting = [tag for tag in pending if failures.get(tag, {}).get("failureCode") == REFERRED_TO]
        is_stuck = len(waiting) == len(pending)
        for tag, failure in failures.items():
            if failure.get("failureCode") != GONE and (is_stuck or tag not in waiting):
                left[tag] = f"{failure.get('failureReason')} ({failure.get('failureCode')})"
        pending = [] if is_stuck else waiting
    return left


def _failures(client: Any, repository: str, tags: Sequence[str]) -> dict[str, dict[str, Any]]:
    batches = [tags[start : start + IDS_IN_A_CALL] for start in range(0, len(tags), IDS_IN_A_CALL)]
    answers = [api_prune.delete_tags(client, repository, batch) for batch in batches]
    return {str(failure["imageId"].get("imageTag")): failure for answer in answers for failure in answer}


def _error(failures: Mapping[str, str]) -> AnsibleECRError | None:
    if not failures:
        return None
    listed = "; ".join(f"{tag}: {why}" for tag, why in sorted(failures.items()))
    return AnsibleECRError(f"Failed to delete {len(failures)} tags: {listed}", code="TagsNotDeleted")


def _change(repository: str, images: Sequence[Image], todo: Plan, gone: Collection[str], *, is_done: bool) -> Change:
    before = sorted((tag for image in images for tag in image.tags), key=natural_key)
    return Change(
        before=before,
        after=[tag for tag in before if tag not in gone],
        actions=[
            f"delete the tag {repository}:{one.tag}{' and its image' if one.with_image else ''}"
            for one in todo.unwanted
            if one.tag in gone
        ],
        details={
            "tags": [
                {
                    "tag": one.tag,
                    "digest": one.image.digest,
                    "size_in_bytes": one.image.size,
                    "deletes_image": one.with_image,
                    "deleted": is_done and one.tag in gone,
                }
                for one in todo.unwanted
            ],
            "spared": [{"tag": tag, "why": why} for tag, why in todo.spared.items()],
        },
    )
