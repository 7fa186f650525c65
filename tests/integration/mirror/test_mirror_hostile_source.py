"""A source that means harm, or knows not what it does: a clear refusal in little time and memory, and nothing there."""

from __future__ import annotations

import copy
import gzip
import io
import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any

import pytest
from docker_registry import DockerRegistry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirror_engine import PROGRAM, Engine, order, program_environment, wish
from mirror_scene import Target
from registry import DOCKER_LIST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Json, descriptor, encoded, sha256

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Report
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import FakeRegistry, Handler, answer

MEMORY_KB = 150_000
SECONDS = 60
REPOSITORY = "evil/app"
LAYER, CONFIG = b"layer", b'{"architecture":"amd64","os":"linux"}'
NOWHERE = f"sha256:{'0' * 64}"


def manifest(**more: Any) -> Json:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(CONFIG, OCI_CONFIG),
        "layers": [descriptor(LAYER, OCI_LAYER)],
        **more,
    }


def index(*children: Json, **more: Any) -> Json:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}


def listed(raw: bytes, kind: str = OCI_MANIFEST, **more: Any) -> Json:
    return {**descriptor(raw, kind), "platform": {"os": "linux", "architecture": "amd64"}, **more}


class Evil(FakeRegistry):
    """A registry that serves whatever it was given, in the same words as an honest one."""

    def tagged(self, raw: bytes, media_type: str = OCI_MANIFEST) -> None:
        self.add_manifest(REPOSITORY, "1", raw, media_type)

    def below(self, raw: bytes, media_type: str = OCI_MANIFEST) -> bytes:
        """A manifest without a tag."""
        self.manifests[REPOSITORY, sha256(raw)] = (media_type, raw)
        return raw

    def blob(self, content: bytes) -> None:
        self.add_blob(REPOSITORY, content)


@pytest.fixture
def evil() -> Iterator[Evil]:
    registry = Evil()
    for content in (LAYER, CONFIG):
        registry.blob(content)
    yield registry
    registry.close()


@pytest.fixture
def target(target_registry: DockerRegistry) -> Target:
    return Target(target_registry.url)


def to_repository(request_or_name: Any) -> str:
    name = getattr(getattr(request_or_name, "node", None), "name", request_or_name)
    return "evil-" + re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


def run(evil: Evil, host: str, repository: str, **more: Any) -> Report:
    tags = {} if "select" in more else {"1": "1"}
    wishes = [wish(f"{evil.host}/{REPOSITORY}", repository, tags, **more)]
    return Engine(read=5.0).into_registry(host, wishes)


# ------------------------------------------------------------------ by hand


def deep_json(evil: Evil) -> None:
    evil.tagged(
        b'{"schemaVersion":2,"mediaType":"' + OCI_MANIFEST.encode() + b'","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    )


def deep_unbalanced(evil: Evil) -> None:
    evil.tagged(b'{"a":' * 500_000)


def many_small_parts(evil: Evil) -> None:
    evil.tagged(encoded(manifest(junk=[[]] * 1_000_000)))


def many_layers(evil: Evil) -> None:
    evil.tagged(encoded(manifest(layers=[{"digest": NOWHERE, "size": 1, "mediaType": "a/b"}] * 20_000)))


def many_children(evil: Evil) -> None:
    evil.tagged(encoded(index(*[{"digest": NOWHERE, "size": 1, "mediaType": OCI_MANIFEST}] * 20_000)), OCI_INDEX)


def too_long(evil: Evil) -> None:
    evil.tagged(encoded(manifest(annotations={"a": "b" * 5_000_000})))


def without_end(evil: Evil) -> None:
    """An answer that goes on for as long as somebody listens."""

    def pour(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", OCI_MANIFEST)
        handler.end_headers()
        handler.close_connection = True
        for _number in range(10_000):
            handler.wfile.write(b" " * 100_000)

    evil.tagged(encoded(manifest()))
    evil.on("GET", "/manifests/", pour, times=1_000)


def pouring_errors(evil: Evil) -> None:
    """The same for an error."""

    def pour(handler: Handler) -> None:
        handler.send_response(400)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.close_connection = True
        for _number in range(10_000):
            handler.wfile.write(b" " * 100_000)

    evil.tagged(encoded(manifest()))
    evil.on("GET", "/manifests/", pour, times=1_000)


def pouring_blob(evil: Evil) -> None:
    """A layer of five bytes that goes on and on."""

    def pour(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _number in range(10_000):
            handler.wfile.write(LAYER * 20_000)

    evil.tagged(encoded(manifest()))
    evil.on("GET", sha256(LAYER), pour, times=1_000)


def circle(evil: Evil) -> None:
    """A digest cannot be in what it is of, so somebody has to lie about one."""
    raw = encoded(index({"digest": NOWHERE, "size": 1, "mediaType": OCI_INDEX}))
    top = encoded(index(listed(raw, OCI_INDEX), {"digest": NOWHERE, "size": len(raw), "mediaType": OCI_INDEX}))
    evil.below(raw, OCI_INDEX)
    evil.manifests[REPOSITORY, NOWHERE] = (OCI_INDEX, raw)
    evil.tagged(top, OCI_INDEX)


def ladder(evil: Evil) -> None:
    """Indexes in indexes in indexes."""
    raw, kind = evil.below(encoded(manifest())), OCI_MANIFEST
    for _number in range(50):
        raw, kind = evil.below(encoded(index(listed(raw, kind))), OCI_INDEX), OCI_INDEX
    evil.tagged(raw, OCI_INDEX)


def avalanche(evil: Evil) -> None:
    """Each index lists a hundred others, three floors down, each of them large."""
    floor = [evil.below(encoded(manifest(annotations={"n": f"{number}" * 200_000}))) for number in range(40)]
    middle = []
    for number in range(40):
        raw = encoded(index(*[listed(one) for one in floor], annotations={"n": str(number)}))
        middle.append(evil.below(raw, OCI_INDEX))
    evil.tagged(encoded(index(*[listed(one, OCI_INDEX) for one in middle])), OCI_INDEX)


def wrong_child_size(evil: Evil) -> None:
    raw = evil.below(encoded(manifest()))
    evil.tagged(encoded(index(listed(raw, size=len(raw) + 1))), OCI_INDEX)


def wrong_child(evil: Evil) -> None:
    raw, other = encoded(manifest()), encoded(manifest(annotations={"not": "this"}))
    evil.manifests[REPOSITORY, sha256(raw)] = (OCI_MANIFEST, other)
    evil.tagged(encoded(index(listed(raw))), OCI_INDEX)


def missing_child(evil: Evil) -> None:
    evil.tagged(encoded(index({"digest": NOWHERE, "size": 10, "mediaType": OCI_MANIFEST})), OCI_INDEX)


def missing_layer(evil: Evil) -> None:
    evil.tagged(encoded(manifest(layers=[descriptor(b"not there", OCI_LAYER)])))


def layer_of_another_digest(evil: Evil) -> None:
    evil.blobs[REPOSITORY, sha256(b"other")] = LAYER
    evil.tagged(encoded(manifest(layers=[descriptor(b"other", OCI_LAYER)])))


def layer_said_to_be_larger(evil: Evil) -> None:
    evil.tagged(encoded(manifest(layers=[{**descriptor(LAYER, OCI_LAYER), "size": 10**12}])))


def layer_said_to_be_smaller(evil: Evil) -> None:
    evil.tagged(encoded(manifest(layers=[{**descriptor(LAYER, OCI_LAYER), "size": 2}])))


def layer_of_two_sizes(evil: Evil) -> None:
    evil.tagged(encoded(manifest(layers=[descriptor(LAYER, OCI_LAYER), {**descriptor(LAYER, OCI_LAYER), "size": 3}])))


def name_twice(evil: Evil) -> None:
    evil.tagged(encoded(manifest())[:-1] + b',"layers":[]}')


def both_kinds(evil: Evil) -> None:
    evil.tagged(encoded({**manifest(), "manifests": []}))


def called_otherwise(evil: Evil) -> None:
    evil.tagged(encoded(manifest()), OCI_INDEX)


def schema_one(evil: Evil) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    evil.tagged(encoded({"schemaVersion": 1, "name": "a", "fsLayers": []}), kind)


def page_for_browsers(evil: Evil) -> None:
    evil.tagged(b"<!DOCTYPE html><title>Sign in</title>", "text/html")


def another_digest_header(evil: Evil) -> None:
    raw = encoded(manifest())
    evil.manifests[REPOSITORY, NOWHERE] = (OCI_MANIFEST, raw)
    told = answer(200, raw, content_type=OCI_MANIFEST, docker_content_digest=NOWHERE)
    for method in ("HEAD", "GET"):
        evil.on(method, "/manifests/", told, times=1_000)


def round_and_round(evil: Evil) -> None:
    evil.tagged(encoded(manifest()))
    here = answer(307, location=f"/v2/{REPOSITORY}/manifests/1")
    evil.on("HEAD", "/manifests/", here, times=1_000)
    evil.on("GET", "/manifests/", here, times=1_000)


def to_a_file(evil: Evil) -> None:
    evil.tagged(encoded(manifest()))
    evil.on("GET", "/blobs/", answer(307, location="file:///etc/passwd"), times=1_000)


def to_a_terminal(evil: Evil) -> None:
    """An address with signs in it that are orders to a terminal."""
    evil.tagged(encoded(manifest()))
    evil.on("GET", "/blobs/", answer(307, location="http://\x1b[2J\x1b]0;owned\x07.example/"), times=1_000)


def media_type_for_a_terminal(evil: Evil) -> None:
    evil.tagged(encoded(manifest(mediaType="\x1b[31m\ud800")))


def not_http(evil: Evil) -> None:
    def babble(handler: Handler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
        handler.close_connection = True

    evil.on("HEAD", "", babble, times=1_000)
    evil.on("GET", "", babble, times=1_000)


BY_HAND: dict[Callable[[Evil], None], str] = {
    deep_json: r"no valid JSON|far more parts",
    deep_unbalanced: r"no valid JSON|far more parts",
    many_small_parts: r"far more parts",
    many_layers: r"layers has 20000 entries|more than|far more parts",
    many_children: r"manifests has 20000 entries|far more parts",
    too_long: r"more than 4194304 bytes|no honest",
    without_end: r"more than 4194304 bytes",
    pouring_errors: r"refused it \(400\)",
    pouring_blob: r"goes on after the 5 bytes",
    circle: r"its digest should be sha256:0+",
    ladder: r"nested more than 4 deep",
    avalanche: r"more than \d+ bytes together",
    wrong_child_size: r"the index that lists it says \d+",
    wrong_child: r"its digest should be sha256:\w+, and is sha256:\w+",
    missing_child: r"Failed to read the manifest of .*@sha256:0+: .*\(404 MANIFEST_UNKNOWN\)",
    missing_layer: r"Failed to read sha256:\w+ from .*\(404 BLOB_UNKNOWN\)",
    layer_of_another_digest: r"its content has the digest|says",
    layer_said_to_be_larger: r"Failed to read sha256:\w+ from ",
    layer_said_to_be_smaller: r"Failed to read sha256:\w+ from ",
    layer_of_two_sizes: r"sha256:\w+",
    name_twice: r"a name occurs twice",
    both_kinds: r"does not fit its media type",
    called_otherwise: r"the registry calls it .* it calls itself",
    schema_one: r"Docker schema 1, is retired",
    page_for_browsers: r"no valid JSON|no image manifest",
    another_digest_header: r"its digest should be sha256:0+",
    round_and_round: r"redirects more than 5 times",
    to_a_file: r"no address on the web",
    to_a_terminal: r"no answer from|no address on the web|sends us to",
    media_type_for_a_terminal: r"the registry calls it",
    not_http: r"no answer from",
}


@pytest.mark.parametrize("harm", BY_HAND, ids=lambda harm: harm.__name__)
def test_refused_with_a_word_why(
    evil: Evil, target: Target, target_registry: DockerRegistry, harm: Callable[[Evil], None]
) -> None:
    harm(evil)
    repository = to_repository(harm.__name__)
    begun = time.monotonic()
    report = run(evil, target_registry.host, repository)
    assert time.monotonic() - begun < SECONDS
    (entry,) = report.images
    assert entry.has_failed
    assert re.search(BY_HAND[harm], entry.reason), entry.reason
    assert len(entry.reason) < 2_000
    assert entry.reason.isprintable()
    assert target.all_tags(repository) == []


def endless_tags(evil: Evil) -> None:
    """Each page says that there is another one."""

    def page(handler: Handler) -> None:
        number = int(handler.path.rpartition("=")[2]) if "last=" in handler.path else 0
        link = {"Link": f'</v2/{REPOSITORY}/tags/list?last={number + 1}>; rel="next"'}
        handler.reply(200, encoded({"tags": []}), link)

    evil.on("GET", "/tags/list", page, times=10**9)


def same_page_again(evil: Evil) -> None:
    link = f'</v2/{REPOSITORY}/tags/list?n=1000>; rel="next"'
    evil.on("GET", "/tags/list", answer(200, encoded({"tags": ["1"]}), link=link), times=1_000)


def pages_elsewhere(evil: Evil) -> None:
    """The list goes on at an address that only this machine can reach."""
    link = '<file:///etc/passwd>; rel="next"'
    evil.on("GET", "/tags/list", answer(200, encoded({"tags": ["1"]}), link=link), times=1_000)


def flood_of_tags(evil: Evil) -> None:
    """Pages without end, each of them full."""

    def page(handler: Handler) -> None:
        number = int(handler.path.rpartition("=")[2]) if "last=" in handler.path else 0
        link = {"Link": f'</v2/{REPOSITORY}/tags/list?last={number + 1}>; rel="next"'}
        handler.reply(200, encoded({"tags": [f"{number}-{one}-{'x' * 80}" for one in range(5_000)]}), link)

    evil.on("GET", "/tags/list", page, times=10**9)


def page_of_millions(evil: Evil) -> None:
    tags = b",".join([b'"ab"'] * 3_000_000)
    evil.on("GET", "/tags/list", answer(200, b'{"tags":[' + tags + b"]}"), times=1_000)


def no_texts(evil: Evil) -> None:
    evil.on("GET", "/tags/list", answer(200, encoded({"tags": [1, None]})), times=1_000)


def odd_tags(evil: Evil) -> None:
    evil.on("GET", "/tags/list", answer(200, encoded({"tags": ["../../x", "a\nb", "\x1b[31m"]})), times=1_000)


LISTS: dict[Callable[[Evil], None], str] = {
    endless_tags: r"has no last page",
    same_page_again: r"has no last page",
    flood_of_tags: r"lists more than 250000",
    page_of_millions: r"lists more than 250000",
    pages_elsewhere: r"no address on the web",
    no_texts: r"gave no list of tags",
    odd_tags: r"is selected|not a tag|no list of tags|is no tag",
}


@pytest.mark.parametrize("harm", LISTS, ids=lambda harm: harm.__name__)
def test_lists_of_tags(
    evil: Evil, target: Target, target_registry: DockerRegistry, harm: Callable[[Evil], None]
) -> None:
    harm(evil)
    repository = to_repository(harm.__name__)
    (entry,) = run(evil, target_registry.host, repository, select={"globs": ["*"]}).images
    assert entry.action in ("fail", "skip")
    assert re.search(LISTS[harm], entry.reason), entry.reason
    assert entry.reason.isprintable()
    assert target.all_tags(repository) == []


def test_its_words_are_shown_on_one_line_and_not_too_many(evil: Evil, target_registry: DockerRegistry) -> None:
    said = "\x1b[31mred\r\nTraceback (most recent call last):\n" + "x" * 50_000
    for method in ("HEAD", "GET"):
        body = encoded({"errors": [{"code": "DENIED", "message": said}]})
        evil.on(method, "/manifests/", answer(403, body, content_type="application/json"), times=1_000)
    (entry,) = run(evil, target_registry.host, "evil-words").images
    assert entry.reason.isprintable()
    assert len(entry.reason) < 1_000


def test_one_that_means_harm_stops_nobody_else(evil: Evil, target: Target, target_registry: DockerRegistry) -> None:
    good = encoded(manifest())
    evil.add_manifest("evil/good", "1", good)
    for content in (LAYER, CONFIG):
        evil.add_blob("evil/good", content)
    avalanche(evil)
    wishes = [
        wish(f"{evil.host}/{REPOSITORY}", "evil-beside", {"1": "1"}),
        wish(f"{evil.host}/evil/good", "good-beside", {"1": "1"}),
    ]
    report = Engine().into_registry(target_registry.host, wishes)
    assert [entry.action for entry in report.images] == ["fail", "copy"]
    assert target.everything(["evil-beside", "good-beside"]) == {("good-beside", "1"): good}


def referrers_for_ever(evil: Evil) -> None:
    """Everything is referred to by the same hundred others, which are also each other's."""
    others = [listed(encoded(manifest(annotations={"n": str(number)}))) for number in range(100)]
    raw = encoded(index(*others * 5))
    evil.on("GET", "/referrers/", answer(200, raw, content_type=OCI_INDEX), times=10**9)


def ever_new_referrers(evil: Evil) -> None:
    def more(handler: Handler) -> None:
        others = [listed(f"{handler.path} {number}".encode()) for number in range(90)]
        handler.reply(200, encoded(index(*others)), {"Content-Type": OCI_INDEX})

    evil.on("GET", "/referrers/", more, times=10**9)


def pages_of_referrers(evil: Evil) -> None:
    def more(handler: Handler) -> None:
        others = [listed(b"the same")] * 3_000
        link = f'</v2/{REPOSITORY}/referrers/{NOWHERE}?last={len(evil.seen)}>; rel="next"'
        handler.reply(200, encoded(index(*others)), {"Content-Type": OCI_INDEX, "Link": link})

    evil.on("GET", "/referrers/", more, times=10**9)


REFERRERS: dict[Callable[[Evil], None], tuple[str, int]] = {
    referrers_for_ever: (r"404 MANIFEST_UNKNOWN", 101),
    ever_new_referrers: (r"there are more than 1000", 100),
    pages_of_referrers: (r"lists more than 10000", 4),
}


@pytest.mark.parametrize("harm", REFERRERS, ids=lambda harm: harm.__name__)
def test_referrers_that_never_end(
    evil: Evil, target: Target, target_registry: DockerRegistry, harm: Callable[[Evil], None]
) -> None:
    """The image goes over all the same; what is said to refer to it does not, and that is an error."""
    raw = encoded(manifest())
    evil.tagged(raw)
    harm(evil)
    why, questions = REFERRERS[harm]
    repository = to_repository(harm.__name__)
    report = run(evil, target_registry.host, repository, referrers=True)
    assert re.search(why, report.failure), report.failure
    assert report.images[0].action == "copy"
    assert len(evil.asked("GET", "/referrers/")) <= questions
    assert target.everything([repository]) == {(repository, "1"): raw}


LARGE = [
    deep_json,
    deep_unbalanced,
    many_small_parts,
    many_layers,
    many_children,
    too_long,
    without_end,
    pouring_errors,
]


TAGS = [flood_of_tags, page_of_millions]


@pytest.mark.parametrize("harm", [[*LARGE, pouring_blob], [avalanche], TAGS], ids=["large", "many", "tags"])
def test_in_little_memory(target_registry: DockerRegistry, harm: list[Callable[[Evil], None]]) -> None:
    """In a process of its own, all at once."""
    with ExitStack() as stack:
        wishes = []
        for build in harm:
            evil = Evil()
            stack.callback(evil.close)
            for content in (LAYER, CONFIG):
                evil.blob(content)
            build(evil)
            what = {"select": {"globs": ["*"]}} if build in TAGS else {"tags": ["1"]}
            repository = to_repository(f"memory-{build.__name__}")
            wishes.append({"source": f"{evil.host}/{REPOSITORY}", "repository": repository, **what})
        given = order(wishes, registry=target_registry.host)
        done = subprocess.run(
            PROGRAM,
            env=program_environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert {image["action"] for image in result["images"]} == {"fail"}
    assert result["peak_kb"] < MEMORY_KB


# ------------------------------------------------------------------ what is read to append Dockerfile lines


def tar(info: tarfile.TarInfo, content: IO[bytes] | None = None) -> bytes:
    """One entry, compressed; the content may be much more than is held."""
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", compresslevel=1) as packed:
        packed.write(info.tobuf())
        if content:
            shutil.copyfileobj(content, packed, 1 << 20)
        packed.write(bytes(1024))
    return written.getvalue()


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        given = min(size, self._left)
        self._left -= given
        return bytes(given)


def entry(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def image_of(evil: Evil, config: bytes, layer: bytes) -> None:
    for content in (config, layer):
        evil.blob(content)
    parts = {"config": descriptor(config, OCI_CONFIG), "layers": [descriptor(layer, OCI_LAYER)]}
    evil.tagged(encoded(manifest(**parts)))


def config_for(layers: int = 1) -> Json:
    diff_ids = [NOWHERE] * layers
    return {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}


PLAIN = encoded(config_for())
UNPACKED = 300_000_000
# What is wrong with the configuration or the layer, and what becomes of the image.
DERIVED: dict[str, tuple[Callable[[], tuple[bytes, bytes]], str]] = {
    "much to unpack": (lambda: (PLAIN, tar(entry("large", UNPACKED), Zeros(UNPACKED))), ""),
    "a header without end": (
        lambda: (PLAIN, tar(entry("h", UNPACKED, tarfile.XHDTYPE), Zeros(UNPACKED))),
        "a header in",
    ),
    "a long name without end": (lambda: (PLAIN, tar(entry("h", UNPACKED, b"L"), Zeros(UNPACKED))), "a header in it"),
    "a link to itself": (lambda: (PLAIN, tar(_link("new", "new"))), "symbolic links"),
    "users without end": (lambda: (PLAIN, tar(entry("etc/passwd", UNPACKED), Zeros(UNPACKED))), "should be small"),
    "no archive": (lambda: (PLAIN, b"not compressed, not an archive" * 100), "cannot be read"),
    "a cut archive": (lambda: (PLAIN, tar(entry("large", 10**6), Zeros(10**6))[:-500]), "cannot be read"),
    "a large configuration": (lambda: (encoded({**config_for(), "x": "y" * 9_000_000}), LAYER), "larger than any"),
    "a deep configuration": (lambda: (b'{"a":' * 200_000, LAYER), "no valid JSON"),
    "a configuration of many parts": (lambda: (encoded({**config_for(), "x": [[]] * 400_000}), LAYER), "larger than"),
    "a configuration that is a list": (lambda: (b"[]", LAYER), "no JSON object"),
}


def _link(name: str, target: str) -> tarfile.TarInfo:
    info = entry(name, 0, tarfile.SYMTYPE)
    info.linkname = target
    return info


def test_dockerfile_lines_on_what_means_harm(target: Target, target_registry: DockerRegistry) -> None:
    with ExitStack() as stack:
        wishes = []
        for name, (make, _why) in DERIVED.items():
            evil = Evil()
            stack.callback(evil.close)
            image_of(evil, *make())
            user = ["USER nobody"] if "users" in name else []
            lines = [*user, "WORKDIR /new/place"]
            repository = to_repository(f"lines {name}")
            wishes.append(
                {"source": f"{evil.host}/{REPOSITORY}", "repository": repository, "tags": ["1"], "dockerfile": lines}
            )
        given_order = order(wishes, registry=target_registry.host)
        done = subprocess.run(
            PROGRAM,
            env=program_environment(),
            input=given_order,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for image, (name, (_make, why)) in zip(result["images"], DERIVED.items(), strict=True):
        assert (image["action"] == "fail") == bool(why), f"{name}: {image['reason']}"
        assert why in image["reason"], f"{name}: {image['reason']}"
        assert image["reason"].isprintable()
        found = target.everything([to_repository(f"lines {name}")])
        assert bool(found) == (not why)
    assert result["peak_kb"] < MEMORY_KB


# ------------------------------------------------------------------ by chance

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [NOWHERE, sha256(LAYER), sha256(CONFIG), OCI_MANIFEST, OCI_INDEX, DOCKER_LIST, "sha256:", "", "sha512:00"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
)
CHILD = encoded(manifest())


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Everything in a document that can be replaced."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else []
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def damage(draw: st.DrawFn, document: Json) -> None:
    for _number in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(document)[1:]))
        holder: Any = document
        for key in place[:-1]:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "null", "remove", "repeat"]))
        if change in ("replace", "null"):
            holder[place[-1]] = draw(VALUES) if change == "replace" else None
        elif change == "remove":
            del holder[place[-1]]
        elif isinstance(holder, list):
            holder.append(holder[place[-1]])
        if not document:
            break


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    """An image or index with one to three things in it that do not belong there, and the type it is served as."""
    document: Any = copy.deepcopy(
        draw(
            st.sampled_from(
                [
                    manifest(subject=descriptor(CHILD, OCI_MANIFEST), annotations={"a": "b"}),
                    index(
                        listed(CHILD), listed(CHILD, platform={"os": "linux", "architecture": "arm", "variant": "v7"})
                    ),
                ]
            )
        )
    )
    kind = document["mediaType"]
    damage(draw, document)
    raw = json.dumps(document).encode()
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(raw)))
        raw = raw[:cut] + draw(st.binary(max_size=4)) + raw[cut:]
    return raw, draw(st.sampled_from([kind, kind, kind, "", "application/json", OCI_MANIFEST, OCI_INDEX]))


@pytest.fixture
def fuzzed(evil: Evil, target_registry: DockerRegistry) -> Callable[[bytes, str], tuple[Report, str]]:
    def copy_it(raw: bytes, kind: str) -> tuple[Report, str]:
        evil.manifests.clear()
        evil.below(CHILD)
        evil.tagged(raw, kind)
        repository = f"fuzz/{sha256(raw + kind.encode()).removeprefix('sha256:')[:20]}"
        return run(evil, target_registry.host, repository), repository

    return copy_it


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(what=damaged())
def test_whatever_a_manifest_is_it_is_whole_or_not_there(
    fuzzed: Callable[[bytes, str], tuple[Report, str]], target: Target, what: tuple[bytes, str]
) -> None:
    raw, kind = what
    report, repository = fuzzed(raw, kind)
    (entry,) = report.images
    found = target.everything([repository])
    if entry.has_failed:
        assert found == {}
        assert entry.reason.isprintable()
        assert len(entry.reason) < 2_000
    else:
        assert found.pop((repository, "1")) == raw
        # It may say that it refers to another.
        assert all(tag.startswith("sha256-") for _repository, tag in found)


WHOLE_CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "User": "1"},
    "rootfs": {"type": "layers", "diff_ids": [NOWHERE]},
    "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "x"}],
}
MANNERS: list[Json] = [
    {"platforms": ["linux/amd64"]},
    {"dockerfile": ("LABEL a=c", "ENV B=2", "USER 2", "EXPOSE 81")},
    {"dockerfile": ("WORKDIR /new",)},
    {"platforms": ["linux/amd64"], "dockerfile": ("ENV B=2",), "referrers": True},
    {"platforms": ["linux/amd64"], "referrers": True},
    {"referrers": True},
]
TARBALL = gzip.compress(b"\0" * 1024, mtime=0)


@st.composite
def damaged_somewhere(draw: st.DrawFn) -> dict[str, tuple[bytes, str]]:
    """What is served under which tag or digest: an image and what belongs to it, one of them damaged."""
    spoilt = draw(st.sampled_from(["config", "image", "index", "signature", "referrers"]))
    served: dict[str, tuple[bytes, str]] = {}

    def add(name: str, document: Json, *tags: str) -> bytes:
        kind = str(document.get("mediaType", ""))
        document = copy.deepcopy(document)
        if name == spoilt:
            damage(draw, document)
            kind = draw(st.sampled_from([kind, kind, "", "application/json", OCI_MANIFEST, OCI_INDEX]))
        raw = encoded(document)
        served.update(dict.fromkeys([sha256(raw), *tags], (raw, kind)))
        return raw

    config = add("config", WHOLE_CONFIG)
    parts = {"config": descriptor(config, OCI_CONFIG), "layers": [descriptor(TARBALL, OCI_LAYER)]}
    image, kind = add("image", manifest(**parts)), OCI_MANIFEST
    if spoilt == "index" or draw(st.booleans()):
        attestation = manifest(config=descriptor(CONFIG, OCI_CONFIG))
        about = {"vnd.docker.reference.digest": sha256(image)}
        beside = listed(add("", attestation), platform={"os": "unknown", "architecture": "unknown"}, annotations=about)
        image, kind = add("index", index(listed(image), beside)), OCI_INDEX
    served["1"] = served[sha256(image)]
    subject = sha256(image).replace(":", "-")
    signature = add("signature", manifest(subject=descriptor(image, kind), artifactType="a/b"), f"{subject}.sig")
    add("referrers", index({**descriptor(signature, OCI_MANIFEST), "artifactType": "a/b"}), subject)
    return served


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(served=damaged_somewhere(), manner=st.sampled_from(MANNERS))
def test_whatever_is_damaged_and_however_it_is_wished_for_it_is_whole_or_not_there(
    evil: Evil,
    target_registry: DockerRegistry,
    target: Target,
    served: dict[str, tuple[bytes, str]],
    manner: Json,
) -> None:
    evil.manifests.clear()
    evil.blobs.clear()
    for content in (TARBALL, CONFIG, LAYER):
        evil.blob(content)
    for name, (raw, kind) in served.items():
        evil.manifests[REPOSITORY, name] = (kind, raw)
        evil.blob(raw)
    repository = f"fuzz/{sha256(repr((served, manner)).encode()).removeprefix('sha256:')[:20]}"
    wishes = [wish(f"{evil.host}/{REPOSITORY}", repository, ["1"], **manner)]

    def attempt(**more: Any) -> Report:
        return Engine(read=5.0, records=True).into_registry(target_registry.host, wishes, **more)

    planned, done = attempt(check_mode=True), attempt()
    found = target.everything([repository])
    assert ((repository, "1") in found) == (not done.images[0].has_failed)
    for report in (planned, done):
        assert all(entry.reason.isprintable() and len(entry.reason) < 2_000 for entry in report.images)
    again = attempt()
    told = [(entry.action, entry.reason) for entry in again.images]
    assert not again.changed, told
    assert [entry.has_failed for entry in again.images] == [entry.has_failed for entry in done.images]
