# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dockerfile lines that need no engine, applied to the configuration of an image.

Private to this collection: may change in any release.

The outcome is what BuildKit, Docker's builder, makes of the same lines. Where the engine's older builder differs it is
not followed: directories of a WORKDIR belong to the USER of that moment, not always to root, and ARG knows TARGETARCH
and its like.
"""

from __future__ import annotations

import json
import posixpath
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.dockerfile import DockerfileError, Instruction
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import MirrorError
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.variables import (
    ExpansionError,
    expand,
    expand_words,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest

MAX_CONFIG_BYTES = 8 * 1024 * 1024
# Brackets and commas: what it costs in memory, known before it is parsed.
_MAX_JSON_PARTS = 250_000
_MADE_BY = "stevedore.ecr"
_DEFAULT_SHELL = ["/bin/sh", "-c"]
_STORED_BLOCK = 0xFFFF

Json = dict[str, Any]


class DeriveError(MirrorError):
    """The lines do not fit this image."""


class Directories(Protocol):
    """The directories of an image, of which more may be made."""

    def make(self, path: str) -> Sequence[str]:
        """Which directories have to be made for this one to exist, parents first; from now on they do.

        All without symbolic links on the way, and none if it is there already.
        """

    def owner(self, user: str) -> tuple[int, int]:
        """The numbers of a user and group, named as USER does."""


@dataclass(frozen=True)
class Layer:
    """A layer with nothing but directories, and the digest of what it is when unpacked."""

    content: bytes
    diff_id: Digest


@dataclass(frozen=True)
class Derived:
    """A new configuration, and the layers that the image has more, in their order."""

    config: bytes
    layers: tuple[Layer, ...]


def apply(
    config: Mapping[str, Any],
    instructions: Sequence[Instruction],
    directories: Directories,
    labels: Mapping[str, str] | None = None,
) -> Derived:
    """Apply the instructions, and set these labels. The same input gives the same bytes.

    What the configuration says that is not spoken of here stays. Instructions that the image has kept for images built
    from it (ONBUILD) come first, as in any build.
    """
    image = _Image(config, directories)
    for instruction in [*image.triggers(), *instructions]:
        image.apply(instruction)
    image.label(labels or {})
    return Derived(json.dumps(image.document, separators=(",", ":")).encode(), tuple(image.layers))


def parse_config(raw: bytes) -> Json:
    """An image's configuration as a registry serves it."""
    if len(raw) > MAX_CONFIG_BYTES or raw.count(b"{") + raw.count(b"[") + raw.count(b",") > _MAX_JSON_PARTS:
        raise DeriveError("the image's configuration is larger than any image's")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DeriveError(f"the image's configuration is no valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise DeriveError("the image's configuration is no JSON object")
    return document


class _Image:
    def __init__(self, document: Mapping[str, Any], directories: Directories) -> None:
        self.document: Json = {**document}
        self._directories = directories
        self._config: Json = {**_part(document, "config", dict)}
        self._has_own_command = False
        self._history = [*_part(document, "history", list)]
        self.layers: list[Layer] = []
        self.document["config"] = self._config
        if self.document.get("os") == "windows":
            raise DeriveError("it is a Windows image, which only an engine can change: leave that platform out")
        # ENV and ARG, as later instructions see them.
        self._variables = dict(_variable(entry) for entry in _texts(self._config, "Env"))

    def triggers(self) -> tuple[Instruction, ...]:
        kept = _texts(self._config, "OnBuild")
        self._config.pop("OnBuild", None)
        try:
            found = dockerfile.parse(kept)
        except DockerfileError as error:
            raise DeriveError(f"the image has ONBUILD instructions that cannot be followed: {error}") from error
        if dockerfile.needs_engine(found):
            raise DeriveError("the image has ONBUILD instructions that only an engine can follow")
        return found

    def apply(self, instruction: Instruction) -> None:
        changes: dict[str, Callable[[Instruction], str]] = {
            "ARG": self._arg,
            "CMD": self._cmd,
            "ENTRYPOINT": self._entrypoint,
            "ENV": self._env,
            "EXPOSE": self._expose,
            "HEALTHCHECK": self._healthcheck,
            "LABEL": self._labels,
            "MAINTAINER": self._maintainer,
            "ONBUILD": self._onbuild,
            "SHELL": self._shell,
            "STOPSIGNAL": self._stop_signal,
            "USER": self._user,
            "VOLUME": self._volume,
            "WORKDIR": self._workdir,
        }
        layers = len(self.layers)
        try:
            done = changes[instruction.name](instruction)
        except (ValueError, DeriveError) as error:
            raise DeriveError(f"line {instruction.line} of the Dockerfile lines, {instruction}: {error}") from error
        self._remember(f"{instruction.name} {done}", has_layer=len(self.layers) > layers)

    def label(self, labels: Mapping[str, str]) -> None:
        if labels:
            self._config["Labels"] = {**_part(self._config, "Labels", dict), **labels}

    # -------------------------------------------------------------- instructions: each says what it has done

    def _arg(self, arg: Instruction) -> str:
        done = []
        for name, written in arg.pairs:
            value = self._target().get(name) if written is None else self._expanded(written)
            if value is not None:
                self._variables[name] = value
            done.append(name if value is None else f"{name}={value}")
        return " ".join(done)

    def _target(self) -> dict[str, str]:
        """What ARG knows of the platform without being told."""
        os, architecture, variant = (str(self.document.get(key) or "") for key in ("os", "architecture", "variant"))
        return {
            "TARGETPLATFORM": "/".join(filter(None, (os, architecture, variant))),
            "TARGETOS": os,
            "TARGETARCH": architecture,
            "TARGETVARIANT": variant,
        }

    def _env(self, env: Instruction) -> str:
        # All values are expanded before any of them is set.
        pairs = [(self._expanded(name), self._expanded(value or "")) for name, value in env.pairs]
        entries = [*_texts(self._config, "Env")]
        for name, value in pairs:
            self._variables[name] = value
            places = [number for number, entry in enumerate(entries) if _variable(entry)[0] == name]
            place = places[0] if places else len(entries)
            entries[place : place + 1] = [f"{name}={value}"]
        self._config["Env"] = entries
        return " ".join(f"{name}={value}" for name, value in pairs)

    def _labels(self, label: Instruction) -> str:
        pairs = {self._expanded(name): self._expanded(value or "") for name, value in label.pairs}
        self.label(pairs)
        return " ".join(f"{name}={value}" for name, value in pairs.items())

    def _volume(self, volume: Instruction) -> str:
        return self._added("Volumes", [dockerfile.volume(self._expanded(word)) for word in volume.words])

    def _expose(self, expose: Instruction) -> str:
        words = [word for written in expose.words for word in expand_words(written, self._variables)]
        return self._added("ExposedPorts", [port for word in words for port in dockerfile.ports(word)])

    def _added(self, name: str, keys: Sequence[str]) -> str:
        self._config[name] = {**_part(self._config, name, dict), **{key: {} for key in keys}}
        return f"[{' '.join(keys)}]"

    def _user(self, user: Instruction) -> str:
        self._config["User"] = self._expanded(user.text)
        return str(self._config["User"])

    def _workdir(self, workdir: Instruction) -> str:
        wanted = self._expanded(workdir.text)
        if not wanted:
            raise ExpansionError("there is no directory left when the variables are expanded")
        path = _absolute(posixpath.join("/", _text(self._config, "WorkingDir"), wanted))
        self._config["WorkingDir"] = path
        if missing := self._directories.make(path):
            owner = self._directories.owner(_text(self._config, "User"))
            self._add_layer(layer_of(missing, owner))
        return path

    def _stop_signal(self, stop: Instruction) -> str:
        self._config["StopSignal"] = dockerfile.stop_signal(self._expanded(stop.text))
        return str(self._config["StopSignal"])

    def _cmd(self, cmd: Instruction) -> str:
        self._has_own_command = True
        return self._command("Cmd", cmd)

    def _entrypoint(self, entrypoint: Instruction) -> str:
        if not self._has_own_command:
            # The base image's arguments were meant for its own entrypoint.
            self._config.pop("Cmd", None)
        return self._command("Entrypoint", entrypoint)

    def _command(self, name: str, given: Instruction) -> str:
        command = [*given.words] if given.is_json else [*self._current_shell(), *given.words]
        if command:
            self._config[name] = command
        else:
            self._config.pop(name, None)
        return _listed(command)

    def _current_shell(self) -> list[str]:
        return _texts(self._config, "Shell") or _DEFAULT_SHELL

    def _shell(self, shell: Instruction) -> str:
        self._config["Shell"] = [*shell.words]
        return _listed(shell.words)

    def _healthcheck(self, check: Instruction) -> str:
        if check.text.upper() == "NONE":
            self._config["Healthcheck"] = {"Test": ["NONE"]}
            return "NONE"
        options: Json = {
            "Interval": dockerfile.duration(check.flag("interval") or "0"),
            "Timeout": dockerfile.duration(check.flag("timeout") or "0"),
            "StartPeriod": dockerfile.duration(check.flag("start-period") or "0"),
            "StartInterval": dockerfile.duration(check.flag("start-interval") or "0"),
            "Retries": int(check.flag("retries") or "0"),
        }
        given = {name: value for name, value in options.items() if value}
        self._config["Healthcheck"] = {"Test": ["CMD" if check.is_json else "CMD-SHELL", *check.words], **given}
        return check.text

    def _onbuild(self, onbuild: Instruction) -> str:
        self._config["OnBuild"] = [*_texts(self._config, "OnBuild"), onbuild.text]
        return onbuild.text

    def _maintainer(self, maintainer: Instruction) -> str:
        self.document["author"] = maintainer.text
        return maintainer.text

    # -------------------------------------------------------------- around them

    def _expanded(self, word: str) -> str:
        return expand(word, self._variables)

    def _add_layer(self, layer: Layer) -> None:
        rootfs = _part(self.document, "rootfs", dict)
        diff_ids = [*_part(rootfs, "diff_ids", list), str(layer.diff_id)]
        self.document["rootfs"] = {"type": "layers", **rootfs, "diff_ids": diff_ids}
        self.layers.append(layer)

    def _remember(self, done: str, *, has_layer: bool) -> None:
        """A line of history, unless the image has none: then it would not fit the layers."""
        if not self._history:
            return
        created = {"created": self.document["created"]} if isinstance(self.document.get("created"), str) else {}
        entry = {**created, "created_by": done, "comment": _MADE_BY}
        self._history.append(entry if has_layer else {**entry, "empty_layer": True})
        self.document["history"] = self._history


def layer_of(directories: Sequence[str], owner: tuple[int, int]) -> Layer:
    """A layer with these directories, the same for the same."""
    archive = b"".join(_entry(path, owner) for path in directories) + bytes(2 * tarfile.BLOCKSIZE)
    return Layer(_gzip(archive), Digest.of(archive))


def _entry(path: str, owner: tuple[int, int]) -> bytes:
    entry = tarfile.TarInfo(path.strip("/") + "/")
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    entry.uid, entry.gid = owner
    return entry.tobuf(tarfile.PAX_FORMAT)


def _gzip(content: bytes) -> bytes:
    """Stored, not compressed, as compressors differ in their output from one version to the next."""
    pieces = [content[start : start + _STORED_BLOCK] for start in range(0, len(content), _STORED_BLOCK)]
    blocks = [struct.pack("<BHH", 0, len(piece), len(piece) ^ _STORED_BLOCK) + piece for piece in pieces]
    end = struct.pack("<BHH", 1, 0, _STORED_BLOCK) + struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"".join(blocks) + end


def _absolute(path: str) -> str:
    # normpath leaves two slashes at the beginning, for which POSIX allows a meaning of its own.
    return re.sub("^/+", "/", posixpath.normpath(path))


def _variable(entry: str) -> tuple[str, str]:
    name, _equals, value = entry.partition("=")
    return name, value


def _listed(words: Sequence[str]) -> str:
    return f"[{' '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def _part(document: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """A member of that kind, empty if there is none."""
    found = document.get(name)
    if found is None:
        return kind()
    if not isinstance(found, kind):
        _unusable(name)
    return found


def _text(document: Mapping[str, Any], name: str) -> str:
    return str(_part(document, name, str))


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    found: list[str] = _part(document, name, list)
    if not all(isinstance(entry, str) for entry in found):
        _unusable(name)
    return found


def _unusable(name: str) -> NoReturn:
    raise DeriveError(f"the image's configuration has a {name} that no image has")
