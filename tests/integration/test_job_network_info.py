"""The module job_network_info against the loopback cloud."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loopback.client import Cloud
from running import ModuleResult

Module = Callable[..., ModuleResult]

ACTIONS = [f"ec2:Describe{what}" for what in ("Vpcs", "Subnets", "VpcEndpoints", "PrefixLists")]


def operator(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])


KINDS = {"s3": "Gateway"}


def make_network(cloud: Cloud, *endpoints: str) -> tuple[str, str]:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    for name in endpoints:
        kind = KINDS.get(name, "Interface")
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{cloud.region}.{name}", VpcEndpointType=kind)
    return vpc, subnet


def test_the_default_network_with_its_subnets(cloud: Cloud, module: Module) -> None:
    ec2 = cloud.client("ec2")
    found = module("job_network_info", {})["network"]
    (default,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [default["VpcId"]]}])["Subnets"]
    assert found["vpc_id"] == default["VpcId"]
    assert found["cidrs"] == [default["CidrBlock"]]
    assert found["subnet_ids"] == sorted(one["SubnetId"] for one in subnets)
    assert found["endpoints"] == []


def test_a_private_network_with_the_endpoints_that_it_has(cloud: Cloud, module: Module) -> None:
    make_network(cloud, "ecr.dkr")
    vpc, subnet = make_network(cloud, "ecr.api", "s3")
    found = module("job_network_info", {"vpc_id": vpc, "subnet_ids": [subnet]}, check=True)
    assert not found["changed"]
    assert found["network"]["endpoints"] == [
        {"service": f"com.amazonaws.{cloud.region}.ecr.api", "type": "Interface"},
        {"service": f"com.amazonaws.{cloud.region}.s3", "type": "Gateway"},
    ]
    assert found["network"]["cidrs"] == ["10.7.0.0/16"]
    assert found["network"]["subnet_ids"] == [subnet]
    assert [one[:3] for one in found["network"]["s3_prefix_lists"]] == ["pl-"]


def test_where_there_is_no_default_network_there_is_none(cloud: Cloud, module: Module) -> None:
    ec2 = cloud.client("ec2")
    default = module("job_network_info", {})["network"]
    for subnet in default["subnet_ids"]:
        ec2.delete_subnet(SubnetId=subnet)
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=default["vpc_id"])
    ec2.delete_vpc(VpcId=default["vpc_id"])
    found = module("job_network_info", {})["network"]
    assert (found["vpc_id"], found["subnet_ids"], found["endpoints"]) == ("", [], [])


def test_a_network_that_is_not_there_is_named(module: Module) -> None:
    result = module("job_network_info", {"vpc_id": "vpc-0123456789abcdef0"})
    assert result.failed
    assert "vpc-0123456789abcdef0" in result.msg


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    role = operator(cloud, [one for one in ACTIONS if one != missing])
    result = module("job_network_info", {}, credentials=role)
    assert result.failed
    assert missing in result.msg


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    assert module("job_network_info", {}, credentials=operator(cloud, ACTIONS))["network"]["vpc_id"]
