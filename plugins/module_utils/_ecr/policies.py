# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, compared by what they mean, and taken apart where they are too long.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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


def policy_in_pieces(policy: Policy, limit: int) -> list[Policy]:
    """Policies that together say the same, of at most `limit` characters each. ValueError where that cannot be."""
    room = limit - len(policy_to_text({**policy, "Statement": []}))
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    pieces: list[list[Policy]] = [[]]
    for part in (part for statement in statements for part in _short_statements(statement, room)):
        if pieces[-1] and len(policy_to_text({"": [*pieces[-1], part]})) - len('{"":[]}') > room:
            pieces.append([])
        pieces[-1].append(part)
    return [{**policy, "Statement": piece} for piece in pieces]


def _short_statements(statement: Policy, room: int) -> Iterator[Policy]:
    """The statement, or several of the same meaning with some of its resources each."""
    resources = statement.get("Resource")
    if len(policy_to_text(statement)) <= room:
        yield statement
        return
    if not isinstance(resources, list) or len(resources) < 2:
        raise ValueError("a statement is too long by itself, and has no list of resources to take apart")
    # A Sid may be in a policy once.
    nameless = {key: value for key, value in statement.items() if key != "Sid"}
    some: list[str] = []
    for resource in resources:
        if some and len(policy_to_text({**nameless, "Resource": [*some, resource]})) > room:
            yield from _short_statements({**nameless, "Resource": some}, room)
            some = []
        some.append(resource)
    yield from _short_statements({**nameless, "Resource": some}, room)
