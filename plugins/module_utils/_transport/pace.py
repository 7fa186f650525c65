# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Going no faster than a registry wants to be asked, by kind of request.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked

PUT_IMAGE = ("PUT", "manifest")
# Amazon's published rates a second, a little less of the one that is soon reached. The others are far out of our reach.
ECR_RATES: Mapping[tuple[str, str], float] = {
    PUT_IMAGE: 8.0,  # PutImage, 10
    ("POST", "upload"): 100.0,  # InitiateLayerUpload, which a mount is too
    ("POST", "mount"): 100.0,
    ("PUT", "upload"): 100.0,  # CompleteLayerUpload; UploadLayerPart has 500
}
_SLOWEST = 1 / 16
_RECOVERY = 1 / 50


class Pace:
    """Waits before requests to one registry, for any number of threads.

    A 429 halves the rate of its kind; each answer without brings a little of it back.
    """

    def __init__(
        self,
        registry: str,
        rates: Mapping[tuple[str, str], float] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry, self._now, self._sleep = registry, now, sleep
        self._lock = threading.Lock()
        self._buckets = {kind: _Bucket(rate, rate, rate, now()) for kind, rate in (rates or ECR_RATES).items()}

    def wait(self, asked: Asked) -> None:
        """Return when it is this request's turn."""
        bucket = self._bucket(asked)
        if bucket is None:
            return
        with self._lock:
            seconds = bucket.take(self._now())
        if seconds > 0:
            self._sleep(seconds)

    def answered(self, asked: Asked, status: int) -> None:
        bucket = self._bucket(asked)
        if bucket is not None:
            with self._lock:
                bucket.learn(self._now(), too_fast=status == 429)

    def _bucket(self, asked: Asked) -> _Bucket | None:
        return self._buckets.get((asked.method, asked.what)) if asked.registry == self._registry else None


@dataclass
class _Bucket:
    """`left` may be less than none: so many have been promised a later turn."""

    full_rate: float
    rate: float
    left: float
    checked: float
    slowed: float = float("-inf")

    def take(self, now: float) -> float:
        """How many seconds to wait."""
        self._fill(now)
        self.left -= 1
        return max(0.0, -self.left / self.rate)

    def learn(self, now: float, *, too_fast: bool) -> None:
        if not too_fast:
            self.rate = min(self.full_rate, self.rate + self.full_rate * _RECOVERY)
        elif now >= self.slowed + 1:
            # Once a second: those that were under way together are told together.
            self._fill(now)
            self.rate = max(self.full_rate * _SLOWEST, self.rate / 2)
            self.left, self.slowed = min(self.left, 0.0), now

    def _fill(self, now: float) -> None:
        self.left = min(self.full_rate, self.left + (now - self.checked) * self.rate)
        self.checked = now
