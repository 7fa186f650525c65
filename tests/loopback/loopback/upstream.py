"""Docker Hub and friends: every upstream registry that ECR can cache, told apart by host.

Each has its own content, tokens and quirks. Put images in with PUT /_cloud/images (see loopback.content). Knobs:

    hub.limit               manifest GETs a user may make in a window (100)
    hub.window              seconds (21600)
    hub.rate_limited_hosts  where that holds (["registry-1.docker.io"])
    hub.redirect_blobs      whether layers come from another origin (True)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from loopback import cloud, content, control
from loopback.addresses import Addresses
from loopback.clock import clock
from loopback.config import UPSTREAM_HOSTS
from loopback.errors import RegistryError
from loopback.fidelity import assumed, documented
from loopback.knobs import knobs
from loopback.upstream_store import DiskStore, DistributionStore, Manifest, Shelf, Store
from loopback.web import Receive, Request, Scope, Send, reply, reply_json

Json = dict[str, Any]

DOCKER_HUB = "registry-1.docker.io"
ANONYMOUS = ""
TOKEN_LIFE = 300
CONTENT = "/_content/"
#: Docker Hub's repository for asking how many pulls are left.
PREVIEW = (DOCKER_HUB, "ratelimitpreview/test")
PULL_LIMIT = (
    "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: "
    "https://www.docker.com/increase-rate-limits"
)
_SCOPE = re.compile(r"repository:([^:]+):([a-z*,]+)")


@dataclass(frozen=True)
class Quirks:
    """How one upstream differs from the others."""

    service: str = ""
    token_path: str = "/token"
    token_host: str = ""  # where tokens are given, if not at the registry's own host
    needs_token: bool = True
    scope: str = ""  # in the challenge, in place of the repository's
    unseen: tuple[int, str] = (401, "UNAUTHORIZED")  # for a repository that is private or not there
    strict_scope: bool = False  # a token for another repository is 403, not a new challenge
    referrers: bool = True
    redirects_manifests: bool = False
    page: int | None = None  # longest page of tags; None: all at once


QUIRKS = {
    DOCKER_HUB: Quirks("registry.docker.io", token_host="auth.docker.io"),
    "quay.io": Quirks("quay.io", "/v2/auth", page=100),
    "ghcr.io": Quirks("ghcr.io", unseen=(403, "DENIED"), referrers=False, page=1000),
    "registry.k8s.io": Quirks(
        needs_token=False, unseen=(404, "NAME_UNKNOWN"), referrers=False, redirects_manifests=True
    ),
    "public.ecr.aws": Quirks("public.ecr.aws", "/token/", scope="aws", unseen=(404, "NAME_UNKNOWN"), page=1000),
    "registry.gitlab.com": Quirks("container_registry", "/jwt/auth"),
    "example.azurecr.io": Quirks("example.azurecr.io", "/oauth2/token"),
    "cgr.dev": Quirks("cgr.dev", unseen=(403, "DENIED"), strict_scope=True),
}


@dataclass(frozen=True)
class Token:
    host: str
    user: str
    repositories: frozenset[str]
    expires: float


@dataclass
class RateLimit:
    """Pulls counted per host and user; a window opens with the first pull in it."""

    _windows: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    @documented("docs.docker.com/docker-hub/usage/pulls: headers, GET counts, HEAD does not")
    @assumed("an index counts as a pull, as each of its images does; Retry-After")
    def take(self, host: str, user: str, *, source: str, counts: bool) -> dict[str, str]:
        """Count a request; the headers that go with it. Raises RegistryError when the limit is reached."""
        if host not in knobs.get("hub.rate_limited_hosts", [DOCKER_HUB]):
            return {}
        limit, window = knobs.get("hub.limit", 100), knobs.get("hub.window", 21600)
        began, used = self._windows.get((host, user), (clock.now(), 0))
        if clock.now() >= began + window:
            began, used = clock.now(), 0
        over = counts and used >= limit
        used += counts and not over
        self._windows[host, user] = began, used
        headers = {
            "ratelimit-limit": f"{limit};w={window}",
            "ratelimit-remaining": f"{max(limit - used, 0)};w={window}",
            "docker-ratelimit-source": source,
        }
        if over:
            after = str(max(1, int(began + window - clock.now())))
            raise RegistryError("TOOMANYREQUESTS", PULL_LIMIT, 429, {**headers, "Retry-After": after})
        return headers


class Hub:
    def __init__(self, addresses: Addresses) -> None:
        settings = cloud.running().settings
        self._addresses, self._users, self._workspace = addresses, settings.upstream_users, settings.directory
        self._store: Store = (
            DistributionStore(settings.upstream_registry)
            if settings.upstream_registry
            else DiskStore(settings.directory / "upstream")
        )
        self._tokens: dict[str, Token] = {}
        self._limits = RateLimit()
        control.actions["PUT /_cloud/images"] = self.publish

    def reset(self) -> None:
        self._store.reset()
        self._tokens.clear()
        self._limits = RateLimit()

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def publish(self, document: Json) -> Json:
        order = content.Order(**document)
        if order.host not in QUIRKS:
            raise ValueError(f"no such upstream: {order.host}; there are {list(QUIRKS)}")
        return content.publish(self._store, order, self._workspace, referrers_api=QUIRKS[order.host].referrers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        host = self._addresses.upstream_at(request.host) or ""
        source = (scope.get("client") or ("127.0.0.1", 0))[0]
        try:
            await request.drain()
            await self._route(_Call(request, send, host, source))
        except RegistryError as error:
            await reply_json(send, error.status, _errors(error.code, error.message), error.headers)

    async def _route(self, call: _Call) -> None:
        path = call.request.path
        if path == QUIRKS[call.host].token_path:
            await self._give_token(call)
        elif path.startswith(CONTENT):
            await self._send_content(call, path.removeprefix(CONTENT))
        elif path in ("/v2", "/v2/"):
            self._admit(call, None)
            await reply(call.send, 200, {"Docker-Distribution-Api-Version": "registry/2.0"})
        else:
            await self._serve(call)

    async def _serve(self, call: _Call) -> None:
        match = _PATH.fullmatch(call.request.path)
        if match is None:
            raise RegistryError("UNSUPPORTED", "Not Found", 404)
        if call.request.method not in ("GET", "HEAD"):
            raise RegistryError("UNSUPPORTED", "The operation is unsupported.", 405)
        name = match["name"]
        user = self._admit(call, name)
        shelf = self._visible(call, name, user)
        handlers = {
            "manifests": self._manifest,
            "blobs": self._blob,
            "tags": self._tags,
            "referrers": self._referrers,
        }
        await handlers[match["what"]](call, _Target(name, match["reference"], user, shelf))

    # -------------------------------------------------------------- who is asking

    @documented("distribution.github.io/distribution/spec/auth/token: several scopes in one token")
    async def _give_token(self, call: _Call) -> None:
        user = self._user(call)
        if user is None:
            wrong = "incorrect username or password"
            await reply_json(
                call.send, 401, {"details": wrong} if call.host == DOCKER_HUB else _errors("UNAUTHORIZED", wrong)
            )
            return
        scopes = [value for name, value in call.request.parameters if name == "scope"]
        wanted = [scope for value in scopes for scope in value.split()]
        repositories = frozenset(match[1] for scope in wanted if (match := _SCOPE.fullmatch(scope)))
        token = secrets.token_urlsafe(40)
        self._tokens[token] = Token(call.host, user, repositories, clock.now() + TOKEN_LIFE)
        issued = {"token": token, "access_token": token, "expires_in": TOKEN_LIFE}
        await reply_json(call.send, 200, issued)

    @assumed("wordings of a wrong password")
    def _user(self, call: _Call) -> str | None:
        """Whose token it will be; None for a wrong login."""
        header = call.request.headers.get("authorization")
        if not header:
            return ANONYMOUS
        user, password = _basic(header)
        return user if user and self._users.get(user) == password else None

    def _admit(self, call: _Call, name: str | None) -> str:
        """The user whose token came with the request; a challenge where a token is needed and none is good."""
        quirks = QUIRKS[call.host]
        scheme, _space, value = call.request.headers.get("authorization", "").partition(" ")
        token = self._tokens.get(value) if scheme.lower() == "bearer" else None
        if token and (token.host != call.host or token.expires <= clock.now()):
            token = None
        if not quirks.needs_token:
            return ANONYMOUS
        covered = token is not None and (name is None or bool(quirks.scope) or name in token.repositories)
        if token is not None and covered:
            return token.user
        if token is not None and quirks.strict_scope:
            raise RegistryError("DENIED", "the token is for another repository", 403)
        raise self._challenge(call, name)

    def _challenge(self, call: _Call, name: str | None) -> RegistryError:
        quirks = QUIRKS[call.host]
        realm = self._addresses.upstream(quirks.token_host or call.host) + quirks.token_path
        scope = quirks.scope or (f"repository:{name}:pull" if name else "")
        challenge = f'Bearer realm="{realm}",service="{quirks.service}"' + (f',scope="{scope}"' if scope else "")
        return RegistryError("UNAUTHORIZED", "authentication required", 401, {"WWW-Authenticate": challenge})

    @assumed("how each upstream answers for a repository that is private or missing: Docker Hub with 401, for one")
    def _visible(self, call: _Call, name: str, user: str) -> Shelf:
        shelf = Shelf() if (call.host, name) == PREVIEW else self._store.shelf(call.host, name)
        if shelf is not None and (user or not shelf.private):
            return shelf
        status, code = QUIRKS[call.host].unseen
        if status == 401:
            raise self._challenge(call, name)
        raise RegistryError(code, "requested access to the resource is denied", status)

    # -------------------------------------------------------------- content

    async def _manifest(self, call: _Call, target: _Target) -> None:
        if QUIRKS[call.host].redirects_manifests:
            await self._redirect(call, "manifests", target)
        else:
            await self._send_manifest(call, target)

    async def _send_manifest(self, call: _Call, target: _Target) -> None:
        found = await self._find(call.host, target)
        if found is None or not _accepts(call.request, found.media_type):
            raise RegistryError("MANIFEST_UNKNOWN", "manifest unknown", 404)
        source = _account_number(target.user) if target.user else call.source
        counts = call.request.method == "GET"
        limits = self._limits.take(call.host, target.user, source=source, counts=counts)
        headers = {
            "Content-Type": found.media_type,
            "Content-Length": str(len(found.raw)),
            "Docker-Content-Digest": found.digest,
            **limits,
        }
        await reply(call.send, 200, headers, found.raw if counts else b"")

    async def _find(self, host: str, target: _Target) -> Manifest | None:
        if (host, target.name) == PREVIEW:
            return _PREVIEW_MANIFEST if target.reference in ("latest", _PREVIEW_MANIFEST.digest) else None
        digest = target.shelf.tags.get(target.reference, target.reference)
        if digest not in target.shelf.manifests:
            return None
        return await self._store.manifest(host, target.name, digest)

    async def _blob(self, call: _Call, target: _Target) -> None:
        if target.reference not in target.shelf.blobs:
            raise RegistryError("BLOB_UNKNOWN", "blob unknown to registry", 404)
        if call.request.method == "GET" and knobs.get("hub.redirect_blobs", True):
            await self._redirect(call, "blobs", target)
        else:
            await self._send_blob(call, target)

    async def _redirect(self, call: _Call, what: str, target: _Target) -> None:
        """To a content network: here, another upstream's address plays it."""
        elsewhere = UPSTREAM_HOSTS[(UPSTREAM_HOSTS.index(call.host) + 1) % len(UPSTREAM_HOSTS)]
        path = f"{CONTENT}{call.host}/v2/{target.name}/{what}/{target.reference}"
        await reply(call.send, 307, {"Location": self._addresses.upstream(elsewhere) + path})

    @assumed("content networks refuse a forwarded Authorization header, as S3 does")
    async def _send_content(self, call: _Call, path: str) -> None:
        """What a content network does: it asks for no credentials, and takes none."""
        host, _slash, rest = path.partition("/")
        match = _PATH.fullmatch(f"/{rest}")
        shelf = self._store.shelf(host, match["name"]) if match else None
        if "authorization" in call.request.headers:
            raise RegistryError("UNSUPPORTED", "Only one auth mechanism allowed", 400)
        if match is None or shelf is None:
            raise RegistryError("NAME_UNKNOWN", "Not Found", 404)
        target = _Target(match["name"], match["reference"], ANONYMOUS, shelf)
        there = _Call(call.request, call.send, host, call.source)
        await (self._send_manifest if match["what"] == "manifests" else self._send_blob)(there, target)

    async def _send_blob(self, call: _Call, target: _Target) -> None:
        if target.reference not in target.shelf.blobs:
            raise RegistryError("BLOB_UNKNOWN", "blob unknown to registry", 404)
        head, byte_range = call.request.method == "HEAD", call.request.headers.get("range")
        await self._store.send_blob(
            call.host, target.name, target.reference, call.send, byte_range=byte_range, head=head
        )

    async def _tags(self, call: _Call, target: _Target) -> None:
        given, last = call.request.query.get("n", ""), call.request.query.get("last", "")
        longest = QUIRKS[call.host].page or len(target.shelf.tags)
        size = min(int(given), longest) if given.isdigit() and int(given) else longest
        left = sorted(tag for tag in target.shelf.tags if tag > last)
        page = left[:size]
        more = len(left) > len(page)
        link = {"Link": f'</v2/{target.name}/tags/list?n={size}&last={page[-1]}>; rel="next"'} if more else {}
        await reply_json(call.send, 200, {"name": target.name, "tags": page}, link)

    async def _referrers(self, call: _Call, target: _Target) -> None:
        if not QUIRKS[call.host].referrers:
            raise RegistryError("UNSUPPORTED", "Not Found", 404)
        wanted = call.request.query.get("artifactType")
        found = target.shelf.referrers.get(target.reference, [])
        kept = [entry for entry in found if wanted in (None, entry.get("artifactType"))]
        kind = content.KINDS["index"]
        headers = {"Content-Type": kind, **({"OCI-Filters-Applied": "artifactType"} if wanted else {})}
        await reply_json(call.send, 200, {"schemaVersion": 2, "mediaType": kind, "manifests": kept}, headers)


@dataclass(frozen=True)
class _Call:
    request: Request
    send: Send
    host: str
    source: str  # the caller's address


@dataclass(frozen=True)
class _Target:
    name: str
    reference: str
    user: str
    shelf: Shelf


_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<what>manifests|blobs|referrers|tags)/(?P<reference>[^/]+)")
_PREVIEW_MANIFEST = Manifest(
    json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": content.KINDS["docker"],
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": f"sha256:{'0' * 64}",
                "size": 2,
            },
            "layers": [],
        }
    ).encode(),
    content.KINDS["docker"],
)


def _accepts(request: Request, media_type: str) -> bool:
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")}
    return bool(accepted & {media_type, "*/*"})


def _basic(header: str) -> tuple[str, str]:
    try:
        user, _colon, password = base64.b64decode(header.partition(" ")[2], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _account_number(user: str) -> str:
    """Docker Hub names the source of a logged-in pull by an account's id."""
    return hashlib.sha256(user.encode()).hexdigest()[:32]


def _errors(code: str, message: str) -> Json:
    return {"errors": [{"code": code, "message": message, "detail": None}]}
