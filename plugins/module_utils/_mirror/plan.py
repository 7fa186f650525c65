# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about one tag, now that both sides are known. Asks nobody.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Action, Item, Present, Task, Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor

ENGINE = "engine"
_MAX_TAG = 128
_DIGITS = 12
# What an entry of an index takes up, with the annotations that are usual.
_BYTES_PER_CHILD = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """`task` is there if something is to be copied, and then only."""

    action: Action
    reason: str
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is so about the place where a tag goes. `may_create`: repositories may be made.

    `may_skip`: where there is no repository, and none may be made, there is nothing to do.
    """

    exists: bool = True
    immutable: bool = False
    may_create: bool = False
    may_skip: bool = False


def recipe_of(wish: Wish, found: Descriptor) -> str:
    """How the copy comes to differ from the source, empty where it does not."""
    parts = []
    if wish.platforms and found.is_index:
        parts.append(f"platforms={','.join(map(str, wish.platforms))}")
    if wish.dockerfile:
        parts.append(dockerfile.recipe_of(wish.dockerfile))
    if wish.transport == "docker":
        parts.append(ENGINE)
    return ";".join(parts)


def decide(item: Item, found: Descriptor, present: Present | None, conditions: Conditions) -> Decision:
    """What `found` in the source, and what is `present` in the destination, come to."""
    recipe = recipe_of(item.wish, found)
    to = item.destination
    if not conditions.exists and not conditions.may_create and conditions.may_skip:
        return Decision("skip", f"the repository {to.repository} does not exist in {to.registry}, and none is created")
    if not conditions.exists and not conditions.may_create:
        return Decision(
            "refuse",
            f"the repository {to.repository} does not exist in {to.registry}: create it, or set create_repositories",
        )
    why = _why_up_to_date(found, recipe, present)
    if why:
        return Decision("up_to_date", why)
    if present and conditions.immutable:
        return _moved(item, found, present)
    task = Task(item, found, recipe, conditions.immutable, create_repository=not conditions.exists)
    return Decision("copy", _why_copy(found, recipe, present), task)


def wants_new_tag(item: Item, found: Descriptor, present: Present | None, conditions: Conditions) -> bool:
    """Whether the source is to get another tag, because the one that is wished for cannot be written again."""
    if item.wish.on_moved_tag != "new_tag" or not present or not conditions.immutable or item.destination.tag is None:
        return False
    return decide(item, found, present, conditions).action != "up_to_date"


def renamed(item: Item, found: Descriptor) -> Item:
    """The item under a tag that says which source it is. Should that have moved too, no other is tried."""
    digits = found.digest.encoded[:_DIGITS]
    tag = f"{(item.destination.tag or '')[: _MAX_TAG - _DIGITS - 1]}-{digits}"
    return replace(item, wish=replace(item.wish, on_moved_tag="fail"), destination=item.destination.with_tag(tag))


def may_be_proven_by_config(item: Item, found: Descriptor, present: Present | None, conditions: Conditions) -> bool:
    """Whether only the configuration can tell what this was made of: engines keep that, and may leave no record."""
    if not present or not present.config or present.source_digest or not conditions.immutable:
        return False
    unchanged = item.wish.transport == "docker" and not item.wish.dockerfile
    return unchanged and decide(item, found, present, conditions).action != "up_to_date"


def proven_by_config(present: Present, configs: Iterable[Digest]) -> Decision | None:
    """Up to date after all, if one of the source's configurations is that of the destination."""
    if not any(config == present.config for config in configs):
        return None
    return Decision("up_to_date", "the immutable tag has the configuration of the source")


def pulls_of(task: Task) -> int:
    """About how many pulls a task costs: one for each manifest, and one for the index that lists them."""
    wish = task.item.wish
    if not task.found.is_index:
        return 1
    if wish.transport == "docker":
        return 1 + max(1, len(wish.platforms))
    # Where an image was built with attestations, each platform has one.
    children = 2 * len(wish.platforms) if wish.platforms else task.found.size // _BYTES_PER_CHILD
    return 1 + max(1, children)


def _why_up_to_date(found: Descriptor, recipe: str, present: Present | None) -> str:
    """Empty if it is not."""
    if present is None:
        return ""
    if recipe in ("", ENGINE) and present.digest == found.digest:
        return "the digest is that of the source"
    if recipe and (present.source_digest, present.recipe) == (str(found.digest), recipe):
        return "made of this source digest in this way, as recorded"
    return ""


def _why_copy(found: Descriptor, recipe: str, present: Present | None) -> str:
    if present is None:
        return "not in the destination yet"
    was = present.source_digest or ("" if recipe else str(present.digest))
    if was and was != str(found.digest):
        return f"the source has moved from {was} to {found.digest}"
    if was:
        return f"to be made in another way: {recipe or 'as it is'}, instead of {present.recipe}"
    return f"{present.digest} in the destination has no record of what it was made of"


def _moved(item: Item, found: Descriptor, present: Present) -> Decision:
    to = item.destination
    made_of = f", made of {present.source_digest}," if present.source_digest else ""
    state = (
        f"the tag {to.tag} is immutable in {to.repository} and is {present.digest}{made_of} "
        f"while the source is {found.digest}"
    )
    if item.wish.on_moved_tag == "skip":
        return Decision("skip", f"{state}: left alone, as on_moved_tag says")
    return Decision(
        "refuse", f"{state}: set on_moved_tag to skip or new_tag, use another tag, or remove the one that is there"
    )
