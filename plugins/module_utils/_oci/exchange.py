# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP as registries need it: kept-alive connections, patience, and redirects that no credential follows.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin, urlsplit

try:
    import urllib3
    from urllib3.exceptions import HTTPError, LocationValueError, SSLError
    from urllib3.util.ssl_ import create_urllib3_context

    HAS_URLLIB3 = True
except ImportError:
    HAS_URLLIB3 = False  # the caller says so: botocore brings it

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import realm
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked, Counters, Observer
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    RegistryError,
    TooLarge,
    Unreachable,
    one_line,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit, retry_after

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CHUNK = 1 << 20
MAX_ERROR_BYTES = 64 * 1024
_MAX_REDIRECTS = 5
_TROUBLE = (429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Request:
    """`authorization` is for the origin of `url` alone. `doing` completes "Failed to ..."."""

    method: str
    url: str
    registry: str
    what: str
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = field(default=None, repr=False)
    body: bytes = field(default=b"", repr=False)
    repository: str = ""
    ca_bundle: str = ""

    def failure(
        self, said: str, kind: type[RegistryError] = RegistryError, *, status: int = 0, remedy: str = ""
    ) -> RegistryError:
        """The error for this request."""
        return kind(self.doing, said, registry=self.registry, repository=self.repository, status=status, remedy=remedy)


@dataclass(frozen=True)
class Answer:
    """With `stream` the body is still to be read, else it is all in `body`.

    `url` is who answered after redirects, `authorization` what the registry was shown.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    authorization: str | None = field(default=None, repr=False)
    body: bytes = b""
    stream: BaseHTTPResponse | None = None


@dataclass(frozen=True)
class Patience:
    """How often trouble is met again, and for how many seconds a busy registry is waited for, for one request each."""

    attempts: int = 5
    seconds: float = 120.0
    connect: float = 10.0
    read: float = 60.0
    # For the answer to content that was sent: a registry may take its time to accept some gigabytes.
    accept: float = 900.0


class Trial:
    """The attempts at one thing. Being told to wait does not count as one, but takes of the time.

    Content may take as long as it does: what goes by while it is `under_way` is not waited.
    """

    def __init__(self, patience: Patience, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._patience, self._now, self._sleep = patience, now, sleep
        self._deadline = now() + patience.seconds
        self._failures = self._waits = 0

    def again(self, answer: Answer | None) -> bool:
        """Wait and say yes, or say no: this answer, or having none, is final."""
        if answer is not None and answer.status not in _TROUBLE:
            return False
        if answer is not None and answer.status == 429:
            self._waits += 1
        else:
            self._failures += 1
            if self._failures >= self._patience.attempts:
                return False
        asked = retry_after(answer.headers) if answer is not None else None
        delay = self._delay(asked)
        if self._now() + delay > self._deadline:
            return False
        self._sleep(delay)
        return True

    @contextmanager
    def under_way(self) -> Iterator[None]:
        begun = self._now()
        try:
            yield
        finally:
            self._deadline += self._now() - begun

    def _delay(self, asked: float | None) -> float:
        """What was asked for and a little more, so that not all threads return at the same moment."""
        ceiling = min(30.0, 0.25 * 2.0 ** min(self._failures + self._waits, 10))
        if asked is None:
            return random.uniform(ceiling / 2, ceiling)
        return asked + random.uniform(0.05, min(ceiling, 1.0))


class Pacer(Protocol):
    """Holds requests back that would come too fast."""

    def wait(self, asked: Asked) -> None: ...

    def answered(self, asked: Asked, status: int) -> None: ...


class Http:
    """Requests over one pool of connections, for any number of threads."""

    def __init__(
        self,
        *,
        connections: int = 16,
        patience: Patience | None = None,
        observer: Observer | None = None,
        pacer: Pacer | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connections, self._observer = connections, observer or Counters()
        self._pacer = pacer
        self._patience = patience or Patience()
        self.now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._pools: dict[tuple[str, str, str], urllib3.HTTPConnectionPool] = {}
        self._limits: dict[str, RateLimit] = {}
        self._proxies = urllib.request.getproxies()

    def trial(self) -> Trial:
        return Trial(self._patience, self.now, self._sleep)

    def rate_limit(self, registry: str) -> RateLimit | None:
        """What the registry said last, None if it never said anything."""
        return self._limits.get(registry)

    def fetch(self, request: Request, max_bytes: int) -> Answer:
        """The answer with its whole body, which is refused if it is longer than expected."""
        return self._persist(request, lambda: self._whole(request, *self._follow(request), max_bytes))

    def open(self, request: Request) -> Answer:
        """The answer with its body still to be read, unless it is an error."""
        return self._persist(request, lambda: self._opened(request))

    def send(self, request: Request, content: Iterable[bytes | memoryview]) -> Answer:
        """One attempt, since the content cannot be sent again; urllib3's errors are the caller's to judge."""
        # urllib3 lets each piece take as long as connecting may.
        patience = urllib3.Timeout(connect=self._patience.read, read=self._patience.accept)
        response = self._once(request, request.url, content, patience)
        return self._whole(request, response, request.url, MAX_ERROR_BYTES)

    def moved(self, registry: str, *, received: int = 0, sent: int = 0) -> None:
        self._observer.moved(registry, received=received, sent=sent)

    def close(self) -> None:
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()
            self._pools.clear()

    def _persist(self, request: Request, attempt: Callable[[], Answer]) -> Answer:
        trial = self.trial()
        while True:
            answer = None
            try:
                answer = attempt()
            except HTTPError as error:
                if _is_hopeless(error) or not trial.again(None):
                    raise unreachable(request, error) from error
            if answer is not None and not trial.again(answer):
                return answer

    def _opened(self, request: Request) -> Answer:
        response, url = self._follow(request)
        if response.status >= 400:
            return self._whole(request, response, url, MAX_ERROR_BYTES)
        return Answer(response.status, response.headers, url, request.authorization, stream=response)

    def _follow(self, request: Request) -> tuple[BaseHTTPResponse, str]:
        """Ask, and follow redirects of what only reads. The credential stays with the origin that it is for."""
        url = request.url
        patience = urllib3.Timeout(connect=self._patience.connect, read=self._patience.read)
        for _hop in range(_MAX_REDIRECTS + 1):
            response = self._once(request, url, request.body or None, patience)
            location = response.headers.get("location", "")
            if response.status not in _REDIRECTS or not location:
                return response, url
            _discard(response)
            if request.method not in ("GET", "HEAD"):
                raise _broken(
                    request, f"it answers {request.method} with a redirect to {shown(urljoin(url, location))}"
                )
            url = next_url(request, url, location)
        raise _broken(request, f"it redirects more than {_MAX_REDIRECTS} times")

    def _once(
        self, request: Request, url: str, body: bytes | Iterable[Any] | None, patience: urllib3.Timeout
    ) -> BaseHTTPResponse:
        headers = {"User-Agent": "stevedore.ecr", **request.headers}
        own = url == request.url or realm.origin(url) == realm.origin(request.url)
        if request.authorization and own:
            headers["Authorization"] = request.authorization
        asked = Asked(request.registry if own else urlsplit(url).netloc, request.method, request.what)
        if self._pacer:
            self._pacer.wait(asked)
        pool, target = self._pool(url, request)
        response: BaseHTTPResponse = pool.request(
            request.method,
            target,
            body=body,
            headers=headers,
            redirect=False,
            assert_same_host=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            enforce_content_length=True,
            timeout=patience,
        )
        if own:
            self._note_limit(request.registry, response.headers)
        self._observer.answered(asked, response.status)
        if self._pacer:
            self._pacer.answered(asked, response.status)
        return response

    def _note_limit(self, registry: str, headers: Mapping[str, str]) -> None:
        limit, known = RateLimit.parse(headers), self._limits.get(registry)
        # Answers come in any order, and what is left gets only less while a window lasts.
        if limit and (known is None or limit.limit != known.limit or limit.remaining < known.remaining):
            self._limits[registry] = limit

    def _whole(self, request: Request, response: BaseHTTPResponse, url: str, max_bytes: int) -> Answer:
        """Errors are read as far as they may be useful, everything else must be as short as it should be."""
        limit = max_bytes if response.status < 400 else MAX_ERROR_BYTES
        content = _read(response, limit + 1)
        self.moved(request.registry, received=len(content))
        if len(content) > limit:
            response.close()
            if response.status < 400:
                said = f"the answer has more than {limit} bytes, which no honest one has"
                raise request.failure(said, TooLarge, status=response.status)
        return Answer(response.status, response.headers, url, request.authorization, content[:limit])

    def _pool(self, url: str, request: Request) -> tuple[urllib3.HTTPConnectionPool, str]:
        """Where to ask, and what to ask for there. To ask a manager takes as long as to ask a registry that is near."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc, request.ca_bundle)
        pool = self._pools.get(key)
        # A manager closes the pools that were not used for longest, if there are many.
        if pool is None or pool.pool is None:
            pool = self._pools[key] = self._manager(url, request).connection_from_url(f"{key[0]}://{key[1]}")
        if pool.proxy and parts.scheme == "http":
            return pool, url
        return pool, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"

    def _manager(self, url: str, request: Request) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = self._proxy_for(parts.scheme, parts.hostname or "")
        key = (proxy, request.ca_bundle if parts.scheme == "https" or proxy.startswith("https:") else "")
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._new_manager(request, *key)
            return self._managers[key]

    def _proxy_for(self, scheme: str, host: str) -> str:
        """The machine's proxy, if it has one for this host; never for the machine itself."""
        proxy = self._proxies.get(scheme) or self._proxies.get("all") or ""
        if not proxy or realm.is_loopback(host) or urllib.request.proxy_bypass(host):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _new_manager(self, request: Request, proxy: str, ca_bundle: str) -> urllib3.PoolManager:
        settings: dict[str, Any] = {"num_pools": 32, "maxsize": self._connections}
        if ca_bundle:
            settings["ssl_context"] = _trusting(ca_bundle, request)
        if not proxy:
            return urllib3.PoolManager(**settings)
        auth = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **settings)


def unreachable(request: Request, error: Exception) -> RegistryError:
    """What kept us from getting an answer, without the inner workings."""
    remedy = "Check the name, the network, any proxy and firewall."
    if isinstance(error, SSLError):
        remedy = "Check the certificate; if its authority is your own, give its CA bundle for this registry."
    cause: Any = error
    while isinstance(cause, HTTPError) and cause.args and isinstance(cause.args[-1], Exception):
        cause = cause.args[-1]
    said = one_line(re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", str(cause)))
    reason = said or type(cause).__name__
    return request.failure(f"no answer from {shown(request.url)}: {reason}", Unreachable, remedy=remedy)


def next_url(request: Request, url: str, location: str) -> str:
    """Where an answer sends us, if going there is safe."""
    try:
        target = urljoin(url, location)
        scheme = realm.origin(target)[0]
    except ValueError as error:
        raise _broken(request, f"it sends us to {shown(location)}, which is no address on the web") from error
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise _broken(request, f"it sends us from https to {shown(target)}, where everybody can listen")
    return target


def shown(url: str) -> str:
    """A URL fit for a message: its query may be a signature, its user part a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _broken(request: Request, said: str) -> RegistryError:
    remedy = f"Check the endpoint that is set for {request.registry}, and any proxy before it."
    return request.failure(said, remedy=remedy)


def _is_hopeless(error: Exception) -> bool:
    """What will not be better in a second."""
    return isinstance(error, LocationValueError) or "CERTIFICATE_VERIFY_FAILED" in str(error)


def _read(stream: BaseHTTPResponse, limit: int) -> bytes:
    """Up to `limit` bytes. urllib3 takes the connection back when it gives out the last one."""
    pieces = []
    while limit > 0:
        piece = stream.read(min(CHUNK, limit), decode_content=False)
        if not piece:
            break
        pieces.append(piece)
        limit -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _discard(response: BaseHTTPResponse) -> None:
    """Read away a short body, so that the connection can serve again."""
    if len(_read(response, MAX_ERROR_BYTES + 1)) > MAX_ERROR_BYTES:
        response.close()


def _trusting(ca_bundle: str, request: Request) -> ssl.SSLContext:
    """The usual authorities and those in the file."""
    try:
        context = create_urllib3_context()
        context.load_default_certs()
        context.load_verify_locations(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        remedy = "Give a readable file of certificates in PEM format."
        raise request.failure(f"the CA bundle {ca_bundle} cannot be used: {error}", remedy=remedy) from error
    return context
