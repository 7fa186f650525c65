"""Groups of schedules, and their tags: schedules themselves have none."""

from __future__ import annotations

from typing import Any

from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.scheduler import state
from loopback.services.scheduler.service import group_arn, invalid, missing, page, service

Json = dict[str, Any]


@service.operation
@from_model
def create_schedule_group(request: Json) -> Json:
    place, name = state.here(), request["Name"]
    if name in place.groups:
        raise AwsError("ConflictException", f"Schedule group {name} already exists.")
    now = clock.now()
    arn = group_arn(name)
    times = {"CreationDate": now, "LastModificationDate": now}
    place.groups[name] = {"Name": name, "Arn": arn, "State": "ACTIVE", **times}
    place.tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
    return {"ScheduleGroupArn": arn}


@service.operation
@from_model
def get_schedule_group(request: Json) -> Json:
    return _find(request["Name"])


@service.operation
@from_model
def list_schedule_groups(request: Json) -> Json:
    prefix = request.get("NamePrefix", "")
    found = [group for name, group in sorted(state.here().groups.items()) if name.startswith(prefix)]
    return page(found, request, "ScheduleGroups")


@service.operation
@from_model
@documented("EventBridge Scheduler user guide, managing-schedule-group-delete: with all schedules in it")
@assumed("a group is gone at once, not DELETING for a while")
def delete_schedule_group(request: Json) -> Json:
    name, place = request["Name"], state.here()
    if name == "default":
        raise invalid("The default schedule group cannot be deleted.")
    place.tags.pop(_find(name)["Arn"], None)
    del place.groups[name]
    for key in [key for key in place.schedules if key[0] == name]:
        del place.schedules[key]
    return {}


@service.operation
@from_model
def tag_resource(request: Json) -> Json:
    _tags(request).update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
    return {}


@service.operation
@from_model
def untag_resource(request: Json) -> Json:
    for key in request["TagKeys"]:
        _tags(request).pop(key, None)
    return {}


@service.operation
@from_model
def list_tags_for_resource(request: Json) -> Json:
    return {"Tags": [{"Key": key, "Value": value} for key, value in _tags(request).items()]}


@documented("EventBridge Scheduler API reference, TagResource: groups only")
def _tags(request: Json) -> dict[str, str]:
    arn = request["ResourceArn"]
    if ":schedule-group/" not in arn:
        raise invalid(f"{arn} cannot be tagged: only schedule groups can.")
    return state.here().tags.setdefault(_find(arn.rpartition("/")[2])["Arn"], {})


def _find(name: str) -> Json:
    group = state.here().groups.get(name)
    if group is None:
        raise missing("ScheduleGroup", name)
    return group
