# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials for registries, and those that Docker keeps on this machine.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import CredentialError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
# The user name with which helpers say that the secret is an identity token.
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found"
_HELPER_SECONDS = 30.0
_MAX_CONFIG_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """One of: user name and password; an identity token, to be exchanged; a registry token, to be sent as it is."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]*", self.registry_token):
            raise CredentialError("The registry token has a space, a line break or another sign that no token has")

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.password, self.identity_token, self.registry_token

    @property
    def basic(self) -> str:
        """As an Authorization header."""
        pair = f"{self.username}:{self.password}".encode(errors="surrogatepass")
        return f"Basic {base64.b64encode(pair).decode()}"


# Asked whenever credentials are needed, so that it can renew them. None means: anonymously.
CredentialSource = Callable[[], "Credentials | None"]


class DockerConfig:
    """What `docker login` left on this machine, and the helper programs named there. Each lookup is made once."""

    def __init__(self, document: Mapping[str, Any], path: str, *, helper_seconds: float = _HELPER_SECONDS) -> None:
        self._path, self._seconds = path, helper_seconds
        self._auths = self._table(document, "auths")
        self._helpers = self._table(document, "credHelpers")
        store = document.get("credsStore") or ""
        if not isinstance(store, str):
            raise self._error("credsStore is no text")
        self._store = store
        self._lock = threading.Lock()
        self._found: dict[str, Credentials | None] = {}

    @classmethod
    def load(cls, directory: str = "") -> DockerConfig:
        """From `directory`, else DOCKER_CONFIG, else ~/.docker. There need not be any."""
        folder = directory or os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
        path = os.path.join(folder, "config.json")
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_CONFIG_BYTES + 1)
            document = json.loads(content) if content.strip() else {}
        except (FileNotFoundError, NotADirectoryError):
            return cls({}, path)
        except OSError as error:
            raise CredentialError(f"The Docker config {path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise CredentialError(f"The Docker config {path} is no valid JSON") from error
        if not isinstance(document, dict):
            raise CredentialError(f"The Docker config {path} is no JSON object")
        return cls(document, path)

    def credentials_for(self, registry: str) -> Credentials | None:
        with self._lock:
            if registry not in self._found:
                self._found[registry] = self._look_up(registry)
            return self._found[registry]

    def _look_up(self, registry: str) -> Credentials | None:
        helper = _entry(self._helpers, registry)
        if helper is not None and not isinstance(helper, str):
            raise self._error(f"the helper for {registry} is no text")
        helper = helper or self._store
        found = self._ask_helper(helper, registry) if helper else None
        return found or self._from_auths(registry)

    def _from_auths(self, registry: str) -> Credentials | None:
        entry = _entry(self._auths, registry)
        if entry is None:
            return None
        if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
            raise self._error(f"the entry for {registry} in auths is not made of texts")
        username, password = entry.get("username", ""), entry.get("password", "")
        if entry.get("auth"):
            username, password = self._decoded(entry["auth"], registry)
        found = Credentials(username, password, entry.get("identitytoken", ""), entry.get("registrytoken", ""))
        return found if any(found.secrets) else None

    def _decoded(self, auth: str, registry: str) -> tuple[str, str]:
        try:
            text = base64.b64decode(auth, validate=True).decode()
        except ValueError as error:
            raise self._error(f"the auth of {registry} is not in base64") from error
        username, colon, password = text.partition(":")
        if not colon or not username:
            raise self._error(f"the auth of {registry} is not made of a user name, a colon and a password")
        return username, password.rstrip("\0")

    def _ask_helper(self, name: str, registry: str) -> Credentials | None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
            raise self._error(f"{name[:100]!r} is no name of a credential helper")
        program = f"docker-credential-{name}"
        answer = self._run(program, _HUB_KEY if registry == DOCKER_HUB else registry)
        if answer.returncode != 0:
            said = " ".join((answer.stdout.strip() or answer.stderr.strip()).split())[:300]
            if _NOT_FOUND in said.lower():
                return None
            raise self._error(f"the credential helper {program} failed for {registry}: {said or 'it said nothing'}")
        return self._from_helper(answer.stdout, program, registry)

    def _run(self, program: str, server: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [program, "get"],
                input=server,
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
                timeout=self._seconds,
            )
        except FileNotFoundError as error:
            raise self._error(
                f"the credential helper {program} is not installed. Install it, or remove it from that file"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise self._error(f"the credential helper {program} did not answer in {self._seconds:g} s") from error
        except OSError as error:
            raise self._error(f"the credential helper {program} cannot be started: {error.strerror}") from error

    def _from_helper(self, output: str, program: str, registry: str) -> Credentials | None:
        try:
            document = json.loads(output)
        except (ValueError, RecursionError):
            document = None
        username, secret = (
            (document.get("Username"), document.get("Secret")) if isinstance(document, dict) else (None, None)
        )
        if not isinstance(username, str) or not isinstance(secret, str):
            raise self._error(f"the credential helper {program} gave no user name and secret for {registry}")
        if username == _TOKEN_USER:
            return Credentials(identity_token=secret)
        return Credentials(username, secret) if username or secret else None

    def _table(self, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        table = document.get(name) or {}
        if not isinstance(table, dict):
            raise self._error(f"{name} is no JSON object")
        return table

    def _error(self, what: str) -> CredentialError:
        return CredentialError(f"The Docker config {self._path} gives no usable credentials: {what}")


def _entry(table: Mapping[str, Any], registry: str) -> Any:
    """The entry under the registry's own name, else under one of the ways in which it is also written."""
    keys = [_HUB_KEY, *_HUB_HOSTS] if registry == DOCKER_HUB else [registry]
    for key in keys:
        if key in table:
            return table[key]
    hosts = _HUB_HOSTS if registry == DOCKER_HUB else (registry,)
    return next((value for key, value in table.items() if _host_of(key) in hosts), None)


def _host_of(key: str) -> str:
    """The host of a key such as https://ghcr.io/v2/. What names a path below the host is for that path only."""
    return re.sub(r"^https?://|/(v[12]/?)?$", "", key.lower())
