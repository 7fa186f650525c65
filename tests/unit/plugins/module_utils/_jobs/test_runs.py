# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are started and followed, with their logs read to the end and no line twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import Log, Run, State, follow, start
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_batch import BatchJob
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_codebuild import CodeBuildBatch, CodeBuildBuild
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_ecs import EcsTask
from ansible_collections.stevedore.ecr.tests.unit.support.fake_aws import FakeAws
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Refused

PAGE = 3


class FakeLogs(FakeAws):
    """Streams of lines, in pages of three, as the service has them: the last token comes again."""

    service = "logs"

    def __init__(self, **streams: list[str]) -> None:
        super().__init__()
        self.streams = streams

    def _get_log_events(self, request: Mapping[str, Any]) -> dict[str, Any]:
        lines = self.streams.get(request["logStreamName"])
        if lines is None:
            raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
        start = int(request.get("nextToken", "f/0")[2:])
        page = lines[start : start + PAGE]
        events = [{"timestamp": 0, "message": line, "ingestionTime": 0} for line in page]
        return {"events": events, "nextForwardToken": f"f/{start + len(page)}", "nextBackwardToken": "b/0"}


class Script(Run):
    """A run whose states are told one after the other, each with what has been written by then."""

    service = "codebuild"

    def __init__(self, logs: FakeLogs, *steps: tuple[State, Mapping[str, Sequence[str]]]) -> None:
        self.logs, self.steps = logs, list(steps)

    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        return "one"

    def state(self, client: Any, name: str, run_id: str) -> State:
        state, lines = self.steps.pop(0)
        for stream, more in lines.items():
            self.logs.streams.setdefault(stream, []).extend(more)
        return state


def running(*logs: Log) -> State:
    return State("IN_PROGRESS", ended=False, succeeded=False, logs=logs)


def test_the_log_is_read_to_its_end_and_no_line_twice() -> None:
    logs, log = FakeLogs(), Log("/group", "a")
    done = State("SUCCEEDED", ended=True, succeeded=True, logs=[log])
    script = Script(
        logs,
        (running(log), {}),
        (running(log), {"a": [f"{number}\n" for number in range(7)]}),
        (running(log), {"a": ["7"]}),
        (done, {"a": ["8", "9"]}),
    )
    clock = FakeClock()
    first = follow(script, None, logs.client, "job", "one", {}, 3.0, clock)
    assert [*first.lines] == ["0", "1", "2", "3", "4", "5", "6", "7"][: len(first.lines)]
    assert not first.state.ended
    then = follow(script, None, logs.client, "job", "one", first.marks, 60.0, clock)
    assert [*first.lines, *then.lines] == [str(number) for number in range(10)]
    assert then.state.succeeded


def test_lines_that_come_after_the_end_are_read_too() -> None:
    logs = FakeLogs(a=["one"])

    class LateLines(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            logs.streams["a"].append("the verdict")

    done = State("SUCCEEDED", ended=True, succeeded=True, logs=[Log("/g", "a")])
    followed = follow(Script(logs, (done, {})), None, logs.client, "job", "one", {}, 0.0, LateLines())
    assert followed.lines == ["one", "the verdict"]


def test_lines_of_several_builds_are_told_apart() -> None:
    logs = FakeLogs(a=["one"], b=["two"])
    done = State("FAILED", ended=True, succeeded=False, logs=[Log("/g", "a", "shard_0"), Log("/g", "b", "shard_1")])
    followed = follow(Script(logs, (done, {})), None, logs.client, "job", "one", {}, 0.0, FakeClock())
    assert followed.lines == ["shard_0: one", "shard_1: two"]


class FakeTasks(FakeAws):
    service = "ecs"

    def _run_task(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"tasks": [{"taskArn": "arn:aws:ecs:r:1:task/c/1"}]}


def test_a_start_waits_for_roles_that_are_not_known_yet() -> None:
    fake, clock = FakeTasks(), FakeClock()
    said = "ECS was unable to assume the role 'arn:aws:iam::1:role/task' that was provided for this task."
    fake.refuse("RunTask", "ClientException", said)
    assert start(EcsTask(), fake.client, "sync", {}, clock) == "arn:aws:ecs:r:1:task/c/1"
    assert clock.slept == [5.0]
    for _attempt in range(99):
        fake.refuse("RunTask", "ClientException", said)
    with pytest.raises(AnsibleECRError, match="ECS was unable to assume the role"):
        start(EcsTask(), fake.client, "sync", {}, clock)
    assert sum(clock.slept) <= 5.0 + 90.0


class FakeBuilds(FakeAws):
    service = "codebuild"

    def __init__(self, *builds: dict[str, Any], groups: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self.builds, self.groups = builds, groups

    def _start_build(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"build": {"id": f"{request['projectName']}:1"}}

    def _batch_get_builds(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"builds": [build for build in self.builds if build["id"] in request["ids"]]}

    def _batch_get_build_batches(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        batch = {"id": "b:1", "buildBatchStatus": "FAILED", "complete": True, "buildGroups": list(self.groups)}
        return {"buildBatches": [batch]}


def build(identity: str, status: str, *phases: dict[str, Any]) -> dict[str, Any]:
    logs = {"groupName": "/g", "streamName": identity[-1], "deepLink": f"https://log/{identity[-1]}"}
    return {"id": identity, "buildStatus": status, "buildComplete": True, "logs": logs, "phases": list(phases)}


def phase(kind: str, status: str, *messages: str) -> dict[str, Any]:
    contexts = [{"statusCode": "X", "message": message} for message in messages]
    return {"phaseType": kind, "phaseStatus": status, "contexts": contexts}


def test_a_build_is_explained_in_the_words_of_codebuild() -> None:
    fake = FakeBuilds(
        build(
            "p:1",
            "FAILED",
            phase("INSTALL", "SUCCEEDED", ""),
            phase("BUILD", "FAILED", "Error while executing command: x. Reason: exit status 2"),
        )
    )
    state = CodeBuildBuild().state(fake.client, "p", "p:1")
    assert (state.status, state.ended, state.succeeded, state.log_url) == ("FAILED", True, False, "https://log/1")
    assert state.why == "phase BUILD FAILED: Error while executing command: x. Reason: exit status 2"


def test_a_start_beside_another_run_is_no_error_and_others_are() -> None:
    fake = FakeBuilds()
    assert CodeBuildBuild().start(fake.client, "p", {}) == "p:1"
    fake.refuse("StartBuild", "AccountLimitExceededException", "Cannot have more than 1 active builds for the project")
    assert CodeBuildBuild().start(fake.client, "p", {}) is None
    fake.refuse("StartBuild", "AccessDeniedException", "no")
    with pytest.raises(AnsibleECRError, match="Failed to start a build of p"):
        CodeBuildBuild().start(fake.client, "p", {})


@pytest.mark.parametrize("operation", ["StartBuild", "StartBuildBatch"])
def test_a_quota_of_the_account_is_not_waited_for(operation: str) -> None:
    fake = FakeBuilds()
    said = "Cannot have more than 0 builds in queue for the account"
    fake.refuse(operation, "AccountLimitExceededException", said)
    with pytest.raises(AnsibleECRError, match=rf"{said} \(.*\)\. This is a quota of the account: ask AWS"):
        (CodeBuildBuild() if operation == "StartBuild" else CodeBuildBatch()).start(fake.client, "p", {})


def test_a_batch_says_which_build_failed() -> None:
    groups = [
        {
            "identifier": name,
            "currentBuildSummary": {"arn": f"arn:aws:codebuild:r:1:build/p:{number}", "buildStatus": how},
        }
        for number, (name, how) in enumerate([("shard_0", "SUCCEEDED"), ("shard_1", "FAILED")])
    ]
    builds = [build("p:0", "SUCCEEDED"), build("p:1", "FAILED", phase("BUILD", "FAILED", "exit status 2"))]
    state = CodeBuildBatch().state(FakeBuilds(*builds, groups=groups).client, "p", "b:1")
    assert state.why == "shard_1: phase BUILD FAILED: exit status 2"
    assert [(log.stream, log.label) for log in state.logs] == [("0", "shard_0"), ("1", "shard_1")]
    assert state.details == {"builds": {"shard_0": "SUCCEEDED", "shard_1": "FAILED"}}


TASK = "arn:aws:ecs:eu-west-1:123456789012:task/jobs/abc"


class Forgetful(FakeAws):
    """Shows nothing of what it has started."""

    def __init__(self, service: str) -> None:
        self.service = service
        super().__init__()

    def _describe_tasks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"tasks": [], "failures": [{"arn": request["tasks"][0], "reason": "MISSING"}]}

    def _describe_jobs(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"jobs": []}

    def _batch_get_builds(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"builds": [], "buildsNotFound": request["ids"]}

    def _batch_get_build_batches(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"buildBatches": [], "buildBatchesNotFound": request["ids"]}


@pytest.mark.parametrize("run", [EcsTask(), BatchJob(), CodeBuildBuild(), CodeBuildBatch()])
def test_a_run_that_aws_does_not_show_yet_has_not_ended(run: Run) -> None:
    state = run.state(Forgetful(run.service).client, "jobs", TASK)
    assert (state.status, state.ended, state.succeeded) == ("PENDING", False, False)
