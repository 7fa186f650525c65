# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module's main() in this process, with its options as keyword arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from running import run_main


def run_module(
    main: Callable[[], None], *, check_mode: bool = False, diff: bool = False, **params: Any
) -> dict[str, Any]:
    return run_main(main, params, check=check_mode, diff=diff)
