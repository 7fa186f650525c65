# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of a run in the embedded metric format: Amazon CloudWatch makes metrics of such a line in a log.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json

from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import Run

_COUNTED = {
    "Copied": ("copy",),
    "UpToDate": ("up_to_date",),
    "Skipped": ("skip",),
    "Deferred": ("defer",),
    "Failed": ("fail", "refuse"),
}


def embedded_metrics(run: Run, namespace: str, job: str, milliseconds: int) -> str:
    """One line. PullsLeft is of the registry that has the fewest, and missing where none says how many it allows."""
    figures = {name: sum(item.action in actions for item in run.items) for name, actions in _COUNTED.items()}
    figures["Succeeded"] = int(run.is_good)
    figures["BytesMoved"] = sum(item.moved or 0 for item in run.items)
    if run.quotas:
        figures["PullsLeft"] = min(quota.remaining for quota in run.quotas)
    metrics = [{"Name": name, "Unit": "Bytes" if name == "BytesMoved" else "Count"} for name in figures]
    about = {"Namespace": namespace, "Dimensions": [["Job"]], "Metrics": metrics}
    line = {"_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [about]}, "Job": job, **figures}
    return json.dumps(line) + "\n"
