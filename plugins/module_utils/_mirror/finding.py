# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tag on its way through a run: what it is on both sides, what was decided, what came of it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Action,
    Copied,
    Deferred,
    InterruptedRunError,
    Item,
    MirrorError,
    Prepared,
    Present,
    Task,
    Traffic,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.plan import Conditions, Decision, recipe_of
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Entry, Kind, error_code
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import OciError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor

# What goes wrong with one item and is no reason to stop the others.
ITEM_ERRORS = (MirrorError, OciError)

NOT_ATTEMPTED = "not attempted"
NOT_FINISHED = "not finished"


@dataclass(slots=True)
class Finding:
    """`item` has no tag and no digest where nothing was found that is wished for.

    `configs` are those of the source, as far as they were read. `referrers` refer to it and go after it. `entry` is
    there as soon as it is final.
    """

    item: Item
    kind: Kind = "image"
    found: Descriptor | None = None
    present: Present | None = None
    conditions: Conditions = field(default_factory=Conditions)
    decision: Decision | None = None
    error: Exception | None = None
    configs: tuple[Digest, ...] = ()
    notes: tuple[str, ...] = ()
    referrers: list[Finding] = field(default_factory=list)
    entry: Entry | None = None

    @property
    def task(self) -> Task | None:
        """If it is to be copied."""
        return self.decision.task if self.decision else None

    def note(self, *notes: str) -> None:
        self.notes += tuple(note for note in notes if note not in self.notes)

    def fail(self, error: Exception) -> None:
        if isinstance(error, InterruptedRunError):
            self.decision = Decision("skip", f"{NOT_FINISHED}: {error}")
            return
        action: Action = "defer" if isinstance(error, Deferred) else "fail"
        self.decision, self.error = Decision(action, str(error)), error

    def leave(self, why: str) -> None:
        self.decision = Decision("skip", f"{NOT_ATTEMPTED}: {why}")

    def decided(self, seconds: float = 0.0) -> None:
        """Nothing is copied."""
        self.entry = self._entry(self.present.digest if self.present else None, None, seconds)

    def planned(self, prepared: Prepared) -> None:
        """It would be copied."""
        self.note(*prepared.notes)
        task = prepared.task
        self.entry = self._entry(None if task.recipe else task.found.digest, prepared.traffic, 0.0)

    def copied(self, copied: Copied, seconds: float) -> None:
        self.note(*copied.notes)
        self.entry = self._entry(copied.digest, copied.traffic, seconds)

    def _entry(self, digest: Digest | None, traffic: Traffic | None, seconds: float) -> Entry:
        item, found, present = self.item, self.found, self.present
        decision = self.decision or Decision("skip", NOT_ATTEMPTED)
        is_replaced = decision.task is not None and present is not None and present.digest != digest
        return Entry(
            source=str(item.source),
            destination=str(item.destination),
            repository=item.destination.repository,
            tag=item.destination.tag,
            action=decision.action,
            reason=decision.reason,
            kind=self.kind,
            transport=item.wish.transport,
            recipe=recipe_of(item.wish, found) if found else "",
            source_digest=str(found.digest) if found else None,
            digest=str(digest) if digest else None,
            previous_digest=str(present.digest) if is_replaced and present else None,
            notes=self.notes,
            traffic=traffic,
            seconds=seconds,
            error_code=_code(decision.action, self.error),
        )


def _code(action: Action, error: Exception | None) -> str:
    if error is not None:
        return error_code(error)
    return "Refused" if action == "refuse" else ""
