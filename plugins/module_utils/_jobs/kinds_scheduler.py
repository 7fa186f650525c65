# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon EventBridge Scheduler: schedules. They have no tags.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import Fields, Found, Kind, ask, ask_for, given

_ANSWERED_ONLY = ("Arn", "CreationDate", "LastModificationDate", "ResponseMetadata")


class Schedule(Kind):
    service = "scheduler"
    creation = "CreateSchedule"
    named = "Name"
    says = "the schedule"
    fixed = ("GroupName",)
    has_tags = False

    def find(self, client: Any, name: str, wanted: Fields) -> Found | None:
        schedule = ask_for(client, "get_schedule", f"read {self.says} {name}", Name=name, **_group(wanted))
        if schedule is None:
            return None
        return Found({key: value for key, value in schedule.items() if key not in _ANSWERED_ONLY}, schedule["Arn"])

    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        fields = {**given(wanted), "Name": name}
        return str(ask(client, "create_schedule", f"create {self.says} {name}", **fields)["ScheduleArn"])

    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        # UpdateSchedule sets back all that it is not told.
        fields = given({**found.fields, **wanted, "Name": name})
        ask(client, "update_schedule", f"update {self.says} {name}", **fields)
        return found.arn

    def delete(self, client: Any, name: str, found: Found) -> None:
        ask(client, "delete_schedule", f"delete {self.says} {name}", Name=name, **_group(found.fields))


def _group(fields: Fields) -> Fields:
    return {"GroupName": fields["GroupName"]} if fields.get("GroupName") else {}
