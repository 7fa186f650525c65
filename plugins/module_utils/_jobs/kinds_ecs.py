# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon ECS: clusters and task definitions.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, given


class EcsCluster(Kind):
    service = "ecs"
    creation = "CreateCluster"
    named = "clusterName"
    says = "the ECS cluster"

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
        ask(client, "delete_cluster", f"delete {self.says} {name}", cluster=name)


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
