# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is of a network that tasks are to run in.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.kind import ask


def describe(client: Any, vpc_id: str, subnet_ids: Sequence[str]) -> dict[str, Any]:
    """The default network, and all subnets that it has by default, where none is given."""
    chosen = {"VpcIds": [vpc_id]} if vpc_id else {"Filters": _filters(**{"is-default": "true"})}
    vpcs = ask(client, "describe_vpcs", "look at the network", **chosen)["Vpcs"]
    if not vpcs:
        return {"vpc_id": "", "cidrs": [], "subnet_ids": [], "endpoints": [], "s3_prefix_lists": []}
    (vpc, *_others) = vpcs
    inside = _filters(**{"vpc-id": vpc["VpcId"]})
    found = subnet_ids or _default_subnets(client, inside)
    endpoints = ask(client, "describe_vpc_endpoints", "look at the endpoints of the network", Filters=inside)
    region = client.meta.region_name
    s3 = _filters(**{"prefix-list-name": f"com.amazonaws.{region}.s3"})
    lists = ask(client, "describe_prefix_lists", "look for the addresses of Amazon S3", Filters=s3)["PrefixLists"]
    blocks = vpc.get("CidrBlockAssociationSet") or [vpc]
    return {
        "vpc_id": vpc["VpcId"],
        "cidrs": sorted(block["CidrBlock"] for block in blocks),
        "subnet_ids": list(found),
        "endpoints": sorted(
            (
                {"service": endpoint["ServiceName"], "type": endpoint["VpcEndpointType"]}
                for endpoint in endpoints["VpcEndpoints"]
                if endpoint["VpcId"] == vpc["VpcId"] and endpoint["State"].lower() == "available"
            ),
            key=lambda endpoint: (endpoint["service"], endpoint["type"]),
        ),
        "s3_prefix_lists": sorted(one["PrefixListId"] for one in lists),
    }


def _default_subnets(client: Any, inside: list[dict[str, Any]]) -> list[str]:
    """One in each zone. A task takes 16 at most."""
    filters = [*inside, *_filters(**{"default-for-az": "true"})]
    subnets = ask(client, "describe_subnets", "look for the subnets of the network", Filters=filters)["Subnets"]
    return sorted(subnet["SubnetId"] for subnet in subnets)[:16]


def _filters(**values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [value]} for name, value in values.items()]
