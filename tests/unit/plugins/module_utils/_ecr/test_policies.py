# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import (
    policy_from_text,
    policy_in_pieces,
    policy_to_text,
    same_policy,
)

PULL: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Pull",
            "Effect": "Allow",
            "Principal": {"AWS": ["123456789012", "210987654321"]},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        },
        {"Sid": "Deny", "Effect": "Deny", "Principal": "*", "Action": "ecr:DeleteRepository"},
    ],
}


def with_statement(**fields: Any) -> dict[str, Any]:
    return {**PULL, "Statement": [{**PULL["Statement"][0], **fields}, PULL["Statement"][1]]}


@pytest.mark.parametrize(
    "same",
    [
        PULL,
        {**PULL, "Statement": PULL["Statement"][::-1]},
        with_statement(Action=["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]),
        with_statement(Principal={"AWS": ["arn:aws:iam::123456789012:root", "210987654321"]}),
        with_statement(Principal={"AWS": ["arn:aws-cn:iam::123456789012:root", "210987654321"]}),
        {**PULL, "Statement": [PULL["Statement"][0], {**PULL["Statement"][1], "Action": ["ecr:DeleteRepository"]}]},
        {**PULL, "Statement": [PULL["Statement"][0], {**PULL["Statement"][1], "Principal": {"AWS": "*"}}]},
    ],
)
def test_the_same_in_other_words(same: dict[str, Any]) -> None:
    assert same_policy(PULL, same)


@pytest.mark.parametrize(
    "other",
    [
        None,
        {**PULL, "Statement": PULL["Statement"][:1]},
        with_statement(Effect="Deny"),
        with_statement(Action=["ecr:BatchGetImage"]),
        with_statement(Principal={"AWS": ["123456789012", "333333333333"]}),
        with_statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
    ],
)
def test_what_is_not_the_same(other: dict[str, Any] | None) -> None:
    assert not same_policy(PULL, other)
    assert not same_policy(other, PULL)


def test_no_policy_is_the_same_as_none() -> None:
    assert same_policy(None, None)


@given(st.permutations(PULL["Statement"][0]["Action"]), st.permutations(PULL["Statement"]))
def test_a_policy_survives_its_text(actions: list[str], statements: list[dict[str, Any]]) -> None:
    policy = {**PULL, "Statement": [{**statements[0], "Action": actions}, *statements[1:]]}
    assert policy_from_text(policy_to_text(policy)) == policy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "it is not JSON: "),
        ("[]", 'it must be an object with a list "Statement"'),
        ('{"Version": "2012-10-17"}', 'it must be an object with a list "Statement"'),
        ('{"Statement": "Allow"}', 'it must be an object with a list "Statement"'),
    ],
)
def test_what_is_no_policy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^it ") as caught:
        policy_from_text(text)
    assert says in str(caught.value)


_STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "Effect": st.sampled_from(["Allow", "Deny"]),
            "Action": st.sampled_from(["ecr:PutImage", ["ecr:PutImage", "logs:PutLogEvents"]]),
            "Resource": st.lists(st.text("abc:/*", min_size=1, max_size=60), min_size=1, max_size=40) | st.just("*"),
        },
        optional={"Sid": st.sampled_from(["One", "Two"])},
    ),
    min_size=1,
    max_size=8,
)


@given(_STATEMENTS, st.integers(min_value=300, max_value=2000))
def test_pieces_are_short_and_say_the_same_together(statements: list[dict[str, Any]], limit: int) -> None:
    pieces = policy_in_pieces({"Version": "2012-10-17", "Statement": statements}, limit)
    assert all(len(policy_to_text(piece)) <= limit for piece in pieces)
    assert {piece["Version"] for piece in pieces} == {"2012-10-17"}
    assert said([statement for piece in pieces for statement in piece["Statement"]]) == said(statements)


def said(statements: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(s["Effect"], str(s["Action"]), resource) for s in statements for resource in s["Resource"]]


def test_what_fits_is_left_as_it_is() -> None:
    assert policy_in_pieces(PULL, len(policy_to_text(PULL))) == [PULL]


@pytest.mark.parametrize("resource", ["x" * 400, ["x" * 400], ["*", "x" * 400]])
def test_a_resource_that_is_too_long_is_told(resource: Any) -> None:
    with pytest.raises(ValueError, match="has no list of resources to take apart"):
        policy_in_pieces({"Version": "2012-10-17", "Statement": {"Resource": resource}}, 300)
