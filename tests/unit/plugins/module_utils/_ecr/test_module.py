# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably, report
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

NEW = Change(None, [{"a": 1}], ["make a"], {"extra": True})
SAME = Change([{"b": 1}], [{"b": 1}], [])


def reported(*outcomes: Outcome[Change], **options: Any) -> dict[str, Any]:
    def main() -> None:
        report(AnsibleAWSModule(argument_spec={}, supports_check_mode=True), "things", outcomes)

    return run_module(main, **options)


@pytest.mark.parametrize(
    ("outcomes", "changed", "things", "actions"),
    [
        ([], False, [], []),
        (
            [Outcome("x", SAME)],
            False,
            [{"name": "x", "changed": False, "before": [{"b": 1}], "after": [{"b": 1}]}],
            [],
        ),
        (
            [Outcome("x", NEW), Outcome("y", SAME)],
            True,
            [
                {"name": "x", "changed": True, "before": None, "after": [{"a": 1}], "extra": True},
                {"name": "y", "changed": False, "before": [{"b": 1}], "after": [{"b": 1}]},
            ],
            ["make a"],
        ),
    ],
)
def test_success(
    outcomes: list[Outcome[Change]], changed: bool, things: list[dict[str, Any]], actions: list[str]
) -> None:
    result = reported(*outcomes)
    assert (result["changed"], result["things"], result["actions"]) == (changed, things, actions)
    assert "failed" not in result
    assert "diff" not in result


def test_diff_of_what_changed_only() -> None:
    result = reported(Outcome("x", NEW), Outcome("y", SAME), diff=True)
    assert result["diff"] == [
        {"before_header": "x", "after_header": "x", "before": "", "after": '[\n  {\n    "a": 1\n  }\n]\n'}
    ]


def test_a_failure_among_successes() -> None:
    result = reported(Outcome("x", NEW), Outcome("y", error=AnsibleECRError("No", code="Nope")))
    assert result["failed"]
    assert result["changed"]
    assert result["msg"] == "Failed for 1 of 2 things. y: No"
    assert result["things"][1] == {"name": "y", "changed": False, "error": {"msg": "No", "code": "Nope"}}


def test_many_failures_are_counted_and_the_first_are_named() -> None:
    result = reported(*[Outcome(f"x{number}", error=AnsibleECRError("No")) for number in range(12)])
    assert result["msg"].startswith("Failed for 12 of 12 things. x0: No; x1: No; ")
    assert result["msg"].endswith("; x9: No; and 2 more")
    assert len(result["things"]) == 12


def test_aws_out_of_reach_is_said_once() -> None:
    unreachable = AnsibleECRUnavailableError("Failed to read it: no network.")
    skipped = AnsibleECRError("Not attempted", code="NotAttempted")
    result = reported(
        Outcome("a", SAME),
        Outcome("b", error=AnsibleECRError("other trouble")),
        Outcome("c", error=unreachable),
        Outcome("d", error=unreachable),
        Outcome("e", error=skipped),
    )
    assert result["msg"] == "Failed to read it: no network. Done before that: 1 of 5 things."


def test_an_error_is_one_line() -> None:
    def main() -> None:
        with failing_readably(AnsibleAWSModule(argument_spec={})):
            raise AnsibleECRError("Not so")

    result = run_module(main)
    assert (result["failed"], result["msg"]) == (True, "Not so")
    assert "exception" not in result


@pytest.mark.parametrize(
    ("parallel", "options", "connections", "timeout"),
    [
        (4, {}, 10, 10),
        (32, {}, 32, 10),
        (32, {"aws_config": {"connect_timeout": 3, "max_pool_connections": 5}}, 5, 3),
    ],
)
def test_the_client_has_a_connection_for_each_thread(
    parallel: int, options: dict[str, Any], connections: int, timeout: int
) -> None:
    clients = []

    def main() -> None:
        module = AnsibleAWSModule(argument_spec={})
        clients.append(ecr_client(module, parallel))
        module.exit_json()

    run_module(main, region="eu-west-1", **options)
    config = clients[0].meta.config
    assert (config.max_pool_connections, config.connect_timeout) == (connections, timeout)
