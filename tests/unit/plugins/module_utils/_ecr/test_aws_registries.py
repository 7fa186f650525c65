# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import EcrHost, ecr_host

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("dkr.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("dkr.ecr-fips.us-east-2.amazonaws.com", "us-east-2"),
        ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("dkr-ecr.ap-southeast-4.on.aws", "ap-southeast-4"),
        ("dkr-ecr-fips.us-east-1.on.aws", "us-east-1"),
        ("dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn", "cn-northwest-1"),
    ],
)
def test_registries_of_all_partitions(host: str, region: str) -> None:
    assert ecr_host(f"{ACCOUNT}.{host}") == EcrHost(ACCOUNT, region)


@pytest.mark.parametrize(
    "host",
    [
        "docker.io",
        "public.ecr.aws",
        "dkr.ecr.eu-west-1.amazonaws.com",
        # Whoever has such a name is not to get a login.
        f"{ACCOUNT}.dkr.ecr.eu-west-1.example.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.example.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.evilamazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.evil.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com:8443",
        f"x.{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
    ],
)
def test_everything_else_is_none(host: str) -> None:
    assert ecr_host(host) is None
