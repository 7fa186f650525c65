# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a blob as a stream that is verified on the way and survives broken connections.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, cast

try:
    from urllib3.exceptions import HTTPError
except ImportError:
    pass  # handled by the caller of exchange.py

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import DigestMismatch, RegistryError, TooLarge
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import (
    CHUNK,
    Answer,
    Http,
    Request,
    unreachable,
)

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse


class Readable(Protocol):
    """Content to send: at most so many bytes at a time, none at the end."""

    def read(self, amount: int, /) -> bytes: ...

    def close(self) -> None: ...


class BlobReader:
    """A file-like object. The last bytes are given out only if everything was what the digest says.

    `open_at` asks the registry for the blob from an offset on; it may answer with the whole blob all the same.
    """

    def __init__(
        self, open_at: Callable[[int], Answer], request: Request, http: Http, digest: Digest, size: int
    ) -> None:
        self._open_at, self._request, self._http = open_at, request, http
        self._digest, self.size = digest, size
        self._hash = digest.hasher()
        self._given, self._saved, self._verified = 0, 0, False
        self._trial = http.trial()
        self._stream: BaseHTTPResponse | None = self._opened()

    def read(self, amount: int = CHUNK, /) -> bytes:
        """At most `amount` bytes, and never more than a chunk."""
        while not self._verified:
            piece = self._piece(min(amount, CHUNK, self.size - self._given))
            if piece is None:
                continue
            self._hash.update(piece)
            self._given += len(piece)
            if self._given == self.size:
                self._verify()
            return piece
        return b""

    def close(self) -> None:
        """A blob that was not read to its end costs the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _piece(self, amount: int) -> bytes | None:
        """The next bytes, or nothing when the connection broke and another was opened."""
        try:
            if self._stream is None:
                self._stream = self._opened()
            piece = self._stream.read(amount, decode_content=False) if amount else b""
        except HTTPError as error:
            self._resume(error)
            return None
        if amount and not piece:
            self._resume(HTTPError(f"the connection ended after {self._given} of {self.size} bytes"))
            return None
        self._http.moved(self._request.registry, received=len(piece))
        return piece

    def _resume(self, error: Exception) -> None:
        self.close()
        if self._given >= self._saved + CHUNK:
            self._trial = self._http.trial()
        self._saved = max(self._saved, self._given)
        if not self._trial.again(None):
            raise unreachable(self._request, error) from error

    def _opened(self) -> BaseHTTPResponse:
        """The blob from where we are on, by a range of it or by reading the beginning once more."""
        answer = self._open_at(self._given)
        # Only errors come with a body that has been read.
        stream = cast("BaseHTTPResponse", answer.stream)
        partial = answer.status == 206
        try:
            self._check_length(answer, self.size - self._given if partial else self.size, partial)
            if not partial:
                self._skip(stream, self._given)
        except (RegistryError, HTTPError):
            stream.close()
            raise
        return stream

    def _check_length(self, answer: Answer, expected: int, partial: bool) -> None:
        length = answer.headers.get("content-length", "")
        announced = int(length) if re.fullmatch(r"[0-9]{1,19}", length) else None
        if announced is not None and announced > expected:
            raise self._error(TooLarge, f"it has {announced} bytes, and {expected} were announced")
        if partial:
            self._check_range(answer.headers.get("content-range", ""))
        elif announced is not None and announced < expected:
            raise self._error(DigestMismatch, f"it has only {announced} bytes of {expected}")

    def _check_range(self, text: str) -> None:
        found = re.fullmatch(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", text.strip())
        if (
            found is None
            or int(found.group(1)) != self._given
            or int(found.group(2)) >= self.size
            or found.group(3) not in ("*", str(self.size))
        ):
            raise self._error(
                RegistryError, f"it was asked for the bytes from {self._given} on, and gave {text[:80] or 'others'!r}"
            )

    def _skip(self, stream: BaseHTTPResponse, amount: int) -> None:
        while amount > 0:
            piece = stream.read(min(CHUNK, amount), decode_content=False)
            if not piece:
                raise HTTPError(f"the connection ended before byte {self._given} was reached again")
            self._http.moved(self._request.registry, received=len(piece))
            amount -= len(piece)

    def _verify(self) -> None:
        if self._stream is not None and self._stream.read(1, decode_content=False):
            self.close()
            raise self._error(TooLarge, f"it goes on after the {self.size} bytes that were announced")
        self.close()
        actual = Digest(self._digest.algorithm, self._hash.hexdigest())
        if actual != self._digest:
            raise self._error(DigestMismatch, f"its content has the digest {actual}")
        self._verified = True

    def _error(self, kind: type[RegistryError], said: str) -> RegistryError:
        remedy = "The registry, or a proxy before it, serves damaged content: try again, or push the image again."
        return self._request.failure(said, kind, remedy=remedy)
