# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of each image, in the shape in which modules return it. The shape never depends on what happened.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Action, Traffic

Kind = Literal["image", "referrer"]

FAILURES_IN_MESSAGE = 10
GO_ON = "Run the same again to go on: what is there is complete, and is not copied again."
_COUNTED_AS: Mapping[Action, str] = {
    "up_to_date": "up_to_date",
    "copy": "copied",
    "skip": "skipped",
    "refuse": "refused",
    "defer": "deferred",
    "fail": "failed",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag or digest, and what became of it; in check mode, what would.

    `tag` is None for what has only a digest, and where no tag was found to be selected. `digest` is that in the
    destination, None where there is none or it cannot be known before; `previous_digest` is what was replaced.
    """

    source: str
    destination: str
    repository: str
    tag: str | None
    action: Action
    reason: str
    kind: Kind = "image"
    transport: str = "direct"
    recipe: str = ""
    source_digest: str | None = None
    digest: str | None = None
    previous_digest: str | None = None
    notes: tuple[str, ...] = ()
    traffic: Traffic | None = None
    seconds: float = 0.0
    error_code: str = ""

    @property
    def changed(self) -> bool:
        return self.action == "copy"

    @property
    def has_failed(self) -> bool:
        return self.action in ("refuse", "fail")

    def as_dict(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "source": self.source,
            "destination": self.destination,
            "repository": self.repository,
            "tag": self.tag,
            "kind": self.kind,
            "transport": self.transport,
            "recipe": self.recipe,
            "source_digest": self.source_digest,
            "digest": self.digest,
            "previous_digest": self.previous_digest,
            "action": self.action,
            "changed": self.changed,
            "reason": self.reason,
            "notes": list(self.notes),
            "bytes": _bytes(self.traffic) if self.traffic else None,
            "seconds": round(self.seconds, 3),
        }
        if self.has_failed:
            entry["error"] = {"msg": self.reason, "code": self.error_code}
        return entry


@dataclass(frozen=True)
class Report:
    """All of a run, in the order in which it was wished for. `warnings` are for the user in any case.

    `interrupted`: it was to end early.
    """

    registry: str
    images: Sequence[Entry]
    repositories_created: Sequence[str] = ()
    rate_limit: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.repositories_created) or any(entry.changed for entry in self.images)

    @property
    def failure(self) -> str:
        """The message to fail with, empty if nothing failed."""
        if self.interrupted:
            done = sum(entry.action in ("copy", "up_to_date") for entry in self.images)
            return f"The run was interrupted when {done} of {len(self.images)} images were done. {GO_ON}"
        failed = [entry for entry in self.images if entry.has_failed]
        if not failed:
            return ""
        listed = [f"{entry.source} -> {entry.destination}: {entry.reason}" for entry in failed[:FAILURES_IN_MESSAGE]]
        more = len(failed) - len(listed)
        return f"Failed for {len(failed)} of {len(self.images)} images. " + "; ".join(
            [*listed, *([f"and {more} more"] if more else [])]
        )

    def totals(self, requests: Mapping[str, int] | None = None) -> dict[str, Any]:
        counts = dict.fromkeys(_COUNTED_AS.values(), 0)
        traffic = Traffic()
        for entry in self.images:
            counts[_COUNTED_AS[entry.action]] += 1
            if entry.traffic:
                traffic.moved += entry.traffic.moved
                traffic.reused += entry.traffic.reused
                traffic.mounted += entry.traffic.mounted
        return {
            "images": len(self.images),
            **counts,
            "bytes": _bytes(traffic),
            "seconds": round(self.seconds, 3),
            "requests": None if requests is None else dict(requests),
        }

    def as_result(self, requests: Mapping[str, int] | None = None) -> dict[str, Any]:
        """For exit_json and fail_json. `requests` is how often each registry was asked, if that was counted."""
        return {
            "changed": self.changed,
            "images": [entry.as_dict() for entry in self.images],
            "totals": self.totals(requests),
            "rate_limit": {registry: dict(limit) for registry, limit in self.rate_limit.items()},
            "repositories_created": list(self.repositories_created),
            "actions": [
                *(f"create the repository {name}" for name in self.repositories_created),
                *(f"copy {entry.source} to {entry.destination}" for entry in self.images if entry.changed),
            ],
        }

    def diff(self) -> dict[str, str]:
        """For diff mode: the tags and digests of the destination that change, before and after.

        What Ansible prints as it is, below them, says what that costs, and what does not come about and why.
        """
        changed = [entry for entry in self.images if entry.changed]
        before = [_line(entry, entry.previous_digest) for entry in changed if entry.previous_digest]
        after = [_line(entry, entry.digest or f"made of {entry.source_digest}") for entry in changed]
        return {
            "before_header": self.registry,
            "after_header": self.registry,
            "before": "".join(sorted(before)),
            "after": "".join(sorted(after)),
            "prepared": "".join(map(_told, self.images)),
        }


def error_code(error: Exception) -> str:
    """The registry's own code for programs, else the name of what went wrong."""
    return str(getattr(error, "code", "") or type(error).__name__)


def _line(entry: Entry, digest: str) -> str:
    name = f"{entry.repository}:{entry.tag}" if entry.tag else entry.repository
    return f"{name} {digest}\n"


def _told(entry: Entry) -> str:
    name = entry.destination.partition("/")[2]
    if entry.action in ("refuse", "fail", "defer"):
        return f"{entry.action} {name}: {' '.join(entry.reason.split())}\n"
    if entry.action != "copy" or entry.traffic is None:
        return ""
    there = entry.traffic.reused + entry.traffic.mounted
    return f"copy {name}: {entry.traffic.moved:,} bytes to move, {there:,} there already\n"


def _bytes(traffic: Traffic) -> dict[str, int]:
    return {"moved": traffic.moved, "reused": traffic.reused, "mounted": traffic.mounted}
