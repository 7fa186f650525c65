#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_claim
version_added: 0.1.0
short_description: Take a scheduled job out of Amazon S3, unless another run is at work on it
description:
  - Takes a lock, which is an object in Amazon S3 that only one can write, and reads the job.
  - A run that starts while another one is at work is told so, and should end. Nothing is waited for.
  - A lock is over by itself after its time, by the clock of Amazon S3, so that a run that died does not stop the next
    ones for ever. Who has had it already gets it again, such as the next attempt of the same job.
  - The playbook C(stevedore.ecr.mirror_job) does all of this.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  bucket:
    description: The bucket of the job and of the lock.
    type: str
    required: true
  key:
    description: The name of the job, which is a JSON text with C(variables) and C(shards).
    type: str
    required: true
  lock:
    description: The name of the lock.
    type: str
    required: true
  owner:
    description: Who runs, by a name that no other run has.
    type: str
    required: true
  seconds:
    description: After which time the lock is over by itself.
    type: int
    default: 3600
  shard:
    description: Which part of the job to return.
    type: int
    default: 0
  kms_key_arn:
    description: The key that the lock is encrypted with. By default that of Amazon S3.
    type: str
  state:
    description: V(released) gives the lock back, if it still is that of O(owner).
    type: str
    choices: [claimed, released]
    default: claimed
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
  idempotent:
    support: full
notes:
  - Needs the permissions C(s3:GetObject), C(s3:PutObject) and C(s3:DeleteObject) on the lock, C(s3:GetObject) on the
    job, and C(s3:ListBucket) on the bucket, without which Amazon S3 does not tell that there is no lock.
seealso:
  - module: stevedore.ecr.job_object
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Take the job
  stevedore.ecr.job_claim:
    bucket: example-ecr-sync-123456789012-eu-west-1
    key: example-ecr-sync/job.json
    lock: example-ecr-sync/locks/0
    owner: 5d0a2b7c
  register: claim

- name: Leave it to others
  ansible.builtin.meta: end_play
  when: not claim.claimed
"""

RETURN = r"""
claimed:
  description: Whether the lock is that of O(owner) now. In check mode, whether it would be.
  returned: with O(state=claimed)
  type: bool
owner:
  description: Whose lock it is.
  returned: with O(state=claimed)
  type: str
seconds_left:
  description: When it is over by itself.
  returned: with O(state=claimed)
  type: float
variables:
  description: The variables of the job.
  returned: when it is claimed
  type: dict
images:
  description: The images of O(shard).
  returned: when it is claimed
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import locks
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.job_files import read_job

ARGUMENTS = {
    "bucket": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "lock": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "seconds": {"type": "int", "default": 3600},
    "shard": {"type": "int", "default": 0},
    "kms_key_arn": {"type": "str", "no_log": False},
    "state": {"type": "str", "choices": ["claimed", "released"], "default": "claimed"},
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    with failing_readably(module):
        client = aws_client(module, "s3")
        where = (params["bucket"], params["lock"], params["owner"])
        if params["state"] == "released":
            held = locks.look(client, *where)
            mine = held is not None and held.mine
            module.exit_json(changed=mine if module.check_mode else locks.release(client, *where))
        lock = _lock(module, client, where)
        if not lock.mine:
            module.exit_json(changed=False, claimed=False, owner=lock.owner, seconds_left=lock.seconds_left)
        job = read_job(client, params["bucket"], params["key"], params["shard"])
        module.exit_json(changed=True, claimed=True, owner=lock.owner, seconds_left=lock.seconds_left, **job)


def _lock(module: AnsibleAWSModule, client: Any, where: tuple[str, str, str]) -> locks.Lock:
    params, owner = module.params, module.params["owner"]
    if module.check_mode:
        held = locks.look(client, *where)
        free = held is None or held.mine or held.seconds_left <= 0
        return locks.Lock(owner, mine=True, seconds_left=params["seconds"]) if free or held is None else held
    key = params["kms_key_arn"]
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
    return locks.take(client, *where, params["seconds"], encryption)


if __name__ == "__main__":
    main()
