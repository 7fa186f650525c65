#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_image
version_added: 0.1.0
short_description: Have the image that scheduled jobs run in, in Amazon ECR
description:
  - Builds an image by a Docker Engine, and pushes it to Amazon ECR under a tag that is a digest of what it is made of.
  - Where there is an image of this tag, nothing is built, and no engine is needed. So the image is built again when the
    collections, the lines, the files or O(arguments) have changed, and only then.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  repository:
    description: The name of the repository, which has to exist.
    type: str
    required: true
  dockerfile:
    description: The text of the Dockerfile.
    type: str
    required: true
  files:
    description: Texts for the build, by their names.
    type: dict
    default: {}
  collections:
    description: Where collections are installed on this host. They go to C(ansible_collections), see
      M(stevedore.ecr.job_object).
    type: dict
    default: {}
  arguments:
    description: Build arguments, such as the image to build upon.
    type: dict
    default: {}
  hidden_arguments:
    description:
      - Build arguments that make no other image of it, such as where packages come from. They are not shown.
      - In an image, they can be read in the history of the stage that declares them.
    type: dict
    default: {}
  platform:
    description: The platform, for example V(linux/arm64). By default that of the engine.
    type: str
    default: ""
  docker_host:
    description: Where the Docker Engine listens. By default as E(DOCKER_HOST) says.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
  idempotent:
    support: full
notes:
  - Needs the permissions C(ecr:GetAuthorizationToken) and C(ecr:BatchGetImage), and to push what has been built
    C(ecr:BatchCheckLayerAvailability), C(ecr:InitiateLayerUpload), C(ecr:UploadLayerPart), C(ecr:CompleteLayerUpload)
    and C(ecr:PutImage).
  - An image to build upon is not looked at again as long as its name is the same. Name it by a digest or by a whole
    version, and change that.
  - The Docker Engine is sent the logins that Docker keeps on this host, as C(docker build) does.
requirements:
  - The Python package C(docker), where there is something to build.
seealso:
  - module: stevedore.ecr.job_object
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Have the image
  stevedore.ecr.job_image:
    repository: example/runner
    dockerfile: "{{ lookup('ansible.builtin.file', 'Dockerfile') }}"
    arguments:
      BASE: python:3.13.9-slim
"""

RETURN = r"""
image:
  description: The address of the image.
  returned: success
  type: str
  sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/example/runner:0f1e2d3c4b5a6978
digest:
  description: The digest of the image; null in check mode, where it is not built yet.
  returned: success
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import registry_host
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runner_image import Recipe, build, find

ARGUMENTS = {
    "repository": {"type": "str", "required": True},
    "dockerfile": {"type": "str", "required": True},
    "files": {"type": "dict", "default": {}},
    "collections": {"type": "dict", "default": {}},
    "arguments": {"type": "dict", "default": {}},
    "hidden_arguments": {"type": "dict", "default": {}, "no_log": True},
    "platform": {"type": "str", "default": ""},
    "docker_host": {"type": "str"},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, parallel=1)
        recipe = Recipe(
            params["dockerfile"],
            params["files"],
            params["collections"],
            params["arguments"],
            params["hidden_arguments"],
            params["platform"],
        )
        found = find(client, params["repository"], recipe.tag)
        changed = found is None
        if changed and not module.check_mode:
            build(client, params["repository"], recipe, params["docker_host"] or "")
            found = find(client, params["repository"], recipe.tag)
        address = f"{registry_host(client)}/{params['repository']}:{recipe.tag}"
        module.exit_json(changed=changed, image=address, digest=found)


if __name__ == "__main__":
    main()
