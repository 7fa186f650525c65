# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job that mirrors images has to be allowed, and no more. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]

# What the mirror engine asks of a repository that images go to.
INTO = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeRepositories",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
# And of one that they come from, in Amazon ECR too.
FROM = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages")
# To take away the tag under which an engine pushes before the record is written.
WITH_ENGINE = ("ecr:BatchDeleteImage",)
VPC = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], condition: Document | None = None) -> Document:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def policy(statements: Sequence[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trusted(service: str, account: str, source_arn: str) -> Document:
    """A trust policy for one service, acting for one thing of this account."""
    return policy(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": source_arn}},
            }
        ]
    )


def mirroring(repository_arns: Sequence[str], *, engine: bool) -> list[Document]:
    """To bring images into these repositories."""
    return [
        allow("Login", ["ecr:GetAuthorizationToken"], ["*"]),
        allow("Mirror", [*INTO, *(WITH_ENGINE if engine else ())], repository_arns),
    ]
