# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets Manager, IAM and STS in memory, behind real boto3 clients.

Requests and answers are checked against the service model. Only what is between the two is missing.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator

from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import ACCOUNT, NOW, Document, Refused

REGION = "eu-west-1"
MAX_VERSIONS = 5
MAX_INLINE, MAX_MANAGED = 10240, 6144


class FakeAws:
    """One service. A subclass has a method for each operation."""

    service = ""

    def __init__(self, region: str = REGION) -> None:
        self.calls: list[tuple[str, Document]] = []
        self._refusals: dict[str, list[Refused]] = {}
        self._lock = threading.Lock()
        self.client: Any = boto3.client(
            self.service, region_name=region, aws_access_key_id="id", aws_secret_access_key="key"
        )
        self.client._make_api_call = self._answer

    def operations(self) -> list[str]:
        return [operation for operation, _request in self.calls]

    def refuse(self, operation: str, code: str, message: str = "") -> None:
        """Answer the next call of the operation with an error."""
        self._refusals.setdefault(operation, []).append(Refused(code, message))

    def _answer(self, operation: str, request: Document) -> Document:
        model = self.client.meta.service_model.operation_model(operation)
        _check(request, model.input_shape)
        with self._lock:
            self.calls.append((operation, request))
            try:
                if self._refusals.get(operation):
                    raise self._refusals[operation].pop(0)
                answer: Document = getattr(self, f"_{xform_name(operation)}")(request) or {}
            except Refused as refusal:
                error = {"Error": {"Code": refusal.code, "Message": refusal.message}}
                raise ClientError(error, operation) from refusal
        if model.output_shape is not None:
            _check(self._as_sent(answer), model.output_shape)
        return {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _as_sent(self, answer: Document) -> Document:
        """As the model has it, before botocore decodes it."""
        return answer


def _check(document: Document, shape: Any) -> None:
    problems = ParamValidator().validate(document, shape)
    if problems.has_errors():
        raise ParamValidationError(report=problems.generate_report())


class FakeSecrets(FakeAws):
    service = "secretsmanager"

    def __init__(self, region: str = REGION) -> None:
        super().__init__(region)
        self.secrets: dict[str, Document] = {}
        # By name: what BatchGetSecretValue says in place of the value.
        self.unreadable: dict[str, str] = {}

    def add(self, name: str, value: Any = None, **more: Any) -> str:
        """A secret; `value` is JSON, or text that is meant to be none. Returns the ARN."""
        text = value if isinstance(value, str) else json.dumps(value)
        arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-a1B2c3"
        self.secrets[name] = {"ARN": arn, "Name": name, "versions": [text], **more}
        return arn

    def value(self, name: str) -> Any:
        return json.loads(self.secrets[name]["versions"][-1])

    def _secret(self, request: Document) -> Document:
        wanted = request["SecretId"]
        for secret in self.secrets.values():
            if wanted in (secret["Name"], secret["ARN"]):
                return secret
        raise Refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    def _living(self, request: Document) -> Document:
        secret = self._secret(request)
        if "DeletedDate" in secret:
            raise Refused("InvalidRequestException", "it was marked for deletion")
        return secret

    def _describe_secret(self, request: Document) -> Document:
        return {key: value for key, value in self._secret(request).items() if key != "versions"}

    def _batch_get_secret_value(self, request: Document) -> Document:
        found, errors = [], []
        for wanted in request["SecretIdList"]:
            secret = self._living({"SecretId": wanted})
            if secret["Name"] in self.unreadable:
                code = self.unreadable[secret["Name"]]
                errors.append({"SecretId": wanted, "ErrorCode": code, "Message": "no"})
            else:
                found.append({"ARN": secret["ARN"], "Name": secret["Name"], "SecretString": secret["versions"][-1]})
        return {"SecretValues": found, "Errors": errors}

    def _create_secret(self, request: Document) -> Document:
        more = {key: request[key] for key in ("Description", "Tags") if key in request}
        return {"ARN": self.add(request["Name"], request["SecretString"], **more), "Name": request["Name"]}

    def _put_secret_value(self, request: Document) -> None:
        self._living(request)["versions"].append(request["SecretString"])

    def _update_secret(self, request: Document) -> None:
        self._living(request)["Description"] = request["Description"]

    def _tag_resource(self, request: Document) -> None:
        secret = self._living(request)
        tags = {tag["Key"]: tag for tag in [*secret.get("Tags", []), *request["Tags"]]}
        secret["Tags"] = list(tags.values())

    def _restore_secret(self, request: Document) -> None:
        del self._secret(request)["DeletedDate"]

    def _delete_secret(self, request: Document) -> None:
        secret = self._secret(request)
        if request.get("ForceDeleteWithoutRecovery"):
            del self.secrets[secret["Name"]]
        else:
            secret["DeletedDate"] = NOW


class FakeIam(FakeAws):
    service = "iam"

    def __init__(self, region: str = REGION) -> None:
        super().__init__(region)
        self.roles: dict[str, Document] = {}
        # Managed policies, by ARN: versions (the last one counts), and who has them.
        self.policies: dict[str, Document] = {}

    def add_role(self, name: str, trust: Document | None = None, **inline: Document) -> None:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        more = {"RoleId": "AROAEXAMPLEEXAMPLE", "Path": "/", "CreateDate": NOW}
        self.roles[name] = {"RoleName": name, "Arn": arn, "AssumeRolePolicyDocument": trust or {}, **more}
        self.roles[name]["inline"] = dict(inline)

    def _as_sent(self, answer: Document) -> Document:
        """botocore decodes policies, which the model has as texts."""
        documents = ("AssumeRolePolicyDocument", "PolicyDocument", "Document")
        texts = {key: json.dumps(value) if key in documents else value for key, value in answer.items()}
        inner = {key: self._as_sent(answer[key]) for key in ("Role", "PolicyVersion") if key in answer}
        return {**texts, **inner}

    def _role(self, request: Document) -> Document:
        if request["RoleName"] not in self.roles:
            raise Refused("NoSuchEntity", f"The role with name {request['RoleName']} cannot be found.")
        return self.roles[request["RoleName"]]

    def _get_role(self, request: Document) -> Document:
        shown = {key: value for key, value in self._role(request).items() if key != "inline"}
        return {"Role": shown}

    def _get_role_policy(self, request: Document) -> Document:
        inline = self._role(request)["inline"]
        if request["PolicyName"] not in inline:
            raise Refused("NoSuchEntity", "no such policy")
        names = {key: request[key] for key in ("RoleName", "PolicyName")}
        return {**names, "PolicyDocument": inline[request["PolicyName"]]}

    def _create_role(self, request: Document) -> Document:
        self.add_role(request["RoleName"], json.loads(request["AssumeRolePolicyDocument"]))
        role, path = self.roles[request["RoleName"]], request["Path"]
        role.update({key: request[key] for key in ("Description", "Tags") if key in request})
        role.update(Path=path, Arn=f"arn:aws:iam::{ACCOUNT}:role{path}{request['RoleName']}")
        if "PermissionsBoundary" in request:
            self._put_role_permissions_boundary(request)
        return self._get_role(request)

    def _put_role_permissions_boundary(self, request: Document) -> None:
        boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": request["PermissionsBoundary"]}
        self._role(request)["PermissionsBoundary"] = boundary

    def _delete_role_permissions_boundary(self, request: Document) -> None:
        del self._role(request)["PermissionsBoundary"]

    def _update_assume_role_policy(self, request: Document) -> None:
        self._role(request)["AssumeRolePolicyDocument"] = json.loads(request["PolicyDocument"])

    def _update_role(self, request: Document) -> None:
        self._role(request)["Description"] = request["Description"]

    def _put_role_policy(self, request: Document) -> None:
        if len(request["PolicyDocument"]) > MAX_INLINE:
            raise Refused("LimitExceeded", f"Maximum policy size of {MAX_INLINE} bytes exceeded for role.")
        self._role(request)["inline"][request["PolicyName"]] = json.loads(request["PolicyDocument"])

    def _tag_role(self, request: Document) -> None:
        self._role(request)["Tags"] = request["Tags"]

    def _list_role_policies(self, request: Document) -> Document:
        return {"PolicyNames": list(self._role(request)["inline"])}

    def _list_attached_role_policies(self, request: Document) -> Document:
        having = [arn for arn, policy in self.policies.items() if request["RoleName"] in policy["roles"]]
        return {"AttachedPolicies": [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in having]}

    def _delete_role_policy(self, request: Document) -> None:
        del self._role(request)["inline"][request["PolicyName"]]

    def _delete_role(self, request: Document) -> None:
        if self._role(request)["inline"] or self._list_attached_role_policies(request)["AttachedPolicies"]:
            raise Refused("DeleteConflict", "Cannot delete entity, must remove policies first.")
        del self.roles[request["RoleName"]]

    def add_policy(self, name: str, document: Document, *roles: str, users: list[str] | None = None) -> str:
        arn = f"arn:aws:iam::{ACCOUNT}:policy/{name}"
        self.policies[arn] = {"versions": {"v1": document}, "roles": set(roles), "users": users or [], "Arn": arn}
        return arn

    def _policy(self, request: Document) -> Document:
        if request["PolicyArn"] not in self.policies:
            raise Refused("NoSuchEntity", f"Policy {request['PolicyArn']} does not exist.")
        return self.policies[request["PolicyArn"]]

    def _get_policy(self, request: Document) -> Document:
        policy = self._policy(request)
        shown = {key: policy[key] for key in ("Arn", "Description", "Tags") if key in policy}
        return {"Policy": {**shown, "DefaultVersionId": list(policy["versions"])[-1]}}

    def _get_policy_version(self, request: Document) -> Document:
        return {"PolicyVersion": {"Document": self._policy(request)["versions"][request["VersionId"]]}}

    def _list_entities_for_policy(self, request: Document) -> Document:
        policy = self._policy(request)
        return {
            "PolicyRoles": [{"RoleName": name} for name in sorted(policy["roles"])],
            "PolicyUsers": [{"UserName": name} for name in policy["users"]],
            "PolicyGroups": [],
        }

    def _create_policy(self, request: Document) -> None:
        if len(request["PolicyDocument"]) > MAX_MANAGED:
            raise Refused("LimitExceeded", f"Cannot exceed quota for PolicySize: {MAX_MANAGED}")
        name = f"{request['Path']}{request['PolicyName']}".removeprefix("/")
        if f"arn:aws:iam::{ACCOUNT}:policy/{name}" in self.policies:
            raise Refused("EntityAlreadyExists", f"A policy called {name} already exists.")
        arn = self.add_policy(name, json.loads(request["PolicyDocument"]))
        self.policies[arn].update({key: request[key] for key in ("Description", "Tags") if key in request})

    def _create_policy_version(self, request: Document) -> None:
        versions = self._policy(request)["versions"]
        if len(versions) == MAX_VERSIONS:
            raise Refused("LimitExceeded", "A managed policy can have up to 5 versions.")
        number = int(list(versions)[-1][1:]) + 1
        versions[f"v{number}"] = json.loads(request["PolicyDocument"])

    def _list_policy_versions(self, request: Document) -> Document:
        names = list(self._policy(request)["versions"])
        versions = [{"VersionId": name, "IsDefaultVersion": name == names[-1], "CreateDate": NOW} for name in names]
        return {"Versions": versions}

    def _delete_policy_version(self, request: Document) -> None:
        del self._policy(request)["versions"][request["VersionId"]]

    def _tag_policy(self, request: Document) -> None:
        self._policy(request)["Tags"] = request["Tags"]

    def _attach_role_policy(self, request: Document) -> None:
        self._role(request)
        self._policy(request)["roles"].add(request["RoleName"])

    def _detach_role_policy(self, request: Document) -> None:
        self._policy(request)["roles"].discard(request["RoleName"])

    def _detach_user_policy(self, request: Document) -> None:
        self._policy(request)["users"].remove(request["UserName"])

    def _delete_policy(self, request: Document) -> None:
        policy = self._policy(request)
        if policy["roles"] or policy["users"] or len(policy["versions"]) > 1:
            raise Refused("DeleteConflict", "Cannot delete a policy attached to entities.")
        del self.policies[request["PolicyArn"]]


class FakeSts(FakeAws):
    service = "sts"

    def __init__(self, region: str = REGION, partition: str = "aws") -> None:
        super().__init__(region)
        self.arn = f"arn:{partition}:sts::{ACCOUNT}:assumed-role/dev/me"

    def _get_caller_identity(self, _request: Document) -> Document:
        return {"Account": ACCOUNT, "Arn": self.arn, "UserId": "AROA:me"}
