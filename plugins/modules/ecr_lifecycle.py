#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_lifecycle
version_added: 0.1.0
short_description: Manage the lifecycle policies of Amazon ECR repositories
description:
  - Gives one lifecycle policy to any number of Amazon ECR repositories, or removes theirs.
  - Policies are compared by what they mean. The order of rules and tags, nulls, defaults and white space make no
    difference.
  - The whole policy is checked before AWS is asked anything. All mistakes are reported together, each with its rule and
    field.
  - One task handles all repositories, several at a time. One that fails does not stop the others. The task fails at its
    end, and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repositories:
    description:
      - Names of repositories, globs, or both, for example V(team/app) and V(team/*).
      - In a glob, V(*) stands for any characters, slashes included, V(?) for one, and V([abc]) for one of these.
      - A glob that matches nothing causes a warning. A name that does not exist is a failure.
      - A repository that is meant more than once is handled once.
    type: list
    elements: str
    required: true
    aliases: [repository]
  state:
    description:
      - With V(present), every repository gets exactly the policy that O(rules) or O(policy) describes.
      - With V(absent), no repository keeps a lifecycle policy, and O(rules) and O(policy) are ignored.
      - Neither deletes an image by itself. Amazon ECR acts on a policy within 24 hours.
    type: str
    choices: [present, absent]
    default: present
  rules:
    description:
      - The rules of the policy, at most 50. Their order does not matter, their O(rules[].priority) does.
      - Either O(rules) or O(policy) is required with O(state=present).
    type: list
    elements: dict
    suboptions:
      priority:
        description:
          - Required. A whole number of at least 1, different for each rule.
          - The rule with the lowest number is applied first. An image is acted on by one rule at most.
        type: int
      description:
        description: What the rule is for.
        type: str
      tag_status:
        description:
          - Required. Which images the rule selects.
          - V(tagged) selects images with tags that match O(rules[].tag_patterns) or O(rules[].tag_prefixes).
          - V(untagged) selects images without a tag. One rule for each storage class may do so.
          - V(any) selects all images. Such a rule must have the highest O(rules[].priority) of its storage class.
        type: str
      tag_patterns:
        description:
          - Tags, in which V(*) stands for any characters, and may do so four times.
          - An image must have a matching tag for B(every) pattern. Write several rules where one of them is enough.
          - With O(rules[].tag_status=tagged), either this or O(rules[].tag_prefixes) is required.
        type: list
        elements: str
      tag_prefixes:
        description:
          - Beginnings of tags. An image must have a matching tag for B(every) prefix.
        type: list
        elements: str
      storage_class:
        description:
          - Where the images are that the rule selects, V(standard) or V(archive).
          - V(archive) is required with O(rules[].count_type=sinceImageTransitioned) and refused with all others.
          - Without it, V(standard) is meant.
        type: str
      count_type:
        description:
          - Required. What O(rules[].count_number) counts.
          - V(imageCountMoreThan) counts images, and acts on all but the newest. With O(rules[].tag_status=any) the
            children of multi-arch images and signatures count too, which causes a warning.
          - V(sinceImagePushed) counts days since the image was pushed.
          - V(sinceImagePulled) counts days since the image was last pulled, with O(rules[].action=transition) only.
          - V(sinceImageTransitioned) counts days since the image was archived, at least 90, with
            O(rules[].action=expire) only.
        type: str
      count_unit:
        description:
          - V(days), the only unit there is, which is meant where the count needs one.
          - Not allowed with O(rules[].count_type=imageCountMoreThan).
        type: str
      count_number:
        description:
          - Required. A number of images or days, at least 1.
        type: int
      action:
        description:
          - Required. What happens to the images.
          - V(expire) deletes them, V(transition) moves them to O(rules[].target_storage_class).
        type: str
      target_storage_class:
        description:
          - V(archive), required with O(rules[].action=transition).
        type: str
  policy:
    description:
      - The policy in the form of Amazon ECR, as a dictionary or as JSON text.
      - Mutually exclusive with O(rules).
    type: json
  preview:
    description:
      - Also return which images the policy would expire or archive, see RV(repositories[].preview).
      - Amazon ECR works it out, in a few seconds or minutes. Images are not touched.
      - It runs in check mode too. Outside check mode it runs before the policy is written. Where it fails, nothing is
        written.
      - Cannot be combined with O(state=absent).
    type: bool
    default: false
  preview_timeout:
    description:
      - How many seconds to wait for the preview of one repository.
    type: int
    default: 300
  parallel:
    description:
      - How many repositories are handled at the same time.
    type: int
    default: 8
attributes:
  check_mode:
    support: full
    details:
      - With O(preview=true), Amazon ECR keeps the result of the preview for a while. It changes no policy and no image.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs the permission C(ecr:GetLifecyclePolicy), and as the options ask for them C(ecr:PutLifecyclePolicy),
    C(ecr:DeleteLifecyclePolicy), C(ecr:DescribeRepositories) for globs, and C(ecr:StartLifecyclePolicyPreview) with
    C(ecr:GetLifecyclePolicyPreview) for the preview.
seealso:
  - name: Lifecycle policies in Amazon ECR
    description: How Amazon ECR evaluates rules, with examples.
    link: https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Keep ten releases, and untagged images for a week
  stevedore.ecr.ecr_lifecycle:
    repositories:
      - team/app
      - mirror/*
    rules:
      - priority: 1
        description: Untagged images go after a week
        tag_status: untagged
        count_type: sinceImagePushed
        count_number: 7
        action: expire
      - priority: 2
        description: Ten releases stay
        tag_status: tagged
        tag_patterns: ["v*"]
        count_type: imageCountMoreThan
        count_number: 10
        action: expire

- name: Archive what nobody pulled for 90 days, and delete it a year later
  stevedore.ecr.ecr_lifecycle:
    repositories: team/*
    rules:
      - priority: 10
        tag_status: any
        count_type: sinceImagePulled
        count_number: 90
        action: transition
        target_storage_class: archive
      - priority: 20
        tag_status: any
        storage_class: archive
        count_type: sinceImageTransitioned
        count_number: 365
        action: expire

- name: Take a policy from a file, as the AWS CLI does
  stevedore.ecr.ecr_lifecycle:
    repositories: team/app
    policy: "{{ lookup('ansible.builtin.file', 'lifecycle-policy.json') }}"

- name: See which images the policy would expire, and write nothing
  stevedore.ecr.ecr_lifecycle:
    repositories: team/*
    policy: "{{ lookup('ansible.builtin.file', 'lifecycle-policy.json') }}"
    preview: true
  check_mode: true
  register: lifecycle

- name: Show how many there are in each repository
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.preview.expiring_total }}"
  loop: "{{ lifecycle.repositories }}"
  loop_control:
    label: "{{ item.name }}"

- name: Let the images of a repository live for ever
  stevedore.ecr.ecr_lifecycle:
    repositories: team/keepsakes
    state: absent
"""

RETURN = r"""
repositories:
  description: What became of each repository, in the order of O(repositories).
  returned: when the options are valid and the repositories could be listed
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
      description:
        - The rules that it had, as in O(rules), in the order in which they are applied.
        - V(null) where it had no policy.
      returned: when this repository did not fail
      type: list
      elements: dict
      sample: null
    after:
      description:
        - The rules that it has now, or in check mode would have.
        - V(null) where it has no policy.
      returned: when this repository did not fail
      type: list
      elements: dict
      sample:
        - priority: 2
          description: Ten releases stay
          tag_status: tagged
          tag_patterns: ["v*"]
          storage_class: standard
          count_type: imageCountMoreThan
          count_number: 10
          action: expire
    preview:
      description: What the policy would do to the images that are there now.
      returned: when O(preview=true) and this repository did not fail
      type: dict
      contains:
        expiring_total:
          description: How many images would be deleted.
          returned: always
          type: int
          sample: 1
        transitioning_total:
          description: How many images would be archived.
          returned: always
          type: int
          sample: 0
        images:
          description: These images.
          returned: always
          type: list
          elements: dict
          contains:
            digest:
              description: The digest of the image.
              returned: always
              type: str
              sample: sha256:0f5ae0c6bd3fe8b3cc8fbd5b9b5d3ee1ad9e32fd8a8b2a3e5cb2b3c1c4d5e6f7
            tags:
              description: The tags of the image.
              returned: always
              type: list
              elements: str
              sample: ["v1.0.0"]
            pushed_at:
              description: When the image was pushed.
              returned: always
              type: str
              sample: "2026-01-31T12:00:00+00:00"
            storage_class:
              description: Where the image is now, V(standard) or V(archive).
              returned: always
              type: str
              sample: standard
            rule_priority:
              description: The priority of the rule that would act.
              returned: always
              type: int
              sample: 2
            action:
              description: What it would do, V(expire) or V(transition).
              returned: always
              type: str
              sample: expire
            target_storage_class:
              description: Where the image would go, with RV(repositories[].preview.images[].action=transition).
              returned: always
              type: str
              sample: null
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
            Failed to read the lifecycle policy: The repository with name 'team/app' does not exist in the registry
            with id '123456789012' (RepositoryNotFoundException)
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
  sample: ["write the lifecycle policy of team/app (rules: 2)"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import lifecycle
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report,
    show_warnings,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repositories import find_repositories

# Required fields and choices of a rule are left to the grammar check, whose messages name the rule.
RULE_ARGUMENTS = {
    "priority": {"type": "int"},
    "description": {"type": "str"},
    "tag_status": {"type": "str"},
    "tag_patterns": {"type": "list", "elements": "str"},
    "tag_prefixes": {"type": "list", "elements": "str"},
    "storage_class": {"type": "str"},
    "count_type": {"type": "str"},
    "count_unit": {"type": "str"},
    "count_number": {"type": "int"},
    "action": {"type": "str"},
    "target_storage_class": {"type": "str"},
}

ARGUMENTS = {
    "repositories": {"type": "list", "elements": "str", "required": True, "aliases": ["repository"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "rules": {"type": "list", "elements": "dict", "options": RULE_ARGUMENTS},
    "policy": {"type": "json"},
    "preview": {"type": "bool", "default": False},
    "preview_timeout": {"type": "int", "default": 300},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        mutually_exclusive=[("rules", "policy")],
        required_if=[("state", "present", ("rules", "policy"), True)],
    )
    params = module.params
    with failing_readably(module):
        desired = lifecycle.desired_policy(params)
        client = ecr_client(module, params["parallel"])
        repositories = find_repositories(client, params["repositories"])
        show_warnings(desired.warnings + repositories.warnings)
        settings = lifecycle.Settings(module.check_mode, params["preview"], params["preview_timeout"])
        outcomes = run_each(
            repositories.names,
            lambda name: lifecycle.converge(client, name, desired.rules, settings),
            params["parallel"],
        )
        report(module, "repositories", outcomes)


if __name__ == "__main__":
    main()
