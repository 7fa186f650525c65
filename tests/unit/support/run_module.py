# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module's main() in this process, as Ansible would, and read what it prints."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args


def run_module(
    main: Callable[[], None], *, check_mode: bool = False, diff: bool = False, **params: Any
) -> dict[str, Any]:
    """The result, with warnings as plain texts."""
    arguments = {**params, "_ansible_check_mode": check_mode, "_ansible_diff": diff}
    printed = io.StringIO()
    warnings._global_warnings.clear()  # a real module has a process of its own
    try:
        with patch_module_args(arguments), contextlib.redirect_stdout(printed):
            main()
    except SystemExit:
        result: dict[str, Any] = json.loads(printed.getvalue())
        result["warnings"] = [warning["event"]["msg"] for warning in result.get("warnings", [])]
        return result
    raise AssertionError("The module ended without exit_json or fail_json")
