# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of tasks that read many items and change none.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import _failure_message


def report_found(module: AnsibleAWSModule, key: str, outcomes: Sequence[Outcome[Any]]) -> NoReturn:
    """End the module. The result has the same shape for one item and for many, for success and for failure."""
    result: dict[str, Any] = {"changed": False, key: [_entry(outcome) for outcome in outcomes]}
    if any(outcome.error for outcome in outcomes):
        module.fail_json(msg=_failure_message(key, outcomes), **result)
    module.exit_json(**result)


def _entry(outcome: Outcome[Any]) -> dict[str, Any]:
    if outcome.error:
        return {"name": outcome.name, "error": {"msg": str(outcome.error), "code": outcome.error.code}}
    return {"name": outcome.name, **(outcome.result or {})}
