#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repository_purge
version_added: 0.1.0
short_description: Delete Amazon ECR repositories with all their images
description:
  - Deletes any number of repositories, by name or by glob. B(Their images are gone for good).
  - Meant for what a cache or a mirror leaves behind. Run it in check mode first, which lists what would be deleted.
  - The collection amazon.aws has no module that deletes repositories.
  - One task handles all repositories, several at a time. One that fails does not stop the others. The task fails at its
    end, and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repositories:
    description:
      - Names of repositories, globs, or both, for example V(docker-hub/*).
      - In a glob, V(*) stands for any characters, slashes included, V(?) for one, and V([abc]) for one of these.
      - Those that do not exist are no failure.
    type: list
    elements: str
    required: true
    aliases: [repository]
  parallel:
    description:
      - How many repositories are deleted at the same time.
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
  - Needs the permissions C(ecr:DescribeRepositories) and C(ecr:DeleteRepository).
seealso:
  - module: stevedore.ecr.ecr_image_info
  - module: stevedore.ecr.ecr_pull_through_rule
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: See what the cache of Quay has left behind
  stevedore.ecr.ecr_repository_purge:
    repositories: quay/*
  check_mode: true
  register: leftovers

- name: Show it
  ansible.builtin.debug:
    msg: "{{ leftovers.repositories | map(attribute='name') }}"

- name: Delete it
  stevedore.ecr.ecr_repository_purge:
    repositories: quay/*
"""

RETURN = r"""
repositories:
  description: What became of each repository that exists and is meant, in the order of their names.
  returned: when the options are valid and the repositories could be listed
  type: list
  elements: dict
  contains:
    name:
      description: The name of the repository.
      returned: always
      type: str
      sample: quay/prometheus/prometheus
    changed:
      description: Whether it was deleted, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: Its name.
      returned: when this repository did not fail
      type: str
      sample: quay/prometheus/prometheus
    after:
      description: V(null).
      returned: when this repository did not fail
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
            Failed to delete the repository (needs ecr:DeleteRepository): User: arn:aws:iam::123456789012:user/dev is
            not authorized to perform: ecr:DeleteRepository (AccessDeniedException)
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
  sample: ["delete the repository quay/prometheus/prometheus with all its images"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably, report
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_removal import existing, remove

ARGUMENTS = {
    "repositories": {"type": "list", "elements": "str", "required": True, "aliases": ["repository"]},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, params["parallel"])
        outcomes = run_each(
            existing(client, params["repositories"]),
            lambda name: remove(client, name, check_mode=module.check_mode),
            params["parallel"],
        )
        report(module, "repositories", outcomes)


if __name__ == "__main__":
    main()
