# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a layer as a stream: what is in the archive, whatever a stranger has put there.

Private to this collection: may change in any release.

`tarfile` reads long names and extended headers into memory however long they say they are, so only its reading of a
single header is used here. Nothing is ever unpacked.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.blob import Readable

_CHUNK = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 1024 * 1024
_MAX_PATH = 4096
_MAX_ENTRIES = 20_000_000
_MAX_UNPACKED = 1 << 38

_GZIP = b"\x1f\x8b"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=]{1,200})=", re.DOTALL)

Kind = Literal["directory", "link", "file"]


class LayerError(Exception):
    """Why a layer cannot be read."""


@dataclass(frozen=True)
class Entry:
    """One member of an archive. `target` is where a symbolic link points to."""

    path: str
    kind: Kind
    size: int = 0
    target: str = ""


class Archive:
    """The members of a layer, in their order, and the content of those that it is asked of."""

    def __init__(self, layer: Readable) -> None:
        self._stream = _Unpacked(layer)
        self._left = 0

    def entries(self) -> Iterator[Entry]:
        """All of them. The layer is read to its end, so that its digest has been checked when this is done."""
        path, target, size = "", "", None
        for _number in range(_MAX_ENTRIES):
            header = self._header()
            if header is None:
                self._stream.drain()
                return
            if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE):
                said = _said(header, self._extended(header))
                path, target, size = said.path or path, said.target or target, said.size if said.size else size
                continue
            if header.type != tarfile.XGLTYPE:
                self._left = (header.size if size is None else size) if _has_content(header) else 0
                yield Entry(_normal(path or header.name), _kind(header), self._left, target or header.linkname)
                path, target, size = "", "", None
                self._skip()
            else:
                self._extended(header)
        raise LayerError(f"it has more than {_MAX_ENTRIES} files")

    def content(self) -> bytes:
        """That of the entry that was given last: of a small file."""
        if self._left > _MAX_HEADER_BYTES:
            raise LayerError(f"a file that should be small has {self._left} bytes")
        size, self._left = self._left, 0
        return self._stream.exactly(_padded(size))[:size]

    def _header(self) -> tarfile.TarInfo | None:
        block = self._stream.exactly(_BLOCK, may_end=True)
        if not block.strip(b"\0"):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise LayerError(f"it is no tar archive ({error})") from error
        if header.size < 0:
            raise LayerError("it has a file of a negative size")
        if header.type == tarfile.GNUTYPE_SPARSE:
            more = block[482]
            while more:
                more = self._stream.exactly(_BLOCK)[504]
        return header

    def _extended(self, header: tarfile.TarInfo) -> bytes:
        if header.size > _MAX_HEADER_BYTES:
            raise LayerError(f"a header in it has {header.size} bytes")
        return self._stream.exactly(_padded(header.size))[: header.size]

    def _skip(self) -> None:
        self._stream.skip(_padded(self._left))
        self._left = 0


@dataclass(frozen=True)
class _Said:
    path: str = ""
    target: str = ""
    size: int | None = None


def _said(header: tarfile.TarInfo, raw: bytes) -> _Said:
    """What an extended header says of the entry after it."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return _Said(path=_decoded(raw))
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return _Said(target=_decoded(raw))
    records = dict(_records(raw))
    size = records.get(b"size", b"")
    return _Said(
        _decoded(records.get(b"GNU.sparse.name") or records.get(b"path", b"")),
        _decoded(records.get(b"linkpath", b"")),
        int(size) if re.fullmatch(rb"[0-9]{1,15}", size) else None,
    )


def _records(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while match := _PAX_RECORD.match(raw, position):
        end = position + int(match[1])
        if not match.end() < end <= len(raw):
            return
        yield match[2], raw[match.end() : end - 1]
        position = end


def _decoded(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", errors="surrogateescape")


def _has_content(header: tarfile.TarInfo) -> bool:
    """Of links, directories and devices the size means nothing."""
    return header.type not in (
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
    )


def _kind(header: tarfile.TarInfo) -> Kind:
    if header.isdir():
        return "directory"
    return "link" if header.issym() else "file"


def _normal(name: str) -> str:
    """Without what does not matter; nothing if it leads out of the archive."""
    if len(name) > _MAX_PATH:
        raise LayerError(f"a path in it has {len(name)} characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


class _Unpacked:
    """A layer, decompressed on the way, with little memory however far it expands."""

    def __init__(self, layer: Readable) -> None:
        self._layer = layer
        self._raw = layer.read(_CHUNK)
        while 0 < len(self._raw) < len(_ZSTANDARD) and (more := layer.read(_CHUNK)):
            self._raw += more
        if self._raw.startswith(_ZSTANDARD):
            raise LayerError("it is compressed with Zstandard")
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._raw.startswith(_GZIP) else None
        self._buffer, self._position, self._given = b"", 0, 0

    def exactly(self, size: int, *, may_end: bool = False) -> bytes:
        """So many bytes. None at the end if that is allowed."""
        pieces = []
        while size and (piece := self._read(size)):
            pieces.append(piece)
            size -= len(piece)
        if size and (pieces or not may_end):
            raise LayerError("it ends too early")
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        while size:
            piece = self._read(size)
            if not piece:
                raise LayerError("it ends too early")
            size -= len(piece)

    def drain(self) -> None:
        while self._read(_CHUNK):
            pass

    def _read(self, size: int) -> bytes:
        """Some bytes, at most so many."""
        while self._position == len(self._buffer):
            self._position = 0
            if self._gzip is None:
                self._buffer, self._raw = self._raw or self._layer.read(_CHUNK), b""
                if not self._buffer:
                    return b""
            elif not self._fill(self._gzip):
                self._buffer = b""
                return b""
        piece = self._buffer[self._position : self._position + size]
        self._position += len(piece)
        self._given += len(piece)
        if self._given > _MAX_UNPACKED:
            raise LayerError(f"it expands to more than {_MAX_UNPACKED >> 30} GiB")
        return piece

    def _fill(self, unpacking: zlib._Decompress) -> bool:
        """Decompress some more. A layer may be several gzip members, one after the other."""
        if not self._raw:
            self._raw = self._layer.read(_CHUNK)
        if unpacking.eof:
            if not self._raw.lstrip(b"\0"):
                while self._layer.read(_CHUNK):
                    pass
                return False
            self._gzip = unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif not self._raw:
            raise LayerError("it ends too early")
        try:
            self._buffer = unpacking.decompress(self._raw, _CHUNK)
        except zlib.error as error:
            raise LayerError(f"it cannot be decompressed ({error})") from error
        self._raw = unpacking.unused_data if unpacking.eof else unpacking.unconsumed_tail
        return True
