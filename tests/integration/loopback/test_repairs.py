"""What ministack does otherwise than AWS, and the loopback cloud mends."""

from __future__ import annotations

from typing import Any

import pytest
from ecr_api import allow, policy, refused

from loopback.client import Cloud

OTHER = "210987654321"


@pytest.mark.parametrize(("role", "may"), [("sync", True), ("another", False)])
def test_a_condition_knows_a_session_by_its_role(cloud: Cloud, role: str, may: bool) -> None:
    there = cloud.client("ecr", account=OTHER)
    there.create_repository(repositoryName="app")
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"},
        "Action": "ecr:ListImages",
        "Condition": {"StringEquals": {"aws:PrincipalArn": f"arn:aws:iam::{cloud.account}:role/sync"}},
    }
    there.set_repository_policy(repositoryName="app", policyText=policy(statement))
    ours = cloud.client("ecr", credentials=cloud.role(role, [allow("ecr:ListImages")]))
    if may:
        assert ours.list_images(registryId=OTHER, repositoryName="app")["imageIds"] == []
        return
    with refused("AccessDeniedException", "ecr:ListImages"):
        ours.list_images(registryId=OTHER, repositoryName="app")


def test_a_rule_of_a_security_group_keeps_its_prefix_lists(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    group = ec2.create_security_group(GroupName="tasks", Description="tasks")["GroupId"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    rules = [
        {**https, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]},
        {**https, "PrefixListIds": [{"PrefixListId": "pl-1"}, {"PrefixListId": "pl-2"}]},
    ]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    lists = [one["PrefixListId"] for rule in found["IpPermissionsEgress"] for one in rule["PrefixListIds"]]
    assert sorted(lists) == ["pl-1", "pl-2"]


def test_a_policy_that_asks_for_tls_lets_clients_in(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="jobs", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_object(Bucket="jobs", Key="job.json", Body=b"{}")

    def refusing(secure: str) -> str:
        objects, condition = "arn:aws:s3:::jobs/*", {"Bool": {"aws:SecureTransport": secure}}
        return policy(
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": objects, "Condition": condition}
        )

    role = cloud.client("s3", credentials=cloud.role("task", [allow("s3:GetObject")]))
    s3.put_bucket_policy(Bucket="jobs", Policy=refusing("false"))
    assert role.get_object(Bucket="jobs", Key="job.json")["Body"].read() == b"{}"
    s3.put_bucket_policy(Bucket="jobs", Policy=refusing("true"))
    with refused("AccessDenied", "explicit deny"):
        role.get_object(Bucket="jobs", Key="job.json")
