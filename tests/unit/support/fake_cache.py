# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry whose repositories fill themselves from an upstream when they are pulled from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Document, Image, Refused
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import FakePullThrough

INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class FakeCache(FakePullThrough):
    def __init__(self) -> None:
        super().__init__()
        # By repository and tag or digest: the manifest that the upstream has.
        self.upstream: dict[tuple[str, str], str] = {}
        # By repository and tag or digest: the failure code in place of an image.
        self.failing: dict[tuple[str, str], str] = {}

    def publish(self, repository: str, tag: str, children: int = 0) -> str:
        """An image, or a multi-arch image with so many children. Returns its digest."""
        listed = []
        for number in range(children):
            child = json.dumps({"config": {"digest": f"{repository}:{tag}:{number}"}, "layers": []})
            self.upstream[repository, digest_of(child)] = child
            listed.append({"digest": digest_of(child)})
        manifest: dict[str, Any] = {"mediaType": INDEX, "manifests": listed} if children else {"layers": [tag]}
        text = json.dumps(manifest)
        self.upstream[repository, tag] = text
        return digest_of(text)

    def _list_images(self, request: Document) -> Document:
        tagged = request.get("filter", {}).get("tagStatus") == "TAGGED"
        ids = [
            {"imageDigest": image.digest, **({"imageTag": tag} if tag else {})}
            for image in self._repository(request).images
            for tag in image.tags or ([] if tagged else [""])
        ]
        start, size = int(request.get("nextToken", 0)), request.get("maxResults", 100)
        page: Document = {"imageIds": ids[start : start + size]}
        return page | ({"nextToken": str(start + size)} if start + size < len(ids) else {})

    def _batch_get_image(self, request: Document) -> Document:
        repository = request["repositoryName"]
        answer: Document = {"images": [], "failures": []}
        for identity in request["imageIds"]:
            name = identity.get("imageTag") or identity["imageDigest"]
            code = self.failing.get((repository, name))
            text = self.upstream.get((repository, name))
            if code or text is None:
                failure = {"failureCode": code or "ImageNotFound", "failureReason": "Requested image not found"}
                answer["failures"].append({"imageId": identity, **failure})
            else:
                answer["images"].append(self._cached(repository, identity, text))
        return answer

    def _cached(self, repository: str, identity: Document, text: str) -> Document:
        digest = digest_of(text)
        if repository not in self.repositories:
            self.add(repository)
        tags = [identity["imageTag"]] if "imageTag" in identity else []
        self.repositories[repository].images.append(Image(digest, tags))
        return {"imageId": {**identity, "imageDigest": digest}, "imageManifest": text}

    def _delete_repository(self, request: Document) -> Document:
        if not request.get("force"):
            raise Refused("RepositoryNotEmptyException", "it holds images")
        self._repository(request)
        del self.repositories[request["repositoryName"]]
        return {}
