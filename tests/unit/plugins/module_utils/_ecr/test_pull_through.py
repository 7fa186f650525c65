# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan for one rule, and everything that is refused before a change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import (
    desired_rules,
    plan,
    rule_from_ecr,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import check_accounts
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import HOST, REGION, role_arn, secret_arn

OPTIONS = ["prefix", "upstream", "upstream_url", "credential_arn", "custom_role_arn", "upstream_repository_prefix"]
ECR_URL = "210987654321.dkr.ecr.eu-west-1.amazonaws.com"


def options(prefix: str = "docker-hub", **fields: Any) -> dict[str, Any]:
    return {**dict.fromkeys(OPTIONS), "prefix": prefix, **fields}


def rule(prefix: str = "docker-hub", **fields: Any) -> dict[str, Any]:
    """A rule as it is."""
    docker_hub = {"upstream": "docker-hub", "upstream_url": "registry-1.docker.io", "credential_arn": secret_arn()}
    return {**options(prefix, upstream_repository_prefix="ROOT"), **docker_hub, **fields}


def desired(*given: dict[str, Any], region: str = REGION) -> list[dict[str, Any]]:
    return desired_rules(given, region)


def refusal(*given: dict[str, Any], region: str = REGION) -> str:
    with pytest.raises(AnsibleECRError) as caught:
        desired_rules(given, region)
    return str(caught.value)


class TestDesired:
    @pytest.mark.parametrize(
        ("given", "url", "upstream"),
        [
            ({"upstream": "quay"}, "quay.io", "quay"),
            ({"upstream_url": "quay.io"}, "quay.io", "quay"),
            ({"upstream_url": "https://quay.io/"}, "quay.io", "quay"),
            ({"upstream": "quay", "upstream_url": "quay.io"}, "quay.io", "quay"),
            (
                {"upstream": "acr", "upstream_url": "example.azurecr.io", "credential_arn": secret_arn()},
                "example.azurecr.io",
                "acr",
            ),
            ({"upstream_url": ECR_URL, "custom_role_arn": role_arn()}, ECR_URL, "ecr"),
        ],
    )
    def test_upstream_and_url_follow_from_one_another(self, given: dict[str, Any], url: str, upstream: str) -> None:
        [rule] = desired(options("cache", **given))
        assert (rule["upstream_url"], rule["upstream"]) == (url, upstream)

    def test_slashes_at_the_end_go(self) -> None:
        [rule] = desired(options("cache/", upstream="quay", upstream_repository_prefix="org/"))
        assert (rule["prefix"], rule["upstream_repository_prefix"]) == ("cache", "org")

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            pytest.param(options("a", upstream="quay"), "'a', prefix: must have 2 to 30", id="prefix of 1"),
            pytest.param(
                options("a" * 31, upstream="quay"), "prefix: must have 2 to 30 characters, not 31", id="of 31"
            ),
            pytest.param(options("Quay", upstream="quay"), "prefix: must be in lower case: quay", id="capitals"),
            pytest.param(options(), "upstream: is required: one of docker-hub, ecr-public", id="no upstream"),
            pytest.param(
                options(upstream_url="docker.io", credential_arn=secret_arn()),
                "upstream_url: Amazon ECR knows docker.io as registry-1.docker.io",
                id="docker.io",
            ),
            pytest.param(
                options(upstream_url="harbor.example.com"), "ecr_image_mirror copies from any", id="unknown upstream"
            ),
            pytest.param(
                options(upstream="quay", upstream_url="ghcr.io"),
                "upstream_url: 'ghcr.io' is not quay: leave it out, quay is quay.io",
                id="upstream and URL differ",
            ),
            pytest.param(
                options(upstream="acr", credential_arn=secret_arn()),
                "upstream_url: is required with upstream acr: NAME.azurecr.io",
                id="acr without URL",
            ),
            pytest.param(
                options(upstream="acr", upstream_url="ghcr.io", credential_arn=secret_arn()),
                "it must be NAME.azurecr.io",
                id="acr with another URL",
            ),
            pytest.param(
                options(upstream="ecr"),
                "upstream_url: is required with upstream ecr: ACCOUNT.dkr.ecr.REGION.amazonaws.com",
                id="ecr without URL",
            ),
            pytest.param(
                options(upstream="docker-hub"),
                "credential_arn: is required with upstream docker-hub, public images included: the ARN of a secret "
                "named ecr-pullthroughcache/... that holds username and accessToken",
                id="no credential",
            ),
            pytest.param(
                options(upstream_url="ghcr.io"), "credential_arn: is required with upstream ghcr", id="by URL"
            ),
            pytest.param(
                options(upstream="quay", credential_arn=secret_arn()),
                "credential_arn: upstream quay takes none: Amazon ECR caches its public images only",
                id="credential too many",
            ),
            pytest.param(
                options(upstream="ecr", upstream_url=ECR_URL, credential_arn=secret_arn(), custom_role_arn=role_arn()),
                "credential_arn: upstream ecr takes none, but custom_role_arn",
                id="credential for ecr",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn=secret_arn(), custom_role_arn=role_arn()),
                "custom_role_arn: upstream docker-hub takes none, but credential_arn",
                id="role for docker-hub",
            ),
            pytest.param(
                options(upstream="ecr", upstream_url=ECR_URL, custom_role_arn="cache"),
                "custom_role_arn: must be the ARN of an IAM role, not 'cache'",
                id="role by name",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn="ecr-pullthroughcache/docker-hub"),
                "credential_arn: must be the ARN of a secret in AWS Secrets Manager, not 'ecr-pullthroughcache/docker",
                id="secret by name",
            ),
            pytest.param(
                options(
                    upstream="docker-hub",
                    credential_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:docker-hub-a1B2c3",
                ),
                "the name of the secret must begin with ecr-pullthroughcache/, but it is docker-hub-a1B2c3",
                id="secret elsewhere",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn=secret_arn(region="us-east-1")),
                "the secret is in us-east-1, but must be in the region of the rule, eu-west-1: replicate it",
                id="secret in another region",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn=secret_arn(suffix="")),
                "must be the whole ARN, which ends in a dash and the six characters that AWS Secrets Manager added, "
                "but it ends in 'docker-hub'",
                id="without the suffix",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn=secret_arn("a" * 600)),
                "at most 612 characters",
                id="long",
            ),
            pytest.param(
                options(upstream="docker-hub", credential_arn=secret_arn("a b")), "is no name of a secret", id="blank"
            ),
            pytest.param(
                options("ROOT", upstream="quay", upstream_repository_prefix="org"),
                "upstream_repository_prefix: must be ROOT or left out with prefix ROOT, not org",
                id="upstream prefix with ROOT",
            ),
            pytest.param(
                options("cache", upstream="quay", upstream_repository_prefix="Org"),
                "upstream_repository_prefix: must be in lower case: org",
                id="upstream prefix with capitals",
            ),
        ],
    )
    def test_what_is_refused(self, given: dict[str, Any], says: str) -> None:
        assert says in refusal(given)

    def test_repeated_prefixes_are_refused(self) -> None:
        said = refusal(options("cache", upstream="quay"), options("cache/", upstream="k8s"))
        assert said == "Not valid: 'cache', prefix: is there more than once (a slash at the end is no difference)"

    def test_all_mistakes_are_reported_together(self) -> None:
        said = refusal(options("A1", upstream="quay"), options("fine", upstream="quay"), options(upstream="ghcr"))
        assert said.count(";") == 1
        assert "'A1', prefix" in said
        assert "'docker-hub', credential_arn" in said

    @pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"])
    def test_regions_without_pull_through_caches(self, region: str) -> None:
        said = refusal(options("cache", upstream="quay"), region=region)
        assert said.startswith(f"Amazon ECR has no pull-through caches in {region}")

    @given(st.text(max_size=80))
    def test_no_credential_is_too_strange_to_be_refused_in_words(self, arn: str) -> None:
        said = refusal(options(upstream="docker-hub", credential_arn=arn))
        assert said.startswith("Not valid: 'docker-hub', credential_arn: ")


class TestAccounts:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (
                rule(credential_arn=secret_arn(account="210987654321")),
                "credential_arn: belongs to account 210987654321, but must belong to that of the registry, "
                "123456789012",
            ),
            (
                rule(upstream_url=ECR_URL, credential_arn=None, custom_role_arn=role_arn(account="210987654321")),
                "custom_role_arn: belongs to account 210987654321",
            ),
            (
                rule(upstream_url=ECR_URL, credential_arn=None),
                "custom_role_arn: is required to cache from account 210987654321: the ARN of a role in account "
                "123456789012 that pullthroughcache.ecr.amazonaws.com may assume",
            ),
            (rule(upstream_url=HOST, credential_arn=None), "upstream_url: is this registry itself"),
        ],
    )
    def test_what_is_refused(self, given: dict[str, Any], says: str) -> None:
        with pytest.raises(AnsibleECRError) as caught:
            check_accounts([given], HOST)
        assert says in str(caught.value)

    @pytest.mark.parametrize(
        "fine",
        [
            rule(),
            rule(upstream_url=ECR_URL, credential_arn=None, custom_role_arn=role_arn()),
            rule(upstream_url=HOST.replace("eu-west-1", "us-east-1"), credential_arn=None),
        ],
    )
    def test_what_is_not(self, fine: dict[str, Any]) -> None:
        check_accounts([fine], HOST)

    def test_a_registry_without_an_account_in_its_name_shows_nothing(self) -> None:
        check_accounts([rule(credential_arn=secret_arn(account="210987654321"))], "127.0.0.1:4566")


class TestRuleFromECR:
    def test_every_field_is_there(self) -> None:
        document = {"ecrRepositoryPrefix": "quay/", "upstreamRegistryUrl": "quay.io", "registryId": "123456789012"}
        assert rule_from_ecr(document) == {
            "prefix": "quay",
            "upstream": "quay",
            "upstream_url": "quay.io",
            "upstream_repository_prefix": "ROOT",
            "credential_arn": None,
            "custom_role_arn": None,
        }

    def test_an_upstream_that_came_later_keeps_its_name(self) -> None:
        document = {
            "ecrRepositoryPrefix": "new",
            "upstreamRegistryUrl": "new.example.com",
            "upstreamRegistry": "new-registry",
        }
        assert rule_from_ecr(document)["upstream"] == "new-registry"


class TestPlan:
    def test_create(self) -> None:
        [wanted] = desired(options(upstream="docker-hub", credential_arn=secret_arn()))
        change = plan("docker-hub", None, wanted)
        assert (change.before, change.after) == (None, rule())
        assert change.actions == ["create the pull-through cache rule docker-hub (upstream: registry-1.docker.io)"]

    @pytest.mark.parametrize(
        "same",
        [
            {"upstream": "docker-hub", "credential_arn": secret_arn()},
            {"upstream_url": "registry-1.docker.io", "credential_arn": secret_arn()},
            {"upstream": "docker-hub", "credential_arn": secret_arn(), "upstream_repository_prefix": "ROOT"},
        ],
    )
    def test_nothing_to_do(self, same: dict[str, Any]) -> None:
        [wanted] = desired(options(**same))
        change = plan("docker-hub", rule(), wanted)
        assert not change.changed
        assert change.actions == []

    def test_what_nobody_mentioned_stays(self) -> None:
        current = rule(upstream_repository_prefix="org")
        [wanted] = desired(options(upstream="docker-hub", credential_arn=secret_arn()))
        assert not plan("docker-hub", current, wanted).changed

    def test_update(self) -> None:
        new = secret_arn(suffix="-Z9y8X7")
        [wanted] = desired(options(upstream="docker-hub", credential_arn=new))
        change = plan("docker-hub", rule(), wanted)
        assert change.after == rule(credential_arn=new)
        assert change.actions == ["update credential_arn of the pull-through cache rule docker-hub"]

    @pytest.mark.parametrize(
        ("given", "names"),
        [
            (
                {"upstream": "ghcr", "credential_arn": secret_arn("ghcr")},
                "upstream_url (registry-1.docker.io to ghcr.io)",
            ),
            (
                {"upstream": "docker-hub", "credential_arn": secret_arn(), "upstream_repository_prefix": "org"},
                "upstream_repository_prefix (ROOT to org)",
            ),
            (
                {"upstream": "quay", "upstream_repository_prefix": "org"},
                "upstream_url (registry-1.docker.io to quay.io), upstream_repository_prefix (ROOT to org)",
            ),
        ],
    )
    def test_what_ecr_cannot_change_is_named_with_the_way_out(self, given: dict[str, Any], names: str) -> None:
        [wanted] = desired(options(**given))
        with pytest.raises(AnsibleECRError) as caught:
            plan("docker-hub", rule(), wanted)
        assert str(caught.value).startswith(f"Amazon ECR cannot change {names} of a rule. Set recreate=true")
        assert "images that are cached stay" in str(caught.value)

    def test_recreate(self) -> None:
        [wanted] = desired(
            options(upstream="docker-hub", credential_arn=secret_arn(), upstream_repository_prefix="org")
        )
        change = plan("docker-hub", rule(), wanted, recreate=True)
        assert change.after == rule(upstream_repository_prefix="org")
        assert change.actions == [
            "delete the pull-through cache rule docker-hub",
            "create the pull-through cache rule docker-hub (upstream: registry-1.docker.io)",
        ]

    def test_a_login_never_moves_on_to_another_upstream(self) -> None:
        [wanted] = desired(options(upstream="quay"))
        change = plan("docker-hub", rule(upstream_repository_prefix="org"), wanted, recreate=True)
        assert change.after["credential_arn"] is None
        assert change.after["upstream_repository_prefix"] == "ROOT"

    @pytest.mark.parametrize(("current", "actions"), [(rule(), ["delete the pull-through cache rule x"]), (None, [])])
    def test_delete(self, current: dict[str, Any] | None, actions: list[str]) -> None:
        change = plan("x", current, None)
        assert (change.before, change.after, change.actions) == (current, None, actions)
        assert change.changed is bool(current)
