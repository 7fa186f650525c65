# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.tag_mutability import Mutability


@pytest.mark.parametrize(
    ("setting", "filters", "immutable", "mutable"),
    [
        ("MUTABLE", [], [], ["latest", "1.0"]),
        ("IMMUTABLE", [], ["latest", "1.0"], []),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], ["1.0", "latest2", "a-dev-1"], ["latest", "dev-", "dev-1"]),
        ("MUTABLE_WITH_EXCLUSION", ["v*.*"], ["v1.0", "v."], ["v1", "1.0", "latest"]),
        ("MUTABLE_WITH_EXCLUSION", ["*"], ["anything"], []),
        ("MUTABLE_WITH_EXCLUSION", ["*-rc*-*"], ["1-rc1-x", "-rc-"], ["1-rc1", "rc1-x"]),
        # A dot is a dot.
        ("IMMUTABLE_WITH_EXCLUSION", ["1.0"], ["100", "1-0"], ["1.0"]),
    ],
)
def test_which_tags_can_be_written_once(
    setting: str, filters: list[str], immutable: list[str], mutable: list[str]
) -> None:
    document = {
        "imageTagMutability": setting,
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": one} for one in filters],
    }
    found = Mutability.from_ecr(document)
    assert [tag for tag in immutable + mutable if found.is_immutable(tag)] == immutable


def test_a_repository_that_says_nothing_is_mutable() -> None:
    assert not Mutability.from_ecr({}).is_immutable("1.0")


@given(st.lists(st.from_regex(r"[A-Za-z0-9._-]{0,5}", fullmatch=True), min_size=1), st.data())
def test_a_wildcard_matches_what_it_was_made_of(parts: list[str], data: st.DataObject) -> None:
    between = [data.draw(st.from_regex(r"[A-Za-z0-9._-]{0,5}", fullmatch=True)) for _part in parts[1:]]
    tag = "".join(a + b for a, b in zip(parts, [*between, ""], strict=True))
    excluding = Mutability("IMMUTABLE_WITH_EXCLUSION", ("*".join(parts),))
    assert not excluding.is_immutable(tag)
    assert excluding.is_immutable(f"{tag}!") == (not re.search(r"\*$", excluding.filters[0]))
