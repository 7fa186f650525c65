# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS CodeBuild: projects.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, given

# What UpdateProject takes for "none"; what is left out stays as it is.
_NONE: Mapping[str, Any] = {"concurrentBuildLimit": -1, "vpcConfig": {}, "buildBatchConfig": {}, "encryptionKey": ""}


class CodeBuildProject(Kind):
    service = "codebuild"
    creation = "CreateProject"
    named = "name"
    says = "the CodeBuild project"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        projects = ask(client, "batch_get_projects", f"read {self.says} {name}", names=[name])["projects"]
        if not projects:
            return None
        project = projects[0]
        return Found(project, project["arn"], {tag["key"]: tag["value"] for tag in project.get("tags", [])})

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "name": name, "tags": _tags(tags)}
        return str(ask(client, "create_project", f"create {self.says} {name}", **fields)["project"]["arn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        fields = {field: _NONE.get(field, "") if value is None else value for field, value in wanted.items()}
        ask(client, "update_project", f"update {self.says} {name}", **{**fields, "name": name, "tags": _tags(tags)})
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        ask(client, "delete_project", f"delete {self.says} {name}", name=name)


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]
