# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults

REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/1234abcd"
RULE = {"priority": 1, "tag_status": "any", "count_type": "imageCountMoreThan", "count_number": 5, "action": "expire"}


def read(**options: Any) -> RepositoryDefaults:
    return RepositoryDefaults.read(options, REGION)


@pytest.mark.parametrize("options", [None, {}])
def test_nothing_is_said(options: dict[str, Any] | None) -> None:
    assert RepositoryDefaults.read(options, REGION) == RepositoryDefaults()
    assert RepositoryDefaults().settings == {}


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"scan_on_push": True}, {"imageScanningConfiguration": {"scanOnPush": True}}),
        ({"scan_on_push": False}, {}),
        ({"encryption_type": "KMS"}, {"encryptionConfiguration": {"encryptionType": "KMS"}}),
        (
            {"encryption_type": "KMS", "kms_key_arn": KEY},
            {"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": KEY}},
        ),
        ({"resource_tags": {"a": 1}}, {"tags": [{"Key": "a", "Value": "1"}]}),
        ({"image_tag_mutability": "IMMUTABLE"}, {"imageTagMutability": "IMMUTABLE"}),
        (
            {
                "image_tag_mutability": "MUTABLE_WITH_EXCLUSION",
                "image_tag_mutability_exclusion_filters": ["v*"],
            },
            {
                "imageTagMutability": "MUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "v*"}],
            },
        ),
    ],
)
def test_as_create_repository_has_them(options: dict[str, Any], settings: dict[str, Any]) -> None:
    usual = {"encryptionConfiguration": {"encryptionType": "AES256"}, "imageTagMutability": "MUTABLE"}
    assert read(**options).settings == {**usual, **settings}


def test_mutability_is_known_before_the_repository_is_there() -> None:
    found = read(
        image_tag_mutability="IMMUTABLE_WITH_EXCLUSION", image_tag_mutability_exclusion_filters=["latest"]
    ).mutability
    assert [found.is_immutable(tag) for tag in ("1.0", "latest")] == [True, False]


def test_lifecycle_rules_become_a_policy() -> None:
    found = read(lifecycle_rules=[RULE])
    assert [rule["rulePriority"] for rule in json.loads(found.lifecycle_policy)["rules"]] == [1]
    assert len(found.warnings) == 1
    assert "lifecyclePolicy" not in found.settings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kms_key_arn": KEY}, "kms_key_arn: needs encryption_type KMS"),
        ({"encryption_type": "KMS", "kms_key_arn": "alias/a"}, "kms_key_arn: must be the ARN of a key"),
        ({"encryption_type": "KMS", "kms_key_arn": KEY.replace("west", "east")}, "must be in the region"),
        ({"image_tag_mutability_exclusion_filters": ["v*"]}, "need image_tag_mutability IMMUTABLE_WITH_EXCLUSION"),
        ({"image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION"}, "are required with image_tag_mutability"),
        ({"resource_tags": {"aws:a": "1"}}, "keys must have 1 to 128 characters and not begin with aws:"),
        ({"lifecycle_rules": [{**RULE, "count_number": 0}]}, "lifecycle_rules: The lifecycle policy is not valid"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], says: str) -> None:
    with pytest.raises(AnsibleECRError) as caught:
        read(**options)
    assert says in str(caught.value)
    assert "'repository_defaults', " in str(caught.value)
    assert "custom_role_arn" not in str(caught.value)
