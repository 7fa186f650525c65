"""Content on disk, by digest. Uploads are files that grow until their digest is known; nothing is held in memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Upload:
    """A blob that is being sent."""

    repository: str
    path: Path
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    size: int = 0
    first_part: int = 0
    last_part: int = 0
    hash: Any = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(chunk)
        self.hash.update(chunk)
        self.size += len(chunk)

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """What is written inside is one part: all of it is kept, or nothing."""
        size, state = self.size, self.hash.copy()
        try:
            yield
        except BaseException:
            os.truncate(self.path, size)
            self.size, self.hash = size, state
            raise
        if self.size > size:
            self.last_part = self.size - size
            self.first_part = self.first_part or self.last_part

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


class BlobStore:
    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"
        self._open: dict[str, Upload] = {}
        self.reset()

    def reset(self) -> None:
        self._open.clear()
        for folder in (self._blobs, self._uploads):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def path(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise KeyError(digest)
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return bool(DIGEST.fullmatch(digest)) and self.path(digest).exists()

    def size(self, digest: str) -> int:
        return self.path(digest).stat().st_size

    def put(self, content: bytes) -> str:
        digest = digest_of(content)
        self.path(digest).write_bytes(content)
        return digest

    def begin(self, repository: str) -> Upload:
        upload = Upload(repository, self._uploads / str(uuid.uuid4()))
        upload.path.touch()
        self._open[upload.identity] = upload
        return upload

    def upload(self, identity: str) -> Upload | None:
        return self._open.get(identity)

    def commit(self, upload: Upload) -> str:
        """The upload becomes the blob of its own digest."""
        upload.path.replace(self.path(upload.digest))
        self._open.pop(upload.identity, None)
        return upload.digest

    def abort(self, upload: Upload) -> None:
        self._open.pop(upload.identity, None)
        upload.path.unlink(missing_ok=True)
