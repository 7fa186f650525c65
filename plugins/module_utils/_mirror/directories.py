# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which directories an image has, and who its users are, found by reading its layers as streams from the last one on.

Private to this collection: may change in any release.

Nothing is remembered but what was asked for. What is asked later, such as where a symbolic link leads, costs reading
the layers once more, so say early what will be needed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.archive import Archive, Entry, LayerError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.blob import Readable
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Descriptor

_PASSWD, _GROUP = "etc/passwd", "etc/group"
# Who is there even without these files.
_ROOT = "root"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MAX_LINKS = 20
_MAX_ID = 2**31 - 1


class DirectoryError(MirrorError):
    """A directory that the image cannot have, a user that it does not have, or a layer that cannot be read."""


@dataclass
class _Facts:
    """What one layer says about the paths that matter. `opaque` hides what lower layers have below a directory."""

    found: dict[str, Entry] = field(default_factory=dict)
    implied: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    content: dict[str, bytes] = field(default_factory=dict)

    def hides(self, path: str) -> bool:
        """Whether lower layers have no say about a path."""
        above = _with_parents(path)
        return any(
            part in self.removed
            or (part != path and (part in self.opaque or (part in self.found and self.found[part].kind != "directory")))
            for part in ("", *above)
        )


class LayeredDirectories:
    """Reads the layers when something is asked, and no more of them than needed."""

    def __init__(
        self,
        layers: Sequence[Descriptor],
        open_layer: Callable[[Descriptor], Readable],
        expected: Sequence[str] = (),
    ) -> None:
        self._layers = [*reversed(layers)]
        self._open_layer = open_layer
        self._wanted = {part for path in expected for part in _with_parents(path.strip("/"))}
        self._facts: list[_Facts] = []
        self._made: set[str] = set()

    def make(self, path: str) -> Sequence[str]:
        missing: list[str] = []
        parts, here = _parts(path), ""
        links = 0
        while parts:
            inside = f"{here}/{parts[0]}".lstrip("/")
            # All that is on the way, so that the layers are read once for it.
            self._want("/".join([here, *parts]).lstrip("/"))
            entry = None if inside in self._made else self._entry(inside)
            if entry is not None and entry.kind == "link":
                links += 1
                if links > _MAX_LINKS:
                    raise DirectoryError(f"{path} leads through more than {_MAX_LINKS} symbolic links")
                base = "" if entry.target.startswith("/") else here
                parts, here = _parts(posixpath.normpath(f"/{base}/{entry.target}")) + parts[1:], ""
                continue
            if entry is not None and entry.kind == "file":
                raise DirectoryError(f"/{inside} is a file in the image, so it cannot be a directory")
            if entry is None and inside not in self._made:
                missing.append(inside)
            here, parts = inside, parts[1:]
        self._made.update(missing)
        return tuple(missing)

    def owner(self, user: str) -> tuple[int, int]:
        name, _colon, group = user.partition(":")
        if not name and not group:
            return 0, 0
        number, own_group = (int(name), int(name)) if _is_number(name) else self._user(name)
        if not group:
            return number, own_group
        return number, int(group) if _is_number(group) else self._group(group)

    @staticmethod
    def files_about(user: str) -> Sequence[str]:
        """The files that tell the numbers of a user, if it has to be looked up."""
        return () if all(map(_is_number, filter(None, user.split(":", 1)))) else (_PASSWD, _GROUP)

    def _user(self, name: str) -> tuple[int, int]:
        for fields in self._lines(_PASSWD):
            if fields[0] == name and len(fields) > 3 and _is_number(fields[2]) and _is_number(fields[3]):
                return int(fields[2]), int(fields[3])
        if name == _ROOT:
            return 0, 0
        raise DirectoryError(f"the image has no user {name[:40]}, to whom the directory would belong")

    def _group(self, name: str) -> int:
        for fields in self._lines(_GROUP):
            if fields[0] == name and len(fields) > 2 and _is_number(fields[2]):
                return int(fields[2])
        if name == _ROOT:
            return 0
        raise DirectoryError(f"the image has no group {name[:40]}, to which the directory would belong")

    def _lines(self, path: str) -> Iterator[list[str]]:
        for file in (_PASSWD, _GROUP):
            self._want(file)
        content = b""
        for facts in self._read_layers():
            if path in facts.found or facts.hides(path):
                content = facts.content.get(path, b"")
                break
        for line in content.decode("utf-8", errors="replace").splitlines():
            yield line.strip().split(":")

    def _want(self, path: str) -> None:
        parts = _with_parents(path)
        if not self._wanted.issuperset(parts):
            self._wanted.update(parts)
            self._facts.clear()

    def _entry(self, path: str) -> Entry | None:
        """What the image has there, whatever it is that leads there."""
        implied = False
        for facts in self._read_layers():
            if path in facts.found:
                found = facts.found[path]
                # A file cannot be what an upper layer has files in.
                return replace(found, kind="directory") if implied and found.kind == "file" else found
            implied = implied or path in facts.implied
            if facts.hides(path):
                break
        return Entry(path, "directory") if implied else None

    def _read_layers(self) -> Iterator[_Facts]:
        for number, layer in enumerate(self._layers):
            if number == len(self._facts):
                self._facts.append(self._read(layer))
            yield self._facts[number]

    def _read(self, layer: Descriptor) -> _Facts:
        facts = _Facts()
        if layer.is_foreign:
            raise DirectoryError(f"the layer {layer.digest} is kept outside of registries. {_NEEDS_ENGINE}")
        try:
            with closing(self._open_layer(layer)) as stream:
                archive = Archive(stream)
                for entry in archive.entries():
                    self._note(entry, facts, archive)
        except LayerError as error:
            raise DirectoryError(f"the layer {layer.digest} cannot be read: {error}. {_NEEDS_ENGINE}") from error
        return facts

    def _note(self, entry: Entry, facts: _Facts, archive: Archive) -> None:
        parent, name = posixpath.split(entry.path)
        if name == _OPAQUE:
            if not parent or parent in self._wanted:
                facts.opaque.add(parent)
        elif name.startswith(_WHITEOUT):
            path = posixpath.join(parent, name[len(_WHITEOUT) :])
            if path in self._wanted:
                facts.removed.add(path)
        elif entry.path in self._wanted:
            facts.found[entry.path] = entry
            if entry.path in (_PASSWD, _GROUP) and entry.kind == "file":
                facts.content[entry.path] = archive.content()
        facts.implied.update(path for path in self._wanted if entry.path.startswith(f"{path}/"))


_NEEDS_ENGINE = (
    "To know whether the directory of a WORKDIR exists all layers are read; an engine can do it (transport: docker, "
    "said of this image itself)"
)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _with_parents(path: str) -> list[str]:
    """a/b/c gives a, a/b and a/b/c."""
    parts = _parts(path)
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= _MAX_ID
