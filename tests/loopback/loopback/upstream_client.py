"""A registry client for pull-through: token or Basic, redirects without credentials. It blocks; layers are streamed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.response import BaseHTTPResponse

from loopback import cloud
from loopback.web import CHUNK

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT = urllib3.Timeout(connect=5, read=30)
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_ERROR_LIMIT = 2000


class UpstreamError(Exception):
    """The upstream's refusal; status 0 when it could not be reached or broke off."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass
class Upstream:
    """One upstream registry, with at most one login."""

    origin: str
    login: tuple[str, str] | None = None
    _authorization: str | None = field(default=None, repr=False)

    def check_login(self) -> None:
        with _upstream_trouble():
            self._get("/v2/").release_conn()

    def manifest(self, repository: str, reference: str) -> tuple[bytes, str]:
        """The exact bytes, and their media type."""
        with _upstream_trouble():
            answer = self._get(f"/v2/{repository}/manifests/{reference}", {"Accept": ", ".join(MANIFEST_TYPES)})
            return answer.read(), answer.headers.get("Content-Type", "").partition(";")[0]

    def blob(self, repository: str, digest: str) -> Iterator[bytes]:
        with _upstream_trouble():
            answer = self._get(f"/v2/{repository}/blobs/{digest}")
            try:
                yield from answer.stream(CHUNK)
            finally:
                answer.close()

    def _get(self, path: str, headers: dict[str, str] | None = None) -> BaseHTTPResponse:
        url = self.origin + path
        answer = self._send(url, headers or {}, self._authorization)
        if answer.status == 401 and self._authorize(answer.headers.get("WWW-Authenticate", "")):
            answer.drain_conn()
            answer = self._send(url, headers or {}, self._authorization)
        for _hop in range(MAX_REDIRECTS):
            if answer.status not in _REDIRECTS:
                break
            answer.drain_conn()
            target = urljoin(url, answer.headers["Location"])
            same_host = urlsplit(target).netloc == urlsplit(url).netloc
            url, answer = target, self._send(target, headers or {}, self._authorization if same_host else None)
        if answer.status != 200:
            raise _refusal(answer)
        return answer

    def _authorize(self, challenge: str) -> bool:
        """Act on a challenge; False when there is nothing to answer it with."""
        scheme, _space, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self.login:
            self._authorization = _basic(self.login)
            return True
        if scheme.lower() != "bearer":
            return False
        parameters = dict(_PARAMETER.findall(rest))
        realm = parameters.pop("realm", "")
        wanted = {name: parameters[name] for name in ("service", "scope") if name in parameters}
        answer = self._send(f"{realm}?{urlencode(wanted)}", {}, _basic(self.login) if self.login else None)
        if answer.status != 200:
            raise _refusal(answer)
        document = answer.json()
        self._authorization = f"Bearer {document.get('token') or document.get('access_token')}"
        return True

    def _send(self, url: str, headers: dict[str, str], authorization: str | None) -> BaseHTTPResponse:
        if authorization:
            headers = {**headers, "Authorization": authorization}
        return _pool().request(
            "GET", url, headers=headers, redirect=False, retries=False, preload_content=False, timeout=TIMEOUT
        )


@contextlib.contextmanager
def _upstream_trouble() -> Iterator[None]:
    """What is no HTTP, or no answer at all, is trouble of the upstream's."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
        raise UpstreamError(0, f"{type(error).__name__}: {error}") from error


def _basic(login: tuple[str, str]) -> str:
    return urllib3.make_headers(basic_auth=":".join(login))["authorization"]


def _refusal(answer: BaseHTTPResponse) -> UpstreamError:
    text = answer.read(_ERROR_LIMIT).decode(errors="replace")
    answer.close()
    return UpstreamError(answer.status, f"upstream answered {answer.status}: {text}")


@functools.cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(num_pools=32, maxsize=8, ca_certs=_authority())


def _authority() -> str | None:
    """Where full mode's certificate authority is; None leaves it to the system."""
    tls = cloud.running().settings.tls
    own: Path | None = tls / "ca.pem" if tls else None
    return os.environ.get("SSL_CERT_FILE") or (str(own) if own else None)
