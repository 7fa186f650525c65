# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with ECR in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import EMPTY
from ansible_collections.stevedore.ecr.plugins.modules import ecr_creation_template
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import FakePullThrough, role_arn
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import NORMAL, POLICY, RELEASES, UNTAGGED
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

RULES = [UNTAGGED, RELEASES]
CACHE = ["pull_through_cache"]
ACCESS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "210987654321"}, "Action": "ecr:BatchGetImage"}],
}
HUB: dict[str, Any] = {"prefix": "docker-hub", "applied_for": CACHE, "lifecycle_rules": RULES}
FULL: dict[str, Any] = {
    **HUB,
    "description": "Cache of Docker Hub",
    "repository_policy": ACCESS,
    "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
    "image_tag_mutability_exclusion_filters": ["latest"],
    "resource_tags": {"team": "platform"},
    "encryption_type": "KMS",
    "custom_role_arn": role_arn(),
}


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakePullThrough:
    fake = FakePullThrough()
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(*, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(ecr_creation_template.main, check_mode=check_mode, diff=diff, **options)


def changed(entries: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [(entry["name"], entry["changed"]) for entry in entries]


def fields(repository: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(drift["field"], drift["mended"]) for drift in repository["drift"]]


class TestPresent:
    def test_a_template_is_created_once(self, ecr: FakePullThrough) -> None:
        after = {**EMPTY, "prefix": "docker-hub", "applied_for": CACHE, "lifecycle_rules": NORMAL}
        first = run(**HUB)
        assert first["templates"] == [{"name": "docker-hub", "changed": True, "before": None, "after": after}]
        assert first["repositories"] == []
        assert first["actions"] == ["create the creation template docker-hub (for: pull_through_cache)"]
        second = run(**HUB)
        assert second["templates"] == [{"name": "docker-hub", "changed": False, "before": after, "after": after}]
        assert not second["changed"]
        assert ecr.writes() == ["CreateRepositoryCreationTemplate"]

    def test_a_second_run_asks_once_however_many_templates_there_are(self, ecr: FakePullThrough) -> None:
        templates = [{**FULL, "prefix": f"p{number}"} for number in range(30)]
        run(templates=templates)
        ecr.calls.clear()
        assert not run(templates=templates)["changed"]
        assert ecr.operations() == ["DescribeRepositoryCreationTemplates"]

    def test_an_update_sends_every_field(self, ecr: FakePullThrough) -> None:
        run(**FULL)
        run(prefix="docker-hub", description="Another")
        _operation, created = next(call for call in ecr.calls if call[0].startswith("Create"))
        _operation, updated = next(call for call in ecr.calls if call[0].startswith("Update"))
        assert updated == {**created, "description": "Another"}
        assert not run(**{**FULL, "description": "Another"})["changed"]

    def test_what_is_to_go_is_sent_as_nothing(self, ecr: FakePullThrough) -> None:
        run(**FULL)
        empty = {
            "description": "",
            "repository_policy": "",
            "lifecycle_rules": [],
            "resource_tags": {},
            "encryption_type": "AES256",
            "custom_role_arn": "",
            "image_tag_mutability": "MUTABLE",
        }
        assert run(prefix="docker-hub", **empty)["changed"]
        _operation, sent = next(call for call in ecr.calls if call[0].startswith("Update"))
        assert sent == {
            "prefix": "docker-hub",
            "appliedFor": ["PULL_THROUGH_CACHE"],
            "encryptionConfiguration": {"encryptionType": "AES256"},
            "imageTagMutability": "MUTABLE",
            "description": "",
            "resourceTags": [],
            "repositoryPolicy": "",
            "lifecyclePolicy": "",
            "customRoleArn": "",
        }
        assert not run(prefix="docker-hub", **empty)["changed"]

    def test_a_template_that_ecr_stores_with_a_slash_is_the_same_template(self, ecr: FakePullThrough) -> None:
        ecr.add_template("docker-hub/")
        assert changed(run(prefix="docker-hub", description="x")["templates"]) == [("docker-hub", True)]
        assert ecr.templates["docker-hub/"]["description"] == "x"
        assert run(prefix="docker-hub", state="absent")["changed"]
        assert ecr.templates == {}

    def test_one_that_fails_does_not_stop_the_others(self, ecr: FakePullThrough) -> None:
        ecr.add_template("broken", lifecyclePolicy="{")
        result = run(templates=[{"prefix": "broken"}, {"prefix": "new"}, HUB])
        assert result["failed"]
        assert [entry.get("error", {}).get("code") for entry in result["templates"]] == [
            "UnreadableLifecyclePolicy",
            "InvalidCreationTemplate",
            None,
        ]
        assert "Failed for 2 of 3 templates. broken: " in result["msg"]
        assert "docker-hub" in ecr.templates

    def test_regrettable_rules_are_warned_of(self, ecr: FakePullThrough) -> None:
        rule = {**UNTAGGED, "tag_status": "any", "count_type": "imageCountMoreThan"}
        [warning] = run(prefix="quay", applied_for=CACHE, lifecycle_rules=[rule])["warnings"]
        assert "'quay', lifecycle_rules: rules[0]" in warning


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({}, "one of the following is required: templates, prefix"),
            ({"templates": [], "prefix": "quay"}, "parameters are mutually exclusive: templates|prefix"),
            ({"templates": [{"applied_for": CACHE}]}, "missing required arguments: prefix found in templates"),
            (
                {"prefix": "quay", "applied_for": ["pulling"]},
                "value of applied_for must be one or more of: pull_through",
            ),
            (
                {"prefix": "quay", "image_tag_mutability": "SOLID"},
                "value of image_tag_mutability must be one of: MUTABLE",
            ),
            (
                {"prefix": "quay", "lifecycle_rules": [], "lifecycle_policy": "{}"},
                "parameters are mutually exclusive: lifecycle_rules|lifecycle_policy",
            ),
            (
                {"templates": [{"prefix": "quay", "lifecycle_rules": [], "lifecycle_policy": "{}"}]},
                "parameters are mutually exclusive: lifecycle_rules|lifecycle_policy found in templates",
            ),
            ({"prefix": "quay", "resource_tags": {"a": "b"}}, "custom_role_arn: is required with resource_tags"),
            ({"prefix": "quay", "encryption_type": "KMS"}, "custom_role_arn: is required with encryption_type KMS"),
            ({"prefix": "Quay", "state": "absent"}, "'Quay', prefix: must be in lower case"),
            ({"templates": [{"prefix": "a"}, {"prefix": "a/"}], "state": "absent"}, "is there more than once"),
        ],
    )
    def test_is_refused_before_any_call(self, ecr: FakePullThrough, options: dict[str, Any], says: str) -> None:
        result = run(**options)
        assert result["failed"]
        assert says in result["msg"]
        assert ecr.calls == []


class TestAbsent:
    def test_is_done_once_and_touches_no_repository(self, ecr: FakePullThrough) -> None:
        ecr.add_template("docker-hub")
        ecr.add("docker-hub/library/nginx")
        options = {**HUB, "state": "absent", "apply_to_existing": True}
        assert run(**options, check_mode=True)["changed"]
        assert "docker-hub" in ecr.templates
        result = run(**options)
        assert result["actions"] == ["delete the creation template docker-hub"]
        assert (result["templates"][0]["after"], result["repositories"]) == (None, [])
        assert not run(**options)["changed"]
        assert ecr.writes() == ["DeleteRepositoryCreationTemplate"]

    def test_somebody_else_was_faster(self, ecr: FakePullThrough) -> None:
        ecr.add_template("quay")
        ecr.on("DeleteRepositoryCreationTemplate", lambda _request: ecr.templates.clear())
        assert "failed" not in run(prefix="quay", state="absent")


class TestApplyToExisting:
    NGINX = "docker-hub/library/nginx"

    @pytest.fixture(autouse=True)
    def _repositories(self, ecr: FakePullThrough) -> None:
        ecr.add(self.NGINX, "docker-hub/grafana/grafana", "team/app", "docker-hub")
        ecr.tags[self.NGINX] = {"team": "old", "aws:created-by": "ecr", "keep": "me"}
        ecr.settings["docker-hub/grafana/grafana"] = {
            "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "arn:aws:kms:eu-west-1:123456789012:key/1"}
        }

    def test_mends_each_setting_once(self, ecr: FakePullThrough) -> None:
        result = run(**FULL, apply_to_existing=True)
        assert changed(result["repositories"]) == [("docker-hub/grafana/grafana", True), (self.NGINX, True)]
        grafana, nginx = result["repositories"]
        mended = [
            ("lifecycle_rules", True),
            ("repository_policy", True),
            ("image_tag_mutability", True),
            ("image_tag_mutability_exclusion_filters", True),
            ("resource_tags", True),
        ]
        assert fields(grafana) == mended
        assert fields(nginx) == [*mended, ("encryption_type", False)]
        assert nginx["template"] == "docker-hub"
        assert nginx["drift"][4] == {
            "field": "resource_tags",
            "before": {"team": "old", "aws:created-by": "ecr", "keep": "me"},
            "after": {"team": "platform", "aws:created-by": "ecr", "keep": "me"},
            "mended": True,
        }
        assert "before" not in nginx
        assert ecr.policy(self.NGINX) == POLICY
        assert json.loads(ecr.policies[self.NGINX]) == ACCESS
        assert ecr.settings[self.NGINX]["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
        assert ecr.policy("team/app") is None
        assert ecr.policy("docker-hub") is None
        [sent] = [request["tags"] for name, request in ecr.calls if name == "TagResource" and "nginx" in str(request)]
        assert sent == [{"Key": "team", "Value": "platform"}]

        ecr.calls.clear()
        again = run(**FULL, apply_to_existing=True)
        assert not again["changed"]
        assert again["actions"] == []
        assert [fields(repository) for repository in again["repositories"]] == [[], [("encryption_type", False)]]
        assert ecr.writes() == []

    def test_check_mode_promises_what_the_run_then_does(self, ecr: FakePullThrough) -> None:
        ecr.add_template("docker-hub", lifecyclePolicy=json.dumps(POLICY))
        options = {**FULL, "apply_to_existing": True, "diff": True}
        promised = run(**options, check_mode=True)
        assert ecr.writes() == []
        assert ecr.policy(self.NGINX) is None
        done = run(**options)
        assert promised == done
        assert [entry["before_header"] for entry in done["diff"]] == [
            "docker-hub",
            "docker-hub/grafana/grafana",
            self.NGINX,
        ]
        assert json.loads(done["diff"][2]["after"])["image_tag_mutability"] == "IMMUTABLE_WITH_EXCLUSION"

    def test_what_the_template_lacks_is_left_alone_and_not_even_read(self, ecr: FakePullThrough) -> None:
        ecr.settings[self.NGINX] = {"imageTagMutability": "IMMUTABLE"}
        ecr.policies[self.NGINX] = json.dumps(ACCESS)
        run(prefix="docker-hub", applied_for=CACHE)
        ecr.calls.clear()
        result = run(prefix="docker-hub", apply_to_existing=True, repository_policy="", lifecycle_rules=[])
        assert not result["changed"]
        assert [repository["drift"] for repository in result["repositories"]] == [[], []]
        assert ecr.operations() == ["DescribeRepositoryCreationTemplates", "DescribeRepositories"]

    def test_a_default_counts_when_it_is_asked_for(self, ecr: FakePullThrough) -> None:
        ecr.settings[self.NGINX] = {"imageTagMutability": "IMMUTABLE"}
        options = {"image_tag_mutability": "MUTABLE", "encryption_type": "AES256", "apply_to_existing": True}
        grafana, nginx = run(prefix="docker-hub", applied_for=CACHE, **options)["repositories"]
        assert fields(nginx) == [("image_tag_mutability", True)]
        assert fields(grafana) == [("encryption_type", False)]

    def test_the_template_counts_not_only_what_the_task_says(self, ecr: FakePullThrough) -> None:
        run(**HUB)
        result = run(prefix="docker-hub", apply_to_existing=True)
        assert changed(result["templates"]) == [("docker-hub", False)]
        assert ecr.policy(self.NGINX) == POLICY
        assert result["changed"]

    @pytest.mark.parametrize(
        ("templates", "covered"),
        [
            (["docker-hub"], {"docker-hub/grafana/grafana": "docker-hub", NGINX: "docker-hub"}),
            (
                ["ROOT"],
                {"docker-hub": "ROOT", "docker-hub/grafana/grafana": "ROOT", NGINX: "ROOT", "team/app": "ROOT"},
            ),
            (
                ["docker-hub", "docker-hub/library"],
                {"docker-hub/grafana/grafana": "docker-hub", NGINX: "docker-hub/library"},
            ),
            (["other"], {}),
        ],
    )
    def test_the_longest_prefix_counts(
        self, ecr: FakePullThrough, templates: list[str], covered: dict[str, str]
    ) -> None:
        given = [{"prefix": prefix, "applied_for": CACHE} for prefix in templates]
        result = run(templates=given, apply_to_existing=True)
        assert {entry["name"]: entry["template"] for entry in result["repositories"]} == covered

    def test_templates_that_the_task_does_not_list_count_too(self, ecr: FakePullThrough) -> None:
        ecr.add_template("docker-hub/library/")
        result = run(**{**HUB, "prefix": "ROOT"}, apply_to_existing=True)
        assert [entry["name"] for entry in result["repositories"]] == [
            "docker-hub",
            "docker-hub/grafana/grafana",
            "team/app",
        ]

    def test_a_template_that_failed_is_not_applied(self, ecr: FakePullThrough) -> None:
        ecr.refuse("CreateRepositoryCreationTemplate", "ValidationException", "No")
        result = run(**HUB, apply_to_existing=True)
        assert result["failed"]
        assert result["repositories"] == []
        assert ecr.policy(self.NGINX) is None

    def test_a_failure_tells_what_was_mended_before(self, ecr: FakePullThrough) -> None:
        ecr.refuse("PutImageTagMutability", "AccessDeniedException", "Not authorized", only=self.NGINX)
        result = run(**FULL, apply_to_existing=True)
        assert result["failed"]
        assert result["msg"].startswith(f"Failed for 1 of 2 repositories. {self.NGINX}: ")
        assert "needs ecr:PutImageTagMutability" in result["msg"]
        grafana, nginx = result["repositories"]
        assert "error" not in grafana
        assert nginx["changed"]
        assert nginx["error"]["code"] == "AccessDeniedException"
        assert fields(nginx)[:3] == [
            ("lifecycle_rules", True),
            ("repository_policy", True),
            ("image_tag_mutability", False),
        ]
        assert result["actions"][-1] == (
            f"bring lifecycle_rules, repository_policy of the repository {self.NGINX} to the template docker-hub"
        )

    def test_a_repository_that_cannot_be_read_does_not_hide_the_others(self, ecr: FakePullThrough) -> None:
        ecr.add("docker-hub/broken", policy="{".ljust(100))
        result = run(**HUB, apply_to_existing=True)
        assert changed(result["repositories"]) == [
            ("docker-hub/broken", False),
            ("docker-hub/grafana/grafana", True),
            (self.NGINX, True),
        ]
        assert result["repositories"][0]["error"]["code"] == "UnreadableLifecyclePolicy"

    def test_hundreds_of_repositories_are_one_task(self, ecr: FakePullThrough) -> None:
        names = [f"docker-hub/app-{number:03}" for number in range(250)]
        ecr.add(*names)
        result = run(**HUB, apply_to_existing=True, parallel=16)
        assert len([entry for entry in result["repositories"] if entry["changed"]]) == 252
        assert ecr.operations().count("DescribeRepositories") == 1


class TestFaults:
    @pytest.mark.parametrize(
        ("operation", "options"),
        [
            ("DescribeRepositoryCreationTemplates", HUB),
            ("CreateRepositoryCreationTemplate", HUB),
            ("UpdateRepositoryCreationTemplate", {"prefix": "old", "description": "x"}),
            ("DeleteRepositoryCreationTemplate", {"prefix": "old", "state": "absent"}),
            ("DescribeRepositories", {**FULL, "apply_to_existing": True}),
            ("GetLifecyclePolicy", {**FULL, "apply_to_existing": True}),
            ("PutLifecyclePolicy", {**FULL, "apply_to_existing": True}),
            ("GetRepositoryPolicy", {**FULL, "apply_to_existing": True}),
            ("SetRepositoryPolicy", {**FULL, "apply_to_existing": True}),
            ("ListTagsForResource", {**FULL, "apply_to_existing": True}),
            ("TagResource", {**FULL, "apply_to_existing": True}),
        ],
    )
    def test_a_missing_permission_is_named(self, ecr: FakePullThrough, operation: str, options: dict[str, Any]) -> None:
        ecr.add_template("old")
        ecr.add("docker-hub/a")
        ecr.refuse(operation, "AccessDeniedException", "Not authorized")
        result = run(**options)
        assert result["failed"]
        assert f"needs ecr:{operation}" in result["msg"]

    def test_throttling_is_waited_out(self, ecr: FakePullThrough, slept: list[float]) -> None:
        ecr.refuse("CreateRepositoryCreationTemplate", "ThrottlingException", "Rate exceeded", times=3)
        assert run(**HUB)["changed"]
        assert len(slept) == 3
