#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_results_info
version_added: 0.1.0
short_description: Read what a run of a scheduled job has done to images
description:
  - Puts together what all parts of a run have left in Amazon S3, such as the children of an array of AWS Batch.
  - What it returns is what M(stevedore.ecr.ecr_image_mirror) returns. M(stevedore.ecr.mirror_report) can sum it up.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  bucket:
    description: The bucket that the journals are in.
    type: str
    required: true
  prefix:
    description: How the names of the journals of the run begin.
    type: str
    required: true
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
  - Needs the permissions C(s3:ListBucket) on the bucket and C(s3:GetObject) on the journals.
seealso:
  - module: stevedore.ecr.job_run
  - module: stevedore.ecr.mirror_report
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Read what the array has done
  stevedore.ecr.job_results_info:
    bucket: example-ecr-sync-123456789012-eu-west-1
    prefix: example-ecr-sync/runs/0f2d4a3c-7c1e-4b8e-9d3a-1f5b6c7d8e90/
  register: found

- name: Write a report of all of it
  stevedore.ecr.mirror_report:
    images: "{{ found.images }}"
    rate_limit: "{{ found.rate_limit }}"
    html: /srv/www/sync.html
"""

RETURN = r"""
images:
  description: As RV(stevedore.ecr.ecr_image_mirror#module:images), of all parts of the run.
  returned: success
  type: list
  elements: dict
rate_limit:
  description: As RV(stevedore.ecr.ecr_image_mirror#module:rate_limit), of the part of the run that saw least left.
  returned: success
  type: dict
journals:
  description: How many parts of the run have left a journal. A part that had nothing to do leaves none.
  returned: success
  type: int
  sample: 8
unfinished:
  description: How many parts of the run broke off. What they had done until then is in RV(images).
  returned: success
  type: int
  sample: 0
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.results import read_results

ARGUMENTS = {
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        found = read_results(aws_client(module, "s3"), params["bucket"], params["prefix"])
        module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
