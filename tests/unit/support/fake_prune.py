# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry whose tags can be deleted, behind a real boto3 client: see fake_ecr.py."""

from __future__ import annotations

import copy
import json

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import Document, Image
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr_registry import FakeECRRegistry

INDEX = "application/vnd.oci.image.index.v1+json"


class FakePrune(FakeECRRegistry):
    def __init__(self) -> None:
        super().__init__()
        # By the digest of a multi-arch image: the digests that it lists.
        self.children: dict[str, list[str]] = {}

    def fill(self, repository: str, images: dict[str, list[str]], **children: list[str]) -> None:
        """Images by digest, with their tags. Those that are named again list others."""
        self.add(repository, images=[Image(digest, list(tags)) for digest, tags in images.items()])
        self.children.update(children)

    def tags(self, repository: str) -> list[str]:
        return sorted(tag for image in self.repositories[repository].images for tag in image.tags)

    def _describe_images(self, request: Document) -> Document:
        page = copy.deepcopy(super()._describe_images(request))
        for detail in page["imageDetails"]:
            if detail["imageDigest"] in self.children:
                detail["imageManifestMediaType"] = INDEX
        return page

    def _batch_get_image(self, request: Document) -> Document:
        self._repository(request)
        images = [
            {
                "imageId": image_id,
                "imageManifest": json.dumps(
                    {"manifests": [{"digest": child} for child in self.children[image_id["imageDigest"]]]}
                ),
            }
            for image_id in request["imageIds"]
        ]
        return {"images": images, "failures": []}

    def _batch_delete_image(self, request: Document) -> Document:
        images = self._repository(request).images
        deleted, failures = [], []
        for image_id in request["imageIds"]:
            image = next((image for image in images if image_id["imageTag"] in image.tags), None)
            listed = {child for one in images for child in self.children.get(one.digest, [])}
            if image is None:
                code = "ImageNotFound"
            elif len(image.tags) == 1 and image.digest in listed:
                code = "ImageReferencedByManifestList"
            else:
                image.tags.remove(image_id["imageTag"])
                if not image.tags:
                    images.remove(image)
                deleted.append({**image_id, "imageDigest": image.digest})
                continue
            failures.append({"imageId": image_id, "failureCode": code, "failureReason": "no"})
        return {"failures": failures, **({"imageIds": deleted} if deleted else {})}
