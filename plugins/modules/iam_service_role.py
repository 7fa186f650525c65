#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_service_role
version_added: 0.1.0
short_description: Manage IAM roles that AWS services assume
description:
  - Gives an AWS service a role to act in, and one policy that says what it may do.
  - Policies are compared by what they mean.
  - There is M(amazon.aws.iam_role) too. It leaves inline policies to a module of another collection, and the length of
    policies to whoever calls it.
  - One task handles all roles. One that fails does not stop the others. The task fails at its end, and says which ones
    failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  roles:
    description:
      - The roles. What is not mentioned of a role stays as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the role, and of its inline policy. At most 64 characters.
        type: str
        required: true
      trust_policy:
        description:
          - Who may assume the role, as a dictionary or as JSON text.
          - Required with O(state=present).
        type: json
      policy:
        description:
          - What the role may do, as a dictionary or as JSON text.
          - It becomes an inline policy. IAM allows 10240 characters there. A longer one is taken apart, by statements,
            and where one is too long by its resources. It becomes up to ten managed policies, which are named after the
            role and numbered, such as C(NAME-1), and come and go with it.
        type: json
      description:
        description: What the role is for.
        type: str
      tags:
        description: Tags that the role shall have. They are added and changed, and no others are removed.
        type: dict
      path:
        description:
          - The path of a new role and of its managed policies, such as V(/services/). Without it, V(/).
          - IAM cannot change it afterwards, so that another one is an error.
        type: str
      permissions_boundary:
        description:
          - The ARN of the policy that limits what the role can be allowed. An empty text takes it away.
        type: str
  state:
    description:
      - With V(present), the roles exist as they are described.
      - With V(absent), they are deleted, whatever policies they have. All options but O(roles[].name) are ignored.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    details:
      - The ARN of a role that does not exist yet is not known.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs the permissions C(iam:GetRole), C(iam:GetRolePolicy) and C(iam:ListAttachedRolePolicies), and as there is
    something to do C(iam:CreateRole), C(iam:UpdateAssumeRolePolicy), C(iam:UpdateRole), C(iam:PutRolePolicy),
    C(iam:TagRole), C(iam:PutRolePermissionsBoundary), C(iam:DeleteRolePermissionsBoundary), C(iam:ListRolePolicies),
    C(iam:DeleteRolePolicy), C(iam:DetachRolePolicy) and C(iam:DeleteRole).
  - For a policy that is too long for an inline one, it needs what M(stevedore.ecr.iam_shared_policy) needs too.
seealso:
  - module: amazon.aws.iam_role
  - module: stevedore.ecr.iam_shared_policy
  - module: stevedore.ecr.ecr_creation_template
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Let Amazon ECR tag the repositories that it creates for a cache
  stevedore.ecr.iam_service_role:
    roles:
      - name: ecr-templates
        description: Creates the repositories of the pull-through cache
        trust_policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Principal:
                Service: ecr.amazonaws.com
              Action: sts:AssumeRole
        policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: [ecr:CreateRepository, ecr:TagResource]
              Resource: arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/*
"""

RETURN = r"""
roles:
  description: What became of each role, in the order of O(roles).
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: The name of the role.
      returned: always
      type: str
      sample: ecr-templates
    changed:
      description: Whether it was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    arn:
      description: The ARN, or V(null) for a role that is not there.
      returned: when this role did not fail
      type: str
      sample: arn:aws:iam::123456789012:role/ecr-templates
    before:
      description: The role as it was, in the form of RV(roles[].after), or V(null) where there was none.
      returned: when this role did not fail
      type: dict
      sample: null
    after:
      description: The role as it is now, or in check mode would be, or V(null) where there is none.
      returned: when this role did not fail
      type: dict
      contains:
        trust_policy:
          description: Who may assume it.
          returned: always
          type: dict
          sample: {}
        policy:
          description: What it may do by its inline policy, or V(null) where it has none.
          returned: always
          type: dict
          sample: {}
        managed_policies:
          description: What it may do, in parts, where O(roles[].policy) is too long for an inline policy.
          returned: always
          type: list
          elements: dict
          sample: []
        path:
          description: Its path.
          returned: always
          type: str
          sample: /
        permissions_boundary:
          description: The ARN of the policy that limits it, or an empty text.
          returned: always
          type: str
          sample: ""
        description:
          description: What it is for.
          returned: always
          type: str
          sample: Creates the repositories of the pull-through cache
        tags:
          description: Its tags.
          returned: always
          type: dict
          sample: {}
    error:
      description: Why this role failed.
      returned: when this role failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to create the role (needs iam:CreateRole): User: arn:aws:iam::123456789012:user/dev is not authorized
            to perform: iam:CreateRole on resource: arn:aws:iam::123456789012:role/ecr-templates (AccessDenied)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: AccessDenied
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(roles) is returned
  type: list
  elements: str
  sample: ["create the role ecr-templates"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import service_roles
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably, report

ROLE_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "trust_policy": {"type": "json"},
    "policy": {"type": "json"},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
    "path": {"type": "str"},
    "permissions_boundary": {"type": "str"},
}

ARGUMENTS = {
    "roles": {"type": "list", "elements": "dict", "required": True, "options": ROLE_ARGUMENTS},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        roles = service_roles.wanted_roles(params["roles"], params["state"])
        client = aws_client(module, "iam")
        report(module, "roles", service_roles.converge(client, roles, params["state"], check_mode=module.check_mode))


if __name__ == "__main__":
    main()
