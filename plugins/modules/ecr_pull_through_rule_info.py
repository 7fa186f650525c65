#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_pull_through_rule_info
version_added: 0.1.0
short_description: Read the pull-through cache rules of Amazon ECR
description:
  - Returns all pull-through cache rules of a registry, or some of them, with the address to pull through each.
  - On request, Amazon ECR tries the login to each upstream.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  prefixes:
    description:
      - The prefixes of the rules to return. A slash at the end makes no difference.
      - Those that do not exist are left out of the result.
      - Without this option, all rules are returned.
    type: list
    elements: str
    aliases: [prefix]
  validate:
    description:
      - Whether Amazon ECR shall try the logins, see RV(rules[].validation).
      - A login that the upstream refuses is not a failure of this module.
      - Rules with the same credential and the same upstream are validated once.
    type: bool
    default: false
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
  - Needs the permissions C(ecr:DescribePullThroughCacheRules), C(ecr:GetAuthorizationToken), from whose answer only the
    address of the registry is used, and with O(validate=true) C(ecr:ValidatePullThroughCacheRule).
seealso:
  - module: stevedore.ecr.ecr_pull_through_rule
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Read all rules
  stevedore.ecr.ecr_pull_through_rule_info:
  register: caches

- name: Show what is cached, and where
  ansible.builtin.debug:
    msg: "{{ item.upstream_url }} is at {{ item.pull_url }}"
  loop: "{{ caches.rules }}"
  loop_control:
    label: "{{ item.prefix }}"

- name: Check every night that the tokens are still valid
  stevedore.ecr.ecr_pull_through_rule_info:
    validate: true
  register: caches
  failed_when: caches.rules | map(attribute='validation') | rejectattr('valid') | length > 0
"""

RETURN = r"""
rules:
  description: The rules, in the order of O(prefixes), or else of their prefixes.
  returned: success
  type: list
  elements: dict
  contains:
    prefix:
      description: What the names of the cached repositories begin with, without a slash at the end.
      returned: always
      type: str
      sample: docker-hub
    upstream:
      description: The upstream, as in the option O(stevedore.ecr.ecr_pull_through_rule#module:upstream).
      returned: always
      type: str
      sample: docker-hub
    upstream_url:
      description: Its host.
      returned: always
      type: str
      sample: registry-1.docker.io
    upstream_repository_prefix:
      description: What stands for the prefix in the names of the upstream repositories.
      returned: always
      type: str
      sample: ROOT
    credential_arn:
      description: The secret with which Amazon ECR logs in, or V(null).
      returned: always
      type: str
      sample: arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/docker-hub-a1B2c3
    custom_role_arn:
      description: The role with which Amazon ECR reads from another account, or V(null).
      returned: always
      type: str
      sample: null
    registry_id:
      description: The account of the registry.
      returned: always
      type: str
      sample: "123456789012"
    created_at:
      description: When the rule was created.
      returned: always
      type: str
      sample: "2026-01-31T12:00:00+00:00"
    updated_at:
      description: When the rule was last changed, or V(null) where Amazon ECR does not say.
      returned: always
      type: str
      sample: "2026-01-31T12:00:00+00:00"
    pull_url:
      description: What to write before the name of an upstream image to pull it through the cache.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub
    validation:
      description: What Amazon ECR says of the login, or V(null) without O(validate=true).
      returned: always
      type: dict
      contains:
        valid:
          description: Whether the upstream accepts the login.
          returned: always
          type: bool
          sample: true
        reason:
          description: Why it does not, in the words of Amazon ECR.
          returned: always
          type: str
          sample: null
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_validation import VALIDATIONS_AT_A_TIME

ARGUMENTS = {
    "prefixes": {"type": "list", "elements": "str", "aliases": ["prefix"]},
    "validate": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, VALIDATIONS_AT_A_TIME)
        rules = pull_through.describe(client, params["prefixes"], validate=params["validate"])
        module.exit_json(changed=False, rules=rules)


if __name__ == "__main__":
    main()
