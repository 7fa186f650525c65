#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_pull_through_rule
version_added: 0.1.0
short_description: Manage pull-through cache rules of Amazon ECR
description:
  - Makes images of Docker Hub, GitHub, Quay and other registries pullable from your own Amazon ECR. On the first pull,
    Amazon ECR fetches the image from the upstream registry and keeps it.
  - Knows the URL of each upstream, and whether it needs a credential, so that O(prefix), O(upstream) and where needed
    O(credential_arn) are a whole rule.
  - Checks everything before it changes anything, and reports all mistakes together.
  - Lets Amazon ECR log in to the upstream after the change, so that a wrong token is found now, not at the first
    pull.
  - One task handles all rules. One that fails does not stop the others. The task fails at its end, and says which ones
    failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  rules:
    description:
      - Several rules.
      - Either this, or O(prefix) and the options beside it for a single rule.
    type: list
    elements: dict
    suboptions:
      prefix:
        description: See O(prefix).
        type: str
        required: true
        aliases: [ecr_repository_prefix]
      upstream:
        description: See O(upstream).
        type: str
        choices: [docker-hub, ecr-public, quay, k8s, ghcr, gitlab, acr, chainguard, ecr]
      upstream_url:
        description: See O(upstream_url).
        type: str
      credential_arn:
        description: See O(credential_arn).
        type: str
      custom_role_arn:
        description: See O(custom_role_arn).
        type: str
      upstream_repository_prefix:
        description: See O(upstream_repository_prefix).
        type: str
  prefix:
    description:
      - What the names of the cached repositories begin with, for example V(docker-hub), or V(ROOT) for all names
        that no other rule covers.
      - 2 to 30 characters. Lower-case letters and digits, with V(.), V(_) and V(-) between them, in one or more parts
        joined by V(/). A slash at the end makes no difference.
      - A registry has one rule for each prefix. To change a prefix, create the new rule and remove the old one.
    type: str
    aliases: [ecr_repository_prefix]
  upstream:
    description:
      - The registry to cache. Amazon ECR can cache these and no others.
      - Either this or O(upstream_url) is required with O(state=present).
    type: str
    choices:
      docker-hub: Docker Hub, C(registry-1.docker.io). Needs O(credential_arn).
      ecr-public: Amazon ECR Public, C(public.ecr.aws).
      quay: Quay, C(quay.io). Public images only.
      k8s: The Kubernetes registry, C(registry.k8s.io).
      ghcr: GitHub Container Registry, C(ghcr.io). Needs O(credential_arn), for public images too.
      gitlab: GitLab.com, C(registry.gitlab.com). Needs O(credential_arn).
      acr: An Azure Container Registry. Needs O(credential_arn) and O(upstream_url).
      chainguard: Chainguard, C(cgr.dev). Needs O(credential_arn).
      ecr: >-
        Another Amazon ECR registry: of another region, or of another account, which needs O(custom_role_arn).
        Needs O(upstream_url).
  upstream_url:
    description:
      - The host of the upstream registry.
      - Only needed with O(upstream=acr), as V(NAME.azurecr.io), and with O(upstream=ecr), as
        V(ACCOUNT.dkr.ecr.REGION.amazonaws.com). All others are known by O(upstream), or this may be given
        instead.
    type: str
  credential_arn:
    description:
      - The ARN of the secret in AWS Secrets Manager with which Amazon ECR logs in to the upstream.
      - The secret must be in the account and the region of the registry, its name must begin with
        V(ecr-pullthroughcache/), and it must be encrypted with the default key C(aws/secretsmanager).
      - It must hold a JSON object with C(username) and C(accessToken).
      - The whole ARN is needed, with the six characters that AWS Secrets Manager adds to the name.
    type: str
  custom_role_arn:
    description:
      - The ARN of the IAM role with which Amazon ECR reads from the registry of another account, with O(upstream=ecr)
        only.
      - It must be a role of this account that C(pullthroughcache.ecr.amazonaws.com) may assume.
    type: str
  upstream_repository_prefix:
    description:
      - What stands for O(prefix) in the names of the upstream repositories. V(ROOT) is nothing.
      - For example, with O(prefix=my-app) and V(their-app), C(my-app/web) comes from C(their-app/web).
      - A new rule gets V(ROOT), an existing one keeps what it has, where this is left out.
      - Only V(ROOT) is possible with O(prefix=ROOT).
    type: str
  state:
    description:
      - With V(present), the rules exist as they are described.
      - With V(absent), there are no rules of these prefixes. All options of the rules but O(prefix) are ignored.
    type: str
    choices: [present, absent]
    default: present
  recreate:
    description:
      - Amazon ECR can change O(credential_arn) and O(custom_role_arn) of a rule, and nothing else. A change of
        O(upstream), O(upstream_url) or O(upstream_repository_prefix) fails, unless this is V(true).
      - Then the rule is deleted and created anew. Images that are cached stay. Pulls of images that are not cached fail
        for the moment between the two.
      - A login never moves on to another upstream. Where the new upstream needs one, O(credential_arn) must be given.
      - Where the new rule cannot be created, the old one is restored, and the task says so.
    type: bool
    default: false
  validate:
    description:
      - Whether Amazon ECR shall try the login to the upstream. The task fails, with the reason of Amazon ECR, where the
        upstream refuses it. The rule stays nevertheless.
      - Without this option, the rules with a credential are validated. With V(true) all of them are,
        with V(false) none.
      - Rules with the same credential and the same upstream are validated once.
      - In check mode, rules that do not exist yet or would be changed are not validated.
    type: bool
  purge:
    description:
      - Whether to delete the rules under O(purge_prefix) that are not listed. Images that are cached stay.
      - With an empty list of O(rules), all rules under it are deleted.
      - Cannot be combined with O(state=absent).
    type: bool
    default: false
  purge_prefix:
    description:
      - Where O(purge) deletes rules, which is the rule of this prefix and all whose prefix begins with it and a slash.
      - V(ROOT) is all rules of the registry.
      - Required with O(purge=true).
    type: str
attributes:
  check_mode:
    support: full
    details:
      - Rules that do not exist yet or would be changed cannot be validated, so that their RV(rules[].validation) is
        V(null).
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Deleting or recreating a rule never deletes an image. Repositories and images that were cached stay, can be pulled,
    and cost what they cost. Without the rule they are not refreshed.
  - When a cached tag is pulled, Amazon ECR asks the upstream at most once every 24 hours whether the tag has moved.
    There is no way to refresh it earlier. Where the upstream cannot be reached, the cached image is served.
  - Repositories are created on the first pull, with the settings of a creation template where there is one. See
    M(stevedore.ecr.ecr_creation_template).
  - Official images of Docker Hub are in C(library/). With O(prefix=docker-hub), C(nginx) is
    C(docker-hub/library/nginx).
  - An uncached image should be pulled by its tag. Users report that the first pull by digest fails.
  - Pull-through caches do not exist in the regions of China and in AWS GovCloud (US), and cannot be used by AWS Lambda.
  - A registry has at most 50 rules in each region.
  - Needs the permissions C(ecr:DescribePullThroughCacheRules) and, with O(state=present), C(ecr:GetAuthorizationToken),
    from whose answer only the address of the registry is used. As there is something to do it needs
    C(ecr:CreatePullThroughCacheRule), C(ecr:UpdatePullThroughCacheRule), C(ecr:DeletePullThroughCacheRule) and
    C(ecr:ValidatePullThroughCacheRule). AWS asks for C(iam:CreateServiceLinkedRole) when an account gets its first
    rule, and for C(iam:PassRole) with O(custom_role_arn).
  - Who pulls through a rule needs C(ecr:BatchImportUpstreamImage), and C(ecr:CreateRepository) for the first image of a
    repository, beside what every pull needs.
seealso:
  - module: stevedore.ecr.ecr_pull_through_rule_info
  - module: stevedore.ecr.ecr_creation_template
  - name: Pull-through caches in Amazon ECR
    description: How Amazon ECR works as a cache.
    link: https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Cache Docker Hub
  stevedore.ecr.ecr_pull_through_rule:
    prefix: docker-hub
    upstream: docker-hub
    credential_arn: arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/docker-hub-a1B2c3
  register: cache

- name: Say how to pull nginx through it
  ansible.builtin.debug:
    msg: docker pull {{ cache.rules[0].pull_url }}/library/nginx:1.27

- name: Cache four registries, and have no other rules
  stevedore.ecr.ecr_pull_through_rule:
    rules:
      - prefix: docker-hub
        upstream: docker-hub
        credential_arn: "{{ docker_hub_secret_arn }}"
      - prefix: github
        upstream: ghcr
        credential_arn: "{{ github_secret_arn }}"
      - prefix: quay
        upstream: quay
      - prefix: k8s
        upstream: k8s
    purge: true
    purge_prefix: ROOT

- name: Cache the images that the platform account has under team-a
  stevedore.ecr.ecr_pull_through_rule:
    prefix: team-a
    upstream: ecr
    upstream_url: 210987654321.dkr.ecr.eu-west-1.amazonaws.com
    upstream_repository_prefix: team-a
    custom_role_arn: arn:aws:iam::123456789012:role/ecr-cache

- name: Move a prefix to another registry
  stevedore.ecr.ecr_pull_through_rule:
    prefix: tools
    upstream: quay
    recreate: true

- name: Cache nothing new from Quay, and keep what is cached
  stevedore.ecr.ecr_pull_through_rule:
    prefix: quay
    state: absent
"""

RETURN = r"""
rules:
  description: What became of each rule, in the order of O(rules), and after them the rules that were purged.
  returned: when the options are valid and AWS can be reached
  type: list
  elements: dict
  contains:
    name:
      description: The prefix of the rule, without a slash at the end.
      returned: always
      type: str
      sample: docker-hub
    changed:
      description: Whether the rule was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    before:
      description: The rule as it was, in the form of RV(rules[].after), or V(null) where there was none.
      returned: unless it could not be changed
      type: dict
      sample: null
    after:
      description: The rule as it is now, or in check mode would be, or V(null) where there is none.
      returned: unless it could not be changed
      type: dict
      contains:
        prefix:
          description: What the names of the cached repositories begin with.
          returned: always
          type: str
          sample: docker-hub
        upstream:
          description: The upstream, as in O(upstream).
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
    pull_url:
      description:
        - What to write before the name of an upstream image to pull it through the cache, without a slash at the end.
        - V(null) for a rule that was removed.
      returned: unless it could not be changed
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub
    validation:
      description: What Amazon ECR says of the login, or V(null) where it was not asked.
      returned: unless it could not be changed
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
    error:
      description: What went wrong with this rule. A rule that was changed and then found to be invalid has one too.
      returned: when something did
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            registry-1.docker.io cannot be used with
            arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/docker-hub-a1B2c3: unauthorized.
            The rule stays as it is. Correct the login and run again, or set validate=false
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: InvalidLogin
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(rules) is returned
  type: list
  elements: str
  sample: ["create the pull-through cache rule docker-hub (upstream: registry-1.docker.io)"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import (
    ecr_client,
    failing_readably,
    report_parts,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_validation import VALIDATIONS_AT_A_TIME

RULE_ARGUMENTS = {
    "prefix": {"type": "str", "aliases": ["ecr_repository_prefix"]},
    "upstream": {
        "type": "str",
        "choices": ["docker-hub", "ecr-public", "quay", "k8s", "ghcr", "gitlab", "acr", "chainguard", "ecr"],
    },
    "upstream_url": {"type": "str"},
    "credential_arn": {"type": "str"},
    "custom_role_arn": {"type": "str"},
    "upstream_repository_prefix": {"type": "str"},
}

ARGUMENTS = {
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {**RULE_ARGUMENTS, "prefix": {**RULE_ARGUMENTS["prefix"], "required": True}},
    },
    **RULE_ARGUMENTS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "recreate": {"type": "bool", "default": False},
    "validate": {"type": "bool"},
    "purge": {"type": "bool", "default": False},
    "purge_prefix": {"type": "str"},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_one_of=[("rules", "prefix")],
        mutually_exclusive=[("rules", option) for option in RULE_ARGUMENTS],
        required_if=[("purge", True, ("purge_prefix",))],
    )
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, VALIDATIONS_AT_A_TIME)
        given = [params] if params["rules"] is None else params["rules"]
        settings = pull_through.Settings(
            check_mode=module.check_mode,
            recreate=params["recreate"],
            validate=params["validate"],
            purge_prefix=pull_through.purge_under(params),
        )
        if params["state"] == "absent":
            outcomes = pull_through.absent(client, pull_through.unwanted_prefixes(given), settings)
        else:
            rules = pull_through.desired_rules(given, client.meta.region_name)
            outcomes = pull_through.present(client, rules, settings)
        report_parts(module, {"rules": outcomes})


if __name__ == "__main__":
    main()
