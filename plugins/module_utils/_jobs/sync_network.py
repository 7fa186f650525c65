# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network that tasks of the role pull_sync run in: what it lacks, and what they have to get at. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import Sync

# Without a way into the internet, tasks get nowhere but by these. Amazon ECR hands out layers by the gateway alone.
_ENDPOINTS = {"ecr.api": "Interface", "ecr.dkr": "Interface", "logs": "Interface", "s3": "Gateway"}


def egress(sync: Sync, network: Mapping[str, Any]) -> list[Document]:
    """The rules of a security group of our own. HTTPS, and where there is no internet, no further than needed."""
    # Who does not have endpoints checked has another way out, such as a NAT gateway.
    if sync.assign_public_ip or not sync.check_endpoints:
        return [_https(cidr_ip="0.0.0.0/0")]
    inside = [_https(cidr_ip=cidr) for cidr in sorted(network["cidrs"])]
    # What comes from S3 by a gateway has public addresses, and all layers do.
    return [*inside, *(_https(ip_prefix=prefix) for prefix in network["s3_prefix_lists"])]


def _https(**to: str) -> Document:
    return {"proto": "tcp", "from_port": 443, "to_port": 443, **to}


def network_problems(sync: Sync, network: Mapping[str, Any]) -> Iterator[str]:
    if not network["vpc_id"]:
        yield "vpc_id: is missing: there is no default network in this region, so say in which one tasks run"
    elif not network["subnet_ids"]:
        yield f"subnet_ids: are missing: the network {network['vpc_id']} has none by default"
    elif not sync.assign_public_ip and sync.check_endpoints:
        missing = [f"{name} ({kind})" for name, kind in _ENDPOINTS.items() if not _has(network, name, kind)]
        if missing:
            yield (
                f"vpc_id: {network['vpc_id']} has no endpoint for {', '.join(missing)}: tasks without a public address "
                f"need com.amazonaws.{sync.region}.NAME for each of them. Where the subnets have another way into the "
                "internet, such as a NAT gateway, set check_endpoints to false"
            )
        elsewhere = sorted(_source_regions(sync) - {sync.region})
        if elsewhere:
            yield (
                f"config.repos: has sources in {', '.join(elsewhere)}, which tasks without a public address cannot "
                f"reach: endpoints of {sync.region} lead nowhere else. Where the subnets have another way into the "
                "internet, such as a NAT gateway, set check_endpoints to false"
            )


def _has(network: Mapping[str, Any], service: str, kind: str) -> bool:
    """Whatever the names of services begin with in other partitions."""
    return any(one["service"].endswith(f".{service}") and one["type"] == kind for one in network["endpoints"])


def _source_regions(sync: Sync) -> set[str]:
    hosts = (ecr_host(str(repo["source"]).partition("/")[0]) for repo in sync.repos)
    return {host.region for host in hosts if host is not None}
