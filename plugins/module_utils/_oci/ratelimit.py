# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What registries say about how often they may be asked.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RateLimit:
    """How many pulls a registry allows. A registry that says nothing is taken to allow any number: there is no object.

    `window` is in seconds, None if the registry leaves it open; `source` is whom it counts, an address or an account.
    """

    limit: int
    remaining: int
    window: int | None = None
    source: str = ""

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """From the headers of any answer, as in `ratelimit-limit: 100;w=21600`."""
        limit = headers.get("ratelimit-limit", "")
        allowed, left = _number(limit), _number(headers.get("ratelimit-remaining", ""))
        if allowed is None or left is None:
            return None
        window = re.search(r";\s*w=([0-9]{1,9})\b", limit)
        return cls(allowed, left, int(window.group(1)) if window else None, headers.get("docker-ratelimit-source", ""))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait that an answer asks for. A date is compared with the clock of the server, where it tells."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    moment = _date(text)
    if moment is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(timezone.utc)
    return max(0.0, float(math.ceil((moment - now).total_seconds())))


def _number(text: str) -> int | None:
    found = re.match(r"\s*([0-9]{1,9})\b", text)
    return int(found.group(1)) if found else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
