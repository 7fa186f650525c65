# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import AddressError, mirrored_address


def ecr_mirrored_image(reference: Any, registry: Any, namespace: Any = "", repository: Any = None) -> str:
    try:
        return mirrored_address(reference, registry, namespace, repository)
    except AddressError as error:
        raise AnsibleFilterError(f"ecr_mirrored_image: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"ecr_mirrored_image": ecr_mirrored_image}
