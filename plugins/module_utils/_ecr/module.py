# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the main() of every module shares: the client, the one except, and the shape of the result.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from ansible.module_utils.common.warnings import warn
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change

CONNECT_TIMEOUT = 10
MIN_CONNECTIONS = 10
MAX_CONNECTIONS = 100
FAILURES_IN_MESSAGE = 10


@contextmanager
def failing_readably(module: AnsibleAWSModule) -> Iterator[None]:
    """The one except: errors become one line, without a traceback."""
    try:
        yield
    except AnsibleAWSError as error:
        module.fail_json(msg=str(error))


def ecr_client(module: AnsibleAWSModule, parallel: int) -> Any:
    """One client for all threads, with a connection for each. aws_config, where given, has the last word."""
    if parallel < 1:
        raise AnsibleECRError(f"parallel must be at least 1, not {parallel}")
    connections = min(max(MIN_CONNECTIONS, parallel), MAX_CONNECTIONS)
    config = {"connect_timeout": CONNECT_TIMEOUT, "max_pool_connections": connections}
    return module.client("ecr", config=config)


def show_warnings(warnings: Iterable[str]) -> None:
    """Not by module.warn: AnsibleAWSModule would add a warning of its own, that it passes on warnings in an old way."""
    for warning in warnings:
        warn(warning)


def report(module: AnsibleAWSModule, key: str, outcomes: Sequence[Outcome[Change]]) -> NoReturn:
    """End the module. The result has the same shape for one item and for many, for success and for failure."""
    changes = [(outcome.name, outcome.result) for outcome in outcomes if outcome.result]
    result: dict[str, Any] = {
        "changed": any(change.changed for _name, change in changes),
        "actions": [action for _name, change in changes for action in change.actions],
        key: [_entry(outcome) for outcome in outcomes],
    }
    if module._diff:
        result["diff"] = [_diff(name, change) for name, change in changes if change.changed]
    if len(changes) < len(outcomes):
        module.fail_json(msg=_failure_message(key, outcomes), **result)
    module.exit_json(**result)


def _entry(outcome: Outcome[Change]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": outcome.name, "changed": False}
    if outcome.error:
        entry["error"] = {"msg": str(outcome.error), "code": outcome.error.code}
    if outcome.result:
        change = outcome.result
        entry.update(changed=change.changed, before=change.before, after=change.after, **change.details)
    return entry


def _diff(name: str, change: Change) -> dict[str, str]:
    return {
        "before_header": name,
        "after_header": name,
        "before": _diff_text(change.before),
        "after": _diff_text(change.after),
    }


def _diff_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2) + "\n"


def _failure_message(key: str, outcomes: Sequence[Outcome[Change]]) -> str:
    failed = [outcome for outcome in outcomes if outcome.error]
    total = f"{len(outcomes)} {key}"
    for outcome in failed:
        if isinstance(outcome.error, AnsibleECRUnavailableError):
            return f"{outcome.error} Done before that: {len(outcomes) - len(failed)} of {total}."
    listed = [f"{outcome.name}: {outcome.error}" for outcome in failed[:FAILURES_IN_MESSAGE]]
    more = len(failed) - len(listed)
    return f"Failed for {len(failed)} of {total}. " + "; ".join(listed + ([f"and {more} more"] if more else []))
