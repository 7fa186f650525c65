#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: registry_rate_limit_info
version_added: 0.1.0
short_description: Ask Docker Hub how many pulls are left
description:
  - Says how many pulls Docker Hub allows to this host, or to an account, how many of them are left, and in which time.
  - Asking costs no pull. It is one C(HEAD) request for the manifest of a repository that Docker keeps for this purpose.
  - Numbers and window are read from the answer, and never assumed. An answer without them means that there is no limit,
    which is so for paying customers.
  - Works with any registry that answers with the same headers.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  username:
    description:
      - The account to ask for. Its pulls are counted wherever they come from.
      - Without it, this host is asked for, whose pulls are counted by its address. Hosts behind one NAT share it.
    type: str
  password:
    description:
      - The password or personal access token of O(username).
      - A token that may read public repositories is enough.
    type: str
    aliases: [token]
  registry_url:
    description:
      - The registry, with V(https://). V(http://) sends the password for everybody to read.
    type: str
    default: https://registry-1.docker.io
  repository:
    description:
      - The repository to ask about.
      - Docker Hub counts images of some publishers to nobody. Those have no limit, whoever asks.
    type: str
    default: ratelimitpreview/test
  tag:
    description:
      - A tag that exists in O(repository).
    type: str
    default: latest
  ca_path:
    description:
      - A file with certificates of authorities to trust, beside those that this host trusts.
    type: path
  timeout:
    description:
      - How many seconds to wait for each answer.
    type: float
    default: 30
requirements:
  - urllib3 (Python package)
attributes:
  check_mode:
    description: With C(--check) the module reports what it would change, and changes nothing.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: With C(--diff) the module shows what it changed.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options reports no change.
    support: full
seealso:
  - name: Docker Hub pull usage and limits
    description: What counts as a pull, and what the limits are.
    link: https://docs.docker.com/docker-hub/usage/pulls/
"""

EXAMPLES = r"""
- name: Ask how many anonymous pulls this host has left
  stevedore.ecr.registry_rate_limit_info:
  register: hub

- name: Show them
  ansible.builtin.debug:
    msg: "{{ hub.remaining }} of {{ hub.limit }} pulls in {{ hub.window_seconds // 3600 }} hours, as {{ hub.source }}"
  when: hub.limited

- name: Do not start what cannot be finished
  stevedore.ecr.registry_rate_limit_info:
    username: "{{ docker_hub_username }}"
    password: "{{ docker_hub_token }}"
  register: hub
  failed_when: hub.limited and hub.remaining < 50
"""

RETURN = r"""
limited:
  description: Whether there is a limit. If not, all that follows but RV(logged_in) is V(null).
  returned: success
  type: bool
  sample: true
limit:
  description: How many pulls are allowed in the window.
  returned: success
  type: int
  sample: 100
remaining:
  description: How many of them are left.
  returned: success
  type: int
  sample: 76
window_seconds:
  description: How long the window is.
  returned: success
  type: int
  sample: 21600
source:
  description: What the pulls are counted by, an address, or the id of an account.
  returned: success
  type: str
  sample: 192.0.2.7
logged_in:
  description: Whether the question was asked with O(username).
  returned: success
  type: bool
  sample: false
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    InvalidReferenceError,
    OciError,
    RateLimited,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import HAS_URLLIB3, Http, Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB, Reference

ARGUMENTS = {
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True, "aliases": ["token"]},
    "registry_url": {"type": "str", "default": "https://registry-1.docker.io"},
    "repository": {"type": "str", "default": "ratelimitpreview/test"},
    "tag": {"type": "str", "default": "latest"},
    "ca_path": {"type": "path"},
    "timeout": {"type": "float", "default": 30},
}


def ask(params: Mapping[str, Any]) -> RateLimit | None:
    """What the registry says about pulls; None if it says nothing."""
    host = urlsplit(params["registry_url"]).netloc.rpartition("@")[2]
    image = Reference(host or params["registry_url"], params["repository"], params["tag"])
    credentials = Credentials(params["username"], params["password"]) if params["username"] else None
    settings = RegistrySettings(
        endpoint="" if image.registry == DOCKER_HUB else params["registry_url"],
        ca_bundle=params["ca_path"] or "",
        credentials=lambda: credentials,
    )
    patience = Patience(attempts=3, seconds=params["timeout"], connect=params["timeout"], read=params["timeout"])
    client = Client({image.registry: settings}, http=Http(patience=patience))
    try:
        client.head_manifest(image)
    except RateLimited:
        if client.rate_limit(image.registry) is None:
            raise
    finally:
        client.close()
    return client.rate_limit(image.registry)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_together=[("username", "password")]
    )
    if not HAS_URLLIB3:
        module.fail_json(msg=missing_required_lib("urllib3"))
    try:
        answer = ask(module.params)
    except InvalidReferenceError as error:
        module.fail_json(msg=f"registry_url, repository or tag is not valid: {error}")
    except OciError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        limited=answer is not None,
        limit=answer.limit if answer else None,
        remaining=answer.remaining if answer else None,
        window_seconds=answer.window if answer else None,
        source=answer.source if answer else None,
        logged_in=bool(module.params["username"]),
    )


if __name__ == "__main__":
    main()
