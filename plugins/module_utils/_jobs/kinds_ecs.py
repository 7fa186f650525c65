# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon ECS: clusters and task definitions.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock, SystemClock, wait_until
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, given

_SECONDS = 300.0
_TASKS_IN_A_CALL = 100


class EcsCluster(Kind):
    service = "ecs"
    creation = "CreateCluster"
    named = "clusterName"
    says = "the ECS cluster"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        included = ["CONFIGURATIONS", "SETTINGS", "TAGS"]
        doing = f"read {self.says} {name}"
        clusters = ask(client, "describe_clusters", doing, clusters=[name], include=included)["clusters"]
        # A deleted cluster is shown for a while.
        active = [cluster for cluster in clusters if cluster["status"] == "ACTIVE"]
        return Found(active[0], active[0]["clusterArn"], _plain(active[0].get("tags", []))) if active else None

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "clusterName": name, "tags": _tags(tags)}
        return str(ask(client, "create_cluster", f"create {self.says} {name}", **fields)["cluster"]["clusterArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        doing = f"update {self.says} {name}"
        fields = {field: wanted[field] for field in ("configuration", "settings") if wanted.get(field)}
        if fields:
            ask(client, "update_cluster", doing, cluster=name, **fields)
        if dict(tags) != dict(found.tags):
            ask(client, "tag_resource", doing, resourceArn=found.arn, tags=_tags(tags))
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        """With its tasks: a cluster that has any cannot go, nor can what they use."""
        doing = f"delete {self.says} {name}"
        wait_until(
            lambda: self._stopping(client, name, doing),
            lambda tasks: not tasks,
            what=f"the tasks of {self.says} {name} to stop",
            timeout=_SECONDS,
            clock=self._clock,
        )
        ask(client, "delete_cluster", doing, cluster=name)

    def _stopping(self, client: Any, name: str, doing: str) -> list[str]:
        """Stop what runs. What has not come to its end yet."""
        running = self._tasks(client, name, doing, "RUNNING")
        for task in running:
            ask(client, "stop_task", doing, cluster=name, task=task, reason="The cluster is deleted")
        tasks = [*running, *self._tasks(client, name, doing, "STOPPED")]
        living: list[str] = []
        for at in range(0, len(tasks), _TASKS_IN_A_CALL):
            some = tasks[at : at + _TASKS_IN_A_CALL]
            described = ask(client, "describe_tasks", doing, cluster=name, tasks=some)["tasks"]
            living += [task["taskArn"] for task in described if task["lastStatus"] != "STOPPED"]
        return living

    def _tasks(self, client: Any, name: str, doing: str, wanted: str) -> list[str]:
        """Those that are to run, or those that are to stop."""
        fields: Fields = {"cluster": name, "desiredStatus": wanted}
        tasks: list[str] = []
        while True:
            page = ask(client, "list_tasks", doing, **fields)
            tasks += page["taskArns"]
            if not page.get("nextToken"):
                return tasks
            fields["nextToken"] = page["nextToken"]


class EcsTaskDefinition(Kind):
    """A definition never changes: another one is another revision, and the newest is the one that counts."""

    service = "ecs"
    creation = "RegisterTaskDefinition"
    named = "family"
    says = "the ECS task definition"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        revisions = self._revisions(client, name)
        if not revisions:
            return None
        doing = f"read {self.says} {name}"
        answer = ask(client, "describe_task_definition", doing, taskDefinition=revisions[0], include=["TAGS"])
        return Found(answer["taskDefinition"], revisions[0], _plain(answer.get("tags", [])))

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "family": name, **({"tags": _tags(tags)} if tags else {})}
        answer = ask(client, "register_task_definition", f"create {self.says} {name}", **fields)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        return self.create(client, name, wanted, tags)

    def delete(self, client: Any, name: str, found: Found) -> None:
        for revision in self._revisions(client, name):
            ask(client, "deregister_task_definition", f"delete {self.says} {name}", taskDefinition=revision)

    def _revisions(self, client: Any, name: str) -> list[str]:
        """All that are active, the newest first."""
        fields: Fields = {"familyPrefix": name, "status": "ACTIVE", "sort": "DESC"}
        revisions: list[str] = []
        while True:
            page = ask(client, "list_task_definitions", f"look for {self.says} {name}", **fields)
            revisions += page["taskDefinitionArns"]
            if not page.get("nextToken"):
                return revisions
            fields["nextToken"] = page["nextToken"]


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _plain(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags}
