#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_network_info
version_added: 0.1.0
short_description: Say what there is of a network that scheduled jobs are to run in
description:
  - Returns the subnets to use, the endpoints that the network has, and the prefix lists that stand for the addresses of
    Amazon S3, through which all layers come.
  - There are M(amazon.aws.ec2_vpc_net_info), M(amazon.aws.ec2_vpc_subnet_info) and M(amazon.aws.ec2_vpc_endpoint_info)
    too, which do not tell the prefix lists.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  vpc_id:
    description: The network. By default the default one of the region.
    type: str
    default: ""
  subnet_ids:
    description: The subnets. By default the default ones of the network.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
notes:
  - Needs the permissions C(ec2:DescribeVpcs), C(ec2:DescribeSubnets), C(ec2:DescribeVpcEndpoints) and
    C(ec2:DescribePrefixLists).
seealso:
  - module: amazon.aws.ec2_vpc_endpoint_info
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: See where tasks can run
  stevedore.ecr.job_network_info:
  register: here
"""

RETURN = r"""
network:
  description: The network.
  returned: success
  type: dict
  contains:
    vpc_id:
      description: Its id; empty where there is none by default.
      returned: always
      type: str
      sample: vpc-0123456789abcdef0
    cidrs:
      description: Its addresses.
      returned: always
      type: list
      elements: str
      sample: [172.31.0.0/16]
    subnet_ids:
      description: The subnets.
      returned: always
      type: list
      elements: str
      sample: [subnet-0123456789abcdef0]
    endpoints:
      description: Its endpoints, each with the C(service) that it is for and its C(type).
      returned: always
      type: list
      elements: dict
      sample: [{"service": "com.amazonaws.eu-west-1.s3", "type": "Gateway"}]
    s3_prefix_lists:
      description: What stands for the addresses of Amazon S3.
      returned: always
      type: list
      elements: str
      sample: [pl-6da54004]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.networks import describe

ARGUMENTS = {
    "vpc_id": {"type": "str", "default": ""},
    "subnet_ids": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with failing_readably(module):
        client = aws_client(module, "ec2")
        network = describe(client, module.params["vpc_id"], module.params["subnet_ids"])
        module.exit_json(changed=False, network=network)


if __name__ == "__main__":
    main()
