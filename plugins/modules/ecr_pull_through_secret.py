#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_pull_through_secret
version_added: 0.1.0
short_description: Manage the secrets with which Amazon ECR logs in to upstream registries
description:
  - Keeps the logins for pull-through caches in AWS Secrets Manager, by the names, in the form and with the key that
    Amazon ECR asks for.
  - Stores a login that is given, and stores it again when it changes. Without one, creates the secret with placeholders
    for somebody to fill in, and leaves its value alone from then on.
  - Restores secrets that await their deletion.
  - Everything is checked before AWS is asked anything. All mistakes are reported together.
  - One task handles all secrets. One that fails does not stop the others. The task fails at its end, and says which
    ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  secrets:
    description:
      - The secrets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the secret. It must begin with V(ecr-pullthroughcache/), because Amazon ECR may read no other
            secrets.
        type: str
        required: true
      username:
        description:
          - The name of the user at the upstream registry. It is not treated as something secret.
          - Required together with O(secrets[].access_token).
          - Without the two, a new secret holds V(FILL-ME) in both places, and the value of an existing one stays as it
            is.
        type: str
      access_token:
        description:
          - The access token of the user, which is never shown.
          - When it differs from the one that is stored, a new version of the secret is stored. The old one stays
            available as C(AWSPREVIOUS).
        type: str
      description:
        description: What the secret is for, in at most 2048 characters.
        type: str
      tags:
        description: Tags that the secret shall have. They are added and changed, and no others are removed.
        type: dict
  state:
    description:
      - With V(present), the secrets exist as they are described.
      - With V(absent), they are deleted after O(recovery_window). Logins, descriptions and tags are ignored.
    type: str
    choices: [present, absent]
    default: present
  recovery_window:
    description:
      - How many days a deleted secret can be restored, 7 to 30. With O(state=absent).
    type: int
    default: 7
  force_delete:
    description:
      - Whether to delete secrets at once, those too that await their deletion. They cannot be restored. With
        O(state=absent).
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details:
      - Neither the ARN of a secret that does not exist yet is known, nor the value of one that awaits its deletion.
  diff_mode:
    support: full
    details:
      - Of a value, only words are shown, V(placeholder), V(credential), and V(new credential) where it changes.
  idempotent:
    support: full
notes:
  - The value is read to tell whether it has changed and whether it still is the placeholder. Where it may not be read,
    a login that is given cannot be compared, which is a failure. Without one, RV(secrets[].needs_filling) is V(null).
  - Fill in a placeholder in the console, or by C(aws secretsmanager put-secret-value) with a JSON object that has
    C(username) and C(accessToken).
  - A secret that is encrypted with a customer managed key is refused, because Amazon ECR cannot use it.
  - To rotate a login nothing else has to be changed. Amazon ECR reads the secret when it needs it.
  - Needs the permissions C(secretsmanager:DescribeSecret), C(secretsmanager:BatchGetSecretValue) and
    C(secretsmanager:GetSecretValue), and as there is something to do C(secretsmanager:CreateSecret),
    C(secretsmanager:PutSecretValue), C(secretsmanager:UpdateSecret), C(secretsmanager:TagResource),
    C(secretsmanager:RestoreSecret) and C(secretsmanager:DeleteSecret).
seealso:
  - module: stevedore.ecr.ecr_pull_through_rule
  - name: Storing the credentials of an upstream registry
    description: What Amazon ECR asks of such a secret.
    link: https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-creating-secret.html
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Keep the login for Docker Hub, and have a secret for GitHub that somebody else fills in
  stevedore.ecr.ecr_pull_through_secret:
    secrets:
      - name: ecr-pullthroughcache/docker-hub
        username: acme
        access_token: "{{ docker_hub_token }}"
        description: Docker Hub, read only
        tags:
          team: platform
      - name: ecr-pullthroughcache/github
  register: logins

- name: Say which secrets are still to be filled in
  ansible.builtin.debug:
    msg: Fill in {{ item.arn }}
  loop: "{{ logins.secrets | selectattr('needs_filling', 'true') }}"
  loop_control:
    label: "{{ item.name }}"

- name: Let the secret go, with seven days to think again
  stevedore.ecr.ecr_pull_through_secret:
    secrets:
      - name: ecr-pullthroughcache/github
    state: absent
"""

RETURN = r"""
secrets:
  description: What became of each secret, in the order of O(secrets). Values are never returned.
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: The name of the secret.
      returned: always
      type: str
      sample: ecr-pullthroughcache/docker-hub
    changed:
      description: Whether it was changed, or in check mode would be.
      returned: always
      type: bool
      sample: true
    arn:
      description:
        - The whole ARN, as M(stevedore.ecr.ecr_pull_through_rule) takes it.
        - V(null) for a secret that is not there, which in check mode includes one that would be created.
      returned: when this secret did not fail
      type: str
      sample: arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/docker-hub-a1B2c3
    needs_filling:
      description:
        - Whether the value still is the placeholder.
        - V(null) where the value may not be read, and with O(state=absent).
      returned: when this secret did not fail
      type: bool
      sample: false
    before:
      description: The secret as it was, in the form of RV(secrets[].after), or V(null) where there was none.
      returned: when this secret did not fail
      type: dict
      sample: null
    after:
      description:
        - The secret as it is now, or in check mode would be.
        - V(null) where there is none, or it awaits its deletion.
      returned: when this secret did not fail
      type: dict
      contains:
        description:
          description: What it is for.
          returned: always
          type: str
          sample: Docker Hub, read only
        tags:
          description: Its tags.
          returned: always
          type: dict
          sample: {team: platform}
        value:
          description:
            - A word for the value. V(placeholder), V(credential), V(new credential) where another one was stored, or
              V(unknown) where it was not read.
          returned: always
          type: str
          sample: credential
        awaits_deletion:
          description: Whether it is scheduled for deletion.
          returned: always
          type: bool
          sample: false
    error:
      description: Why this secret failed.
      returned: when this secret failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Failed to create the secret (needs secretsmanager:CreateSecret): User: arn:aws:iam::123456789012:user/dev is
            not authorized to perform: secretsmanager:CreateSecret (AccessDeniedException)
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: AccessDeniedException
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(secrets) is returned
  type: list
  elements: str
  sample: ["store a new credential in the secret ecr-pullthroughcache/docker-hub"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through_secrets
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably, report

# A user name is often part of other names, such as the secret's. There it would be masked too, and the ARN be lost.
SECRET_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "username": {"type": "str", "no_log": False},
    "access_token": {"type": "str", "no_log": True},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
}

ARGUMENTS = {
    "secrets": {"type": "list", "elements": "dict", "required": True, "no_log": False, "options": SECRET_ARGUMENTS},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "recovery_window": {"type": "int", "default": pull_through_secrets.RECOVERY_DAYS[0]},
    "force_delete": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = aws_client(module, "secretsmanager", pull_through_secrets.SECRETS_AT_A_TIME)
        secrets = pull_through_secrets.wanted_secrets(params, client.meta.region_name)
        settings = pull_through_secrets.Settings(
            module.check_mode, params["recovery_window"], force_delete=params["force_delete"]
        )
        if params["state"] == "absent":
            outcomes = pull_through_secrets.absent(client, [secret.name for secret in secrets], settings)
        else:
            outcomes = pull_through_secrets.present(client, secrets, settings)
        report(module, "secrets", outcomes)


if __name__ == "__main__":
    main()
