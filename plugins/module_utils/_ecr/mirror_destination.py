# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Amazon ECR as the registry that images are copied to: whatever its API tells of many at once is asked that way.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api as lifecycle_api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_mirror as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_prune import delete_tags
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api_registry import get_account_setting
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    ACCESS_DENIED_CODES,
    AnsibleECRError,
    AnsibleECRUnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.tag_mutability import Mutability
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    MirrorError,
    PartlyKnownError,
    Present,
    RepositoryMissingError,
    UnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci import manifest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidDigestError, InvalidManifestError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import Manifest

T = TypeVar("T")

# What the API takes in a call.
_BATCH = 100
_PARALLEL = 16
# Who looks for a few repositories among more pages than this is sooner done by asking for each.
_MAX_PAGES = 5
# An image that is archived cannot be pulled, so it is to be copied again.
_NOT_THERE = ("ImageNotFound", "ImageInaccessible")
_EXISTS = "RepositoryAlreadyExistsException"
_MISSING = "RepositoryNotFoundException"
_CACHED = dict.fromkeys(
    [
        "UnableToGetUpstreamImageException",
        "UpstreamAccessDenied",
        "UpstreamTooManyRequests",
        "UpstreamUnavailable",
    ],
    "The repository belongs to a pull-through cache: copy to another one",
)


class DestinationError(MirrorError):
    """AWS did not do what it was asked to. `code` is its own."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class EcrDestination:
    """`registry` is its host. For any number of threads."""

    def __init__(self, client: Any, registry: str, defaults: RepositoryDefaults) -> None:
        self._client, self._registry, self._defaults = client, registry, defaults
        self._lock = threading.Lock()
        self._repositories: dict[str, Mutability] = {}
        self._errors: dict[str, AnsibleECRError] = {}
        self._mounts: bool | None = None

    @property
    def registry(self) -> str:
        return self._registry

    # ------------------------------------------------------------------ repositories

    def look_up(self, repositories: Iterable[str]) -> None:
        """Asks for them by name, 100 a call, because that needs no permission for others.

        ECR describes none of a call in which one is missing. Then it is asked for all that there are, if these are
        not too many, else for each by itself.
        """
        names = list(dict.fromkeys(repositories))
        with _translated(), ThreadPoolExecutor(_PARALLEL, thread_name_prefix="repository") as pool:
            unknown = [name for missed in pool.map(self._describe, _batches(names)) for name in missed]
            if len(unknown) > 1 and not self._list(max_pages=min(len(unknown) - 1, _MAX_PAGES)):
                rest = [name for name in unknown if name not in self._repositories]
                list(pool.map(self._describe_one, rest))
            if names and len(self._errors) == len(names):
                raise self._errors[names[0]]

    def exists(self, repository: str) -> bool:
        """Also where that could not be found out, which `present` says."""
        return repository in self._repositories or repository in self._errors

    def is_immutable(self, repository: str, tag: str) -> bool:
        return self._repositories.get(repository, self._defaults.mutability).is_immutable(tag)

    def create(self, repository: str) -> bool:
        """False if it is there by now."""
        with _translated():
            try:
                api.create_repository(self._client, repository, self._defaults.settings)
            except AnsibleECRError as error:
                if error.code != _EXISTS:
                    raise
                # Another run makes the same, or ECR itself did on a push. What they have set is left alone.
                return False
            self._repositories[repository] = self._defaults.mutability
            if self._defaults.lifecycle_policy:
                self._set_lifecycle_policy(repository)
            return True

    def _set_lifecycle_policy(self, repository: str) -> None:
        try:
            lifecycle_api.put_lifecycle_policy(self._client, repository, self._defaults.lifecycle_policy)
        except AnsibleECRError as error:
            raise DestinationError(
                f"The repository {repository} was created, but has no lifecycle policy yet. {error}. "
                "Give it one with ecr_lifecycle: another run leaves repositories alone that exist",
                error.code,
            ) from error

    def _describe(self, names: Sequence[str]) -> Sequence[str]:
        """Returns those that have to be asked for in another way."""
        try:
            found = api.describe_repositories(self._client, names)
        except AnsibleECRUnavailableError:
            raise
        except AnsibleECRError as error:
            if len(names) > 1:
                return names
            self._errors[names[0]] = error
            return []
        self._learn(found or [])
        return names if found is None and len(names) > 1 else []

    def _describe_one(self, name: str) -> None:
        self._describe([name])

    def _list(self, max_pages: int) -> bool:
        """Whether that were all of them."""
        token: dict[str, str] = {}
        for _page in range(max_pages):
            try:
                page = api.repositories_page(self._client, **token)
            except AnsibleECRError as error:
                if error.code in ACCESS_DENIED_CODES:
                    return False
                raise
            self._learn(page["repositories"])
            if not page.get("nextToken"):
                return True
            token = {"nextToken": page["nextToken"]}
        return False

    def _learn(self, documents: Iterable[Mapping[str, Any]]) -> None:
        for document in documents:
            self._repositories[document["repositoryName"]] = Mutability.from_ecr(document)

    # ------------------------------------------------------------------ images

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        found: dict[str, Present] = {}
        failed: dict[str, MirrorError] = {}
        with _translated():
            if repository in self._errors:
                raise self._errors[repository]
            for batch in _batches(identifiers):
                missing = self._look_at(repository, batch, found, failed)
                # Two tags of one image might get one answer.
                for identifier in set(batch) - found.keys() - failed.keys() - missing:
                    self._look_at(repository, [identifier], found, failed)
        known = {identifier: found[identifier] for identifier in identifiers if identifier in found}
        if failed:
            raise PartlyKnownError(known, failed) if len(identifiers) > 1 else failed.popitem()[1]
        return known

    def _look_at(
        self, repository: str, batch: Sequence[str], found: dict[str, Present], failed: dict[str, MirrorError]
    ) -> set[str]:
        """Returns those that are not there."""
        answer = api.batch_get_image(self._client, repository, [_image_id(one) for one in batch])
        for image in answer.get("images", []):
            identity, present = image["imageId"], _present(image)
            found[identity["imageDigest"]] = found[identity.get("imageTag", "")] = present
        missing = set()
        for failure in answer.get("failures", []):
            try:
                with _translated():
                    missing.add(_missing(repository, failure))
            except DestinationError as error:
                failed[_name_in(failure)] = error
        return missing

    def discard(self, repository: str, tag: str) -> None:
        """Remove a tag, and the image if it has no other. That there is none is fine."""
        with _translated():
            for failure in delete_tags(self._client, repository, [tag]):
                _missing(repository, failure)

    # ------------------------------------------------------------------ layers

    def missing_blobs(self, repository: str, blobs: Sequence[Digest]) -> set[Digest]:
        with _translated():
            layers = [
                layer
                for batch in _batches([str(blob) for blob in blobs])
                for layer in api.batch_check_layers(self._client, repository, batch)
            ]
        there = {layer["layerDigest"] for layer in layers if layer.get("layerAvailability") == "AVAILABLE"}
        return {blob for blob in blobs if str(blob) not in there}

    def may_mount(self) -> bool:
        """Where we may not know, it is worth a try: a registry that does not mount takes an upload instead."""
        with self._lock, _translated():
            if self._mounts is None:
                try:
                    self._mounts = get_account_setting(self._client, "BLOB_MOUNTING") == "ENABLED"
                except AnsibleECRUnavailableError:
                    raise
                except AnsibleECRError:
                    self._mounts = True
            return self._mounts


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of AWS, in the words of a mirror run."""
    try:
        yield
    except AnsibleECRUnavailableError as error:
        raise UnavailableError(str(error)) from error
    except AnsibleECRError as error:
        if error.code == _MISSING:
            raise RepositoryMissingError(f"{error}. Find out who removes it, then run again") from error
        remedy = _CACHED.get(error.code)
        text = f"{error}. {remedy}" if remedy else str(error)
        raise DestinationError(text, error.code) from error


def _present(image: Mapping[str, Any]) -> Present:
    """What is of use of a manifest, which may have megabytes. One that is not understood is just something else."""
    digest, media_type = Digest.parse(image["imageId"]["imageDigest"]), image.get("imageManifestMediaType", "")
    try:
        document = manifest.parse(image["imageManifest"].encode(), media_type)
    except (InvalidManifestError, InvalidDigestError):
        return Present(digest, media_type)
    if isinstance(document, Manifest):
        config = document.config.digest if document.config else None
        return Present(digest, document.media_type, document.annotations, config)
    children = tuple(child.digest for child in document.children)
    return Present(digest, document.media_type, document.annotations, children=children)


def _image_id(identifier: str) -> dict[str, str]:
    return {"imageDigest": identifier} if ":" in identifier else {"imageTag": identifier}


def _missing(repository: str, failure: Mapping[str, Any]) -> str:
    """The tag or digest that is not there; everything else is trouble."""
    code, name = str(failure.get("failureCode", "")), _name_in(failure)
    if code in _NOT_THERE:
        return name
    said = f"{failure.get('failureReason') or 'it gave no reason'} ({code})"
    raise AnsibleECRError(f"Amazon ECR cannot look at {name} in {repository}: {said}", code=code)


def _name_in(failure: Mapping[str, Any]) -> str:
    image = failure.get("imageId", {})
    return str(image.get("imageTag") or image.get("imageDigest") or "an image")


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
