# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync import leftovers, parts, running_parts


def pull_sync_parts(
    variables: Mapping[str, Any],
    state: str = "present",
    image: str = "",
    network: Mapping[str, Any] | None = None,
    security_group: str = "",
) -> dict[str, Any]:
    try:
        if state == "absent":
            return leftovers(variables)
        if network is not None:
            return running_parts(variables, image, network, security_group)
        return parts(variables)
    except AnsibleAWSError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pull_sync_parts": pull_sync_parts}
