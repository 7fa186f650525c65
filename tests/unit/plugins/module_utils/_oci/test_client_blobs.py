# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings, UploadSession
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    DigestMismatch,
    NotFound,
    RateLimited,
    RegistryError,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http, Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    FakeRegistry,
    Handler,
    answer,
    chunked,
    error,
    partly,
    reset,
)

MIB = 1 << 20
# A little over two chunks.
CONTENT = os.urandom(2 * MIB + 12_345)


def blob_of(content: bytes, algorithm: str = "sha256") -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content, algorithm), len(content))


BLOB = blob_of(CONTENT)


@pytest.fixture
def ref(registry: FakeRegistry) -> Reference:
    registry.add_blob("team/app", CONTENT)
    return Reference.parse(f"{registry.host}/team/app")


def read(client: Client, ref: Reference, blob: Descriptor = BLOB) -> bytes:
    with client.get_blob(ref, blob) as stream:
        return b"".join(iter(stream.read, b""))


def test_a_blob_is_read_in_chunks(client: Client, ref: Reference, registry: FakeRegistry, counters: Counters) -> None:
    with client.get_blob(ref, BLOB) as stream:
        pieces = list(iter(stream.read, b""))
        assert stream.read() == b""
    assert b"".join(pieces) == CONTENT
    assert [len(piece) for piece in pieces] == [MIB, MIB, 12_345]
    assert counters.received[registry.host] == len(CONTENT)
    assert len(registry.seen) == 1


def test_small_pieces_are_given_too(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    registry.add_blob("team/app", b"0123456789")
    with client.get_blob(ref, blob_of(b"0123456789")) as stream:
        assert list(iter(lambda: stream.read(4), b"")) == [b"0123", b"4567", b"89"]


def test_one_connection_serves_for_everything(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    ports = set()

    def note_port(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        registry.serve(handler)

    registry.guard = lambda seen: note_port
    for _turn in range(2):
        assert read(client, ref) == CONTENT
        assert client.head_blob(ref, BLOB.digest)
        assert not client.head_blob(ref, Digest.of(b"none"))
        with pytest.raises(NotFound):
            client.get_manifest(ref)
        client.upload_blob(ref.with_tag("x"), blob_of(b"new"), Source(b"new"))
        registry.on("GET", "blobs", answer(307, location=f"/v2/team/app/blobs/{BLOB.digest}"))
        assert read(client, ref) == CONTENT
    assert len(ports) == 1


def test_an_empty_blob_is_verified_too(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    registry.add_blob("team/app", b"")
    assert read(client, ref, blob_of(b"")) == b""
    wrong = Descriptor("x/y", BLOB.digest, 0)
    registry.on("GET", "blobs", answer(200))
    with pytest.raises(DigestMismatch, match="its content has the digest"):
        read(client, ref, wrong)


def test_other_digests_are_verified(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    blob = blob_of(CONTENT, "sha512")
    registry.blobs["team/app", str(blob.digest)] = CONTENT
    assert read(client, ref, blob) == CONTENT


def test_a_corrupted_blob_is_not_given_to_its_end(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    registry.on("GET", "blobs", answer(200, b"X" + CONTENT[1:]))
    with client.get_blob(ref, BLOB) as stream:
        assert [len(stream.read()), len(stream.read())] == [MIB, MIB]
        with pytest.raises(DigestMismatch, match=f"read {BLOB.digest} from {ref.name}"):
            stream.read()


@pytest.mark.parametrize("cut", [0, 1, MIB - 1, MIB, 2 * MIB + 12_344])
def test_a_broken_blob_is_resumed_where_it_broke(
    client: Client, ref: Reference, registry: FakeRegistry, counters: Counters, cut: int
) -> None:
    registry.on("GET", "blobs", partly(200, CONTENT[:cut], len(CONTENT)))
    assert read(client, ref) == CONTENT
    ranges = [seen.headers.get("range") for seen in registry.asked("GET")]
    assert ranges == [None, f"bytes={cut}-" if cut else None]
    assert counters.received[registry.host] == len(CONTENT)


def test_a_reset_before_the_answer_is_tried_again(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    registry.on("GET", "blobs", reset, reset)
    assert read(client, ref) == CONTENT


def test_a_range_that_is_ignored_means_reading_the_beginning_again(
    client: Client, ref: Reference, registry: FakeRegistry
) -> None:
    registry.on("GET", "blobs", partly(200, CONTENT[: MIB + 7], len(CONTENT)), answer(200, CONTENT))
    assert read(client, ref) == CONTENT


def test_the_beginning_may_break_again_too(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    whole = len(CONTENT)
    registry.on("GET", "blobs", partly(200, CONTENT[: MIB + 7], whole), partly(200, CONTENT[:5], whole))
    assert read(client, ref) == CONTENT


def test_the_beginning_may_be_all_there_is(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    registry.on("GET", "blobs", partly(200, CONTENT[: MIB + 7], len(CONTENT)), chunked(CONTENT[:5]))
    assert read(client, ref) == CONTENT


def test_a_registry_may_give_less_of_a_range(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    part = CONTENT[MIB : MIB + 100]
    content_range = f"bytes {MIB}-{MIB + 99}/*"
    registry.on(
        "GET", "blobs", partly(200, CONTENT[:MIB], len(CONTENT)), answer(206, part, content_range=content_range)
    )
    assert read(client, ref) == CONTENT
    assert registry.asked("GET")[2].headers["range"] == f"bytes={MIB + 100}-"


@pytest.mark.parametrize(
    ("content_range", "length"),
    [
        ("", 10),
        ("bytes 0-9/10", 10),
        (f"bytes 0-9/{len(CONTENT)}", 10),
        ("bytes 100-109/99999", 10),
        (f"bytes 100-{len(CONTENT)}/*", 10),
        ("items 100-109/*", 10),
    ],
)
def test_other_bytes_than_were_asked_for_are_refused(
    client: Client, ref: Reference, registry: FakeRegistry, content_range: str, length: int
) -> None:
    registry.on("GET", "blobs", partly(200, CONTENT[:100], len(CONTENT)))
    registry.on("GET", "blobs", answer(206, CONTENT[:length], content_range=content_range))
    with pytest.raises(RegistryError, match="asked for the bytes from 100 on"):
        read(client, ref)


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (answer(200, CONTENT + b"!"), TooLarge, f"it has {len(CONTENT) + 1} bytes, and {len(CONTENT)} were announced"),
        (chunked(CONTENT + b"!"), TooLarge, "it goes on after the"),
        (answer(200, CONTENT[:-1]), DigestMismatch, f"it has only {len(CONTENT) - 1} bytes"),
        (answer(206, CONTENT, content_range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"), RegistryError, "206"),
        (answer(204), RegistryError, "204"),
        (answer(302), RegistryError, "302"),
        (answer(404, error("BLOB_UNKNOWN", "blob unknown")), NotFound, "blob unknown"),
        (answer(403), Unauthorized, "does not allow it"),
    ],
)
def test_what_is_not_the_blob_is_refused(
    client: Client, ref: Reference, registry: FakeRegistry, act: Callable[..., None], kind: type[Exception], said: str
) -> None:
    registry.on("GET", "blobs", act)
    with pytest.raises(kind, match=said):
        read(client, ref)


def test_a_blob_that_ends_early_every_time_is_given_up(
    client: Client, ref: Reference, registry: FakeRegistry, clock: FakeClock
) -> None:
    registry.on("GET", "blobs", chunked(CONTENT[:10]), times=20)
    with pytest.raises(Unreachable, match=f"the connection ended after 10 of {len(CONTENT)} bytes|before byte 10"):
        read(client, ref)
    assert len(registry.asked("GET")) == 5
    assert len(clock.slept) == 4


def test_progress_earns_new_patience(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    content = os.urandom(7 * MIB)
    digest = registry.add_blob("team/app", content)
    for at in range(7):
        promised = len(content) - at * MIB
        span = f"bytes {at * MIB}-{len(content) - 1}/{len(content)}"
        registry.on(
            "GET", digest, partly(206 if at else 200, content[at * MIB : (at + 1) * MIB], promised, content_range=span)
        )
    assert read(client, ref, blob_of(content)) == content


def test_a_blob_that_is_not_wanted_any_more_can_be_closed(client: Client, ref: Reference) -> None:
    stream = client.get_blob(ref, BLOB)
    assert stream.read(10) == CONTENT[:10]
    stream.close()
    stream.close()
    assert read(client, ref) == CONTENT


def test_a_closed_reader_goes_on_where_it_was(client: Client, ref: Reference) -> None:
    stream = client.get_blob(ref, BLOB)
    first = stream.read()
    stream.close()
    assert first + b"".join(iter(stream.read, b"")) == CONTENT


def test_whether_a_blob_is_there(client: Client, ref: Reference, registry: FakeRegistry) -> None:
    assert client.head_blob(ref, BLOB.digest)
    assert not client.head_blob(ref, Digest.of(b"none"))
    registry.on("HEAD", "blobs", answer(403))
    with pytest.raises(Unauthorized):
        client.head_blob(ref, BLOB.digest)


class Source:
    """Content to send that counts how often it was opened and closed."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content, self.opened, self.closed = content, 0, 0

    def __call__(self) -> Source:
        self.opened += 1
        self._file = io.BytesIO(self.content)
        return self

    def read(self, amount: int, /) -> bytes:
        assert 0 < amount <= MIB
        return self._file.read(amount)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def new(registry: FakeRegistry) -> Reference:
    return Reference.parse(f"{registry.host}/team/new")


def test_an_upload_is_two_requests(client: Client, new: Reference, registry: FakeRegistry, counters: Counters) -> None:
    source = Source()
    client.upload_blob(new, BLOB, source)
    assert registry.blobs["team/new", str(BLOB.digest)] == CONTENT
    begin, put = registry.seen
    assert (begin.method, begin.path, begin.length) == ("POST", "/v2/team/new/blobs/uploads/", 0)
    assert put.path == f"/v2/team/new/blobs/uploads/session?state=a%2Fb&digest=sha256%3A{BLOB.digest.encoded}"
    assert put.headers["content-length"] == str(len(CONTENT))
    assert "transfer-encoding" not in put.headers
    assert (source.opened, source.closed) == (1, 1)
    assert counters.sent[registry.host] == len(CONTENT)


def test_content_is_sent_in_pieces_that_slow_networks_can_take(
    client: Client, new: Reference, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has its time."""
    sizes: list[int] = []
    send = Http.send

    def measured(content: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for piece in content:
            sizes.append(len(piece))
            yield piece

    monkeypatch.setattr(Http, "send", lambda http, request, content: send(http, request, measured(content)))
    client.upload_blob(new, BLOB, Source())
    assert registry.blobs["team/new", str(BLOB.digest)] == CONTENT
    assert sizes == [MIB // 4] * 8 + [12_345]


def test_an_empty_blob_is_uploaded(client: Client, new: Reference, registry: FakeRegistry) -> None:
    client.upload_blob(new, blob_of(b""), Source(b""))
    assert registry.blobs["team/new", str(Digest.of(b""))] == b""


@pytest.mark.parametrize(
    "location", ["{url}/v2/team/new/blobs/uploads/session", "session", "/v2/team/new/blobs/uploads/session?a=b"]
)
def test_the_content_goes_where_the_registry_says(
    client: Client, new: Reference, registry: FakeRegistry, location: str
) -> None:
    registry.on("POST", "uploads", answer(202, location=location.format(url=registry.url)))
    client.upload_blob(new, BLOB, Source())
    assert ("team/new", str(BLOB.digest)) in registry.blobs


def test_content_for_another_host_goes_without_credentials(
    connect: Callable[..., Client], new: Reference, registry: FakeRegistry, start: Callable[..., FakeRegistry]
) -> None:
    storage = start()
    registry.guard = lambda seen: (
        None if "authorization" in seen.headers else answer(401, www_authenticate="Basic realm=x")
    )
    registry.on("POST", "uploads", answer(401, www_authenticate="Basic realm=x"))
    registry.on("POST", "uploads", answer(202, location=f"{storage.url}/v2/team/new/blobs/uploads/session"))
    client = connect(credentials=lambda name: Credentials("user", "pw"))
    client.upload_blob(new, BLOB, Source())
    assert ("team/new", str(BLOB.digest)) in storage.blobs
    assert "authorization" in registry.asked("POST")[1].headers
    assert "authorization" not in storage.seen[0].headers


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ({}, "does not say where"),
        ({"location": "ftp://host/"}, "no address on the web"),
        ({"location": "http://[::/"}, "no address on the web"),
    ],
)
def test_a_session_without_an_address_is_refused(
    client: Client, new: Reference, registry: FakeRegistry, location: dict[str, str], said: str
) -> None:
    registry.on("POST", "uploads", answer(202, **location))
    with pytest.raises(RegistryError, match=said):
        client.upload_blob(new, BLOB, Source())


def store_then_reset(registry: FakeRegistry) -> Callable[[Handler], None]:
    def act(handler: Handler) -> None:
        registry.add_blob("team/new", CONTENT)
        reset(handler)

    return act


@pytest.mark.parametrize(
    "act",
    [
        reset,
        answer(500),
        answer(503),
        answer(429),
        answer(429, retry_after="3"),
        answer(404, error("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")),
    ],
)
def test_an_upload_that_fails_is_begun_again(
    client: Client, new: Reference, registry: FakeRegistry, clock: FakeClock, act: Callable[..., None]
) -> None:
    source = Source()
    registry.on("PUT", "uploads", act, act)
    client.upload_blob(new, BLOB, source)
    assert registry.blobs["team/new", str(BLOB.digest)] == CONTENT
    assert (source.opened, source.closed) == (3, 3)
    assert len(registry.asked("POST")) == 3
    assert len(clock.slept) == 2


def test_a_registry_may_take_its_time_to_accept_content(
    connect: Callable[..., Client], new: Reference, registry: FakeRegistry
) -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.3)
        registry.serve(handler)

    source = Source(b"new")
    registry.on("PUT", "uploads", slowly)
    connect(patience=Patience(attempts=1, read=0.1)).upload_blob(new, blob_of(b"new"), source)
    assert source.opened == 1


@pytest.mark.parametrize("act", [reset, answer(503)])
def test_an_upload_that_fails_late_is_begun_again_too(
    client: Client, new: Reference, registry: FakeRegistry, clock: FakeClock, act: Callable[..., None]
) -> None:
    """The time that content takes is not time that a registry in trouble is waited for."""

    class Slow(Source):
        def read(self, amount: int, /) -> bytes:
            clock.time += 100
            return super().read(amount)

    registry.on("PUT", "uploads", *4 * [act])
    client.upload_blob(new, BLOB, Slow())
    assert registry.blobs["team/new", str(BLOB.digest)] == CONTENT


def test_an_upload_whose_answer_was_lost_is_not_sent_twice(
    client: Client, new: Reference, registry: FakeRegistry
) -> None:
    source = Source()
    registry.on("PUT", "uploads", store_then_reset(registry))
    client.upload_blob(new, BLOB, source)
    assert source.opened == 1
    assert len(registry.asked("PUT")) == 1


def test_a_connection_that_breaks_during_an_upload_is_met_by_another(
    client: Client, new: Reference, registry: FakeRegistry
) -> None:
    source = Source()
    registry.cut_uploads += [0, MIB // 2]
    client.upload_blob(new, BLOB, source)
    assert registry.blobs["team/new", str(BLOB.digest)] == CONTENT
    assert (source.opened, source.closed) == (3, 3)


@pytest.mark.parametrize(
    ("act", "kind", "said", "puts"),
    [
        (reset, Unreachable, "no answer from http://127.0.0.1:[0-9]+/v2/team/new/blobs/uploads/session", 5),
        (answer(503), RegistryError, "is in trouble", 5),
        (answer(429, retry_after="3600"), RateLimited, "too many requests", 1),
        (answer(400, error("DIGEST_INVALID", "did not match")), RegistryError, "did not match", 1),
        (answer(413), TooLarge, "no content of this size", 1),
        (answer(403), Unauthorized, "does not allow it", 1),
    ],
)
def test_an_upload_that_cannot_succeed_is_given_up(
    client: Client,
    new: Reference,
    registry: FakeRegistry,
    act: Callable[..., None],
    kind: type[RegistryError],
    said: str,
    puts: int,
) -> None:
    registry.on("PUT", "uploads", act, times=20)
    with pytest.raises(kind, match=said) as caught:
        client.upload_blob(new, BLOB, Source())
    assert f"upload {BLOB.digest} to {new.name}" in str(caught.value)
    assert "state=" not in str(caught.value)
    assert len(registry.asked("PUT")) == puts


def test_a_redirected_upload_is_refused(client: Client, new: Reference, registry: FakeRegistry) -> None:
    registry.on("POST", "uploads", answer(307, location="https://user:pw@elsewhere.example/v2/?sig=s3cret"))
    with pytest.raises(
        RegistryError, match=r"answers POST with a redirect to https://elsewhere.example/v2/\."
    ) as caught:
        client.upload_blob(new, BLOB, Source())
    assert "s3cret" not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_content_that_is_too_short_is_never_published(client: Client, new: Reference, registry: FakeRegistry) -> None:
    with pytest.raises(DigestMismatch, match=f"the content ends 1 bytes before its size of {len(CONTENT)}"):
        client.upload_blob(new, BLOB, Source(CONTENT[:-1]))
    assert ("team/new", str(BLOB.digest)) not in registry.blobs
    assert not registry.asked("PUT")


def test_a_registry_that_took_something_else_is_not_believed(
    client: Client, new: Reference, registry: FakeRegistry
) -> None:
    registry.on("PUT", "uploads", answer(201, docker_content_digest=str(Digest.of(b"other"))))
    with pytest.raises(DigestMismatch, match="its digest should be"):
        client.upload_blob(new, BLOB, Source())


def test_a_copy_streams_from_registry_to_registry(
    client: Client, ref: Reference, registry: FakeRegistry, start: Callable[..., FakeRegistry]
) -> None:
    destination = start()
    registry.on("GET", "blobs", partly(200, CONTENT[:MIB], len(CONTENT)))
    target = Reference.parse(f"{destination.host}/team/new")
    client.upload_blob(target, BLOB, lambda: client.get_blob(ref, BLOB))
    assert destination.blobs["team/new", str(BLOB.digest)] == CONTENT
    assert len(destination.seen) == 2


def test_a_copy_of_a_corrupted_blob_is_never_published(
    client: Client, ref: Reference, registry: FakeRegistry, start: Callable[..., FakeRegistry]
) -> None:
    destination = start()
    registry.on("GET", "blobs", answer(200, CONTENT[:-1] + b"X"), times=9)
    target = Reference.parse(f"{destination.host}/team/new")
    with pytest.raises(DigestMismatch, match=f"Failed to read {BLOB.digest} from {ref.name}"):
        client.upload_blob(target, BLOB, lambda: client.get_blob(ref, BLOB))
    assert not destination.blobs
    assert len(registry.asked("GET")) == 1


def test_a_mount_moves_nothing(client: Client, ref: Reference, new: Reference, registry: FakeRegistry) -> None:
    assert client.mount_blob(new, BLOB.digest, ref.repository) is None
    assert ("team/new", str(BLOB.digest)) in registry.blobs
    assert registry.seen[0].query == {"mount": [str(BLOB.digest)], "from": ["team/app"]}
    assert len(registry.seen) == 1


def test_a_mount_that_is_not_made_goes_on_as_an_upload(client: Client, new: Reference, registry: FakeRegistry) -> None:
    session = client.mount_blob(new, BLOB.digest, "team/other")
    assert isinstance(session, UploadSession)
    client.upload_blob(new, BLOB, Source(), session)
    assert ("team/new", str(BLOB.digest)) in registry.blobs
    assert len(registry.seen) == 2


def test_a_session_that_was_lost_is_not_used_again(client: Client, new: Reference, registry: FakeRegistry) -> None:
    session = client.mount_blob(new, BLOB.digest, "team/other")
    registry.on("PUT", "uploads", answer(404, error("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")))
    client.upload_blob(new, BLOB, Source(), session)
    assert len(registry.asked("POST")) == 2


def test_a_mount_that_is_refused_is_an_upload_too(client: Client, new: Reference, registry: FakeRegistry) -> None:
    registry.on("POST", "mount=", answer(404, error("NAME_UNKNOWN", "no such repository")))
    assert client.mount_blob(new, BLOB.digest, "team/other")
    assert len(registry.asked("POST")) == 2


# ECR says 403 of a token that is too old.
@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_run_out_during_an_upload_are_renewed(
    connect: Callable[..., Client], new: Reference, registry: FakeRegistry, status: int
) -> None:
    password = ["first"]

    def expire(handler: Handler) -> None:
        password[0] = "second"
        handler.reply(status, headers={"WWW-Authenticate": "Basic realm=x"})

    registry.on("POST", "uploads", answer(401, www_authenticate="Basic realm=x"))
    registry.on("PUT", "uploads", expire)
    settings = {registry.host: RegistrySettings(credentials=lambda: Credentials("user", password[0]))}
    connect(settings).upload_blob(new, BLOB, Source())
    sent = [seen.headers["authorization"] for seen in registry.asked("PUT")]
    assert sent == [Credentials("user", word).basic for word in ("first", "second")]
