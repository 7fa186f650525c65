# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repository policies, compared by what they mean.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies

Policy = dict[str, Any]

MAX_POLICY_CHARACTERS = 10240

# AWS writes the number of an account as the ARN of its root, in the partition it is in.
_ACCOUNT_ROOT = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):root")


def policy_from_text(text: str) -> Policy:
    """ValueError says where the text has another shape."""
    try:
        policy = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(policy, dict) or not isinstance(policy.get("Statement"), (list, dict)):
        raise ValueError('it must be an object with a list "Statement"')
    return policy


def policy_to_text(policy: Mapping[str, Any]) -> str:
    """Compact, because its length is limited."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def same_policy(one: Policy | None, other: Policy | None) -> bool:
    """Whether both allow and deny the same. None is no policy."""
    if one is None or other is None:
        return one is other
    return not compare_policies(_with_bare_accounts(one), _with_bare_accounts(other))


def _with_bare_accounts(policy: Policy) -> Any:
    return json.loads(_ACCOUNT_ROOT.sub(r"\1", json.dumps(policy)))
