# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner import leftovers, parts


def codebuild_cloner_parts(variables: Mapping[str, Any], state: str = "present") -> dict[str, Any]:
    what = leftovers if state == "absent" else parts
    try:
        return what(variables)
    except AnsibleAWSError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"codebuild_cloner_parts": codebuild_cloner_parts}
