"""Repositories: create, describe, delete; tag mutability, scanning, tags, repository policy."""

from __future__ import annotations

import re
import uuid
from typing import Any

from loopback import aws, cloud
from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecr import policies, state
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json, Repository

MAX_TAGS = 50
_ARN = re.compile(r"arn:aws[\w-]*:ecr:([a-z0-9-]+):(\d{12}):repository/(.+)")


@service.operation
@from_model
def create_repository(request: Json) -> Json:
    return {"repository": describe(add(request["repositoryName"], request))}


def add(name: str, settings: Json) -> Repository:
    """A new repository in the registry being called; the settings are CreateRepository's."""
    registry = state.registry()
    if name in registry.repositories:
        message = f"The repository with name '{name}' already exists in the registry with id '{registry.account}'"
        raise AwsError("RepositoryAlreadyExistsException", message)
    repository = Repository(registry.account, registry.region, name)
    repository.encryption = encryption(settings.get("encryptionConfiguration") or {})
    repository.scanning = {"scanOnPush": False, **(settings.get("imageScanningConfiguration") or {})}
    set_mutability(repository, settings)
    set_tags(repository, settings.get("tags") or [])
    registry.repositories[name] = repository
    return repository


@service.operation
@from_model
@documented("ECR API reference, DescribeRepositories: names and paging exclude each other")
def describe_repositories(request: Json) -> Json:
    names = request.get("repositoryNames")
    if names:
        refuse_paging(request, "repositoryNames")
        return {"repositories": [describe(state.registry().repository(name)) for name in names]}
    everything = [describe(repository) for _name, repository in sorted(state.registry().repositories.items())]
    return state.page(everything, request, "repositories")


@service.operation
@from_model
@assumed("wording of RepositoryNotEmptyException")
def delete_repository(request: Json) -> Json:
    repository = named(request)
    if repository.images and not request.get("force"):
        where = f"The repository with name '{repository.name}' in registry with id '{repository.account}'"
        raise AwsError("RepositoryNotEmptyException", f"{where} cannot be deleted because it still contains images")
    del state.registry().repositories[repository.name]
    return {"repository": describe(repository)}


@service.operation
@from_model
def put_image_tag_mutability(request: Json) -> Json:
    repository = named(request)
    set_mutability(repository, request)
    return {**identity(repository), **_mutability(repository)}


@service.operation
@from_model
def put_image_scanning_configuration(request: Json) -> Json:
    repository = named(request)
    repository.scanning = {"scanOnPush": False, **request["imageScanningConfiguration"]}
    return {**identity(repository), "imageScanningConfiguration": repository.scanning}


# ------------------------------------------------------------------ tags


@service.operation
@from_model
def tag_resource(request: Json) -> Json:
    set_tags(_by_arn(request), request["tags"])
    return {}


@service.operation
@from_model
@assumed("removing a tag that is not there is no error")
def untag_resource(request: Json) -> Json:
    repository = _by_arn(request)
    for key in request["tagKeys"]:
        repository.resource_tags.pop(key, None)
    return {}


@service.operation
@from_model
def list_tags_for_resource(request: Json) -> Json:
    tags = _by_arn(request).resource_tags
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


@documented("ECR API reference, Tag: 50 tags a repository, keys of 128 and values of 256 characters, none with aws:")
@assumed("wordings")
def set_tags(repository: Repository, tags: list[Json]) -> None:
    for tag in tags:
        key, value = tag["Key"], tag["Value"]
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise AwsError("InvalidTagParameterException", f"Tag '{key}' is invalid")
    merged = {**repository.resource_tags, **{tag["Key"]: tag["Value"] for tag in tags}}
    if len(merged) > MAX_TAGS:
        raise AwsError(
            "TooManyTagsException",
            "The list of tags on the repository is over the limit. "
            f"The maximum number of tags that can be applied to a repository is {MAX_TAGS}.",
        )
    repository.resource_tags = merged


# ------------------------------------------------------------------ repository policy


@service.operation
@from_model
def set_repository_policy(request: Json) -> Json:
    repository = named(request)
    repository.policy = policies.checked(request["policyText"], "repository")
    return _policy(repository)


@service.operation
@from_model
def get_repository_policy(request: Json) -> Json:
    return _policy(named(request))


@service.operation
@from_model
def delete_repository_policy(request: Json) -> Json:
    repository = named(request)
    answer = _policy(repository)
    repository.policy = None
    return answer


@assumed("wording of RepositoryPolicyNotFoundException")
def _policy(repository: Repository) -> Json:
    if repository.policy is None:
        raise AwsError("RepositoryPolicyNotFoundException", f"Repository policy does not exist for {where(repository)}")
    return {**identity(repository), "policyText": repository.policy}


# ------------------------------------------------------------------ shared with the other files


def named(request: Json) -> Repository:
    """The repository that a request names."""
    return state.registry().repository(request["repositoryName"])


def identity(repository: Repository) -> Json:
    """How most answers begin."""
    return {"registryId": repository.account, "repositoryName": repository.name}


def where(repository: Repository) -> str:
    """How most messages end."""
    return f"the repository with name '{repository.name}' in the registry with id '{repository.account}'"


def describe(repository: Repository) -> Json:
    return {
        **identity(repository),
        "repositoryArn": repository.arn,
        "repositoryUri": f"{_host(repository)}/{repository.name}",
        "createdAt": repository.created_at,
        "imageScanningConfiguration": repository.scanning,
        "encryptionConfiguration": repository.encryption,
        **_mutability(repository),
    }


def refuse_paging(request: Json, because_of: str) -> None:
    for option in ("nextToken", "maxResults"):
        if request.get(option) is not None:
            raise invalid_parameter(option, f"must not be specified together with {because_of}")


def split_arn(arn: str) -> tuple[str, str, str]:
    """Region, account and name of a repository's ARN."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise invalid_parameter("resourceArn", "must be the ARN of a repository")
    return match[1], match[2], match[3]


@from_model
@assumed("filters are needed with, and only with, the _WITH_EXCLUSION settings")
def check_mutability(settings: Json) -> None:
    excludes = str(settings.get("imageTagMutability", "")).endswith("_WITH_EXCLUSION")
    filters = settings.get("imageTagMutabilityExclusionFilters") or []
    if excludes != bool(filters):
        why = "must be given" if excludes else "must not be given"
        setting = settings.get("imageTagMutability", "MUTABLE")
        raise invalid_parameter("imageTagMutabilityExclusionFilters", f"{why} with imageTagMutability {setting}")


def set_mutability(repository: Repository, settings: Json) -> None:
    check_mutability(settings)
    repository.mutability = settings.get("imageTagMutability", "MUTABLE")
    repository.exclusion_filters = settings.get("imageTagMutabilityExclusionFilters") or []


@documented("ECR user guide, encryption-at-rest: aws/ecr when no key is named; KMS_DSSE in GovCloud only")
@assumed("a key that is not there is refused when the repository is created")
def encryption(wanted: Json) -> Json:
    kind, key = wanted.get("encryptionType", "AES256"), wanted.get("kmsKey")
    if kind == "AES256":
        if key:
            raise invalid_parameter("encryptionConfiguration.kmsKey", "must not be given with encryptionType AES256")
        return {"encryptionType": kind}
    if kind == "KMS_DSSE" and not aws.region().startswith("us-gov-"):
        raise invalid_parameter("encryptionConfiguration.encryptionType", "KMS_DSSE is not supported in this region")
    if not key:
        return {"encryptionType": kind, "kmsKey": _aws_managed_key()}
    found = aws.kms_key_arn(key)
    if found is None:
        raise AwsError("KmsException", f"The operation failed due to a KMS exception: key '{key}' does not exist")
    return {"encryptionType": kind, "kmsKey": found}


def _aws_managed_key() -> str:
    """The ARN of the alias aws/ecr's key: always the same one in a registry."""
    return aws.arn("kms", f"key/{uuid.uuid5(uuid.NAMESPACE_URL, f'{aws.account()}/{aws.region()}/aws/ecr')}")


def _by_arn(request: Json) -> Repository:
    region, _account, name = split_arn(request["resourceArn"])
    if region != aws.region():
        raise invalid_parameter("resourceArn", f"must be in the region of the call, {aws.region()}")
    return state.registry().repository(name)


def _host(repository: Repository) -> str:
    origin = cloud.running().addresses.registry(repository.account, repository.region)
    return origin.partition("://")[2]


def _mutability(repository: Repository) -> dict[str, Any]:
    filters = repository.exclusion_filters
    return {
        "imageTagMutability": repository.mutability,
        **({"imageTagMutabilityExclusionFilters": filters} if filters else {}),
    }
