#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_shared_policy
version_added: 0.1.0
short_description: Manage IAM policies that several roles have
description:
  - Keeps managed policies, and attaches them to roles.
  - Policies are compared by what they mean.
  - Touches nothing else of the roles. Others that have the policy keep it.
  - There is M(amazon.aws.iam_managed_policy) too, which attaches nothing, and lists all policies of the account and of
    AWS to find one.
  - One task handles all policies. One that fails does not stop the others. The task fails at its end, and says which
    ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  policies:
    description:
      - The policies. What is not mentioned of a policy stays as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the policy, which has no path.
        type: str
        required: true
      policy:
        description:
          - What it allows, as a dictionary or as JSON text.
          - Required with O(state=present).
          - IAM allows 6144 characters. M(stevedore.ecr.iam_service_role) takes longer ones, for one role.
          - IAM keeps five versions. Where there are as many, the oldest one goes.
        type: json
      description:
        description:
          - What a new policy is for. IAM cannot change it afterwards.
        type: str
      tags:
        description: Tags that the policy shall have. They are added and changed, and no others are removed.
        type: dict
      roles:
        description:
          - The names or the ARNs of roles of the account that shall have the policy.
          - Others that have it keep it.
        type: list
        elements: str
  state:
    description:
      - With V(present), the policies exist as they are described.
      - With V(absent), they are taken away from everybody, and deleted. All options but O(policies[].name) are ignored.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs the permissions C(iam:GetPolicy), C(iam:GetPolicyVersion) and C(iam:ListEntitiesForPolicy), and as there is
    something to do C(iam:CreatePolicy), C(iam:CreatePolicyVersion), C(iam:ListPolicyVersions),
    C(iam:DeletePolicyVersion), C(iam:TagPolicy), C(iam:AttachRolePolicy), C(iam:DetachRolePolicy),
    C(iam:DetachUserPolicy), C(iam:DetachGroupPolicy) and C(iam:DeletePolicy).
seealso:
  - module: amazon.aws.iam_managed_policy
  - module: stevedore.ecr.iam_service_role
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Let the nodes of two clusters pull
  stevedore.ecr.iam_shared_policy:
    policies:
      - name: pull-images
        policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: ecr:GetAuthorizationToken
              Resource: "*"
            - Effect: Allow
              Action: [ecr:BatchGetImage, ecr:GetDownloadUrlForLayer]
              Resource: arn:aws:ecr:eu-west-1:123456789012:repository/team/*
        roles:
          - eks-nodes
          - arn:aws:iam::123456789012:role/ecs/task-execution

- name: Take it away from everybody
  stevedore.ecr.iam_shared_policy:
    policies:
      - name: pull-images
    state: absent
"""

RETURN = r"""
policies:
  description: What became of each policy, in the order of O(policies).
  returned: when the options are valid and AWS can be reached
  type: list
  elements: dict
  contains:
    name:
      description: The name of the policy.
      returned: always
      type: str
      sample: pull-images
    changed:
      description: Whether it was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    arn:
      description: The ARN, in check mode of a policy that would be created too, or V(null) for one that is not there.
      returned: when this policy did not fail
      type: str
      sample: arn:aws:iam::123456789012:policy/pull-images
    before:
      description: The policy as it was, in the form of RV(policies[].after), or V(null) where there was none.
      returned: when this policy did not fail
      type: dict
      sample: null
    after:
      description: The policy as it is now, or in check mode would be, or V(null) where there is none.
      returned: when this policy did not fail
      type: dict
      contains:
        policy:
          description: What it allows.
          returned: always
          type: dict
          sample: {}
        description:
          description: What it is for.
          returned: always
          type: str
          sample: ""
        tags:
          description: Its tags.
          returned: always
          type: dict
          sample: {}
        roles:
          description: The names of the roles that have it.
          returned: always
          type: list
          elements: str
          sample: [eks-nodes, task-execution]
    error:
      description: Why this policy failed.
      returned: when this policy failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to attach the policy: The role with name eks-nodes cannot be found (NoSuchEntity)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: NoSuchEntity
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(policies) is returned
  type: list
  elements: str
  sample: ["create the policy pull-images", "attach the policy pull-images to role eks-nodes"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import shared_policies
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_account import caller_identity
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably, report

POLICY_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "policy": {"type": "json"},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
    "roles": {"type": "list", "elements": "str"},
}

ARGUMENTS = {
    "policies": {"type": "list", "elements": "dict", "required": True, "options": POLICY_ARGUMENTS},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        policies = shared_policies.wanted_policies(params["policies"], params["state"])
        caller = caller_identity(aws_client(module, "sts"))
        shared_policies.check_accounts(params["policies"], caller["Account"])
        policies_arn = f"arn:{caller['Arn'].split(':')[1]}:iam::{caller['Account']}:policy/"
        outcomes = shared_policies.converge(
            aws_client(module, "iam"), policies, params["state"], policies_arn, check_mode=module.check_mode
        )
        report(module, "policies", outcomes)


if __name__ == "__main__":
    main()
