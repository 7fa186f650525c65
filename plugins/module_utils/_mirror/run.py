# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole run: ask both sides, decide, and bring over what is missing.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.discovery import Discovery
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.execution import Execution, Unit
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import Interruption, threads
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.journal import Journal
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    Destination,
    MirrorError,
    Source,
    Transport,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.progress import Progress
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.referrers import Referrers
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report

# Questions under way at a time. They are short, and it is waiting for answers that takes the time.
_QUESTIONS = 32


@dataclass(frozen=True)
class Settings:
    """`parallel` images are copied at a time. `journal` is a path, or empty for none."""

    parallel: int = 8
    keep_going: bool = True
    check_mode: bool = False
    create_repositories: bool = False
    skip_missing: bool = False
    journal: str = ""
    progress: Progress = field(default_factory=Progress)
    interruption: Interruption = field(default_factory=Interruption)

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise MirrorError(f"parallel must be at least 1, not {self.parallel}")


def mirror(
    wishes: Sequence[Wish],
    source: Source,
    destination: Destination,
    transports: Mapping[str, Transport],
    budget: PullBudget,
    settings: Settings,
) -> Report:
    """Make the destination have what is wished for; in check mode only find out what that would take.

    What goes wrong with one image is in the report. Raised are a MirrorError or OciError of look_up, an
    UnavailableError of any other question, and a MirrorError for a journal that cannot be written: nothing has been
    copied then. `budget` is the one that the transports have, and `transports` has docker and direct: referrers go by
    direct whatever was wished, and lines that need no engine unless docker was said of the image itself.
    """
    begun, progress = time.monotonic(), settings.progress
    with progress, Journal("" if settings.check_mode else settings.journal) as journal:
        progress.started(destination.registry, check_mode=settings.check_mode)
        journal.write("start", {"destination": destination.registry, "images": len(wishes)})
        with threads(_QUESTIONS, "question") as pool:
            findings = _look(pool, wishes, source, destination, budget, settings)
        for registry in {wish.source.registry: None for wish in wishes}:
            budget.meters(registry)
        progress.planned(len(findings), sum(one.task is not None for one in findings), budget.report)

        def record(finding: Finding) -> None:
            if finding.entry:
                journal.write("image", finding.entry.as_dict())
                progress.image(finding.entry)

        created = _act(findings, destination, transports, budget, settings, record)
        report = Report(
            registry=destination.registry,
            images=[one.entry for one in findings if one.entry],
            repositories_created=created,
            rate_limit=budget.report(),
            warnings=[*_warnings(findings), *filter(None, [journal.trouble])],
            seconds=time.monotonic() - begun,
            interrupted=settings.interruption.happened,
        )
        journal.write("end", {"totals": report.totals(), "rate_limit": report.as_result()["rate_limit"]})
        progress.ended(report.totals(), interrupted=report.interrupted)
    return report


def _look(
    pool: Executor,
    wishes: Sequence[Wish],
    source: Source,
    destination: Destination,
    budget: PullBudget,
    settings: Settings,
) -> list[Finding]:
    """Everything there is to decide about, decided; what refers to an image comes after it."""
    discovery = Discovery(
        source,
        destination,
        budget,
        pool,
        create_repositories=settings.create_repositories,
        skip_missing=settings.skip_missing,
        check_mode=settings.check_mode,
    )
    findings = discovery.findings(wishes)
    referrers = Referrers(source, budget, discovery.digest_tags, check_mode=settings.check_mode)
    discovery.judge([one for one in referrers.find(pool, findings) if one.decision is None])
    return [one for image in findings for one in (image, *image.referrers)]


def _act(
    findings: Sequence[Finding],
    destination: Destination,
    transports: Mapping[str, Transport],
    budget: PullBudget,
    settings: Settings,
    record: Callable[[Finding], None],
) -> Sequence[str]:
    """Copy, or find out what copying would take. The repositories that were made."""
    execution = Execution(
        destination,
        transports,
        budget,
        record,
        parallel=settings.parallel,
        keep_going=settings.keep_going,
        interruption=settings.interruption,
    )
    for finding in findings:
        if finding.task is None:
            finding.decided()
            record(finding)
            if finding.entry and finding.entry.has_failed:
                execution.stop_for_failure()
    units = [unit for unit in (Unit.of(one) for one in findings if one.kind == "image") if unit]
    if settings.check_mode:
        execution.plan(units)
    else:
        execution.copy(units)
    return execution.repositories_created


def _warnings(findings: Sequence[Finding]) -> list[str]:
    nothing = [one.entry.reason for one in findings if one.entry and one.entry.action == "skip" and one.found is None]
    deferred = [one.entry for one in findings if one.entry and one.entry.action == "defer"]
    if not deferred:
        return nothing
    first = deferred[0]
    return [*nothing, f"{len(deferred)} of {len(findings)} images were deferred. {first.source}: {first.reason}"]
