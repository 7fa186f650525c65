# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the variables of the role codebuild_cloner come down to: images, resources and permissions. All pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import cloner_resources as resources
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_images import addresses, job_files, read_images
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_roles import roles
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_variables import (
    Cloner,
    place_problems,
    problems,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.notices import no_topic
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document

_PURPOSES = ("build", "schedule", "batch")


def parts(given: Mapping[str, Any]) -> Document:
    """Everything that the role makes. Raises an error with all that is wrong with the variables."""
    cloner = Cloner(given)
    _stop_if(list(problems(cloner)))
    images = read_images(cloner)
    wanted_roles = roles(cloner, images)
    return {
        "names": cloner.names,
        "repositories": images.repositories,
        "files": job_files(cloner, images.options),
        "installs": not cloner.own_image,
        "roles": wanted_roles,
        "roles_of_no_use": [{"name": cloner.role(purpose)} for purpose in _PURPOSES[len(wanted_roles) :]],
        "token": resources.token(cloner),
        "project": resources.project(cloner, images.need_engine),
        "schedule": resources.schedule(cloner),
        "topic": resources.topic(cloner),
        "topic_arn": cloner.topic_arn,
        "failures": resources.failures(cloner),
        "run": "codebuild_batch" if cloner.sharded else "codebuild_build",
        "addresses": addresses(cloner, images),
    }


def leftovers(given: Mapping[str, Any]) -> Document:
    """All that the role may have made. Raises an error where it would be that of somebody else."""
    cloner = Cloner(given)
    _stop_if(list(place_problems(cloner)))
    kinds = {
        "schedule": cloner.project,
        "codebuild_project": cloner.project,
        "ssm_parameter": cloner.parameter,
    }
    return {
        "names": cloner.names,
        "resources": [
            *({"kind": kind, "name": name, "state": "absent"} for kind, name in kinds.items()),
            *no_topic(cloner.own_topic_arn, cloner.notify),
        ],
        "roles": [{"name": cloner.role(purpose)} for purpose in _PURPOSES],
        "repositories": [f"{cloner.namespace}/{name}" for name in cloner.containers],
    }


def _stop_if(wrong: list[str]) -> None:
    if wrong:
        raise AnsibleECRError(f"Not valid: {'; '.join(wrong)}", code="InvalidVariables")
