# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of a run, in the form of which Amazon CloudWatch makes metrics."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._report.metrics import embedded_metrics
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import run_from
from ansible_collections.stevedore.ecr.tests.unit.support.mirror_results import image, options

FAILED = {"error": {"msg": "denied", "code": "DENIED"}}


def figures(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    line = embedded_metrics(run_from(options(*images, **more), "now"), "stevedore", "daily", 1234)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def test_each_image_is_counted_once() -> None:
    entries = [image("a/a:1", "copy"), image("b/b:1"), image("c/c:1"), image("d/d:1", "defer"), image("e/e:1", "skip")]
    entries += [image("f/f:1", "fail", **FAILED), image("g/g:1", "refuse", **FAILED)]
    found = figures(*entries)
    counted = {name: found[name] for name in ("Copied", "UpToDate", "Skipped", "Deferred", "Failed")}
    assert counted == {"Copied": 1, "UpToDate": 2, "Skipped": 1, "Deferred": 1, "Failed": 2}


def test_every_figure_is_declared_with_its_job() -> None:
    limits = {
        "docker.io": {"limit": 100, "remaining": 76, "window": 21600, "used": 4},
        "other.example": {"limit": 10, "remaining": 3, "window": None, "used": 0},
    }
    found = figures(image(), rate_limit=limits)
    about = found.pop("_aws")
    (declared,) = about["CloudWatchMetrics"]
    assert about["Timestamp"] == 1234
    assert (declared["Namespace"], declared["Dimensions"], found.pop("Job")) == ("stevedore", [["Job"]], "daily")
    assert {metric["Name"] for metric in declared["Metrics"]} == set(found)
    assert found["PullsLeft"] == 3
    assert all(isinstance(value, int) for value in found.values())


def test_what_no_registry_says_is_no_figure() -> None:
    found = figures(image())
    assert "PullsLeft" not in found
    assert "PullsLeft" not in json.dumps(found["_aws"])
