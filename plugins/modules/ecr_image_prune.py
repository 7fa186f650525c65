#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_image_prune
version_added: 0.1.0
short_description: Delete tags of mirrored Amazon ECR repositories that nobody asks for any more
description:
  - Takes what M(stevedore.ecr.ecr_image_mirror) has returned, and deletes all other tags of the repositories that are
    in it. With its last tag, an image is deleted too. B(It cannot be undone.)
  - Run it in check mode first, which lists exactly what would be deleted.
  - Repositories that the mirror was asked nothing of are never looked at. In those that it was asked something of, tags
    that others have pushed are tags that nobody asks for. Name them in O(protect), or do not prune such repositories.
  - Nothing is deleted after a mirror run in which an image failed, was refused or had to wait, or in which a selection
    of tags found none.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  images:
    description:
      - What RV(stevedore.ecr.ecr_image_mirror#module:images) has. Of each entry, C(repository), C(tag), C(digest),
        C(source_digest), C(source) and C(action) are looked at.
      - For repositories that several mirror runs fill, add their lists. What is in only one of them would be deleted by
        the other.
    type: list
    elements: dict
    required: true
  protect:
    description:
      - Globs for tags that are never deleted, for example V(release-*).
      - In a glob, V(*) stands for any characters, V(?) for one, and V({a,b}) for one of these.
    type: list
    elements: str
    default: []
  parallel:
    description:
      - How many repositories are worked on at the same time.
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
  - Only tags are deleted. The images that a multi-arch image lists, and what refers to an image by its digest, have no
    tags and stay. A lifecycle rule for untagged images deletes them, see M(stevedore.ecr.ecr_lifecycle).
  - An image that was asked for by digest keeps all its tags. Tags such as C(sha256-4f53.sig), in which cosign keeps
    signatures, stay as long as their image does.
  - Where a tag is immutable and its source has moved on, the tag stays, and so do those that
    O(stevedore.ecr.ecr_image_mirror#module:on_moved_tag) has made in its place.
  - Needs the permissions C(ecr:DescribeImages) and C(ecr:BatchDeleteImage), and C(ecr:BatchGetImage) for repositories
    with multi-arch images.
seealso:
  - module: stevedore.ecr.ecr_image_mirror
  - module: stevedore.ecr.ecr_lifecycle
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Mirror the newest three releases
  stevedore.ecr.ecr_image_mirror:
    images:
      - source: quay.io/prometheus/prometheus
        select:
          semver: ">=3"
          newest: 3
    transport: direct
  register: mirrored

- name: See which older ones would go
  stevedore.ecr.ecr_image_prune:
    images: "{{ mirrored.images }}"
    protect: [latest]
  check_mode: true
  register: leftovers

- name: Show them
  ansible.builtin.debug:
    msg: "{{ leftovers.actions }}"

- name: Delete them
  stevedore.ecr.ecr_image_prune:
    images: "{{ mirrored.images }}"
    protect: [latest]
"""

RETURN = r"""
repositories:
  description: What became of each repository of O(images), in the order of their names.
  returned: when the options are valid and the mirror run was a whole one
  type: list
  elements: dict
  contains:
    name:
      description: The name of the repository.
      returned: always
      type: str
      sample: prometheus/prometheus
    changed:
      description: Whether a tag was deleted, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: All tags that were there.
      returned: when the repository could be read
      type: list
      elements: str
      sample: [v3.3.0, v3.4.0, v3.5.0]
    after:
      description: The tags that stay.
      returned: when the repository could be read
      type: list
      elements: str
      sample: [v3.4.0, v3.5.0]
    tags:
      description: The tags that nobody asks for.
      returned: when the repository could be read
      type: list
      elements: dict
      contains:
        tag:
          description: The tag.
          returned: always
          type: str
          sample: v3.3.0
        digest:
          description: The digest of its image.
          returned: always
          type: str
          sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945
        size_in_bytes:
          description: How large its image is. For a multi-arch image, that of its list.
          returned: always
          type: int
          sample: 61400000
        deletes_image:
          description: Whether its image goes too, because no tag of it stays.
          returned: always
          type: bool
          sample: true
        deleted:
          description: Whether it was deleted. In check mode nothing is.
          returned: always
          type: bool
          sample: true
    spared:
      description: The tags that were not asked for and stay all the same.
      returned: when the repository could be read
      type: list
      elements: dict
      contains:
        tag:
          description: The tag.
          returned: always
          type: str
          sample: latest
        why:
          description: Why it stays.
          returned: always
          type: str
          sample: protected by latest
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
            Failed to delete the tags (needs ecr:BatchDeleteImage): User: arn:aws:iam::123456789012:user/dev is not
            authorized to perform: ecr:BatchDeleteImage (AccessDeniedException)
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
  sample: ["delete the tag prometheus/prometheus:v3.3.0 and its image"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.image_prune import (
    Settings,
    prune,
    read_protected,
    wanted_by,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably, report

ARGUMENTS = {
    "images": {"type": "list", "elements": "dict", "required": True},
    "protect": {"type": "list", "elements": "str", "default": []},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        settings = Settings(read_protected(params["protect"]), module.check_mode, params["parallel"])
        wanted = wanted_by(params["images"])
        report(module, "repositories", prune(ecr_client(module, params["parallel"]), wanted, settings))


if __name__ == "__main__":
    main()
