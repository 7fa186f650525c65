# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters as Jinja sees them. What they answer is tested with module_utils/_ecr/addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.filter import ecr_cached_image, ecr_mirrored_image

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
RULES = [{"prefix": "hub", "upstream": "docker-hub"}]
MODULES = {"ecr_cached_image": ecr_cached_image, "ecr_mirrored_image": ecr_mirrored_image}


@pytest.mark.parametrize("name", MODULES)
def test_each_file_has_its_filter_and_its_documentation(name: str) -> None:
    assert list(MODULES[name].FilterModule().filters()) == [name]
    documents = yaml.safe_load(Path(MODULES[name].__file__).with_suffix(".yml").read_text())
    assert documents["DOCUMENTATION"]["name"] == name
    assert yaml.safe_load(documents["EXAMPLES"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ecr_cached_image.ecr_cached_image("quay.io/org/x", RULES, HOST),
            "ecr_cached_image: no pull-through cache rule covers 'quay.io/org/x'",
        ),
        (
            lambda: ecr_mirrored_image.ecr_mirrored_image("nginx", None),
            "ecr_mirrored_image: registry must be a text, not nothing",
        ),
    ],
)
def test_a_refusal_is_ansibles_error_and_names_the_filter(call: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        call()
    assert message in str(caught.value)
