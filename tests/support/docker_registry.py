"""A real registry, the distribution project's own, on a loopback port: an empty one each time."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

START_TIMEOUT = 20.0
_LINE = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[0-9.]+" (?P<status>[0-9]{3}) (?P<length>[0-9]+)')
_CONFIGURATION = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}/content}}
  delete: {{enabled: true}}
http: {{addr: "{host}"}}
validation: {{manifests: {{urls: {{allow: [".*"]}}}}}}
"""


@dataclass(frozen=True)
class Asked:
    """One request, as the registry's access log has it; `length` is that of the answer."""

    method: str
    path: str
    status: int
    length: int


class DockerRegistry:
    """`with DockerRegistry() as registry:`; `registry.host` is what stands before the first slash of references."""

    def __init__(self, directory: Path | None = None) -> None:
        """Keeps its content in a directory of its own below the given one."""
        self._parent = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = 0
        self.host = ""
        self.directory = Path()

    def __enter__(self) -> DockerRegistry:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="registry-", dir=self._parent))
        self.host = f"127.0.0.1:{_free_port()}"
        settings = self.directory / "config.yml"
        settings.write_text(_CONFIGURATION.format(directory=self.directory, host=self.host))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(settings)], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                printed = self._log.read_text()
                self.stop()
                raise RuntimeError(f"docker-registry did not start; it printed:\n{printed}")
            time.sleep(0.02)
        self.requests()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def requests(self) -> list[Asked]:
        """What it was asked since this was called last."""
        lines = self._log.read_text().splitlines()
        new, self._seen = lines[self._seen :], len(lines)
        found = (_LINE.search(line) for line in new)
        return [Asked(line["method"], line["path"], int(line["status"]), int(line["length"])) for line in found if line]

    def damage_blob(self, digest: str) -> None:
        """Flip a bit of its content, as a bad disk would."""
        algorithm, encoded = digest.split(":")
        with (self._content / "blobs" / algorithm / encoded[:2] / encoded / "data").open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))

    def forget_blob(self, repository: str, digest: str) -> None:
        """Let a repository no longer have a blob."""
        shutil.rmtree(self._content / "repositories" / repository / "_layers" / digest.replace(":", "/"))

    @property
    def _content(self) -> Path:
        return self.directory / "content" / "docker" / "registry" / "v2"

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/v2/", timeout=1) as answer:
            return bool(answer.status == 200)
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
