#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_cache_warm
version_added: 0.1.0
short_description: Bring images into a pull-through cache of Amazon ECR before they are needed
description:
  - Pulls images through a pull-through cache once, so that the first node that needs them does not have to wait, needs
    no way to the internet, and can pull by digest.
  - Uses the API of Amazon ECR alone. No Docker is needed, and no layer comes to this host.
  - Multi-arch images are fetched with all their platforms.
  - Images that are cached are left alone. Amazon ECR refreshes them by itself, when they are pulled.
  - One task handles all images, several at a time. One that fails does not stop the others. The task fails at its end,
    and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  images:
    description:
      - The images as they are called in the registry, with or without its address, for example
        V(docker-hub/library/nginx:1.27).
      - The filter P(stevedore.ecr.ecr_cached_image#filter) makes such names from those that people write.
      - Without a tag, C(latest) is meant.
      - With a tag and a digest, the image is fetched by the tag, and fails where that is not the digest. A digest alone
        will not do, because Amazon ECR does not reliably fetch an image by its digest.
    type: list
    elements: str
    required: true
    aliases: [image]
  parallel:
    description:
      - How many images are fetched at the same time.
    type: int
    default: 4
attributes:
  check_mode:
    support: full
    details:
      - An image that no rule covers is no failure, because the rule may be about to be made.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Amazon ECR fetches the layers by itself, some time after it has answered.
  - When a cached tag is pulled, Amazon ECR asks the upstream at most once every 24 hours whether the tag has moved.
    This module does not change that.
  - A pull counts at the upstream as any other. One multi-arch image is several pulls for Docker Hub, one for the image
    and one for each platform.
  - Needs the permissions C(ecr:GetAuthorizationToken), from whose answer only the address of the registry is used, and
    C(ecr:ListImages). To fetch images it needs C(ecr:DescribePullThroughCacheRules), C(ecr:BatchGetImage),
    C(ecr:BatchImportUpstreamImage), for the first image of a repository C(ecr:CreateRepository), and C(ecr:TagResource)
    where the creation template has tags.
seealso:
  - module: stevedore.ecr.ecr_pull_through_rule
  - plugin: stevedore.ecr.ecr_cached_image
    plugin_type: filter
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Have the images of tonight's release in the cache
  stevedore.ecr.ecr_cache_warm:
    images:
      - docker-hub/library/nginx:1.27
      - quay/prometheus/prometheus:v3.5.0

- name: The same for a list of names as people write them, nginx:1.27 for example
  stevedore.ecr.ecr_cache_warm:
    images: "{{ wanted_images | map('stevedore.ecr.ecr_cached_image', cache.rules) }}"

- name: See what is not cached yet
  stevedore.ecr.ecr_cache_warm:
    images: "{{ release_images }}"
  check_mode: true
  register: release
"""

RETURN = r"""
images:
  description: What became of each image, in the order of O(images).
  returned: when the options are valid and AWS can be reached
  type: list
  elements: dict
  contains:
    name:
      description: The image as O(images) has it.
      returned: always
      type: str
      sample: docker-hub/library/nginx:1.27
    changed:
      description: Whether it was fetched, or in check mode would be.
      returned: always
      type: bool
      sample: true
    address:
      description: The address to pull it by.
      returned: when this image did not fail
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1.27
    cached:
      description: Whether it is in the cache now.
      returned: when this image did not fail
      type: bool
      sample: true
    digest:
      description: Its digest, or V(null) where it is not in the cache.
      returned: when this image did not fail
      type: str
      sample: sha256:0f5ae0c6bd3fe8b3cc8fbd5b9b5d3ee1ad9e32fd8a8b2a3e5cb2b3c1c4d5e6f7
    before:
      description: RV(images[].cached) and RV(images[].digest) as they were.
      returned: when this image did not fail
      type: dict
      sample: {cached: false, digest: null}
    after:
      description: RV(images[].cached) and RV(images[].digest) as they are now, or in check mode would be.
      returned: when this image did not fail
      type: dict
      sample:
        cached: true
        digest: sha256:0f5ae0c6bd3fe8b3cc8fbd5b9b5d3ee1ad9e32fd8a8b2a3e5cb2b3c1c4d5e6f7
    error:
      description: Why this image failed.
      returned: when this image failed
      type: dict
      contains:
        msg:
          description: What failed, what AWS said to it, and where it helps what to do.
          returned: always
          type: str
          sample: >-
            Docker Hub keeps its official images in library/, so this one is docker-hub/library/nginx:1.27
        code:
          description: The error code of AWS, or the name of the problem where AWS gave no answer.
          returned: always
          type: str
          sample: OfficialImage
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(images) is returned
  type: list
  elements: str
  sample: ["fetch 123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1.27"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import cache_warming
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import ecr_client, failing_readably, report

ARGUMENTS = {
    "images": {"type": "list", "elements": "str", "required": True, "aliases": ["image"]},
    "parallel": {"type": "int", "default": 4},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = ecr_client(module, params["parallel"])
        settings = cache_warming.Settings(module.check_mode, params["parallel"])
        report(module, "images", cache_warming.warm(client, params["images"], settings))


if __name__ == "__main__":
    main()
