# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with image references: of which kind each is, and what is to be written to them. Touches no file.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._site import (
    rewriting_dockerfile,
    rewriting_templates,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import (
    Aim,
    Finding,
    NoTextError,
    Place,
    RewritingError,
    decide,
    spliced,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_yaml import (
    COMPOSE,
    HELM,
    KUBERNETES,
    KUSTOMIZE,
    Finder,
    Yaml,
    fields,
    is_template,
    items,
    value_of,
)

DOCKERFILE, TEMPLATE = "dockerfile", "template"
KINDS = (KUBERNETES, HELM, KUSTOMIZE, COMPOSE, DOCKERFILE)

_DOCKERFILE_NAME = re.compile(
    r"(?:Dockerfile|Containerfile)(?:[._-].*)?|.*\.(?:dockerfile|containerfile)", re.IGNORECASE
)
_NO_DOCKERFILE_NAME = re.compile(r".*\.(?:dockerignore|ya?ml|md|txt|j2)", re.IGNORECASE)
_YAML_NAME = re.compile(r".*\.ya?ml|Kustomization", re.IGNORECASE)
_KUSTOMIZATION_NAME = re.compile(r"kustomization\.ya?ml|Kustomization")
_COMPOSE_NAME = re.compile(r"(?:.*[._-])?compose(?:[._-].*)?\.ya?ml", re.IGNORECASE)
_VALUES_NAME = re.compile(r"(?:.*[._-])?values(?:[._-].*)?\.ya?ml", re.IGNORECASE)
_OF_INTEREST = re.compile("image|repository", re.IGNORECASE)
_TO_FILL_IN = re.compile(r"\{[{%]")
_RESOURCES = ("resources", "bases", "components")
_UNKNOWN = (
    "it does not look like Kubernetes, Helm values, Kustomize, Compose or a Dockerfile: if it is one of them, say "
    "which by kind"
)


@dataclass(frozen=True)
class Source:
    """A file. `kind` is empty where it has to be found out."""

    path: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Result:
    """What becomes of a file. `skipped` tells why there is nothing to see, `problem` why it cannot be read."""

    path: str
    before: str
    after: str
    kinds: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    skipped: str = ""
    problem: str = ""

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class _Read:
    """A file of YAML, with the kind of each document."""

    yaml: Yaml
    documents: Sequence[tuple[Any, str]]

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for _document, kind in self.documents if kind))

    @property
    def is_template(self) -> bool:
        return is_template([document for document, _kind in self.documents], known=bool(self.kinds))


def is_candidate(path: str) -> bool:
    """Whether a file of a directory may have references, by its name."""
    name = os.path.basename(path)
    return bool(_YAML_NAME.fullmatch(name)) or _is_dockerfile(name)


def rewrite(sources: Sequence[Source], aim: Aim) -> list[Result]:
    """What becomes of each. They are looked at together, as a kustomization tells about other files."""
    read: dict[str, _Read] = {}
    problems: dict[str, RewritingError] = {}
    for source in sources:
        if _is_yaml(source):
            try:
                one = _read(source)
            except RewritingError as error:
                problems[source.path] = error
            else:
                if not one.is_template:
                    read[source.path] = one
    names = _replaced_names(read)
    results = []
    for source in sources:
        path, problem = source.path, problems.get(source.path)
        if isinstance(problem, NoTextError):
            results.append(Result(path, source.text, source.text, skipped=str(problem)))
        # What is no YAML may become some when it is filled in.
        elif problem and not _TO_FILL_IN.search(source.text):
            results.append(Result(path, source.text, source.text, problem=str(problem)))
        else:
            results.append(_result(source, read.get(path), names.get(path, frozenset()), aim))
    return results


# ------------------------------------------------------------------ one file


def _result(source: Source, read: _Read | None, names: frozenset[str], aim: Aim) -> Result:
    untouched = Result(source.path, source.text, source.text)
    try:
        kinds, places = _places(source, read, names)
        findings = decide(places, source.text, aim)
        after = spliced(source.text, findings)
    except RewritingError as error:
        return replace(untouched, problem=str(error))
    if not kinds:
        return replace(untouched, skipped=_UNKNOWN if _OF_INTEREST.search(source.text) else "")
    return replace(untouched, after=after, kinds=kinds, findings=findings)


def _places(source: Source, read: _Read | None, names: frozenset[str]) -> tuple[Sequence[str], Sequence[Place]]:
    if read is not None:
        finder = Finder(source.text, read.yaml, names)
        for document, kind in read.documents:
            if kind:
                finder.document(document, kind)
        return read.kinds, finder.places
    name = os.path.basename(source.path)
    if source.kind == DOCKERFILE or (not source.kind and _is_dockerfile(name)):
        return [DOCKERFILE], rewriting_dockerfile.places(source.text)
    if source.kind or _YAML_NAME.fullmatch(name):
        places = list(rewriting_templates.places(source.text))
        return [TEMPLATE] if places else [], places
    return [], []


def _is_dockerfile(name: str) -> bool:
    return bool(_DOCKERFILE_NAME.fullmatch(name)) and not _NO_DOCKERFILE_NAME.fullmatch(name)


def _is_yaml(source: Source) -> bool:
    name = os.path.basename(source.path)
    is_meant = source.kind != DOCKERFILE if source.kind else bool(_YAML_NAME.fullmatch(name))
    # A kustomization may bring in others.
    is_of_interest = _OF_INTEREST.search(source.text) or _KUSTOMIZATION_NAME.fullmatch(name)
    return is_meant and bool(is_of_interest)


def _read(source: Source) -> _Read:
    read = Yaml(source.text)
    name = os.path.basename(source.path)
    return _Read(read, [(root, source.kind or _kind_of(root, name)) for root in read.documents])


def _kind_of(root: Any, name: str) -> str:
    keys = fields(root)
    kind = value_of(keys.get("kind"))
    if _KUSTOMIZATION_NAME.fullmatch(name) or (kind in ("Kustomization", "Component") and "apiVersion" in keys):
        return KUSTOMIZE
    if kind and "apiVersion" in keys:
        return KUBERNETES
    if _COMPOSE_NAME.fullmatch(name) or _has_services(keys):
        return COMPOSE
    return HELM if _VALUES_NAME.fullmatch(name) and keys else ""


def _has_services(keys: Mapping[str, Any]) -> bool:
    services = list(fields(keys.get("services")).values())
    return bool(services) and all({"image", "build", "extends"} & set(fields(service)) for service in services)


# ------------------------------------------------------------------ what kustomizations do to other files


def _replaced_names(read: Mapping[str, _Read]) -> dict[str, frozenset[str]]:
    """By file, the names of images that a kustomization replaces in it.

    It looks for them as they are written, and would not find them again.
    """
    found: dict[str, frozenset[str]] = {}
    for path, one in read.items():
        for root, kind in one.documents:
            if kind == KUSTOMIZE:
                for reached, names in _replacing(path, fields(root), read):
                    found[reached] = found.get(reached, frozenset()) | names
    return found


def _replacing(path: str, keys: Mapping[str, Any], read: Mapping[str, _Read]) -> Iterator[tuple[str, frozenset[str]]]:
    """The files that a kustomization is for, with the names that it replaces in them."""
    if names := _names(keys):
        for reached in _reached(path, read):
            yield reached, names
    # Those of Flux are for a path in some repository, which may be any of the files.
    if names := _names(fields(keys.get("spec"))):
        for other in read:
            yield other, names


def _names(keys: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(value_of(fields(entry).get("name")) for entry in items(keys.get("images")))


def _reached(path: str, read: Mapping[str, _Read]) -> set[str]:
    """The files that a kustomization brings in, directly or by others."""
    places = {os.path.abspath(other): other for other in read}
    waiting, reached = [path], set()
    while waiting:
        kustomization = waiting.pop()
        for resource in _resources(kustomization, read[kustomization]):
            for place, other in places.items():
                if (place == resource or place.startswith(f"{resource}/")) and other not in reached:
                    reached.add(other)
                    waiting.append(other)
    return reached


def _resources(path: str, read: _Read) -> Iterator[str]:
    directory = os.path.dirname(os.path.abspath(path))
    for root, kind in read.documents:
        keys = fields(root) if kind == KUSTOMIZE else {}
        for name in _RESOURCES:
            for resource in items(keys.get(name)):
                yield os.path.normpath(os.path.join(directory, value_of(resource)))
