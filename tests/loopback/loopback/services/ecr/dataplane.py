"""ECR's registry HTTP API: /v2/ on every registry host, and the store that layers are downloaded from.

It stands before ministack, which would read whole bodies into memory. Layers stream to and from disk.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextvars
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from loopback import aws, cloud
from loopback.addresses import Registry
from loopback.blobs import DIGEST, digest_of
from loopback.clock import clock
from loopback.errors import AwsError, RegistryError
from loopback.fidelity import assumed, documented
from loopback.services.ecr import imports, layers, manifests, state, tokens, uploads
from loopback.services.ecr.access import Visit, Visitor, manifest_unknown
from loopback.services.ecr.state import INDEX_TYPES, Image
from loopback.web import App, Receive, Request, Scope, Send, TooLarge, reply, reply_json

Handler = Callable[..., Awaitable[None]]

PAGE, MAX_PAGE = 100, 1000
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_AWS_STATUS = {"AccessDeniedException": ("DENIED", 403), "RepositoryNotFoundException": ("NAME_UNKNOWN", 404)}

# Imports wait for upstreams, some of which are other registries of this very process: they get threads of their own.
_importers = ThreadPoolExecutor(max_workers=32, thread_name_prefix="import")


def wrap(app: App) -> App:
    async def data_plane(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        addresses = cloud.running().addresses
        where = addresses.registry_at(request.host)
        if addresses.is_blobs(request.host):
            await layers.serve(request, send)
        elif where is not None and _is_registry_api(request):
            await _answer(request, send, where)
        else:
            await app(scope, receive, send)

    return data_plane


def _is_registry_api(request: Request) -> bool:
    """In light mode a registry shares its address with the AWS API, whose requests are signed."""
    signed = request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256")
    return not signed and (request.path == "/v2" or request.path.startswith("/v2/"))


async def _answer(request: Request, send: Send, where: Registry) -> None:
    aws.act_in(*where)
    try:
        await _serve(request, send, where)
    except AwsError as error:
        code, status = _AWS_STATUS.get(error.code, ("UNKNOWN", error.status))
        await _refuse(request, send, RegistryError(code, error.message, status))
    except RegistryError as error:
        await _refuse(request, send, error)


async def _refuse(request: Request, send: Send, error: RegistryError) -> None:
    await request.drain()
    document = {"errors": [{"code": error.code, "message": error.message}]}
    await reply_json(send, error.status, document, {**_VERSION, **error.headers})


@documented("ECR user guide, registry_auth: HTTP Basic on every request, no token exchange")
@assumed("wording of 401; a token of another region is refused as DENIED")
async def _serve(request: Request, send: Send, where: Registry) -> None:
    token = tokens.check(request.headers.get("authorization"))
    if token is None:
        await request.drain()
        challenge = {"Www-Authenticate": f'Basic realm="{request.origin}/",service="ecr.amazonaws.com"'}
        await reply(send, 401, {"Content-Type": "text/plain", **_VERSION, **challenge}, b"Not Authorized\n")
        return
    account, region = where
    if token.region != region:
        raise RegistryError("DENIED", f"Your authorization token is for {token.region}, not for {region}.", 403)
    visitor = Visitor(token, account, region)
    if request.path in ("/v2", "/v2/"):
        await reply(send, 200, _VERSION)
        return
    for pattern, methods in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match:
            parts = match.groupdict()
            handler = methods.get(request.method)
            if handler is None:
                raise RegistryError("UNSUPPORTED", "The operation is unsupported.", 405)
            await handler(Visit(request, send, visitor, parts.pop("name", "*")), *parts.values())
            return
    raise RegistryError("UNSUPPORTED", "Not Found", 404)


# ------------------------------------------------------------------ manifests


@documented("ECR API reference, BatchGetImage: called once when an image is pulled")
async def _get_manifest(visit: Visit, reference: str) -> None:
    visit.require("ecr:BatchGetImage")
    tag, digest = _reference(reference)
    if imports.due(visit.name, reference):
        await _in_thread(imports.bring, visit.name, reference, visit.visitor.require)
    image = visit.repository().find(tag, digest)
    if image is None:
        raise manifest_unknown()
    raw, media_type = _acceptable(image, visit.request.headers.get("accept"), by_tag=tag is not None)
    headers = {
        "Content-Type": media_type,
        "Content-Length": str(len(raw)),
        "Docker-Content-Digest": digest_of(raw),
        **_VERSION,
    }
    if visit.request.method == "GET":
        image.pulled_at = clock.now()
    await reply(visit.send, 200, headers, b"" if visit.request.method == "HEAD" else raw)


@documented("ECR user guide, image-manifest-formats")
@assumed("status and wording where nothing is acceptable; no Accept header accepts all")
def _acceptable(image: Image, header: str | None, *, by_tag: bool) -> tuple[bytes, str]:
    accepted = {part.partition(";")[0].strip() for part in (header or "*/*").split(",")}
    if image.media_type in accepted or "*/*" in accepted:
        return image.raw, image.media_type
    converted = manifests.convert(image, accepted) if by_tag else None
    if converted is None:
        raise RegistryError("MANIFEST_UNKNOWN", f"The image is not available as {', '.join(sorted(accepted))}", 404)
    return converted


@documented("ECR API reference, PutImage: called once when an image is pushed")
@assumed("wording of a wrong digest: github.com/google/go-containerregistry/issues/1568")
async def _put_manifest(visit: Visit, reference: str) -> None:
    visit.require("ecr:PutImage")
    repository = visit.repository()
    tag, digest = _reference(reference)
    try:
        raw = await visit.request.body(manifests.MAX_SIZE)
    except TooLarge:
        raise manifests.too_large() from None
    if digest and digest_of(raw) != digest:
        message = (
            f"The image with digest '{digest}' in repository '{visit.name}' and registry ID '{repository.account}' "
            "does not match the image digest that Amazon ECR has calculated."
        )
        raise RegistryError("MANIFEST_INVALID", message)
    image = manifests.store(repository, raw, visit.request.headers.get("content-type"), tag)
    headers = {"Location": visit.url(f"manifests/{image.digest}"), "Docker-Content-Digest": image.digest, **_VERSION}
    if image.subject:
        headers["OCI-Subject"] = image.subject
    await reply(visit.send, 201, headers)


def _reference(text: str) -> tuple[str | None, str | None]:
    """The reference as (tag, digest), one of which is None."""
    if DIGEST.fullmatch(text):
        return None, text
    manifests.check_tag_name(text)
    return text, None


@documented("ECR user guide, logging-using-cloudtrail: Referrers API; the action it needs is BatchGetImage")
async def _referrers(visit: Visit, subject: str) -> None:
    visit.require("ecr:BatchGetImage")
    artifact_type = visit.request.query.get("artifactType")
    found = manifests.referrers(visit.repository(), _digest(subject), artifact_type)
    headers = {"Content-Type": INDEX_TYPES[0], **_VERSION}
    if artifact_type:
        headers["OCI-Filters-Applied"] = "artifactType"
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": found}
    await reply_json(visit.send, 200, document, headers)


# ------------------------------------------------------------------ layers


@documented("ECR API reference, BatchCheckLayerAvailability: called for each layer when an image is pushed")
async def _head_layer(visit: Visit, digest: str) -> None:
    visit.require("ecr:BatchCheckLayerAvailability")
    found = _layer(visit, digest)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(state.blobs().size(found)),
        "Docker-Content-Digest": found,
        **_VERSION,
    }
    await reply(visit.send, 200, headers)


@documented("ECR API reference, GetDownloadUrlForLayer: once for each layer; only for layers that an image refers to")
@assumed("307 to S3; 404 for a layer that no image refers to")
async def _get_layer(visit: Visit, digest: str) -> None:
    visit.require("ecr:GetDownloadUrlForLayer")
    repository, found = visit.repository(), _layer(visit, digest)
    if not manifests.refer_to(repository, found):
        raise _layer_unknown(digest)
    location = layers.url(repository.account, repository.region, found)
    await reply(visit.send, 307, {"Location": location, **_VERSION})


@assumed("code and wording of a layer that is not there; a layer is known only in repositories it was brought to")
def _layer(visit: Visit, digest: str) -> str:
    if _digest(digest) not in visit.repository().layers:
        raise _layer_unknown(digest)
    return digest


def _layer_unknown(digest: str) -> RegistryError:
    return RegistryError("BLOB_UNKNOWN", f"Layer with digest '{digest}' not found", 404)


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise RegistryError("DIGEST_INVALID", f"Invalid digest '{text}'")
    return text


# ------------------------------------------------------------------ lists


@assumed("allowed by ListImages")
async def _tags(visit: Visit) -> None:
    visit.require("ecr:ListImages")
    found, headers = _page(visit, visit.repository().tags)
    await reply_json(visit.send, 200, {"name": visit.name, "tags": found}, headers)


@assumed("paged as tags are; allowed by DescribeRepositories")
async def _catalog(visit: Visit) -> None:
    visit.require("ecr:DescribeRepositories")
    found, headers = _page(visit, state.registry().repositories)
    await reply_json(visit.send, 200, {"repositories": found}, headers)


@assumed("100 a page; over 1000 is refused, as in github.com/google/go-containerregistry/issues/681; the order; `last`")
def _page(visit: Visit, items: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    size, last = visit.request.query.get("n", str(PAGE)), visit.request.query.get("last")
    if not size.isdigit() or int(size) < 1:
        raise _bad_page("maxResults", "Member must have value greater than or equal to 1")
    if int(size) > MAX_PAGE:
        raise _bad_page("maxResults", f"Member must have value less than or equal to {MAX_PAGE}")
    after = _decode(last) if last else ""
    left = sorted((order, item) for item in items if (order := hashlib.sha256(item.encode()).hexdigest()) > after)
    page, headers = left[: int(size)], dict(_VERSION)
    if len(left) > len(page):
        token = base64.urlsafe_b64encode(page[-1][0].encode()).decode()
        base = f"{visit.request.origin}{visit.request.path}"
        headers["Link"] = f'<{base}?last={token}&n={size}>; rel="next"'
    return [item for _order, item in page], headers


def _decode(last: str) -> str:
    try:
        after = base64.urlsafe_b64decode(last).decode()
    except (binascii.Error, UnicodeDecodeError):
        after = ""
    if not re.fullmatch("[a-f0-9]{64}", after):
        raise _bad_page("nextToken", "Invalid token")
    return after


def _bad_page(where: str, why: str) -> RegistryError:
    return RegistryError("UNSUPPORTED", f"Invalid parameter at '{where}' failed to satisfy constraint: '{why}'", 405)


async def _in_thread(function: Callable[..., None], *arguments: object) -> None:
    context = contextvars.copy_context()
    await asyncio.get_running_loop().run_in_executor(_importers, context.run, function, *arguments)


_ROUTES: list[tuple[re.Pattern[str], dict[str, Handler]]] = [
    (re.compile("/v2/_catalog"), {"GET": _catalog}),
    (
        re.compile("/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"),
        {"GET": _get_manifest, "HEAD": _get_manifest, "PUT": _put_manifest},
    ),
    (re.compile("/v2/(?P<name>.+)/blobs/uploads/?"), {"POST": uploads.begin}),
    (
        re.compile("/v2/(?P<name>.+)/blobs/uploads/(?P<identity>[^/]+)"),
        {"PATCH": uploads.append, "PUT": uploads.complete, "GET": uploads.status, "DELETE": uploads.cancel},
    ),
    (re.compile("/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)"), {"HEAD": _head_layer, "GET": _get_layer}),
    (re.compile("/v2/(?P<name>.+)/tags/list"), {"GET": _tags}),
    (re.compile("/v2/(?P<name>.+)/referrers/(?P<subject>[^/]+)"), {"GET": _referrers}),
]
