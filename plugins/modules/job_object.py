#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_object
version_added: 0.1.0
short_description: Keep what a scheduled job runs on in Amazon S3
description:
  - Writes one object, a text or a zip archive of texts and of the collections that run the job, so that the job needs
    neither Galaxy nor a checkout.
  - The same content makes the same bytes, and what is there already is not written again, so that a versioned bucket
    gets no new version.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  bucket:
    description: The bucket. Where it does not exist in check mode, its objects do not either.
    type: str
    required: true
  key:
    description:
      - The key of the object. One that ends in C(.zip) is an archive. One that ends in V(/) is what the keys of several
        objects begin with, one for each of O(files).
    type: str
    required: true
  files:
    description:
      - Texts by their names in the archive or below O(key), or one text with any name where the object is neither.
      - Whoever may read the bucket may read them, so no secret belongs in here.
    type: dict
    default: {}
  paths:
    description:
      - The same as files of this host, which keep the last part of their names.
    type: list
    elements: path
    default: []
  collections:
    description:
      - Where the collections C(stevedore.ecr) and C(amazon.aws) are installed on this host, by their names, to have
        them in the archive. See P(stevedore.ecr.collection_directory#lookup).
    type: dict
    default: {}
  kms_key_arn:
    description: Encrypt with this key, and not as the bucket does by default.
    type: str
  state:
    description:
      - With V(absent) the object goes, or the objects that O(files) names. Older versions stay, where the bucket keeps
        any.
      - With V(purged) everything goes whose key begins with O(key), which has to end in V(/), and B(all older versions)
        go too.
    type: str
    choices: [present, absent, purged]
    default: present
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: full
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
seealso:
  - module: amazon.aws.s3_object
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Keep the job where a build finds it
  stevedore.ecr.job_object:
    bucket: my-jobs
    key: clone/job.zip
    files:
      job.json: "{{ {'image_mirror_images': [{'source': 'redis', 'tags': ['7.4']}]} | to_nice_json(sort_keys=True) }}"
    collections:
      stevedore.ecr: "{{ lookup('stevedore.ecr.collection_directory', 'stevedore.ecr') }}"
      amazon.aws: "{{ lookup('stevedore.ecr.collection_directory', 'amazon.aws') }}"
"""

RETURN = r"""
objects:
  description: What became of each object.
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: The key.
      type: str
    changed:
      description: Whether it was written or deleted, or in check mode would be.
      type: bool
    before:
      description:
        - The C(sha256) and C(bytes) of what was there; null where there was nothing. With O(state=purged), how many
          C(versions) there were.
      type: dict
    after:
      description: The C(sha256) and C(bytes) of what is there now; null where there is nothing.
      type: dict
    version:
      description: The version, where the bucket keeps any.
      type: str
    error:
      description: What went wrong, C(msg) and C(code).
      returned: when it failed
      type: dict
actions:
  description: What was done, or in check mode would be, in words.
  returned: when the options are valid
  type: list
  elements: str
  sample: ["write clone/job.zip"]
"""

import os
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably, report
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import objects
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.bundle import archive

ARGUMENTS = {
    "bucket": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "files": {"type": "dict", "default": {}},
    "paths": {"type": "list", "elements": "path", "default": []},
    "collections": {"type": "dict", "default": {}},
    "kms_key_arn": {"type": "str", "no_log": False},
    "state": {"type": "str", "choices": ["present", "absent", "purged"], "default": "present"},
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "present", ("files", "paths"), True)],
    )
    params = module.params
    bucket = params["bucket"]
    with failing_readably(module):
        if params["state"] == "purged":
            if not params["key"].endswith("/"):
                raise AnsibleECRError(f"What is purged is what is below a key that ends in /, not {params['key']}")
            outcomes = objects.purge(aws_client(module, "s3"), bucket, params["key"], check_mode=module.check_mode)
        else:
            wanted = _wanted(params)
            client = aws_client(module, "s3")
            outcomes = objects.converge(client, bucket, wanted, params["kms_key_arn"], check_mode=module.check_mode)
        report(module, "objects", outcomes)


def _wanted(params: dict[str, Any]) -> dict[str, bytes | None]:
    """The content of each object; None where it has to go."""
    key, is_absent = params["key"], params["state"] == "absent"
    names = [*params["files"], *map(os.path.basename, params["paths"])]
    if is_absent:
        return dict.fromkeys([f"{key}{name}" for name in names] if key.endswith("/") else [key])
    files = {name: str(text).encode() for name, text in params["files"].items()}
    files.update({os.path.basename(path): _read(path) for path in params["paths"]})
    if key.endswith("/"):
        return {f"{key}{name}": content for name, content in files.items()}
    if key.endswith(".zip"):
        return {key: archive(files, params["collections"])}
    if params["collections"] or len(files) != 1:
        raise AnsibleECRError("An object that is no archive is one text: give one of files, or a key that ends in .zip")
    return {key: next(iter(files.values()))}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AnsibleECRError(f"{path} cannot be read: {error.strerror}") from error


if __name__ == "__main__":
    main()
