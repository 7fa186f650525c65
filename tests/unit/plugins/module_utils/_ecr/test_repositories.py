# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repositories import find_repositories
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import FakeECR


@pytest.fixture
def ecr() -> FakeECR:
    ecr = FakeECR()
    ecr.add("team/b", "team/a", "team/sub/c", "teams/x", "v1", "v2")
    return ecr


@pytest.mark.parametrize(
    ("wanted", "names", "asked"),
    [
        ([], [], 0),
        (["team/a", "not/there"], ["team/a", "not/there"], 0),
        (["team/a", "team/a"], ["team/a"], 0),
        (["team/*"], ["team/a", "team/b", "team/sub/c"], 1),
        (["team*/?"], ["team/a", "team/b", "team/sub/c", "teams/x"], 1),
        (["v[12]"], ["v1", "v2"], 1),
        (["team/b", "team/*", "v1"], ["team/b", "team/a", "team/sub/c", "v1"], 1),
        (["*", "team/*"], ["team/a", "team/b", "team/sub/c", "teams/x", "v1", "v2"], 1),
    ],
)
def test_names_and_globs(ecr: FakeECR, wanted: list[str], names: list[str], asked: int) -> None:
    found = find_repositories(ecr.client, wanted)
    assert found.names == names
    assert found.warnings == []
    assert len(ecr.calls) == asked


def test_a_glob_that_matches_nothing_is_a_warning(ecr: FakeECR) -> None:
    found = find_repositories(ecr.client, ["none/*", "team/a", "NONE/*"])
    assert found.names == ["team/a"]
    assert found.warnings == ["No repository matches 'none/*'.", "No repository matches 'NONE/*'."]


@pytest.mark.parametrize("name", ["", "a", "Team/a", "team//a", "team/", "team/a:1", "a b", "x" * 257, "a/-b", "a\n"])
def test_what_cannot_be_a_name_is_refused_before_any_call(ecr: FakeECR, name: str) -> None:
    with pytest.raises(AnsibleECRError) as caught:
        find_repositories(ecr.client, ["team/*", "good/name", name])
    assert str(caught.value) == f"Neither a repository name nor a glob: {name!r}"
    assert ecr.calls == []


@pytest.mark.parametrize("name", ["ab", "a-b.c_d__e/f--g", "x" * 256, "1/2/3"])
def test_what_can_be_a_name(ecr: FakeECR, name: str) -> None:
    assert find_repositories(ecr.client, [name]).names == [name]
