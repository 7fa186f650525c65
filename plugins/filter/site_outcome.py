# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._site.plan import outcome


def site_outcome(results: Mapping[str, Mapping[str, Any]], planned: bool = False) -> list[str]:
    return outcome(results, planned=planned)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_outcome": site_outcome}
