# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import AddressError, cached_address


def ecr_cached_image(reference: Any, rules: Any, registry: Any = None, default: Any = None) -> str:
    try:
        return cached_address(reference, rules, registry, default)
    except AddressError as error:
        raise AnsibleFilterError(f"ecr_cached_image: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"ecr_cached_image": ecr_cached_image}
