"""What counts as a difference between a definition and what AWS has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.compare import differing, mentioned

SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a", "b", "c"])
NAMES = st.sampled_from(["name", "value", "x", "command"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


@pytest.mark.parametrize(
    ("wanted", "actual", "differs"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"b": 2}, True),
        ({"a": None}, {}, False),
        ({"a": None}, {"a": {}}, False),
        ({"a": None}, {"a": {"x": 1}}, True),
        ({"a": {}}, {}, False),
        ({"a": []}, {}, False),
        ({"a": []}, {"a": ["x"]}, True),
        ({"subnets": ["a", "b"]}, {"subnets": ["b", "a"]}, False),
        ({"command": ["a", "b"]}, {"command": ["b", "a"]}, True),
        ([{"name": "A", "v": 1}, {"name": "B"}], [{"name": "B"}, {"name": "A", "v": 1, "more": 2}], False),
        ([{"name": "A", "v": 1}], [{"name": "A", "v": 2}], True),
        ([{"name": "A"}], [{"name": "B"}], True),
        ([{"name": "A"}], [{"name": "A"}, {"name": "B"}], True),
        ([{"x": 1}, {"x": 2}], [{"x": 2}, {"x": 1}], True),
        (True, False, True),
    ],
)
def test_differences(wanted: Any, actual: Any, differs: bool) -> None:
    assert differing(wanted, actual) is differs


@given(DOCUMENTS)
def test_everything_is_as_itself(document: Any) -> None:
    assert not differing(document, document)


@given(DOCUMENTS, DOCUMENTS)
@example([None], [None, None])
@example(["a"], ["a", "a"])
def test_what_is_not_mentioned_makes_no_difference(wanted: Any, actual: Any) -> None:
    assert differing(wanted, mentioned(wanted, actual)) == differing(wanted, actual)
