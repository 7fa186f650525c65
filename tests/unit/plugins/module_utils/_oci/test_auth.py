# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    RateLimited,
    RegistryError,
    Unauthorized,
    Unreachable,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    Act,
    FakeRegistry,
    Handler,
    Seen,
    answer,
    encoded,
    error,
    image,
    reset,
)

IMAGE = image()
USER = Credentials("user", "pass-word")


class TokenWorld:
    """A registry that wants tokens, and its token server on another port."""

    def __init__(self, registry: FakeRegistry, tokens: FakeRegistry, clock: FakeClock) -> None:
        self.registry, self.server, self.clock = registry, tokens, clock
        self.realm = f"{tokens.url}/token"
        self.service = "registry.test"
        self.life: Any = 300
        self.most_scopes = 99
        self.denied: set[str] = set()
        self.ignored: set[str] = set()
        self.shared_tokens_work = True
        self.refusal_status = 401
        self.issued: dict[str, tuple[set[str], float]] = {}
        self._lock = threading.Lock()
        registry.guard = self._guard
        tokens.guard = self._issue

    def _issue(self, seen: Seen) -> Act | None:
        fields = seen.query if seen.method == "GET" else parse_qs(seen.body.decode())
        scopes = fields.get("scope", []) if seen.method == "GET" else fields.get("scope", [""])[0].split()
        if len(scopes) > self.most_scopes:
            return answer(400, error("TOO_MANY", "one scope at a time"))
        if any(scope.split(":")[1] in self.denied for scope in scopes):
            return answer(403, error("DENIED", "requested access to the resource is denied"))
        with self._lock:
            token = f"token-{len(self.issued)}"
            granted = {scope for scope in scopes if scope.split(":")[1] not in self.ignored}
            self.issued[token] = (granted, self.clock.now() + 300)
        return answer(200, encoded({"token": token, "expires_in": self.life}))

    def _guard(self, seen: Seen) -> Act | None:
        scopes, expires = self.issued.get(seen.headers.get("authorization", "").removeprefix("Bearer "), (set(), 0.0))
        repository, action = seen.path.split("?")[0].removeprefix("/v2/").split("/manifests/")[0], "pull"
        if seen.method in ("POST", "PUT"):
            repository, action = repository.split("/blobs/")[0], "push"
        names = {part.split(":")[1]: part.split(":")[2].split(",") for part in scopes}
        usable = self.shared_tokens_work or len(scopes) == 1
        if expires > self.clock.now() and usable and action in names.get(repository, []):
            return None
        if expires and self.refusal_status != 401:
            return answer(self.refusal_status, error("DENIED", "token not valid for this repository"))
        challenge = f'Bearer realm="{self.realm}",service="{self.service}",scope="repository:{repository}:{action}"'
        return answer(401, error("UNAUTHORIZED", "authentication required"), www_authenticate=challenge)

    def add(self, *repositories: str) -> list[Reference]:
        for repository in repositories:
            self.registry.add_manifest(repository, "latest", IMAGE)
        return [Reference.parse(f"{self.registry.host}/{repository}") for repository in repositories]

    @property
    def token_scopes(self) -> list[list[str]]:
        return [seen.query.get("scope", []) for seen in self.server.seen]


@pytest.fixture
def world(start: Callable[..., FakeRegistry], clock: FakeClock) -> TokenWorld:
    return TokenWorld(start(), start(), clock)


def head_all(client: Client, refs: list[Reference]) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert [found.digest for found in threads.map(client.head_manifest, refs)] == [Digest.of(IMAGE)] * len(refs)


def test_an_anonymous_token_serves_for_its_whole_life(world: TokenWorld, client: Client) -> None:
    refs = world.add("team/app")
    for _turn in range(3):
        client.head_manifest(refs[0])
    assert [seen.path for seen in world.server.seen] == [
        "/token?service=registry.test&scope=repository%3Ateam%2Fapp%3Apull"
    ]
    assert "authorization" not in world.server.seen[0].headers
    assert len(world.registry.seen) == 4


def test_a_password_goes_to_the_token_server_and_nowhere_else(
    world: TokenWorld, connect: Callable[..., Client]
) -> None:
    connect(credentials=lambda name: USER).head_manifest(world.add("team/app")[0])
    assert world.server.seen[0].headers["authorization"] == USER.basic
    assert not any(USER.basic in seen.headers.values() for seen in world.registry.seen)


def test_many_threads_need_one_challenge_and_one_token(world: TokenWorld, client: Client) -> None:
    refs = world.add(*(f"team/app{number}" for number in range(20)))
    client.expect(refs)
    head_all(client, refs * 5)
    assert len(world.server.seen) == 1
    assert len(world.token_scopes[0]) == 20
    assert len(world.registry.seen) == len(refs) * 5 + 1


def test_a_token_is_not_asked_for_more_than_fits(world: TokenWorld, client: Client) -> None:
    refs = world.add(*(f"team/app{number}" for number in range(60)))
    client.expect(refs)
    head_all(client, refs)
    assert sorted(len(scopes) for scopes in world.token_scopes) == [10, 25, 25]


def test_what_was_not_expected_gets_a_token_too(world: TokenWorld, client: Client) -> None:
    refs = world.add("team/a", "team/b")
    head_all(client, refs)
    assert sorted(world.token_scopes) == [["repository:team/a:pull"], ["repository:team/b:pull"]]


def test_pushing_needs_another_grant(world: TokenWorld, client: Client) -> None:
    ref = world.add("team/a")[0]
    client.expect([ref], push=True)
    client.head_manifest(ref)
    client.mount_blob(ref, Digest.of(b""), "team/b")
    client.put_manifest(ref.with_tag("new"), IMAGE, "application/vnd.oci.image.manifest.v1+json")
    assert world.token_scopes == [
        ["repository:team/a:pull,push"],
        ["repository:team/a:pull,push", "repository:team/b:pull"],
    ]


def test_a_token_server_that_wants_one_repository_at_a_time_gets_it(world: TokenWorld, client: Client) -> None:
    world.most_scopes = 1
    refs = world.add(*(f"team/app{number}" for number in range(6)))
    client.expect(refs)
    head_all(client, refs)
    assert sorted(len(scopes) for scopes in world.token_scopes) == [1] * 6 + [6]
    assert len(world.registry.seen) == len(refs) + 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_takes_no_shared_tokens_gets_others(world: TokenWorld, client: Client, status: int) -> None:
    world.shared_tokens_work, world.refusal_status = False, status
    refs = world.add(*(f"team/app{number}" for number in range(6)))
    client.expect(refs)
    for ref in refs:
        client.head_manifest(ref)
        client.head_manifest(ref)
    assert [len(scopes) for scopes in world.token_scopes] == [6, 1, 1, 1, 1, 1, 1]


def test_a_repository_that_a_shared_token_leaves_out_gets_its_own(world: TokenWorld, client: Client) -> None:
    refs = world.add("team/a", "team/b", "team/c")
    client.expect(refs)
    world.ignored = {"team/b"}
    client.head_manifest(refs[0])
    world.ignored = set()
    client.head_manifest(refs[1])
    assert world.token_scopes[1] == ["repository:team/b:pull"]


def test_a_denied_repository_does_not_spoil_the_others(world: TokenWorld, client: Client) -> None:
    refs = world.add("team/a", "team/b", "team/denied")
    client.expect(refs)
    world.denied = {"team/denied"}
    with pytest.raises(Unauthorized, match=f"get a token for {world.registry.host}: .*is denied") as caught:
        client.head_manifest(refs[2])
    assert (caught.value.status, caught.value.repository) == (403, "team/denied")
    head_all(client, refs[:2])


@pytest.mark.parametrize(("status", "said"), [(401, "wants credentials"), (403, "does not allow it")])
def test_a_repository_that_is_always_refused_ends_in_an_error(
    world: TokenWorld, client: Client, status: int, said: str
) -> None:
    refs = world.add("team/a", "team/b")
    client.expect(refs)
    world.ignored, world.refusal_status = {"team/b"}, status
    with pytest.raises(Unauthorized, match=said):
        client.head_manifest(refs[1])
    client.head_manifest(refs[0])
    assert len(world.registry.seen) <= 4


@pytest.mark.parametrize(
    ("life", "after", "tokens"),
    [(300, 260, 1), (300, 271, 2), (None, 45, 1), (None, 50, 2), (True, 50, 2), (-7, 50, 2), ("300", 50, 2), (1, 2, 2)],
)
def test_a_token_is_renewed_before_it_ends(
    world: TokenWorld, client: Client, clock: FakeClock, life: Any, after: float, tokens: int
) -> None:
    world.life = life
    ref = world.add("team/app")[0]
    client.head_manifest(ref)
    clock.time += after
    client.head_manifest(ref)
    assert len(world.server.seen) == tokens
    assert len([seen for seen in world.registry.seen if "authorization" not in seen.headers]) == 1


def test_a_token_that_ends_early_is_renewed_by_one_thread(world: TokenWorld, client: Client) -> None:
    ref = world.add("team/app")[0]
    client.head_manifest(ref)
    world.issued.clear()
    world.issued["gone"] = (set(), 0.0)
    head_all(client, [ref] * 32)
    assert 2 <= len(world.server.seen) <= 3


def test_an_identity_token_is_exchanged_in_the_body(world: TokenWorld, connect: Callable[..., Client]) -> None:
    refs = world.add("team/a", "team/b")
    client = connect(credentials=lambda name: Credentials(identity_token="id&token"))
    client.expect(refs)
    head_all(client, refs)
    (asked,) = world.server.seen
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["registry.test"],
        "client_id": ["stevedore.ecr"],
        "scope": ["repository:team/a:pull repository:team/b:pull"],
        "refresh_token": ["id&token"],
    }


def test_a_registry_token_is_sent_as_it_is(world: TokenWorld, connect: Callable[..., Client]) -> None:
    ref = world.add("team/app")[0]
    world.issued["mine"] = ({"repository:team/app:pull"}, 2000.0)
    client = connect(credentials=lambda name: Credentials(registry_token="mine"))
    client.head_manifest(ref)
    assert not world.server.seen
    world.issued.clear()
    with pytest.raises(Unauthorized, match="does not accept the credentials"):
        client.head_manifest(ref)


def test_a_realm_may_have_a_query_and_no_service(world: TokenWorld, client: Client) -> None:
    world.realm, world.service = f"{world.server.url}/token?account=x#part", ""
    client.head_manifest(world.add("team/app")[0])
    assert world.server.seen[0].path == "/token?account=x&scope=repository%3Ateam%2Fapp%3Apull"


def test_a_ping_asks_for_no_repository(world: TokenWorld, client: Client) -> None:
    world.registry.guard = lambda seen: (
        None if "authorization" in seen.headers else answer(401, www_authenticate=f'Bearer realm="{world.realm}"')
    )
    client.ping(world.registry.host)
    assert world.server.seen[0].path == "/token"


# Where credentials do not go


def test_credentials_do_not_go_to_an_unrelated_host(world: TokenWorld, connect: Callable[..., Client]) -> None:
    world.realm = "https://evil.example/token"
    client = connect(credentials=lambda name: USER)
    said = "wants the credentials to be sent to https://evil.example, and its host belongs to another domain"
    with pytest.raises(Unauthorized, match=said) as caught:
        client.head_manifest(world.add("team/app")[0])
    assert "they were not sent" in str(caught.value)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("realm", ["", "nowhere", "ftp://host/token", "https://user:pw@host/token", "http://[::/"])
def test_a_realm_that_is_no_address_is_refused(world: TokenWorld, client: Client, realm: str) -> None:
    world.realm = realm
    with pytest.raises(Unauthorized, match="names no usable token server") as caught:
        client.head_manifest(world.add("team/app")[0])
    assert "pw" not in str(caught.value)


def test_a_token_server_that_redirects_a_login_is_refused(world: TokenWorld, connect: Callable[..., Client]) -> None:
    client = connect(credentials=lambda name: Credentials(identity_token="id-token"))
    world.server.on("POST", "token", answer(307, location="https://evil.example/"))
    with pytest.raises(RegistryError, match=r"answers POST with a redirect to https://evil.example/\."):
        client.head_manifest(world.add("team/app")[0])


# Token servers in trouble


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (answer(200, b"not json"), "gave no JSON object"),
        (answer(200, b"[]"), "gave no JSON object"),
        (answer(200, b"[" * 100_000), "gave no JSON object"),
        (answer(200, b"{}"), "gave no token"),
        (answer(200, b'{"token":7}'), "gave no token"),
        (answer(200, b'{"token":"a\\r\\nX: b"}'), "gave no token"),
        (answer(401, b'{"details":"incorrect username or password"}'), "incorrect username or password"),
        (answer(403, b"no pass-word for user", content_type="text/plain"), r"said: no \*\*\* for user"),
        (answer(404), "does not have it"),
    ],
)
def test_what_a_token_server_does_wrong_is_named(
    world: TokenWorld, connect: Callable[..., Client], act: Act, said: str
) -> None:
    world.server.on("GET", "token", act)
    with pytest.raises(RegistryError, match=f"Failed to get a token for {world.registry.host}: .*{said}"):
        connect(credentials=lambda name: USER).head_manifest(world.add("team/app")[0])


def test_an_access_token_is_a_token(world: TokenWorld, client: Client) -> None:
    world.issued["other"] = ({"repository:team/app:pull"}, 2000.0)
    world.server.on("GET", "token", answer(200, b'{"access_token":"other"}'))
    client.head_manifest(world.add("team/app")[0])


def test_a_token_server_is_asked_with_patience(world: TokenWorld, client: Client, clock: FakeClock) -> None:
    world.server.on("GET", "token", reset, answer(503), answer(429, retry_after="9"))
    client.head_manifest(world.add("team/app")[0])
    assert clock.slept[2] >= 9


@pytest.mark.parametrize(("act", "kind"), [(reset, Unreachable), (answer(429, retry_after="999"), RateLimited)])
def test_a_token_server_that_fails_for_all_is_asked_by_one_at_a_time(
    world: TokenWorld, connect: Callable[..., Client], act: Act, kind: type[Exception]
) -> None:
    refs = world.add("team/a", "team/b", "team/c", "team/d")
    client = connect(patience=Patience(attempts=2))
    client.expect(refs)
    world.server.on("GET", "token", act, times=99)

    def fails(ref: Reference) -> bool:
        try:
            client.head_manifest(ref)
        except kind as failure:
            return not isinstance(failure, RateLimited) or failure.retry_after == 999
        return False

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(fails, refs)) == [True] * 4


def test_a_waiting_thread_takes_its_turn_when_the_first_one_fails(world: TokenWorld, client: Client) -> None:
    refs = world.add("team/a", "team/b")
    client.expect(refs)
    asked, go_on = threading.Event(), threading.Event()

    def deny_late(handler: Handler) -> None:
        asked.set()
        go_on.wait(5)
        handler.reply(403, error("DENIED", "no"))

    world.server.on("GET", "token", deny_late)
    world.denied = {"team/a"}
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.head_manifest, refs[0])
        assert asked.wait(5)
        second = threads.submit(client.head_manifest, refs[1])
        go_on.set()
        with pytest.raises(Unauthorized):
            first.result(5)
        assert second.result(5).digest == Digest.of(IMAGE)


# Passwords, and registries that want none


@pytest.fixture
def guarded(registry: FakeRegistry) -> FakeRegistry:
    challenge = answer(401, www_authenticate='Basic realm="registry"')
    registry.guard = lambda seen: None if seen.headers.get("authorization") == USER.basic else challenge
    registry.add_manifest("team/app", "latest", IMAGE)
    return registry


def app(registry: FakeRegistry) -> Reference:
    return Reference.parse(f"{registry.host}/team/app")


def test_a_password_is_sent_where_it_is_asked_for(guarded: FakeRegistry, connect: Callable[..., Client]) -> None:
    client = connect(credentials=lambda name: USER)
    head_all(client, [app(guarded)] * 20)
    assert len(guarded.seen) == 21


def test_an_open_registry_gets_no_password(registry: FakeRegistry, connect: Callable[..., Client]) -> None:
    registry.add_manifest("team/app", "latest", IMAGE)
    head_all(connect(credentials=lambda name: USER), [app(registry)] * 20)
    assert len(registry.seen) == 20
    assert not any("authorization" in seen.headers for seen in registry.seen)


def test_after_the_first_answer_all_threads_go_at_once(registry: FakeRegistry, client: Client) -> None:
    registry.add_manifest("team/app", "latest", IMAGE)
    all_started, together = threading.Barrier(9), threading.Barrier(7)

    def answer_when_all_have_started(handler: Handler) -> None:
        all_started.wait(5)
        registry.serve(handler)

    def answer_when_all_are_here(handler: Handler) -> None:
        together.wait(5)
        registry.serve(handler)

    registry.on("HEAD", "", answer_when_all_have_started)
    registry.on("HEAD", "", answer_when_all_are_here, times=7)

    def head(number: int) -> Digest:
        if number:
            all_started.wait(5)
        return client.head_manifest(app(registry)).digest

    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(head, 0)
        others = [threads.submit(head, number) for number in range(1, 8)]
        threads.submit(all_started.wait, 5)
        assert {task.result(10) for task in (first, *others)} == {Digest.of(IMAGE)}
    assert not together.broken


@pytest.mark.parametrize(
    ("credentials", "said", "requests"),
    [
        (None, "wants credentials .401.*docker login", 1),
        (Credentials("user", "wrong"), "does not accept the credentials", 2),
        (Credentials(identity_token="x"), "does not accept the credentials", 1),
    ],
)
def test_who_may_not_come_in_is_told_why(
    guarded: FakeRegistry, connect: Callable[..., Client], credentials: Credentials | None, said: str, requests: int
) -> None:
    client = connect({guarded.host: RegistrySettings(credentials=lambda: credentials)})
    with pytest.raises(Unauthorized, match=said) as caught:
        client.head_manifest(app(guarded))
    assert "wrong" not in str(caught.value)
    assert len(guarded.seen) == requests


@pytest.mark.parametrize("status", [401, 403])
def test_a_password_that_was_renewed_is_used(
    guarded: FakeRegistry, connect: Callable[..., Client], status: int
) -> None:
    current = [Credentials("user", "old")]

    def expire(handler: Handler) -> None:
        current[0] = USER
        handler.reply(status, error("DENIED", "Your authorization token has expired."))

    client = connect(credentials=lambda name: current[0])
    guarded.on("HEAD", "", answer(401, www_authenticate="Basic realm=x"))
    guarded.on("HEAD", "", expire)
    assert client.head_manifest(app(guarded)).digest == Digest.of(IMAGE)
    assert len(guarded.seen) == 3


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Negotiate", "it wants negotiate, which this collection cannot do"),
        ('NTLM, Digest realm="x"', "it wants digest or ntlm"),
        ("", "does not accept the credentials"),
    ],
)
def test_other_ways_to_log_in_are_named(
    registry: FakeRegistry, connect: Callable[..., Client], header: str, said: str
) -> None:
    registry.on("HEAD", "", answer(401, **({"www_authenticate": header} if header else {})), times=9)
    with pytest.raises(Unauthorized, match=said):
        connect(credentials=lambda name: USER).head_manifest(app(registry))


def test_a_refusal_without_a_challenge_is_final(guarded: FakeRegistry, connect: Callable[..., Client]) -> None:
    guarded.on("HEAD", "", answer(403, error("DENIED", "not yours")), times=9)
    with pytest.raises(Unauthorized, match="does not allow it"):
        connect(credentials=lambda name: USER).head_manifest(app(guarded))
    assert len(guarded.seen) == 1


def test_a_registry_that_cannot_be_reached_is_tried_by_all_at_once(
    registry: FakeRegistry, connect: Callable[..., Client], clock: FakeClock
) -> None:
    registry.on("HEAD", "", reset)
    registry.add_manifest("team/app", "latest", IMAGE)
    client = connect(patience=Patience(attempts=1))
    with pytest.raises(Unreachable):
        client.head_manifest(app(registry))
    head_all(client, [app(registry)] * 8)
