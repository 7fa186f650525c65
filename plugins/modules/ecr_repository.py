#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repository
version_added: 0.1.0
short_description: Have Amazon ECR repositories, all with the same settings
description:
  - Creates repositories that do not exist, and brings those that exist to the settings that are given.
  - Settings that are not given stay as they are. Tags are added and changed, and no others are removed.
  - Deletes nothing, see M(stevedore.ecr.ecr_repository_purge) for that.
  - One task handles all repositories, several at a time. One that fails does not stop the others. The task fails at its
    end, and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repositories:
    description:
      - The names of the repositories.
    type: list
    elements: str
    required: true
    aliases: [repository]
  settings:
    description:
      - What all of them are like.
    type: dict
    suboptions:
      scan_on_push:
        description:
          - Whether images are scanned when they are pushed. The scanning configuration of the registry has the last
            word.
        type: bool
      image_tag_mutability:
        description:
          - Whether a tag can be moved to another image. A new repository has V(MUTABLE) by default.
        type: str
        choices: [MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]
      image_tag_mutability_exclusion_filters:
        description:
          - Up to five tags, in which V(*) stands for any characters, that are an exception.
        type: list
        elements: str
      encryption_type:
        description:
          - How the repository is encrypted. A new repository has V(AES256) by default. Amazon ECR cannot change it
            afterwards, so that another one is an error.
        type: str
        choices: [AES256, KMS, KMS_DSSE]
      kms_key_arn:
        description:
          - The whole ARN of the key. Without it, the key of AWS for Amazon ECR is used.
        type: str
      lifecycle_rules:
        description:
          - The rules of the lifecycle policy, in the form of O(stevedore.ecr.ecr_lifecycle#module:rules). An empty list
            leaves the policies alone that there are.
        type: list
        elements: dict
      resource_tags:
        description:
          - Tags of the repository, at most 50.
        type: dict
  parallel:
    description:
      - How many repositories are handled at the same time.
    type: int
    default: 8
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs the permission C(ecr:DescribeRepositories), and as there is something to do C(ecr:CreateRepository),
    C(ecr:TagResource), C(ecr:PutLifecyclePolicy), C(ecr:PutImageTagMutability) and
    C(ecr:PutImageScanningConfiguration). To compare, it needs C(ecr:GetLifecyclePolicy) and C(ecr:ListTagsForResource).
seealso:
  - module: stevedore.ecr.ecr_lifecycle
  - module: stevedore.ecr.ecr_repository_purge
  - module: stevedore.ecr.ecr_creation_template
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Have two repositories in which untagged images go after a month
  stevedore.ecr.ecr_repository:
    repositories: [team/app, team/worker]
    settings:
      image_tag_mutability: IMMUTABLE
      scan_on_push: true
      lifecycle_rules:
        - priority: 1
          tag_status: untagged
          count_type: sinceImagePushed
          count_number: 30
          action: expire
      resource_tags:
        team: platform
"""

RETURN = r"""
repositories:
  description: What became of each repository, in the order of O(repositories).
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
      description: Whether it was created or changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: The settings that were changed, as they were; V(null) where there was no repository.
      returned: when this repository did not fail
      type: dict
      sample: {image_tag_mutability: MUTABLE}
    after:
      description: The same as they are now.
      returned: when this repository did not fail
      type: dict
      sample: {image_tag_mutability: IMMUTABLE}
    error:
      description: Why this repository failed.
      returned: when this repository failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to create the repository (needs ecr:CreateRepository): User: arn:aws:iam::123456789012:user/dev is
            not authorized to perform: ecr:CreateRepository (AccessDeniedException)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: AccessDeniedException
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(repositories) is returned
  type: list
  elements: str
  sample: ["create the repository team/app"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report,
    show_warnings,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.wanted_repositories import converge, read_settings

SETTINGS = {
    "scan_on_push": {"type": "bool"},
    "image_tag_mutability": {
        "type": "str",
        "choices": ["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"],
    },
    "image_tag_mutability_exclusion_filters": {"type": "list", "elements": "str"},
    "encryption_type": {"type": "str", "choices": ["AES256", "KMS", "KMS_DSSE"]},
    "kms_key_arn": {"type": "str", "no_log": False},
    "lifecycle_rules": {"type": "list", "elements": "dict"},
    "resource_tags": {"type": "dict"},
}

ARGUMENTS = {
    "repositories": {"type": "list", "elements": "str", "required": True, "aliases": ["repository"]},
    "settings": {"type": "dict", "options": SETTINGS},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, params["parallel"])
        wanted = read_settings(params["settings"] or {}, client.meta.region_name)
        show_warnings(wanted.new.warnings)
        outcomes = converge(
            client, params["repositories"], wanted, check_mode=module.check_mode, parallel=params["parallel"]
        )
        report(module, "repositories", outcomes)


if __name__ == "__main__":
    main()
