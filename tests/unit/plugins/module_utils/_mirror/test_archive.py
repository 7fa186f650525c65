# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.archive import Archive, Entry, LayerError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(content)
    return entry


def archive(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=form) as made:
        for entry, content in entries:
            made.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def read(layer: bytes) -> list[Entry]:
    return list(Archive(io.BytesIO(layer)).entries())


def pax(**records: str) -> bytes:
    """An extended header, however little sense it makes."""
    lines = b"".join(_record(name.replace("_", "."), value) for name, value in records.items())
    entry = member("pax", lines, tarfile.XHDTYPE)
    return entry.tobuf(tarfile.USTAR_FORMAT) + lines + bytes(-len(lines) % 512)


def _record(name: str, value: str) -> bytes:
    rest = f" {name}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


FILE = (member("a/file", b"content"), b"content")
PLAIN = archive(
    FILE, (member("./dir/", kind=tarfile.DIRTYPE), b""), (member("l", kind=tarfile.SYMTYPE, target="a"), b"")
)
ENTRIES = [Entry("a/file", "file", 7), Entry("dir", "directory"), Entry("l", "link", 0, "a")]


@pytest.mark.parametrize(
    "layer",
    [
        PLAIN,
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:700]) + gzip.compress(PLAIN[700:]),
        gzip.compress(PLAIN) + bytes(100),
        gzip.compress(PLAIN + bytes(100_000)),
    ],
    ids=["plain", "gzip", "members", "padded", "long end"],
)
def test_entries(layer: bytes) -> None:
    assert read(layer) == ENTRIES


@pytest.mark.parametrize("layer", [b"", bytes(1024), gzip.compress(b"", mtime=0)], ids=["none", "zeros", "compressed"])
def test_nothing(layer: bytes) -> None:
    assert read(layer) == []


def test_pieces_of_any_size() -> None:
    class Slow(io.BytesIO):
        def read(self, amount: int | None = -1, /) -> bytes:
            return super().read(1)

    assert list(Archive(Slow(gzip.compress(PLAIN))).entries()) == ENTRIES
    assert list(Archive(Slow(PLAIN)).entries()) == ENTRIES


def test_the_layer_is_read_to_its_end() -> None:
    """Only then the client has compared it with its digest."""
    for layer in (PLAIN + b"x" * 1_000_000, gzip.compress(PLAIN) + bytes(1_000_000)):
        stream = io.BytesIO(layer)
        assert list(Archive(stream).entries()) == ENTRIES
        assert stream.tell() == len(layer)


def test_content() -> None:
    whole = Archive(io.BytesIO(gzip.compress(archive(FILE, FILE, FILE))))
    contents = [whole.content() if number != 1 else None for number, _entry in enumerate(whole.entries())]
    assert contents == [b"content", None, b"content"]


def test_names_that_lead_elsewhere() -> None:
    names = ["/etc//x", "./a/./b", "../x", "a/../../x", "."]
    layer = archive(*((member(name), b"") for name in names))
    assert [entry.path for entry in read(layer)] == ["etc/x", "a/b", "", "", ""]


names = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300
).map(lambda name: f"x/{name}")
contents = st.binary(max_size=1500)


@given(st.lists(st.tuples(names, contents), max_size=5), st.sampled_from(["gnu", "pax"]), st.booleans())
def test_as_tarfile_reads_it(files: list[tuple[str, bytes]], form: str, is_link: bool) -> None:
    kind = tarfile.SYMTYPE if is_link else tarfile.REGTYPE
    entries = [
        (member(name, b"" if is_link else content, kind, name if is_link else ""), b"" if is_link else content)
        for name, content in files
    ]
    layer = archive(*entries, form=FORMATS[form])
    with tarfile.open(fileobj=io.BytesIO(layer)) as whole:
        expected = [(normal(entry.name), entry.size, entry.linkname) for entry in whole]
    assert [(entry.path, entry.size, entry.target) for entry in read(gzip.compress(layer))] == expected


def normal(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def test_sizes_in_extended_headers() -> None:
    content = bytes(1024)
    layer = pax(size="1024") + member("big").tobuf() + content + PLAIN
    assert read(layer) == [Entry("big", "file", 1024), *ENTRIES]


def test_extended_headers_without_sense() -> None:
    broken = member("pax", b"999 path=x\n", tarfile.XHDTYPE).tobuf() + b"999 path=x\n" + bytes(501)
    layer = broken + member("name").tobuf() + pax(size="-5", path="other") + member("name").tobuf() + PLAIN
    assert [entry.path for entry in read(layer)[:2]] == ["name", "other"]


def test_global_headers_mean_nothing() -> None:
    records = _record("comment", "x" * 600)
    header = member("global", records, tarfile.XGLTYPE).tobuf() + records + bytes(-len(records) % 512)
    assert read(header + PLAIN) == ENTRIES


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Archive.__module__}._MAX_ENTRIES", 2)
    with pytest.raises(LayerError, match="it has more than 2 files"):
        read(PLAIN)


def test_sparse_files() -> None:
    old = bytearray(member("holes", bytes(512), tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    layer = bytes(old) + b"\1" * 504 + b"\1" + bytes(7) + bytes(512) + bytes(512)
    named = pax(GNU_sparse_name="real") + member("GNUSparseFile.0/real").tobuf()
    assert [entry.path for entry in read(layer + named + PLAIN)[:2]] == ["holes", "real"]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(100), "compressed with Zstandard"),
        (b"x" * 1024, "it is no tar archive"),
        (PLAIN[:700], "it ends too early"),
        (PLAIN[:100], "it ends too early"),
        (gzip.compress(PLAIN)[:-20], "it ends too early"),
        (gzip.compress(PLAIN)[:10] + b"\xff" * 50, "it cannot be decompressed"),
        (gzip.compress(PLAIN) + b"rubbish", "it cannot be decompressed"),
        (member("big", b"").tobuf().replace(b"00000000000", b"77777777777", 1), "it is no tar archive"),
        (pax(path="x" * 5000) + PLAIN, "a path in it has 5000 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(layer: bytes, said: str) -> None:
    with pytest.raises(LayerError, match=said):
        read(layer)


def test_headers_that_claim_too_much_are_not_read() -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        entry = member("x", kind=kind)
        entry.size = 1 << 40
        with pytest.raises(LayerError, match="a header in it has 1099511627776 bytes"):
            read(entry.tobuf(tarfile.GNU_FORMAT) + PLAIN)


def test_a_large_file_is_not_given() -> None:
    entry = member("x", bytes(2_000_000))
    whole = Archive(io.BytesIO(archive((entry, bytes(2_000_000)))))
    next(whole.entries())
    with pytest.raises(LayerError, match="a file that should be small has 2000000 bytes"):
        whole.content()


def test_little_memory_however_far_it_expands() -> None:
    """A hundred megabytes in a hundred kilobytes."""
    entry = member("big")
    entry.size = 100 << 20
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packing.compress(entry.tobuf()), *(packing.compress(bytes(1 << 20)) for _number in range(100))]
    bomb = b"".join([*pieces, packing.compress(PLAIN), packing.flush()])
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        assert read(bomb)[1:] == ENTRIES
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_limit_to_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Archive.__module__}._MAX_UNPACKED", 1 << 20)
    with pytest.raises(LayerError, match="it expands to more than"):
        read(gzip.compress(PLAIN + bytes(2 << 20)))


@given(st.binary(max_size=600), st.integers(0, len(PLAIN)), st.booleans())
def test_anything_is_read_or_refused(damage: bytes, place: int, packed: bool) -> None:
    layer = PLAIN[:place] + damage + PLAIN[place + len(damage) :]
    try:
        found = read(gzip.compress(layer) if packed else layer)
    except LayerError:
        return
    assert all(len(entry.path) < 5000 for entry in found)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=20))
def test_damaged_compression_is_read_or_refused(place: int, damage: bytes) -> None:
    layer = gzip.compress(PLAIN, mtime=0)
    damaged = layer[:place] + damage + layer[place + len(damage) :]
    try:
        found = read(damaged)
    except LayerError:
        return
    assert found == ENTRIES or not damaged.startswith(b"\x1f\x8b")


def test_the_checksum_of_a_header_matters() -> None:
    header = bytearray(PLAIN)
    header[0] = struct.pack("B", header[0] ^ 1)[0]
    with pytest.raises(LayerError, match="it is no tar archive"):
        read(bytes(header))
