# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins to the registries of AWS: passwords of half a day, renewed before they expire and when they are refused.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_mirror as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials

# Before it expires. Never less than a minute after it was given, whatever the clock of this host says.
_MARGIN = 900.0
_SHORTEST = 60.0
# AWS is asked no more often than this because of a refusal, which may have another reason, or after a failure.
_PAUSE = 30.0


@dataclass(frozen=True)
class Login:
    """`seconds`: how long it is good for. Amazon ECR Public gives no endpoint."""

    credentials: Credentials
    seconds: float
    endpoint: str = ""

    @property
    def host(self) -> str:
        """As in references."""
        return urlsplit(self.endpoint).netloc


def private_login(client: Any) -> Login:
    """To the registry of the account and region of the client."""
    return _login(api.authorization(client))


def public_login(client: Any) -> Login:
    return _login(api.public_authorization(client))


class RegistryLogin:
    """The login to one registry, for all threads. `log_in` asks AWS for a new one.

    `failing` makes what is raised of what AWS said, since a source that fails is less than a destination that does.
    """

    def __init__(
        self,
        log_in: Callable[[], Login],
        failing: type[MirrorError] = MirrorError,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_in, self._failing, self._now = log_in, failing, now
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._failure: AnsibleECRError | None = None
        self._asked = self._heeded = float("-inf")
        self._is_refused = False

    def credentials(self) -> Credentials:
        """Those that are good now."""
        return self.current().credentials

    def current(self) -> Login:
        with self._lock:
            if self._is_due():
                self._renew()
            if self._login is None:
                raise self._failing(str(self._failure)) from self._failure
            return self._login

    def refused(self) -> None:
        """The registry did not accept what it was sent last."""
        with self._lock:
            self._is_refused = True

    def _is_due(self) -> bool:
        age = self._now() - self._asked
        if self._login is None:
            return age >= _PAUSE
        if self._is_refused and self._now() - self._heeded >= _PAUSE:
            self._heeded = self._now()
            return True
        return age >= max(_SHORTEST, self._login.seconds - _MARGIN)

    def _renew(self) -> None:
        self._asked, self._is_refused = self._now(), False
        self._login = self._failure = None
        try:
            self._login = self._log_in()
        except AnsibleECRError as error:
            self._failure = error


def _login(data: Mapping[str, Any]) -> Login:
    try:
        username, _colon, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        seconds = (data["expiresAt"] - datetime.now(timezone.utc)).total_seconds()
    except (KeyError, TypeError, UnicodeDecodeError, binascii.Error) as error:
        raise AnsibleECRError("Failed to log in: the answer has no login in it", code="UnexpectedAnswer") from error
    return Login(Credentials(username, password), seconds, data.get("proxyEndpoint", ""))
