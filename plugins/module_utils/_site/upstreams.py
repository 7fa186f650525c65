# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a site caches: the upstreams of its file, and those that its images bring in.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.addresses import AddressError, cached_address
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_cache import (
    ABSENT,
    FIELDS,
    TEXT,
    Entry,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import check_region
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import UPSTREAMS, Upstream, upstream_of
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB, Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import CACHE, Document

_HUB = UPSTREAMS["docker-hub"]


class NotCachedError(Exception):
    """Why an image is not cached, as what follows `because`."""


@dataclass(frozen=True)
class Upstreams:
    """By prefix, as the role takes them. `none_because`: why nothing can be cached at all, if so."""

    registry: str
    given: Mapping[str, Mapping[str, Any]]
    brought_in: tuple[str, ...] = ()
    none_because: str = ""

    @classmethod
    def read(cls, document: Document, registry: str, region: str) -> Upstreams:
        if document.section(CACHE).get("state") == ABSENT:
            return cls(registry, document.upstreams, none_because="the cache is to be removed, as cache.state says")
        here = ecr_host(registry)
        region = region or (here.region if here else "")
        try:
            check_region(region)
        except AnsibleECRError:
            return cls(registry, document.upstreams, none_because=f"Amazon ECR has no caches in {region}")
        return cls(registry, document.upstreams)

    def address(self, image: Reference, registry: str) -> str | None:
        """Of an image that is cached; None of another."""
        if self.none_because:
            return None
        try:
            return cached_address(str(image), self._rules(), registry)
        except AddressError:
            return None

    def repository(self, source: Reference) -> str | None:
        """The one that caches it."""
        found = self.address(source, self.registry)
        return None if found is None else found.removeprefix(f"{self.registry}/")

    def covering(self, source: Reference) -> tuple[Upstreams, str]:
        """Upstreams of which one caches the repository, and how it comes that it does. Raises NotCachedError."""
        if self.none_because:
            raise NotCachedError(self.none_because)
        for entry in self._present():
            alone = replace(self, given={entry.prefix: entry.fields})
            if alone.address(source, self.registry) and self.address(source, self.registry):
                return self, f"{source.registry} is cached, as upstreams.{entry.prefix} says"
        return self._with(_upstream_behind(source), source)

    def login(self, registry: str) -> Mapping[str, Any]:
        """The fields of an upstream that say how to log in to a registry; none where nothing says it."""
        for entry in self._present():
            behind = entry.upstream
            if behind and _host(behind, entry) == registry and (entry["access_token"] or entry["secret_arn"]):
                return entry.fields
        return {}

    def _with(self, upstream: Upstream | None, source: Reference) -> tuple[Upstreams, str]:
        if upstream is None:
            raise NotCachedError(f"Amazon ECR cannot cache {source.registry}")
        if upstream.url is None:
            raise NotCachedError(f"{source.registry} is not declared under upstreams")
        if any(entry.upstream == upstream for entry in self._present()):
            raise NotCachedError(
                f"what is declared under upstreams of {source.registry} does not lead to {source.path}"
            )
        if any(entry.upstream == upstream for entry in self._entries()):
            raise NotCachedError(f"upstreams says that {source.registry} is no longer to be cached")
        if upstream.login:
            raise NotCachedError(
                f"Amazon ECR caches {source.registry} only with a login: declare {upstream.name} under upstreams, "
                "and it will be cached"
            )
        if upstream.name in self.given:
            raise NotCachedError(f"upstreams.{upstream.name} is another registry, so that its name is taken")
        more = replace(
            self,
            given={**self.given, upstream.name: {"upstream": upstream.name}},
            brought_in=(*self.brought_in, upstream.name),
        )
        return more, f"Amazon ECR can cache {source.registry}, which needs no login"

    def _rules(self) -> list[dict[str, Any]]:
        """As far as addresses go by them."""
        return [
            {
                "prefix": entry.prefix,
                "upstream": entry.upstream.name,
                "upstream_url": entry["upstream_url"] or entry.upstream.url,
                "upstream_repository_prefix": entry["upstream_repository_prefix"],
            }
            for entry in self._present()
            if entry.upstream and (entry["upstream_url"] or entry.upstream.url)
        ]

    def _present(self) -> list[Entry]:
        return [entry for entry in self._entries() if entry["state"] != ABSENT]

    def _entries(self) -> Iterator[Entry]:
        """Those that can be read. What is wrong with the others, the role's own check says."""
        for prefix, fields in self.given.items():
            texts = [fields.get(field) for field, kind in FIELDS.items() if kind == TEXT]
            if prefix and all(isinstance(value, str) for value in texts if value is not None):
                yield Entry(prefix.removesuffix("/"), fields)


def _upstream_behind(source: Reference) -> Upstream | None:
    """The one that a reference is of, if Amazon ECR could cache it."""
    return _HUB if source.registry == DOCKER_HUB else upstream_of(source.registry)


def _host(upstream: Upstream, entry: Entry) -> str:
    """The registry of an upstream, in the form that references have."""
    url = upstream.url or str(entry["upstream_url"])
    return DOCKER_HUB if upstream is _HUB else url
