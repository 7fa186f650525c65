# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the main() of every module shares: the client, the one except, and the shape of the result.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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


def aws_client(module: AnsibleAWSModule, service: str, parallel: int = 1) -> Any:
    """One client for all threads, with a connection for each. aws_config, where given, has the last word."""
    if parallel < 1:
        raise AnsibleECRError(f"parallel must be at least 1, not {parallel}")
    connections = min(max(MIN_CONNECTIONS, parallel), MAX_CONNECTIONS)
    config = {"connect_timeout": CONNECT_TIMEOUT, "max_pool_connections": connections}
    return module.client(service, config=config)


def ecr_client(module: AnsibleAWSModule, parallel: int) -> Any:
    return aws_client(module, "ecr", parallel)


def show_warnings(warnings: Iterable[str]) -> None:
    """Not by module.warn: AnsibleAWSModule would add a warning of its own, that it passes on warnings in an old way."""
    for warning in warnings:
        warn(warning)


def report(module: AnsibleAWSModule, key: str, outcomes: Sequence[Outcome[Change]]) -> NoReturn:
    """End the module. The result has the same shape for one item and for many, for success and for failure."""
    report_parts(module, {key: outcomes})


def report_parts(
    module: AnsibleAWSModule,
    parts: Mapping[str, Sequence[Outcome[Change]]],
    *,
    without_states: Collection[str] = (),
) -> NoReturn:
    """End the module, with a list of the result for each part.

    Some parts tell in their details what they were and are: they go without before and after.
    """
    changes = [(outcome.name, outcome.result) for part in parts.values() for outcome in part if outcome.result]
    result: dict[str, Any] = {
        "changed": any(change.changed for _name, change in changes),
        "actions": [action for _name, change in changes for action in change.actions],
        **{key: [_entry(outcome, states=key not in without_states) for outcome in part] for key, part in parts.items()},
    }
    if module._diff:
        result["diff"] = [_diff(name, change) for name, change in changes if change.changed]
    _end(module, parts, result)


def report_found(module: AnsibleAWSModule, key: str, outcomes: Sequence[Outcome[dict[str, Any]]]) -> NoReturn:
    """End a module that reads many items and changes none."""
    found = [{"name": outcome.name, **_error(outcome), **(outcome.result or {})} for outcome in outcomes]
    _end(module, {key: outcomes}, {"changed": False, key: found})


def _end(module: AnsibleAWSModule, parts: Mapping[str, Sequence[Outcome[Any]]], result: dict[str, Any]) -> NoReturn:
    messages = [_failure_message(key, part) for key, part in parts.items() if any(outcome.error for outcome in part)]
    if messages:
        module.fail_json(msg=" ".join(messages), **result)
    module.exit_json(**result)


def _entry(outcome: Outcome[Change], *, states: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": outcome.name, "changed": False, **_error(outcome)}
    if outcome.result:
        change = outcome.result
        before_and_after = {"before": change.before, "after": change.after} if states else {}
        entry.update(changed=change.changed, **before_and_after, **change.details)
    return entry


def _error(outcome: Outcome[Any]) -> dict[str, Any]:
    return {"error": {"msg": str(outcome.error), "code": outcome.error.code}} if outcome.error else {}


def _diff(name: str, change: Change) -> dict[str, str]:
    return {
        "before_header": name,
        "after_header": name,
        "before": _diff_text(change.before),
        "after": _diff_text(change.after),
    }


def _diff_text(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2) + "\n"


def _failure_message(key: str, outcomes: Sequence[Outcome[Any]]) -> str:
    failed = [outcome for outcome in outcomes if outcome.error]
    total = f"{len(outcomes)} {key}"
    for outcome in failed:
        if isinstance(outcome.error, AnsibleECRUnavailableError):
            return f"{outcome.error} Done before that: {len(outcomes) - len(failed)} of {total}."
    listed = [f"{outcome.name}: {outcome.error}" for outcome in failed[:FAILURES_IN_MESSAGE]]
    more = len(failed) - len(listed)
    return f"Failed for {len(failed)} of {total}. " + "; ".join(listed + ([f"and {more} more"] if more else []))
