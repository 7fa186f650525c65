# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon SNS: topics, and who is told of what is published there.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, ask_for, given


class SnsTopic(Kind):
    """The name is enough to find a topic, by the account and the region of the caller."""

    service = "sns"
    creation = "CreateTopic"
    named = "Name"
    says = "the SNS topic"

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        arn = self._arn(client, name)
        if arn is None:
            return None
        doing = f"read {self.says} {name}"
        attributes = ask(client, "get_topic_attributes", doing, TopicArn=arn)["Attributes"]
        asked_for = wanted.get("Attributes") or {}
        if "Policy" in asked_for and _same_policy(attributes.get("Policy"), asked_for["Policy"]):
            attributes = {**attributes, "Policy": asked_for["Policy"]}
        tags = ask(client, "list_tags_for_resource", doing, ResourceArn=arn)["Tags"]
        return Found({"Attributes": attributes}, arn, {tag["Key"]: tag["Value"] for tag in tags})

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        labels = ansible_dict_to_boto3_tag_list(dict(tags))
        answer = ask(client, "create_topic", f"create {self.says} {name}", **given(wanted), Name=name, Tags=labels)
        return str(answer["TopicArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        doing = f"update {self.says} {name}"
        for attribute, value in (wanted.get("Attributes") or {}).items():
            if found.fields["Attributes"].get(attribute) != value:
                ask(
                    client,
                    "set_topic_attributes",
                    doing,
                    TopicArn=found.arn,
                    AttributeName=attribute,
                    AttributeValue=value,
                )
        if dict(tags) != dict(found.tags):
            ask(client, "tag_resource", doing, ResourceArn=found.arn, Tags=ansible_dict_to_boto3_tag_list(dict(tags)))
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        ask(client, "delete_topic", f"delete {self.says} {name}", TopicArn=found.arn)

    def _arn(self, client: Any, name: str) -> str | None:
        token: Fields = {}
        while True:
            page = ask(client, "list_topics", f"look for {self.says} {name}", **token)
            for topic in page.get("Topics", []):
                if topic["TopicArn"].endswith(f":{name}"):
                    return str(topic["TopicArn"])
            if not page.get("NextToken"):
                return None
            token = {"NextToken": page["NextToken"]}


class SnsSubscription(Kind):
    """The name is the endpoint, such as an e-mail address. Whoever reads its mail has to confirm it."""

    service = "sns"
    creation = "Subscribe"
    named = "Endpoint"
    says = "the subscription of"
    fixed = ("TopicArn", "Protocol")
    has_tags = False

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        token: Fields = {}
        while True:
            doing, topic = f"read {self.says} {name}", wanted.get("TopicArn")
            page = ask_for(client, "list_subscriptions_by_topic", doing, TopicArn=topic, **token) or {}
            for one in page.get("Subscriptions", []):
                if one["Endpoint"] == name:
                    fields = {"TopicArn": one["TopicArn"], "Protocol": one["Protocol"]}
                    return Found(fields, one["SubscriptionArn"])
            if not page.get("NextToken"):
                return None
            token = {"NextToken": page["NextToken"]}

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "Endpoint": name, "ReturnSubscriptionArn": True}
        return str(ask(client, "subscribe", f"create {self.says} {name}", **fields)["SubscriptionArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        # What was never confirmed has no ARN, and goes by itself.
        if found.arn.startswith("arn:"):
            ask(client, "unsubscribe", f"delete {self.says} {name}", SubscriptionArn=found.arn)


def _same_policy(one: str | None, other: str) -> bool:
    return one is not None and not compare_policies(json.loads(one), json.loads(other))
