# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One piece of work for each of many items: some at a time, results in order, failures collected.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
)

R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one item: a result, an error, or both where it failed after it was changed."""

    name: str
    result: R | None = None
    error: AnsibleECRError | None = None


def run_each(names: Sequence[str], work: Callable[[str], R], parallel: int) -> list[Outcome[R]]:
    """Do work(name) for every name, at most `parallel` at a time.

    A failing item does not stop the others, unless AWS cannot be used at all: then what has not begun is not begun.
    """
    hopeless = threading.Event()

    def attempt(name: str) -> Outcome[R]:
        if hopeless.is_set():
            return Outcome(name, error=AnsibleECRError("Not attempted", code="NotAttempted"))
        try:
            return Outcome(name, result=work(name))
        except AnsibleECRUnavailableError as error:
            hopeless.set()
            return Outcome(name, error=error)
        except AnsibleECRError as error:
            return Outcome(name, error=error)

    with ThreadPoolExecutor(max_workers=max(1, min(parallel, len(names)))) as pool:
        return list(pool.map(attempt, names))
