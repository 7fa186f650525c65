# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import counted, duration, plain, size


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (61_449_999, "61.4 MB"),
        (99_949_999, "99.9 MB"),
        (99_950_000, "100 MB"),
        (999_499_999, "999 MB"),
        (999_500_000, "1.0 GB"),
        (10**18 * 5, "5000 PB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert size(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"), (21600, "6 h 00 min")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("number", "thing", "expected"),
    [(1, "image", "1 image"), (1200, "image", "1,200 images"), (2, "repository", "2 repositories")],
)
def test_counts(number: int, thing: str, expected: str) -> None:
    assert counted(number, thing) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (5, "5"),
        ("a\n\tb ", "a b"),
        ("\u202egnp.exe", "\N{REPLACEMENT CHARACTER}gnp.exe"),
        ("\x1b[31m", "\N{REPLACEMENT CHARACTER}[31m"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("größe 大小", "größe 大小"),
    ],
)
def test_text_of_strangers(value: object, expected: str) -> None:
    assert plain(value) == expected


@given(st.text(st.characters(exclude_categories=())))
def test_text_of_strangers_is_one_line_that_can_be_written(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    shown.encode()
