# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follows the events that the module ecr_image_mirror writes, see module_utils/_mirror/progress.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
version_added: 0.1.0
short_description: Show how far ecr_image_mirror is, while it copies images
description:
  - Shows what M(stevedore.ecr.ecr_image_mirror), and so the role P(stevedore.ecr.image_mirror#role), is doing while it
    does it.
  - Says in one line what became of each image, as soon as that is known.
  - In a terminal, shows below that how many images are done, how many bytes are moved and how fast, about how long it
    will take, and how many pulls the source still allows. For the bar it needs the Python package C(rich). Without it,
    and where the output is no terminal, such as in the logs of Amazon CodeBuild and AWS Fargate, the same is said in a
    line every 30 seconds.
  - After an interruption, says what was done, and how to go on. It makes no difference whether that is Ctrl-C, or
    the C(SIGTERM) with which builds and tasks are stopped.
  - There is nothing to configure. It has only to be enabled, in C(ansible.cfg) or by the environment variable
    E(ANSIBLE_CALLBACKS_ENABLED).
notes:
  - The module has to run on the controller, which is what C(connection=local) and C(hosts=localhost) are for. Of a
    module that runs on another host, or as another user by C(become), nothing is shown until it has ended. Nor is
    anything of a task with C(no_log).
  - The role P(stevedore.ecr.image_mirror#role) does not repeat at its end what this has said.
requirements:
  - enable in configuration
  - rich (Python library), for the bar
seealso:
  - module: stevedore.ecr.ecr_image_mirror
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
"""

EXAMPLES = r"""
enable: |
  # in ansible.cfg
  [defaults]
  callbacks_enabled = stevedore.ecr.progress

once: |
  # or for one run
  ANSIBLE_CALLBACKS_ENABLED=stevedore.ecr.progress ansible-playbook stevedore.ecr.mirror -e @mirror.yml
"""

import atexit
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import GRACE
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.progress import VARIABLE
from ansible_collections.stevedore.ecr.plugins.module_utils._report.live_bar import Bar, can_have_bar
from ansible_collections.stevedore.ecr.plugins.module_utils._report.progress import Watcher

_LOOK_SECONDS = 0.1
_LINE_SECONDS = 30.0


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stevedore.ecr.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._follower: Follower | None = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Before the first process is started that shall find the variable in its environment."""
        if self._follower is None:
            self._follower = Follower(self._display)
            atexit.register(self._stop, os.getpid())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._look()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._look()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._stop(os.getpid())

    def _look(self) -> None:
        if self._follower:
            self._follower.look()

    def _stop(self, process: int) -> None:
        """Also when the playbook was interrupted, but not in the processes that Ansible forks."""
        if self._follower and process == os.getpid():
            self._follower.stop()
            self._follower = None


class Follower:
    """Reads the events as they come, and shows what they say."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._watcher = Watcher()
        self._directory = tempfile.mkdtemp(prefix="stevedore-progress-")
        path = os.path.join(self._directory, "events")
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o600)
        self._rest = b""
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = path
        # Of itself Ansible would pass a SIGTERM on and be gone, and nobody would say anything.
        self._on_term = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        self._said_at = time.monotonic()
        self._bar = Bar(getattr(display, "_lock", threading.RLock())) if can_have_bar(sys.stdout) else None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="stevedore-progress", daemon=True)
        self._thread.start()

    def look(self) -> None:
        with self._lock:
            now = time.monotonic()
            for event in self._events():
                self._say(self._watcher.take(event, now))
            self._show(now)

    def stop(self) -> None:
        """If there was an interruption, modules are given the time to end their runs."""
        deadline = time.monotonic() + GRACE + 2
        self.look()
        while self._watcher.active and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            self.look()
        self._over.set()
        self._thread.join()
        if self._bar:
            self._bar.close()
        if self._watcher.was_interrupted:
            self._say(self._watcher.farewell())
        signal.signal(signal.SIGTERM, self._on_term)
        os.close(self._file)
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before

    def _follow(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.look()

    def _events(self) -> Iterator[Mapping[str, Any]]:
        *lines, self._rest = (self._rest + _read(self._file)).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # one was cut off, because the disk was full
            yield event

    def _show(self, now: float) -> None:
        status = self._watcher.status(now)
        if self._bar:
            self._bar.draw(self._watcher.fraction, status)
        elif not status:
            self._said_at = now
        elif now >= self._said_at + _LINE_SECONDS:
            self._say(status)

    def _say(self, line: str) -> None:
        if line:
            self._display.display(line)
            sys.stdout.flush()
            self._said_at = time.monotonic()


def _read(file: int) -> bytes:
    found = b""
    while piece := os.read(file, 1 << 16):
        found += piece
    return found
