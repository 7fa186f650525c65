# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image references in YAML: Kubernetes, Helm values, Kustomize and Compose. Finds where they stand to the character.

Private to this collection: may change in any release.

YAML is only read, for the marks of its nodes. A scalar that is not written as it is read, with escapes or over several
lines, is not touched.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

try:
    import yaml
except ImportError:
    # Handled by the module, which asks for HAS_YAML.
    HAS_YAML = False
else:
    HAS_YAML = True

from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import (
    Change,
    Edit,
    NoTextError,
    NotWritableError,
    Place,
    RewritingError,
    Whole,
    Writer,
    line_starts,
)

KUBERNETES, HELM, KUSTOMIZE, COMPOSE = "kubernetes", "helm", "kustomize", "compose"

# Data for programs, and descriptions of fields: what is called image there is none.
_NO_IMAGES = ("ConfigMap", "CustomResourceDefinition", "Secret")
LABELS = ("annotations", "labels", "matchLabels", "metadata", "nodeSelector", "selector")
_IMAGE_KEY = re.compile(r".*(?:[a-z0-9]Image|[_-]image)")
_TAGGED = re.compile(r"(?!.*://)\S+[:@][^/\s]+")
# What stands before a mapping that begins on the next line.
_KEY_LINE = re.compile(r".*:\s*(?:&\S+\s*)?(?:#.*)?")
_NULL, _STRING = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
_ESCAPED = "it is written with escapes or over several lines"


@dataclass(frozen=True)
class Scalar:
    """A text in a file. `start` and `end` leave out quotes; they are -1 where it is not written as it is read."""

    text: str
    start: int
    end: int
    position: int
    is_plain: bool

    @property
    def is_literal(self) -> bool:
        return self.start >= 0

    def write(self, text: str) -> Edit:
        needs_quotes = self.is_plain and _reads_as_no_text(text)
        return Edit(self.start, self.end, f'"{text}"' if needs_quotes else text)


def _reads_as_no_text(text: str) -> bool:
    """Such as 1.10, which would be 1.1."""
    return bool(yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False)) != _STRING)


# ------------------------------------------------------------------ reading


class Yaml:
    """The documents of a file, and the places of their texts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = line_starts(text)
        # Marks do not count it.
        self.bom = 1 if text.startswith("\ufeff") else 0
        if re.search("[\ud800-\udfff]", text):
            raise NoTextError("it is no text in UTF-8")
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            self.documents = [node for node in yaml.compose_all(text[self.bom :], loader) if node is not None]
        except yaml.YAMLError as error:
            raise _unreadable(error) from error
        except RecursionError as error:
            raise RewritingError("it is nested too deeply") from error

    def scalar(self, node: Any) -> Scalar | None:
        """None for what is no scalar, and for null."""
        if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
            return None
        position, end = self.index(node.start_mark), self.index(node.end_mark)
        value: str = node.value
        written = self._text[position:end]
        quote = node.style if node.style in ("'", '"') else ""
        if node.style in ("|", ">"):
            value = value.strip()
            begin = written.find(value, written.find("\n"))
            end = position + begin + len(value) if value and begin >= 0 else -1
        elif not written.endswith(f"{quote}{value}{quote}"):
            end = -1
        else:
            end -= len(quote)
        start = end - len(value) if end >= 0 else -1
        return Scalar(value, start, end, position, not node.style)

    def index(self, mark: Any) -> int:
        """Where a mark is in the text."""
        return int(mark.index) + self.bom

    def place(self, position: int) -> str:
        """For people."""
        line = bisect_right(self._starts, position)
        return f"line {line}, column {position - self._starts[line - 1] + 1}"


def _unreadable(error: Any) -> RewritingError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = ", ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    return RewritingError(f"it is no YAML: {said or error}", mark.line + 1 if mark else 0)


def fields(node: Any, _inside: tuple[int, ...] = ()) -> dict[str, Any]:
    """The values of a mapping by their keys, with those that are merged into it."""
    if not isinstance(node, yaml.MappingNode) or id(node) in _inside:
        return {}
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == "<<" and not key.style:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                merged = {**fields(source, (*_inside, id(node))), **merged}
        else:
            own[key.value] = value
    return {**merged, **own}


def items(node: Any) -> list[Any]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def is_template(documents: Iterable[Any], *, known: bool) -> bool:
    """Whether it is YAML by chance, and is to be filled in first: {{ x }} is a mapping whose key is one.

    In a text without quotes it may also stand in what is `known` to be a manifest or the like.
    """
    waiting, seen = list(documents), set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            if any(isinstance(key, yaml.MappingNode) and key.flow_style for key, _value in node.value):
                return True
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif not known and not node.style and "{{" in node.value:
            return True
    return False


def value_of(node: Any) -> str:
    """The text of a scalar, or nothing."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.tag != _NULL else ""


# ------------------------------------------------------------------ writers


@dataclass(frozen=True)
class Parts:
    """A reference of which the registry, the repository, the tag and the digest have a key each, if there is one.

    `above` is the registry that is set for all, and then counts instead of `registry`.
    """

    repository: Scalar
    registry: Scalar | None = None
    tag: Scalar | None = None
    digest: Scalar | None = None
    above: Scalar | None = None

    @property
    def own(self) -> list[Scalar]:
        parts = (self.repository, self.registry, self.tag, self.digest)
        return [part for part in parts if part is not None]

    @property
    def scalars(self) -> list[Scalar]:
        return self.own if self.above is None else [*self.own, self.above]

    @property
    def tail(self) -> str:
        tag = f":{self.tag.text}" if self.tag else ""
        return f"{tag}@{self.digest.text}" if self.digest else tag

    @property
    def problem(self) -> str:
        return "" if all(part.is_literal for part in self.scalars) else _ESCAPED

    def edits(self, change: Change) -> list[Edit]:
        if self.registry is None and self.above is None:
            return [self.repository.write(change.name), *self._tail(change)]
        registries = [part for part in (self.registry, self.above) if part is not None]
        host = [part.write(change.registry) for part in registries]
        return [*host, self.repository.write(change.repository), *self._tail(change)]

    def _tail(self, change: Change) -> list[Edit]:
        if change.keeps_tail:
            return []
        tag, _at, digest = change.tail.removeprefix(":").partition("@")
        if self.tag is None or not tag or digest != (self.digest.text if self.digest else ""):
            raise NotWritableError(f"it becomes {change.name}{change.tail}, for which there are no fields to write to")
        return [self.tag.write(tag)]


@dataclass(frozen=True)
class KustomizeName:
    """An entry of `images` that gives no new name yet: one is added after the name."""

    insertion: int
    before: str
    parts: Parts

    def edits(self, change: Change) -> list[Edit]:
        _name, *others = self.parts.edits(change)
        return [Edit(self.insertion, self.insertion, f"{self.before}{change.name}"), *others]


# ------------------------------------------------------------------ finding


@dataclass
class Finder:
    """Collects places. A node that is reached by several aliases is one place."""

    text: str
    yaml: Yaml
    named_elsewhere: frozenset[str] = frozenset()
    places: list[Place] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def document(self, root: Any, kind: str) -> None:
        if kind == COMPOSE:
            self._compose(root)
        else:
            self._walk(root, _Where(kind))

    # -------------------------------------------------------------- Compose

    def _compose(self, root: Any) -> None:
        for service in fields(fields(root).get("services")).values():
            keys = fields(service)
            self._whole(keys.get("image"), kept="it is the name of what is built here" if "build" in keys else "")

    # -------------------------------------------------------------- all others

    def _walk(self, node: Any, where: _Where) -> None:
        if id(node) in self._seen or not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)):
            return
        self._seen.add(id(node))
        for item in items(node):
            self._walk(item, where)
        keys = fields(node)
        if where.kind == KUBERNETES and value_of(keys.get("kind")) in _NO_IMAGES:
            return
        above = self._text_of(fields(keys.get("global")).get("imageRegistry"))
        where = replace(where, above=above or where.above)
        parts = self._parts(keys, where)
        if parts is not None:
            self._split(node, parts, where.kind)
        for key, value in keys.items():
            self._field(key, value, where, is_split=parts is not None)

    def _field(self, key: str, value: Any, where: _Where, *, is_split: bool) -> None:
        if key in LABELS and where.kind != HELM:
            return
        if key == "images" and where.kind == KUSTOMIZE:
            for entry in items(value):
                self._kustomize(entry)
        elif isinstance(value, yaml.ScalarNode):
            if not is_split and _is_image(key, value):
                self._whole(value, named=where.kind == KUBERNETES)
        else:
            if key == "image" and "reference" in (volume := fields(value)):
                self._whole(volume["reference"], named=where.kind == KUBERNETES)
            self._walk(value, replace(where, key=key, in_images=where.in_images or "image" in key.lower()))

    def _whole(self, node: Any, kept: str = "", *, named: bool = False) -> None:
        if id(node) in self._seen or not value_of(node).strip():
            return
        self._seen.add(id(node))
        scalar = self.yaml.scalar(node)
        if scalar is None:
            return
        problem = "" if scalar.is_literal else _ESCAPED
        if node.tag.startswith("!"):
            problem = f"it depends on {node.tag}"
        if named and _name_of(scalar.text) in self.named_elsewhere:
            kept = "a kustomization replaces it by this name"
        writer, groups = Whole(scalar.start, scalar.end), self._groups([scalar])
        self.places.append(Place(scalar.text, (scalar.position,), writer, groups=groups, problem=problem, kept=kept))

    def _groups(self, scalars: Iterable[Scalar]) -> tuple[str, ...]:
        """By aliases, several references may have a text in common."""
        return tuple(f"the text in {self.yaml.place(scalar.position)}" for scalar in scalars)

    # -------------------------------------------------------------- in parts

    def _parts(self, keys: dict[str, Any], where: _Where) -> Parts | None:
        """The fields of a mapping, if it is an image in parts."""
        is_image = where.key.lower().endswith("image")
        named_image = is_image or (where.in_images or "registry" in keys or "pullPolicy" in keys)
        name = "repository"
        if name not in keys and is_image and ("registry" in keys or "tag" in keys):
            name = "image" if "image" in keys else "name"
        repository = self._text_of(keys.get(name))
        is_whole = is_image or "tag" in keys or "digest" in keys
        if repository is None or not named_image or not is_whole or "://" in repository.text:
            return None
        registry = self._text_of(keys.get("registry"))
        # Charts take it for those that name no registry themselves.
        above = where.above if "registry" in keys or not _has_host(repository.text) else None
        return Parts(repository, registry, self._text_of(keys.get("tag")), self._text_of(keys.get("digest")), above)

    def _split(self, node: Any, parts: Parts, kind: str) -> None:
        registry = parts.above or parts.registry
        name = f"{registry.text}/{parts.repository.text}" if registry else parts.repository.text
        tail = parts.tail
        self.places.append(
            Place(
                name + tail,
                tuple(part.position for part in parts.own) + self._beginning(node),
                parts,
                tag_elsewhere=not tail,
                groups=self._groups(parts.scalars),
                problem=parts.problem or (_number(parts.tag) if kind == HELM else ""),
            )
        )

    def _beginning(self, node: Any) -> tuple[int, ...]:
        """Of a mapping, with the line of its key if that is the one before."""
        start = self.yaml.index(node.start_mark)
        line_end = self.text.rfind("\n", 0, start)
        line_before = self.text[self.text.rfind("\n", 0, max(line_end, 0)) + 1 : max(line_end, 0)]
        return (start, line_end) if _KEY_LINE.fullmatch(line_before.rstrip()) else (start,)

    def _text_of(self, node: Any) -> Scalar | None:
        scalar = self.yaml.scalar(node)
        return scalar if scalar is not None and scalar.text else None

    # -------------------------------------------------------------- Kustomize

    def _kustomize(self, entry: Any) -> None:
        keys = fields(entry)
        name, new_name = self._text_of(keys.get("name")), self._text_of(keys.get("newName"))
        if name is None or id(entry) in self._seen:
            return
        self._seen.add(id(entry))
        parts = Parts(new_name or name, None, self._text_of(keys.get("newTag")), self._text_of(keys.get("digest")))
        writer: Writer = parts
        problem = parts.problem
        if new_name is None:
            added = None if "newName" in keys else self._new_name(entry, parts)
            problem = problem or ("" if added else "there is no place for a newName: write one")
            writer = added or parts
        self.places.append(
            Place(
                parts.repository.text + parts.tail,
                (*(part.position for part in parts.own), name.position),
                writer,
                tag_elsewhere=not parts.tail,
                groups=self._groups(parts.scalars) if new_name else (),
                problem=problem,
            )
        )

    def _new_name(self, entry: Any, parts: Parts) -> KustomizeName | None:
        """It goes after the name: in braces at once, else on a line of its own. None if the name is an alias."""
        key = next((key for key, value in entry.value if key.value == "name"), None)
        name = parts.repository
        if key is None:
            return None
        begin, end = self.yaml.index(key.start_mark), name.end if name.is_plain else name.end + 1
        if not begin < name.position or "\n" in self.text[begin:end]:
            return None
        if entry.flow_style:
            return KustomizeName(end, ", newName: ", parts)
        line_end = self.text.find("\n", end)
        insertion = len(self.text) if line_end < 0 else line_end
        if self.text[:insertion].endswith("\r"):
            insertion -= 1
        line = "\r\n" if "\r\n" in self.text else "\n"
        return KustomizeName(insertion, f"{line}{' ' * key.start_mark.column}newName: ", parts)


@dataclass(frozen=True)
class _Where:
    """On the way through a document: the kind, the last key, whether one spoke of images, and the registry for all."""

    kind: str
    key: str = ""
    in_images: bool = False
    above: Scalar | None = None


def _is_image(key: str, value: Any) -> bool:
    if key == "image":
        return bool(value.tag == _STRING or value.tag.startswith("!")) and value.value.lower() not in ("none", "n/a")
    # Other names may have pictures, so it has to look like more.
    return bool(_IMAGE_KEY.fullmatch(key) and value.tag == _STRING and _TAGGED.fullmatch(value.value))


def _number(tag: Scalar | None) -> str:
    """What is wrong with a tag that charts take for a number: 1.10 is 1.1, and so is what they pull."""
    if tag is None or not tag.is_plain or not tag.text[0].isdigit():
        return ""
    try:
        read = repr(float(tag.text)).removesuffix(".0")
    except ValueError:
        return ""
    return (
        "" if read == tag.text else f"its tag is the number {read}, as it is without quotes: write them around the tag"
    )


def _has_host(repository: str) -> bool:
    first, slash, _rest = repository.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _name_of(text: str) -> str:
    """As Kustomize compares it."""
    name = text.partition("@")[0]
    return name[: name.rfind(":")] if name.rfind(":") > name.rfind("/") else name
