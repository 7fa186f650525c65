"""Who may do what in a registry: a principal, judged by IAM, the repository's policy and the registry's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopback import aws
from loopback.errors import RegistryError
from loopback.fidelity import assumed, documented
from loopback.services.ecr import registry, state
from loopback.services.ecr.tokens import Token
from loopback.web import Request, Send

#: What a registry policy governs under scope V1; under V2 it governs every action.
V1_ACTIONS = frozenset({"ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"})


@dataclass(frozen=True)
class Visitor:
    """A caller of one registry, maybe from another account."""

    token: Token
    account: str  # of the registry
    region: str

    def require(self, action: str, name: str) -> None:
        """Refuse the request unless the visitor may do `action` on the repository."""
        refused = self.refusal(action, name)
        if refused:
            raise RegistryError("DENIED", refused, 403)

    @documented("ECR user guide, registry-permissions and repository-policies; cross-account needs both sides")
    @assumed("a repository that is not there has no policy: only a registry policy opens it to another account")
    def refusal(self, action: str, name: str | None, request: Mapping[str, Any] | None = None) -> str | None:
        """Why not, in AWS's words. `name` is None for what is not about repositories; `request` are condition keys."""
        aws.act_in(self.account, self.region)
        repository = state.registry().repositories.get(name or "")
        policies = [repository.policy if repository else None]
        if action in V1_ACTIONS or registry.setting("REGISTRY_POLICY_SCOPE") == "V2":
            policies.append(state.registry().policy)
        tags = repository.resource_tags if repository else {}
        context = {f"{prefix}:ResourceTag/{key}": value for key, value in tags.items() for prefix in ("aws", "ecr")}
        context |= request or {}
        resource = f"arn:aws:ecr:{self.region}:{self.account}:repository/{name}" if name else "*"
        aws.act_in(self.token.account, self.region)
        try:
            return aws.refusal(
                self.token.access_key, action, resource, owner=self.account, policies=policies, context=context
            )
        finally:
            aws.act_in(self.account, self.region)


@dataclass(frozen=True)
class Visit:
    """One request about one repository."""

    request: Request
    send: Send
    visitor: Visitor
    name: str

    def require(self, action: str) -> None:
        self.visitor.require(action, self.name)

    def repository(self) -> state.Repository:
        found = state.registry().repositories.get(self.name)
        if found is None:
            raise name_unknown(self.name)
        return found

    def url(self, path: str) -> str:
        return f"{self.request.origin}/v2/{self.name}/{path}"


def name_unknown(name: str) -> RegistryError:
    return RegistryError("NAME_UNKNOWN", state.missing_repository(name, aws.account()), 404)


def manifest_unknown() -> RegistryError:
    return RegistryError("MANIFEST_UNKNOWN", "Requested image not found", 404)
