# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image references as people write them, and as registries take them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidDigestError, InvalidReferenceError

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

_HUB_ALIASES = ("docker.io", "index.docker.io", "registry-1.docker.io")
_OFFICIAL = "library/"
_MAX_TEXT = 1024
_MAX_NAME = 255
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class Reference:
    """A repository in a registry, and perhaps a tag, a digest or both in it. Always valid and in its full form."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        registry = _registry(self.registry)
        check_repository(self.repository)
        official = registry == DOCKER_HUB and "/" not in self.repository
        repository = f"{_OFFICIAL}{self.repository}" if official else self.repository
        if len(f"{registry}/{repository}") > _MAX_NAME:
            raise InvalidReferenceError(
                f"a name has at most {_MAX_NAME} characters, and {repository[:60]!r}... has more"
            )
        if self.tag is not None:
            check_tag(self.tag)
        object.__setattr__(self, "registry", registry)
        object.__setattr__(self, "repository", repository)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read what a person wrote. Without a tag and a digest none is invented: see `identifier`."""
        try:
            return cls._parse(text)
        except (InvalidReferenceError, InvalidDigestError) as error:
            raise InvalidReferenceError(f"{text[:200]!r} is not an image reference: {error}") from error

    @classmethod
    def _parse(cls, text: str) -> Reference:
        _check_text(text)
        name, at, digest = text.partition("@")
        slash, colon = name.rfind("/"), name.rfind(":")
        tag = None
        if colon > slash:
            name, tag = name[:colon], name[colon + 1 :]
        first, separator, rest = name.partition("/")
        registry, repository = (first, rest) if separator and _looks_like_host(first) else (DOCKER_HUB, name)
        return cls(registry, repository, tag, Digest.parse(digest) if at else None)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """What a registry is asked for: the digest, which is exact, else the tag, else the default one."""
        return str(self.digest or self.tag or DEFAULT_TAG)

    @property
    def familiar(self) -> str:
        """As short as it can be written and still be read as the same."""
        official = self.repository.removeprefix(_OFFICIAL)
        short = self._with_identifiers(official if "/" not in official else self.repository)
        return short if self.registry == DOCKER_HUB and _reads_as(short, self) else str(self)

    @property
    def path(self) -> str:
        """The repository without what only Docker Hub and its clients add: what people look for elsewhere."""
        is_official = self.registry == DOCKER_HUB and self.repository.count("/") == 1
        return self.repository.removeprefix(_OFFICIAL) if is_official else self.repository

    def with_tag(self, tag: str) -> Reference:
        """Another tag of the same repository, without the digest."""
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository by digest alone."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        return self._with_identifiers(self.name)

    def _with_identifiers(self, name: str) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return f"{name}{tag}@{self.digest}" if self.digest else f"{name}{tag}"


def _reads_as(text: str, meant: Reference) -> bool:
    """False where a repository of Docker Hub begins like the name of another registry."""
    try:
        return Reference.parse(text) == meant
    except InvalidReferenceError:
        return False


def check_repository(repository: str) -> None:
    if not repository:
        raise InvalidReferenceError("the repository name is missing")
    for component in repository.split("/"):
        if not component:
            raise InvalidReferenceError(f"the repository name {repository[:80]!r} has an empty part between slashes")
        if component != component.lower():
            raise InvalidReferenceError(f"the repository name {repository[:80]!r} must be lower case")
        if not _COMPONENT.fullmatch(component):
            raise InvalidReferenceError(
                f"the part {component[:80]!r} of the repository name may have only a-z, 0-9 and, between them, "
                "single dots, one or two underscores, or dashes"
            )


def check_tag(tag: str) -> None:
    if not tag:
        raise InvalidReferenceError("there is no tag after the colon")
    if not _TAG.fullmatch(tag):
        raise InvalidReferenceError(
            f"the tag {tag[:140]!r} may have only letters, digits, '_', '.' and '-', starts with none of the last two, "
            "and has at most 128 characters"
        )


def _check_text(text: str) -> None:
    if not text:
        raise InvalidReferenceError("it is empty")
    if len(text) > _MAX_TEXT:
        raise InvalidReferenceError("it is too long")
    if "://" in text:
        raise InvalidReferenceError("it is not a URL: leave out what stands before the host name")
    if re.search(r"\s", text):
        raise InvalidReferenceError("it has a space or a line break in it")
    if re.fullmatch(r"[0-9a-f]{64}", text):
        raise InvalidReferenceError("it is the identity of a local image, which no registry knows")


def _looks_like_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost"


def _registry(text: str) -> str:
    """The host, and the port if one is named, in lower case."""
    registry = text.lower()
    if not _looks_like_host(registry):
        raise InvalidReferenceError(f"the registry {text[:80]!r} needs a dot or a port, or is localhost")
    if registry in _HUB_ALIASES:
        return DOCKER_HUB
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::([0-9]+))?", registry)
    if bracketed:
        return _with_port(f"[{_ipv6(bracketed.group(1))}]", bracketed.group(2))
    host, colon, port = registry.partition(":")
    if len(host) > 253 or not all(len(label) <= 63 and _LABEL.fullmatch(label) for label in host.split(".")):
        raise InvalidReferenceError(f"{text[:80]!r} is not a host name")
    return _with_port(host, port if colon else None)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise InvalidReferenceError(f"{text[:80]!r} is not an IPv6 address") from error


def _with_port(host: str, port: str | None) -> str:
    if port is None:
        return host
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InvalidReferenceError(f"{port[:80]!r} is not a port")
    return f"{host}:{int(port)}"
