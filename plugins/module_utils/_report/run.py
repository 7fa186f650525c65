# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report tells of a run, whatever it is written in.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import counted, duration, plain, size

# What became of an image, worst first, and how it is called: after a run, and before one.
STATUSES = {
    "fail": ("failed", "would fail"),
    "refuse": ("refused", "would be refused"),
    "defer": ("deferred", "would be deferred"),
    "skip": ("skipped", "would be skipped"),
    "copy": ("copied", "would be copied"),
    "up_to_date": ("up to date", "up to date"),
}
AILING = ("fail", "refuse", "defer")


class ReportError(ValueError):
    """There is no report of this, for a reason that the user can do something about."""


@dataclass(frozen=True)
class Image:
    """An image, or what belongs to one, such as a signature. Bytes are None where a plan could not find out."""

    source: str
    address: str
    pinned: str
    action: str
    status: str
    is_referrer: bool
    why: str
    moved: int | None
    saved: int | None
    seconds: float | None

    @property
    def is_ailing(self) -> bool:
        return self.action in AILING

    @property
    def is_missing(self) -> bool:
        """There is nothing at its address, and nobody called that an error: left out, or not come to."""
        return self.action == "skip" and not self.pinned


@dataclass(frozen=True)
class PrunedTag:
    address: str
    digest: str
    is_last: bool
    is_deleted: bool


@dataclass(frozen=True)
class Quota:
    registry: str
    limit: int
    remaining: int
    used: int
    window: int | None


@dataclass(frozen=True)
class Run:
    """One run. A plan is what a run in check mode has found out. `is_told`: each image was told of as it was done."""

    title: str
    when: str
    is_plan: bool
    items: Sequence[Image]
    quotas: Sequence[Quota]
    pruned: Sequence[PrunedTag]
    notes: Sequence[str]
    problem: str
    is_told: bool = False

    @property
    def images(self) -> list[Image]:
        return [item for item in self.items if not item.is_referrer]

    @property
    def ailing(self) -> list[Image]:
        """What cannot be pulled as it should be, the worst first."""
        return sorted((item for item in self.items if item.is_ailing), key=lambda item: AILING.index(item.action))

    @property
    def is_good(self) -> bool:
        return not self.problem and not self.ailing

    @property
    def verdict(self) -> str:
        """The one sentence to read if there is time for no other."""
        if not self.items:
            return "The run failed before any image was looked at." if self.problem else "No image was asked for."
        return self._prediction() if self.is_plan else self._outcome()

    def _prediction(self) -> str:
        copies, ailing = self._count("copy"), len(self.ailing)
        missing = sum(image.is_missing for image in self.images)
        planned = f"{copies:,} of {counted(len(self.images), 'image')} would be copied" if copies else "Nothing to copy"
        left_out = f"; {missing:,} would be left out" if missing else ""
        return f"{planned}{f', and {ailing:,} could not be' if ailing else ''}{left_out}."

    def _outcome(self) -> str:
        total, missing = len(self.images), sum(image.is_ailing or image.is_missing for image in self.images)
        if missing and total == 1:
            return "The image cannot be pulled from your own ECR as it should be."
        if missing:
            return f"{total - missing:,} of {total:,} images can be pulled from your own ECR as they should be."
        all_of_them = "The image can be pulled" if total == 1 else f"All {counted(total, 'image')} can be pulled"
        return f"{all_of_them} from your own ECR{'' if self.is_good else ', but not everything went well'}."

    @property
    def figures(self) -> list[tuple[str, str]]:
        """(number, of what), for those who have time for a second line."""
        counts = [(self._count(action), names[self.is_plan]) for action, names in reversed(STATUSES.items())]
        always = [STATUSES["copy"][self.is_plan], STATUSES["up_to_date"][self.is_plan]]
        moved = sum(item.moved or 0 for item in self.items)
        saved = sum(item.saved or 0 for item in self.items)
        return [
            *((f"{count:,}", name) for count, name in counts if count or name in always),
            (size(moved), "to be moved" if self.is_plan else "moved"),
            (size(saved), "there already"),
            *((f"{quota.remaining:,}", f"pulls left at {quota.registry}") for quota in self.quotas),
        ]

    @property
    def addresses(self) -> dict[str, dict[str, str | None]]:
        """By source, where to pull it from. Of several copies it is the first."""
        found: dict[str, dict[str, str | None]] = {}
        for image in self.images:
            if not (image.is_ailing or image.is_missing):
                address = None if "@" in image.address else image.address
                found.setdefault(image.source, {"tag": address, "digest": image.pinned or None})
        return found

    @property
    def lines(self) -> list[str]:
        """One for each image and each tag, for logs. What was told before is not told again."""
        return [*map(_line, () if self.is_told else self.items), *map(_tag_line, self.pruned)]

    def _count(self, action: str) -> int:
        return sum(image.action == action for image in self.images)


def image_line(entry: Mapping[str, Any], is_plan: bool) -> str:
    """For an entry of `images` in the result of a run; empty if there is nothing to say of an image."""
    return "" if _is_nothing(entry) else _line(_image("images[]", entry, is_plan))


def _line(item: Image) -> str:
    cost = f" ({size(item.moved)}, {duration(item.seconds or 0)})" if item.moved else ""
    why = f": {item.why}" if item.why else ""
    return f"{item.status}: {item.source} -> {item.address}{cost}{why}"


def _tag_line(tag: PrunedTag) -> str:
    image = " and its image" if tag.is_last else ""
    return f"{'deleted' if tag.is_deleted else 'no longer asked for'}: {tag.address}{image}"


def run_from(params: Mapping[str, Any], when: str) -> Run:
    """From the options of the module mirror_report."""
    is_plan = bool(params["planned"])
    found = [(f"images[{number}]", entry) for number, entry in enumerate(params["images"])]
    return Run(
        title=plain(params["title"]),
        when=when,
        is_plan=is_plan,
        items=[_image(where, entry, is_plan) for where, entry in found if not _is_nothing(entry)],
        quotas=[_quota(registry, limit) for registry, limit in sorted(params["rate_limit"].items())],
        pruned=[tag for repository in params["pruned"] for tag in _pruned(repository)],
        notes=[plain(entry.get("reason")) for _where, entry in found if _is_nothing(entry)]
        + [plain(note) for note in params["notes"]],
        problem=plain(params["problem"]),
        is_told=bool(params.get("told")),
    )


def _is_nothing(entry: Mapping[str, Any]) -> bool:
    """Whether it only says that no tag was selected."""
    has_none = not any(entry.get(key) for key in ("tag", "digest", "source_digest"))
    return entry.get("action") == "skip" and has_none and "@" not in str(entry.get("destination"))


def _image(where: str, entry: Mapping[str, Any], is_plan: bool) -> Image:
    action = entry.get("action")
    if action not in STATUSES:
        raise ReportError(f"{where}.action must be one of {', '.join(STATUSES)}, not {action!r}")
    traffic, error = entry.get("bytes"), entry.get("error") or {}
    said = [error.get("msg") or ("" if action == "up_to_date" else entry.get("reason")), *(entry.get("notes") or [])]
    return Image(
        source=plain(entry.get("source")),
        address=plain(entry.get("destination")),
        pinned=_pinned(plain(entry.get("destination")), plain(entry.get("digest"))),
        action=action,
        status=STATUSES[action][is_plan],
        is_referrer=entry.get("kind") == "referrer",
        why=_joined(text for text in map(plain, said) if text),
        moved=int(traffic["moved"]) if traffic else None,
        saved=int(traffic["reused"]) + int(traffic["mounted"]) if traffic else None,
        seconds=entry.get("seconds"),
    )


def _joined(texts: Iterable[str]) -> str:
    """One after the other: some are sentences, and some are words without an end."""
    whole = ""
    for text in texts:
        between = " " if whole.endswith(".") else "; "
        whole = f"{whole}{between}{text}" if whole else text
    return whole


def _pinned(address: str, digest: str) -> str:
    """The address by which nothing else can ever be pulled; empty where the digest is not known yet."""
    name = address.partition("@")[0]
    host, slash, path = name.rpartition("/")
    return f"{host}{slash}{path.partition(':')[0]}@{digest}" if digest else ""


def _quota(registry: str, limit: Mapping[str, Any]) -> Quota:
    try:
        return Quota(
            registry=plain(registry),
            limit=int(limit["limit"]),
            remaining=int(limit["remaining"]),
            used=int(limit.get("used") or 0),
            window=limit.get("window"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportError(f"rate_limit.{registry} must have limit and remaining, as numbers: {error!r}") from error


def _pruned(repository: Mapping[str, Any]) -> Iterator[PrunedTag]:
    for tag in repository.get("tags") or []:
        yield PrunedTag(
            address=f"{plain(repository.get('name'))}:{plain(tag.get('tag'))}",
            digest=plain(tag.get("digest")),
            is_last=bool(tag.get("deletes_image")),
            is_deleted=bool(tag.get("deleted")),
        )
