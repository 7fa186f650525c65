# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ecr_status_info finds out, for reports on it."""

from __future__ import annotations

from typing import Any

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
MOMENT = "2026-01-31T12:00:00+00:00"


def image(state: str = "current", name: str = "team/app:1", **more: Any) -> dict[str, Any]:
    return {
        "source": f"quay.io/{name}",
        "way": "mirror",
        "address": f"{REGISTRY}/{name}",
        "state": state,
        "why": "",
        "problem": "",
        "digest": None,
        "source_digest": None,
        "pushed_at": MOMENT,
        "last_pulled_at": None,
        **more,
    }


def rule(state: str = "valid", **more: Any) -> dict[str, Any]:
    return {"prefix": "quay", "upstream_url": "quay.io", "state": state, "why": "", "login_problem": "", **more}


def run(succeeded: bool | None = True, **more: Any) -> dict[str, Any]:
    return {"id": "build:1", "status": "FAILED", "succeeded": succeeded, "at": MOMENT, "why": "", **more}


def job(last_run: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    common = {"way": "clone", "name": "cloner", "enabled": True, "schedule": "rate(1 day)", "schedule_state": "ENABLED"}
    return {**common, "last_run": last_run, **more}


def repository(lifecycle: bool | None = True, **more: Any) -> dict[str, Any]:
    return {"name": "quay/app", "lifecycle": lifecycle, "images": 3, "size_in_bytes": 5_000_000, **more}


def unused(**more: Any) -> dict[str, Any]:
    return {
        "address": f"{REGISTRY}/quay/app:1",
        "digest": f"sha256:{'a' * 64}",
        "size_in_bytes": 5_000_000,
        "pushed_at": MOMENT,
        "last_pulled_at": None,
        "why": "never pulled",
        **more,
    }
