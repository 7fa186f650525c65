#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repository_policy
version_added: 0.1.0
short_description: Manage statements of the policies of Amazon ECR repositories
description:
  - Has statements in the policies of repositories, and others not, by their C(Sid). All other statements stay as they
    are.
  - Such policies let other accounts pull from a repository.
  - Policies are compared by what they mean.
  - One task handles all repositories, several at a time. One that fails does not stop the others. The task fails at its
    end, and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repositories:
    description:
      - The repositories.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the repository, which has to exist.
        type: str
        required: true
      statements:
        description: Statements to have, each with a C(Sid).
        type: list
        elements: dict
      absent_sids:
        description: Statements not to have. With the last statement, the policy goes.
        type: list
        elements: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs the permissions C(ecr:GetRepositoryPolicy), C(ecr:SetRepositoryPolicy) and C(ecr:DeleteRepositoryPolicy).
seealso:
  - module: stevedore.ecr.ecr_repository
  - module: stevedore.ecr.ecr_registry_settings
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Let another account pull
  stevedore.ecr.ecr_repository_policy:
    repositories:
      - name: team/app
        statements:
          - Sid: PullByTheOther
            Effect: Allow
            Principal:
              AWS: arn:aws:iam::210987654321:root
            Action: [ecr:BatchGetImage, ecr:GetDownloadUrlForLayer]
"""

RETURN = r"""
repositories:
  description: What became of each policy, in the order of O(repositories).
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: The name of the repository.
      returned: always
      type: str
      sample: team/app
    changed:
      description: Whether its policy was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: The policy as it was, or V(null) where there was none.
      returned: when this repository did not fail
      type: dict
      sample: null
    after:
      description: The policy as it is now, or in check mode would be, or V(null) where there is none.
      returned: when this repository did not fail
      type: dict
      sample: {Version: "2012-10-17", Statement: []}
    error:
      description: Why this repository failed.
      returned: when this repository failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: The repository with name 'team/app' does not exist (RepositoryNotFoundException)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: RepositoryNotFoundException
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(repositories) is returned
  type: list
  elements: str
  sample: ["add the statement PullByTheOther"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably, report
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_statements import converge, edits

REPOSITORY_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "statements": {"type": "list", "elements": "dict"},
    "absent_sids": {"type": "list", "elements": "str"},
}

ARGUMENTS = {
    "repositories": {"type": "list", "elements": "dict", "required": True, "options": REPOSITORY_ARGUMENTS},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with failing_readably(module):
        wanted = edits(module.params["repositories"])
        client = ecr_client(module, parallel=8)
        report(module, "repositories", converge(client, wanted, check_mode=module.check_mode))


if __name__ == "__main__":
    main()
