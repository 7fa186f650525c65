# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the upstreams of the role come down to."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import desired_templates
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import desired_rules
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_cache import (
    leftovers,
    parts,
    settings_from,
)

ACCOUNT, REGION, OTHER = "123456789012", "eu-west-1", "210987654321"
REGISTRY = {
    "registry_id": ACCOUNT,
    "region": REGION,
    "partition": "aws",
    "repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository",
}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/templates"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
LOGIN = {"username": "acme", "access_token": "dckr_pat_1f6c0"}
PULL = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:BatchImportUpstreamImage",
    "ecr:CreateRepository",
    "ecr:GetDownloadUrlForLayer",
]


def secret_arn(name: str = "docker-hub", region: str = REGION) -> str:
    return f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:ecr-pullthroughcache/{name}-a1B2c3"


def made(upstreams: dict[str, Any], **settings: Any) -> dict[str, Any]:
    base = {"registry": REGISTRY, "name": "pull-through-cache", "template_role_arn": ROLE}
    return parts(upstreams, settings_from({**base, **settings}))


def refusal(upstreams: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(AnsibleECRError) as caught:
        made(upstreams, **settings)
    return str(caught.value)


def statement(policy: dict[str, Any], sid: str) -> dict[str, Any]:
    return next(found for found in policy["Statement"] if found["Sid"] == sid)


class TestLogins:
    def test_an_upstream_that_needs_one_gets_a_secret(self) -> None:
        found = made({"docker-hub": LOGIN, "quay": None})
        assert [(secret["name"], secret["username"]) for secret in found["secrets"]] == [
            ("ecr-pullthroughcache/docker-hub", "acme")
        ]
        stand_in = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/docker-hub-XXXXXX"
        assert [rule["credential_arn"] for rule in found["rules"]] == [stand_in, None]

    def test_the_rule_takes_the_arn_of_the_secret_that_was_made(self) -> None:
        secrets = [{"name": "ecr-pullthroughcache/docker-hub", "arn": secret_arn(), "needs_filling": False}]
        assert made({"docker-hub": LOGIN}, secrets=secrets)["rules"][0]["credential_arn"] == secret_arn()

    def test_a_rule_whose_secret_holds_the_placeholder_is_set_apart(self) -> None:
        secrets = [{"name": "ecr-pullthroughcache/docker-hub", "arn": secret_arn(), "needs_filling": True}]
        found = made({"docker-hub": None, "quay": None}, secrets=secrets)
        assert found["needs_filling"] == ["docker-hub"]
        assert [rule["prefix"] for rule in found["rules"]] == ["quay"]
        assert [rule["prefix"] for rule in found["unfilled_rules"]] == ["docker-hub"]

    def test_a_secret_that_exists_is_left_alone(self) -> None:
        found = made({"docker-hub": {"secret_arn": secret_arn()}})
        assert (found["secrets"], found["rules"][0]["credential_arn"]) == ([], secret_arn())

    def test_a_secret_may_have_another_name(self) -> None:
        found = made({"docker-hub": {"secret_name": "ecr-pullthroughcache/hub/eu"}})
        assert found["secrets"][0]["name"] == "ecr-pullthroughcache/hub/eu"


class TestRules:
    @pytest.mark.parametrize(
        ("prefix", "fields", "upstream"),
        [
            ("quay", None, "quay"),
            ("quay/", {}, "quay"),
            ("kubernetes", {"upstream": "k8s"}, "k8s"),
            ("ROOT", {"upstream_url": "https://public.ecr.aws/"}, "ecr-public"),
            ("az", {"upstream": "acr", "upstream_url": "acme.azurecr.io"}, "acr"),
        ],
    )
    def test_the_upstream_is_named_or_follows(self, prefix: str, fields: Any, upstream: str) -> None:
        rule = made({prefix: fields})["rules"][0]
        assert (rule["prefix"], rule["upstream"]) == (prefix.rstrip("/"), upstream)


class TestTemplates:
    def test_every_field_is_said_so_that_what_is_taken_out_is_removed(self) -> None:
        assert made({"quay": None})["templates"] == [
            {
                "prefix": "quay",
                "description": "Made by the pull-through cache pull-through-cache",
                "applied_for": ["pull_through_cache"],
                "encryption_type": "AES256",
                "kms_key_arn": "",
                "resource_tags": {},
                "image_tag_mutability": "MUTABLE",
                "image_tag_mutability_exclusion_filters": [],
                "repository_policy": "{}",
                "lifecycle_rules": [],
                "custom_role_arn": "",
            }
        ]

    def test_rules_of_an_upstream_are_in_place_of_the_common_ones(self) -> None:
        rule = {"priority": 1, "tag_status": "any", "count_type": "sinceImagePushed", "count_number": 1}
        common, own = [{**rule, "action": "expire"}], [{**rule, "count_number": 2, "action": "expire"}]
        found = made(
            {"quay": {"lifecycle_rules": own}, "k8s": {"lifecycle_rules": []}, "ecr-public": None},
            lifecycle_rules=common,
        )
        assert [template["lifecycle_rules"] for template in found["templates"]] == [own, [], common]

    def test_readers_and_consumers_may_read(self) -> None:
        found = made(
            {"quay": {"repository_read_access_arns": [OTHER, f"arn:aws:iam::{OTHER}:role/x"]}, "k8s": None},
            cross_account_principals=[int(OTHER), "333333333333"],
        )
        policies = [json.loads(template["repository_policy"]) for template in found["templates"]]
        roots = [f"arn:aws:iam::{account}:root" for account in (OTHER, "333333333333")]
        assert statement(policies[0], "Pull")["Principal"] == {
            "AWS": [roots[0], f"arn:aws:iam::{OTHER}:role/x", roots[1]]
        }
        assert statement(policies[1], "Pull")["Principal"] == {"AWS": roots}
        assert "Resource" not in statement(policies[0], "Pull")

    @pytest.mark.parametrize(
        ("fields", "tags", "needs"),
        [
            (None, {}, False),
            (None, {"team": "a"}, True),
            ({"tags": {"team": "a"}}, {}, True),
            ({"encryption_type": "KMS"}, {}, True),
            ({"encryption_type": "AES256"}, {}, False),
        ],
    )
    def test_tags_and_keys_need_a_role(self, fields: Any, tags: dict[str, str], needs: bool) -> None:
        found = made({"quay": fields}, tags=tags)
        assert found["templates"][0]["custom_role_arn"] == (ROLE if needs else "")
        assert (found["template_policy"] is not None) == needs

    def test_the_role_may_do_just_that(self) -> None:
        upstreams = {
            "quay": {"encryption_type": "KMS", "kms_key_arn": KEY},
            "k8s": {"encryption_type": "KMS"},
            "ecr-public": {"tags": {"a": 1}},
            "ROOT": {"upstream": "quay"},
        }
        policy = made(upstreams)["template_policy"]
        base = REGISTRY["repository_arn"]
        assert statement(policy, "CreateRepositories")["Resource"] == [
            f"{base}/quay/*",
            f"{base}/k8s/*",
            f"{base}/ecr-public/*",
        ]
        assert statement(policy, "UseKeys")["Resource"] == [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*", KEY]


class TestPolicies:
    def test_a_puller_may_do_all_that_a_pull_takes_below_the_prefixes(self) -> None:
        policy = made({"quay": None, "team/k8s": {"upstream": "k8s"}})["puller_policy"]
        base = REGISTRY["repository_arn"]
        assert policy["Statement"] == [
            {"Sid": "Login", "Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]},
            {
                "Sid": "PullThroughCache",
                "Effect": "Allow",
                "Action": PULL,
                "Resource": [f"{base}/quay/*", f"{base}/team/k8s/*"],
            },
        ]

    def test_with_tags_a_puller_tags(self) -> None:
        policy = made({"quay": None, "k8s": {"tags": {"a": "b"}}})["puller_policy"]
        tagging = statement(policy, "TagNewRepositories")
        assert (tagging["Action"], tagging["Resource"]) == (
            ["ecr:TagResource"],
            [f"{REGISTRY['repository_arn']}/k8s/*"],
        )

    def test_under_root_is_everything(self) -> None:
        policy = made({"ROOT": {"upstream": "quay"}})["puller_policy"]
        assert statement(policy, "PullThroughCache")["Resource"] == [f"{REGISTRY['repository_arn']}/*"]

    @pytest.mark.parametrize("tags", [{}, {"team": "a"}])
    def test_fifty_upstreams_fit_into_a_policy(self, tags: dict[str, str]) -> None:
        upstreams = {f"{number:02}-{'x' * 27}": {"upstream": "quay"} for number in range(50)}
        policy = made(upstreams, tags=tags)["puller_policy"]
        assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
        assert ("ecr:TagResource" in statement(policy, "PullThroughCache")["Action"]) == bool(tags)

    def test_each_cache_has_a_statement_of_its_own(self) -> None:
        names = ["cache-1", "cache1", "Cache-1", "cache.1"]
        assert len({made({"quay": None}, name=name)["consumer_sid"] for name in names}) == len(names)

    def test_consumers_may_do_the_same(self) -> None:
        found = made({"quay": None}, cross_account_principals=[OTHER], name="cache-2.of_us")
        assert found["consumer_sid"] == "Cache2OfUsConsumers50ab5d6c"
        assert found["consumer_statements"] == [
            {
                "Sid": "Cache2OfUsConsumers50ab5d6c",
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:aws:iam::{OTHER}:root"]},
                "Action": PULL,
                "Resource": [f"{REGISTRY['repository_arn']}/quay/*"],
            }
        ]
        tagged = made({"quay": {"tags": {"a": "b"}}}, cross_account_principals=[OTHER])["consumer_statements"]
        assert tagged[0]["Action"] == [*PULL, "ecr:TagResource"]
        assert made({"quay": None})["consumer_statements"] == []

    def test_another_partition_is_in_every_arn(self) -> None:
        elsewhere = {
            "registry_id": ACCOUNT,
            "region": "eu-isoe-west-1",
            "partition": "aws-iso-e",
            "repository_arn": f"arn:aws-iso-e:ecr:eu-isoe-west-1:{ACCOUNT}:repository",
        }
        upstreams = {"docker-hub": LOGIN, "quay": {"tags": {"a": "b"}}, "k8s": {"encryption_type": "KMS"}}
        role = ROLE.replace("arn:aws:", "arn:aws-iso-e:")
        found = made(upstreams, registry=elsewhere, cross_account_principals=[OTHER], template_role_arn=role)
        assert "arn:aws:" not in json.dumps(found)


class TestRefusals:
    @pytest.mark.parametrize(
        ("upstreams", "says"),
        [
            ({"q": {"upstream": "quay"}}, "'q', prefix: must have 2 to 30 characters, not 1"),
            ({"q" * 31: {"upstream": "quay"}}, "prefix: must have 2 to 30 characters, not 31"),
            ({"Quay": {"upstream": "quay"}}, "'Quay', prefix: must be in lower case: quay"),
            ({"quay": None, "quay/": None}, "'quay', prefix: is there more than once"),
            ({"elastic": None}, "'elastic', upstream: is required, one of docker-hub"),
            ({"elastic": {"upstream": "elastic"}}, "'elastic', upstream: must be one of docker-hub"),
            ({"x1": {"upstream_url": "docker.elastic.co"}}, "'x1', upstream_url: Amazon ECR cannot cache"),
            ({"x1": {"upstream_url": "docker.io"}}, "upstream_url: Amazon ECR knows docker.io as registry-1.docker.io"),
            ({"x1": {"upstream": "acr"}}, "'x1', upstream_url: is required with upstream acr"),
            ({"docker-hub": {"access_token": "t"}}, "'docker-hub', username: is required with access_token"),
            ({"docker-hub": {"username": "u"}}, "'docker-hub', access_token: is required with username"),
            ({"docker-hub": {**LOGIN, "access_token": ""}}, "'docker-hub', access_token: is empty"),
            ({"docker-hub": {**LOGIN, "secret_arn": secret_arn()}}, "username: is in the secret of secret_arn already"),
            ({"quay": LOGIN}, "'quay', access_token: upstream quay takes no login"),
            ({"docker-hub": {"secret_name": "hub"}}, "secret_name: must begin with ecr-pullthroughcache/"),
            ({"docker-hub": {"manage_secret": False}}, "secret_arn: is required with upstream docker-hub and manage"),
            ({"docker-hub": {"secret_arn": secret_arn(region="us-east-1")}}, "secret_arn: the secret is in us-east-1"),
            (
                {"docker-hub": {"secret_arn": secret_arn().replace("ecr-pullthroughcache", "other")}},
                "secret_arn: the name of the secret must begin with ecr-pullthroughcache/",
            ),
            ({"quay": {"secret_arn": secret_arn()}}, "'quay', secret_arn: upstream quay takes none"),
            (
                {"docker-hub": {"custom_role_arn": ROLE}},
                "custom_role_arn: upstream docker-hub takes none, but secret_arn",
            ),
            ({"quay": {"acces_token": "t"}}, "'quay', acces_token: there is no such field, but upstream,"),
            ({"quay": ["upstream"]}, "'quay': must be a dictionary with the fields upstream,"),
            ({"quay": {"tags": "team=a"}}, "'quay', tags: must be a dictionary"),
            ({"quay": {"repository_read_access_arns": OTHER}}, "repository_read_access_arns: must be a list"),
            ({"docker-hub": {"access_token": 12345}}, "'docker-hub', access_token: must be a text"),
            ({"docker-hub": {"manage_secret": "no"}}, "manage_secret: must be true or false"),
            ({"quay": {"image_tag_mutability": "mutable"}}, "image_tag_mutability: must be one of MUTABLE, IMMUTABLE"),
            ({"quay": {"encryption_type": "aws:kms"}}, "encryption_type: must be one of AES256, KMS"),
            ({"quay": {"tags": {"aws:x": "y"}}}, "'quay', tags: keys must have"),
            ({"quay": {"kms_key_arn": KEY}}, "'quay', kms_key_arn: needs encryption_type KMS"),
            (
                {"quay": {"image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION"}},
                "image_tag_mutability_exclusion_filters: are required",
            ),
            ({"quay": {"lifecycle_rules": [{"priority": 1}]}}, "'quay', lifecycle_rules: The lifecycle policy is not"),
        ],
    )
    def test_a_mistake_is_named_with_its_field_and_the_way_out(self, upstreams: dict[str, Any], says: str) -> None:
        message = refusal(upstreams)
        assert message.startswith("Not valid: ")
        assert says in message

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"name": "my cache"}, "pull_through_cache_name: must be 1 to 44 of letters, digits and + = , . @ _ -"),
            ({"name": "x" * 45}, "pull_through_cache_name: must be 1 to 44 of"),
            ({"policy_name": "a/b"}, "pull_through_cache_policy_name: must be 1 to 128 of letters"),
            ({"secret_recovery_days": 3}, "pull_through_cache_secret_recovery_days: must be 7 to 30, not 3"),
            ({"attach_to_roles": ["eks/nodes"]}, "pull_through_cache_attach_to_roles: neither a name nor an ARN"),
            (
                {"cross_account_principals": [12345]},
                "pull_through_cache_cross_account_principals: must be accounts of 12 digits, in quotes, or ARNs of",
            ),
            ({"cross_account_principals": ["*"]}, "or ARNs of roles and users, not '*'"),
            ({"warm": ["gcr.io/x/y:1"]}, "pull_through_cache_warm: no pull-through cache rule covers 'gcr.io/x/y:1'"),
            ({"warm": ["nginx"]}, "'nginx': it comes from docker.io, and the rules cache quay.io. Add a rule"),
            ({"warm": ["quay.io/A/b"]}, "pull_through_cache_warm: "),
        ],
    )
    def test_so_is_one_in_another_variable(self, settings: dict[str, Any], says: str) -> None:
        message = refusal({"quay": None}, **settings)
        assert message.startswith("Not valid: ")
        assert says in message

    def test_readers_are_accounts_or_arns(self) -> None:
        says = "'quay', repository_read_access_arns: must be accounts of 12 digits, in quotes, or ARNs"
        assert says in refusal({"quay": {"repository_read_access_arns": ["somebody"]}})

    def test_nothing_to_cache(self) -> None:
        assert "pull_through_cache_upstreams is empty" in refusal({})

    @pytest.mark.parametrize(
        "image",
        ["quay.io/a/b:1", "quay.io/a/b", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/quay/a/b:1", "[::1]:80/a:1"],
    )
    def test_an_image_to_warm_is_one_of_the_upstreams_or_has_an_address(self, image: str) -> None:
        made({"quay": None}, warm=[image])

    def test_a_region_without_the_feature(self) -> None:
        assert "no pull-through caches in cn-north-1" in refusal(
            {"quay": None}, registry={**REGISTRY, "region": "cn-north-1"}
        )

    def test_all_mistakes_are_named_once(self) -> None:
        message = refusal({"Quay": {"upstream": "quay"}, "x": {"upstream": "k8s"}, "hub": {"upstream": "docker"}})
        assert message.count("'Quay', prefix") == 1
        assert "'x', prefix" in message
        assert "'hub', upstream" in message

    def test_no_message_has_a_token(self) -> None:
        wrong = {**LOGIN, "secret_arn": "nonsense", "tags": {"aws:": "x"}, "upstream": "nothing"}
        assert LOGIN["access_token"] not in refusal({"docker-hub": wrong, "X": {**LOGIN, "upstream": "ghcr"}})


class TestUpstreamsThatGo:
    SHARED: ClassVar[dict[str, str]] = {"upstream": "docker-hub", "secret_name": "ecr-pullthroughcache/hub"}

    def test_they_are_in_nothing_that_stays(self) -> None:
        found = made({"quay": None, "github": {"upstream": "ghcr", "state": "absent"}})
        gone = found.pop("gone")
        assert found == {key: value for key, value in made({"quay": None}).items() if key != "gone"}
        assert gone == {
            "rules": [{"prefix": "github"}],
            "secrets": [{"name": "ecr-pullthroughcache/github"}],
            "repositories": ["github/*"],
        }

    def test_a_secret_that_another_upstream_uses_stays(self) -> None:
        found = made({"one": self.SHARED, "two": {**self.SHARED, "state": "absent"}})
        assert [secret["name"] for secret in found["secrets"]] == ["ecr-pullthroughcache/hub"]
        assert found["gone"]["secrets"] == []

    def test_repositories_of_a_prefix_below_that_stays_are_not_to_be_deleted(self) -> None:
        found = made({"team": {"upstream": "k8s", "state": "absent"}, "team/hub": {"upstream": "quay"}})
        assert found["gone"]["rules"] == [{"prefix": "team"}]
        assert found["gone"]["repositories"] == []

    def test_what_is_wrong_with_them_does_not_matter_but_for_their_prefixes(self) -> None:
        made({"quay": None, "docker-hub": {"username": "u", "state": "absent"}})
        assert "'Hub', prefix" in refusal({"quay": None, "Hub": {"state": "absent"}})
        assert "'quay', prefix: is there more than once" in refusal({"quay": None, "quay/": {"state": "absent"}})

    def test_something_has_to_stay(self) -> None:
        assert "pull_through_cache_state=absent" in refusal({"quay": {"state": "absent"}})

    def test_it_is_one_of_two_states(self) -> None:
        assert "'quay', state: must be one of present, absent" in refusal({"quay": {"state": "gone"}})


class TestLeftovers:
    def settings(self) -> Any:
        return settings_from({"registry": REGISTRY, "name": "pull-through-cache"})

    def test_what_may_be_there_is_listed(self) -> None:
        found = leftovers({"docker-hub/": LOGIN, "quay": None, "ROOT": {"upstream": "k8s"}}, self.settings())
        assert found == {
            "consumer_sid": "PullThroughCacheConsumerse1555d29",
            "gone": {
                "rules": [{"prefix": "docker-hub"}, {"prefix": "quay"}, {"prefix": "ROOT"}],
                "secrets": [{"name": "ecr-pullthroughcache/docker-hub"}],
                "repositories": ["docker-hub/*", "quay/*"],
            },
        }

    def test_a_secret_that_was_not_made_here_stays(self) -> None:
        assert leftovers({"docker-hub": {"secret_arn": secret_arn()}}, self.settings())["gone"]["secrets"] == []

    def test_only_prefixes_have_to_be_right(self) -> None:
        leftovers({"docker-hub": {"username": "u"}}, self.settings())
        with pytest.raises(AnsibleECRError, match="must be in lower case"):
            leftovers({"Hub": {}}, self.settings())


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "upstream": st.sampled_from(["docker-hub", "quay", "ghcr", "acr", "nothing"]),
        "upstream_url": st.sampled_from(["quay.io", "acme.azurecr.io", "docker.io", "x"]),
        "username": st.sampled_from(["", "acme"]),
        "access_token": st.sampled_from(["", "dckr_pat_1f6c0"]),
        "secret_arn": st.sampled_from([secret_arn(), "x"]),
        "manage_secret": st.booleans(),
        "tags": st.dictionaries(st.sampled_from(["a", "aws:b"]), st.text(max_size=3), max_size=2),
        "encryption_type": st.sampled_from(["AES256", "KMS"]),
        "lifecycle_rules": st.sampled_from([[], [{"priority": 1}]]),
        "unknown": st.none(),
    },
)


@given(st.dictionaries(st.sampled_from(["docker-hub", "quay", "x", "ROOT", "Hub", "a/b"]), _FIELDS, max_size=4))
def test_whatever_is_declared_the_modules_take_it_or_it_is_refused(upstreams: dict[str, Any]) -> None:
    message = ""
    try:
        found = made(upstreams)
    except AnsibleECRError as error:
        message = str(error)
    if message:
        assert message.startswith("Not valid: ")
        assert "dckr_pat_1f6c0" not in message
        return
    desired_rules(found["rules"], REGION)
    desired_templates(found["templates"], REGION)
    assert [rule["prefix"] for rule in found["rules"]] == list(upstreams)
    yaml.safe_dump(found)  # nothing but plain data
