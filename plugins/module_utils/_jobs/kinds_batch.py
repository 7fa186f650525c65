# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS Batch: compute environments, job queues and job definitions.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock, SystemClock, wait_until
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, given

_SECONDS = 300.0
# AWS Batch ends the jobs of a queue that is deleted, some 16 a second.
_SECONDS_UNTIL_GONE = 900.0


class _Switched(Kind):
    """What is made in the background, and has to be switched off before it can go."""

    service = "batch"
    plural: ClassVar[str]
    arn: ClassVar[str]
    identified: ClassVar[str]
    changeable: ClassVar[tuple[str, ...]]
    operations: ClassVar[tuple[str, str, str, str]]

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        fields = self._described(client, name)
        return Found(fields, fields[self.arn], fields.get("tags", {})) if fields else None

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        doing = f"create {self.says} {name}"
        fields = {**given(wanted), self.named: name, **({"tags": dict(tags)} if tags else {})}
        arn = str(ask(client, self.operations[1], doing, **fields)[self.arn])
        self._settle(client, name, doing)
        return arn

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        doing = f"update {self.says} {name}"
        fields = {field: wanted[field] for field in self.changeable if wanted.get(field) is not None}
        if "computeResources" in fields:
            # The type is for the creation alone.
            fields["computeResources"] = {k: v for k, v in fields["computeResources"].items() if k != "type"}
        if fields:
            ask(client, self.operations[2], doing, **{self.identified: name}, **fields)
            self._settle(client, name, doing)
        if dict(tags) != dict(found.tags):
            ask(client, "tag_resource", doing, resourceArn=found.arn, tags=dict(tags))
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        doing = f"delete {self.says} {name}"
        if found.fields["state"] != "DISABLED":
            ask(client, self.operations[2], doing, **{self.identified: name}, state="DISABLED")
            self._settle(client, name, doing)
        ask(client, self.operations[3], doing, **{self.identified: name})
        wait_until(
            lambda: (self._described(client, name) or {}).get("status", "DELETED"),
            lambda status: status == "DELETED",
            what=f"{self.says} {name} to be gone",
            timeout=_SECONDS_UNTIL_GONE,
            clock=self._clock,
        )

    def _described(self, client: Any, name: str) -> Fields | None:
        answer = ask(client, self.operations[0], f"read {self.says} {name}", **{self.plural: [name]})
        found = [one for one in answer[self.plural] if one["status"] != "DELETED"]
        return found[0] if found else None

    def _settle(self, client: Any, name: str, doing: str) -> None:
        seen = wait_until(
            lambda: self._described(client, name) or {"status": "DELETED"},
            lambda one: one["status"] in ("VALID", "INVALID", "DELETED"),
            what=f"{self.says} {name} to be valid",
            timeout=_SECONDS,
            clock=self._clock,
        )
        if seen["status"] != "VALID":
            raise AnsibleECRError(
                f"Failed to {doing}: {seen.get('statusReason') or 'AWS does not say why'}", code=seen["status"]
            )


class BatchComputeEnvironment(_Switched):
    creation = "CreateComputeEnvironment"
    named = "computeEnvironmentName"
    says = "the Batch compute environment"
    fixed = ("type", "serviceRole")
    plural = "computeEnvironments"
    arn = "computeEnvironmentArn"
    identified = "computeEnvironment"
    changeable = ("computeResources", "state")
    operations = (
        "describe_compute_environments",
        "create_compute_environment",
        "update_compute_environment",
        "delete_compute_environment",
    )


class BatchJobQueue(_Switched):
    creation = "CreateJobQueue"
    named = "jobQueueName"
    says = "the Batch job queue"
    plural = "jobQueues"
    arn = "jobQueueArn"
    identified = "jobQueue"
    changeable = ("computeEnvironmentOrder", "priority", "state")
    operations = ("describe_job_queues", "create_job_queue", "update_job_queue", "delete_job_queue")


class BatchJobDefinition(Kind):
    """A definition never changes: another one is another revision, and the newest is the one that counts."""

    service = "batch"
    creation = "RegisterJobDefinition"
    named = "jobDefinitionName"
    says = "the Batch job definition"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        revisions = self._revisions(client, name)
        if not revisions:
            return None
        newest = max(revisions, key=lambda one: int(one["revision"]))
        return Found(newest, newest["jobDefinitionArn"], newest.get("tags", {}))

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "jobDefinitionName": name, **({"tags": dict(tags)} if tags else {})}
        return str(ask(client, "register_job_definition", f"create {self.says} {name}", **fields)["jobDefinitionArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        return self.create(client, name, wanted, tags)

    def delete(self, client: Any, name: str, found: Found) -> None:
        for revision in self._revisions(client, name):
            arn = revision["jobDefinitionArn"]
            ask(client, "deregister_job_definition", f"delete {self.says} {name}", jobDefinition=arn)

    def _revisions(self, client: Any, name: str) -> list[Fields]:
        fields: Fields = {"jobDefinitionName": name, "status": "ACTIVE"}
        revisions: list[Fields] = []
        while True:
            page = ask(client, "describe_job_definitions", f"read {self.says} {name}", **fields)
            revisions += page["jobDefinitions"]
            if not page.get("nextToken"):
                return revisions
            fields["nextToken"] = page["nextToken"]
