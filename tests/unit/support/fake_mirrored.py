# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry that images are copied to, behind a real boto3 client: see fake_ecr.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import (
    ACCOUNT,
    Document,
    FakeECR,
    Refused,
    Repository,
)

HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
OCI = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Mirrored(Repository):
    """`manifests` are texts with media types, by digest."""

    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[str, str]] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    settings: Document = field(default_factory=dict)


class FakeMirrored(FakeECR):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.repositories: dict[str, Any] = {name: Mirrored() for name in names}
        self.page_size = 1000
        self.mounting = "ENABLED"
        # Why tags and digests cannot be looked at.
        self.failures: dict[str, str] = {}
        # Whether two tags of one image get one answer.
        self.answers_once = False

    def put(self, repository: str, tag: str, text: str, media_type: str = OCI) -> str:
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        self.repositories[repository].tags[tag] = digest
        self.repositories[repository].manifests[digest] = (text, media_type)
        return digest

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _request in self.calls)

    def _get_authorization_token(self, _request: Document) -> Document:
        expires = datetime.now(timezone.utc) + timedelta(hours=12)
        given = {"authorizationToken": "QVdTOnB3", "proxyEndpoint": f"https://{HOST}", "expiresAt": expires}
        return {"authorizationData": [given]}

    def _describe_repositories(self, request: Document) -> Document:
        if "repositoryNames" in request:
            if len(request["repositoryNames"]) > 100:
                raise Refused("InvalidParameterException", "too many names")
            found = [(name, self._repository({"repositoryName": name})) for name in request["repositoryNames"]]
            return {"repositories": [self._described(name, one) for name, one in found]}
        names, start = sorted(self.repositories), int(request.get("nextToken", 0))
        end = start + self.page_size
        page: Document = {"repositories": [self._described(name, self.repositories[name]) for name in names[start:end]]}
        return page | ({"nextToken": str(end)} if end < len(names) else {})

    def _described(self, name: str, repository: Mirrored) -> Document:
        names = ("imageTagMutability", "imageTagMutabilityExclusionFilters")
        return {
            "repositoryName": name,
            **{key: value for key, value in repository.settings.items() if key in names},
        }

    def _create_repository(self, request: Document) -> Document:
        name = request["repositoryName"]
        if name in self.repositories:
            raise Refused("RepositoryAlreadyExistsException", f"The repository with name '{name}' already exists")
        self.repositories[name] = Mirrored(settings=request)
        return {"repository": {"repositoryName": name}}

    def _batch_get_image(self, request: Document) -> Document:
        repository, images, failures, answered = self._repository(request), [], [], set()
        if len(request["imageIds"]) > 100:
            raise Refused("InvalidParameterException", "too many ids")
        for image_id in request["imageIds"]:
            name = image_id.get("imageTag") or image_id["imageDigest"]
            digest = repository.tags.get(name, name)
            code = self.failures.get(name) or (None if digest in repository.manifests else "ImageNotFound")
            if code:
                failures.append({"imageId": image_id, "failureCode": code, "failureReason": f"no {name}."})
            elif not (self.answers_once and digest in answered):
                answered.add(digest)
                text, media_type = repository.manifests[digest]
                whole = {**image_id, "imageDigest": digest}
                images.append({"imageId": whole, "imageManifest": text, "imageManifestMediaType": media_type})
        return {"images": images, "failures": failures}

    def _batch_check_layer_availability(self, request: Document) -> Document:
        there = self._repository(request).layers
        if len(request["layerDigests"]) > 100:
            raise Refused("InvalidParameterException", "too many digests")
        states = {digest: "AVAILABLE" if digest in there else "UNAVAILABLE" for digest in request["layerDigests"]}
        return {
            "layers": [{"layerDigest": digest, "layerAvailability": state} for digest, state in states.items()],
            "failures": [],
        }

    def _get_account_setting(self, request: Document) -> Document:
        return {"name": request["name"], "value": self.mounting}

    def _batch_delete_image(self, request: Document) -> Document:
        tags, failures = self._repository(request).tags, []
        for image_id in request["imageIds"]:
            code = self.failures.get(image_id["imageTag"])
            if tags.pop(image_id["imageTag"], None) is None or code:
                failures.append({"imageId": image_id, "failureCode": code or "ImageNotFound", "failureReason": "no"})
        return {"failures": failures}
