# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client, RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked, Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import (
    RateLimited,
    RegistryError,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http, Patience, shown
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.tests.unit.support.fake_clock import FakeClock
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    OCI_MANIFEST,
    FakeRegistry,
    Handler,
    answer,
    image,
    partly,
    reset,
)

IMAGE = image()
DIGEST = Digest.of(IMAGE)
BASIC = {"www_authenticate": 'Basic realm="registry"'}
SERVED = {"content_type": OCI_MANIFEST, "content_length": str(len(IMAGE)), "docker_content_digest": str(DIGEST)}


@pytest.fixture
def ref(registry: FakeRegistry) -> Reference:
    registry.add_manifest("team/app", "1.0", IMAGE)
    return Reference.parse(f"{registry.host}/team/app:1.0")


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"this is no HTTP\r\n\r\n")
    handler.close_connection = True


TROUBLES = [
    [answer(500)],
    [answer(502), answer(503), answer(504), answer(500)],
    [reset],
    [reset, answer(503), reset, reset],
    [partly(200, IMAGE[:10], len(IMAGE), content_type=OCI_MANIFEST)],
    [garbage],
]


@pytest.mark.parametrize("acts", TROUBLES)
def test_passing_trouble_is_met_again(
    registry: FakeRegistry, client: Client, ref: Reference, clock: FakeClock, acts: list[Callable[..., None]]
) -> None:
    registry.on("GET", "manifests", *acts)
    assert client.get_manifest(ref).raw == IMAGE
    assert len(registry.asked("GET")) == len(acts) + 1
    assert len(clock.slept) == len(acts)
    assert all(pause <= 0.25 * 2 ** (turn + 1) for turn, pause in enumerate(clock.slept))


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (reset, Unreachable, "no answer from http://127.0.0.1:[0-9]+/v2/team/app/manifests/1.0: "),
        (answer(500), RegistryError, r"is in trouble \(500\)"),
        (answer(503), RegistryError, r"is in trouble \(503\)"),
    ],
)
def test_lasting_trouble_is_not(
    registry: FakeRegistry,
    client: Client,
    ref: Reference,
    clock: FakeClock,
    act: Callable[..., None],
    kind: type[Exception],
    said: str,
) -> None:
    registry.on("GET", "manifests", act, times=99)
    with pytest.raises(kind, match=f"Failed to read the manifest of {ref}: .*{said}"):
        client.get_manifest(ref)
    assert len(registry.asked("GET")) == 5
    assert sum(clock.slept) < 10


@pytest.mark.parametrize("status", [400, 404, 405, 501])
@pytest.mark.parametrize("body", [b"", b"x" * 200_000])
def test_a_refusal_is_final_however_long_it_is(
    registry: FakeRegistry, client: Client, ref: Reference, status: int, body: bytes
) -> None:
    registry.on("GET", "manifests", answer(status, body, content_type="text/plain"))
    with pytest.raises(RegistryError) as caught:
        client.get_manifest(ref)
    assert len(registry.seen) == 1
    assert len(str(caught.value)) < 1000
    assert not isinstance(caught.value, TooLarge)
    assert client.get_manifest(ref).raw == IMAGE


@pytest.mark.parametrize(
    ("headers", "shortest", "longest"),
    [
        ({"retry_after": "7"}, 7, 8),
        ({"retry_after": "0"}, 0.05, 1),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30, 31),
        ({}, 0.125, 0.5),
    ],
)
def test_a_busy_registry_is_waited_for(
    registry: FakeRegistry,
    client: Client,
    ref: Reference,
    clock: FakeClock,
    headers: dict[str, str],
    shortest: float,
    longest: float,
) -> None:
    def busy(handler: Handler) -> None:
        handler.send_response_only(429)
        for name, value in {"content-length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    registry.on("HEAD", "manifests", busy)
    assert client.head_manifest(ref).digest == DIGEST
    assert len(clock.slept) == 1
    assert shortest <= clock.slept[0] <= longest


def test_a_busy_registry_may_be_waited_for_more_often_than_a_broken_one(
    registry: FakeRegistry, client: Client, ref: Reference, clock: FakeClock
) -> None:
    registry.on("HEAD", "manifests", answer(429, retry_after="1"), times=20)
    assert client.head_manifest(ref).digest == DIGEST
    assert len(clock.slept) == 20


def test_a_wait_that_is_too_long_is_not_begun(
    registry: FakeRegistry, client: Client, ref: Reference, clock: FakeClock
) -> None:
    words = "You have reached your pull rate limit."
    registry.on("GET", "manifests", answer(429, words.encode(), retry_after="600", content_type="text/plain"))
    with pytest.raises(RateLimited, match=words) as caught:
        client.get_manifest(ref)
    assert caught.value.retry_after == 600
    assert clock.slept == []


def test_a_registry_that_stays_busy_is_given_up_in_time(
    registry: FakeRegistry, connect: Callable[..., Client], ref: Reference, clock: FakeClock
) -> None:
    registry.on("HEAD", "manifests", answer(429), times=999)
    client = connect(patience=Patience(seconds=60))
    with pytest.raises(RateLimited) as caught:
        client.head_manifest(ref)
    assert caught.value.retry_after is None
    assert sum(clock.slept) <= 60


def test_a_port_where_nobody_listens_is_named(client: Client) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(
            Unreachable, match=f"log in to {host}: no answer from http://{host}/v2/: .*refused"
        ) as caught:
            client.ping(host)
    assert "object at" not in str(caught.value)
    assert "Check the name, the network" in str(caught.value)


def test_an_address_that_cannot_be_one_is_not_tried_twice(connect: Callable[..., Client], clock: FakeClock) -> None:
    client = connect({"x.example": RegistrySettings(endpoint=f"http://{'x' * 64}.example")})
    with pytest.raises(Unreachable, match="label empty or too long"):
        client.ping("x.example")
    assert clock.slept == []


def test_a_silent_registry_is_given_up(
    start: Callable[..., FakeRegistry], connect: Callable[..., Client], clock: FakeClock
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = connect(patience=Patience(attempts=2, read=0.05))
        with pytest.raises(Unreachable, match="timed out"):
            client.ping(f"127.0.0.1:{silent.getsockname()[1]}")
    assert len(clock.slept) == 1


def test_connections_that_were_closed_for_many_others_are_made_again(client: Client, ref: Reference) -> None:
    client.head_manifest(ref)
    # As urllib3 does with those that were not used for longest.
    for manager in client._http._managers.values():
        manager.clear()
    assert client.head_manifest(ref).digest == DIGEST


def test_every_answer_is_counted(registry: FakeRegistry, client: Client, ref: Reference, counters: Counters) -> None:
    registry.on("GET", "manifests", answer(503))
    client.get_manifest(ref)
    client.head_manifest(ref)
    assert counters.requests == {
        Asked(registry.host, "GET", "manifest"): 2,
        Asked(registry.host, "HEAD", "manifest"): 1,
    }
    assert counters.statuses == {503: 1, 200: 2}
    assert counters.received == {registry.host: len(IMAGE)}
    assert counters.total(registry.host) == 3
    assert counters.total("other") == 0


def test_limits_are_read_from_every_answer(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    assert client.rate_limit(registry.host) is None
    registry.extra_headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "3;w=21600"}
    client.head_manifest(ref)
    assert client.rate_limit(registry.host) == RateLimit(100, 3, 21600)
    registry.extra_headers["RateLimit-Remaining"] = "0;w=21600"
    registry.on("GET", "manifests", answer(429, retry_after="9999"))
    with pytest.raises(RateLimited):
        client.get_manifest(ref)
    assert client.rate_limit(registry.host) == RateLimit(100, 0, 21600)
    registry.extra_headers = {}
    client.head_manifest(ref)
    assert client.rate_limit(registry.host) == RateLimit(100, 0, 21600)


# Redirects


@pytest.fixture
def secured(registry: FakeRegistry) -> FakeRegistry:
    """Lets nobody in who shows no password."""
    registry.guard = lambda seen: None if "authorization" in seen.headers else answer(401, **BASIC)
    return registry


@pytest.fixture
def member(connect: Callable[..., Client]) -> Client:
    return connect(credentials=lambda name: Credentials("user", "pass-word"))


def test_no_credential_follows_a_redirect_to_another_port(
    secured: FakeRegistry, member: Client, ref: Reference, start: Callable[..., FakeRegistry], counters: Counters
) -> None:
    other = start(extra_headers={"RateLimit-Limit": "1", "RateLimit-Remaining": "1"})
    other.add_manifest("mirror/app", "1.0", IMAGE)
    member.ping(secured.host)
    secured.on("GET", "manifests", answer(307, location=f"{other.url}/v2/mirror/app/manifests/1.0"))
    assert member.get_manifest(ref).raw == IMAGE
    assert "authorization" in secured.asked("GET", "manifests")[0].headers
    assert "authorization" not in other.seen[0].headers
    assert OCI_MANIFEST in other.seen[0].headers["accept"]
    assert counters.requests[Asked(other.host, "GET", "manifest")] == 1
    assert member.rate_limit(secured.host) is None


def test_a_credential_follows_to_the_same_origin_only(
    secured: FakeRegistry, member: Client, ref: Reference, start: Callable[..., FakeRegistry]
) -> None:
    other = start()
    member.ping(secured.host)
    secured.on("GET", "manifests", answer(301, location=f"{other.url}/back"))
    other.on("GET", "back", answer(302, location=f"{secured.url}/v2/team/app/manifests/again"))
    secured.on("GET", "again", answer(308, location="1.0"))
    assert member.get_manifest(ref).raw == IMAGE
    assert ["authorization" in seen.headers for seen in (*secured.asked("GET", "manifests"), *other.seen)] == [
        True
    ] * 3 + [False]


def test_another_host_by_name_is_another_origin(secured: FakeRegistry, member: Client, ref: Reference) -> None:
    member.ping(secured.host)
    port = secured.host.partition(":")[2]
    secured.on("GET", "manifests", answer(307, location=f"http://localhost:{port}/elsewhere"))
    secured.on("GET", "elsewhere", answer(200, IMAGE, content_type=OCI_MANIFEST))
    assert member.get_manifest(ref).raw == IMAGE
    assert "authorization" not in secured.asked("GET", "elsewhere")[0].headers


def test_a_refusal_elsewhere_is_not_the_registrys(
    secured: FakeRegistry, member: Client, ref: Reference, start: Callable[..., FakeRegistry]
) -> None:
    storage = start()
    challenge = f'Bearer realm="{storage.url}/steal"'
    refused = answer(401, b"Signature s3cret does not match", content_type="text/plain", www_authenticate=challenge)
    storage.on("GET", "", refused, times=9)
    secured.on("GET", "blobs", answer(307, location=f"{storage.url}/bucket?X-Signature=s3cret"), times=9)
    member.ping(secured.host)
    blob = member.get_manifest(ref).descriptor
    with pytest.raises(
        Unauthorized, match=f"{storage.host}, where {secured.host} redirects to, does not allow it .401."
    ) as caught:
        member.get_blob(ref, blob)
    assert "s3cret" not in str(caught.value)
    assert len(storage.seen) == 1


def test_a_registry_that_repeats_the_password_is_not_quoted(
    secured: FakeRegistry, member: Client, ref: Reference
) -> None:
    member.ping(secured.host)
    header = Credentials("user", "pass-word").basic
    secured.on("GET", "manifests", answer(403, f"no pass-word, no {header}".encode(), content_type="text/plain"))
    with pytest.raises(Unauthorized, match=r"said: no \*\*\*, no Basic \*\*\*"):
        member.get_manifest(ref)


def test_the_next_page_elsewhere_gets_no_credential(
    secured: FakeRegistry, member: Client, ref: Reference, start: Callable[..., FakeRegistry]
) -> None:
    other = start()
    other.on("GET", "tags", answer(200, b'{"tags":["b"]}'))
    member.ping(secured.host)
    secured.on("GET", "tags", answer(200, b'{"tags":["a"]}', link=f'<{other.url}/v2/team/app/tags/list>; rel="next"'))
    assert list(member.list_tags(ref)) == ["a", "b"]
    assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("again", "redirects more than 5 times"),
        ("ftp://elsewhere/x?s3cret", "no address on the web"),
        ("http://user:s3cret@elsewhere/x", "no address on the web"),
        ("http://h:port/", "no address on the web"),
        ("http://[::/", "no address on the web"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_refused(
    registry: FakeRegistry, client: Client, ref: Reference, location: str, said: str
) -> None:
    registry.on("GET", "manifests", answer(307, location=location), times=99)
    with pytest.raises(RegistryError, match=f"{said}.*Check the endpoint") as caught:
        client.get_manifest(ref)
    assert "s3cret" not in str(caught.value)
    assert len(registry.seen) <= 6


def test_a_redirect_with_a_long_page_is_followed(registry: FakeRegistry, client: Client, ref: Reference) -> None:
    body = b"<html>" * 50_000
    registry.on("GET", "manifests/1.0", answer(307, body, location="/v2/team/app/manifests/moved"))
    registry.add_manifest("team/app", "moved", IMAGE)
    assert client.get_manifest(ref).raw == IMAGE


# Addresses, certificates, proxies


@pytest.mark.parametrize(
    ("name", "settings", "url"),
    [
        ("docker.io", RegistrySettings(), "https://registry-1.docker.io/v2/"),
        ("docker.io", RegistrySettings(endpoint="https://mirror.example:5000/"), "https://mirror.example:5000/v2/"),
        ("quay.io", RegistrySettings(), "https://quay.io/v2/"),
        ("quay.io", RegistrySettings(insecure=True), "http://quay.io/v2/"),
        ("localhost:5000", RegistrySettings(), "http://localhost:5000/v2/"),
        ("[::1]:5000", RegistrySettings(), "http://[::1]:5000/v2/"),
        ("localhost:5000", RegistrySettings(endpoint="https://localhost:5000"), "https://localhost:5000/v2/"),
    ],
)
def test_where_a_registry_is_reached(name: str, settings: RegistrySettings, url: str) -> None:
    asked: list[str] = []

    class Recording(Http):
        def fetch(self, request, max_bytes):  # type: ignore[no-untyped-def]
            asked.append(request.url)
            raise Unreachable("x", "y")

    client = Client({name: settings}, http=Recording())
    with pytest.raises(Unreachable):
        client.ping(name)
    assert asked == [url]


@pytest.mark.parametrize(
    "endpoint",
    [
        "mirror.example",
        "ftp://mirror.example",
        "https://mirror.example/v2",
        "https://u:p@mirror.example",
        "https://m?x",
        "https://[::",
    ],
)
def test_an_endpoint_that_is_no_address_is_refused(connect: Callable[..., Client], endpoint: str) -> None:
    client = connect({"docker.io": RegistrySettings(endpoint=endpoint)})
    with pytest.raises(
        RegistryError, match=r"use the endpoint of docker.io: it is no address of the form https://host"
    ):
        client.ping("docker.io")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stevedore test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder


@pytest.fixture
def secure(start: Callable[..., FakeRegistry], certificates: Path) -> FakeRegistry:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "ca.pem", certificates / "key.pem")
    return start(tls=context)


def settings_for(registry: FakeRegistry, ca_bundle: object = "") -> dict[str, RegistrySettings]:
    return {registry.host: RegistrySettings(endpoint=registry.url, ca_bundle=str(ca_bundle))}


def test_an_authority_of_ones_own_is_trusted_where_it_is_named(
    secure: FakeRegistry, connect: Callable[..., Client], certificates: Path, clock: FakeClock
) -> None:
    connect(settings_for(secure, certificates / "ca.pem")).ping(secure.host)
    with pytest.raises(Unreachable, match=r"certificate verify failed.*give its CA bundle for this registry"):
        connect(settings_for(secure)).ping(secure.host)
    assert clock.slept == []


def test_a_certificate_for_another_name_is_refused(
    secure: FakeRegistry, connect: Callable[..., Client], certificates: Path
) -> None:
    endpoint = secure.url.replace("127.0.0.1", "localhost")
    settings = RegistrySettings(endpoint=endpoint, ca_bundle=str(certificates / "ca.pem"))
    with pytest.raises(Unreachable, match="localhost"):
        connect({secure.host: settings}).ping(secure.host)
    assert secure.seen == []


@pytest.mark.parametrize("name", ["none.pem", "key.pem"])
def test_a_bundle_that_cannot_be_used_is_named(
    secure: FakeRegistry, connect: Callable[..., Client], certificates: Path, name: str
) -> None:
    with pytest.raises(RegistryError, match=f"the CA bundle {certificates / name} cannot be used: .*PEM format"):
        connect(settings_for(secure, certificates / name)).ping(secure.host)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_goes_from_https_to_http(
    secure: FakeRegistry, registry: FakeRegistry, connect: Callable[..., Client], certificates: Path, method: str
) -> None:
    client = connect(settings_for(secure, certificates / "ca.pem"))
    ref = Reference.parse(f"{secure.host}/team/app")
    secure.on("GET", "manifests", answer(307, location=f"{registry.url}/x"))
    secure.on("POST", "uploads", answer(202, location=f"{registry.url}/x"))
    with pytest.raises(RegistryError, match=r"from https to http://.*where everybody can listen"):
        client.get_manifest(ref) if method == "GET" else client.mount_blob(ref, DIGEST, "team/other")
    assert registry.seen == []


@pytest.mark.parametrize("proxy", ["http://user:pw@{host}", "{host}"])
def test_the_machines_proxy_is_used(
    registry: FakeRegistry, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy.format(host=registry.host))
    monkeypatch.setenv("no_proxy", "direct.example")
    registry.on("GET", "^http://registry.example/v2/$", answer(200))
    client = connect({"registry.example": RegistrySettings(insecure=True)})
    client.ping("registry.example")
    assert ("proxy-authorization" in registry.seen[0].headers) == ("@" in proxy)
    # This machine itself is reached directly.
    client.ping(registry.host)
    assert registry.seen[1].path == "/v2/"


def test_what_the_machine_excepts_from_its_proxy_is_reached_directly(
    registry: FakeRegistry, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", registry.url)
    monkeypatch.setenv("no_proxy", ".invalid")

    def unknown(*arguments: object, **settings: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = connect({"registry.invalid": RegistrySettings(insecure=True)}, patience=Patience(attempts=1))
    with pytest.raises(Unreachable, match="Name or service not known"):
        client.ping("registry.invalid")
    assert registry.seen == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@host:1/a/b?sig=1#x", "https://host:1/a/b"),
        ("http://[::", "an invalid address"),
        ("https://h/" + "x" * 999, "https://h/" + "x" * 190),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected
