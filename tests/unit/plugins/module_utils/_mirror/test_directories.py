# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.directories import (
    DirectoryError,
    LayeredDirectories,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
PASSWD = "root:x:0:0::/:/bin/sh\nnobody\napp:x:101:102::/:/bin/sh\nbad:x:-1:x::/:\n"
GROUP = "root:x:0:\nstaff:x:50:app\n"


def layer(*names: str) -> bytes:
    """`a/` is a directory, `a -> b` a link, `a=text` a file with this in it, all else an empty file."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as made:
        for name in names:
            path, _arrow, target = name.partition(" -> ")
            path, _equals, text = path.partition("=")
            entry = tarfile.TarInfo(path)
            entry.type = tarfile.SYMTYPE if target else tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            entry.linkname, entry.size = target, len(text.encode())
            made.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(whole.getvalue())


class Image:
    """Layers, the lowest first, and how often each was read."""

    def __init__(self, *layers: bytes) -> None:
        self.descriptors = [Descriptor(LAYER, Digest.of(content), len(content)) for content in layers]
        self._contents = dict(zip(self.descriptors, layers, strict=True))
        self.opened: list[int] = []
        self.open: list[io.BytesIO] = []

    def directories(self, *expected: str) -> LayeredDirectories:
        return LayeredDirectories(self.descriptors, self._open, expected)

    def _open(self, descriptor: Descriptor) -> io.BytesIO:
        self.opened.append(self.descriptors.index(descriptor))
        self.open.append(io.BytesIO(self._contents[descriptor]))
        return self.open[-1]


@pytest.mark.parametrize(
    ("layers", "path", "missing"),
    [
        ([], "/", []),
        ([], "/a/b", ["a", "a/b"]),
        ([["a/"]], "/a", []),
        ([["a/"]], "/a/b", ["a/b"]),
        ([["a/", "a/b/"]], "/a/b/c/d", ["a/b/c", "a/b/c/d"]),
        ([["a/b/file"]], "/a/b", []),
        ([["a/b/"], ["other/"]], "/a/b", []),
        ([["a/b/"], ["a/.wh.b"]], "/a/b", ["a/b"]),
        ([["a/b/"], [".wh.a"]], "/a/b", ["a", "a/b"]),
        ([["a/b/"], [".wh.a"], ["a/"]], "/a/b", ["a/b"]),
        ([["a/b/"], ["a/.wh..wh..opq"]], "/a/b", ["a/b"]),
        ([["a/b/"], ["a/.wh..wh..opq", "a/b/c/"]], "/a/b/c", []),
        ([["a/b/"], ["a/.wh..wh..opq", "a/b/c/"], ["a/b/.wh.c"]], "/a/b/c", ["a/b/c"]),
        ([["a/b/"], [".wh..wh..opq"]], "/a/b", ["a", "a/b"]),
        ([["a/b/"], ["a/.wh.b", "a/b/c/"]], "/a/b/c", []),
        ([["a/"], ["a"], ["a/"]], "/a", []),
        ([["a/b/"], ["a"], ["a/"]], "/a/b", ["a/b"]),
        ([["a -> b", "b/"]], "/a/c", ["b/c"]),
        ([["a -> /b", "b/c/"]], "/a/c", []),
        ([["x/a -> ../b", "b/"]], "/x/a/c", ["b/c"]),
        ([["x/a -> b", "x/b/c/"]], "/x/a/c", []),
        ([["a -> b", "b -> c", "c -> d/e"]], "/a/f", ["d", "d/e", "d/e/f"]),
        ([["a -> ../../../b"]], "/a", ["b"]),
        ([["a -> b", "b/"], ["a/"]], "/a/c", ["a/c"]),
        ([["a -> b"], ["a/c/file"]], "/a/c", ["b", "b/c"]),
        ([["a -> b", "b/"], [".wh.a"]], "/a/c", ["a", "a/c"]),
    ],
)
def test_what_is_missing(layers: list[list[str]], path: str, missing: list[str]) -> None:
    directories = Image(*(layer(*names) for names in layers)).directories()
    assert list(directories.make(path)) == missing
    assert list(directories.make(path)) == []


@pytest.mark.parametrize(
    ("names", "path", "said"),
    [
        (["a"], "/a/b", "/a is a file in the image"),
        (["a -> b", "b"], "/a", "/b is a file in the image"),
        (["a -> b", "b -> a"], "/a", "/a leads through more than 20 symbolic links"),
        (["a -> a"], "/a/b", "more than 20 symbolic links"),
    ],
)
def test_what_cannot_be_made(names: list[str], path: str, said: str) -> None:
    with pytest.raises(DirectoryError, match=said):
        Image(layer(*names)).directories().make(path)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", (0, 0)),
        ("0", (0, 0)),
        ("1000", (1000, 1000)),
        ("1000:5", (1000, 5)),
        ("app", (101, 102)),
        ("app:staff", (101, 50)),
        ("app:7", (101, 7)),
        ("7:staff", (7, 50)),
        ("root", (0, 0)),
    ],
)
def test_owner(user: str, expected: tuple[int, int]) -> None:
    image = Image(layer("etc/passwd=old", "etc/group=old"), layer(f"etc/passwd={PASSWD}", f"etc/group={GROUP}"))
    assert image.directories().owner(user) == expected


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("who", "no user who"),
        ("bad", "no user bad"),
        ("nobody", "no user nobody"),
        ("99999999999", "no user 99999999999"),
        ("app:who", "no group who"),
        ("-1", "no user -1"),
    ],
)
def test_no_such_owner(user: str, said: str) -> None:
    image = Image(layer(f"etc/passwd={PASSWD}", f"etc/group={GROUP}"))
    with pytest.raises(DirectoryError, match=said):
        image.directories().owner(user)


def test_root_needs_no_file() -> None:
    assert Image(layer("a/")).directories().owner("root:root") == (0, 0)


def test_users_of_a_file_that_was_removed() -> None:
    image = Image(layer(f"etc/passwd={PASSWD}"), layer("etc/.wh.passwd"))
    with pytest.raises(DirectoryError, match="no user app"):
        image.directories().owner("app")


def test_no_more_layers_are_read_than_needed() -> None:
    image = Image(layer("a/"), layer("b/"), layer("c/"))
    assert image.directories().make("/b") == ()
    assert image.opened == [2, 1]


def test_each_layer_is_read_once_for_what_was_expected() -> None:
    image = Image(layer("a/", f"etc/passwd={PASSWD}"), layer("b/"))
    directories = image.directories("/a/x", "/b/y", "/c", *LayeredDirectories.files_about("app"))
    for path in ("/a/x", "/b/y", "/c"):
        directories.make(path)
    directories.owner("app")
    assert image.opened == [1, 0]
    assert all(stream.closed for stream in image.open)


def test_files_about_users() -> None:
    about = ("etc/passwd", "etc/group")
    expected = {"": (), "5": (), "5:6": (), "app": about, "5:app": about, "app:5": about}
    assert {user: LayeredDirectories.files_about(user) for user in expected} == expected


def test_layers_that_cannot_be_read() -> None:
    zstandard = Image(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(
        DirectoryError, match=r"compressed with Zstandard.*transport: docker, said of this image itself"
    ):
        zstandard.directories().make("/a")
    elsewhere = Descriptor(FOREIGN, Digest.of(b""), 0, urls=("https://example.com/layer",))
    with pytest.raises(DirectoryError, match="kept outside of registries"):
        LayeredDirectories([elsewhere], lambda _layer: io.BytesIO()).make("/a")


# Files, directories and removals in random layers, and what unpacking them one after the other would leave.
paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
operations = st.tuples(st.sampled_from(["directory", "file", "remove", "empty"]), paths)
layers_of_operations = st.lists(st.lists(operations, max_size=4), max_size=4)


def unpacked(layers: Sequence[Sequence[tuple[str, str]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for operations in layers:
        for what, path in operations:
            if what in ("remove", "empty"):
                gone = f"{path}/"
                found = {old: kind for old, kind in found.items() if not old.startswith(gone)}
                if what == "remove":
                    found.pop(path, None)
        for what, path in operations:
            # Whatever is in a directory makes it one, marks of removal too.
            inside = f"{path}/mark" if what == "empty" else path
            for parent in [inside[:end] for end, sign in enumerate(inside) if sign == "/"]:
                found[parent] = "directory"
            if what == "file":
                found = {old: kind for old, kind in found.items() if not old.startswith(f"{path}/")}
            if what in ("directory", "file"):
                found[path] = what
    return found


def names(operations: Sequence[tuple[str, str]]) -> list[str]:
    made = []
    for what, path in operations:
        parent, _slash, name = path.rpartition("/")
        prefix = f"{parent}/" if parent else ""
        written = {
            "directory": f"{path}/",
            "file": path,
            "remove": f"{prefix}.wh.{name}",
            "empty": f"{path}/.wh..wh..opq",
        }
        made.append(written[what])
    return made


def sensible(operations: Sequence[tuple[str, str]]) -> bool:
    """No layer has a path twice, nor anything in what it says is a file or gone."""
    said = [path for _what, path in operations]
    ends = [path for what, path in operations if what in ("file", "remove", "empty")]
    return len(set(said)) == len(said) and not any(path.startswith(f"{end}/") for end in ends for path in said)


@given(layers_of_operations.filter(lambda layers: all(map(sensible, layers))), paths)
def test_as_unpacked(layers: list[list[tuple[str, str]]], path: str) -> None:
    expected = unpacked(layers)
    parts = path.split("/")
    prefixes = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    directories = Image(*(layer(*names(operations)) for operations in layers)).directories(path)
    files = [prefix for prefix in prefixes if expected.get(prefix) == "file"]
    if files:
        with pytest.raises(DirectoryError, match=f"/{files[0]} is a file"):
            directories.make(path)
        return
    assert list(directories.make(path)) == [prefix for prefix in prefixes if prefix not in expected]
