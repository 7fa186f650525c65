# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.filter.pull_through_cache_parts import FilterModule

REGISTRY = {
    "registry_id": "123456789012",
    "region": "eu-west-1",
    "partition": "aws",
    "repository_arn": "arn:aws:ecr:eu-west-1:123456789012:repository",
}
SETTINGS = {"registry": REGISTRY, "name": "cache"}


def parts(upstreams: dict[str, Any], **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = FilterModule().filters()["pull_through_cache_parts"](upstreams, {**SETTINGS, **settings})
    return found


def test_it_says_what_there_is_to_be() -> None:
    assert [template["prefix"] for template in parts({"quay": None})["templates"]] == ["quay"]


def test_it_says_what_has_to_go() -> None:
    assert parts({"quay": None}, state="absent")["gone"]["repositories"] == ["quay/*"]


def test_a_mistake_is_an_error_that_names_it() -> None:
    with pytest.raises(AnsibleFilterError, match=r"^Not valid: 'x', prefix"):
        parts({"x": {"upstream": "quay"}})
