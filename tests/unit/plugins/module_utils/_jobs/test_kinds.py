# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is peculiar about kinds of resources: what an update sets back, takes for nothing, or never shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import resources
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Found, given
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kinds_ecs import EcsCluster
from ansible_collections.stevedore.ecr.tests.unit.support.fake_aws import FakeAws
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Refused

ARN = "arn:aws:codebuild:eu-west-1:123456789012:project/p"
TARGET = {"Arn": "arn:aws:scheduler:::aws-sdk:codebuild:startBuild", "RoleArn": "arn:aws:iam::123456789012:role/r"}


class FakeProjects(FakeAws):
    service = "codebuild"

    def __init__(self, **project: Any) -> None:
        super().__init__()
        self.project = {"name": "jobs", "arn": ARN, **project} if project else None

    def _batch_get_projects(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"projects": [self.project] if self.project else []}

    def _create_project(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {**request, "arn": ARN}}

    def _delete_project(self, _request: Mapping[str, Any]) -> None:
        self.project = None

    def _update_project(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {**request, "arn": ARN}}


class FakeSchedules(FakeAws):
    service = "scheduler"

    def __init__(self, **schedule: Any) -> None:
        super().__init__()
        self.schedule = schedule

    def _get_schedule(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Name": "s", "GroupName": "default", "Arn": "arn:aws:scheduler:x", **self.schedule}

    def _update_schedule(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"ScheduleArn": "arn:aws:scheduler:x"}


class FakeParameters(FakeAws):
    service = "ssm"

    def _get_parameter(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Parameter": {"Name": "/p", "Type": "SecureString", "Value": "old token", "ARN": "arn:aws:ssm:x"}}

    def _describe_parameters(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "NextToken" not in request:
            return {"Parameters": [], "NextToken": "more"}
        return {"Parameters": [{"Name": "/p", "Type": "SecureString", "KeyId": "alias/aws/ssm"}]}

    def _list_tags_for_resource(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"TagList": []}

    def _put_parameter(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Version": 2}


def converge(fake: FakeAws, *, check: bool = False, **options: Any) -> Any:
    """The change of one resource, or its error."""
    whole = {"name": "jobs", "secret": None, "tags": None, "state": "present", **options}
    wanted = resources.wanted_resources([whole], lambda _service: fake.client)
    (outcome,) = resources.converge(wanted, lambda _service: fake.client, FakeClock(), check_mode=check)
    if outcome.error:
        raise outcome.error
    return outcome.result


def project(**more: Any) -> dict[str, Any]:
    return {
        "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {}"},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        "serviceRole": "arn:aws:iam::123456789012:role/r",
        **more,
    }


def test_none_of_a_limit_is_said_in_the_words_of_an_update() -> None:
    fake = FakeProjects(**project(concurrentBuildLimit=1))
    change = converge(fake, kind="codebuild_project", definition=project(concurrentBuildLimit=None, vpcConfig=None))
    assert change.actions == ["update concurrentBuildLimit of the CodeBuild project jobs"]
    assert fake.calls[-1][1]["concurrentBuildLimit"] == -1


@pytest.mark.parametrize("nothing", [{}, {"subnets": [], "securityGroupIds": []}])
def test_what_aws_fills_in_as_nothing_is_none(nothing: dict[str, Any]) -> None:
    fake = FakeProjects(**project(vpcConfig=nothing))
    assert not converge(fake, kind="codebuild_project", definition=project(vpcConfig=None)).changed


def test_none_is_not_said_to_a_new_project() -> None:
    fake = FakeProjects()
    converge(fake, kind="codebuild_project", definition=project(concurrentBuildLimit=None))
    assert "concurrentBuildLimit" not in fake.calls[-1][1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidInputException", "CodeBuild is not authorized to perform: sts:AssumeRole on r"),
        ("InvalidInputException", "Not authorized to perform DescribeSecurityGroups"),
        ("InvalidParameterException", "Unable to assume the service linked role. Please verify that it exists."),
    ],
)
def test_a_role_that_is_not_known_yet_is_waited_for(code: str, said: str) -> None:
    fake = FakeProjects()
    fake.refuse("CreateProject", code, said)
    assert converge(fake, kind="codebuild_project", definition=project()).details == {"arn": ARN}
    assert fake.operations().count("CreateProject") == 2


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidInputException", "Invalid environment image"),
        ("AccessDeniedException", "User u is not authorized to perform: codebuild:CreateProject on resource p"),
    ],
)
def test_other_errors_are_told_at_once(code: str, said: str) -> None:
    fake = FakeProjects()
    fake.refuse("CreateProject", code, said)
    with pytest.raises(AnsibleECRError, match=f"Failed to create the CodeBuild project jobs.*: {said}"):
        converge(fake, kind="codebuild_project", definition=project())
    assert fake.operations().count("CreateProject") == 1


def test_an_update_of_a_schedule_sets_nothing_back() -> None:
    kept = {"FlexibleTimeWindow": {"Mode": "OFF"}, "Target": TARGET, "EndDate": 4102444800, "State": "DISABLED"}
    fake = FakeSchedules(ScheduleExpression="rate(1 day)", **kept)
    converge(fake, kind="schedule", definition={"ScheduleExpression": "rate(2 days)", **kept})
    sent = fake.calls[-1][1]
    assert (sent["State"], sent["ScheduleExpression"]) == ("DISABLED", "rate(2 days)")
    assert sent["EndDate"] == 4102444800


def test_none_in_a_structure_takes_it_away() -> None:
    target = {**TARGET, "DeadLetterConfig": {"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"}}
    window = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ScheduleExpression": "rate(1 day)"}
    fake = FakeSchedules(Target=target, **window)
    change = converge(fake, kind="schedule", definition={**window, "Target": {**TARGET, "DeadLetterConfig": None}})
    assert change.actions == ["update Target of the schedule jobs"]
    assert "DeadLetterConfig" not in fake.calls[-1][1]["Target"]
    assert given({"a": {"b": None, "c": {"d": None}}, "e": None}) == {"a": {"c": {}}}


def test_a_secret_is_compared_and_never_shown() -> None:
    parameter = {"kind": "ssm_parameter", "name": "/p", "definition": {"Type": "SecureString"}}
    assert not converge(FakeParameters(), secret="old token", **parameter).changed
    change = converge(FakeParameters(), secret="new token", **parameter)
    assert change.actions == ["update Value of the SSM parameter /p"]
    assert "token" not in str([change.before, change.after, change.actions])


@pytest.mark.parametrize(("tags", "goes"), [({"ours": "a", "more": "b"}, True), ({"ours": "b"}, False), ({}, False)])
def test_what_has_not_the_tags_stays(tags: dict[str, str], goes: bool) -> None:
    fake = FakeProjects(tags=[{"key": key, "value": value} for key, value in tags.items()])
    change = converge(fake, kind="codebuild_project", definition=None, state="absent", tags={"ours": "a"})
    assert change.changed is goes
    assert ("DeleteProject" in fake.operations()) is goes


def test_a_description_may_come_on_a_later_page() -> None:
    definition = {"Type": "SecureString", "KeyId": "alias/aws/ssm"}
    assert not converge(
        FakeParameters(), kind="ssm_parameter", name="/p", secret="old token", definition=definition
    ).changed


class FakeCluster(FakeAws):
    """With tasks, of which each look at them brings those that stop to their end."""

    service = "ecs"

    def __init__(self, running: int, *, stubborn: bool = False) -> None:
        super().__init__()
        self.running = [f"task-{number}" for number in range(running)]
        self.stopping: list[str] = []
        self.stubborn = stubborn

    def _list_tasks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        tasks = self.running if request["desiredStatus"] == "RUNNING" else [*self.stopping, "task-of-old"]
        at = int(request.get("nextToken", 0))
        more = {"nextToken": str(at + 1)} if at + 1 < len(tasks) else {}
        return {"taskArns": tasks[at : at + 1], **more}

    def _stop_task(self, request: Mapping[str, Any]) -> None:
        self.running.remove(request["task"])
        self.stopping.append(request["task"])

    def _describe_tasks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        living = set(self.stopping)
        if not self.stubborn:
            self.stopping = []
        tasks = [{"taskArn": one, "lastStatus": "STOPPING" if one in living else "STOPPED"} for one in request["tasks"]]
        return {"tasks": tasks}

    def _delete_cluster(self, _request: Mapping[str, Any]) -> None:
        if self.running or self.stopping:
            raise Refused("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")


def test_the_tasks_of_a_cluster_end_before_it_goes() -> None:
    fake, clock = FakeCluster(running=3), FakeClock()
    EcsCluster(clock).delete(fake.client, "jobs", Found({}, "arn"))
    assert fake.operations().count("StopTask") == 3
    assert fake.operations()[-1] == "DeleteCluster"
    assert len(clock.slept) == 1
    fake = FakeCluster(running=1, stubborn=True)
    with pytest.raises(AnsibleECRError, match=r"300 s for the tasks of the ECS cluster jobs to stop.*still.*task-0"):
        EcsCluster(FakeClock()).delete(fake.client, "jobs", Found({}, "arn"))


def test_what_is_wrong_is_told_before_aws_is_asked() -> None:
    fake = FakeProjects()
    with pytest.raises(AnsibleECRError, match=r"definition\.sources: unknown, did you mean source") as caught:
        converge(fake, kind="codebuild_project", definition={"sources": {}})
    assert "Missing required parameter in input" in str(caught.value)
    assert fake.calls == []
