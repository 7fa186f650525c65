#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_registry_info
version_added: 0.1.0
short_description: Say which Amazon ECR registry the credentials and the region lead to
description:
  - Returns the account, the region and the partition of the private registry that the other modules of this collection
    would work on, and what the ARNs of its repositories begin with.
  - With it, policies can be written that are right in every account, region and partition.
  - There is M(amazon.aws.aws_caller_info) too, which does not tell the region.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  host:
    description:
      - Whether to return RV(registry.host) too, which needs the permission C(ecr:GetAuthorizationToken).
    type: bool
    default: false
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
  - Without O(host), it needs no permission. It calls C(sts:GetCallerIdentity), which everybody may.
seealso:
  - module: stevedore.ecr.ecr_registry_settings
  - module: amazon.aws.aws_caller_info
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Find out where we are
  stevedore.ecr.ecr_registry_info:
  register: here

- name: Let another account pull new images through the cache
  stevedore.ecr.ecr_registry_settings:
    policy_statements:
      - Sid: PullThroughCacheOfTeamA
        Effect: Allow
        Principal:
          AWS: "arn:{{ here.registry.partition }}:iam::210987654321:root"
        Action:
          - ecr:CreateRepository
          - ecr:BatchImportUpstreamImage
        Resource: "{{ here.registry.repository_arn }}/docker-hub/*"
"""

RETURN = r"""
registry:
  description: The registry.
  returned: success
  type: dict
  contains:
    registry_id:
      description: The number of the account.
      returned: always
      type: str
      sample: "123456789012"
    region:
      description: The region.
      returned: always
      type: str
      sample: eu-west-1
    partition:
      description: The partition, which is the second part of every ARN.
      returned: always
      type: str
      sample: aws
    repository_arn:
      description: What the ARN of each of its repositories begins with, without a slash at the end.
      returned: always
      type: str
      sample: arn:aws:ecr:eu-west-1:123456789012:repository
    host:
      description: What the address of each of its images begins with, before the first slash.
      returned: with O(host=true)
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_account import caller_identity
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, ecr_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import registry_host


def main() -> None:
    module = AnsibleAWSModule(argument_spec={"host": {"type": "bool", "default": False}}, supports_check_mode=True)
    with failing_readably(module):
        client = ecr_client(module, parallel=1)
        region = client.meta.region_name
        caller = caller_identity(aws_client(module, "sts"))
        partition, account = caller["Arn"].split(":")[1], caller["Account"]
        registry = {
            "registry_id": account,
            "region": region,
            "partition": partition,
            "repository_arn": f"arn:{partition}:ecr:{region}:{account}:repository",
        }
        if module.params["host"]:
            registry["host"] = registry_host(client)
        module.exit_json(changed=False, registry=registry)


if __name__ == "__main__":
    main()
