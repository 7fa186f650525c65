# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image that jobs run in: built from what it is made of, and found by that again.

Private to this collection: may change in any release.

Its tag is a digest of all that goes into it. So it is built when there is none yet, and else no engine is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_mirror as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import private_login
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.bundle import content
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import Engine

_DIGITS = 16
_NOT_FOUND = "ImageNotFound"
_NO_REPOSITORY = "RepositoryNotFoundException"


@dataclass(frozen=True)
class Recipe:
    """What an image is made of. Of `hidden` arguments, such as where packages come from, the image does not depend."""

    dockerfile: str
    files: Mapping[str, str]
    collections: Mapping[str, str]
    arguments: Mapping[str, str]
    hidden: Mapping[str, str]
    platform: str

    @cached_property
    def tag(self) -> str:
        digest = hashlib.sha256(json.dumps([self.dockerfile, self.platform, *sorted(self.arguments.items())]).encode())
        for name, raw in sorted(self.context.items()):
            digest.update(f"{len(name)}:{name}:{len(raw)}:".encode() + raw)
        return digest.hexdigest()[:_DIGITS]

    @cached_property
    def context(self) -> dict[str, bytes]:
        """Read once: what is built is what the tag says, whatever becomes of the files meanwhile."""
        return content({name: text.encode() for name, text in self.files.items()}, self.collections)


def find(client: Any, repository: str, tag: str) -> str | None:
    """The digest of the image, if there is one. In check mode there may be no repository yet."""
    try:
        answer = api.batch_get_image(client, repository, [{"imageTag": tag}])
    except AnsibleECRError as error:
        if error.code == _NO_REPOSITORY:
            return None
        raise
    for failure in answer.get("failures", []):
        if failure.get("failureCode") != _NOT_FOUND:
            raise AnsibleECRError(
                f"Amazon ECR cannot look at {repository}:{tag}: {failure.get('failureReason')}",
                code=str(failure.get("failureCode")),
            )
    images = answer.get("images", [])
    return str(images[0]["imageId"]["imageDigest"]) if images else None


def build(client: Any, repository: str, recipe: Recipe, docker_host: str) -> None:
    """Build it in a Docker Engine, push it, and leave nothing of it there."""
    login = private_login(client)
    name, tag = f"{login.host}/{repository}", recipe.tag
    try:
        with closing(Engine(docker_host)) as engine:
            engine.build(
                recipe.dockerfile.encode(),
                f"{name}:{tag}",
                {},
                files=recipe.context,
                arguments={**recipe.arguments, **recipe.hidden},
                platform=recipe.platform,
            )
            try:
                engine.push(name, tag, login.credentials)
            finally:
                engine.remove(f"{name}:{tag}")
    except MirrorError as error:
        raise AnsibleECRError(str(error), code="ImageNotBuilt") from error
