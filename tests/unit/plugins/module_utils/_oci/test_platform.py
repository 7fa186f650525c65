# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidPlatformError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("linux/ppc64le", "linux/ppc64le"),
        ("unknown/unknown", "unknown/unknown"),
        (" linux/s390x ", "linux/s390x"),
    ],
)
def test_spellings_of_the_same_platform_are_equal(written: str, meant: str) -> None:
    assert str(Platform.parse(written)) == meant
    assert Platform.parse(written) == Platform.parse(meant)


@pytest.mark.parametrize(
    ("one", "other"),
    [("linux/arm/v6", "linux/arm/v7"), ("linux/amd64", "linux/arm64"), ("linux/amd64", "windows/amd64")],
)
def test_other_platforms_are_not_equal(one: str, other: str) -> None:
    assert Platform.parse(one) != Platform.parse(other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write it as"),
        ("linux", "write it as"),
        ("linux/", "write it as"),
        ("linux/arm64/v8/x", "write it as"),
        ("linux/amd 64", "cannot be part"),
        ("linux/amd64/" + "v" * 65, "cannot be part"),
    ],
)
def test_anything_else_is_refused_and_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidPlatformError, match=why):
        Platform.parse(text)


def test_a_platform_needs_both_parts() -> None:
    with pytest.raises(InvalidPlatformError, match="at least"):
        Platform("linux", "")


PARTS = st.text(alphabet="abvxyz0123456789_-.", min_size=1, max_size=8)


@given(st.lists(PARTS, min_size=2, max_size=3))
def test_the_text_of_a_platform_is_read_as_the_same(parts: list[str]) -> None:
    platform = Platform.parse("/".join(parts))
    assert Platform.parse(str(platform)) == platform
