# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that are in the engine for the sake of a run, and those that were there before and stay.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Deferred
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_engine import (
    Engine,
    EngineError,
    LocalImage,
)

# So many images are kept after their use: the next ones are likely to be built on the same layers.
_LINGERING = 8
_ATTEMPTS = 3


@dataclass
class _Pulled:
    """An image by digest. `was_there` is None until that was looked up; `is_current`: pulled by us and not removed."""

    source: Reference
    users: int = 0
    was_there: bool | None = None
    is_current: bool = False
    identity: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class LocalImages:
    """For any number of threads. `keep`: nothing is removed but temporary tags."""

    def __init__(self, engine: Engine, credentials: Callable[[str], Credentials | None], *, keep: bool) -> None:
        self._engine, self._credentials, self._keep = engine, credentials, keep
        self._lock = threading.Lock()
        self._known: dict[str, _Pulled] = {}
        self._idle: dict[str, _Pulled] = {}
        # The names of images by identity, before the run.
        self._before: Mapping[str, frozenset[str]] | None = None

    @contextmanager
    def pulled(self, source: Reference, held_by: Reference) -> Iterator[LocalImage]:
        """The image of that digest, from its registry. It stays at least as long as it is used.

        It gets the tag `held_by` at once, so that nobody else's cleaning up takes it away. Then `forget` that.
        """
        with self._lock:
            if self._before is None:
                self._before = self._engine.inventory()
            one = self._known.setdefault(str(source), _Pulled(source))
            one.users += 1
            self._idle.pop(str(source), None)
        try:
            yield self._held(one, held_by)
        finally:
            self._remove(self._released(one))

    def forget(self, temporary: Reference, identity: str) -> None:
        """Give back the names that an image had before a temporary tag and a push changed them.

        Raises EngineError if one cannot be had back.
        """
        self._remove_name(str(temporary))
        before = (self._before or {}).get(identity, frozenset())
        # An image that had no names loses what the push has added together with the tag.
        now = self._engine.image(identity) if self._keep or before else None
        if now is None:
            return
        for name in _digests(temporary, now.names - before):
            self._remove_name(name)
        for name in _digests(temporary, before - now.names):
            # With the last tag of a repository, the engine also takes away what was pulled from it by digest.
            self._engine.pull(name, self._credentials(temporary.registry))

    def close(self) -> None:
        """Remove what is not used any more."""
        with self._lock:
            idle, self._idle = list(self._idle.values()), {}
        self._remove(idle)

    def _held(self, one: _Pulled, held_by: Reference) -> LocalImage:
        name = str(one.source)
        with one.lock:
            image = self._engine.image(name)
            if one.was_there is None:
                one.was_there = image is not None
            for _attempt in range(_ATTEMPTS):
                if image is None or not one.is_current:
                    image = self._bring(one)
                if image and self._engine.tag(image.identity, held_by.name, held_by.tag or ""):
                    return image
                image = None
        raise EngineError(f"Docker Engine has pulled {name}, and somebody else removes it: find out who, and try again")

    def _bring(self, one: _Pulled) -> LocalImage | None:
        try:
            self._pull(one)
        except EngineError as error:
            if not error.is_full:
                raise
            self.close()
            self._pull(one)
        one.is_current = True
        image = self._engine.image(str(one.source))
        one.identity = image.identity if image else ""
        return image

    def _pull(self, one: _Pulled) -> None:
        """Raises Deferred where the registry allows no more pulls by now: the budget is not told what engines are."""
        try:
            self._engine.pull(str(one.source), self._credentials(one.source.registry))
        except EngineError as error:
            if error.is_limited:
                raise Deferred(str(error)) from error
            raise

    def _released(self, one: _Pulled) -> list[_Pulled]:
        """Those that have lingered for long enough."""
        with self._lock:
            one.users -= 1
            if one.users or self._keep:
                return []
            self._idle[str(one.source)] = one
            return [self._idle.pop(next(iter(self._idle))) for _surplus in range(len(self._idle) - _LINGERING)]

    def _remove(self, expired: list[_Pulled]) -> None:
        for one in expired:
            with one.lock:
                if one.users == 0 and one.is_current and not one.was_there and not self._is_last_name(one):
                    one.is_current = False
                    self._remove_name(str(one.source))

    def _is_last_name(self, one: _Pulled) -> bool:
        """Of an image that was there before without any: it would go with this one."""
        if one.identity not in (self._before or {}):
            return False
        try:
            image = self._engine.image(one.identity)
        except EngineError:
            return True
        return image is not None and len(image.names) < 2

    def _remove_name(self, name: str) -> None:
        """A name that was given for the run, and the image if it has no other."""
        try:
            self._engine.remove(name)
        except EngineError:
            # Such as for a container that somebody made of it. The copy is made, so this is no failure.
            return


def _digests(ref: Reference, names: Iterable[str]) -> list[str]:
    """Those that name an image by digest in the repository of the reference."""
    return [name for name in names if name.startswith(f"{ref.name}@")]
