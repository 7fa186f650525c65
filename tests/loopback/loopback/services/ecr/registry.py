"""What holds for a whole registry: its policy, scanning, replication, account settings, authorization tokens."""

from __future__ import annotations

import base64

from loopback import aws, cloud
from loopback.clock import clock
from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecr import policies, state, tokens
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json, Repository

#: Account settings: the default, then what else they may be.
SETTINGS = {
    "BASIC_SCAN_TYPE_VERSION": ("AWS_NATIVE",),
    "REGISTRY_POLICY_SCOPE": ("V2", "V1"),
    "BLOB_MOUNTING": ("DISABLED", "ENABLED"),
}
SCAN_FREQUENCIES = {"BASIC": ("SCAN_ON_PUSH", "MANUAL"), "ENHANCED": ("CONTINUOUS_SCAN", "SCAN_ON_PUSH")}
MAX_DESTINATIONS = 25
MAX_EXCLUSIONS = 100


@service.operation
@from_model
@documented("ECR user guide, registry_auth: 12 hours, one proxyEndpoint a registry")
def get_authorization_token(request: Json) -> Json:
    password, expires = tokens.mint(aws.caller.get())
    token = base64.b64encode(f"{tokens.USER}:{password}".encode()).decode()
    addresses = cloud.running().addresses
    accounts = request.get("registryIds") or [aws.account()]
    endpoints = [addresses.registry(account, aws.region()) for account in accounts]
    return {
        "authorizationData": [
            {"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": endpoint} for endpoint in endpoints
        ]
    }


# ------------------------------------------------------------------ registry policy


@service.operation
@from_model
def put_registry_policy(request: Json) -> Json:
    state.registry().policy = policies.checked(request["policyText"], "registry")
    return _policy()


@service.operation
@from_model
def get_registry_policy(_request: Json) -> Json:
    return _policy()


@service.operation
@from_model
def delete_registry_policy(_request: Json) -> Json:
    answer = _policy()
    state.registry().policy = None
    return answer


@assumed("wording of RegistryPolicyNotFoundException")
def _policy() -> Json:
    text = state.registry().policy
    if text is None:
        message = f"Registry policy does not exist in the registry with id '{aws.account()}'"
        raise AwsError("RegistryPolicyNotFoundException", message)
    return {"registryId": aws.account(), "policyText": text}


# ------------------------------------------------------------------ scanning


@service.operation
@from_model
@documented("ECR user guide, image-scanning: which frequencies go with which scan type")
@assumed("each frequency at most once; wordings")
def put_registry_scanning_configuration(request: Json) -> Json:
    kind, rules = request.get("scanType", "BASIC"), request.get("rules", [])
    frequencies = [rule["scanFrequency"] for rule in rules]
    for frequency in frequencies:
        if frequency not in SCAN_FREQUENCIES[kind]:
            raise invalid_parameter("rules", f"{frequency} is not a valid scan frequency for scan type {kind}")
    if len(frequencies) != len(set(frequencies)):
        raise invalid_parameter("rules", "each scan frequency can be used by one rule only")
    state.registry().scanning = {"scanType": kind, "rules": rules}
    return {"registryScanningConfiguration": state.registry().scanning}


@service.operation
@from_model
def get_registry_scanning_configuration(_request: Json) -> Json:
    return {"registryId": aws.account(), "scanningConfiguration": state.registry().scanning}


@service.operation
@from_model
def batch_get_repository_scanning_configuration(request: Json) -> Json:
    found = {name: state.registry().repositories.get(name) for name in request["repositoryNames"]}
    return {
        "scanningConfigurations": [_scanning(repository) for repository in found.values() if repository],
        "failures": [
            {
                "repositoryName": name,
                "failureCode": "REPOSITORY_NOT_FOUND",
                "failureReason": state.missing_repository(name, aws.account()),
            }
            for name, repository in found.items()
            if repository is None
        ],
    }


@documented("ECR user guide, image-scanning-filters: without a wildcard, a filter matches names that contain it")
@assumed("what is answered for a repository that no filter matches")
def _scanning(repository: Repository) -> Json:
    applied = {
        rule["scanFrequency"]: filters
        for rule in state.registry().scanning["rules"]
        if (filters := [f for f in rule["repositoryFilters"] if _covers(f["filter"], repository.name)])
    }
    frequency = next((name for name in ("CONTINUOUS_SCAN", "SCAN_ON_PUSH") if name in applied), "MANUAL")
    if not applied and repository.scanning["scanOnPush"] and state.registry().scanning["scanType"] == "BASIC":
        frequency = "SCAN_ON_PUSH"
    return {
        "repositoryArn": repository.arn,
        "repositoryName": repository.name,
        "scanOnPush": frequency != "MANUAL",
        "scanFrequency": frequency,
        "appliedScanFilters": applied.get(frequency, []),
    }


def _covers(pattern: str, name: str) -> bool:
    return state.matches(pattern if "*" in pattern else f"*{pattern}*", name)


# ------------------------------------------------------------------ replication


@service.operation
@from_model
@documented("ECR user guide, service-quotas: 25 unique destinations")
@assumed("a registry is no destination of its own; wordings. Nothing is replicated here")
def put_replication_configuration(request: Json) -> Json:
    wanted = request["replicationConfiguration"]
    destinations = {(d["registryId"], d["region"]) for rule in wanted["rules"] for d in rule["destinations"]}
    where = "replicationConfiguration"
    if (aws.account(), aws.region()) in destinations:
        raise invalid_parameter(where, "a registry cannot be its own replication destination")
    if len(destinations) > MAX_DESTINATIONS:
        raise invalid_parameter(where, f"must not have more than {MAX_DESTINATIONS} unique destinations")
    state.registry().replication = wanted
    return {"replicationConfiguration": wanted}


@service.operation
@from_model
def describe_registry(_request: Json) -> Json:
    return {"registryId": aws.account(), "replicationConfiguration": state.registry().replication}


# ------------------------------------------------------------------ account settings


@documented("ECR user guide, blob-mounting and registry-permissions: defaults")
def setting(name: str) -> str:
    """An account setting of the registry being called."""
    return state.registry().settings.get(name, SETTINGS[name][0])


@service.operation
@from_model
@assumed("wording for names that are no settings")
def get_account_setting(request: Json) -> Json:
    name = _setting_name(request)
    return {"name": name, "value": setting(name)}


@service.operation
@from_model
@documented("ECR API reference, PutAccountSetting: names and values; registry-permissions: V1 is still a value")
@assumed("wording for values that are none")
def put_account_setting(request: Json) -> Json:
    name, value = _setting_name(request), request["value"]
    if value not in SETTINGS[name]:
        raise invalid_parameter("value", f"must be one of {', '.join(SETTINGS[name])} for {name}")
    state.registry().settings[name] = value
    return {"name": name, "value": value}


def _setting_name(request: Json) -> str:
    name: str = request["name"]
    if name not in SETTINGS:
        raise invalid_parameter("name", f"must be one of {', '.join(SETTINGS)}")
    return name


# ------------------------------------------------------------------ pull-time update exclusions


@service.operation
@from_model
@documented("ECR user guide, service-quotas: 100 exclusions")
def register_pull_time_update_exclusion(request: Json) -> Json:
    principal, exclusions = request["principalArn"], state.registry().exclusions
    if principal in exclusions:
        message = "The specified pull time update exclusion already exists for the registry."
        raise AwsError("ExclusionAlreadyExistsException", message)
    if len(exclusions) >= MAX_EXCLUSIONS:
        raise limit_exceeded()
    exclusions[principal] = clock.now()
    return {"principalArn": principal, "createdAt": exclusions[principal]}


@service.operation
@from_model
def deregister_pull_time_update_exclusion(request: Json) -> Json:
    principal = request["principalArn"]
    if state.registry().exclusions.pop(principal, None) is None:
        message = "The specified pull time update exclusion was not found."
        raise AwsError("ExclusionNotFoundException", message)
    return {"principalArn": principal}


@service.operation
@from_model
def list_pull_time_update_exclusions(request: Json) -> Json:
    return state.page(list(state.registry().exclusions), request, "pullTimeUpdateExclusions")


def limit_exceeded() -> AwsError:
    """The API reference's sentence."""
    message = "The operation did not succeed because it would have exceeded a service limit for your account."
    return AwsError("LimitExceededException", message)
