# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry protocol: what can be asked of any registry, in the terms of images.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

try:
    from urllib3.exceptions import HTTPError
except ImportError:
    pass  # handled by the caller of exchange.py

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest, realm
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.auth import PULL, PUSH, Authenticator, Need, need
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.blob import BlobReader, Readable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, CredentialSource
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    DigestMismatch,
    InvalidDigestError,
    InvalidManifestError,
    NotFound,
    RegistryError,
    refusal,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import (
    CHUNK,
    MAX_ERROR_BYTES,
    Answer,
    Http,
    Request,
    Trial,
    next_url,
    unreachable,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit, retry_after
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB, Reference

_HUB_ENDPOINT = "https://registry-1.docker.io"
# ECR refuses a larger page.
_PAGE = 1000
_MAX_PAGE_BYTES = 16 * 1024 * 1024
_MAX_PAGES = 5_000
# Ten times what any repository is known to have.
_MAX_TAGS = 250_000
_MAX_REFERRERS = 10_000
_MAX_TAG = 300
_LOGIN_ATTEMPTS = 3
# What is sent at a time, so small that slow networks are done with it before they are given up.
_SENT = 1 << 18


@dataclass(frozen=True)
class RegistrySettings:
    """What differs from the usual for one registry.

    `endpoint` is another address to reach it at, such as https://mirror.example:5000; `insecure` means plain HTTP.
    """

    endpoint: str = ""
    ca_bundle: str = ""
    insecure: bool = False
    credentials: CredentialSource | None = None


@dataclass(frozen=True)
class UploadSession:
    """Where a registry wants the content of a blob to be sent."""

    url: str


@dataclass(frozen=True)
class Pushed:
    """A manifest that a registry has taken. `lists_referrer`: it will name it among the referrers of its subject."""

    digest: Digest
    lists_referrer: bool


@dataclass(frozen=True)
class _Registry:
    name: str
    endpoint: str
    ca_bundle: str
    auth: Authenticator


class Client:
    """Talks to any number of registries, for any number of threads.

    `credentials` finds them for a registry that has none in its settings, such as DockerConfig.credentials_for.
    """

    def __init__(
        self,
        settings: Mapping[str, RegistrySettings] | None = None,
        *,
        credentials: Callable[[str], Credentials | None] | None = None,
        http: Http | None = None,
    ) -> None:
        self._settings = dict(settings or {})
        self._find_credentials = credentials or _anonymous
        self._http = http or Http()
        self._lock = threading.Lock()
        self._registries: dict[str, _Registry] = {}

    def close(self) -> None:
        self._http.close()

    def expect(self, references: Iterable[Reference], *, push: bool = False) -> None:
        """Say early which repositories will be used, so that one token can serve for many of them."""
        by_registry: dict[str, list[str]] = {}
        for ref in references:
            by_registry.setdefault(ref.registry, []).append(ref.repository)
        for name, repositories in by_registry.items():
            self._registry(name).auth.expect(repositories, PUSH if push else PULL)

    def rate_limit(self, registry: str) -> RateLimit | None:
        """What the registry last said about pulls that are left; None if it said nothing."""
        return self._http.rate_limit(registry)

    def ping(self, registry: str) -> None:
        """See whether the registry answers and accepts the credentials."""
        request = self._request(registry, "", "GET", "/v2/", "ping", f"log in to {registry}")
        self._expected(self._fetch(request, frozenset(), MAX_ERROR_BYTES), request, 200)

    def head_manifest(self, ref: Reference) -> Descriptor:
        """What a tag or digest is, at the price of no pull where the registry tells."""
        request = self._manifest_request("HEAD", ref)
        answer = self._expected(self._fetch(request, _pull(ref), 0), request, 200)
        digest, length = _served_digest(answer), answer.headers.get("content-length", "")
        if digest is None or not re.fullmatch(r"[0-9]{1,9}", length):
            return self.get_manifest(ref).descriptor
        _check_digest(request, ref.digest, digest)
        if _served_type(answer) in manifest.VAGUE:
            # Whether it is an index decides what is done with it and recorded of it.
            return self.get_manifest(ref).descriptor
        return Descriptor(_served_type(answer), digest, int(length))

    def get_manifest(self, ref: Reference) -> Document:
        """The manifest or index, as exactly the bytes that the registry has."""
        request = self._manifest_request("GET", ref)
        answer = self._expected(self._fetch(request, _pull(ref), manifest.MAX_MANIFEST_BYTES), request, 200)
        return _document(request, answer, ref.digest)

    def head_blob(self, ref: Reference, digest: Digest) -> bool:
        """Whether the repository has the blob."""
        request = self._blob_request("HEAD", ref, digest)
        answer = self._fetch(request, _pull(ref), 0)
        if answer.status == 404:
            return False
        self._expected(answer, request, 200)
        return True

    def get_blob(self, ref: Reference, blob: Descriptor) -> BlobReader:
        """The blob as a stream that verifies itself. Close it."""
        request = self._blob_request("GET", ref, blob.digest)

        def open_at(offset: int) -> Answer:
            asked = replace(request, headers={"Range": f"bytes={offset}-"}) if offset else request
            answer = self._call(asked, _pull(ref), self._http.open)
            return self._expected(answer, request, 200, 206) if offset else self._expected(answer, request, 200)

        return BlobReader(open_at, request, self._http, blob.digest, blob.size)

    def mount_blob(self, ref: Reference, digest: Digest, source_repository: str) -> UploadSession | None:
        """Have the registry take the blob from another of its repositories.

        None if it did; where it would not, a session to upload the blob with.
        """
        query = urlencode({"mount": str(digest), "from": source_repository})
        doing = f"mount {digest} from {source_repository} in {ref.name}"
        request = self._upload_request(ref, f"?{query}", doing, what="mount")
        answer = self._fetch(request, _push(ref) | need(source_repository, PULL), MAX_ERROR_BYTES)
        if answer.status == 201:
            return None
        return self._session(request, answer) if answer.status == 202 else self._begin_upload(ref)

    def upload_blob(
        self,
        ref: Reference,
        blob: Descriptor,
        open_content: Callable[[], Readable],
        session: UploadSession | None = None,
    ) -> None:
        """Send a blob as one stream. `open_content` is called again for each attempt."""
        trial = self._http.trial()
        while not self._uploaded(ref, blob, open_content, session or self._begin_upload(ref), trial):
            session = None
            # The answer to an upload may get lost after it has succeeded.
            if self.head_blob(ref, blob.digest):
                return

    def put_manifest(self, ref: Reference, raw: bytes, media_type: str) -> Pushed:
        """Publish these bytes under the tag of `ref`, or under their digest if it has none."""
        digest = Digest.of(raw, ref.digest.algorithm if ref.digest else "sha256")
        identifier = ref.tag or str(digest)
        path = f"/v2/{ref.repository}/manifests/{identifier}"
        doing = f"push the manifest of {ref}"
        headers = {"Content-Type": media_type}
        request = self._request(ref.registry, ref.repository, "PUT", path, "manifest", doing, headers=headers, body=raw)
        _check_digest(request, ref.digest, digest)
        answer = self._fetch(request, _push(ref), MAX_ERROR_BYTES)
        if answer.status in (400, 404) and b"MANIFEST_BLOB_UNKNOWN" in answer.body:
            # A registry may need a moment until it sees a blob that it has just taken.
            answer = self._fetch(request, _push(ref), MAX_ERROR_BYTES)
        self._http.moved(ref.registry, sent=len(raw))
        self._expected(answer, request, 201)
        served = _served_digest(answer)
        if served is not None and served.algorithm == digest.algorithm:
            _check_digest(request, digest, served)
        return Pushed(digest, "oci-subject" in answer.headers)

    def list_tags(self, ref: Reference) -> Iterator[str]:
        """All tags of a repository, page by page, in the registry's order."""
        doing = f"list the tags of {ref.name}"
        path = f"/v2/{ref.repository}/tags/list?n={_PAGE}"
        request = self._request(ref.registry, ref.repository, "GET", path, "tags", doing)
        count = 0
        for answer in self._pages(request, _pull(ref), _MAX_PAGE_BYTES):
            # Commas: what the parsed page costs in memory, known before it is parsed.
            if count + answer.body.count(b",") > _MAX_TAGS:
                remedy = "Name the tags instead of selecting them."
                raise request.failure(f"{ref.registry} lists more than {_MAX_TAGS} of them", remedy=remedy)
            tags = _tags(request, self._expected(answer, request, 200))
            count += len(tags)
            yield from tags

    def referrers(self, ref: Reference, digest: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest, such as signatures: by the registry's own list, else by the tag that stands in."""
        doing = f"list the referrers of {ref.name}@{digest}"
        path = f"/v2/{ref.repository}/referrers/{digest}"
        headers = {"Accept": manifest.OCI_INDEX}
        request = self._request(ref.registry, ref.repository, "GET", path, "referrers", doing, headers=headers)
        found: list[Descriptor] = []
        for answer in self._pages(request, _pull(ref), manifest.MAX_MANIFEST_BYTES):
            if not found and not _lists_referrers(answer):
                return self._tagged_referrers(ref, digest)
            self._expected(answer, request, 200)
            found += _children(_document(request, answer, None))
            if len(found) > _MAX_REFERRERS:
                raise request.failure(f"{ref.registry} lists more than {_MAX_REFERRERS} of them")
        return tuple(found)

    def _tagged_referrers(self, ref: Reference, digest: Digest) -> tuple[Descriptor, ...]:
        try:
            return _children(self.get_manifest(ref.with_tag(f"{digest.algorithm}-{digest.encoded[:64]}")))
        except NotFound:
            return ()

    def _uploaded(
        self,
        ref: Reference,
        blob: Descriptor,
        open_content: Callable[[], Readable],
        session: UploadSession,
        trial: Trial,
    ) -> bool:
        """One attempt; false if another may do better."""
        request, wanted = self._upload_put(ref, blob, session), _push(ref)
        own = self._is_own(request)
        if own:
            request = replace(request, authorization=self._registry(ref.registry).auth.header(wanted))
        with closing(open_content()) as content:
            try:
                with trial.under_way():
                    answer = self._http.send(request, self._pieces(content, blob, request))
            except HTTPError as error:
                if not trial.again(None):
                    raise unreachable(request, error) from error
                return False
        if answer.status in (201, 204):
            _check_digest(request, blob.digest, _served_digest(answer) or blob.digest)
            return True
        renewed = answer.status in (401, 403) and own and self._refused(ref.registry, wanted, request, answer)
        lost = answer.status == 404 and b"BLOB_UPLOAD_UNKNOWN" in answer.body
        if not trial.again(None if renewed or lost else answer):
            raise self._refusal(request, answer)
        return False

    def _upload_put(self, ref: Reference, blob: Descriptor, session: UploadSession) -> Request:
        joint = "&" if urlsplit(session.url).query else "?"
        url = f"{session.url}{joint}{urlencode({'digest': str(blob.digest)})}"
        doing = f"upload {blob.digest} to {ref.name}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        return self._request(ref.registry, ref.repository, "PUT", url, "upload", doing, headers=headers)

    def _pieces(self, content: Readable, blob: Descriptor, request: Request) -> Iterator[memoryview]:
        left = blob.size
        while left:
            piece = content.read(min(CHUNK, left))
            if not piece:
                raise request.failure(f"the content ends {left} bytes before its size of {blob.size}", DigestMismatch)
            left -= len(piece)
            self._http.moved(request.registry, sent=len(piece))
            view = memoryview(piece)
            yield from (view[start : start + _SENT] for start in range(0, len(view), _SENT))

    def _begin_upload(self, ref: Reference) -> UploadSession:
        request = self._upload_request(ref, "", f"begin an upload to {ref.name}")
        answer = self._expected(self._fetch(request, _push(ref), MAX_ERROR_BYTES), request, 202)
        return self._session(request, answer)

    def _session(self, request: Request, answer: Answer) -> UploadSession:
        location = answer.headers.get("location", "")
        if not location:
            raise request.failure(f"{request.registry} does not say where to send the content", status=answer.status)
        return UploadSession(next_url(request, answer.url, location))

    def _pages(self, request: Request, wanted: Need, max_bytes: int) -> Iterator[Answer]:
        """An answer and those that it says come next, within reason."""
        seen = {request.url}
        for _page in range(_MAX_PAGES):
            answer = self._fetch(request, wanted, max_bytes)
            yield answer
            link = _next_link(answer.headers.get("link", ""))
            if not link:
                return
            request = replace(request, url=next_url(request, answer.url, link))
            if request.url in seen:
                break
            seen.add(request.url)
        remedy = "Name the tags instead of selecting them."
        raise request.failure(f"{request.registry} has no last page", remedy=remedy)

    def _fetch(self, request: Request, wanted: Need, max_bytes: int) -> Answer:
        return self._call(request, wanted, lambda ready: self._http.fetch(ready, max_bytes))

    def _call(self, request: Request, wanted: Need, exchange: Callable[[Request], Answer]) -> Answer:
        """Ask with what the registry wants to see, and learn what that is. Other origins get no credentials."""
        if not self._is_own(request):
            return exchange(request)
        auth = self._registry(request.registry).auth
        for _attempt in range(_LOGIN_ATTEMPTS):
            with auth.introduced():
                shown = auth.header(wanted)
                if shown != request.authorization:
                    request = replace(request, authorization=shown)
                answer = exchange(request)
                again = answer.status in (401, 403) and self._refused(request.registry, wanted, request, answer)
            if not again:
                break
        if answer.status < 400:
            auth.accepted(wanted)
        return answer

    def _refused(self, registry: str, wanted: Need, request: Request, answer: Answer) -> bool:
        """True if there is something better to send. A redirect's refusal is not the registry's."""
        own = realm.origin(answer.url) == realm.origin(request.url)
        return own and self._registry(registry).auth.refused(wanted, request.authorization, answer)

    def _is_own(self, request: Request) -> bool:
        endpoint = self._registry(request.registry).endpoint
        return request.url.startswith(f"{endpoint}/") or realm.origin(request.url) == realm.origin(endpoint)

    def _expected(self, answer: Answer, request: Request, *statuses: int) -> Answer:
        if answer.status in statuses:
            return answer
        if answer.stream is not None:
            answer.stream.close()
        raise self._refusal(request, answer)

    def _refusal(self, request: Request, answer: Answer) -> RegistryError:
        own = realm.origin(answer.url) == realm.origin(request.url)
        return refusal(
            request.doing,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            registry=request.registry,
            repository=request.repository,
            redirected_to="" if own else urlsplit(answer.url).netloc,
            anonymous=self._registry(request.registry).auth.is_anonymous,
            authorization=answer.authorization,
            retry_after=retry_after(answer.headers),
        )

    def _manifest_request(self, method: str, ref: Reference) -> Request:
        path = f"/v2/{ref.repository}/manifests/{ref.identifier}"
        doing = f"read the manifest of {ref}"
        headers = {"Accept": manifest.ACCEPT}
        return self._request(ref.registry, ref.repository, method, path, "manifest", doing, headers=headers)

    def _blob_request(self, method: str, ref: Reference, digest: Digest) -> Request:
        path = f"/v2/{ref.repository}/blobs/{digest}"
        return self._request(ref.registry, ref.repository, method, path, "blob", f"read {digest} from {ref.name}")

    def _upload_request(self, ref: Reference, query: str, doing: str, *, what: str = "upload") -> Request:
        path, headers = f"/v2/{ref.repository}/blobs/uploads/{query}", {"Content-Length": "0"}
        return self._request(ref.registry, ref.repository, "POST", path, what, doing, headers=headers)

    def _request(
        self, registry: str, repository: str, method: str, target: str, what: str, doing: str, **more: Any
    ) -> Request:
        """`target` is a path at the registry, or a whole URL; `more` is of the Request."""
        known = self._registry(registry)
        url = f"{known.endpoint}{target}" if target.startswith("/") else target
        return Request(method, url, registry, what, doing, repository=repository, ca_bundle=known.ca_bundle, **more)

    def _registry(self, name: str) -> _Registry:
        with self._lock:
            if name not in self._registries:
                self._registries[name] = self._new_registry(name)
            return self._registries[name]

    def _new_registry(self, name: str) -> _Registry:
        settings = self._settings.get(name, RegistrySettings())
        endpoint = _endpoint(name, settings)
        source = settings.credentials or (lambda: self._find_credentials(name))
        auth = Authenticator(name, endpoint, source, self._http, ca_bundle=settings.ca_bundle)
        return _Registry(name, endpoint, settings.ca_bundle, auth)


def _anonymous(registry: str) -> Credentials | None:
    return None


def _endpoint(name: str, settings: RegistrySettings) -> str:
    """Scheme and host. A registry on this machine is taken to speak plain HTTP, as Docker does."""
    if not settings.endpoint:
        plain = settings.insecure or realm.is_loopback(urlsplit(f"//{name}").hostname or "")
        return _HUB_ENDPOINT if name == DOCKER_HUB and not plain else f"{'http' if plain else 'https'}://{name}"
    endpoint = settings.endpoint.rstrip("/")
    try:
        realm.origin(endpoint)
        parts = urlsplit(endpoint)
        bare = not (parts.path or parts.query or parts.fragment)
    except ValueError:
        bare = False
    if not bare:
        raise RegistryError(
            f"use the endpoint of {name}",
            "it is no address of the form https://host or https://host:port",
            registry=name,
            remedy="Leave out the path, and any user name and password.",
        )
    return endpoint


def _pull(ref: Reference) -> Need:
    return need(ref.repository, PULL)


def _push(ref: Reference) -> Need:
    return need(ref.repository, PUSH)


def _served_digest(answer: Answer) -> Digest | None:
    """What the registry says that the digest is."""
    try:
        return Digest.parse(answer.headers.get("docker-content-digest", "").strip())
    except InvalidDigestError:
        return None


def _served_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_digest(request: Request, expected: Digest | None, actual: Digest) -> None:
    if expected is not None and actual != expected:
        remedy = "The content was changed or damaged: try again, and do not use it if this stays."
        raise request.failure(f"its digest should be {expected}, and is {actual}", DigestMismatch, remedy=remedy)


def _document(request: Request, answer: Answer, digest: Digest | None) -> Document:
    """A verified manifest or index."""
    expected = digest or _served_digest(answer)
    algorithm = expected.algorithm if expected else "sha256"
    try:
        manifest.check_media_type(_served_type(answer))
        _check_digest(request, expected, Digest.of(answer.body, algorithm))
        return manifest.parse(answer.body, _served_type(answer), algorithm=algorithm)
    except InvalidManifestError as error:
        raise InvalidManifestError(f"Failed to {request.doing}: {error}") from error


def _children(document: Document) -> tuple[Descriptor, ...]:
    return document.children if isinstance(document, Index) else ()


def _lists_referrers(answer: Answer) -> bool:
    """Registries without such a list answer with many things, even with a page for browsers."""
    if answer.status == 200:
        return _served_type(answer) == manifest.OCI_INDEX
    return answer.status not in (400, 404, 405, 501)


def _tags(request: Request, answer: Answer) -> list[str]:
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    tags = document.get("tags") if isinstance(document, dict) else document
    if isinstance(document, dict) and tags is None:
        return []
    if not isinstance(tags, list) or not all(isinstance(tag, str) and 0 < len(tag) <= _MAX_TAG for tag in tags):
        raise request.failure(f"{request.registry} gave no list of tags")
    return tags


def _next_link(header: str) -> str:
    """The target of rel="next"."""
    for target, parameters in re.findall(r"<([^<>]*)>([^<>]*)", header):
        if re.search(r'\brel\s*=\s*"?next\b', parameters):
            return str(target)
    return ""
