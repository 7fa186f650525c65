#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_creation_template
version_added: 0.1.0
short_description: Manage repository creation templates of Amazon ECR
description:
  - A creation template says which settings a repository gets that Amazon ECR creates by itself, because an image is
    pulled through a cache, replicated, or pushed to a repository that does not exist.
  - On request, brings the repositories that exist to the template too, and reports each setting that had drifted. The
    template by itself never changes a repository that exists.
  - Policies are compared by what they mean, as the order of statements, rules and actions makes no difference.
  - Everything is checked before AWS is asked anything. All mistakes are reported together.
  - One task handles all templates. One that fails does not stop the others. The task fails at its end, and says which
    ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  templates:
    description:
      - Several templates.
      - Either this, or O(prefix) and the options beside it for a single template.
    type: list
    elements: dict
    suboptions:
      prefix:
        description: See O(prefix).
        type: str
        required: true
      description:
        description: See O(description).
        type: str
      applied_for:
        description: See O(applied_for).
        type: list
        elements: str
        choices: [pull_through_cache, replication, create_on_push]
      encryption_type:
        description: See O(encryption_type).
        type: str
        choices: [AES256, KMS, KMS_DSSE]
      kms_key_arn:
        description: See O(kms_key_arn).
        type: str
      resource_tags:
        description: See O(resource_tags).
        type: dict
      image_tag_mutability:
        description: See O(image_tag_mutability).
        type: str
        choices: [MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]
      image_tag_mutability_exclusion_filters:
        description: See O(image_tag_mutability_exclusion_filters).
        type: list
        elements: str
      repository_policy:
        description: See O(repository_policy).
        type: json
      lifecycle_rules:
        description: See O(lifecycle_rules).
        type: list
        elements: dict
      lifecycle_policy:
        description: See O(lifecycle_policy).
        type: json
      custom_role_arn:
        description: See O(custom_role_arn).
        type: str
  prefix:
    description:
      - What the names of the repositories begin with, for example V(docker-hub), which covers
        C(docker-hub/library/nginx). V(ROOT) covers all repositories that no other template does.
      - Where several templates cover a repository, the one with the longest prefix counts.
      - For a pull-through cache, use the prefix of its rule.
      - Up to 256 characters. A slash at the end makes no difference.
    type: str
  description:
    description:
      - What the template is for, in at most 256 characters. An empty text removes it.
    type: str
  applied_for:
    description:
      - The ways by which repositories come into being that the template is for.
      - Required for a new template.
    type: list
    elements: str
    choices:
      pull_through_cache: The first pull of an image through a cache.
      replication: Replication from another region or account.
      create_on_push: >-
        A push to a repository that does not exist. Without a template for this, such a push fails.
  encryption_type:
    description:
      - How new repositories are encrypted. It cannot be changed afterwards.
      - A new template has V(AES256).
      - V(KMS) and V(KMS_DSSE) need O(custom_role_arn).
    type: str
    choices:
      AES256: With keys that Amazon S3 manages.
      KMS: With a key of AWS KMS.
      KMS_DSSE: Twice with a key of AWS KMS, in AWS GovCloud (US) only.
  kms_key_arn:
    description:
      - The whole ARN of the key, in the region of the registry, with O(encryption_type=KMS) or
        O(encryption_type=KMS_DSSE). An alias will not do.
      - Without it, the key of AWS for Amazon ECR is used.
    type: str
  resource_tags:
    description:
      - Tags for new repositories, at most 50. They replace those that the template has. An empty dictionary removes
        them.
      - Need O(custom_role_arn). Who pulls an image into a new repository then needs C(ecr:TagResource) too.
    type: dict
  image_tag_mutability:
    description:
      - Whether a tag of a repository can be moved to another image. A new template has V(MUTABLE).
      - Amazon ECR cannot refresh a cached tag that is immutable. V(MUTABLE), or one with an exclusion, suits
        pull-through caches best.
    type: str
    choices:
      MUTABLE: All tags can be moved.
      IMMUTABLE: No tag can be moved.
      MUTABLE_WITH_EXCLUSION: All but those of O(image_tag_mutability_exclusion_filters) can be moved.
      IMMUTABLE_WITH_EXCLUSION: Only those of O(image_tag_mutability_exclusion_filters) can be moved.
  image_tag_mutability_exclusion_filters:
    description:
      - Up to five tags, in which V(*) stands for any characters.
      - Required with O(image_tag_mutability=MUTABLE_WITH_EXCLUSION) and
        O(image_tag_mutability=IMMUTABLE_WITH_EXCLUSION), and allowed with these only.
    type: list
    elements: str
  repository_policy:
    description:
      - The policy of new repositories, as a dictionary or as JSON text. An empty one removes it.
    type: json
  lifecycle_rules:
    description:
      - The rules of the lifecycle policy of new repositories, in the form of
        O(stevedore.ecr.ecr_lifecycle#module:rules). An empty list removes them.
      - Mutually exclusive with O(lifecycle_policy).
    type: list
    elements: dict
  lifecycle_policy:
    description:
      - The lifecycle policy in the form of Amazon ECR, as a dictionary or as JSON text. An empty one removes it.
    type: json
  custom_role_arn:
    description:
      - The ARN of the IAM role as which Amazon ECR creates repositories, which C(ecr.amazonaws.com) must be allowed to
        assume.
      - Required with O(resource_tags), O(encryption_type=KMS) and O(encryption_type=KMS_DSSE). Amazon ECR would take a
        template without it, and then fail to create the repository when an image is pulled or pushed.
      - It needs C(ecr:CreateRepository) and C(ecr:ReplicateImage), with tags C(ecr:TagResource), and with a key of AWS
        KMS C(kms:CreateGrant), C(kms:RetireGrant) and C(kms:DescribeKey).
      - An empty text removes it.
    type: str
  state:
    description:
      - With V(present), the templates exist as they are described. What is not mentioned of a template stays as it is.
      - With V(absent), there are no templates of these prefixes. All other options are ignored. Repositories stay as
        they are.
    type: str
    choices: [present, absent]
    default: present
  apply_to_existing:
    description:
      - Also brings the repositories that exist to the lifecycle policy, the repository policy, the mutability and the
        tags of their template. See RV(repositories).
      - B(Mind what this covers.) It is every repository for which one of these templates is the one with the longest
        prefix, however the repository came into being and whatever O(applied_for) says. With O(prefix=ROOT) it is every
        repository of the registry that no other template covers. Look at it in check mode first, with C(--diff).
      - A lifecycle policy deletes images, of these repositories too, within 24 hours. The policies that these
        repositories had are replaced.
      - What the template lacks is left alone. So is mutability where the template has V(MUTABLE) and
        O(image_tag_mutability) is not given, because that is what a template has that was never told.
      - Tags are added and changed, and none are removed.
      - The encryption of a repository cannot be changed. Where it differs, it is reported as drift that is not mended.
    type: bool
    default: false
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
  - A template is used when a repository is created. Cached images and their repositories stay as they are when a
    template is changed or deleted, unless O(apply_to_existing=true).
  - A cached tag is refreshed at most every 24 hours, when it is pulled. A lifecycle policy acts within 24 hours.
  - Needs the permissions C(ecr:DescribeRepositoryCreationTemplates), and as there is something to do
    C(ecr:CreateRepositoryCreationTemplate), C(ecr:UpdateRepositoryCreationTemplate) and
    C(ecr:DeleteRepositoryCreationTemplate). To create or update a template AWS asks for C(ecr:CreateRepository) too,
    for C(ecr:PutLifecyclePolicy) with a lifecycle policy, for C(ecr:SetRepositoryPolicy) with a repository policy, and
    for C(iam:PassRole) with O(custom_role_arn).
  - With O(apply_to_existing=true), it also needs C(ecr:DescribeRepositories) and, for what the template has, to read
    C(ecr:GetLifecyclePolicy), C(ecr:GetRepositoryPolicy) and C(ecr:ListTagsForResource), and to mend
    C(ecr:PutLifecyclePolicy), C(ecr:SetRepositoryPolicy), C(ecr:PutImageTagMutability) and C(ecr:TagResource).
seealso:
  - module: stevedore.ecr.ecr_lifecycle
  - module: stevedore.ecr.ecr_pull_through_rule
  - name: Repository creation templates in Amazon ECR
    description: How Amazon ECR uses templates.
    link: https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates.html
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Let images of Docker Hub go a month after they were cached
  stevedore.ecr.ecr_creation_template:
    prefix: docker-hub
    description: Cache of Docker Hub
    applied_for: [pull_through_cache]
    lifecycle_rules:
      - priority: 1
        tag_status: any
        count_type: sinceImagePushed
        count_number: 30
        action: expire

- name: See which repositories differ from their templates, and change nothing
  stevedore.ecr.ecr_creation_template:
    templates:
      - prefix: docker-hub
      - prefix: quay
    apply_to_existing: true
  check_mode: true
  register: templates

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.drift | map(attribute='field') | join(', ') }}"
  loop: "{{ templates.repositories | selectattr('drift') }}"
  loop_control:
    label: "{{ item.name }}"

- name: Let another account pull what is cached, from old repositories too
  stevedore.ecr.ecr_creation_template:
    prefix: docker-hub
    repository_policy:
      Version: "2012-10-17"
      Statement:
        - Sid: Pull
          Effect: Allow
          Principal:
            AWS: "210987654321"
          Action:
            - ecr:BatchGetImage
            - ecr:GetDownloadUrlForLayer
    apply_to_existing: true

- name: Create repositories on push, tagged, encrypted, and with tags of releases that stay what they are
  stevedore.ecr.ecr_creation_template:
    prefix: ROOT
    applied_for: [create_on_push]
    image_tag_mutability: IMMUTABLE_WITH_EXCLUSION
    image_tag_mutability_exclusion_filters: [latest, dev-*]
    encryption_type: KMS
    kms_key_arn: arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab
    resource_tags:
      team: platform
    custom_role_arn: arn:aws:iam::123456789012:role/ecr-templates

- name: Remove a template, and leave the repositories as they are
  stevedore.ecr.ecr_creation_template:
    prefix: quay
    state: absent
"""

RETURN = r"""
templates:
  description: What became of each template, in the order of O(templates).
  returned: when the options are valid and AWS can be reached
  type: list
  elements: dict
  contains:
    name:
      description: The prefix of the template, without a slash at the end.
      returned: always
      type: str
      sample: docker-hub
    changed:
      description: Whether the template was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: The template as it was, in the form of RV(templates[].after), or V(null) where there was none.
      returned: when this template did not fail
      type: dict
      sample: null
    after:
      description: The template as it is now, or in check mode would be, or V(null) where there is none.
      returned: when this template did not fail
      type: dict
      contains:
        prefix:
          description: See O(prefix).
          returned: always
          type: str
          sample: docker-hub
        description:
          description: See O(description). V(null) where there is none.
          returned: always
          type: str
          sample: Cache of Docker Hub
        applied_for:
          description: See O(applied_for).
          returned: always
          type: list
          elements: str
          sample: [pull_through_cache]
        encryption_type:
          description: See O(encryption_type).
          returned: always
          type: str
          sample: AES256
        kms_key_arn:
          description: See O(kms_key_arn). V(null) where none is named.
          returned: always
          type: str
          sample: null
        resource_tags:
          description: See O(resource_tags).
          returned: always
          type: dict
          sample: {}
        image_tag_mutability:
          description: See O(image_tag_mutability).
          returned: always
          type: str
          sample: MUTABLE
        image_tag_mutability_exclusion_filters:
          description: See O(image_tag_mutability_exclusion_filters).
          returned: always
          type: list
          elements: str
          sample: []
        repository_policy:
          description: See O(repository_policy). V(null) where there is none.
          returned: always
          type: dict
          sample: null
        lifecycle_rules:
          description: See O(lifecycle_rules). V(null) where there are none.
          returned: always
          type: list
          elements: dict
          sample:
            - priority: 1
              tag_status: any
              storage_class: standard
              count_type: sinceImagePushed
              count_unit: days
              count_number: 30
              action: expire
        custom_role_arn:
          description: See O(custom_role_arn). V(null) where there is none.
          returned: always
          type: str
          sample: null
    error:
      description: Why this template failed.
      returned: when this template failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: "Not valid: 'docker-hub', applied_for: is required to create a template"
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: InvalidCreationTemplate
repositories:
  description:
    - What became of each repository that one of the templates covers, in the order of their names.
    - Empty without O(apply_to_existing=true).
  returned: when RV(templates) is returned
  type: list
  elements: dict
  contains:
    name:
      description: The name of the repository.
      returned: always
      type: str
      sample: docker-hub/library/nginx
    changed:
      description: Whether the repository was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    template:
      description: The prefix of its template.
      returned: when its settings could be read
      type: str
      sample: docker-hub
    drift:
      description: The settings that differ from those of the template, or an empty list.
      returned: when its settings could be read
      type: list
      elements: dict
      contains:
        field:
          description: The setting, by the name that it has in RV(templates[].after).
          returned: always
          type: str
          sample: image_tag_mutability
        before:
          description: Its value as it was found.
          returned: always
          type: raw
          sample: MUTABLE
        after:
          description: The value that it should have.
          returned: always
          type: raw
          sample: IMMUTABLE
        mended:
          description: Whether it was given this value, or in check mode would be.
          returned: always
          type: bool
          sample: true
    error:
      description: Why this repository failed, in the form of RV(templates[].error).
      returned: when this repository failed
      type: dict
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(templates) is returned
  type: list
  elements: str
  sample: ["update lifecycle_rules of the creation template docker-hub"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import creation_templates
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.existing_repositories import Settings, present
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report_parts,
    show_warnings,
)

TEMPLATE_ARGUMENTS = {
    "prefix": {"type": "str"},
    "description": {"type": "str"},
    "applied_for": {
        "type": "list",
        "elements": "str",
        "choices": ["pull_through_cache", "replication", "create_on_push"],
    },
    "encryption_type": {"type": "str", "choices": ["AES256", "KMS", "KMS_DSSE"]},
    "kms_key_arn": {"type": "str", "no_log": False},
    "resource_tags": {"type": "dict"},
    "image_tag_mutability": {
        "type": "str",
        "choices": ["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"],
    },
    "image_tag_mutability_exclusion_filters": {"type": "list", "elements": "str"},
    "repository_policy": {"type": "json"},
    "lifecycle_rules": {"type": "list", "elements": "dict"},
    "lifecycle_policy": {"type": "json"},
    "custom_role_arn": {"type": "str"},
}

ARGUMENTS = {
    "templates": {
        "type": "list",
        "elements": "dict",
        "options": {**TEMPLATE_ARGUMENTS, "prefix": {"type": "str", "required": True}},
        "mutually_exclusive": [("lifecycle_rules", "lifecycle_policy")],
    },
    **TEMPLATE_ARGUMENTS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "apply_to_existing": {"type": "bool", "default": False},
    "parallel": {"type": "int", "default": 8},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_one_of=[("templates", "prefix")],
        mutually_exclusive=[
            ("lifecycle_rules", "lifecycle_policy"),
            *(("templates", option) for option in TEMPLATE_ARGUMENTS),
        ],
    )
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, params["parallel"])
        given = [params] if params["templates"] is None else params["templates"]
        if params["state"] == "absent":
            outcomes, repositories = creation_templates.absent(client, given, module.check_mode), []
        else:
            desired = creation_templates.desired_templates(given, client.meta.region_name)
            show_warnings(desired.warnings)
            settings = Settings(module.check_mode, params["apply_to_existing"], params["parallel"])
            outcomes, repositories = present(client, desired.templates, settings)
        report_parts(module, {"templates": outcomes, "repositories": repositories}, without_states=["repositories"])


if __name__ == "__main__":
    main()
