# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import registry_grammar
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_grammar import check_settings

STATEMENT = {
    "Sid": "Ours",
    "Effect": "Allow",
    "Principal": {"AWS": "210987654321"},
    "Action": "ecr:ReplicateImage",
    "Resource": "*",
}
ROLE = "arn:aws:iam::123456789012:role/mirror"


def check(**options: Any) -> None:
    names = ["policy_statements", "absent_statements", "scanning", "replication_rules", "pull_time_exclusions"]
    check_settings({**dict.fromkeys(names), **options})


def statement(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**STATEMENT, **changes}.items() if value is not None}


def scanning(scan_type: str | None, *rules: tuple[str, list[str]]) -> dict[str, Any]:
    return {
        "scan_type": scan_type,
        "rules": [{"scan_frequency": frequency, "repository_filters": filters} for frequency, filters in rules],
    }


def replication(*destinations: tuple[str, str | None], prefixes: list[str] | None = None) -> list[dict[str, Any]]:
    to = [{"region": region, "registry_id": account} for region, account in destinations]
    return [{"destinations": to, "repository_prefixes": prefixes, "delete_replication": False}]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"policy_statements": [STATEMENT, statement(Sid="2", Action=["ecr:*", "*", "ecr:Get*"])]},
        {"policy_statements": [statement(Principal=None, NotPrincipal="*", Action=None, NotAction="ecr:PutImage")]},
        {"policy_statements": [statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})]},
        {"policy_statements": [STATEMENT], "absent_statements": ["Other", "Other"]},
        {"scanning": {"scan_type": None, "rules": None}},
        {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", ["*"]), ("MANUAL", ["a"]))},
        {"scanning": scanning("ENHANCED", ("SCAN_ON_PUSH", ["*/x*"]), ("CONTINUOUS_SCAN", ["a-b/c.d_e"]))},
        {"scanning": scanning(None, ("CONTINUOUS_SCAN", ["*"]))},
        {"replication_rules": []},
        {
            "replication_rules": replication(
                ("eu-west-1", None), ("us-gov-west-1", "210987654321"), prefixes=["a/", "ab"]
            )
        },
        {"pull_time_exclusions": [ROLE, "arn:aws-us-gov:iam::123456789012:user/path/some@one"]},
    ],
)
def test_what_ecr_takes(options: dict[str, Any]) -> None:
    check(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"policy_statements": [statement(Sid=None)]},
            "policy_statements[0], Sid: is required, a text: by it this module knows which statement is its own",
        ),
        ({"policy_statements": [STATEMENT, STATEMENT]}, "policy_statements[1] (Ours), Sid: is there more than once"),
        (
            {"policy_statements": [STATEMENT], "absent_statements": ["Ours"]},
            "policy_statements[0] (Ours), Sid: is in absent_statements too",
        ),
        (
            {"policy_statements": [statement(Effect="allow")]},
            "policy_statements[0] (Ours), Effect: must be Allow or Deny, not 'allow'",
        ),
        (
            {"policy_statements": [statement(Resource=None)]},
            "policy_statements[0] (Ours), Resource: either Resource or NotResource is required",
        ),
        (
            {"policy_statements": [statement(NotPrincipal="*")]},
            "policy_statements[0] (Ours), Principal: either Principal or NotPrincipal is required",
        ),
        (
            {"policy_statements": [statement(Action=["ecr:PutImage", "s3:GetObject"])]},
            "Action: must be actions of Amazon ECR, as ecr:CreateRepository, not 's3:GetObject'",
        ),
        (
            {"policy_statements": [statement(effect="Allow")]},
            "policy_statements[0] (Ours), effect: is none of Sid, Effect, Principal",
        ),
        (
            {"policy_statements": [statement(Resource="x" * 10240)]},
            "characters as JSON, ECR allows 10240",
        ),
        (
            {"scanning": scanning("BASIC", ("CONTINUOUS_SCAN", ["*"]))},
            "scanning.rules[0].scan_frequency: must be SCAN_ON_PUSH or MANUAL with scan_type BASIC, not CONTINUOUS",
        ),
        (
            {"scanning": scanning("ENHANCED", ("MANUAL", ["*"]))},
            "must be SCAN_ON_PUSH or CONTINUOUS_SCAN with scan_type ENHANCED, not MANUAL",
        ),
        (
            {"scanning": scanning(None, ("NEVER", ["*"]))},
            "scanning.rules[0].scan_frequency: must be one of SCAN_ON_PUSH, MANUAL, CONTINUOUS_SCAN, not 'NEVER'",
        ),
        ({"scanning": scanning("CLAIR")}, "scanning.scan_type: must be BASIC or ENHANCED, not 'CLAIR'"),
        (
            {"scanning": scanning("BASIC", *[("SCAN_ON_PUSH", ["*"])] * 3)},
            "scanning.rules: there are 3, ECR allows 2, one for each frequency",
        ),
        (
            {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", []))},
            "scanning.rules[0].repository_filters: at least one is needed",
        ),
        (
            {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", ["Prod/*"]))},
            "scanning.rules[0].repository_filters: must be names or globs with *, in lower case, not 'Prod/*'",
        ),
        (
            {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", ["a" * 254 + "!"]))},
            "scanning.rules[0].repository_filters: must be names or globs with *, in lower case, not 'aaa",
        ),
        (
            {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", ["x" * 256]))},
            "repository_filters: must have 1 to 255 characters, not 256: 'xxx",
        ),
        (
            {"scanning": scanning("BASIC", ("SCAN_ON_PUSH", ["x"] * 101))},
            "scanning.rules[0].repository_filters: there are 101, ECR allows 100",
        ),
        (
            {"replication_rules": replication(("eu-west-1", None)) * 26},
            "replication_rules: there are 26, ECR allows 25",
        ),
        (
            {"replication_rules": replication(*[(f"eu-west-{number}", None) for number in range(26)])},
            "replication_rules: have 26 different destinations, ECR allows 25",
        ),
        ({"replication_rules": replication()}, "replication_rules[0].destinations: at least one is needed"),
        (
            {"replication_rules": replication(("EU", None))},
            "replication_rules[0].destinations[0].region: must be a region, as eu-west-1, not 'EU'",
        ),
        (
            {"replication_rules": replication(("eu-west-1", "12345"))},
            "replication_rules[0].destinations[0].registry_id: must be the 12 digits of an account, in quotes, not",
        ),
        (
            {"replication_rules": replication(("eu-west-1", None), prefixes=["prod/*"])},
            "replication_rules[0].repository_prefixes: must be what names begin with, without any *, in lower case, "
            "not 'prod/*'",
        ),
        (
            {"pull_time_exclusions": ["arn:aws:iam::123456789012:group/x"]},
            "pull_time_exclusions: must be the ARNs of IAM roles and users, not 'arn:aws:iam::123456789012:group/x'",
        ),
        ({"pull_time_exclusions": [f"{ROLE}{'x' * 200}"]}, "pull_time_exclusions: must be the ARNs"),
        ({"pull_time_exclusions": [ROLE] * 101}, "pull_time_exclusions: there are 101, ECR allows 100"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleECRError) as caught:
        check(**options)
    assert str(caught.value).startswith("Not valid: ")
    assert message in str(caught.value)
    assert caught.value.code == "InvalidRegistrySettings"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(AnsibleECRError) as caught:
        check(
            policy_statements=[statement(Effect=None)],
            scanning=scanning("X"),
            replication_rules=replication(),
            pull_time_exclusions=["x"],
        )
    for where in ("policy_statements[0]", "scanning.scan_type", "replication_rules[0]", "pull_time_exclusions"):
        assert where in str(caught.value)


@pytest.fixture(scope="module")
def shapes() -> Any:
    client = boto3.client("ecr", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    return client.meta.service_model.shape_for


class TestAgreementWithTheServiceModel:
    """Our limits and patterns are those that botocore's service model has."""

    @pytest.mark.parametrize(
        ("shape", "pattern", "lengths"),
        [
            (
                "ScanningRepositoryFilterValue",
                registry_grammar._SCANNING_FILTER,
                registry_grammar._SCANNING_FILTER_LENGTHS,
            ),
            (
                "RepositoryFilterValue",
                registry_grammar._REPLICATION_FILTER,
                registry_grammar._REPLICATION_FILTER_LENGTHS,
            ),
        ],
    )
    @given(text=st.text(st.sampled_from("ab0*._-/A"), max_size=9))
    def test_filters(self, shapes: Any, shape: str, pattern: Any, lengths: range, text: str) -> None:
        constraints = shapes(shape).metadata
        assert bool(pattern.fullmatch(text)) == bool(re.fullmatch(constraints["pattern"].strip("^$"), text))
        assert (lengths[0], lengths[-1]) == (constraints["min"], constraints["max"])

    def test_enumerations_and_counts(self, shapes: Any) -> None:
        frequencies = {name for names in registry_grammar.FREQUENCIES.values() for name in names}
        assert frequencies == set(shapes("ScanFrequency").enum)
        assert set(registry_grammar.FREQUENCIES) == set(shapes("ScanType").enum)
        limits = {
            "RegistryScanningRuleList": registry_grammar.MAX_SCANNING_RULES,
            "RepositoryFilterList": registry_grammar.MAX_FILTERS,
            "ScanningRepositoryFilterList": registry_grammar.MAX_FILTERS,
            "PullTimeUpdateExclusionList": registry_grammar.MAX_EXCLUSIONS,
            "PrincipalArn": registry_grammar.MAX_PRINCIPAL_ARN,
        }
        assert {name: shapes(name).metadata["max"] for name in limits} == limits
        # It was 10 in service models of 2025.
        assert shapes("ReplicationRuleList").metadata["max"] in (10, registry_grammar.MAX_REPLICATION_RULES)
