"""CodeBuild in tests: a project with a service role, a build followed to its end, and its log."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml
from ecr_api import allow, policy

from loopback.client import Cloud

IMAGE = "aws/codebuild/standard:7.0"
PATIENCE = 90.0


def service_role(
    cloud: Cloud, name: str, service: str, statements: Iterable[dict[str, Any]], *, account: str | None = None
) -> str:
    """The ARN of a role that the AWS service may take on, with exactly these statements; made or changed as needed."""
    iam = cloud.client("iam", account=account)
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    if statements := list(statements):
        iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=policy(*statements))
    return f"arn:aws:iam::{account or cloud.account}:role/{name}"


def logging(project: str = "cloner") -> dict[str, Any]:
    actions = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
    return allow(*actions, on=f"arn:aws:logs:*:*:log-group:/aws/codebuild/{project}:*")


def buildspec(*commands: str, **more: Any) -> str:
    """A buildspec with one phase, or with those that are given."""
    phases = {"build": {"commands": list(commands)}} if commands else {}
    return yaml.safe_dump({"version": "0.2", "phases": phases, **more}, sort_keys=False)


@dataclass
class Ended:
    """A build that has ended."""

    build: dict[str, Any]
    log: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.build["buildStatus"])

    @property
    def phases(self) -> dict[str, str]:
        """The status of each phase, in order."""
        return {one["phaseType"]: one.get("phaseStatus", "") for one in self.build["phases"]}

    @property
    def contexts(self) -> str:
        """What failed phases say."""
        said = [context for one in self.build["phases"] for context in one.get("contexts", [])]
        return "\n".join(f"{one['statusCode']}: {one['message']}" for one in said if one["statusCode"])

    @property
    def printed(self) -> list[str]:
        """What the commands printed."""
        return [line for line in self.log if not line.startswith("[Container]")]


@dataclass
class Project:
    """One CodeBuild project of a cloud, made with its role."""

    cloud: Cloud
    name: str = "cloner"
    role: str = ""

    def make(self, spec: str, *statements: dict[str, Any], **settings: Any) -> Project:
        self.role = service_role(
            self.cloud, f"{self.name}-build", "codebuild.amazonaws.com", [logging(self.name), *statements]
        )
        environment = {"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"}
        environment |= settings.pop("environment", {})
        source = {"type": "NO_SOURCE", "buildspec": spec} | settings.pop("source", {})
        rest: dict[str, Any] = {"artifacts": {"type": "NO_ARTIFACTS"}, "serviceRole": self.role, **settings}
        self.codebuild.create_project(name=self.name, source=source, environment=environment, **rest)
        return self

    @property
    def codebuild(self) -> Any:
        return self.cloud.client("codebuild")

    def start(self, **overrides: Any) -> str:
        return str(self.codebuild.start_build(projectName=self.name, **overrides)["build"]["id"])

    def build(self, **overrides: Any) -> Ended:
        return self.follow(self.start(**overrides))

    def describe(self, identity: str) -> dict[str, Any]:
        found: dict[str, Any] = self.codebuild.batch_get_builds(ids=[identity])["builds"][0]
        return found

    def follow(self, identity: str) -> Ended:
        """Wait for the build to end."""
        build = until(lambda: ended if (ended := self.describe(identity))["buildComplete"] else None)
        return Ended(build, self.log(build))

    def log(self, build: dict[str, Any]) -> list[str]:
        logs = self.cloud.client("logs")
        where = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
        try:
            answer = logs.get_log_events(**where, startFromHead=True)
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in answer["events"]]


def until(what: Any, patience: float = PATIENCE) -> Any:
    """What the function gives once it gives something; asked again and again."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing came in {patience:.0f} seconds")
        time.sleep(0.05)
    return found


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in values.items()]


def as_json(line: str) -> Any:
    return json.loads(line)
