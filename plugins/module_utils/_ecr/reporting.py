# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of tasks whose items can fail after they were changed, or that have more than one kind of item.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import _diff, _entry, _failure_message
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change

Parts = Mapping[str, Sequence[Outcome[Change]]]


def report_parts(module: AnsibleAWSModule, parts: Parts, *, without_states: Collection[str] = ()) -> NoReturn:
    """End the module, with a list of the result for each part. An outcome may have a result and an error.

    Some parts tell in their details what they were and are: they go without before and after.
    """
    changes = [(outcome.name, outcome.result) for part in parts.values() for outcome in part if outcome.result]
    result: dict[str, Any] = {
        "changed": any(change.changed for _name, change in changes),
        "actions": [action for _name, change in changes for action in change.actions],
        **{key: [_entry(outcome) for outcome in part] for key, part in parts.items()},
    }
    for entry in (entry for key in without_states for entry in result[key]):
        entry.pop("before", None)
        entry.pop("after", None)
    if module._diff:
        result["diff"] = [_diff(name, change) for name, change in changes if change.changed]
    messages = [_failure_message(key, part) for key, part in parts.items() if any(outcome.error for outcome in part)]
    if messages:
        module.fail_json(msg=" ".join(messages), **result)
    module.exit_json(**result)
