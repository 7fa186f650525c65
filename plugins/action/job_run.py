# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a run by the module of the same name, and shows its log while it lasts."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

_LOOK_SECONDS = 10.0
_PAUSE = 5.0
_LAST_LINES = 50


class ActionModule(ActionBase):
    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        name = arguments.get("name", "")
        looked = self._look(arguments, {}, task_vars)
        if not self._is_true(arguments.get("wait", True)) and looked.get("status") == "WAITING":
            return _failed(looked, f"Another run of {name} is at work, and this job runs once at a time.")
        if (
            looked.get("failed")
            or looked.get("status") == "NOT_STARTED"
            or not self._is_true(arguments.get("wait", True))
        ):
            return looked
        return self._followed(arguments, looked, task_vars)

    def _followed(self, arguments: dict[str, Any], looked: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        display, name = Display(), arguments.get("name", "")
        timeout = float(arguments.get("timeout", 3600))
        deadline = time.monotonic() + timeout
        tail: list[str] = []
        waited = False
        while True:
            for line in looked.get("log", []):
                display.display(f"  {line}")
            tail = [*tail, *looked.get("log", [])][-_LAST_LINES:]
            if looked.get("failed") or looked.get("ended"):
                break
            if time.monotonic() > deadline:
                return _failed({**looked, "log": tail}, f"{name} has not ended after {timeout:g} s. It goes on.")
            if looked["run_id"] is None:
                if not waited:
                    display.display(f"  Another run of {name} is at work: waiting until it ends.")
                waited = True
                time.sleep(_PAUSE)
            look = {"run_id": looked["run_id"], "marks": looked.get("marks", {}), "seconds": _LOOK_SECONDS}
            looked = self._look(arguments, look, task_vars)
        result = {**looked, "log": tail}
        if looked.get("failed") or looked["succeeded"]:
            return result
        why = looked["why"] or "the service does not say why"
        return _failed(
            result, f"The run {looked['run_id']} ended as {looked['status']}: {why}. Log: {looked['log_url']}"
        )

    def _look(self, arguments: dict[str, Any], look: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        looked: dict[str, Any] = self._execute_module(
            module_name="stevedore.ecr.job_run", module_args={**arguments, "look": look}, task_vars=task_vars
        )
        return looked

    def _is_true(self, value: Any) -> bool:
        return str(value).lower() in ("true", "yes", "1", "on")


def _failed(looked: dict[str, Any], msg: str) -> dict[str, Any]:
    return {**looked, "failed": True, "msg": msg}
