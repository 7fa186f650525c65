#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_registry_settings
version_added: 0.1.0
short_description: Manage what holds for a whole Amazon ECR registry
description:
  - Manages the registry policy, scanning, replication, account settings and pull-time update exclusions of a private
    registry, which is what an account has of Amazon ECR in a region.
  - Each part is managed only when its option is given. All others stay as they are.
  - Of the registry policy, only the statements that are named by their C(Sid) are touched.
  - Everything is compared by what it means. Order, single values instead of lists and the ways to name an account make
    no difference.
  - Everything is checked before AWS is asked anything. All mistakes are reported together.
  - A part that fails does not stop the others. The task fails at its end, and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  policy_statements:
    description:
      - Statements that the registry policy shall have, in the form of AWS, each with a C(Sid) of its own.
      - A statement with the same C(Sid) is replaced where it means something else. All other statements stay.
      - Each needs C(Effect), one of C(Principal) and C(NotPrincipal), one of C(Action) and C(NotAction), and one of
        C(Resource) and C(NotResource).
      - The whole policy may have 10,240 characters.
    type: list
    elements: dict
  absent_statements:
    description:
      - The C(Sid) of each statement that the registry policy shall not have.
      - When none is left, the policy is deleted.
    type: list
    elements: str
  policy_scope:
    description:
      - What the registry policy holds for. V(V2) is every action and every request.
      - This is what new registries have. In older ones, the policy holds for C(ecr:ReplicateImage),
        C(ecr:BatchImportUpstreamImage) and C(ecr:CreateRepository) only, until this is set. There is no way back.
      - Look for statements that deny before you set it.
    type: str
    choices: [V2]
  scanning:
    description: How images are scanned for vulnerabilities.
    type: dict
    suboptions:
      scan_type:
        description:
          - V(BASIC) scans with Amazon ECR itself, V(ENHANCED) with Amazon Inspector, which is charged for.
          - Without it, the type stays as it is.
        type: str
        choices: [BASIC, ENHANCED]
      rules:
        description:
          - All rules, at most one for each frequency. With an empty list, no repository is scanned by itself.
          - Without it, the rules stay as they are.
        type: list
        elements: dict
        suboptions:
          scan_frequency:
            description:
              - When the repositories of the rule are scanned.
              - V(CONTINUOUS_SCAN) is for V(ENHANCED) only, V(MANUAL) for V(BASIC) only.
            type: str
            choices: [SCAN_ON_PUSH, CONTINUOUS_SCAN, MANUAL]
            required: true
          repository_filters:
            description:
              - Which repositories these are. V(*) stands for any characters.
              - A filter without V(*) means every repository whose name B(contains) it.
            type: list
            elements: str
            required: true
  replication_rules:
    description:
      - All rules by which images are copied to other regions and accounts when they are pushed.
      - At most 25, with at most 25 different destinations.
      - The rules that there are and that are not listed are removed. With an empty list, nothing is replicated.
    type: list
    elements: dict
    suboptions:
      destinations:
        description: Where the images go.
        type: list
        elements: dict
        required: true
        suboptions:
          region:
            description: A region.
            type: str
            required: true
          registry_id:
            description:
              - The account. Its registry policy must allow C(ecr:ReplicateImage).
              - Without it, this account is meant.
            type: str
      repository_prefixes:
        description:
          - What the names of the repositories begin with. Without it, all repositories are replicated.
        type: list
        elements: str
      delete_replication:
        description:
          - Whether images that are deleted here shall be deleted there.
          - Needs botocore 1.44 or later.
        type: bool
        default: false
  blob_mounting:
    description:
      - Whether a layer that one repository has can be used by another one without uploading it again.
      - Both need the same encryption.
    type: str
    choices: [enabled, disabled]
  basic_scan_version:
    description: The scanner of O(scanning.scan_type=BASIC). There is only one left.
    type: str
    choices: [AWS_NATIVE]
  pull_time_exclusions:
    description:
      - The ARNs of IAM roles and users whose pulls shall not count as use of an image.
      - Meant for those that copy or scan images. Lifecycle policies with C(sinceImagePulled) would never apply
        otherwise.
      - At most 100.
    type: list
    elements: str
  purge_pull_time_exclusions:
    description: Whether to remove the exclusions that O(pull_time_exclusions) does not list.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Amazon ECR has one registry policy, and no lock for it. This module reads it, merges, writes, and reads it again.
    Where somebody else wrote in between, it says which statements of others are gone, and writes its own once more. It
    cannot see a statement that somebody adds in the moment between its own reading and writing.
  - A statement that denies something to everyone causes a warning when it is added to a policy of the scope V(V2).
  - Needs, as the options ask for them, the permissions C(ecr:GetRegistryPolicy), C(ecr:PutRegistryPolicy) and
    C(ecr:DeleteRegistryPolicy), C(ecr:GetRegistryScanningConfiguration) and C(ecr:PutRegistryScanningConfiguration),
    C(ecr:DescribeRegistry) and C(ecr:PutReplicationConfiguration), C(ecr:GetAccountSetting) (also for a policy that
    denies something to everyone) and C(ecr:PutAccountSetting), C(ecr:ListPullTimeUpdateExclusions),
    C(ecr:RegisterPullTimeUpdateExclusion) and C(ecr:DeregisterPullTimeUpdateExclusion). AWS asks for
    C(iam:CreateServiceLinkedRole) with the first replication rule and the first V(ENHANCED) scanning of an account, and
    for C(inspector2) permissions with the latter.
seealso:
  - module: stevedore.ecr.ecr_pull_through_rule
  - module: stevedore.ecr.ecr_creation_template
  - name: Private registry permissions in Amazon ECR
    description: What a registry policy can allow and deny.
    link: https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Let another account pull new images through the cache
  stevedore.ecr.ecr_registry_settings:
    policy_statements:
      - Sid: PullThroughCacheOfTeamA
        Effect: Allow
        Principal:
          AWS: arn:aws:iam::210987654321:root
        Action:
          - ecr:CreateRepository
          - ecr:BatchImportUpstreamImage
        Resource: arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/*

- name: Take it back, whatever else is in the policy
  stevedore.ecr.ecr_registry_settings:
    absent_statements: [PullThroughCacheOfTeamA]

- name: Scan what runs in production continuously, and the rest when it is pushed
  stevedore.ecr.ecr_registry_settings:
    scanning:
      scan_type: ENHANCED
      rules:
        - scan_frequency: CONTINUOUS_SCAN
          repository_filters: ["prod/*"]
        - scan_frequency: SCAN_ON_PUSH
          repository_filters: ["*"]

- name: Copy releases to a second region, and share layers between repositories
  stevedore.ecr.ecr_registry_settings:
    replication_rules:
      - destinations:
          - region: eu-central-1
        repository_prefixes: [prod/]
    blob_mounting: enabled

- name: Let images grow old although the mirror reads them every night
  stevedore.ecr.ecr_registry_settings:
    pull_time_exclusions:
      - arn:aws:iam::123456789012:role/image-mirror
"""

RETURN = r"""
settings:
  description: What became of each part that is managed. The policy comes last, because it may deny the others.
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description:
        - V(policy_scope), V(basic_scan_version), V(blob_mounting), V(scanning), V(replication), V(pull_time_exclusions)
          or V(policy).
      returned: always
      type: str
      sample: policy
    changed:
      description: Whether this part was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description:
        - What it was. A document for V(policy), a dictionary for V(scanning), lists for V(replication) and
          V(pull_time_exclusions), and texts for the others, in the form of the options.
        - V(null) where there was none.
      returned: when this part did not fail
      type: raw
      sample: null
    after:
      description: What it is now, or in check mode would be.
      returned: when this part did not fail
      type: raw
      sample:
        Version: "2012-10-17"
        Statement:
          - Sid: PullThroughCacheOfTeamA
            Effect: Allow
            Principal:
              AWS: arn:aws:iam::210987654321:root
            Action: [ecr:CreateRepository, ecr:BatchImportUpstreamImage]
            Resource: arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/*
    error:
      description: Why this part failed.
      returned: when this part failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to write the registry policy (needs ecr:PutRegistryPolicy): User:
            arn:aws:iam::123456789012:user/dev is not authorized to perform: ecr:PutRegistryPolicy
            (AccessDeniedException)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: AccessDeniedException
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(settings) is returned
  type: list
  elements: str
  sample: ["add statement PullThroughCacheOfTeamA of the registry policy"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import registry_settings
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report,
    show_warnings,
)

SCANNING_ARGUMENTS = {
    "scan_type": {"type": "str", "choices": ["BASIC", "ENHANCED"]},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "scan_frequency": {
                "type": "str",
                "choices": ["SCAN_ON_PUSH", "CONTINUOUS_SCAN", "MANUAL"],
                "required": True,
            },
            "repository_filters": {"type": "list", "elements": "str", "required": True},
        },
    },
}

REPLICATION_ARGUMENTS = {
    "destinations": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"region": {"type": "str", "required": True}, "registry_id": {"type": "str"}},
    },
    "repository_prefixes": {"type": "list", "elements": "str"},
    "delete_replication": {"type": "bool", "default": False},
}

ARGUMENTS = {
    "policy_statements": {"type": "list", "elements": "dict"},
    "absent_statements": {"type": "list", "elements": "str"},
    "policy_scope": {"type": "str", "choices": ["V2"]},
    "scanning": {"type": "dict", "options": SCANNING_ARGUMENTS},
    "replication_rules": {"type": "list", "elements": "dict", "options": REPLICATION_ARGUMENTS},
    "blob_mounting": {"type": "str", "choices": ["enabled", "disabled"]},
    "basic_scan_version": {"type": "str", "choices": ["AWS_NATIVE"]},
    "pull_time_exclusions": {"type": "list", "elements": "str"},
    "purge_pull_time_exclusions": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_one_of=[[option for option in ARGUMENTS if option != "purge_pull_time_exclusions"]],
    )
    with failing_readably(module):
        parts = registry_settings.desired_parts(module.params)
        client = ecr_client(module, parallel=1)
        warnings: list[str] = []
        settings = registry_settings.Settings(module.check_mode, warnings.append)
        outcomes = run_each(
            list(parts), lambda part: registry_settings.converge(client, part, parts, settings), parallel=1
        )
        show_warnings(warnings)
        report(module, "settings", outcomes)


if __name__ == "__main__":
    main()
