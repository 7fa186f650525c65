# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pull-through cache rules, creation templates and settings of repositories in memory, behind a real boto3 client."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import ACCOUNT, NOW, Document, FakeECR, Refused

REGION = "eu-west-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
TOKEN = "QVdTOmEtcGFzc3dvcmQ="
MAX_RULES = 50


def secret_arn(
    name: str = "docker-hub", *, region: str = REGION, account: str = ACCOUNT, suffix: str = "-a1B2c3"
) -> str:
    return f"arn:aws:secretsmanager:{region}:{account}:secret:ecr-pullthroughcache/{name}{suffix}"


def role_arn(name: str = "cache", *, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


class FakePullThrough(FakeECR):
    def __init__(self) -> None:
        super().__init__()
        self.rules: dict[str, Document] = {}
        self.templates: dict[str, Document] = {}
        # By repository: what DescribeRepositories says beside the name, policies and tags.
        self.settings: dict[str, Document] = {}
        self.policies: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        # By credential: why the upstream refuses it.
        self.refused_logins: dict[str | None, str] = {}
        self.host = HOST

    def add_rule(self, prefix: str, url: str, **more: str) -> None:
        document = {"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": url, "registryId": ACCOUNT, **more}
        self.rules[prefix] = {"createdAt": NOW, **document}

    def add_template(self, prefix: str, **more: Any) -> None:
        document = {"prefix": prefix, "appliedFor": ["PULL_THROUGH_CACHE"], **more}
        self.templates[prefix] = {"createdAt": NOW, **document}

    def operations(self) -> list[str]:
        return [operation for operation, _request in self.calls]

    def writes(self) -> list[str]:
        reading = ("Describe", "Get", "List", "Validate")
        return [operation for operation in self.operations() if not operation.startswith(reading)]

    def _get_authorization_token(self, _request: Document) -> Document:
        data = {"authorizationToken": TOKEN, "expiresAt": NOW, "proxyEndpoint": f"https://{self.host}"}
        return {"authorizationData": [data]}

    # -------------------------------------------------------------- rules

    def _describe_pull_through_cache_rules(self, request: Document) -> Document:
        return _page(list(self.rules.values()), request, "pullThroughCacheRules")

    def _create_pull_through_cache_rule(self, request: Document) -> Document:
        prefix = request["ecrRepositoryPrefix"]
        if prefix in self.rules:
            raise Refused("PullThroughCacheRuleAlreadyExistsException", f"{prefix} exists")
        if len(self.rules) >= MAX_RULES:
            raise Refused("LimitExceededException", "Maximum number of rules reached")
        if prefix == "ROOT" and "upstreamRepositoryPrefix" in request:
            raise Refused("InvalidParameterException", "upstreamRepositoryPrefix is not for ROOT")
        self.rules[prefix] = {**request, "registryId": ACCOUNT, "createdAt": NOW}
        return self.rules[prefix]

    def _update_pull_through_cache_rule(self, request: Document) -> Document:
        rule = self._rule(request)
        rule.update({key: request[key] for key in ("credentialArn", "customRoleArn") if key in request})
        rule["updatedAt"] = NOW
        return {key: rule[key] for key in ("ecrRepositoryPrefix", "registryId", "updatedAt")}

    def _delete_pull_through_cache_rule(self, request: Document) -> Document:
        rule = self.rules.pop(self._rule(request)["ecrRepositoryPrefix"])
        return {key: rule[key] for key in ("ecrRepositoryPrefix", "registryId", "createdAt")}

    def _validate_pull_through_cache_rule(self, request: Document) -> Document:
        rule = self._rule(request)
        failure = self.refused_logins.get(rule.get("credentialArn"))
        answer = {"ecrRepositoryPrefix": rule["ecrRepositoryPrefix"], "isValid": failure is None}
        return answer | ({"failure": failure} if failure else {})

    def _rule(self, request: Document) -> Document:
        prefix = request["ecrRepositoryPrefix"]
        if prefix not in self.rules:
            raise Refused("PullThroughCacheRuleNotFoundException", f"There is no rule {prefix}")
        return self.rules[prefix]

    # -------------------------------------------------------------- templates

    def _describe_repository_creation_templates(self, request: Document) -> Document:
        return _page(list(self.templates.values()), request, "repositoryCreationTemplates")

    def _create_repository_creation_template(self, request: Document) -> Document:
        prefix = request["prefix"]
        if prefix in self.templates:
            raise Refused("TemplateAlreadyExistsException", f"{prefix} exists")
        self.templates[prefix] = _filled(request)
        return {"repositoryCreationTemplate": self.templates[prefix]}

    def _update_repository_creation_template(self, request: Document) -> Document:
        """What is left out falls back to what a new template has."""
        self._template(request)
        self.templates[request["prefix"]] = _filled(request)
        return {"repositoryCreationTemplate": self.templates[request["prefix"]]}

    def _delete_repository_creation_template(self, request: Document) -> Document:
        self._template(request)
        return {"repositoryCreationTemplate": self.templates.pop(request["prefix"])}

    def _template(self, request: Document) -> Document:
        if request["prefix"] not in self.templates:
            raise Refused("TemplateNotFoundException", f"There is no template {request['prefix']}")
        return self.templates[request["prefix"]]

    # -------------------------------------------------------------- repositories

    def _describe_repositories(self, request: Document) -> Document:
        described = [
            {
                "repositoryName": name,
                "repositoryArn": _arn(name),
                "imageTagMutability": "MUTABLE",
                "encryptionConfiguration": {"encryptionType": "AES256"},
                **self.settings.get(name, {}),
            }
            for name in sorted(self.repositories)
        ]
        return _page(described, request, "repositories")

    def _put_image_tag_mutability(self, request: Document) -> Document:
        self._repository(request)
        settings = self.settings.setdefault(request["repositoryName"], {})
        settings.pop("imageTagMutabilityExclusionFilters", None)
        settings.update({key: value for key, value in request.items() if key.startswith("imageTagMutability")})
        return {"repositoryName": request["repositoryName"]}

    def _get_repository_policy(self, request: Document) -> Document:
        self._repository(request)
        if request["repositoryName"] not in self.policies:
            raise Refused("RepositoryPolicyNotFoundException", "Repository policy does not exist")
        return {"policyText": self.policies[request["repositoryName"]]}

    def _set_repository_policy(self, request: Document) -> Document:
        self._repository(request)
        self.policies[request["repositoryName"]] = json.dumps(json.loads(request["policyText"]), indent=2)
        return {"policyText": self.policies[request["repositoryName"]]}

    def _list_tags_for_resource(self, request: Document) -> Document:
        tags = self.tags.get(_name(request), {})
        return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tag_resource(self, request: Document) -> Document:
        self.tags.setdefault(_name(request), {}).update({tag["Key"]: tag["Value"] for tag in request["tags"]})
        return {}


def _arn(name: str) -> str:
    return f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"


def _name(request: Document) -> str:
    return str(request["resourceArn"]).removeprefix(_arn(""))


def _filled(request: Document) -> Document:
    return {
        "imageTagMutability": "MUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        **{key: value for key, value in request.items() if value not in ("", [])},
        "createdAt": NOW,
    }


def _page(items: list[Document], request: Document, key: str) -> Document:
    start, size = int(request.get("nextToken", 0)), request.get("maxResults", 100)
    page: Document = {key: items[start : start + size]}
    return page | ({"nextToken": str(start + size)} if start + size < len(items) else {})
