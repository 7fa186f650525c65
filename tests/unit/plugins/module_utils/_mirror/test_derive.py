# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import derive, dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.derive import Derived, DeriveError, layer_of
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest

Json = dict[str, Any]

CREATED = "2024-01-01T00:00:00Z"
BASE: Json = {
    "architecture": "arm64",
    "created": CREATED,
    "os": "linux",
    "variant": "v8",
    "config": {
        "Env": ["PATH=/bin", "ONE=1"],
        "Cmd": ["run"],
        "Entrypoint": ["/start"],
        "Labels": {"base": "yes"},
        "Volumes": {"/old": {}},
        "WorkingDir": "/work",
        "Unknown": {"stays": True},
    },
    "history": [{"created": CREATED, "created_by": "base"}],
    "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"base"))]},
    "moby.buildkit.buildinfo.v1": "kept",
}


class Disk:
    """Directories of an image that has these."""

    def __init__(self, *paths: str) -> None:
        self.paths = {"/", *paths}
        self.users: list[str] = []

    def make(self, path: str) -> Sequence[str]:
        parts = path.strip("/").split("/")
        wanted = ["/" + "/".join(parts[: length + 1]) for length in range(len(parts))]
        missing = [one for one in wanted if one not in self.paths]
        self.paths.update(missing)
        return missing

    def owner(self, user: str) -> tuple[int, int]:
        self.users.append(user)
        return {"app": (101, 102)}.get(user, (0, 0))


def apply(*lines: str, base: Mapping[str, Any] | None = None, disk: Disk | None = None, **labels: str) -> Derived:
    return derive.apply(base or BASE, dockerfile.parse(lines), disk or Disk("/work"), labels)


def config(*lines: str, base: Mapping[str, Any] | None = None) -> Json:
    made: Json = json.loads(apply(*lines, base=base).config)["config"]
    return made


def changed(*lines: str) -> Json:
    """What the lines change, None for what they take away."""
    made = config(*lines)
    return {name: made.get(name) for name in {*made, *BASE["config"]} if made.get(name) != BASE["config"].get(name)}


# What Docker Engine makes of such lines is compared in tests/integration/full/test_dockerfile_lines.py.
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ENV ONE=2 TWO=$ONE"], {"Env": ["PATH=/bin", "ONE=2", "TWO=1"]}),
        (["ENV A=1", "ENV A=2 B=$A"], {"Env": ["PATH=/bin", "ONE=1", "A=2", "B=1"]}),
        (["LABEL base=no more='$ONE $ONE'"], {"Labels": {"base": "no", "more": "$ONE $ONE"}}),
        (['VOLUME ["/$ONE"]'], {"Volumes": {"/old": {}, "/1": {}}}),
        (["EXPOSE $ONE 2-3/udp"], {"ExposedPorts": {"1/tcp": {}, "2/udp": {}, "3/udp": {}}}),
        (["USER u$ONE"], {"User": "u1"}),
        (["WORKDIR sub/../x"], {"WorkingDir": "/work/x"}),
        (["WORKDIR //x/"], {"WorkingDir": "/x"}),
        (["CMD a $ONE"], {"Cmd": ["/bin/sh", "-c", "a $ONE"]}),
        (['SHELL ["/x", "-c"]', "CMD a"], {"Shell": ["/x", "-c"], "Cmd": ["/x", "-c", "a"]}),
        (['CMD ["a"]'], {"Cmd": ["a"]}),
        (["CMD []"], {"Cmd": None}),
        (['ENTRYPOINT ["a"]'], {"Entrypoint": ["a"], "Cmd": None}),
        (['CMD ["b"]', 'ENTRYPOINT ["a"]'], {"Entrypoint": ["a"], "Cmd": ["b"]}),
        (["ENTRYPOINT []"], {"Entrypoint": None, "Cmd": None}),
        (["STOPSIGNAL $ONE"], {"StopSignal": "1"}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (["HEALTHCHECK CMD NONE"], {"Healthcheck": {"Test": ["CMD-SHELL", "NONE"]}}),
        (
            ['HEALTHCHECK --interval=1m --start-interval=2s --retries=0 CMD ["a"]'],
            {"Healthcheck": {"Test": ["CMD", "a"], "Interval": 60 * 10**9, "StartInterval": 2 * 10**9}},
        ),
        (["ONBUILD RUN $ONE"], {"OnBuild": ["RUN $ONE"]}),
        (["ARG A=$ONE B", "ENV C=$A$B"], {"Env": ["PATH=/bin", "ONE=1", "C=1"]}),
        (["ARG ONE=2", "ENV A=$ONE"], {"Env": ["PATH=/bin", "ONE=1", "A=2"]}),
        (["ARG TARGETPLATFORM", "LABEL p=$TARGETPLATFORM"], {"Labels": {"base": "yes", "p": "linux/arm64/v8"}}),
        (["# nothing"], {}),
    ],
)
def test_instructions(lines: list[str], expected: Json) -> None:
    assert changed(*lines) == expected


def test_all_else_stays() -> None:
    made = json.loads(apply("ENV A=1", "MAINTAINER Some Body").config)
    assert made.pop("author") == "Some Body"
    assert made.pop("history") == [
        *BASE["history"],
        {"created": CREATED, "created_by": "ENV A=1", "comment": "stevedore.ecr", "empty_layer": True},
        {"created": CREATED, "created_by": "MAINTAINER Some Body", "comment": "stevedore.ecr", "empty_layer": True},
    ]
    made["config"].pop("Env")
    expected = {name: value for name, value in BASE.items() if name != "history"}
    assert made == {**expected, "config": {name: v for name, v in BASE["config"].items() if name != "Env"}}


def test_labels_of_the_record_win() -> None:
    made = json.loads(apply("LABEL record=mine", record="ours").config)
    assert made["config"]["Labels"] == {"base": "yes", "record": "ours"}


def test_the_source_is_not_changed() -> None:
    before = json.dumps(BASE)
    apply("ENV A=1", "LABEL b=c", "VOLUME /x", "WORKDIR /new", "ONBUILD CMD x")
    assert json.dumps(BASE) == before


def test_a_working_directory_that_is_missing_becomes_a_layer() -> None:
    made = apply("USER app", "WORKDIR /work/a/b", "WORKDIR c", "WORKDIR /work/a", disk=Disk("/work"))
    document = json.loads(made.config)
    assert document["config"]["WorkingDir"] == "/work/a"
    assert [names(layer.content) for layer in made.layers] == [
        [("work/a", 0o755, 101, 102), ("work/a/b", 0o755, 101, 102)],
        [("work/a/b/c", 0o755, 101, 102)],
    ]
    diff_ids = [str(layer.diff_id) for layer in made.layers]
    assert document["rootfs"]["diff_ids"] == [*BASE["rootfs"]["diff_ids"], *diff_ids]
    assert [line.get("empty_layer", False) for line in document["history"][1:]] == [True, False, False, True]


def names(layer: bytes) -> list[tuple[str, int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as whole:
        return [(entry.name, entry.mode, entry.uid, entry.gid) for entry in whole if entry.isdir()]


def test_an_image_without_history_gets_none() -> None:
    base = {name: value for name, value in BASE.items() if name not in ("history", "created")}
    made = json.loads(apply("ENV A=1", "WORKDIR /x", base=base).config)
    assert "history" not in made
    assert len(made["rootfs"]["diff_ids"]) == 2


def test_an_empty_configuration() -> None:
    made = json.loads(apply("ENV A=1", "LABEL a=b", base={"config": None}).config)
    assert made == {"config": {"Env": ["A=1"], "Labels": {"a": "b"}}}


def test_instructions_kept_for_later_come_first() -> None:
    base = {**BASE, "config": {**BASE["config"], "OnBuild": ["ENV A=early", "USER early"]}}
    made = config("ENV B=$A", base=base)
    assert "OnBuild" not in made
    assert made["Env"][-2:] == ["A=early", "B=early"]
    assert made["User"] == "early"


@pytest.mark.parametrize(
    ("base", "line", "said"),
    [
        ({"os": "windows"}, "ENV A=1", "Windows"),
        ({"config": {"OnBuild": ["RUN make"]}}, "ENV A=1", "only an engine can follow"),
        ({"config": {"OnBuild": ["COPY . /app"]}}, "ENV A=1", "there is no build context"),
        ({"config": {"Env": "A=1"}}, "ENV A=1", "a Env that no image has"),
        ({"config": {"Env": [1]}}, "ENV A=1", "a Env that no image has"),
        ({"config": {"Labels": []}}, "LABEL A=1", "a Labels that no image has"),
        ({"config": []}, "LABEL A=1", "a config that no image has"),
        ({"history": {}}, "LABEL A=1", "a history that no image has"),
        ({"rootfs": {"diff_ids": "x"}}, "WORKDIR /new", "a diff_ids that no image has"),
        ({}, "ENV A=${", "line 1 of the Dockerfile lines, ENV A=${: "),
        ({}, "ENV X=x\nEXPOSE $X", "'x' is no port"),
        ({}, "STOPSIGNAL $NONE", "is no signal"),
        ({}, 'VOLUME ["$NONE"]', "a volume without a path"),
        ({}, "WORKDIR $NONE", "no directory left"),
    ],
)
def test_what_is_refused(base: Json, line: str, said: str) -> None:
    with pytest.raises(DeriveError) as refused:
        apply(line, base={**BASE, **base})
    assert said in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000], ids=len)
def test_no_configuration(raw: bytes) -> None:
    with pytest.raises(DeriveError, match="the image's configuration is no"):
        derive.parse_config(raw)


@pytest.mark.parametrize("raw", [b"[" + b"1," * 300_000 + b"1]", b'{"a":"' + b"x" * (9 << 20) + b'"}'], ids=len)
def test_a_configuration_that_would_take_much_memory(raw: bytes) -> None:
    with pytest.raises(DeriveError, match="larger than any image's"):
        derive.parse_config(raw)


paths = st.lists(st.text(alphabet="ab\u00e9 .", min_size=1, max_size=150), min_size=1, max_size=500, unique=True)


@given(paths, st.integers(0, 2**31 - 1))
def test_layers_of_directories(wanted: list[str], owner: int) -> None:
    wanted = [f"x{path}" for path in wanted]
    layer = layer_of(wanted, (owner, owner))
    assert layer == layer_of(wanted, (owner, owner))
    assert layer.diff_id == Digest.of(gzip.decompress(layer.content))
    assert names(layer.content) == [(path, 0o755, owner, owner) for path in wanted]


def test_the_bytes_of_a_layer_never_change() -> None:
    layer = layer_of(["srv/app"], (0, 0))
    assert str(Digest.of(layer.content)) == "sha256:6468bc552b03ce40c931fdd51b38454c27637a0688c4a55ee0a607e1e56f3f8a"


values = st.text(max_size=10)
bases = st.fixed_dictionaries(
    {},
    optional={
        "config": st.none()
        | st.dictionaries(
            st.sampled_from(["Env", "Labels", "Volumes", "Shell", "OnBuild", "WorkingDir", "Cmd"]),
            st.none() | values | st.lists(values, max_size=2) | st.dictionaries(values, values, max_size=2),
        ),
        "history": st.none() | st.lists(st.dictionaries(values, values, max_size=1), max_size=2),
        "rootfs": st.none() | st.dictionaries(st.just("diff_ids"), st.lists(values, max_size=2)),
        "os": st.sampled_from(["linux", "windows"]),
    },
)
LINES = ["ENV A=1", "LABEL a=b", "VOLUME /a", "CMD a", "WORKDIR w", "ARG TARGETARCH", "ONBUILD CMD x", "EXPOSE 1"]


@given(bases, st.lists(st.sampled_from(LINES), max_size=3))
def test_any_configuration_is_changed_or_refused(base: Json, lines: list[str]) -> None:
    try:
        made = apply(*lines, base=base)
    except DeriveError:
        return
    assert made == apply(*lines, base=base)
    assert isinstance(json.loads(made.config)["config"], dict)
