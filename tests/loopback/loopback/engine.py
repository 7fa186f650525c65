"""The cloud's own Docker Engine, in full mode: images pulled as a service pulls them, containers run and ended.

Containers share the namespace's network, so that they reach the cloud by the names and addresses that everybody uses.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError

from loopback import cloud, control, host_image
from loopback.acting import Actor, reason
from loopback.fidelity import assumed, documented, note

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
ENGINE_SOCKET = "/var/run/docker.sock"
_ECR_HOST = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_LABEL = "loopback.run"
_PATIENCE = 300  # seconds for one command of the Docker client

note(
    "engine",
    "assumed",
    "containers share one engine and one network: no awsvpc isolation, and ports of two tasks collide",
)


class EngineError(ValueError):
    """What Docker said, in one line."""


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    """Run the Docker client to its end; what it printed."""
    command = ["docker", *arguments]
    try:
        done = subprocess.run(
            command, env=_environment(), input=stdin, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"docker {arguments[0]} did not end in {_PATIENCE} seconds") from error
    if done.returncode:
        raise EngineError(" ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout.decode(errors="replace").strip()


def _environment() -> dict[str, str]:
    directory = cloud.running().settings.directory
    return {"PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_HOST": f"unix://{directory}/docker.sock"}


# ------------------------------------------------------------------ images


class _Users:
    """Who uses which pulled image: it goes with its last user, so that everybody pulls all of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def enter(self, image: str) -> None:
        with self._lock:
            self._counts[image] = self._counts.get(image, 0) + 1

    def leave(self, image: str) -> None:
        with self._lock:
            self._counts[image] -= 1
            if self._counts[image] == 0:
                del self._counts[image]
                with contextlib.suppress(EngineError):
                    docker("rmi", "--force", image)


_users = _Users()
_making = threading.Lock()


@contextlib.contextmanager
def pulled(image: str, actor: Actor | None) -> Iterator[str]:
    """The image, pulled in the role: from ECR with a password that the role asks for, else as a stranger."""
    with tempfile.TemporaryDirectory() as configuration:
        if login := _login(image, actor):
            Path(configuration, "config.json").write_text(json.dumps({"auths": login}))
        _users.enter(image)
        try:
            docker("--config", configuration, "pull", "--quiet", image)
            yield image
        finally:
            _users.leave(image)


@documented("ECR user guide, registry_auth: ecr:GetAuthorizationToken, then a pull with the password")
def _login(image: str, actor: Actor | None) -> dict[str, dict[str, str]]:
    host = image.partition("/")[0]
    if actor is None or not _ECR_HOST.fullmatch(host):
        return {}
    try:
        answer = actor.client("ecr").get_authorization_token()
    except ClientError as error:
        raise EngineError(reason(error)) from error
    return {host: {"auth": answer["authorizationData"][0]["authorizationToken"]}}


def own_image() -> str:
    """The image that stands for those which cannot be had without a network; made on first use."""
    with _making:
        try:
            docker("image", "inspect", host_image.NAME)
        except EngineError:
            make_host_image(host_image.NAME)
    return host_image.NAME


def make_host_image(name: str) -> None:
    """An image of this machine's own programs; see loopback.host_image."""
    options, archive = host_image.archive()
    docker("import", *options, "-", name, stdin=archive)


control.actions["POST /_cloud/host-image"] = lambda document: make_host_image(document["name"])


def is_ecr(image: str) -> bool:
    return bool(_ECR_HOST.fullmatch(image.partition("/")[0]))


# ------------------------------------------------------------------ containers


@dataclass
class Container:
    """One container. `start()`, or `create()` and `lines()`; then `remove()`, whatever happened."""

    image: str
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    entrypoint: str | None = None
    mounts: list[tuple[Path, str]] = field(default_factory=list)
    with_engine: bool = False  # the socket of the cloud's engine inside
    options: list[str] = field(default_factory=list)  # more of `docker run`
    name: str = field(default_factory=lambda: f"loopback-{uuid.uuid4().hex}")

    def start(self) -> None:
        """Run it in the background."""
        docker("run", "--detach", *self._arguments())

    def create(self) -> None:
        """Make it, and do not run it yet."""
        docker("create", *self._arguments())

    def lines(self) -> Iterator[str]:
        """Run what `create` made to its end; what it prints, as it comes."""
        with _client(["docker", "start", "--attach", self.name]) as process:
            yield from _lines(process)

    def execute(self, command: list[str], say: Callable[[str], None]) -> int:
        """Run a command in it, saying each line that it prints; its exit code."""
        with _client(["docker", "exec", self.name, *command]) as process:
            for line in _lines(process):
                say(line)
        return process.returncode

    @property
    def exit_code(self) -> int:
        return int(docker("inspect", "--format", "{{.State.ExitCode}}", self.name))

    @property
    def image_digest(self) -> str:
        identity = docker("inspect", "--format", "{{.Image}}", self.name)
        known = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", identity)) or []
        return next((str(one).partition("@")[2] for one in known), "")

    def kill(self) -> None:
        with contextlib.suppress(EngineError):  # it may have ended, or not have begun
            docker("kill", self.name)

    def stop(self, seconds: int) -> None:
        """SIGTERM, and after so many seconds SIGKILL."""
        with contextlib.suppress(EngineError):
            docker("stop", "--time", str(seconds), self.name)

    def remove(self) -> None:
        with contextlib.suppress(EngineError):
            docker("rm", "--force", "--volumes", self.name)

    def _arguments(self) -> list[str]:
        arguments = ["--name", self.name, "--label", _LABEL, "--network", "host", "--pull", "never", *self.options]
        for source, target in [*self._files(), *self.mounts]:
            arguments += ["--volume", f"{source}:{target}"]
        for name, value in self._variables().items():
            arguments += ["--env", f"{name}={value}"]
        if self.entrypoint is not None:
            arguments += ["--entrypoint", self.entrypoint]
        return [*arguments, self.image, *self.command]

    def _files(self) -> list[tuple[Path, str]]:
        directory = cloud.running().settings.directory
        files = host_image.mounts() if self._is_host_image else []
        files.append((directory / "bundle.pem", f"{AUTHORITIES}:ro"))
        if self.with_engine:
            files.append((directory / "docker.sock", ENGINE_SOCKET))
        return files

    def _variables(self) -> dict[str, str]:
        return {**({"PATH": host_image.search_path()} if self._is_host_image else {}), **self.environment}

    @functools.cached_property
    def _is_host_image(self) -> bool:
        labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", self.image))
        return host_image.LABEL in (labels or {})


def _client(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    for line in process.stdout or ():
        yield line.decode(errors="replace").rstrip("\r\n")


@assumed("SDKs in the container trust the cloud's certificates by these variables, as on AWS by the image's own bundle")
def surroundings() -> dict[str, str]:
    """Environment variables that stand for the network that a container is in."""
    return {
        "AWS_ENDPOINT_URL": cloud.running().endpoint,
        "AWS_CA_BUNDLE": AUTHORITIES,
        "REQUESTS_CA_BUNDLE": AUTHORITIES,
        "SSL_CERT_FILE": AUTHORITIES,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
