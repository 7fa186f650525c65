"""Pull-through cache rules."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from loopback import aws
from loopback.clock import clock
from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecr import guard, imports, repositories, state
from loopback.services.ecr.registry import limit_exceeded
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json

MAX_RULES = 50
ROOT = "ROOT"
REGIONS_WITHOUT = ("cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1")
ROLE_SERVICE = "pullthroughcache.ecr.amazonaws.com"
SERVICE_LINKED_ROLE = f"role/aws-service-role/{ROLE_SERVICE}/AWSServiceRoleForECRPullThroughCache"


@dataclass(frozen=True)
class Upstream:
    name: str
    url: re.Pattern[str]
    needs_credential: bool


UPSTREAMS = (
    Upstream("ecr-public", re.compile(r"public\.ecr\.aws"), False),
    Upstream("k8s", re.compile(r"registry\.k8s\.io"), False),
    Upstream("quay", re.compile(r"quay\.io"), False),
    Upstream("docker-hub", re.compile(r"registry-1\.docker\.io"), True),
    Upstream("github-container-registry", re.compile(r"ghcr\.io"), True),
    Upstream("gitlab-container-registry", re.compile(r"registry\.gitlab\.com"), True),
    Upstream("azure-container-registry", re.compile(r"[a-zA-Z0-9]+\.azurecr\.io"), True),
    Upstream("chainguard", re.compile(r"cgr\.dev"), True),
    Upstream("ecr", re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com"), False),
)


def rule_for(name: str) -> tuple[str, Json] | None:
    """(repository at the upstream, rule) for a repository name that a rule covers."""
    found = state.longest_prefix(state.registry().rules, name)
    if found is None:
        return None
    prefix, rule = found
    return _upstream_name(name.removeprefix(f"{prefix}/"), rule["upstreamRepositoryPrefix"]), rule


@documented("ECR user guide, pull-through-cache-private-wildcards")
def _upstream_name(rest: str, upstream_prefix: str) -> str:
    return rest if upstream_prefix == ROOT else f"{upstream_prefix}/{rest}"


# ------------------------------------------------------------------ operations


@service.operation
@from_model
@documented("ECR user guide, pull-through-cache: one assumed slash ends a prefix; service-quotas: 50 rules")
@assumed("wording of PullThroughCacheRuleAlreadyExistsException; the prefix comes back without its slash")
def create_pull_through_cache_rule(request: Json) -> Json:
    _check_region()
    prefix, url = _prefix(request["ecrRepositoryPrefix"]), request["upstreamRegistryUrl"]
    upstream = _upstream(url, request.get("upstreamRegistry"))
    _check_upstream(upstream, url, request)
    _check_prefixes(prefix, request)
    _check_role_and_secret(request)
    rules = state.registry().rules
    if not rules:
        _make_service_linked_role()
    if prefix in rules:
        message = f"The pull through cache rule with prefix '{prefix}' already exists in {_here()}"
        raise AwsError("PullThroughCacheRuleAlreadyExistsException", message)
    if len(rules) >= MAX_RULES:
        raise limit_exceeded()
    now = clock.now()
    rules[prefix] = {
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": url,
        "upstreamRegistry": upstream.name,
        "upstreamRepositoryPrefix": _prefix(request.get("upstreamRepositoryPrefix") or ROOT),
        "registryId": aws.account(),
        "createdAt": now,
        "updatedAt": now,
        **_given(request, "credentialArn", "customRoleArn"),
    }
    return _without(rules[prefix], "updatedAt")


@service.operation
@from_model
@documented("ECR API reference, DescribePullThroughCacheRules: a prefix that has no rule is an error")
@assumed("upstreamRepositoryPrefix is always given back")
def describe_pull_through_cache_rules(request: Json) -> Json:
    _check_region()
    prefixes = request.get("ecrRepositoryPrefixes")
    if prefixes:
        repositories.refuse_paging(request, "ecrRepositoryPrefixes")
        return {"pullThroughCacheRules": [_named(prefix) for prefix in prefixes]}
    rules = [rule for _prefix, rule in sorted(state.registry().rules.items())]
    return state.page(rules, request, "pullThroughCacheRules")


@service.operation
@from_model
@assumed("a field that is left out keeps its value; one of the two must be given")
def update_pull_through_cache_rule(request: Json) -> Json:
    _check_region()
    rule = _named(request["ecrRepositoryPrefix"])
    changes = _given(request, "credentialArn", "customRoleArn")
    if not changes:
        raise invalid_parameter("credentialArn", "credentialArn or customRoleArn must be specified")
    _check_role_and_secret(request)
    rule |= {**changes, "updatedAt": clock.now()}
    return _without(rule, "createdAt", "upstreamRegistry", "upstreamRegistryUrl")


@service.operation
@from_model
@documented("ECR user guide, pull-through-cache: what was cached stays")
def delete_pull_through_cache_rule(request: Json) -> Json:
    _check_region()
    rule = _named(request["ecrRepositoryPrefix"])
    del state.registry().rules[rule["ecrRepositoryPrefix"]]
    return _without(rule, "updatedAt", "upstreamRegistry")


@service.blocking_operation
@from_model
@assumed("wording of `failure`")
def validate_pull_through_cache_rule(request: Json) -> Json:
    _check_region()
    rule = _named(request["ecrRepositoryPrefix"])
    failure = imports.login_failure(rule)
    answer = _without(rule, "createdAt", "updatedAt", "upstreamRegistry")
    return {**answer, "isValid": failure is None, **({"failure": failure} if failure else {})}


# ------------------------------------------------------------------ what is refused


@documented("ECR user guide, pull-through-cache: not in the China and GovCloud regions")
@assumed("the error there")
def _check_region() -> None:
    if aws.region() in REGIONS_WITHOUT:
        message = f"Pull through cache rules are not supported in {aws.region()}"
        raise AwsError("UnknownOperationException", message)


@documented("ECR API reference, CreatePullThroughCacheRule: the upstreams and their URLs")
@assumed("a URL with a scheme, or one that belongs to another upstreamRegistry, is unsupported too")
def _upstream(url: str, name: str | None) -> Upstream:
    found = next((upstream for upstream in UPSTREAMS if upstream.url.fullmatch(url)), None)
    if found is None or name not in (None, found.name):
        message = f"The specified upstream registry isn't supported: {url}"
        raise AwsError("UnsupportedUpstreamRegistryException", message)
    return found


@documented("ECR user guide, pull-through-cache-creating-rule: which upstreams need what")
@assumed("error code and wording; a registry is no upstream of its own")
def _check_upstream(upstream: Upstream, url: str, request: Json) -> None:
    if upstream.needs_credential and not request.get("credentialArn"):
        raise invalid_parameter("credentialArn", f"must be specified for upstream registry {url}")
    registry = upstream.url.fullmatch(url)
    if upstream.name != "ecr" or registry is None:
        return
    if registry[1] != aws.account() and not request.get("customRoleArn"):
        raise invalid_parameter("customRoleArn", "must be specified for an ECR registry of another account")
    if (registry[1], registry[2]) == (aws.account(), aws.region()):
        raise invalid_parameter("upstreamRegistryUrl", "must not be the registry itself")


@documented("ECR user guide, pull-through-cache-private-wildcards: an upstream prefix needs a prefix of its own")
@assumed("error code and wording")
def _check_prefixes(prefix: str, request: Json) -> None:
    if prefix == ROOT and _prefix(request.get("upstreamRepositoryPrefix") or ROOT) != ROOT:
        raise invalid_parameter("upstreamRepositoryPrefix", "must be ROOT when ecrRepositoryPrefix is ROOT")


def _check_role_and_secret(request: Json) -> None:
    guard.pass_role(request.get("customRoleArn"), ROLE_SERVICE)
    if request.get("credentialArn"):
        _check_secret(request["credentialArn"])


@documented(
    "ECR user guide, pull-through-cache-creating-secret: full ARN, same account and region, no key of one's own"
)
@assumed("a secret without username and accessToken is refused here already, with UnableToAccessSecretException")
def _check_secret(arn: str) -> None:
    if not aws.secret_exists(arn):
        raise AwsError(
            "SecretNotFoundException",
            "The ARN of the secret specified in the pull through cache rule was not found. "
            "Update the pull through cache rule with a valid secret ARN and try again.",
        )
    if aws.secret_kms_key(arn):
        message = (
            "The secret is accessible but is unable to be decrypted. Verify the resource permisisons and try again."
        )
        raise AwsError("UnableToDecryptSecretValueException", message)
    if not _is_login(aws.secret_string(arn)):
        message = "The secret is unable to be accessed. Verify the resource permissions for the secret and try again."
        raise AwsError("UnableToAccessSecretException", message)


def _is_login(text: str | None) -> bool:
    try:
        document = json.loads(text or "")
    except ValueError:
        return False
    names = ("username", "accessToken")
    return isinstance(document, dict) and all(isinstance(document.get(name), str) for name in names)


@documented(
    "ECR user guide, slr-pullthroughcache: made with the first rule, by the caller's iam:CreateServiceLinkedRole"
)
@assumed("it is there as long as there are rules")
def _make_service_linked_role() -> None:
    role = f"arn:aws:iam::{aws.account()}:{SERVICE_LINKED_ROLE}"
    aws.require("iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": ROLE_SERVICE})


@assumed("wording of PullThroughCacheRuleNotFoundException")
def _named(prefix: str) -> Json:
    rule = state.registry().rules.get(_prefix(prefix))
    if rule is None:
        message = f"Pull through cache rule with prefix '{_prefix(prefix)}' does not exist in {_here()}"
        raise AwsError("PullThroughCacheRuleNotFoundException", message)
    return rule


def _here() -> str:
    return f"the registry with id '{aws.account()}'"


def _prefix(text: str) -> str:
    return text.rstrip("/")


def _given(request: Json, *names: str) -> Json:
    return {name: request[name] for name in names if request.get(name)}


def _without(rule: Json, *names: str) -> Json:
    return {name: value for name, value in rule.items() if name not in names}
