"""Dockerfile lines applied without an engine, beside what Docker Engine builds from the same lines."""

from __future__ import annotations

import base64
import functools
import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import derive, dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.directories import LayeredDirectories
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor, Document, Index
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._transport import derived as derived_images
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.derived import Derivation
from loopback.client import FullCloud

Json = dict[str, Any]
# Directories and links by path: type, permissions, owner, group and where a link leads.
Tree = dict[str, tuple[bytes, int, int, int, str]]

BUSYBOX = Path("/bin/busybox")
BASE = "lines/base:1"
CLASSIC, BUILDKIT = "1", "2"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

# The engine's own way of building, by its API: the Docker client has BuildKit only with a plugin.
BUILD = """
import http.client, socket, sys, urllib.parse
address, context, tag, version = sys.argv[1:]
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(address)
query = {"t": tag, "version": version, "networkmode": "none", "nocache": "1"}
engine = Engine("engine")
engine.request("POST", f"/build?{urllib.parse.urlencode(query)}", open(context, "rb"),
               {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}, encode_chunked=True)
print(engine.getresponse().read().decode(errors="replace"))
"""

# What the lines say, each with the builders that must agree. The older builder makes directories for root only, knows
# no TARGETARCH, and lets what the image sets win over ARG.
BOTH, NEWER = (CLASSIC, BUILDKIT), (BUILDKIT,)
CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "nothing but a comment": (["# only this", "LABEL a=b"], BOTH),
    "the volume of the seed": (['VOLUME ["/etc/vault"]'], BOTH),
    "the directory of the seed": (["WORKDIR /etc/vault", 'VOLUME ["/etc/vault"]'], BOTH),
    "volumes": (["VOLUME /a /b", 'VOLUME ["/c d", "$HOME_DIR/x"]', "VOLUME  /a"], BOTH),
    "environment": (["ENV A=1 B='two words' C=\"$A-${A}\" D=e\\ f", "ENV E=$A:$B ONE=changed"], BOTH),
    "environment, old form": (["ENV GREETING Hello  there 'you' $ONE", "env x y"], BOTH),
    "environment, used before it is set": (["ENV abc=hello", "ENV abc=bye def=$abc", "ENV ghi=$abc"], BOTH),
    "environment of the image": (["ENV PATH=/opt/bin:$PATH ALL=${ONE}${TWO}"], BOTH),
    # Without the colon only newer engines have them.
    "defaults": (
        [
            "ENV A=${NONE:-x} B=${EMPTY:-z} C=${ONE:+set} D=${NONE:+set} E=${EMPTY:+set} F=${NONE:-$ONE}",
            "ENV G=${NONE:-${ALSO_NONE:-deep}} H=\"${NONE:-a b}\" I=${ONE:-x}${TWO:+\\}}",
        ],
        BOTH,
    ),
    "escapes": (['ENV A=\\$ONE B="\\$ONE" C=\'$ONE\' D="a\\"b" E=a\\\\b F="a\\nb" G=$ H=a$$b I="x\\\\y"'], BOTH),
    "names": (["ENV A=$ONE_MORE B=${ONE}_MORE C=$ONE-MORE D=$1x E=$ONE.x"], BOTH),
    "labels": (['LABEL a=1 "b c"=d e.f/g="h i" k=', "LABEL base=changed", 'LABEL quoted="a \\"b\\""'], BOTH),
    "label, old form": (["LABEL description some words with $ONE", "LABEL m=\"a\\\nb\""], BOTH),
    "label over lines": (["LABEL one=1 \\", "  # between", "  two=2 \\", "", "  three=3"], BOTH),
    "ports": (["EXPOSE 80", "EXPOSE 53/udp 8000-8003/tcp $PORT 90/TCP 7/sctp"], BOTH),
    "ports in a variable": (['ENV PORTS="1 2/udp"', "EXPOSE $PORTS"], BOTH),
    "user": (["USER app"], BOTH),
    "user in a variable": (["ENV WHO=1000:1000", "USER $WHO"], BOTH),
    "no user": (["USER app", 'USER ""'], BOTH),
    "stop signal": (["STOPSIGNAL SIGQUIT"], BOTH),
    "stop signal as a number in a variable": (["ENV S=9", "STOPSIGNAL $S"], BOTH),
    "command for the shell": (["CMD echo $ONE  'two  words' \\", "   and more"], BOTH),
    "command as a list": (['CMD ["echo", "$ONE", "\\u00e9"]'], BOTH),
    "no command": (["CMD []"], BOTH),
    "command in brackets": (["CMD [ -f /x ] || exit 1"], BOTH),
    "entrypoint takes the command away": (['ENTRYPOINT ["/x"]'], BOTH),
    "entrypoint after a command": (['CMD ["a"]', 'ENTRYPOINT ["/x", "$ONE"]'], BOTH),
    "entrypoint for the shell": (["ENTRYPOINT exec top -b $ONE"], BOTH),
    "no entrypoint": (["ENTRYPOINT []"], BOTH),
    "two entrypoints": (['ENTRYPOINT ["/x"]', 'CMD ["b"]', 'ENTRYPOINT ["/y"]'], BOTH),
    "shell": (['SHELL ["/bin/ash", "-ec"]', "CMD one", 'SHELL ["/bin/other"]', "ENTRYPOINT two"], BOTH),
    "health check": (
        ["HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1.5h --retries=3 CMD curl -f $ONE || exit 1"],
        BOTH,
    ),
    "health check as a list": (['HEALTHCHECK CMD ["curl", "-f", "$ONE"]'], BOTH),
    "no health check": (["HEALTHCHECK CMD x", "HEALTHCHECK NONE"], BOTH),
    "maintainer": (["MAINTAINER Somebody <somebody@example.com>"], BOTH),
    "instructions for images built from it": (["ONBUILD RUN echo $ONE", "ONBUILD COPY . /app"], BOTH),
    "argument": (["ARG A=1 B", "ENV C=$A D=x$B", 'ARG E="$A 2"', "ENV F=$E"], BOTH),
    "argument over the image's variable": (["ARG ONE=2", "ENV X=$ONE"], NEWER),
    "platform": (["ARG TARGETARCH TARGETOS TARGETPLATFORM", "LABEL p=$TARGETPLATFORM/$TARGETOS/$TARGETARCH"], NEWER),
    "small letters": (["cmd [\"a\"]", "Env a=b", "expose 1"], BOTH),
    "spaces": (["  \tENV   A=b   ", "\tLABEL\ta=b\tc=d", "EXPOSE  1\t2"], BOTH),
    "many lines": (["ENV A=1 \\", "    B=2 \\  ", "    C=3"], BOTH),
    "working directory that is there": (["WORKDIR /srv"], BOTH),
    "working directory that is not": (["WORKDIR /new/deep/er"], BOTH),
    "working directory twice": (["WORKDIR /new", "WORKDIR /new/sub", "WORKDIR /new"], BOTH),
    "working directory, relative": (["WORKDIR rel", "WORKDIR ../other", "WORKDIR ."], BOTH),
    "working directory in a variable": (["ENV D=/some/where", "WORKDIR $D/${NONE:-x}", "WORKDIR a\\ b"], BOTH),
    "working directory of the lowest layer": (["WORKDIR /opt/kept"], BOTH),
    "working directory that was removed": (["WORKDIR /opt/removed/sub"], BOTH),
    "working directory that was replaced": (["WORKDIR /opt/replaced/old"], BOTH),
    "working directory made by a file in it": (["WORKDIR /implied/by"], BOTH),
    "working directory behind an absolute link": (["WORKDIR /var/run/app"], BOTH),
    "working directory behind a relative link": (["WORKDIR /link/made"], BOTH),
    "working directory behind links to nothing": (["WORKDIR /dangling/made"], BOTH),
    "working directory of a user": (["USER app", "WORKDIR /home/app/x"], NEWER),
    "working directory of numbers": (["USER 1234", "WORKDIR /owned", "USER 1:2", "WORKDIR /owned/too"], NEWER),
    "working directory of a user in another group": (["USER app:staff", "WORKDIR /owned"], NEWER),
    "working directory of root by name": (["USER root", "WORKDIR /owned"], BOTH),
    "root": (["WORKDIR /"], BOTH),
}  # fmt: skip


@dataclass
class Image:
    """An image as the engine has it."""

    config: Json
    layers: list[Path]

    @property
    def shown(self) -> Json:
        return told(self.config)


def told(config: Mapping[str, Any]) -> Json:
    """What a configuration says: without what is empty, and what a builder remembers for itself."""
    own = ("Image", "Hostname", "ArgsEscaped")
    said = {name: value for name, value in config["config"].items() if value and name not in own}
    if "WorkingDir" in said:
        # Of a/../b and a final slash older engines make nothing.
        said["WorkingDir"] = posixpath.normpath(said["WorkingDir"])
    return {**said, "author": config.get("author", "")}


def base_layers() -> list[bytes]:
    """What the base image consists of, the lowest layer first."""
    directory, link = tarfile.DIRTYPE, tarfile.SYMTYPE
    accounts = "root:x:0:0:root:/root:/bin/sh\napp:x:101:102::/home/app:/bin/sh\n"
    return [
        archive(
            ("bin", directory, 0o755, ""),
            ("bin/busybox", tarfile.REGTYPE, 0o755, BUSYBOX.read_bytes()),
            ("etc", directory, 0o755, ""),
            ("etc/passwd", tarfile.REGTYPE, 0o644, accounts.encode()),
            ("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\napp:x:102:\nstaff:x:50:\n"),
            ("srv", directory, 0o1777, ""),
            ("var", directory, 0o755, ""),
            ("run", directory, 0o755, ""),
            ("var/run", link, 0o777, "/run"),
            ("link", link, 0o777, "srv/../opt"),
            ("dangling", link, 0o777, "var/nowhere"),
            ("opt", directory, 0o755, ""),
            ("opt/kept", directory, 0o700, ""),
            ("opt/removed", directory, 0o755, ""),
            ("opt/removed/sub", directory, 0o755, ""),
            ("opt/replaced", directory, 0o755, ""),
            ("opt/replaced/old", directory, 0o755, ""),
            ("implied/by/file", tarfile.REGTYPE, 0o644, b"x"),
            ("file", tarfile.REGTYPE, 0o644, b"x"),
        )
    ]


def archive(*entries: tuple[str, bytes, int, str | bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as made:
        for path, kind, mode, content in entries:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = kind, mode
            entry.linkname = content if isinstance(content, str) else ""
            body = content if isinstance(content, bytes) else b""
            entry.size = len(body)
            made.addfile(entry, io.BytesIO(body))
    return whole.getvalue()


@dataclass
class Engine:
    """The full cloud's Docker Engine."""

    cloud: FullCloud
    directory: Path
    tags: set[str] = field(default_factory=set)

    def build(self, lines: Sequence[str], tag: str, version: str, base: str = BASE) -> str:
        """Build the lines; what the engine printed."""
        text = dockerfile.text(base, lines)
        context = self.directory / "context.tar"
        context.write_bytes(archive(("Dockerfile", tarfile.REGTYPE, 0o644, text)))
        address = f"{self.cloud.directory}/docker.sock"
        done = self.cloud.run(["python3", "-c", BUILD, address, str(context), tag, version])
        assert done.returncode == 0, done.stderr
        if '"error"' not in done.stdout:
            self.tags.add(tag)
        return done.stdout

    def image(self, name: str) -> Image:
        file = self.directory / "image.tar"
        saved = self.cloud.docker("save", "--output", str(file), name)
        assert saved.returncode == 0, saved.stderr
        place = self.directory / name.replace("/", "_").replace(":", "_")
        with tarfile.open(file) as whole:
            whole.extractall(place, filter="data")
        listed = json.loads((place / "manifest.json").read_text())[0]
        config = json.loads((place / listed["Config"]).read_text())
        return Image(config, [(place / layer).resolve() for layer in listed["Layers"]])

    def docker(self, *arguments: str) -> None:
        done = self.cloud.docker(*arguments)
        assert done.returncode == 0, done.stderr

    def make_base(self) -> None:
        lowest = self.directory / "lowest.tar"
        lowest.write_bytes(base_layers()[0])
        changes = [
            "ENV PATH=/bin ONE=1 TWO=2 EMPTY= PORT=443 HOME_DIR=/home",
            'CMD ["from", "base"]',
            'ENTRYPOINT ["/bin/busybox"]',
            "LABEL base=yes",
            "WORKDIR /srv",
        ]
        options = [word for change in changes for word in ("--change", change)]
        self.docker("import", *options, str(lowest), "lines/lowest:1")
        self.tags |= {"lines/lowest:1"}
        run = functools.partial(json.dumps, separators=(",", ":"))
        removing = ["/bin/busybox", "rm", "-r", "/opt/removed", "/opt/replaced"]
        making = ["/bin/busybox", "mkdir", "/opt/replaced"]
        printed = self.build([f"RUN {run(removing)}", f"RUN {run(making)}"], BASE, CLASSIC, "lines/lowest:1")
        assert "Successfully" in printed, printed


@pytest.fixture(scope="module")
def engine(running_full_cloud: FullCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(running_full_cloud, tmp_path_factory.mktemp("engine"))
    engine.make_base()
    yield engine
    engine.docker("rmi", "--force", *engine.tags)


@pytest.fixture(scope="module")
def base(engine: Engine) -> Image:
    return engine.image(BASE)


def derived(base: Image, lines: Sequence[str]) -> tuple[Json, Tree]:
    """What this collection makes of the lines: the configuration, and what the new layers have."""
    layers = [Descriptor(LAYER_TYPE, Digest.of(path.read_bytes()), path.stat().st_size) for path in base.layers]
    files = dict(zip(layers, base.layers, strict=True))

    def open_layer(layer: Descriptor) -> Any:
        return files[layer].open("rb")

    made = derive.apply(base.config, dockerfile.parse(lines), LayeredDirectories(layers, open_layer))
    found: Tree = {}
    for layer in made.layers:
        found.update(tree(io.BytesIO(layer.content)))
    config = json.loads(made.config)
    assert config["rootfs"]["diff_ids"][len(layers) :] == [str(layer.diff_id) for layer in made.layers]
    assert sum(not line.get("empty_layer") for line in config["history"]) == len(config["rootfs"]["diff_ids"])
    return config, found


def merged(layers: Sequence[Path]) -> Tree:
    """What layers have together."""
    found: Tree = {}
    for layer in layers:
        with layer.open("rb") as stream:
            new = tree(stream)
        for path in new:
            parent, name = posixpath.split(path)
            gone = posixpath.join(parent, name.removeprefix(".wh."))
            if name == ".wh..wh..opq":
                gone = parent
            if name.startswith(".wh."):
                found = {old: entry for old, entry in found.items() if not f"{old}/".startswith(f"{gone}/")}
        found.update({path: entry for path, entry in new.items() if "/.wh." not in f"/{path}"})
    return found


def tree(stream: Any) -> Tree:
    with tarfile.open(fileobj=stream, mode="r:*") as whole:
        return {
            entry.name.strip("/"): (entry.type, entry.mode & 0o7777, entry.uid, entry.gid, entry.linkname)
            for entry in whole
        }


@pytest.mark.parametrize("lines", CASES.values(), ids=CASES.keys())
def test_as_the_engine_builds_it(engine: Engine, base: Image, lines: tuple[Sequence[str], Sequence[str]]) -> None:
    text, versions = lines
    there = merged(base.layers)
    config, made = derived(base, text)
    for version in versions:
        printed = engine.build(text, f"lines/built:{version}", version)
        assert '"error"' not in printed, printed
        built = engine.image(f"lines/built:{version}")
        assert told(config) == built.shown, version
        new = merged(built.layers[len(base.layers) :])
        # The engine repeats the directories around what is new.
        assert made == {path: entry for path, entry in new.items() if there.get(path) != entry}, version


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["ENVV a=b"], "unknown instruction ENVV, did you mean ENV?"),
        (["ENV a"], "needs a name and a value"),
        (["ENV a=b c"], "'c' has no ="),
        (["CMD [1]"], "only texts"),
        (["HEALTHCHECK CURL x"], "needs CMD"),
        (["HEALTHCHECK --every=3s CMD x"], "unknown option --every"),
        (["HEALTHCHECK --interval=1 CMD x"], "is no duration"),
        (["HEALTHCHECK NONE x"], "takes no options and no arguments"),
        (["STOPSIGNAL SIGNOTHING"], "is no signal"),
        (["EXPOSE 99999"], "up to 65535"),
        (["EXPOSE 80/xyz"], "is no port"),
        (["SHELL /bin/sh"], "needs a list"),
        (["ENV A=${ONE"], "there is no }"),
        (["ENV A=${}"], "without the name of a variable"),
        (["LABEL a='b"], "without a second one"),
        (['ENV A="${NONE:?give it}"'], "NONE: give it"),
        (["WORKDIR /file/x"], "is a file in the image"),
        (["ONBUILD ONBUILD CMD x"], "ONBUILD ONBUILD is not allowed"),
        (["VOLUME"], "needs an argument"),
        (["USER"], "needs an argument"),
        (["CMD --what"], "has no option --what"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_the_engine_refuses_is_refused(engine: Engine, base: Image, lines: Sequence[str], said: str) -> None:
    printed = engine.build(lines, "lines/built:2", BUILDKIT)
    assert '"error"' in printed or '"message"' in printed, printed
    with pytest.raises(MirrorError) as refused:
        derived(base, lines)
    assert said in str(refused.value)


# ------------------------------------------------------------------ the images, in registries and engines

LINES = [
    "ENV GREETING=hello",
    "WORKDIR /made/here",
    "VOLUME /data",
    "HEALTHCHECK CMD true",
    'ENTRYPOINT ["/bin/busybox"]',
]
RECORD = {"dev.stevedore.source.digest": "sha256:0", "dev.stevedore.recipe": dockerfile.recipe_of(LINES)}
# A registry that is not ECR, in the cloud's namespace.
DISTRIBUTION = "127.0.0.1:4652"


class Layout:
    """An image as skopeo keeps it in a directory: its exact bytes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def documents(self) -> list[Document]:
        top = manifest.parse((self.directory / "manifest.json").read_bytes())
        return list(manifest.walk(top, lambda child: manifest.parse(self._child(child.digest).read_bytes())))

    def open_blob(self, blob: Descriptor) -> Any:
        return (self.directory / blob.digest.encoded).open("rb")

    def put(self, made: Derivation) -> None:
        for digest, content in made.made.items():
            (self.directory / digest.encoded).write_bytes(content)
        for document in made.documents[:-1]:
            self._child(document.digest).write_bytes(document.raw)
        (self.directory / "manifest.json").write_bytes(made.top.raw)

    def _child(self, digest: Digest) -> Path:
        return self.directory / f"{digest.encoded}.manifest.json"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("docker", {}),
        ("image", {}),
        ("docker-list", {"platforms": ["linux/amd64", "linux/arm64"]}),
        ("index", {"platforms": ["linux/amd64", "linux/arm64"], "attestations": True}),
    ],
)
def test_registries_and_clients_take_what_is_made(full: FullCloud, tmp_path: Path, kind: str, more: Json) -> None:
    binary = {"base64": base64.b64encode(BUSYBOX.read_bytes()).decode(), "mode": 0o755}
    full.publish("quay.io", "team/app", "1", kind=kind, files={"bin/busybox": binary}, **more)
    skopeo = ["skopeo", "--insecure-policy", "copy", "--all"]
    layout = Layout(tmp_path / "layout")
    succeed(full, *skopeo, "docker://quay.io/team/app:1", f"dir:{layout.directory}")
    made = derived_images.derive(layout.documents(), dockerfile.parse(LINES), RECORD, layout.open_blob)
    assert made == derived_images.derive(layout.documents(), dockerfile.parse(LINES), RECORD, layout.open_blob)
    assert made.top.annotations == RECORD
    layout.put(made)

    full.client("ecr").create_repository(repositoryName="team/app")
    host = full.registry.removeprefix("https://")
    token = full.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    login = full.docker("login", "--username", "AWS", "--password-stdin", host, stdin=password)
    assert login.returncode == 0, login.stderr
    auth = ["--authfile", str(full.directory / "docker-config" / "config.json")]
    for name, tls in ((f"{host}/team/app:made", []), (f"{DISTRIBUTION}/quay.io/team/app:made", ["=false"])):
        pushing = [f"--dest-tls-verify{value}" for value in tls]
        looking = [f"--tls-verify{value}" for value in tls]
        succeed(full, *skopeo, "--preserve-digests", *pushing, *auth, f"dir:{layout.directory}", f"docker://{name}")
        raw = succeed(full, "skopeo", "inspect", "--raw", *looking, *auth, f"docker://{name}")
        assert raw.encode() == made.top.raw
        succeed(full, "docker", "pull", name)
        run = succeed(full, "docker", "run", "--rm", "--network", "none", name, "sh", "-c", "pwd; echo $GREETING")
        assert run == "/made/here\nhello\n"
        config = json.loads(succeed(full, "docker", "image", "inspect", "--format", "{{json .Config}}", name))
        assert config["Volumes"] == {"/data": {}}
        assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"]}
        assert config["Labels"] == RECORD
        succeed(full, "docker", "rmi", "--force", name)
    if kind == "index":
        assert isinstance(made.top, Index)
        assert any("attestations" in note for note in made.notes)
        assert [child.platform for child in made.top.children] == list(map(Platform.parse, more["platforms"]))


def succeed(cloud: FullCloud, *command: str) -> str:
    done = cloud.run(list(command))
    assert done.returncode == 0, done.stderr
    return done.stdout
