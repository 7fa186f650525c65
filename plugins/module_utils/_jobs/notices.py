# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of a job's failures: a topic of one's own, or an e-mail address by a topic that is made for it. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.marks import mark
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document, policy

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TOPIC = re.compile(r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+")


def is_mail(notify: str) -> bool:
    return _EMAIL.fullmatch(notify) is not None


def notify_problem(notify: str) -> str:
    """Empty if it is well, or nobody is told."""
    if not notify or is_mail(notify) or _TOPIC.fullmatch(notify):
        return ""
    return f"notify: must be the ARN of an SNS topic or an e-mail address, not {notify!r}"


def topic(arn: str, notify: str, publishers: Mapping[str, str], tags: Mapping[str, str]) -> list[Document]:
    """The topic of our own, for an e-mail address. `publishers` are services, each with what of it may publish."""
    if not is_mail(notify):
        return no_topic(arn, notify)
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sns:Publish",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        for service, source in publishers.items()
    ]
    name = _name(arn)
    definition = {"Attributes": {"Policy": json.dumps(policy(statements))}}
    return [
        {"kind": "sns_topic", "name": name, "definition": definition, "tags": {**tags, **mark(name)}},
        {"kind": "sns_subscription", "name": notify, "definition": {"TopicArn": arn, "Protocol": "email"}},
    ]


def no_topic(arn: str, notify: str) -> list[Document]:
    """Only one of ours goes. One that is told is somebody's, whatever its name."""
    name = _name(arn)
    return [] if notify == arn else [{"kind": "sns_topic", "name": name, "state": "absent", "tags": mark(name)}]


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]
