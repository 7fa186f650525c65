"""Images by the API: list, describe, get, put, delete, referrers."""

from __future__ import annotations

from typing import Any

from loopback.blobs import DIGEST, digest_of
from loopback.clock import clock
from loopback.errors import AwsError, RegistryError
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecr import guard, imports, manifests, repositories, state
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Image, Json, Repository

REFERRERS_PAGE = 20

#: What the registry API calls it -> what this API calls it, for an image that is not there.
_FAILURES = {
    "DENIED": "UpstreamAccessDenied",
    "TOOMANYREQUESTS": "UpstreamTooManyRequests",
    "UNAVAILABLE": "UpstreamUnavailable",
    "MANIFEST_UNKNOWN": "ImageNotFound",
    "TAG_INVALID": "InvalidImageTag",
}
_PUT_ERRORS = {
    "TAG_INVALID": "ImageTagAlreadyExistsException",
    "BLOB_UPLOAD_UNKNOWN": "LayersNotFoundException",
    "MANIFEST_BLOB_UNKNOWN": "ReferencedImagesNotFoundException",
    "DENIED": "LimitExceededException",
}


# ------------------------------------------------------------------ reading


@service.operation
@from_model
@documented("ECR API reference, ListImages: one entry a tag; ListImagesFilter: archived images only when asked for")
def list_images(request: Json) -> Json:
    repository = repositories.named(request)
    entries = [entry for image in _selected(repository, request) for entry in _entries(repository, image)]
    return state.page(entries, request, "imageIds")


@service.operation
@from_model
@documented("ECR API reference, DescribeImages: one image that is not there fails the call; no paging with imageIds")
@assumed("wording of ImageNotFoundException")
def describe_images(request: Json) -> Json:
    repository = repositories.named(request)
    wanted = request.get("imageIds")
    if wanted:
        repositories.refuse_paging(request, "imageIds")
        found = {image.digest: image for image in (_existing(repository, identity) for identity in wanted)}
        return {"imageDetails": [_detail(repository, image) for image in found.values()]}
    details = [_detail(repository, image) for image in _selected(repository, request)]
    return state.page(details, request, "imageDetails")


@service.blocking_operation
@from_model
@documented("ECR API reference, BatchGetImage and ImageFailure: images that cannot be had are `failures`")
@documented("ECR user guide, pull-through-cache: a pull imports; the permissions that it needs")
@assumed("it counts as a pull; an image in no accepted media type is not found; wordings")
def batch_get_image(request: Json) -> Json:
    found, failures = [], []
    for identity in request["imageIds"]:
        try:
            found.append(_pull(request, identity))
        except _Failure as failure:
            failures.append(failure.entry(identity))
    return {"images": found, "failures": failures}


def _pull(request: Json, identity: Json) -> Json:
    tag, digest = _reference(identity)
    name = request["repositoryName"]
    try:
        imports.bring(name, digest or tag or "", guard.require)
    except RegistryError as error:
        if error.code not in _FAILURES:
            raise AwsError("RepositoryNotFoundException", error.message) from error
        raise _Failure(_FAILURES[error.code], error.message) from error
    repository = repositories.named(request)
    image = _find(repository, identity)
    raw, media_type = _acceptable(image, request.get("acceptedMediaTypes"), by_tag=digest is None)
    image.pulled_at = clock.now()
    return {
        **repositories.identity(repository),
        "imageId": {"imageDigest": digest_of(raw), **({"imageTag": tag} if tag else {})},
        "imageManifest": raw.decode(),
        "imageManifestMediaType": media_type,
    }


def _acceptable(image: Image, accepted: list[str] | None, *, by_tag: bool) -> tuple[bytes, str]:
    if not accepted or image.media_type in accepted:
        return image.raw, image.media_type
    converted = manifests.convert(image, accepted) if by_tag else None
    if converted is None:
        raise _Failure("ImageNotFound", f"The image is not available as {', '.join(accepted)}")
    return converted


@service.operation
@from_model
@documented("ECR API reference, ListImageReferrers: pages of 20, at most 50")
def list_image_referrers(request: Json) -> Json:
    repository = repositories.named(request)
    wanted = request.get("filter", {})
    found = []
    if wanted.get("artifactStatus", "ACTIVE") in ("ACTIVE", "ANY"):
        found = manifests.referrers(repository, request["subjectId"]["imageDigest"], None)
    types = wanted.get("artifactTypes")
    referrers = [{**r, "artifactStatus": "ACTIVE"} for r in found if not types or r.get("artifactType") in types]
    return state.page(referrers, request, "referrers", default=REFERRERS_PAGE)


# ------------------------------------------------------------------ writing


@service.operation
@from_model
@documented("ECR API reference, PutImage: its errors")
@assumed("wordings; in an immutable repository the tag is looked at first")
def put_image(request: Json) -> Json:
    repository = repositories.named(request)
    raw, tag = request["imageManifest"].encode(), request.get("imageTag")
    digest = digest_of(raw)
    if request.get("imageDigest", digest) != digest:
        message = "The specified image digest does not match the digest that Amazon ECR calculated for the image."
        raise AwsError("ImageDigestDoesNotMatchException", message)
    same = digest in repository.images and (tag is None or repository.tags.get(tag) == digest)
    if same and not (tag and repository.immutable(tag)):
        message = f"Image with digest '{digest}' and tag '{tag}' already exists in {repositories.where(repository)}"
        raise AwsError("ImageAlreadyExistsException", message)
    try:
        image = manifests.store(repository, raw, request.get("imageManifestMediaType"), tag)
    except RegistryError as error:
        raise AwsError(_put_error(error, repository, tag), error.message) from error
    return {
        "image": {
            **repositories.identity(repository),
            "imageId": {"imageDigest": digest, **({"imageTag": tag} if tag else {})},
            "imageManifest": request["imageManifest"],
            "imageManifestMediaType": image.media_type,
        }
    }


def _put_error(error: RegistryError, repository: Repository, tag: str | None) -> str:
    if error.code == "TAG_INVALID" and tag not in repository.tags:  # a tag that nobody could use
        return "InvalidParameterException"
    return _PUT_ERRORS.get(error.code, "InvalidParameterException")


@service.operation
@from_model
@documented("ECR API reference, BatchDeleteImage: the last tag takes the image with it; a digest takes all its tags")
@documented("ECR API reference, ImageFailureCode: ImageReferencedByManifestList")
@assumed("wordings")
def batch_delete_image(request: Json) -> Json:
    repository = repositories.named(request)
    deleted, failures = [], []
    for identity in request["imageIds"]:
        try:
            deleted += _delete(repository, identity)
        except _Failure as failure:
            failures.append(failure.entry(identity))
    return {"imageIds": deleted, "failures": failures}


def _delete(repository: Repository, identity: Json) -> list[Json]:
    tag, _digest = _reference(identity)
    image = _find(repository, identity)
    entries = _entries(repository, image)
    if tag and len(entries) > 1:
        del repository.tags[tag]
        return [{"imageDigest": image.digest, "imageTag": tag}]
    lists = [other.digest for other in repository.images.values() if other.is_index and _lists(other, image.digest)]
    if lists:
        raise _Failure(
            "ImageReferencedByManifestList", f"Requested image referenced by manifest list: [{', '.join(lists)}]"
        )
    for entry in entries:
        repository.tags.pop(entry.get("imageTag", ""), None)
    del repository.images[image.digest]
    return entries


def _lists(index: Image, digest: str) -> bool:
    return digest in manifests.children(manifests.parse(index.raw, index.media_type)[0])


# ------------------------------------------------------------------ identities


class _Failure(Exception):
    """One image of a batch that cannot be had."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def entry(self, identity: Json) -> Json:
        return {"imageId": identity, "failureCode": self.code, "failureReason": self.reason}


@from_model
@assumed("which malformed identity gets which failure code; wordings")
def _reference(identity: Json) -> tuple[str | None, str | None]:
    """(tag, digest) of an imageId."""
    tag, digest = identity.get("imageTag"), identity.get("imageDigest")
    if not tag and not digest:
        raise _Failure("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
    if digest and not DIGEST.fullmatch(digest):
        raise _Failure("InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex")
    return tag, digest


def _find(repository: Repository, identity: Json) -> Image:
    tag, digest = _reference(identity)
    image = repository.find(tag, digest)
    if image is not None:
        return image
    if tag in repository.tags and digest in repository.images:
        raise _Failure("ImageTagDoesNotMatchDigest", "Requested image tag does not match the requested digest")
    raise _Failure("ImageNotFound", "Requested image not found")


def _existing(repository: Repository, identity: Json) -> Image:
    image = repository.find(identity.get("imageTag"), identity.get("imageDigest"))
    if image is None:
        shown = [f"{name}:'{identity.get(name) or 'null'}'" for name in ("imageDigest", "imageTag")]
        message = (
            f"The image with imageId {{{', '.join(shown)}}} does not exist within {repositories.where(repository)}"
        )
        raise AwsError("ImageNotFoundException", message)
    return image


def _selected(repository: Repository, request: Json) -> list[Image]:
    wanted: dict[str, Any] = request.get("filter", {})
    if wanted.get("imageStatus", "ACTIVE") not in ("ACTIVE", "ANY"):
        return []
    status = wanted.get("tagStatus", "ANY")
    tagged = set(repository.tags.values())
    return [
        image
        for image in repository.images.values()
        if status == "ANY" or (status == "TAGGED") == (image.digest in tagged)
    ]


def _entries(repository: Repository, image: Image) -> list[Json]:
    """The image once for each of its tags, or once without."""
    tags = repository.tags_of(image.digest)
    return [{"imageDigest": image.digest, "imageTag": tag} for tag in tags] or [{"imageDigest": image.digest}]


def _detail(repository: Repository, image: Image) -> Json:
    optional = {
        "imageTags": repository.tags_of(image.digest),
        "artifactMediaType": image.artifact_type,
        "lastRecordedPullTime": image.pulled_at,
        "subjectManifestDigest": image.subject,
    }
    return {
        **repositories.identity(repository),
        "imageDigest": image.digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "imageStatus": "ACTIVE",
        **{name: value for name, value in optional.items() if value},
    }
