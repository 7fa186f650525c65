"""A build as BatchGetBuilds shows it: phases with their contexts, the state changes that are events, the metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from loopback import aws
from loopback.aws import delivery
from loopback.clock import clock
from loopback.fidelity import assumed, documented
from loopback.runs import Run

Json = dict[str, Any]
IN_CONTAINER = ("INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD")


class PhaseFailed(Exception):
    """A phase ends badly: its context."""

    def __init__(self, code: str, message: str, status: str = "FAILED") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Stopped(Exception):
    """The build was stopped or has run out of time: nothing more is begun."""


@dataclass
class Build:
    """`document` is what the API shows; the rest is what the run needs to know."""

    document: Json
    project: Json  # with the overrides of StartBuild
    token: tuple[str, str] | None = None  # idempotency token, and the parameters it came with
    batch_identifier: str | None = None
    wait_for_room: bool = False  # a build of a batch queues where StartBuild would refuse
    run: Run | None = None
    succeeding: bool = field(default=True)

    @property
    def identity(self) -> str:
        return str(self.document["id"])

    @property
    def is_running(self) -> bool:
        return not self.document["buildComplete"]

    def is_younger_than(self, seconds: float) -> bool:
        return bool(self.document["startTime"] > clock.now() - seconds)

    # -------------------------------------------------------------- phases

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One phase; PhaseFailed inside gives it its context, and a stop its status."""
        self.enter(name)
        try:
            yield
        except PhaseFailed as failure:
            self.leave(self._stopped or failure.status, failure.code, failure.message)
            raise
        except Stopped:
            self.leave(self._stopped or "STOPPED")
            raise
        self.leave(self._stopped or "SUCCEEDED")

    def enter(self, name: str) -> None:
        self.document["currentPhase"] = name
        self.document["phases"].append({"phaseType": name, "startTime": clock.now()})

    def leave(self, status: str, code: str = "", message: str = "") -> None:
        phase, now = self.document["phases"][-1], clock.now()
        phase.update(phaseStatus=status, endTime=now, durationInSeconds=int(now - phase["startTime"]))
        if code or phase["phaseType"] in IN_CONTAINER:
            phase["contexts"] = [{"statusCode": code, "message": message}]
        if status != "SUCCEEDED":
            self.succeeding = False

    @property
    def _stopped(self) -> str | None:
        return self.run.stopped if self.run else None

    # -------------------------------------------------------------- state changes

    def begin(self) -> None:
        self._announce()

    def complete(self, status: str) -> None:
        now = clock.now()
        self.document["phases"].append({"phaseType": "COMPLETED", "startTime": now})
        self.document.update(buildStatus=status, currentPhase="COMPLETED", endTime=now, buildComplete=True)
        self._count(status, now - self.document["startTime"])
        self._announce()

    @documented("CodeBuild user guide, monitoring-metrics: by project, and of the account")
    def _count(self, status: str, seconds: float) -> None:
        counts = {"Builds": 1.0, "Duration": seconds}
        if status != "STOPPED":
            counts["SucceededBuilds" if status == "SUCCEEDED" else "FailedBuilds"] = 1.0
        for dimensions in ({"ProjectName": self.document["projectName"]}, {}):
            for name, value in counts.items():
                unit = "Seconds" if name == "Duration" else "Count"
                delivery.record_metric("AWS/CodeBuild", name, value, unit, dimensions)

    @documented("CodeBuild user guide, sample-build-notifications-ref")
    @assumed("builds that time out or break tell their own status, as SUCCEEDED and FAILED ones do")
    def _announce(self) -> None:
        document = self.document
        environment, logs = document["environment"], document["logs"]
        more = {
            "environment": {
                "image": environment["image"],
                "privileged-mode": environment.get("privilegedMode", False),
                "compute-type": environment["computeType"],
                "type": environment["type"],
                "environment-variables": environment["environmentVariables"],
            },
            "timeout-in-minutes": document["timeoutInMinutes"],
            "build-complete": document["buildComplete"],
            "build-number": document["buildNumber"],
            "initiator": document["initiator"],
            "build-start-time": _written(document["startTime"]),
            "source": {key: document["source"][key] for key in ("type", "location") if key in document["source"]},
            "source-version": document.get("sourceVersion", ""),
            "logs": {
                "group-name": logs.get("groupName"),
                "stream-name": logs.get("streamName"),
                "deep-link": logs.get("deepLink"),
            },
            "phases": [_announced_phase(phase) for phase in document["phases"]],
        }
        detail = {
            "build-status": document["buildStatus"],
            "project-name": document["projectName"],
            "build-id": document["arn"],
            "additional-information": more,
            "current-phase": document["currentPhase"],
            "current-phase-context": "[]",
            "version": "1",
        }
        delivery.emit("aws.codebuild", "CodeBuild Build State Change", detail, [document["arn"]])


def _announced_phase(phase: Json) -> Json:
    contexts = [f"{one['statusCode']}: {one['message']}" for one in phase.get("contexts", [])]
    shown: Json = {"phase-type": phase["phaseType"], "start-time": _written(phase["startTime"])}
    if "endTime" in phase:
        shown |= {"end-time": _written(phase["endTime"]), "duration-in-seconds": phase["durationInSeconds"]}
        shown |= {"phase-status": phase["phaseStatus"], "phase-context": contexts}
    return shown


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%b %-d, %Y %-I:%M:%S %p")


def logs_of(project: Json, identity: str) -> Json:
    """Where the log goes: `logs` of the build."""
    settings = (project.get("logsConfig") or {}).get("cloudWatchLogs") or {"status": "ENABLED"}
    if settings.get("status") == "DISABLED":
        return {"cloudWatchLogs": settings}
    group = settings.get("groupName") or f"/aws/codebuild/{project['name']}"
    stream = "/".join(filter(None, [settings.get("streamName"), identity]))
    quoted = [text.replace("/", "$252F") for text in (group, stream)]
    return {
        "groupName": group,
        "streamName": stream,
        "deepLink": f"https://console.aws.amazon.com/cloudwatch/home?region={aws.region()}"
        f"#logsV2:log-groups/log-group/{quoted[0]}/log-events/{quoted[1]}",
        "cloudWatchLogsArn": aws.arn("logs", f"log-group:{group}:log-stream:{stream}"),
        "cloudWatchLogs": settings,
    }
