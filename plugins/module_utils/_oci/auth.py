# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one registry wants to be asked: openly, with a password, or with a token that is fetched and renewed.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

from ansible_collections.stevedore.ecr.plugins.module_utils._oci import realm
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.challenge import Challenge, parse_challenges
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, CredentialSource
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    RateLimited,
    RegistryError,
    Unauthorized,
    Unreachable,
    refusal,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Answer, Http, Request, shown
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import retry_after

# A repository and one thing to do in it. What a request needs is a set of these.
Grant: TypeAlias = tuple[str, str]
Need: TypeAlias = frozenset[Grant]

PULL = ("pull",)
PUSH = ("pull", "push")

_BATCH = 25
_DEFAULT_LIFE = 60.0
_MARGIN = 30.0
_MAX_TOKEN_BYTES = 256 * 1024


def need(repository: str, actions: Iterable[str]) -> Need:
    return frozenset((repository, action) for action in actions)


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    grants: Need
    expires: float

    @property
    def header(self) -> str:
        return f"Bearer {self.value}"


class Authenticator:
    """For one registry, and for all threads that talk to it.

    The first request goes out alone, to learn what the registry wants. Tokens are asked for as many of the expected
    repositories as fit, for one repository where the registry turns out to want that, and by one thread at a time.
    """

    def __init__(
        self, registry: str, endpoint: str, credentials: CredentialSource, http: Http, *, ca_bundle: str = ""
    ) -> None:
        self._registry, self._endpoint, self._ca_bundle = registry, endpoint, ca_bundle
        self._credentials, self._http = credentials, http
        self._probe, self._probed = threading.Lock(), False
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: list[_Token] = []
        self._pending: list[tuple[Need, Future[_Token | None]]] = []
        self._expected: dict[str, Need] = {}
        self._alone: set[Need] = set()
        self._batching = True

    @property
    def is_anonymous(self) -> bool:
        return self._credentials() is None

    def expect(self, repositories: Iterable[str], actions: Iterable[str]) -> None:
        """Say early what will be asked for, so that one token can serve for it."""
        wanted = tuple(actions)
        with self._lock:
            for repository in repositories:
                self._expected[repository] = self._expected.get(repository, frozenset()) | need(repository, wanted)

    @contextmanager
    def introduced(self) -> Iterator[None]:
        """Around a request: the first one is let through alone, the others when the registry has answered it."""
        with self._probe if not self._probed else nullcontext():
            if not self._probed:
                try:
                    yield
                finally:
                    self._probed = True
                return
        yield

    def header(self, wanted: Need) -> str | None:
        """The Authorization for a request."""
        challenge = self._challenge
        if challenge is None:
            return None
        credentials = self._credentials()
        if challenge.scheme == "bearer":
            if credentials and credentials.registry_token:
                return f"Bearer {credentials.registry_token}"
            return self._token(wanted, challenge).header
        return credentials.basic if credentials and credentials.password else None

    def refused(self, wanted: Need, sent: str | None, answer: Answer) -> bool:
        """Learn from a 401 or 403; true if another attempt has something better to send."""
        if answer.status == 401:
            self._learn(answer)
        with self._lock:
            token = next((token for token in self._tokens if token.header == sent), None)
            if token is not None:
                return self._give_up(token, wanted, answer.status)
            challenge = self._challenge
        if challenge is None:
            return False
        if challenge.scheme == "bearer" and not (sent or "").startswith("Bearer "):
            return True
        return self.header(wanted) != sent

    def accepted(self, wanted: Need) -> None:
        """A request went well. If its token had to be asked for alone, sharing one is not for this registry."""
        if wanted not in self._alone:
            return
        with self._lock:
            self._batching = False
            self._alone.clear()
            self._tokens = [token for token in self._tokens if len(_repositories(token.grants)) <= 1]

    def _give_up(self, token: _Token, wanted: Need, status: int) -> bool:
        """A token that several share may be good for others; one of our own is of no use any more."""
        if _repositories(token.grants) > _repositories(wanted):
            self._alone.add(wanted)
            return True
        if status == 401:
            self._tokens.remove(token)
        return status == 401

    def _learn(self, answer: Answer) -> None:
        offered = {
            challenge.scheme: challenge for challenge in parse_challenges(answer.headers.get("www-authenticate", ""))
        }
        chosen = offered.get("bearer") or offered.get("basic")
        if chosen is None and offered:
            raise self._error(
                "log in", f"it wants {' or '.join(sorted(offered))}, which this collection cannot do", 401
            )
        if chosen is not None:
            self._challenge = chosen

    def _token(self, wanted: Need, challenge: Challenge) -> _Token:
        while True:
            with self._lock:
                token = self._valid(wanted)
                if token is not None:
                    return token
                waiting = next((future for grants, future in self._pending if wanted <= grants), None)
                if waiting is None:
                    entry = (self._batch(wanted), Future[_Token | None]())
                    self._pending.append(entry)
            if waiting is None:
                return self._obtain(wanted, challenge, *entry)
            # Somebody is asking for it already. If that came to nothing, it is our turn.
            shared = waiting.result()
            if shared is not None and wanted <= shared.grants:
                return shared

    def _valid(self, wanted: Need) -> _Token | None:
        alone = wanted in self._alone
        now = self._http.now()
        self._tokens = [token for token in self._tokens if token.expires > now]
        fitting = (token for token in self._tokens if wanted <= token.grants)
        return next((token for token in fitting if not alone or len(_repositories(token.grants)) <= 1), None)

    def _batch(self, wanted: Need) -> Need:
        """What to ask for: what is wanted, and what will be."""
        if not self._batching or wanted in self._alone or not wanted:
            return wanted
        grants = wanted
        for expected in self._expected.values():
            if len(_repositories(grants)) >= _BATCH:
                break
            if expected not in self._alone and not self._valid(expected):
                grants |= expected
        return grants

    def _obtain(self, wanted: Need, challenge: Challenge, grants: Need, future: Future[_Token | None]) -> _Token:
        """Fetch a token, and hand it to whoever waits for it."""
        try:
            token = self._fetch(wanted, challenge, grants)
        except (Unreachable, RateLimited) as error:
            # Nobody else would do better.
            self._settle(grants, future, None)
            future.set_exception(error)
            raise
        except BaseException:
            self._settle(grants, future, None)
            future.set_result(None)
            raise
        self._settle(grants, future, token)
        future.set_result(token)
        return token

    def _settle(self, grants: Need, future: Future[_Token | None], token: _Token | None) -> None:
        with self._lock:
            self._pending.remove((grants, future))
            if token is not None:
                self._tokens.append(token)

    def _fetch(self, wanted: Need, challenge: Challenge, grants: Need) -> _Token:
        if grants == wanted:
            return self._ask(wanted, challenge)
        try:
            return self._ask(grants, challenge)
        except (Unreachable, RateLimited):
            raise
        except RegistryError:
            token = self._ask(wanted, challenge)
        with self._lock:
            self._batching = False
        return token

    def _ask(self, grants: Need, challenge: Challenge) -> _Token:
        credentials = self._credentials()
        request = self._request(challenge, grants, credentials)
        answer = self._http.fetch(request, _MAX_TOKEN_BYTES)
        if answer.status != 200:
            raise refusal(
                request.doing,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                registry=self._registry,
                repository=request.repository,
                anonymous=credentials is None,
                authorization=answer.authorization,
                secrets=credentials.secrets if credentials else (),
                retry_after=retry_after(answer.headers),
            )
        value, life = self._read(answer.body)
        margin = min(_MARGIN, life / 5)
        return _Token(value, grants, self._http.now() + life - margin)

    def _request(self, challenge: Challenge, grants: Need, credentials: Credentials | None) -> Request:
        url = self._realm(challenge, credentials)
        service = challenge.parameters.get("service", "")
        fields = [("service", service)] if service else []
        common: dict[str, Any] = {
            "registry": self._registry,
            "what": "token",
            "doing": f"get a token for {self._registry}",
            "repository": ", ".join(sorted(_repositories(grants))[:1]),
            "ca_bundle": self._ca_bundle,
        }
        scopes = _scopes(grants)
        if credentials and credentials.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                *fields,
                ("client_id", "stevedore.ecr"),
                ("scope", " ".join(scopes)),
                ("refresh_token", credentials.identity_token),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request("POST", url, body=urlencode(form).encode(), headers=headers, **common)
        query = urlencode([*fields, *(("scope", scope) for scope in scopes)])
        joined = f"{url}{'&' if urlsplit(url).query else '?'}{query}" if query else url
        return Request("GET", joined, authorization=credentials.basic if credentials else None, **common)

    def _realm(self, challenge: Challenge, credentials: Credentials | None) -> str:
        """The token server's address, if it may be asked at all."""
        url = challenge.parameters.get("realm", "")
        try:
            scheme, host = realm.origin(url)[:2]
        except ValueError as error:
            raise self._error("get a token", f"it names no usable token server, but {shown(url)!r}") from error
        why_not = realm.why_not(self._registry, self._endpoint, url) if credentials else ""
        if why_not:
            raise self._error(
                "get a token",
                f"it wants the credentials to be sent to {scheme}://{host}, and {why_not}: they were not sent",
            )
        return url.partition("#")[0]

    def _read(self, body: bytes) -> tuple[str, float]:
        """The token, and how many seconds it lives."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._error("get a token", "its token server gave no JSON object")
        value = document.get("token") or document.get("access_token")
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise self._error("get a token", "its token server gave no token")
        life = document.get("expires_in")
        if isinstance(life, bool) or not isinstance(life, (int, float)) or not 0 < life < 1e9:
            life = _DEFAULT_LIFE
        return value, float(life)

    def _error(self, doing: str, said: str, status: int = 0) -> Unauthorized:
        return Unauthorized(
            f"{doing} for {self._registry}",
            said,
            registry=self._registry,
            status=status,
            remedy=f"Check the registry's name and the endpoint set for it: {self._endpoint}.",
        )


def _repositories(grants: Need) -> set[str]:
    return {repository for repository, unused in grants}


def _scopes(grants: Need) -> list[str]:
    """In the form that token servers read, such as repository:library/nginx:pull,push."""
    actions: dict[str, list[str]] = {}
    for repository, action in sorted(grants):
        actions.setdefault(repository, []).append(action)
    return [f"repository:{repository}:{','.join(wanted)}" for repository, wanted in actions.items()]
