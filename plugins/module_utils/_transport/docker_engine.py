# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker Engine: what is asked of it, and what its troubles mean to a user.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import base64
import getpass
import io
import json
import os
import re
import sys
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

try:
    import docker
    from docker.credentials.errors import StoreError
    from docker.errors import APIError, DockerException, ImageNotFound, StreamParseError
    from docker.utils import kwargs_from_env
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    HAS_DOCKER = True
except ImportError:
    HAS_DOCKER = False

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidPlatformError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB

WITHOUT_ENGINE = "transport: direct needs no engine"
_HUB_KEY = "https://index.docker.io/v1/"
_DEFAULT_HOST = "unix:///var/run/docker.sock"
# Between two signs of life. A registry may take its time to accept a layer of some gigabytes.
_SECONDS = 900
_ATTEMPTS = 3
_PAUSE = 2.0
_MAX_SAID = 600
_LOG_LINES = 20

_TRANSIENT = re.compile(
    r"received unexpected HTTP status: 5\d\d|\b50[0234]\b|connection reset|broken pipe|unexpected EOF|: EOF$"
    r"|i/o timeout|TLS handshake timeout|request canceled|Client\.Timeout|server misbehaving",
    re.IGNORECASE,
)
# In the words of Docker Hub; what others call too many requests may be those of a second.
_LIMITED = re.compile(r"pull rate limit", re.IGNORECASE)
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_REMEDIES = (
    (
        r"docker-credential-",
        "It keeps Docker's logins on this machine: mend it, or take it out of Docker's config.json.",
    ),
    (
        _FULL.pattern,
        "The disk of the engine is full: docker system df tells of what, docker system prune makes room; "
        f"{WITHOUT_ENGINE} and stores nothing.",
    ),
    (
        r"toomanyrequests|too many requests|rate limit|\b429\b",
        "Log in to the registry if that raises its limit, or try later.",
    ),
    (
        r"name unknown|repository .* does not exist in the registry",
        "Create the repository, or set create_repositories.",
    ),
    (
        r"unauthorized|denied|authentication required|no basic auth|forbidden",
        "Check the name, the credentials for this registry and what they allow.",
    ),
    (
        r"x509|certificate",
        "The engine has to trust the registry by itself: its CA belongs into /etc/docker/certs.d/HOST/ca.crt on the "
        f"machine of the engine; {WITHOUT_ENGINE}.",
    ),
    (
        r"server gave HTTP response to HTTPS client",
        f"The engine wants HTTPS, unless its insecure-registries name this registry; {WITHOUT_ENGINE}.",
    ),
    (
        r"exec format error",
        "The engine cannot run programs of this platform: install QEMU for it, such as with the package "
        "qemu-user-static, or use an engine of that platform.",
    ),
    (r"requires buildkit|unknown flag", "This way to build is without BuildKit: do without what needs it."),
    (r"no matching manifest|does not match the specified platform", "Name a platform that the image has."),
    (
        r"unsupported media type|unknown media type|invalid rootfs|unsupported (?:manifest|os|layer)|invalid tar header"
        r"|cannot be used on this platform|application/vnd\.",
        f"The engine cannot hold this kind of image; {WITHOUT_ENGINE} and copies every kind.",
    ),
    (
        r"no such host|connection refused|network is unreachable|dial tcp",
        "The engine has to reach the registry by itself, with its own settings for proxies.",
    ),
)


class EngineError(MirrorError):
    """The engine could not do something, or could not be asked."""

    # For want of space.
    is_full = False
    # For a reason that may pass.
    is_transient = False
    # By a registry that allows no more pulls by now.
    is_limited = False


class _NotReachedError(EngineError):
    """There is no engine to be asked. That does not change during a run."""


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine. `layers` are digests of their uncompressed content; `names` tags and digests."""

    identity: str
    names: frozenset[str]
    layers: tuple[str, ...]
    platform: Platform | None


class Engine:
    """For any number of threads. Asks nothing before it has to.

    `host` is as in DOCKER_HOST, whose value it has by default; TLS is as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say.
    `heed` is called as often as the engine says something of a pull, push or build, and may raise an error to end it.
    """

    def __init__(
        self,
        host: str = "",
        *,
        connections: int = 10,
        pause: Callable[[float], None] = time.sleep,
        heed: Callable[[], None] | None = None,
    ) -> None:
        self._heed = heed or _go_on
        self._where = host or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
        self._connections, self._pause = connections, pause
        self._lock = threading.Lock()
        self._api: Any = None
        self._unreached: _NotReachedError | None = None

    def close(self) -> None:
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def inventory(self) -> dict[str, frozenset[str]]:
        """The names of all images by identity. There are also those that only others are built on."""
        with self._asked("list the images") as api:
            return {image["Id"]: _names(image) for image in api.images(all=True)}

    def image(self, name: str) -> LocalImage | None:
        with self._asked(f"look for {name}") as api:
            try:
                return _local_image(api.inspect_image(name))
            except ImageNotFound:
                return None

    def pull(self, name: str, credentials: Credentials | None) -> None:
        """`name` has a digest: what is pulled cannot be anything else."""
        self._transfer(
            f"pull {name}", credentials, lambda api, auth: api.pull(name, stream=True, decode=True, auth_config=auth)
        )

    def push(self, name: str, tag: str, credentials: Credentials | None) -> Mapping[str, str]:
        """What became of each layer, by the beginning of its identity, in the engine's words."""
        return self._transfer(
            f"push {name}:{tag}",
            credentials,
            lambda api, auth: api.push(name, tag, stream=True, decode=True, auth_config=auth),
        )

    def build(
        self,
        dockerfile: bytes,
        name: str,
        labels: Mapping[str, str],
        *,
        files: Mapping[str, bytes] | None = None,
        arguments: Mapping[str, str] | None = None,
        platform: str = "",
        logins: Mapping[str, Credentials] | None = None,
    ) -> None:
        """Builds with these files for its context. Leaves nothing behind if that fails.

        `logins` by registry are for the images that it names and that have to be pulled. Without them, all that Docker
        keeps on this machine are sent, as docker build does.
        """
        before, log, steps = self.inventory(), deque[str](maxlen=_LOG_LINES), deque[str](maxlen=1)
        with self._asked(f"build {name}"), closing(self._connect()) as api:
            if logins is not None:
                # There is no other way to keep it from sending all of them.
                api._set_auth_headers = lambda headers: headers.update(_registry_config(logins))
            answer = api.build(
                fileobj=_context({**(files or {}), "Dockerfile": dockerfile}),
                custom_context=True,
                tag=name,
                labels=dict(labels),
                buildargs=dict(arguments or {}),
                platform=platform or None,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for line in answer:
                try:
                    self._heed()
                except MirrorError:
                    self._forget_steps(steps, before)
                    raise
                text = _printable(str(line.get("stream", "")))
                steps += re.findall(r"^ ---> ([0-9a-f]{12})$", text)
                log += [text] if text else []
                if line.get("error"):
                    self._forget_steps(steps, before)
                    raise self._failure(f"build {name}", _said(line), log="\n".join(log))

    def tag(self, image: str, name: str, tag: str) -> bool:
        """False if there is no such image any more."""
        with self._asked(f"tag {image} as {name}:{tag}") as api:
            try:
                return bool(api.tag(image, name, tag, force=True))
            except ImageNotFound:
                return False

    def remove(self, name: str) -> None:
        """The name; the image too if it has no other and is not in use. That there is none is fine."""
        with self._asked(f"remove {name}") as api:
            try:
                api.remove_image(name)
            except ImageNotFound:
                return

    def _forget_steps(self, steps: Iterable[str], before: Container[str]) -> None:
        """The images of steps that went well before one failed."""
        for step in steps:
            image = self.image(step)
            if image and image.identity not in before and not image.names:
                self.remove(image.identity)

    def _transfer(
        self, doing: str, credentials: Credentials | None, ask: Callable[[Any, dict[str, str]], Iterable[Any]]
    ) -> dict[str, str]:
        """Ask for something that is told of as it goes on, again if it fails for a reason that may pass."""
        attempt = 1
        while True:
            try:
                with self._asked(doing, credentials) as api:
                    return self._followed(doing, credentials, ask(api, _auth(credentials)))
            except _NotReachedError:
                raise
            except EngineError as error:
                if attempt == _ATTEMPTS or not error.is_transient:
                    raise
            self._pause(_PAUSE * attempt)
            attempt += 1

    def _followed(self, doing: str, credentials: Credentials | None, lines: Iterable[Any]) -> dict[str, str]:
        """The last status of each part. What goes wrong is told in between; the HTTP status said that all is well."""
        statuses: dict[str, str] = {}
        for line in lines:
            self._heed()
            if line.get("error") or line.get("errorDetail"):
                raise self._failure(doing, _said(line), credentials)
            if line.get("id"):
                statuses[line["id"]] = line.get("status", "")
        return statuses

    @contextmanager
    def _asked(self, doing: str, credentials: Credentials | None = None) -> Iterator[Any]:
        api = self._connected()
        try:
            yield api
        except APIError as error:
            raise self._failure(doing, str(error.explanation or error), credentials) from error
        except (RequestException, HTTPError, OSError) as error:
            raise EngineError(_why_not_reached(self._where, error)) from error
        except (DockerException, StreamParseError, StoreError) as error:
            raise self._failure(doing, str(error), credentials) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._unreached is not None:
                raise _NotReachedError(str(self._unreached))
            if self._api is None:
                try:
                    self._api = self._connect()
                except _NotReachedError as error:
                    self._unreached = error
                    raise
            return self._api

    def _connect(self) -> Any:
        if not HAS_DOCKER:
            raise _NotReachedError(
                f"The Python package docker is not installed for {sys.executable} on this machine: install it, such as "
                f"with pip install docker; {WITHOUT_ENGINE}"
            )
        try:
            settings = kwargs_from_env({**os.environ, "DOCKER_HOST": self._where})
            return docker.APIClient(
                **settings, version="auto", timeout=_SECONDS, num_pools=1, max_pool_size=self._connections
            )
        except (DockerException, RequestException, HTTPError, OSError, ValueError) as error:
            raise _NotReachedError(_why_not_reached(self._where, error)) from error

    def _failure(self, doing: str, said: str, credentials: Credentials | None = None, log: str = "") -> EngineError:
        for secret in filter(None, credentials.secrets if credentials else ()):
            said = said.replace(secret, "***")
        said = " ".join(said.split())[:_MAX_SAID].rstrip(". ")
        told = f"{said}\n{log}"
        remedy = next((text for pattern, text in _REMEDIES if re.search(pattern, told, re.IGNORECASE)), "")
        text = f"Docker Engine failed to {doing}: {said}. {remedy}".strip()
        error = EngineError(f"{text} The last that was printed:\n{log}" if log else text)
        error.is_full = _FULL.search(told) is not None
        error.is_transient = _TRANSIENT.search(said) is not None
        error.is_limited = _LIMITED.search(said) is not None
        return error


def _go_on() -> None:
    """Nobody wants to end anything."""


def _printable(text: str) -> str:
    """Without colours, and whatever else programs tell terminals."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return "".join(sign for sign in plain if sign.isprintable() or sign == "\n").rstrip()


def _said(line: Mapping[str, Any]) -> str:
    detail = line.get("errorDetail")
    return str(line.get("error") or (detail.get("message") if isinstance(detail, Mapping) else detail))


def _auth(credentials: Credentials | None) -> dict[str, str]:
    """For one request. An empty one keeps the client from looking for credentials of its own."""
    if credentials is None:
        return {}
    found = {
        "username": credentials.username,
        "password": credentials.password,
        "identitytoken": credentials.identity_token,
        "registrytoken": credentials.registry_token,
    }
    return {name: value for name, value in found.items() if value}


def _registry_config(logins: Mapping[str, Credentials]) -> dict[str, str]:
    """The header of a build. Docker Hub has a name of its own there."""
    if not logins:
        return {}
    named = {_HUB_KEY if host == DOCKER_HUB else host: _auth(credentials) for host, credentials in logins.items()}
    return {"X-Registry-Config": base64.urlsafe_b64encode(json.dumps(named).encode()).decode()}


def _context(files: Mapping[str, bytes]) -> io.BytesIO:
    """What a build is sent: a tar archive, the same for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    packed.seek(0)
    return packed


def _local_image(found: Mapping[str, Any]) -> LocalImage:
    try:
        platform = Platform(found.get("Os") or "", found.get("Architecture") or "", found.get("Variant") or "")
    except InvalidPlatformError:
        platform = None
    return LocalImage(found["Id"], _names(found), tuple((found.get("RootFS") or {}).get("Layers") or ()), platform)


def _names(found: Mapping[str, Any]) -> frozenset[str]:
    names = [*(found.get("RepoTags") or []), *(found.get("RepoDigests") or [])]
    return frozenset(name for name in names if "<none>" not in name)


def _why_not_reached(where: str, error: Exception) -> str:
    """The layers of libraries below wrap the error of the system several times."""
    cause = next((one for one in _causes(error) if isinstance(one, OSError) and isinstance(one.errno, int)), None)
    start = "start Docker, or name another engine in docker_host"
    if isinstance(cause, FileNotFoundError):
        why = f"there is no such socket. Install and {start}"
    elif isinstance(cause, PermissionError):
        why = (
            f"the user {_user()} may not use it. Add the user to the group docker and log in again, or use become, "
            "or name another engine in docker_host"
        )
    elif isinstance(cause, ConnectionRefusedError):
        why = f"nobody listens there. Please {start}"
    else:
        said = " ".join(str(error).split())[:_MAX_SAID].rstrip(". ")
        why = f"{said}. Check docker_host, and for TLS also DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    return f"Docker Engine cannot be reached at {where}: {why}; {WITHOUT_ENGINE}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [part for part in (one.__cause__, one.__context__, *one.args) if isinstance(part, BaseException)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
