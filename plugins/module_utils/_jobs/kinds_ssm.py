# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS Systems Manager: parameters with a secret in them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, ask_for, given


class SsmParameter(Kind):
    service = "ssm"
    creation = "PutParameter"
    named = "Name"
    says = "the SSM parameter"
    secret = "Value"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        doing = f"read {self.says} {name}"
        answer = ask_for(client, "get_parameter", doing, Name=name, WithDecryption=True)
        if answer is None:
            return None
        value = answer["Parameter"]
        described = _described(client, name, doing)
        tags = ask(client, "list_tags_for_resource", doing, ResourceType="Parameter", ResourceId=name)["TagList"]
        fields = {**described, "Type": value["Type"], "Value": value["Value"]}
        return Found(fields, value["ARN"], {tag["Key"]: tag["Value"] for tag in tags})

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "Name": name}
        if tags:
            fields["Tags"] = ansible_dict_to_boto3_tag_list(dict(tags))
        ask(client, "put_parameter", f"create {self.says} {name}", **fields)
        found = ask(client, "get_parameter", f"read {self.says} {name}", Name=name)
        return str(found["Parameter"]["ARN"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        doing = f"update {self.says} {name}"
        if any(found.fields.get(field) != value for field, value in given(wanted).items()):
            ask(client, "put_parameter", doing, **given(wanted), Name=name, Overwrite=True)
        if dict(tags) != dict(found.tags):
            labels = ansible_dict_to_boto3_tag_list(dict(tags))
            ask(client, "add_tags_to_resource", doing, ResourceType="Parameter", ResourceId=name, Tags=labels)
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        ask(client, "delete_parameter", f"delete {self.says} {name}", Name=name)


def _described(client: Any, name: str, doing: str) -> Fields:
    """A page may be empty, and yet not the last one."""
    by_name: Fields = {"ParameterFilters": [{"Key": "Name", "Option": "Equals", "Values": [name]}]}
    while True:
        page = ask(client, "describe_parameters", doing, **by_name)
        if page["Parameters"] or not page.get("NextToken"):
            return dict(page["Parameters"][0]) if page["Parameters"] else {}
        by_name["NextToken"] = page["NextToken"]
