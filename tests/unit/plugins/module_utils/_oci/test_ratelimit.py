# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.ratelimit import RateLimit, retry_after


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        (
            {
                "ratelimit-limit": "100;w=21600",
                "ratelimit-remaining": "20;w=21600",
                "docker-ratelimit-source": "192.0.2.1",
            },
            RateLimit(100, 20, 21600, "192.0.2.1"),
        ),
        ({"ratelimit-limit": "100;w=3600", "ratelimit-remaining": "0;w=3600"}, RateLimit(100, 0, 3600)),
        ({"ratelimit-limit": "200", "ratelimit-remaining": "7"}, RateLimit(200, 7, None)),
        ({"ratelimit-limit": "100, 100; w=60", "ratelimit-remaining": "7"}, RateLimit(100, 7, 60)),
        ({"ratelimit-limit": "100;w=60"}, None),
        ({"ratelimit-limit": "many", "ratelimit-remaining": "7"}, None),
        ({"ratelimit-limit": "-1", "ratelimit-remaining": "7"}, None),
        ({"ratelimit-limit": "1" * 5000, "ratelimit-remaining": "7"}, None),
    ],
)
def test_limits_as_registries_tell_them(headers: dict[str, str], expected: RateLimit | None) -> None:
    assert RateLimit.parse(headers) == expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        # A date without a zone is in universal time, and one in the past means now.
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": "Wed, 21 Oct 2026 07:28:29 GMT"}, 1),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_without_the_servers_clock_is_compared_with_ours() -> None:
    moment = datetime.now(timezone.utc) + timedelta(hours=1)
    seconds = retry_after({"retry-after": format_datetime(moment, usegmt=True)})
    assert seconds is not None
    assert 3500 < seconds <= 3601
