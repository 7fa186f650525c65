# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task says of a role or a policy of IAM.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import policy_from_text

_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::(?P<account>\d{12}):role/(?:.+/)?(?P<name>[^/]+)")
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)


def is_role_name(name: str) -> bool:
    return _ROLE_NAME.fullmatch(name) is not None


def is_policy_name(name: str) -> bool:
    return _POLICY_NAME.fullmatch(name) is not None


def role_name(role: str) -> str:
    """The name, of a role that is given by its name or its ARN."""
    match = _ROLE_ARN.fullmatch(role)
    return match["name"] if match else role


def is_elsewhere(role: str, account: str) -> bool:
    """Whether a role, given by its name or its ARN, is in another account."""
    match = _ROLE_ARN.fullmatch(role)
    return match is not None and match["account"] != account


def mentioned(options: Mapping[str, Any], documents: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """The fields that the task mentions, in their normal form, and what is wrong with its documents."""
    said = {field: options[field] for field in ("description", "tags") if options[field] is not None}
    if "tags" in said:
        said["tags"] = {str(key): str(value) for key, value in said["tags"].items()}
    problems = []
    for field in documents:
        try:
            said.update({field: policy_from_text(options[field])} if options[field] is not None else {})
        except ValueError as error:
            problems.append(f"{field}: {error}")
    return said, problems
