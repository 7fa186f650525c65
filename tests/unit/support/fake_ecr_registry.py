# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of an ECR registry and its images in memory, behind a real boto3 client: see fake_ecr.py."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import (
    ACCOUNT,
    NOW,
    Document,
    FakeECR,
    Image,
    Refused,
)

HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"


class FakeECRRegistry(FakeECR):
    def __init__(self) -> None:
        super().__init__()
        self.policy_text: str | None = None
        self.scanning: Document = {"scanType": "BASIC", "rules": []}
        self.replication: list[Document] = []
        self.settings = {
            "BLOB_MOUNTING": "DISABLED",
            "REGISTRY_POLICY_SCOPE": "V2",
            "BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE",
        }
        self.exclusions: list[str] = []
        self.page_size = 1000

    @property
    def registry_policy(self) -> Document | None:
        return None if self.policy_text is None else json.loads(self.policy_text)

    def operations(self) -> list[str]:
        return [name for name, _request in self.calls]

    def write_policy(self, *statements: Document) -> None:
        """As somebody else would."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.policy_text = json.dumps(document) if statements else None

    # -------------------------------------------------------------- registry

    def _get_authorization_token(self, _request: Document) -> Document:
        return {"authorizationData": [{"authorizationToken": "QVdTOnB3", "proxyEndpoint": f"https://{HOST}"}]}

    def _get_registry_policy(self, _request: Document) -> Document:
        if self.policy_text is None:
            raise Refused("RegistryPolicyNotFoundException", "There is no registry policy")
        return {"registryId": ACCOUNT, "policyText": self.policy_text}

    def _put_registry_policy(self, request: Document) -> Document:
        if len(request["policyText"]) > 10240:
            raise Refused("InvalidParameterException", "Invalid registry policy provided")
        self.policy_text = request["policyText"]
        return self._get_registry_policy(request)

    def _delete_registry_policy(self, request: Document) -> Document:
        answer = self._get_registry_policy(request)
        self.policy_text = None
        return answer

    def _get_registry_scanning_configuration(self, _request: Document) -> Document:
        return {"registryId": ACCOUNT, "scanningConfiguration": self.scanning}

    def _put_registry_scanning_configuration(self, request: Document) -> Document:
        self.scanning = {"scanType": request["scanType"], "rules": request["rules"]}
        return {"registryScanningConfiguration": self.scanning}

    def _describe_registry(self, _request: Document) -> Document:
        return {"registryId": ACCOUNT, "replicationConfiguration": {"rules": self.replication}}

    def _put_replication_configuration(self, request: Document) -> Document:
        self.replication = request["replicationConfiguration"]["rules"]
        return {"replicationConfiguration": {"rules": self.replication}}

    def _get_account_setting(self, request: Document) -> Document:
        return {"name": request["name"], "value": self.settings[request["name"]]}

    def _put_account_setting(self, request: Document) -> Document:
        self.settings[request["name"]] = request["value"]
        return dict(request)

    def _list_pull_time_update_exclusions(self, request: Document) -> Document:
        return self._page(self.exclusions, request, "pullTimeUpdateExclusions")

    def _register_pull_time_update_exclusion(self, request: Document) -> Document:
        if request["principalArn"] in self.exclusions:
            raise Refused("ExclusionAlreadyExistsException", "It exists")
        self.exclusions.append(request["principalArn"])
        return dict(request)

    def _deregister_pull_time_update_exclusion(self, request: Document) -> Document:
        if request["principalArn"] not in self.exclusions:
            raise Refused("ExclusionNotFoundException", "There is none")
        self.exclusions.remove(request["principalArn"])
        return dict(request)

    # -------------------------------------------------------------- images

    def _describe_images(self, request: Document) -> Document:
        images = self._repository(request).images
        wanted = request.get("imageIds")
        if wanted is not None:
            found = [[image for image in images if _is(image, image_id)] for image_id in wanted]
            if not all(found):
                raise Refused("ImageNotFoundException", "The image does not exist")
            return {"imageDetails": [_detail(matching[0]) for matching in found]}
        status = request["filter"]["tagStatus"]
        selected = [image for image in images if status == "ANY" or (status == "TAGGED") == bool(image.tags)]
        return self._page([_detail(image) for image in selected], request, "imageDetails")

    def _list_images(self, request: Document) -> Document:
        ids: list[Document] = []
        for image in self._repository(request).images:
            digest = {"imageDigest": image.digest}
            ids += [{**digest, "imageTag": tag} for tag in image.tags] or [digest]
        return self._page(ids, request, "imageIds") if ids else {}

    def _page(self, items: list[Any], request: Document, key: str) -> Document:
        start, size = int(request.get("nextToken", 0)), min(request["maxResults"], self.page_size)
        page: Document = {key: items[start : start + size]}
        return page | ({"nextToken": str(start + size)} if start + size < len(items) else {})


def _is(image: Image, image_id: Document) -> bool:
    return image_id.get("imageDigest") == image.digest or image_id.get("imageTag") in image.tags


def _detail(image: Image) -> Document:
    return {
        "imageDigest": image.digest,
        "imagePushedAt": NOW - timedelta(days=image.pushed_days_ago),
        "imageSizeInBytes": 1000,
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "imageStatus": "ACTIVE",
        **({"imageTags": image.tags} if image.tags else {}),
    }
