"""Layers on their way in: POST, PATCH, PUT as ECR behaves, which is not quite as the specification says."""

from __future__ import annotations

import re

from loopback.blobs import DIGEST, Upload
from loopback.errors import RegistryError
from loopback.fidelity import assumed, documented
from loopback.services.ecr import manifests, registry, state, templates
from loopback.services.ecr.access import Visit
from loopback.services.ecr.state import Repository
from loopback.web import reply

MIN_PART = 5 << 20
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d+)-\d+(?:/.*)?")


@documented("ECR API reference, InitiateLayerUpload: called once for each layer that is pushed")
@assumed("POST with a body and a digest begins an upload like any other")
async def begin(visit: Visit) -> None:
    visit.require("ecr:InitiateLayerUpload")
    repository = _repository_to_push_to(visit)
    digest, source = visit.request.query.get("mount", ""), visit.request.query.get("from", "")
    if _mountable(visit, repository, digest, source):
        repository.layers.add(digest)
        headers = {"Location": visit.url(f"blobs/{digest}"), "Docker-Content-Digest": digest}
        await reply(visit.send, 201, headers)
        return
    await visit.request.drain()
    await reply(visit.send, 202, _progress(visit, state.blobs().begin(repository.arn)))


@documented("ECR API reference, UploadLayerPart: called once for each new layer part")
@assumed("201, and a Range that stays at the end of the first part: github.com/aws/containers-roadmap/issues/2831")
async def append(visit: Visit, identity: str) -> None:
    visit.require("ecr:UploadLayerPart")
    upload = _find(visit, identity)
    await _receive(visit, upload)
    await reply(visit.send, 201, _progress(visit, upload))


@documented("ECR API reference, CompleteLayerUpload: called once for each new layer")
@assumed("codes and wordings of digest errors; an upload whose digest does not match is gone")
async def complete(visit: Visit, identity: str) -> None:
    visit.require("ecr:CompleteLayerUpload")
    upload = _find(visit, identity)
    digest = visit.request.query.get("digest", "")
    if not DIGEST.fullmatch(digest):
        raise RegistryError("DIGEST_INVALID", f"Invalid digest '{digest}'")
    if visit.request.has_body:
        visit.require("ecr:UploadLayerPart")
        await _receive(visit, upload)
    repository = visit.repository()
    if upload.digest != digest:
        state.blobs().abort(upload)
        message = f"Layer digest '{digest}' does not match the calculated digest '{upload.digest}'"
        raise RegistryError("DIGEST_INVALID", message)
    state.blobs().commit(upload)
    repository.layers.add(digest)
    await reply(visit.send, 201, {"Location": visit.url(f"blobs/{digest}"), "Docker-Content-Digest": digest})


@assumed("ECR answers as the OCI distribution specification says")
async def status(visit: Visit, identity: str) -> None:
    visit.require("ecr:UploadLayerPart")
    await reply(visit.send, 204, _progress(visit, _find(visit, identity)))


@assumed("ECR answers as the OCI distribution specification says")
async def cancel(visit: Visit, identity: str) -> None:
    visit.require("ecr:UploadLayerPart")
    state.blobs().abort(_find(visit, identity))
    await reply(visit.send, 204)


@documented("ECR user guide, repository-creation-templates: a push creates a repository only if a template matches")
@assumed("the pusher needs ecr:CreateRepository for it")
def _repository_to_push_to(visit: Visit) -> Repository:
    if visit.name not in state.registry().repositories and templates.covers(visit.name, "CREATE_ON_PUSH"):
        visit.require("ecr:CreateRepository")
        return templates.create_repository_for(visit.name, "CREATE_ON_PUSH")
    return visit.repository()


@documented("ECR user guide, blob-mounting: setting, encryption, no pull-through images, permission on the source")
@assumed("a committed manifest in the source must refer to the layer: github.com/clowdhaus/ocync")
def _mountable(visit: Visit, repository: Repository, digest: str, source_name: str) -> bool:
    source = state.registry().repositories.get(source_name)
    return (
        source is not None
        and registry.setting("BLOB_MOUNTING") == "ENABLED"
        and source.encryption == repository.encryption
        and not source.cached
        and digest in source.layers
        and manifests.refer_to(source, digest)
        and visit.visitor.refusal("ecr:GetDownloadUrlForLayer", source_name) is None
    )


def _find(visit: Visit, identity: str) -> Upload:
    repository = visit.repository()
    upload = state.blobs().upload(identity)
    if upload is None or upload.repository != repository.arn:
        message = (
            f"The upload with id '{identity}' does not exist in the repository with name '{visit.name}' "
            f"in the registry with id '{repository.account}'"
        )
        raise RegistryError("BLOB_UPLOAD_UNKNOWN", message, 404)
    return upload


@documented("ECR API reference, UploadLayerPart: LayerPartTooSmallException, InvalidLayerPartException")
@assumed("416 for a part out of order, as users see it; code and status of a part that is too small")
async def _receive(visit: Visit, upload: Upload) -> None:
    """Take the request's body as the next part."""
    given = _CONTENT_RANGE.fullmatch(visit.request.headers.get("content-range", ""))
    if given and int(given[1]) != upload.size:
        message = f"Layer part must begin at {upload.size}"
        raise RegistryError("BLOB_UPLOAD_INVALID", message, 416, _progress(visit, upload))
    if upload.size and upload.last_part < MIN_PART:
        raise RegistryError("BLOB_UPLOAD_INVALID", "All layer parts except the last part should be at least 5MB")
    with upload.part():
        async for chunk in visit.request.chunks():
            upload.write(chunk)


def _progress(visit: Visit, upload: Upload) -> dict[str, str]:
    return {
        "Location": visit.url(f"blobs/uploads/{upload.identity}"),
        "Docker-Upload-Uuid": upload.identity,
        "Range": f"0-{max(upload.first_part - 1, 0)}",
    }
