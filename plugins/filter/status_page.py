# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._report.status import page


def status_page(status: Mapping[str, Any], when: str, title: str = "Images in Amazon ECR") -> str:
    return page(status, title, when)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_page": status_page}
