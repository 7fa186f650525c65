#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_image_info
version_added: 0.1.0
short_description: List the images of Amazon ECR repositories
description:
  - Returns the images of any number of Amazon ECR repositories, with their digests, tags, sizes and times, and the
    addresses to pull them by.
  - Returns all images, or looks for tags and digests and says which of them are missing.
  - One task handles all repositories, several at a time. One that fails does not stop the others. The task fails at its
    end, and says which ones failed and why.
  - Looking at an image is no pull. It keeps no lifecycle policy from deleting or archiving the image, and it fetches
    nothing through a pull-through cache.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repositories:
    description:
      - Names of repositories, globs, or both, for example V(team/app) and V(team/*).
      - In a glob, V(*) stands for any characters, slashes included, V(?) for one, and V([abc]) for one of these.
      - A glob that matches nothing causes a warning. A name that does not exist is a failure.
      - A repository that is meant more than once is read once.
    type: list
    elements: str
    required: true
    aliases: [repository]
  tags:
    description:
      - Return the images with these tags only, for example V(1.27) and V(latest). Patterns are not known here.
      - Those that do not exist are no failure, but listed in RV(repositories[].missing).
    type: list
    elements: str
    aliases: [tag]
  digests:
    description:
      - Return the images with these digests only, together with those of O(tags).
      - Those that do not exist are no failure, but listed in RV(repositories[].missing).
    type: list
    elements: str
    aliases: [digest]
  tag_status:
    description:
      - Return images with a tag only, or images without one only.
      - Children of multi-arch images are images without a tag, in most cases, and signatures can be.
      - Without this option, all images are returned.
      - Mutually exclusive with O(tags) and O(digests).
    type: str
    choices: [any, tagged, untagged]
  parallel:
    description:
      - How many repositories are read at the same time.
    type: int
    default: 8
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
  - Needs the permissions C(ecr:DescribeImages) and C(ecr:GetAuthorizationToken), from whose answer only the address of
    the registry is used, and as the options ask for them C(ecr:DescribeRepositories) for globs, and C(ecr:ListImages)
    where one of several O(tags) or O(digests) is missing.
  - Images that a lifecycle policy has archived are not listed.
seealso:
  - module: stevedore.ecr.ecr_image_mirror
  - module: stevedore.ecr.ecr_lifecycle
  - module: stevedore.ecr.ecr_pull_through_rule
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: List all images of a team
  stevedore.ecr.ecr_image_info:
    repositories: team/*
  register: found

- name: Show how many bytes each repository holds
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.images | sum(attribute='size_in_bytes') }}"
  loop: "{{ found.repositories }}"
  loop_control:
    label: "{{ item.name }}"

- name: Make sure that a release is there before it is rolled out
  stevedore.ecr.ecr_image_info:
    repositories: [team/app, team/web]
    tags: "{{ release }}"
  register: found
  failed_when: found.repositories | map(attribute='missing') | flatten | length > 0

- name: Deploy by digest, so that every node runs the same image
  ansible.builtin.set_fact:
    app_image: "{{ (found.repositories | items2dict(key_name='name', value_name='images'))['team/app'][0].uri }}"

- name: List what nobody has tagged
  stevedore.ecr.ecr_image_info:
    repositories: team/app
    tag_status: untagged
"""

RETURN = r"""
repositories:
  description: The repositories, in the order of O(repositories).
  returned: when the options are valid and the repositories could be listed
  type: list
  elements: dict
  contains:
    name:
      description: The name of the repository.
      returned: always
      type: str
      sample: team/app
    uri:
      description: Its address, to which a tag or a digest can be added.
      returned: when this repository did not fail
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app
    images:
      description: Its images, those that were pushed last first.
      returned: when this repository did not fail
      type: list
      elements: dict
      contains:
        digest:
          description: The digest of the manifest.
          returned: always
          type: str
          sample: sha256:0f5ae0c6bd3fe8b3cc8fbd5b9b5d3ee1ad9e32fd8a8b2a3e5cb2b3c1c4d5e6f7
        tags:
          description: All tags of the image.
          returned: always
          type: list
          elements: str
          sample: ["1.27", "latest"]
        uri:
          description: The address to pull exactly this image by, RV(repositories[].uri) with the digest.
          returned: always
          type: str
        uris:
          description: An address for each tag, in the order of RV(repositories[].images[].tags).
          returned: always
          type: list
          elements: str
          sample: ["123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1.27"]
        size_in_bytes:
          description:
            - What Amazon ECR stores for it, compressed.
            - For a multi-arch image this is the size of its largest child.
          returned: always
          type: int
          sample: 71234567
        pushed_at:
          description: When it was pushed, in UTC.
          returned: always
          type: str
          sample: "2026-01-31T12:00:00+00:00"
        last_pulled_at:
          description: When it was last pulled, as far as Amazon ECR recorded it, in UTC. V(null) if never.
          returned: always
          type: str
          sample: "2026-02-01T06:30:00+00:00"
        media_type:
          description: The media type of the manifest.
          returned: always
          type: str
          sample: application/vnd.oci.image.index.v1+json
        artifact_type:
          description: What kind of artifact it is, where the manifest says so, or V(null).
          returned: always
          type: str
          sample: application/vnd.oci.image.config.v1+json
        subject:
          description: The digest of the image that it belongs to, for signatures and the like, or V(null).
          returned: always
          type: str
          sample: null
        status:
          description: V(active), V(archived) or V(activating). Only active images can be pulled.
          returned: always
          type: str
          sample: active
    missing:
      description: Those of O(tags) and O(digests) that the repository does not have.
      returned: when this repository did not fail
      type: list
      elements: str
      sample: []
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
            Failed to list the images: The repository with name 'team/app' does not exist in the registry with id
            '123456789012' (RepositoryNotFoundException)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: RepositoryNotFoundException
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import images
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report_found,
    show_warnings,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import registry_host
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repositories import find_repositories

ARGUMENTS = {
    "repositories": {"type": "list", "elements": "str", "required": True, "aliases": ["repository"]},
    "tags": {"type": "list", "elements": "str", "aliases": ["tag"]},
    "digests": {"type": "list", "elements": "str", "aliases": ["digest"]},
    "tag_status": {"type": "str", "choices": ["any", "tagged", "untagged"]},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        mutually_exclusive=[("tags", "tag_status"), ("digests", "tag_status")],
    )
    params = module.params
    with failing_readably(module):
        wanted = images.query(params)
        client = ecr_client(module, params["parallel"])
        repositories = find_repositories(client, params["repositories"])
        show_warnings(repositories.warnings)
        host = registry_host(client) if repositories.names else ""
        outcomes = run_each(
            repositories.names,
            lambda name: images.find(client, name, f"{host}/{name}", wanted),
            params["parallel"],
        )
        report_found(module, "repositories", outcomes)


if __name__ == "__main__":
    main()
