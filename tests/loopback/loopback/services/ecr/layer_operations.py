"""Layers by the API: availability, download URL, upload in parts."""

from __future__ import annotations

import base64
import binascii

from loopback.blobs import DIGEST, Upload
from loopback.errors import AwsError, invalid_parameter
from loopback.fidelity import assumed, documented, from_model
from loopback.services.ecr import layers, repositories, state
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json, Repository

PART_SIZE = 10 << 20
MIN_PART = 5 << 20


@service.operation
@from_model
@assumed("wording of failures; a layer is known only in repositories it was brought to")
def batch_check_layer_availability(request: Json) -> Json:
    repository = repositories.named(request)
    wanted = request["layerDigests"]
    return {
        "layers": [_availability(repository, digest) for digest in wanted if DIGEST.fullmatch(digest)],
        "failures": [
            {"layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": f"Invalid digest '{digest}'"}
            for digest in wanted
            if not DIGEST.fullmatch(digest)
        ],
    }


def _availability(repository: Repository, digest: str) -> Json:
    if digest not in repository.layers:
        return {"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}
    return {"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": state.blobs().size(digest)}


@service.operation
@from_model
@documented("ECR API reference, GetDownloadUrlForLayer: only layers that an image refers to")
@assumed("wordings")
def get_download_url_for_layer(request: Json) -> Json:
    repository, digest = repositories.named(request), request["layerDigest"]
    if digest not in repository.layers:
        message = f"The layer with digest '{digest}' does not exist in {repositories.where(repository)}"
        raise AwsError("LayersNotFoundException", message)
    if not any(digest.encode() in image.raw for image in repository.images.values()):
        message = "The specified layer is not available because it is not associated with an image."
        raise AwsError("LayerInaccessibleException", message)
    return {"downloadUrl": layers.url(repository.account, repository.region, digest), "layerDigest": digest}


# ------------------------------------------------------------------ upload


@service.operation
@from_model
@assumed("the part size that ECR proposes")
def initiate_layer_upload(request: Json) -> Json:
    upload = state.blobs().begin(repositories.named(request).arn)
    return {"uploadId": upload.identity, "partSize": PART_SIZE}


@service.operation
@from_model
@documented("ECR API reference, UploadLayerPart: consecutive parts, of at least 5 MiB but for the last")
@assumed("a part that is too small is noticed when the next one comes; wordings")
def upload_layer_part(request: Json) -> Json:
    repository, upload = _upload(request)
    first, last = request["partFirstByte"], request["partLastByte"]
    part = _decoded(request["layerPartBlob"])
    if first != upload.size or last - first + 1 != len(part) or (upload.size and upload.last_part < MIN_PART):
        message = (
            "The layer part size is not valid, or the first byte specified is not consecutive "
            "to the last byte of a previous layer part upload."
        )
        raise AwsError("InvalidLayerPartException", message)
    with upload.part():
        upload.write(part)
    return {**repositories.identity(repository), "uploadId": upload.identity, "lastByteReceived": upload.size - 1}


@service.operation
@from_model
@documented("ECR API reference, CompleteLayerUpload: its errors")
@assumed("an upload whose digest does not match, or whose layer is there, is gone; wordings")
def complete_layer_upload(request: Json) -> Json:
    repository, upload = _upload(request)
    if not upload.size:
        raise AwsError("EmptyUploadException", "The specified layer upload does not contain any layer parts.")
    if upload.digest not in request["layerDigests"]:
        state.blobs().abort(upload)
        message = (
            "The layer digest calculation performed by Amazon ECR upon receipt of the image layer "
            "does not match the digest specified."
        )
        raise AwsError("InvalidLayerException", message)
    if upload.digest in repository.layers:
        state.blobs().abort(upload)
        message = f"Layer with digest '{upload.digest}' already exists in {repositories.where(repository)}"
        raise AwsError("LayerAlreadyExistsException", message)
    digest = state.blobs().commit(upload)
    repository.layers.add(digest)
    return {**repositories.identity(repository), "uploadId": upload.identity, "layerDigest": digest}


def _upload(request: Json) -> tuple[Repository, Upload]:
    repository = repositories.named(request)
    upload = state.blobs().upload(request["uploadId"])
    if upload is None or upload.repository != repository.arn:
        message = f"The upload with id '{request['uploadId']}' does not exist in {repositories.where(repository)}"
        raise AwsError("UploadNotFoundException", message)
    return repository, upload


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise invalid_parameter("layerPartBlob", "must be base64") from error
