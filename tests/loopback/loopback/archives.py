"""Layers: tar archives made and hashed in one pass, straight to disk. The same members give the same bytes."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

BLOCK = 1 << 20
_ZEROS = bytes(BLOCK)
_ZSTD_BLOCK = 128 << 10


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    size: int
    content: Readable
    mode: int = 0o644


@dataclass(frozen=True)
class Archive:
    file: Path
    digest: str
    diff_id: str  # digest before compression
    size: int


class Noise:
    """Bytes that do not compress, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def read(self, size: int = -1, /) -> bytes:
        return self._random.randbytes(size)


class Zeros:
    def read(self, size: int = -1, /) -> bytes:
        return _ZEROS if size == BLOCK else bytes(size)


def build(file: Path, members: Iterable[Member], compression: str) -> Archive:
    with file.open("wb") as out:
        sink = _Sink(out, COMPRESSIONS[compression]())
        with tarfile.open(fileobj=sink, mode="w|", copybufsize=BLOCK) as archive:  # type: ignore[call-overload]
            for member in members:
                entry = tarfile.TarInfo(member.name)
                entry.size, entry.mode = member.size, member.mode
                archive.addfile(entry, member.content)
        sink.finish()
    return Archive(file, sink.digest, sink.diff_id, file.stat().st_size)


class _Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Zstandard:
    """Zstandard frames of raw blocks: valid, if not smaller. Python 3.11 has no compressor of its own."""

    _MAGIC, _HEADER = b"\x28\xb5\x2f\xfd", b"\x00\x38"  # no checksum, a window of 128 KiB

    def __init__(self) -> None:
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        pieces = [data[start : start + _ZSTD_BLOCK] for start in range(0, len(data), _ZSTD_BLOCK)]
        return self._opening() + b"".join(self._block(piece, last=False) for piece in pieces)

    def flush(self) -> bytes:
        return self._opening() + self._block(b"", last=True)

    def _opening(self) -> bytes:
        opening = b"" if self._begun else self._MAGIC + self._HEADER
        self._begun = True
        return opening

    @staticmethod
    def _block(content: bytes, *, last: bool) -> bytes:
        return (len(content) << 3 | last).to_bytes(3, "little") + content


def _gzip() -> _Compressor:
    # Level 0: noise does not get smaller, and bytes are made ten times as fast.
    return zlib.compressobj(0, zlib.DEFLATED, zlib.MAX_WBITS | 16)


COMPRESSIONS = {"gzip": _gzip, "zstd": _Zstandard, "none": _Plain}


class _Sink:
    """Takes a tar stream; hashes, compresses and writes it, leaving holes for zeros."""

    def __init__(self, out: IO[bytes], compressor: _Compressor) -> None:
        self._out, self._compressor = out, compressor
        self._plain = hashlib.sha256()
        self._compressed = self._plain if isinstance(compressor, _Plain) else hashlib.sha256()

    def write(self, data: bytes) -> int:
        if self._compressed is not self._plain:
            self._plain.update(data)
        self._store(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._store(self._compressor.flush())
        self._out.truncate(self._out.tell())

    @property
    def digest(self) -> str:
        return f"sha256:{self._compressed.hexdigest()}"

    @property
    def diff_id(self) -> str:
        return f"sha256:{self._plain.hexdigest()}"

    def _store(self, data: bytes) -> None:
        self._compressed.update(data)
        if data and _ZEROS.startswith(data):
            self._out.seek(len(data), io.SEEK_CUR)
        else:
            self._out.write(data)
