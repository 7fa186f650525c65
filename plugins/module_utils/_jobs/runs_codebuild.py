# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS CodeBuild: builds, and batches of builds.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, ask
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import NOT_SHOWN_YET, Log, Run, State

_AT_WORK = "AccountLimitExceededException"
# The same code, and no other run that would end: such as 0 builds in queue, in an account that is new.
_OF_THE_ACCOUNT = "for the account"
_BUILDS_IN_A_CALL = 100


class CodeBuildBuild(Run):
    service = "codebuild"

    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        doing = f"start a build of {name}"
        answer = _started(client, "start_build", doing, {**overrides, "projectName": name})
        return str(answer["build"]["id"]) if answer else None

    def state(self, client: Any, name: str, run_id: str) -> State:
        builds = ask(client, "batch_get_builds", f"look at the build {run_id}", ids=[run_id])["builds"]
        if not builds:
            return NOT_SHOWN_YET
        build = builds[0]
        status = build["buildStatus"]
        return State(
            status,
            ended=build["buildComplete"],
            succeeded=status == "SUCCEEDED",
            why="; ".join(_complaints(build)),
            log_url=build.get("logs", {}).get("deepLink", ""),
            logs=_logs([build], {}),
        )


class CodeBuildBatch(Run):
    service = "codebuild"

    def start(self, client: Any, name: str, overrides: Mapping[str, Any]) -> str | None:
        doing = f"start a batch of builds of {name}"
        answer = _started(client, "start_build_batch", doing, {**overrides, "projectName": name})
        return str(answer["buildBatch"]["id"]) if answer else None

    def state(self, client: Any, name: str, run_id: str) -> State:
        doing = f"look at the batch of builds {run_id}"
        batches = ask(client, "batch_get_build_batches", doing, ids=[run_id])["buildBatches"]
        if not batches:
            return NOT_SHOWN_YET
        batch = batches[0]
        summaries = {
            group["identifier"]: group["currentBuildSummary"]
            for group in batch.get("buildGroups", [])
            if group.get("currentBuildSummary")
        }
        labels = {summary["arn"].rpartition("build/")[2]: label for label, summary in summaries.items()}
        ids = list(labels)
        builds: list[Fields] = []
        for at in range(0, len(ids), _BUILDS_IN_A_CALL):
            builds += ask(client, "batch_get_builds", doing, ids=ids[at : at + _BUILDS_IN_A_CALL])["builds"]
        status = batch["buildBatchStatus"]
        complaints = [f"{labels[build['id']]}: {said}" for build in builds for said in _complaints(build)]
        return State(
            status,
            ended=batch["complete"],
            succeeded=status == "SUCCEEDED",
            why="; ".join([*complaints, *_complaints(batch)]),
            log_url=next((build.get("logs", {}).get("deepLink", "") for build in builds), ""),
            logs=_logs(builds, labels),
            details={"builds": {name: summary["buildStatus"] for name, summary in summaries.items()}},
        )


def _started(client: Any, operation: str, doing: str, fields: Mapping[str, Any]) -> Fields | None:
    """None where another run of the project has to end first."""
    try:
        return ask(client, operation, doing, **fields)
    except AnsibleECRError as error:
        if error.code != _AT_WORK:
            raise
        if _OF_THE_ACCOUNT in str(error):
            raise AnsibleECRError(
                f"{error}. This is a quota of the account: ask AWS for more builds side by side, in Service Quotas",
                code=error.code,
            ) from error
        return None


def _complaints(build: Mapping[str, Any]) -> Iterator[str]:
    """What CodeBuild says of the phases that did not go well."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") in ("FAILED", "FAULT", "TIMED_OUT", "CLIENT_ERROR"):
            said = [context.get("message", "").strip() for context in phase.get("contexts", [])]
            text = ". ".join(one for one in said if one)
            yield f"phase {phase['phaseType']} {phase['phaseStatus']}{': ' if text else ''}{text}"


def _logs(builds: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[Log]:
    found = []
    for build in builds:
        logs = build.get("logs", {})
        if logs.get("groupName") and logs.get("streamName"):
            found.append(Log(logs["groupName"], logs["streamName"], labels.get(build["id"], "")))
    return found
