# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see while ansible-playbook mirrors images, in a terminal and in a log, and when they interrupt it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback.client import Cloud
from running import playbook_command, playbook_environment

HUB_HOST = "registry-1.docker.io"
HUB = "docker.io/library"
SECRET = "hubtoken"
CLEAR = "\x1b[2K"
# A layer is read in pieces of a megabyte, so one of this size comes in several, at so many bytes a second.
LAYER, RATE = 3_000_000, 1_000_000
GO_ON = "Run the same again to go on: what is there is complete, and is not copied again."
PATIENCE = 60.0


@dataclass
class Seen:
    """A playbook at work, and all that it has written so far, to a pipe or to a terminal."""

    process: subprocess.Popen[bytes]
    file: int
    output: str = ""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            assert self._read(), self.output

    def end(self) -> int:
        while self._read():
            pass
        os.close(self.file)
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        assert select.select([self.file], [], [], PATIENCE)[0], self.output
        try:
            piece = os.read(self.file, 1 << 16)
        except OSError:  # how a terminal ends
            return False
        self.output += piece.decode().replace("\r\n", "\n")
        return bool(piece)

    def lines(self, beginning: str) -> list[str]:
        return [line for line in self.output.splitlines() if line.rpartition(CLEAR)[2].startswith(beginning)]


@dataclass
class Mirror:
    """The role with the callback, and a directory for all that it leaves behind."""

    cloud: Cloud
    directory: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        images: list[dict[str, Any]],
        *options: str,
        terminal: bool = False,
        environment: Mapping[str, str] | None = None,
        password: str = SECRET,
        play: Mapping[str, Any] | None = None,
    ) -> Seen:
        self.temporary.mkdir(exist_ok=True)
        login = {"host": "docker.io", "endpoint": self.cloud.upstreams[HUB_HOST], "username": "hubuser"}
        variables = {
            "image_mirror_transport": "direct",
            "image_mirror_images": images,
            "image_mirror_journal": str(self.journal),
            "image_mirror_registries": [{**login, "password": password}],
        }
        playbook = self.directory / "playbook.yml"
        whole = {"name": "Mirror", "hosts": "localhost", "gather_facts": False, "vars": variables}
        whole.update(play or {"roles": ["stevedore.ecr.image_mirror"]})
        playbook.write_text(yaml.safe_dump([whole], sort_keys=False))
        near = {"ANSIBLE_CALLBACKS_ENABLED": "stevedore.ecr.progress", "TMPDIR": str(self.temporary)}
        settings = playbook_environment(self.directory, {**self.cloud.environment(), **near, **(environment or {})})
        reading, writing = pty.openpty() if terminal else os.pipe()
        if terminal:
            settings |= {"TERM": "xterm", "COLUMNS": "100"}
        process = subprocess.Popen(
            # With a terminal of its own, so that Ctrl-C can be pressed there.
            [*(["setsid", "--ctty"] if terminal else []), *playbook_command(playbook, *options)],
            env=settings,
            cwd=self.directory,
            stdin=writing if terminal else subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        self.running.append(process)
        return Seen(process, reading)

    def run(self, images: list[dict[str, Any]], *options: str, **more: Any) -> Seen:
        seen = self.start(images, *options, **more)
        status = seen.end()
        assert status == 0, seen.output
        assert "[WARNING]" not in seen.output
        assert self.left_behind() == []
        return seen

    @property
    def temporary(self) -> Path:
        return self.directory / "temporary"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.jsonl"

    def left_behind(self) -> list[str]:
        """By Ansible in its own place for temporary files, and by anybody in the system's."""
        places = (self.temporary, self.directory / "ansible-tmp")
        return [str(path) for place in places if place.exists() for path in place.iterdir()]

    def make_slow(self) -> None:
        self.cloud.inject({"path": "library/big/blobs/sha256", "method": "GET", "times": -1, "rate": RATE})


@pytest.fixture
def mirror(cloud: Cloud, tmp_path: Path) -> Any:
    for tag in ("1.27", "1.28"):
        cloud.publish(HUB_HOST, "library/nginx", tag)
    for number in range(12):
        cloud.publish(HUB_HOST, "library/big", str(number), layer_size=LAYER)
    mirror = Mirror(cloud, tmp_path)
    yield mirror
    for process in mirror.running:
        if process.poll() is None:
            process.kill()
            process.wait()


SMALL = [{"source": "nginx", "tags": ["1.27", "1.28"]}]
BIG = [{"source": "nginx", "tag": "1.27"}, {"source": "big", "tags": [str(number) for number in range(12)]}]


def tags(cloud: Cloud, repository: str) -> set[str]:
    images = cloud.client("ecr").list_images(repositoryName=repository)["imageIds"]
    return {image["imageTag"] for image in images if "imageTag" in image}


# ------------------------------------------------------------------ in a log


def test_a_log_has_one_line_for_each_image(mirror: Mirror) -> None:
    done = mirror.run(SMALL)
    for tag in ("1.27", "1.28"):
        assert done.output.count(f"copied: {HUB}/nginx:{tag} -> ") == 1
        assert len(done.lines(f"copied: {HUB}/nginx:{tag} -> ")) == 1
    assert len(done.lines("2 of 2 images: 2 copied; ")) == 1
    assert "All 2 images can be pulled from your own ECR." in done.output
    assert "\x1b" not in done.output

    again = mirror.run(SMALL)
    assert again.output.count("up to date: ") == 2
    assert len(again.lines("2 of 2 images: 2 up to date; 0 B moved in ")) == 1


def test_the_lines_come_as_the_images_are_done(mirror: Mirror) -> None:
    mirror.make_slow()
    seen = mirror.start([*BIG[:1], {"source": "big", "tag": "0"}])
    seen.until(f"copied: {HUB}/nginx:1.27")
    assert f"{HUB}/big:0" not in seen.output
    assert seen.end() == 0
    assert len(seen.lines(f"copied: {HUB}/big:0")) == 1


def test_check_mode_tells_what_would_be(cloud: Cloud, mirror: Mirror) -> None:
    planned = mirror.run(SMALL, "--check", "--diff")
    assert len(planned.lines("would be copied: ")) == 2
    assert len(planned.lines("2 of 2 images: 2 would be copied; ")) == 1
    assert cloud.client("ecr").describe_repositories()["repositories"] == []


def test_failures_are_told_once_as_they_come(mirror: Mirror) -> None:
    seen = mirror.start([*SMALL, {"source": "nginx", "tag": "none"}])
    assert seen.end() == 2
    assert len(seen.lines(f"failed: {HUB}/nginx:none -> ")) == 1
    assert f'"failed: {HUB}/nginx:none' not in seen.output
    assert mirror.left_behind() == []


def test_secrets_never_show(mirror: Mirror) -> None:
    wrong = mirror.start(SMALL, "-vvvv", password="a-wrong-token")
    assert wrong.end() == 2
    assert "a-wrong-token" not in wrong.output
    done = mirror.run(SMALL, "-vvvv", terminal=True)
    assert done.lines("copied: ")
    assert SECRET not in done.output


def test_a_task_with_no_log_is_not_told_of(mirror: Mirror) -> None:
    task = {
        "stevedore.ecr.ecr_image_mirror": {
            "images": SMALL,
            "transport": "direct",
            "registries": "{{ image_mirror_registries }}",
        },
        "no_log": True,
    }
    done = mirror.run(SMALL, "-v", play={"tasks": [task]})
    assert "changed=1" in done.output
    assert "nginx" not in done.output


def test_of_modules_elsewhere_nothing_is_said(mirror: Mirror) -> None:
    """They do not find the variable in their environment. The role tells at its end what became of the images."""
    elsewhere = {"roles": ["stevedore.ecr.image_mirror"], "environment": {"STEVEDORE_PROGRESS": "/nonexistent/events"}}
    done = mirror.run(SMALL, play=elsewhere)
    assert done.lines("copied: ") == []
    assert done.output.count(f'"copied: {HUB}/nginx:1.27 -> ') == 1


# ------------------------------------------------------------------ in a terminal


def test_a_terminal_has_a_bar_below_whole_lines(mirror: Mirror) -> None:
    mirror.make_slow()
    done = mirror.run(BIG, "-vvv", terminal=True)
    assert len(done.lines("copied: ")) == 13
    assert len(done.lines("13 of 13 images: 13 copied; ")) == 1
    bars = [line for line in done.output.replace(CLEAR, "\n").splitlines() if " of 13 images, " in line]
    assert any("\N{BOX DRAWINGS HEAVY HORIZONTAL}" in line and "MB/s" in line for line in bars)
    assert any(" pulls left" in line for line in bars)
    assert all(len(line.strip("\r")) < 100 for line in bars)
    # The result of the module is one long line.
    whole = [line for line in done.output.splitlines() if line.lstrip().startswith('"images": [')]
    assert whole
    # The bar is gone when there is nothing to show any more.
    assert CLEAR not in done.output.partition("PLAY RECAP")[2]


def test_without_rich_a_terminal_has_lines(mirror: Mirror, tmp_path: Path) -> None:
    package = tmp_path / "python" / "rich"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('there is no rich')\n")
    done = mirror.run(SMALL, terminal=True, environment={"PYTHONPATH": str(package.parent)})
    assert len(done.lines("copied: ")) == 2
    assert CLEAR not in done.output


# ------------------------------------------------------------------ interrupted


def _by_signal(number: signal.Signals) -> Callable[[Seen], None]:
    return lambda seen: seen.process.send_signal(number)


def _by_key(seen: Seen) -> None:
    os.write(seen.file, b"\x03")


@pytest.mark.parametrize(
    ("terminal", "interrupt"),
    [(False, _by_signal(signal.SIGINT)), (False, _by_signal(signal.SIGTERM)), (True, _by_key)],
    ids=["SIGINT", "SIGTERM", "Ctrl-C"],
)
def test_an_interrupted_run_ends_cleanly_and_another_goes_on(
    cloud: Cloud, mirror: Mirror, terminal: bool, interrupt: Callable[[Seen], None]
) -> None:
    mirror.make_slow()
    seen = mirror.start(BIG, terminal=terminal)
    seen.until(f"copied: {HUB}/nginx:1.27")
    interrupted = time.monotonic()
    interrupt(seen)
    assert seen.end() == 99, seen.output
    assert time.monotonic() - interrupted < 20

    assert "Traceback" not in seen.output
    farewell = seen.lines("Interrupted. ")
    assert len(farewell) == 1
    assert " of 13 images: " in farewell[0]
    assert farewell[0].endswith(GO_ON)
    copied = len(seen.lines("copied: "))
    assert f"{copied} copied" in farewell[0]
    assert 0 < copied < 13
    assert "not attempted" not in seen.output

    journal = [json.loads(line) for line in mirror.journal.read_text().splitlines()]
    assert sum(line["event"] == "image" and line["action"] == "copy" for line in journal) == copied
    _eventually(lambda: mirror.left_behind() == [])
    assert len(tags(cloud, "big")) == copied - 1

    cloud.inject({"path": "library/nginx/blobs/sha256", "times": -1, "status": 500})
    again = mirror.run(BIG)
    assert len(again.lines("copied: ")) == 13 - copied
    assert len(again.lines("up to date: ")) == copied
    assert len(tags(cloud, "big")) == 12


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
