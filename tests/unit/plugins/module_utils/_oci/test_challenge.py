# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.challenge import Challenge, parse_challenges

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
HUB_PARAMETERS = {
    "realm": "https://auth.docker.io/token",
    "service": "registry.docker.io",
    "scope": "repository:a/b:pull,push",
}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (HUB, [("bearer", HUB_PARAMETERS)]),
        (f'Basic realm="a, b=c" , {HUB}', [("basic", {"realm": "a, b=c"}), ("bearer", HUB_PARAMETERS)]),
        (f"Negotiate, {HUB}", [("negotiate", {}), ("bearer", HUB_PARAMETERS)]),
        (f"Negotiate YWJj==, {HUB}", [("negotiate", {}), ("bearer", HUB_PARAMETERS)]),
        ("BASIC REALM=plain", [("basic", {"realm": "plain"})]),
        (
            "Bearer realm=https://host:5000/token,service=s",
            [("bearer", {"realm": "https://host:5000/token", "service": "s"})],
        ),
        ('Basic realm = "x"', [("basic", {"realm": "x"})]),
        (r'Basic realm="say \"hi\", \\you"', [("basic", {"realm": 'say "hi", \\you'})]),
        ('Basic realm="first", realm="second"', [("basic", {"realm": "first"})]),
        ('Basic realm="", charset="UTF-8"', [("basic", {"realm": "", "charset": "UTF-8"})]),
        ("Basic", [("basic", {})]),
        ("Basic,Bearer", [("basic", {}), ("bearer", {})]),
        (",, Basic ,,", [("basic", {})]),
    ],
)
def test_challenges_as_registries_write_them(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    found = parse_challenges(header)
    assert [(challenge.scheme, dict(challenge.parameters)) for challenge in found] == expected


@pytest.mark.parametrize("header", ['Bearer realm="never closed', "Bearer realm=", '="', "\x00 \xff"])
def test_nonsense_names_no_realm(header: str) -> None:
    assert all("realm" not in challenge.parameters for challenge in parse_challenges(header))


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.text(max_size=20), max_size=4)), max_size=4))
def test_what_is_written_by_the_rules_is_read_back(wanted: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    header = ", ".join(
        f"{scheme} {','.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in wanted
    )
    assert list(parse_challenges(header)) == [Challenge(scheme, parameters) for scheme, parameters in wanted]


@given(st.text(alphabet='aB ,="\\/\t') | st.text())
def test_any_header_is_read(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower() != ""
