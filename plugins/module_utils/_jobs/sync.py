# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the variables of the role pull_sync come down to: images, resources and permissions. All pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import sync_resources as resources
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_images import job, read_images, shards
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_network import egress, network_problems
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_roles import (
    PURPOSES,
    role_problems,
    roles,
    source_policies,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import Sync, name_problems, problems


def parts(given: Mapping[str, Any]) -> Document:
    """Everything that the role makes, as far as it does not depend on what only AWS can tell.

    Raises an error with all that is wrong with the variables.
    """
    sync = Sync(given)
    wrong = list(problems(sync))
    if isinstance(sync.config, Mapping):
        images, found = read_images(sync)
        wrong += found
    if not wrong:
        wrong += role_problems(sync, images)
    _stop_if(wrong)
    shared_out = shards(images, sync.shard_count, whole=bool(sync.prune))
    return {
        "names": sync.names,
        "image": sync.image,
        "roles": roles(sync, images),
        "job": job(sync, shared_out),
        # Of so many parts of a run a journal is to be expected.
        "busy_shards": sum(bool(shard) for shard in shared_out),
        "bucket_policy": resources.bucket_policy(sync),
        "bucket_settings": resources.bucket_settings(sync),
        "source_policies": source_policies(sync, images),
        "of_no_use": resources.of_no_use(sync),
        "topic": resources.topic(sync),
        "topic_arn": sync.topic_arn,
        "failures": resources.failures(sync),
        "addresses": {image.option["source"]: f"{sync.registry}/{image.destination}" for image in images},
    }


def running_parts(given: Mapping[str, Any], image: str, network: Mapping[str, Any], group: str) -> Document:
    """The same of what runs: for an image, and where. `group` is the security group of our own, if there is one."""
    sync = Sync(given)
    _stop_if(list(network_problems(sync, network)))
    subnets, groups = network["subnet_ids"], list(sync.security_groups) or [group]
    return {
        "egress": egress(sync, network),
        "compute": resources.compute(sync, image, subnets, groups),
        "schedule": resources.schedule(sync, subnets, groups),
        "run": resources.run(sync, subnets, groups),
    }


def leftovers(given: Mapping[str, Any]) -> Document:
    """All that the role may have made. Raises an error where it cannot have made anything of that name."""
    sync = Sync(given)
    _stop_if(list(name_problems(sync)))
    return {
        "names": sync.names,
        "resources": resources.leftovers(sync),
        "roles": [{"name": sync.role(purpose)} for purpose in PURPOSES],
    }


def _stop_if(wrong: list[str]) -> None:
    if wrong:
        raise AnsibleECRError(f"Not valid: {'; '.join(wrong)}", code="InvalidVariables")
