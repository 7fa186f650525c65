# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine says, as Docker Engine 20.10 said it, on a socket of our own; and what is made of it."""

from __future__ import annotations

import base64
import io
import json
import socketserver
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import InterruptedRunError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import docker_engine
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import Engine, EngineError

NAME = f"quay.io/team/app@sha256:{'a' * 64}"
TO = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
LOGIN = Credentials("AWS", "a-secret-password")
DIRECT = "transport: direct needs no engine"
FULL = (
    "failed to register layer: Error processing tar file(exit status 1): write /file: no space left on device",
    "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
)


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Answers by what the path ends with, each answer once and the last one always: a status, and lines of JSON."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.where = f"unix://{path}"
        self.answers: dict[str, list[tuple[int, list[Any]]]] = {
            "/version": [(200, [{"ApiVersion": "1.41", "Version": "20.10.24"}])]
        }
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    def on(self, end: str, *lines: Any, status: int = 200) -> None:
        self.answers.setdefault(end, []).append((status, list(lines)))


class _Handler(BaseHTTPRequestHandler):
    server: Daemon
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_args: Any) -> None:
        """Tests print only what matters."""

    def answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append((self.command, path.partition("/v1.41")[2] or path))
        self.server.headers.append(dict(self.headers.items()))
        self.server.bodies.append(self._body())
        answers = next(found for end, found in self.server.answers.items() if path.endswith(end))
        status, lines = answers.pop(0) if len(answers) > 1 else answers[0]
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in [*(f"{text}\r\n".encode() for text in texts), b""]:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    do_GET = do_POST = do_DELETE = answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))
    with Daemon(tmp_path / "docker.sock") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def paused() -> list[float]:
    return []


@pytest.fixture
def engine(daemon: Daemon, paused: list[float]) -> Iterator[Engine]:
    engine = Engine(daemon.where, pause=paused.append)
    yield engine
    engine.close()


def told(error: str) -> dict[str, Any]:
    return {"errorDetail": {"message": error}, "error": error}


def keep_logins(directory: Path, **config: Any) -> None:
    """Where Docker does, on this machine."""
    (directory / "docker-config").mkdir()
    (directory / "docker-config" / "config.json").write_text(json.dumps(config))


# ------------------------------------------------------------------ transfers


def test_a_pull_sends_the_login_it_was_given_and_no_other(daemon: Daemon, engine: Engine, tmp_path: Path) -> None:
    auth = base64.b64encode(b"user:of-the-docker-config").decode()
    keep_logins(tmp_path, auths={"quay.io": {"auth": auth}})
    daemon.on("/images/create", {"status": "Pulling from team/app", "id": NAME}, {"status": "Status: Downloaded"})
    engine.pull(NAME, None)
    engine.pull(NAME, LOGIN)
    engine.pull(NAME, Credentials(identity_token="identity"))
    sent = [json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"])) for headers in daemon.headers[1:]]
    assert sent == [{}, {"username": "AWS", "password": "a-secret-password"}, {"identitytoken": "identity"}]


def test_a_push_tells_what_became_of_each_layer(daemon: Daemon, engine: Engine) -> None:
    layers = {
        "c5b49b1805d5": "Mounted from team/other",
        "ca2dc1a2cc51": "Layer already exists",
        "e27a1cce84e5": "Pushed",
    }
    daemon.on(
        f"/images/{TO}/push",
        {"status": f"The push refers to repository [{TO}]"},
        *({"status": "Preparing", "progressDetail": {}, "id": layer} for layer in layers),
        *({"status": status, "progressDetail": {}, "id": layer} for layer, status in layers.items()),
        {"status": f"temporary: digest: sha256:{'b' * 64} size: 735"},
        {"progressDetail": {}, "aux": {"Tag": "temporary", "Digest": f"sha256:{'b' * 64}", "Size": 735}},
    )
    assert engine.push(TO, "temporary", LOGIN) == layers


REFUSALS = {
    FULL[0]: "docker system prune",
    FULL[1]: DIRECT,
    "toomanyrequests: You have reached your pull rate limit.": "Log in to the registry",
    "toomanyrequests: Rate exceeded": "Log in to the registry",
    "unauthorized": "Check the name, the credentials",
    "denied: User is not authorized to perform: ecr:InitiateLayerUpload": "Check the name, the credentials",
    "no basic auth credentials": "Check the name, the credentials",
    "name unknown: The repository with name 'no' does not exist in the registry with id '123456789012'": "set create",
    "x509: certificate signed by unknown authority": "/etc/docker/certs.d/HOST/ca.crt",
    "http: server gave HTTP response to HTTPS client": "insecure-registries",
    "unsupported media type application/vnd.oci.empty.v1+json": DIRECT,
    "failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid tar header": DIRECT,
    "invalid rootfs in image configuration": DIRECT,
    "no matching manifest for linux/s390x in the manifest list entries": "Name a platform",
    "Get https://quay.io/v2/: dial tcp: lookup quay.io: no such host": "settings for proxies",
    "something nobody has seen": "something nobody has seen.",
}


@pytest.mark.parametrize(("said", "remedy"), REFUSALS.items(), ids=lambda text: str(text)[:30])
@pytest.mark.parametrize("in_stream", [True, False])
def test_what_is_refused_is_an_error_with_what_to_do(
    daemon: Daemon, engine: Engine, said: str, remedy: str, in_stream: bool
) -> None:
    if in_stream:
        daemon.on("/images/create", {"status": "Pulling from team/app"}, told(said), {"status": "never read"})
    else:
        daemon.on("/images/create", {"message": said}, status=500)
    with pytest.raises(EngineError) as caught:
        engine.pull(NAME, None)
    assert str(caught.value).startswith(f"Docker Engine failed to pull {NAME}: {said.rstrip('.')}.")
    assert remedy in str(caught.value)
    assert caught.value.is_full == (said in FULL)
    assert caught.value.is_limited == ("pull rate limit" in said)


def test_a_reason_that_may_pass_is_waited_for(daemon: Daemon, engine: Engine, paused: list[float]) -> None:
    daemon.on(f"/images/{TO}/push", told("received unexpected HTTP status: 503 Service Unavailable"))
    daemon.on(f"/images/{TO}/push", told("Put https://quay.io/v2/: read tcp: connection reset by peer"))
    daemon.on(f"/images/{TO}/push", {"status": "Pushed", "id": "c5b49b1805d5"})
    assert engine.push(TO, "1", LOGIN) == {"c5b49b1805d5": "Pushed"}
    assert paused == [2.0, 4.0]


def test_but_not_for_ever_and_not_another(daemon: Daemon, engine: Engine, paused: list[float]) -> None:
    daemon.on("/images/create", told("received unexpected HTTP status: 502 Bad Gateway"))
    with pytest.raises(EngineError, match="502"):
        engine.pull(NAME, None)
    assert len(paused) == 2
    daemon.on(f"/images/{TO}/push", told("denied: no"))
    with pytest.raises(EngineError, match="denied"):
        engine.push(TO, "1", None)
    assert len(paused) == 2


def test_no_error_has_a_secret_in_it(daemon: Daemon, engine: Engine) -> None:
    daemon.on("/images/create", told("cannot use AWS:a-secret-password"))
    with pytest.raises(EngineError, match="cannot use AWS:\\*\\*\\*"):
        engine.pull(NAME, LOGIN)


def test_an_answer_that_is_no_json(daemon: Daemon, engine: Engine) -> None:
    daemon.on("/images/create", '{"status": "Pulling"')
    with pytest.raises(EngineError, match="failed to pull"):
        engine.pull(NAME, None)


# ------------------------------------------------------------------ images


INSPECTED = {
    "Id": f"sha256:{'c' * 64}",
    "RepoTags": ["app:1"],
    "RepoDigests": [NAME],
    "Os": "linux",
    "Architecture": "arm",
    "Variant": "v6",
    "RootFS": {"Type": "layers", "Layers": [f"sha256:{'d' * 64}"]},
}


def test_an_image(daemon: Daemon, engine: Engine) -> None:
    daemon.on("/json", INSPECTED)
    daemon.on("/json", {"Id": "sha256:e", "RepoTags": None, "RepoDigests": None, "Os": "", "Architecture": ""})
    daemon.on("/json", {"message": "No such image"}, status=404)
    image = engine.image(NAME)
    assert image
    assert (image.identity, image.names) == (INSPECTED["Id"], {"app:1", NAME})
    assert (image.layers, image.platform) == ((f"sha256:{'d' * 64}",), Platform("linux", "arm", "v6"))
    bare = engine.image(NAME)
    assert bare
    assert (bare.names, bare.layers, bare.platform) == (frozenset(), (), None)
    assert engine.image(NAME) is None


def test_what_is_not_there_need_not_be_removed_and_cannot_be_tagged(daemon: Daemon, engine: Engine) -> None:
    daemon.on(f"/images/{NAME}", {"message": "No such image"}, status=404)
    daemon.on(f"/images/{NAME}/tag", {"message": "No such image"}, status=404)
    engine.remove(NAME)
    assert not engine.tag(NAME, TO, "1")
    daemon.on("/images/used", {"message": "conflict: unable to remove repository reference"}, status=409)
    with pytest.raises(EngineError, match="conflict"):
        engine.remove("used")


# ------------------------------------------------------------------ builds


def test_a_build_is_sent_a_dockerfile_and_nothing_else(daemon: Daemon, engine: Engine) -> None:
    daemon.on("/images/json", [])
    daemon.on("/build", {"stream": "Step 1/2 : FROM x\n"}, {"aux": {"ID": "sha256:f"}})
    engine.build(b"FROM x\nRUN true\n", f"{TO}:1", {"a": "b"})
    with tarfile.open(fileobj=io.BytesIO(daemon.bodies[-1])) as archive:
        (member,) = archive.getmembers()
        content = archive.extractfile(member)
        assert (member.name, content.read() if content else b"") == ("Dockerfile", b"FROM x\nRUN true\n")


def test_a_build_sends_the_logins_it_was_given_and_no_other(daemon: Daemon, engine: Engine, tmp_path: Path) -> None:
    """Docker's configuration is not read, so that it need not be in order."""
    keep_logins(tmp_path, credsStore="not-there")
    daemon.on("/images/json", [])
    daemon.on("/build", {"stream": "Step 1/2 : FROM x\n"})
    engine.build(b"FROM x\nRUN true\n", f"{TO}:1", {}, logins={})
    assert "X-Registry-Config" not in daemon.headers[-1]
    engine.build(b"FROM x\nRUN true\n", f"{TO}:1", {}, logins={"docker.io": LOGIN, "quay.io": LOGIN})
    sent = json.loads(base64.urlsafe_b64decode(daemon.headers[-1]["X-Registry-Config"]))
    login = {"username": "AWS", "password": "a-secret-password"}
    assert sent == {"https://index.docker.io/v1/": login, "quay.io": login}


@pytest.mark.filterwarnings("ignore:docker-credential-not-there")
def test_a_helper_for_dockers_logins_that_is_missing_is_named(daemon: Daemon, engine: Engine, tmp_path: Path) -> None:
    keep_logins(tmp_path, credsStore="not-there")
    daemon.on("/images/json", [])
    with pytest.raises(EngineError, match=r"docker-credential-not-there not installed .*mend it, or take it out"):
        engine.build(b"FROM x\n", f"{TO}:1", {})


def test_a_failed_build_tells_the_end_of_its_log_and_what_to_do(daemon: Daemon, engine: Engine) -> None:
    old, step = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    daemon.on("/images/json", [{"Id": old}])
    daemon.on("/images/222222222222/json", {"Id": step})
    daemon.on(f"/images/{step}", [{"Deleted": step}])
    daemon.on(
        "/build",
        *({"stream": f"line {number}\n"} for number in range(30)),
        {"stream": " ---> 111111111111\n"},
        {"stream": " ---> 222222222222\n"},
        {"stream": "\x1b[91mexec /bin/sh: exec format error\x1b[0m\x07\n"},
        told("The command '/bin/sh -c true' returned a non-zero code: 1"),
    )
    with pytest.raises(EngineError) as caught:
        engine.build(b"FROM x\nRUN true\n", f"{TO}:1", {})
    text = str(caught.value)
    assert "returned a non-zero code: 1. The engine cannot run programs of this platform: install QEMU" in text
    assert text.endswith("exec /bin/sh: exec format error")
    assert "line 29" in text
    assert "line 2\n" not in text
    assert [what for what in daemon.asked if what[0] == "DELETE"] == [("DELETE", f"/images/{step}")]


@pytest.mark.parametrize("names", [["kept:1"], []], ids=["named", "there before"])
def test_a_failed_build_removes_only_what_it_made(daemon: Daemon, engine: Engine, names: list[str]) -> None:
    step = f"sha256:{'2' * 64}"
    daemon.on("/images/json", [] if names else [{"Id": step}])
    daemon.on("/images/222222222222/json", {"Id": step, "RepoTags": names})
    daemon.on("/build", {"stream": " ---> 222222222222\n"}, told("no"))
    with pytest.raises(EngineError):
        engine.build(b"FROM x\n", f"{TO}:1", {})
    assert "DELETE" not in [method for method, _path in daemon.asked]


# ------------------------------------------------------------------ no engine


@pytest.mark.parametrize("doing", ["pull", "push", "build"])
def test_what_goes_on_can_be_ended(daemon: Daemon, doing: str) -> None:
    """By whoever has something to heed; what a build has made by then goes."""
    lines: list[Any] = [{"stream": " ---> 222222222222\n", "id": "layer", "status": "Waiting"}] * 3
    for end in ("/images/create", "/push", "/build"):
        daemon.on(end, *lines)
    daemon.on("/images/json", [])
    daemon.on("/222222222222/json", {"Id": "sha256:222222222222", "RepoTags": [], "Os": "linux", "Architecture": "arm"})
    daemon.on("/sha256:222222222222", [])
    said: list[str] = []

    def heed() -> None:
        said.append("line")
        if len(said) == 2:
            raise InterruptedRunError("the run was interrupted")

    engine = Engine(daemon.where, heed=heed)
    work = {
        "pull": lambda: engine.pull(NAME, LOGIN),
        "push": lambda: engine.push(TO, "1", LOGIN),
        "build": lambda: engine.build(b"FROM x", f"{TO}:1", {}),
    }
    with pytest.raises(InterruptedRunError):
        work[doing]()
    assert len(said) == 2
    assert (("DELETE", "/images/sha256:222222222222") in daemon.asked) is (doing == "build")
    engine.close()


def test_nothing_is_asked_before_it_has_to(daemon: Daemon) -> None:
    Engine(daemon.where).close()
    assert daemon.asked == []


def test_an_engine_that_cannot_be_reached_is_not_tried_again(daemon: Daemon, tmp_path: Path) -> None:
    where = tmp_path / "none.sock"
    engine = Engine(f"unix://{where}")
    errors = []
    for _attempt in range(2):
        with pytest.raises(EngineError) as caught:
            engine.pull(NAME, None)
        errors.append(str(caught.value))
        if not where.exists():
            where.symlink_to(daemon.where.removeprefix("unix://"))
    assert errors[0].startswith(f"Docker Engine cannot be reached at unix://{where}: there is no such socket.")
    assert errors[0].endswith(DIRECT)
    assert errors[1] == errors[0]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("tcp://127.0.0.1:1", "nobody listens there"),
        ("nonsense://x", "Check docker_host"),
        ("tcp://127.0.0.1:x", "Check docker_host"),
    ],
)
def test_an_address_that_is_none(daemon: Daemon, where: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        Engine(where).inventory()


def test_the_address_is_that_of_docker_unless_it_is_given(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dangling = {"Id": "sha256:2", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    daemon.on("/images/json", [{"Id": "sha256:1", "RepoTags": ["app:1"], "RepoDigests": None}, dangling])
    there = {"sha256:1": {"app:1"}, "sha256:2": set()}
    monkeypatch.setenv("DOCKER_HOST", daemon.where)
    assert Engine().inventory() == there
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert Engine(daemon.where).inventory() == there


def test_tls_as_docker_has_it_in_the_environment(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(EngineError, match="DOCKER_CERT_PATH"):
        Engine("tcp://127.0.0.1:1").inventory()


def test_without_permission(daemon: Daemon) -> None:
    """The error as the libraries wrap it: tests that run as root may use every socket."""
    wrapped = ConnectionError("Connection aborted.", PermissionError(13, "Permission denied"))
    text = docker_engine._why_not_reached("unix:///var/run/docker.sock", wrapped)
    assert "may not use it. Add the user to the group docker" in text


def test_an_engine_that_goes_away(daemon: Daemon, engine: Engine) -> None:
    daemon.on("/images/json", [])
    engine.inventory()
    Path(daemon.where.removeprefix("unix://")).unlink()
    with pytest.raises(EngineError, match="cannot be reached"):
        engine.inventory()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "HAS_DOCKER", False)
    with pytest.raises(EngineError, match="pip install docker; transport: direct needs no engine"):
        Engine().inventory()
