# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan for one template, its shape at ECR, and everything that is refused before a call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import (
    EMPTY,
    desired_templates,
    plan,
    template_from_ecr,
    template_to_ecr,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import REGION, role_arn
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import (
    NORMAL,
    POLICY,
    RELEASES,
    UNTAGGED,
    valid_rules,
)

ALLOW: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": "210987654321"}, "Action": "ecr:BatchGetImage"}
ACCESS: dict[str, Any] = {"Version": "2012-10-17", "Statement": [ALLOW]}
KEY = f"arn:aws:kms:{REGION}:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CACHE = ["pull_through_cache"]


def template(prefix: str = "docker-hub", **fields: Any) -> dict[str, Any]:
    """A template as it is."""
    return {**EMPTY, "prefix": prefix, "applied_for": CACHE, **fields}


def said(prefix: str = "docker-hub", **options: Any) -> dict[str, Any]:
    """What a task says of a template."""
    return desired_templates([{"prefix": prefix, **options}], REGION).templates[0]


def refusal(*given: dict[str, Any]) -> str:
    with pytest.raises(AnsibleECRError) as caught:
        desired_templates([{"prefix": "docker-hub", **options} for options in given], REGION)
    return str(caught.value)


class TestSaid:
    @pytest.mark.parametrize(
        ("options", "fields"),
        [
            ({}, {}),
            (dict.fromkeys([*EMPTY, "lifecycle_policy"]) | {"prefix": "docker-hub"}, {}),
            ({"description": ""}, {"description": None}),
            (
                {"applied_for": ["replication", "pull_through_cache", "replication"]},
                {"applied_for": [*CACHE, "replication"]},
            ),
            (
                {"resource_tags": {"cost": 1, 2: "b"}, "custom_role_arn": role_arn()},
                {"resource_tags": {"cost": "1", "2": "b"}, "custom_role_arn": role_arn()},
            ),
            (
                {"image_tag_mutability": "MUTABLE"},
                {"image_tag_mutability": "MUTABLE", "image_tag_mutability_exclusion_filters": []},
            ),
            (
                {
                    "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
                    "image_tag_mutability_exclusion_filters": ["b", "a", "b"],
                },
                {
                    "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
                    "image_tag_mutability_exclusion_filters": ["a", "b"],
                },
            ),
            ({"encryption_type": "AES256"}, {"encryption_type": "AES256", "kms_key_arn": None}),
            ({"repository_policy": json.dumps(ACCESS)}, {"repository_policy": ACCESS}),
            ({"repository_policy": ""}, {"repository_policy": None}),
            ({"repository_policy": "{}"}, {"repository_policy": None}),
            ({"lifecycle_rules": [RELEASES, UNTAGGED]}, {"lifecycle_rules": NORMAL}),
            (
                {"lifecycle_rules": [UNTAGGED, {**RELEASES, "tag_patterns": "v*", "count_number": "10"}]},
                {"lifecycle_rules": NORMAL},
            ),
            ({"lifecycle_policy": json.dumps(POLICY)}, {"lifecycle_rules": NORMAL}),
            ({"lifecycle_rules": []}, {"lifecycle_rules": None}),
            ({"lifecycle_policy": ""}, {"lifecycle_rules": None}),
        ],
    )
    def test_only_what_is_mentioned_and_in_its_normal_form(
        self, options: dict[str, Any], fields: dict[str, Any]
    ) -> None:
        assert said(**options) == {"prefix": "docker-hub", **fields}

    def test_a_slash_at_the_end_goes(self) -> None:
        assert said("docker-hub/")["prefix"] == "docker-hub"

    def test_regrettable_rules_are_warned_of(self) -> None:
        rule = {**UNTAGGED, "tag_status": "any", "count_type": "imageCountMoreThan"}
        [warning] = desired_templates([{"prefix": "quay", "lifecycle_rules": [rule]}], REGION).warnings
        assert warning.startswith("'quay', lifecycle_rules: rules[0] (priority 1), count_type: imageCountMoreThan with")

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"prefix": ""}, "'', prefix: must have 1 to 256 characters, not 0"),
            ({"prefix": "a" * 257}, "prefix: must have 1 to 256 characters, not 257"),
            ({"prefix": "Docker"}, "'Docker', prefix: must be in lower case: docker"),
            ({"description": "x" * 257}, "description: must have at most 256 characters, not 257"),
            ({"applied_for": []}, "applied_for: must name at least one of pull_through_cache, replication"),
            ({"custom_role_arn": "ecr"}, "custom_role_arn: must be the ARN of an IAM role, not 'ecr'"),
            ({"resource_tags": {"a": "b"}}, "custom_role_arn: is required with resource_tags: Amazon ECR tags"),
            (
                {"encryption_type": "KMS"},
                "custom_role_arn: is required with encryption_type KMS: Amazon ECR uses the key",
            ),
            ({"encryption_type": "KMS_DSSE", "custom_role_arn": ""}, "is required with encryption_type KMS_DSSE"),
            ({"kms_key_arn": KEY}, "kms_key_arn: needs encryption_type KMS"),
            ({"kms_key_arn": KEY, "encryption_type": "AES256"}, "kms_key_arn: needs encryption_type KMS"),
            ({"kms_key_arn": "alias/ecr"}, "kms_key_arn: must be the ARN of a key, not an alias or an id: 'alias/ecr'"),
            (
                {"kms_key_arn": KEY.replace(REGION, "us-east-1")},
                "kms_key_arn: the key is in us-east-1, but must be in the region of the registry, eu-west-1",
            ),
            (
                {"image_tag_mutability": "MUTABLE_WITH_EXCLUSION"},
                "image_tag_mutability_exclusion_filters: are required with image_tag_mutability MUTABLE_WITH_EXCLUSION",
            ),
            (
                {"image_tag_mutability": "IMMUTABLE", "image_tag_mutability_exclusion_filters": ["a"]},
                "image_tag_mutability_exclusion_filters: need image_tag_mutability IMMUTABLE_WITH_EXCLUSION or",
            ),
            (
                {"image_tag_mutability_exclusion_filters": ["a"]},
                "need image_tag_mutability IMMUTABLE_WITH_EXCLUSION or",
            ),
            ({"image_tag_mutability_exclusion_filters": ["a", "b", "c", "d", "e", "f"]}, "there are 6, ECR allows 5"),
            ({"image_tag_mutability_exclusion_filters": ["a/b"]}, "and *, not 'a/b'"),
            ({"image_tag_mutability_exclusion_filters": ["a" * 129]}, "must have 1 to 128 letters"),
            ({"resource_tags": {str(n): "" for n in range(51)}}, "resource_tags: there are 51, ECR allows 50"),
            ({"resource_tags": {"aws:x": ""}}, "not begin with aws:, not 'aws:x'"),
            ({"resource_tags": {"": ""}}, "keys must have 1 to 128 characters"),
            ({"resource_tags": {"a": "x" * 257}}, "the value of a must have at most 256 characters, not 257"),
            ({"repository_policy": "{"}, "repository_policy: it is not JSON"),
            ({"repository_policy": '{"Version": "2012-10-17"}'}, "repository_policy: it must be an object with a list"),
            (
                {"repository_policy": json.dumps({"Statement": ["x" * 10240]})},
                "repository_policy: takes 10258 characters as JSON, ECR allows 10240",
            ),
            (
                {"lifecycle_rules": [{**UNTAGGED, "count_number": 0}]},
                "lifecycle_rules: The lifecycle policy is not valid: rules[0] (priority 1), count_number: must",
            ),
            ({"lifecycle_rules": [{**UNTAGGED, "surprise": 1}]}, "surprise: ECR knows no such field"),
            ({"lifecycle_policy": "{"}, "lifecycle_rules: The lifecycle policy is not valid: it is not JSON"),
        ],
    )
    def test_what_is_refused(self, options: dict[str, Any], says: str) -> None:
        assert says in refusal(options)

    def test_all_mistakes_are_reported_together(self) -> None:
        wrong = {"repository_policy": "{", "lifecycle_policy": "{", "custom_role_arn": "ecr"}
        message = refusal(wrong, {"prefix": "docker-hub/"})
        assert message.startswith("Not valid: ")
        assert message.count("; ") == 3
        assert "is there more than once" in message


class TestPlan:
    def test_create(self) -> None:
        change = plan("docker-hub", None, said(applied_for=["replication", *CACHE], lifecycle_rules=[UNTAGGED]))
        assert change.after == template(applied_for=[*CACHE, "replication"], lifecycle_rules=NORMAL[:1])
        assert change.actions == ["create the creation template docker-hub (for: pull_through_cache, replication)"]

    def test_a_new_template_must_say_what_it_is_for(self) -> None:
        with pytest.raises(AnsibleECRError, match="'docker-hub', applied_for: is required to create a template"):
            plan("docker-hub", None, said(description="x"))

    @pytest.mark.parametrize(
        ("current", "options"),
        [
            (template(), {}),
            (
                template(description="x", lifecycle_rules=NORMAL, image_tag_mutability="IMMUTABLE"),
                {"applied_for": CACHE},
            ),
            (template(repository_policy=ACCESS), {"repository_policy": json.dumps(ACCESS, indent=8)}),
            (
                template(repository_policy={**ACCESS, "Statement": [{**ALLOW, "Action": ["ecr:BatchGetImage"]}]}),
                {"repository_policy": json.dumps(ACCESS)},
            ),
            (template(), {"repository_policy": "", "lifecycle_rules": [], "resource_tags": {}, "description": ""}),
            (
                template(resource_tags={"a": "b"}, custom_role_arn=role_arn()),
                {"resource_tags": {"a": "b"}, "custom_role_arn": role_arn()},
            ),
        ],
    )
    def test_nothing_to_do(self, current: dict[str, Any], options: dict[str, Any]) -> None:
        change = plan("docker-hub", current, said(**options))
        assert not change.changed
        assert change.actions == []

    @pytest.mark.parametrize(
        ("current", "options", "different"),
        [
            (template(), {"description": "x"}, {"description": "x"}),
            (template(description="x"), {"description": ""}, {"description": None}),
            (template(lifecycle_rules=NORMAL), {"lifecycle_rules": []}, {"lifecycle_rules": None}),
            (template(repository_policy=ACCESS), {"repository_policy": ""}, {"repository_policy": None}),
            (
                template(
                    image_tag_mutability="IMMUTABLE_WITH_EXCLUSION", image_tag_mutability_exclusion_filters=["latest"]
                ),
                {"image_tag_mutability": "IMMUTABLE"},
                {"image_tag_mutability": "IMMUTABLE", "image_tag_mutability_exclusion_filters": []},
            ),
            (
                template(encryption_type="KMS", kms_key_arn=KEY, custom_role_arn=role_arn()),
                {"encryption_type": "AES256", "custom_role_arn": ""},
                {"encryption_type": "AES256", "kms_key_arn": None, "custom_role_arn": None},
            ),
        ],
    )
    def test_update(self, current: dict[str, Any], options: dict[str, Any], different: dict[str, Any]) -> None:
        change = plan("docker-hub", current, said(**options))
        assert change.after == {**current, **different}
        assert change.actions == [f"update {', '.join(different)} of the creation template docker-hub"]

    def test_a_role_that_is_still_needed_stays(self) -> None:
        current = template(resource_tags={"a": "b"}, custom_role_arn=role_arn())
        with pytest.raises(AnsibleECRError, match="custom_role_arn: is required with resource_tags"):
            plan("docker-hub", current, said(custom_role_arn=""))

    @pytest.mark.parametrize(("current", "actions"), [(template(), ["delete the creation template x"]), (None, [])])
    def test_delete(self, current: dict[str, Any] | None, actions: list[str]) -> None:
        change = plan("x", current, None)
        assert (change.before, change.after, change.actions) == (current, None, actions)


FULL = {
    "prefix": "docker-hub",
    "description": "Cache",
    "appliedFor": ["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"],
    "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": KEY},
    "resourceTags": [{"Key": "a", "Value": "b"}],
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "latest"}],
    "repositoryPolicy": json.dumps(ACCESS, separators=(",", ":")),
    "lifecyclePolicy": json.dumps(POLICY, separators=(",", ":")),
    "customRoleArn": role_arn(),
}


class TestShapes:
    def test_everything_from_ecr_and_back(self) -> None:
        flat = template_from_ecr(FULL)
        assert flat == {
            "prefix": "docker-hub",
            "description": "Cache",
            "applied_for": ["create_on_push", "pull_through_cache"],
            "encryption_type": "KMS",
            "kms_key_arn": KEY,
            "resource_tags": {"a": "b"},
            "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
            "image_tag_mutability_exclusion_filters": ["latest"],
            "repository_policy": ACCESS,
            "lifecycle_rules": NORMAL,
            "custom_role_arn": role_arn(),
        }
        assert list(flat) == list(EMPTY)
        assert template_to_ecr(flat) == FULL

    @pytest.mark.parametrize(
        "bare",
        [
            {"prefix": "docker-hub", "appliedFor": ["PULL_THROUGH_CACHE"]},
            {
                "prefix": "docker-hub/",
                "appliedFor": ["PULL_THROUGH_CACHE"],
                "description": "",
                "resourceTags": [],
                "repositoryPolicy": "",
                "lifecyclePolicy": "",
                "customRoleArn": "",
                "encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": ""},
            },
        ],
    )
    def test_nothing_and_empty_are_the_same(self, bare: dict[str, Any]) -> None:
        assert template_from_ecr(bare) == template()

    @given(valid_rules(), st.sets(st.sampled_from(["pull_through_cache", "replication", "create_on_push"]), min_size=1))
    def test_what_is_sent_comes_back(self, rules: list[dict[str, Any]], purposes: set[str]) -> None:
        after = plan("quay", None, said("quay", lifecycle_rules=rules, applied_for=list(purposes))).after
        stored = template_from_ecr(template_to_ecr(after))
        assert stored == after
        assert not plan("quay", stored, said("quay", lifecycle_rules=rules[::-1])).changed

    @pytest.mark.parametrize("field", ["repositoryPolicy", "lifecyclePolicy"])
    def test_what_cannot_be_read_is_an_error(self, field: str) -> None:
        with pytest.raises(AnsibleECRError, match="cannot be understood: it is not JSON"):
            template_from_ecr({**FULL, field: "{"})
