# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any registry as a destination, by the registry protocol alone: one question for each tag.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Present
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound, RegistryError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Document, Manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

# From so many tags on a list is asked for first, which should be no longer than one page.
_WORTH_A_LIST = 10
_ONE_PAGE = 1000


class RegistryDestination:
    """`records`: read whole manifests, to find what was recorded in them."""

    def __init__(self, client: Client, registry: str, *, parallel: int = 16, records: bool = False) -> None:
        self._client, self._registry, self._records = client, registry, records
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="destination")

    @property
    def registry(self) -> str:
        return self._registry

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def look_up(self, repositories: Iterable[str]) -> None:
        self._client.expect((Reference(self._registry, name) for name in repositories), push=True)

    def exists(self, repository: str) -> bool:
        """Registries make them when they are pushed to."""
        return True

    def is_immutable(self, repository: str, tag: str) -> bool:
        return False

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        base = Reference(self._registry, repository)
        wanted = self._listed(base, identifiers)
        references = [_identified(base, identifier) for identifier in wanted]
        found = zip(wanted, self._pool.map(self._present, references), strict=True)
        return {identifier: present for identifier, present in found if present}

    def missing_blobs(self, repository: str, blobs: Sequence[Digest]) -> set[Digest] | None:
        return None

    def create(self, repository: str) -> bool:
        """See exists."""
        return False

    def may_mount(self) -> bool:
        return True

    def _listed(self, base: Reference, identifiers: Sequence[str]) -> Sequence[str]:
        """Those that may be there: what is not in the list of tags need not be asked for one by one."""
        tags = [identifier for identifier in identifiers if ":" not in identifier]
        if len(tags) < _WORTH_A_LIST:
            return identifiers
        try:
            known = set(islice(self._client.list_tags(base), _ONE_PAGE))
            if len(known) == _ONE_PAGE:
                return identifiers
        except NotFound:
            return [identifier for identifier in identifiers if ":" in identifier]
        except RegistryError:
            return identifiers
        return [identifier for identifier in identifiers if ":" in identifier or identifier in known]

    def _present(self, ref: Reference) -> Present | None:
        try:
            if self._records:
                return _described(self._client.get_manifest(ref))
            found = self._client.head_manifest(ref)
            return Present(found.digest, found.media_type)
        except NotFound:
            return None


def _identified(base: Reference, identifier: str) -> Reference:
    return base.with_digest(Digest.parse(identifier)) if ":" in identifier else base.with_tag(identifier)


def _described(document: Document) -> Present:
    if isinstance(document, Manifest):
        config = document.config.digest if document.config else None
        return Present(document.digest, document.media_type, document.annotations, config)
    children = tuple(child.digest for child in document.children)
    return Present(document.digest, document.media_type, document.annotations, children=children)
