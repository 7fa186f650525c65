# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with ECR in memory."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import module_arguments
import pytest
import yaml
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import SystemClock
from ansible_collections.stevedore.ecr.plugins.modules import ecr_lifecycle
from ansible_collections.stevedore.ecr.tests.unit.support.fake_ecr import FakeECR, Image
from ansible_collections.stevedore.ecr.tests.unit.support.lifecycle_policies import NORMAL, POLICY, RELEASES, UNTAGGED
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

RULES = [UNTAGGED, RELEASES]
SUPPORT = str(Path(module_arguments.__file__).parent)
WRITES = ["PutLifecyclePolicy", "DeleteLifecyclePolicy"]


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeECR:
    fake = FakeECR()

    def client(_module: AnsibleAWSModule, service: str, **_settings: Any) -> Any:
        assert service == "ecr"
        return fake.client

    monkeypatch.setattr(AnsibleAWSModule, "client", client)
    return fake


def run(repositories: Any, *, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(ecr_lifecycle.main, check_mode=check_mode, diff=diff, repositories=repositories, **options)


def writes(ecr: FakeECR) -> list[str]:
    return [operation for operation, _request in ecr.calls if operation in WRITES]


def errors(result: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["error"]["code"] for item in result["repositories"] if "error" in item}


def is_one_clear_line(result: dict[str, Any]) -> bool:
    # Before 2.19, ansible-core itself adds what was raised, and shows it at -vvv only.
    shown = {key: value for key, value in result.items() if key != "exception"}
    return result["failed"] and "\n" not in result["msg"] and "Traceback" not in json.dumps(shown)


class TestPresent:
    def test_a_policy_is_written_once(self, ecr: FakeECR) -> None:
        ecr.add("team/app")
        first = run(["team/app"], rules=RULES)
        assert first["changed"]
        assert first["repositories"] == [{"name": "team/app", "changed": True, "before": None, "after": NORMAL}]
        assert first["actions"] == ["write the lifecycle policy of team/app (rules: 2)"]
        assert ecr.policy("team/app") == POLICY

        second = run(["team/app"], rules=RULES)
        assert not second["changed"]
        assert second["repositories"] == [{"name": "team/app", "changed": False, "before": NORMAL, "after": NORMAL}]
        assert second["actions"] == []
        assert writes(ecr) == ["PutLifecyclePolicy"]

    @pytest.mark.parametrize(
        "policy",
        [
            POLICY,
            json.dumps(POLICY),
            json.dumps(POLICY, indent=4),
            {"rules": POLICY["rules"][::-1]},
            {"rules": [{**rule, "description": rule.get("description")} for rule in POLICY["rules"]]},
        ],
    )
    def test_the_same_policy_in_other_words_is_no_change(self, ecr: FakeECR, policy: Any) -> None:
        ecr.add("team/app", policy=POLICY)
        assert not run(["team/app"], policy=policy)["changed"]
        assert writes(ecr) == []

    def test_a_different_policy_replaces_the_old_one(self, ecr: FakeECR) -> None:
        ecr.add("team/app", policy=POLICY)
        result = run(["team/app"], rules=[{**RELEASES, "count_number": 20}])
        assert result["changed"]
        assert result["repositories"][0]["before"] == NORMAL
        assert result["repositories"][0]["after"] == [{**NORMAL[1], "count_number": 20}]
        [rule] = (ecr.policy("team/app") or {})["rules"]
        assert rule["selection"]["countNumber"] == 20

    def test_the_alias_takes_one_name(self, ecr: FakeECR) -> None:
        ecr.add("team/app")
        result = run_module(ecr_lifecycle.main, repository="team/app", rules=RULES)
        assert [item["name"] for item in result["repositories"]] == ["team/app"]

    def test_no_repositories_are_no_work(self, ecr: FakeECR) -> None:
        result = run([], rules=RULES)
        assert (result["changed"], result["repositories"], result["actions"]) == (False, [], [])
        assert ecr.calls == []


class TestAbsent:
    def test_a_policy_is_removed_once(self, ecr: FakeECR) -> None:
        ecr.add("team/app", policy=POLICY)
        first = run(["team/app"], state="absent")
        assert first["repositories"] == [{"name": "team/app", "changed": True, "before": NORMAL, "after": None}]
        assert first["actions"] == ["remove the lifecycle policy of team/app"]
        assert ecr.policy("team/app") is None

        second = run(["team/app"], state="absent")
        assert second["repositories"] == [{"name": "team/app", "changed": False, "before": None, "after": None}]
        assert writes(ecr) == ["DeleteLifecyclePolicy"]

    def test_a_preview_is_refused(self, ecr: FakeECR) -> None:
        result = run(["team/app"], state="absent", preview=True)
        assert is_one_clear_line(result)
        assert "preview needs a policy to try" in result["msg"]
        assert ecr.calls == []


class TestCheckAndDiffMode:
    @pytest.mark.parametrize(
        ("policy", "options"),
        [
            (None, {"rules": RULES}),
            (POLICY, {"state": "absent"}),
            (POLICY, {"rules": RULES[:1]}),
            (POLICY, {"rules": RULES}),
        ],
    )
    def test_check_mode_says_what_the_real_run_does_and_writes_nothing(
        self, ecr: FakeECR, policy: Any, options: dict[str, Any]
    ) -> None:
        ecr.add("team/app", policy=policy)
        predicted = run(["team/app"], check_mode=True, diff=True, **options)
        assert ecr.policy("team/app") == policy
        assert writes(ecr) == []
        assert run(["team/app"], diff=True, **options) == predicted

    def test_diff_shows_what_changed_by_repository(self, ecr: FakeECR) -> None:
        ecr.add("a/old", policy=POLICY)
        ecr.add("a/new", "a/newer")
        result = run(["a/*"], rules=RULES, diff=True)
        assert [(item["before_header"], item["after_header"]) for item in result["diff"]] == [
            ("a/new", "a/new"),
            ("a/newer", "a/newer"),
        ]
        assert result["diff"][0]["before"] == ""
        assert json.loads(result["diff"][0]["after"]) == NORMAL


class TestManyRepositories:
    def test_two_hundred_in_one_task(self, ecr: FakeECR) -> None:
        names = [f"many/{number:03}" for number in range(200)]
        ecr.add(*names, "other")
        result = run(["many/*"], rules=RULES)
        assert [item["name"] for item in result["repositories"]] == names
        assert all(ecr.policy(name) == POLICY for name in names)
        assert ecr.policy("other") is None
        assert len(ecr.calls) == 1 + 2 * 200

        again = run(["many/*"], rules=RULES)
        assert not again["changed"]
        assert len(again["repositories"]) == 200

    def test_what_is_meant_twice_is_done_once(self, ecr: FakeECR) -> None:
        ecr.add("team/app", "team/web")
        result = run(["team/web", "team/*", "team/web"], rules=RULES)
        assert [item["name"] for item in result["repositories"]] == ["team/web", "team/app"]
        assert sorted(ecr.called("PutLifecyclePolicy")) == ["team/app", "team/web"]

    def test_a_glob_that_matches_nothing_is_a_warning(self, ecr: FakeECR) -> None:
        result = run(["none/*"], rules=RULES)
        assert not result.get("failed")
        assert (result["changed"], result["repositories"]) == (False, [])
        assert result["warnings"] == ["No repository matches 'none/*'."]
        assert "deprecations" not in result

    def test_a_failing_repository_does_not_hide_the_others(self, ecr: FakeECR) -> None:
        ecr.add("team/a", "team/b")
        result = run(["team/a", "team/missing", "team/b"], rules=RULES)
        assert is_one_clear_line(result)
        assert result["changed"]
        assert result["msg"] == (
            "Failed for 1 of 3 repositories. team/missing: Failed to read the lifecycle policy: The repository with "
            "name 'team/missing' does not exist in the registry with id '123456789012' (RepositoryNotFoundException)"
        )
        assert [item["changed"] for item in result["repositories"]] == [True, False, True]
        assert errors(result) == {"team/missing": "RepositoryNotFoundException"}
        assert ecr.policy("team/b") == POLICY

    def test_a_repository_that_disappears_in_between(self, ecr: FakeECR) -> None:
        ecr.add("team/a", "team/b")

        def delete(request: dict[str, Any]) -> None:
            ecr.repositories.pop(request["repositoryName"])

        ecr.on("PutLifecyclePolicy", delete)
        result = run(["team/*"], rules=RULES, parallel=1)
        assert errors(result) == {"team/a": "RepositoryNotFoundException"}
        assert "team/a: Failed to write the lifecycle policy: The repository with name 'team/a'" in result["msg"]
        assert ecr.policy("team/b") == POLICY

    @pytest.mark.parametrize(
        ("operation", "options"),
        [
            ("GetLifecyclePolicy", {"rules": RULES}),
            ("PutLifecyclePolicy", {"rules": RULES}),
            ("DeleteLifecyclePolicy", {"state": "absent"}),
            ("StartLifecyclePolicyPreview", {"rules": RULES, "preview": True}),
            ("GetLifecyclePolicyPreview", {"rules": RULES, "preview": True}),
        ],
    )
    def test_a_denied_call_names_the_action_that_is_needed(
        self, ecr: FakeECR, operation: str, options: dict[str, Any]
    ) -> None:
        ecr.add("team/a", "team/b", policy={"rules": POLICY["rules"][:1]})
        ecr.refuse(operation, "AccessDeniedException", "User: u is not allowed", only="team/a", times=10)
        result = run(["team/a", "team/b"], **options)
        assert errors(result) == {"team/a": "AccessDeniedException"}
        assert f"(needs ecr:{operation})" in result["msg"]

    def test_a_denied_list_of_repositories_names_the_action_that_is_needed(self, ecr: FakeECR) -> None:
        ecr.refuse("DescribeRepositories", "AccessDeniedException", "User: u is not allowed")
        result = run(["team/*"], rules=RULES)
        assert is_one_clear_line(result)
        assert result["msg"].startswith("Failed to list the repositories (needs ecr:DescribeRepositories): User: u")

    def test_throttling_is_waited_out(self, ecr: FakeECR, slept: list[float]) -> None:
        names = [f"many/{number:03}" for number in range(20)]
        ecr.add(*names)
        for name in names:
            ecr.refuse("GetLifecyclePolicy", "ThrottlingException", "Rate exceeded", only=name, times=3)
            ecr.refuse("PutLifecyclePolicy", "ThrottlingException", "Rate exceeded", only=name, times=2)
        assert not run(["many/*"], rules=RULES, parallel=20).get("failed")
        assert all(ecr.policy(name) == POLICY for name in names)
        assert len(slept) == 20 * (3 + 2)


class TestPreview:
    @pytest.fixture(autouse=True)
    def images(self, ecr: FakeECR, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SystemClock, "sleep", lambda _clock, _seconds: None)
        ecr.add("team/app", images=[Image("sha256:old", [], 30), Image("sha256:new", [], 1)])
        ecr.preview_looks = 2

    @pytest.mark.parametrize("check_mode", [True, False])
    def test_it_tells_what_would_expire(self, ecr: FakeECR, check_mode: bool) -> None:
        [item] = run(["team/app"], rules=RULES, preview=True, check_mode=check_mode)["repositories"]
        assert item["changed"]
        assert item["preview"]["expiring_total"] == 1
        assert item["preview"]["transitioning_total"] == 0
        assert [image["digest"] for image in item["preview"]["images"]] == ["sha256:old"]
        assert ecr.policy("team/app") == (None if check_mode else POLICY)

    def test_it_runs_when_there_is_nothing_to_change_too(self, ecr: FakeECR) -> None:
        ecr.repositories["team/app"].policy = json.dumps(POLICY)
        [item] = run(["team/app"], rules=RULES, preview=True)["repositories"]
        assert not item["changed"]
        assert item["preview"]["expiring_total"] == 1

    @pytest.mark.parametrize("end", ["FAILED", "EXPIRED"])
    def test_where_it_fails_nothing_is_written(self, ecr: FakeECR, end: str) -> None:
        ecr.preview_end = end
        result = run(["team/app"], rules=RULES, preview=True)
        assert errors(result) == {"team/app": f"LifecyclePolicyPreview{end.capitalize()}"}
        assert f"team/app: The lifecycle policy preview ended {end}: " in result["msg"]
        assert ecr.policy("team/app") is None

    def test_the_time_out_is_the_users(self, ecr: FakeECR) -> None:
        ecr.preview_looks = 10
        result = run(["team/app"], rules=RULES, preview=True, preview_timeout=0)
        assert errors(result) == {"team/app": "Timeout"}
        assert "Waited 0 s for the lifecycle policy preview, which is still: IN_PROGRESS" in result["msg"]
        assert ecr.policy("team/app") is None


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "state is present but any of the following are missing: rules, policy"),
            ({"rules": RULES, "policy": POLICY}, "parameters are mutually exclusive: rules|policy"),
            ({"policy": "{"}, "The lifecycle policy is not valid: it is not JSON"),
            ({"rules": []}, "The lifecycle policy is not valid: rules: at least one is needed"),
            (
                {"rules": [UNTAGGED, {**RELEASES, "priority": 1}]},
                "The lifecycle policy is not valid: rules[1] (priority 1), priority: 1 is taken by rules[0]",
            ),
            (
                {"rules": [{**RELEASES, "tag_status": "any", "tag_patterns": None}, {**UNTAGGED, "priority": 3}]},
                "rules[0] (priority 2), tag_status: any must have the highest priority, but rules[1] comes after it",
            ),
            (
                {"rules": [{**RELEASES, "tag_patterns": ["*a*b*c*d*"]}]},
                "rules[0] (priority 2), tag_patterns: '*a*b*c*d*' has 5 wildcards (*), ECR allows 4",
            ),
            (
                {"rules": [{**RELEASES, "description": "x" * 30720}]},
                "characters as JSON, ECR allows 30720",
            ),
            ({"rules": [{**RELEASES, "priority": n} for n in range(1, 52)]}, "rules: there are 51, ECR allows 50"),
        ],
    )
    def test_a_bad_policy_is_refused_before_any_call(self, ecr: FakeECR, options: dict[str, Any], message: str) -> None:
        ecr.add("team/app")
        result = run(["team/*"], **options)
        assert is_one_clear_line(result)
        assert message in result["msg"]
        assert ecr.calls == []

    def test_all_mistakes_are_told_at_once(self, ecr: FakeECR) -> None:
        result = run(["team/app"], rules=[{**RELEASES, "count_number": 0, "action": "delete"}, {"priority": 2}])
        for expected in (
            "rules[0] (priority 2), count_number: must be a whole number",
            "rules[0] (priority 2), action: must be one of",
            "rules[1] (priority 2), tag_status: is required",
            "rules[1] (priority 2), priority: 2 is taken",
        ):
            assert expected in result["msg"]

    def test_a_bad_name_is_refused_before_any_call(self, ecr: FakeECR) -> None:
        result = run(["Team/App", "team/app:latest"], rules=RULES)
        assert result["msg"] == "Neither a repository name nor a glob: 'Team/App', 'team/app:latest'"
        assert ecr.calls == []

    def test_a_rule_that_counts_children_of_multi_arch_images_is_warned_of_once(self, ecr: FakeECR) -> None:
        ecr.add("team/a", "team/b")
        rule = {key: value for key, value in RELEASES.items() if key != "tag_patterns"} | {"tag_status": "any"}
        result = run(["team/*"], rules=[rule])
        assert result["changed"]
        [warning] = result["warnings"]
        assert warning.startswith("rules[0] (priority 2), count_type: imageCountMoreThan with tag_status any counts ")


class TestFaults:
    """Trouble with AWS as a whole, most of it with a real client."""

    NAMES = [f"many/{number:03}" for number in range(200)]

    @pytest.fixture
    def closed_port(self) -> Iterator[int]:
        """A port that nobody listens on, and that nobody can take meanwhile."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            yield bound.getsockname()[1]

    @pytest.fixture
    def credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")

    def test_no_credentials(self) -> None:
        result = run(self.NAMES, rules=RULES, region="eu-west-1")
        assert is_one_clear_line(result)
        assert result["msg"] == (
            "Failed to read the lifecycle policy: Unable to locate credentials (NoCredentialsError). Check the "
            "credentials: profile, access_key, secret_key and session_token, or the role of this host. "
            "Done before that: 0 of 200 repositories."
        )

    def test_no_credentials_for_a_glob(self) -> None:
        result = run(["many/*"], rules=RULES, region="eu-west-1")
        assert is_one_clear_line(result)
        assert result["msg"].startswith("Failed to list the repositories: Unable to locate credentials")

    @pytest.mark.usefixtures("credentials")
    def test_an_endpoint_out_of_reach_is_said_once_and_soon(
        self, closed_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        url = f"http://127.0.0.1:{closed_port}"
        result = run(self.NAMES, rules=RULES, region="eu-west-1", endpoint_url=url, parallel=4)
        assert is_one_clear_line(result)
        assert result["msg"] == (
            f'Failed to read the lifecycle policy: Could not connect to the endpoint URL: "{url}/" '
            "(EndpointConnectionError). Check the region, endpoint_url, any proxy and the network of this host. "
            "Done before that: 0 of 200 repositories."
        )
        codes = list(errors(result).values())
        assert codes.count("EndpointConnectionError") <= 4
        assert codes.count("NotAttempted") >= 196

    def test_a_region_that_does_not_exist(self, ecr: FakeECR) -> None:
        def unresolved(_request: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://api.ecr.eu-east-1.amazonaws.com/")

        ecr.on("GetLifecyclePolicy", unresolved, times=200)
        result = run(["team/app"], rules=RULES)
        assert is_one_clear_line(result)
        assert "https://api.ecr.eu-east-1.amazonaws.com/" in result["msg"]
        assert "Check the region" in result["msg"]

    def test_credentials_that_vanish_in_the_middle(self, ecr: FakeECR) -> None:
        ecr.add(*self.NAMES)

        def vanish(request: dict[str, Any]) -> None:
            if request["repositoryName"] == "many/100":
                raise NoCredentialsError

        ecr.on("GetLifecyclePolicy", vanish, times=200)
        result = run(self.NAMES, rules=RULES, parallel=1)
        assert result["changed"]
        assert result["msg"].endswith("Done before that: 100 of 200 repositories.")
        assert ecr.policy("many/099") == POLICY
        assert ecr.policy("many/101") is None

    @pytest.mark.usefixtures("credentials")
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "requires a region and none was found"),
            ({"region": "eu west 1"}, "Provided region_name 'eu west 1' doesn't match a supported format"),
            ({"region": "eu-west-1", "endpoint_url": "nowhere"}, "Couldn't connect to AWS: Invalid endpoint: nowhere"),
        ],
    )
    def test_a_client_that_cannot_be_made(self, options: dict[str, Any], message: str) -> None:
        result = run(self.NAMES, rules=RULES, **options)
        assert is_one_clear_line(result)
        assert message in result["msg"]

    def test_a_profile_that_does_not_exist(self) -> None:
        result = run(self.NAMES, rules=RULES, region="eu-west-1", profile="nobody")
        assert is_one_clear_line(result)
        assert result["msg"] == "Couldn't connect to AWS: The config profile (nobody) could not be found"

    def test_no_boto3(self, tmp_path: Path) -> None:
        """In a Python of its own, where boto3 and botocore cannot be imported."""
        program = (
            "import sys; sys.modules.update(boto3=None, botocore=None)\n"
            f"sys.path.insert(0, {SUPPORT!r})\n"
            "from module_arguments import module_arguments\n"
            "from ansible_collections.stevedore.ecr.plugins.modules import ecr_lifecycle\n"
            "with module_arguments({'repositories': ['team/app'], 'state': 'absent'}):\n"
            "    ecr_lifecycle.main()\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        result = json.loads(ended.stdout)
        assert is_one_clear_line(result)
        assert "Failed to import the required Python library (botocore and boto3)" in result["msg"]


class TestRunsThatMeet:
    def test_a_run_that_was_killed_is_finished_by_the_next_one(self, ecr: FakeECR) -> None:
        names = [f"many/{number}" for number in range(6)]
        ecr.add(*names)

        def kill(_request: Any) -> None:
            raise KeyboardInterrupt

        ecr.on("PutLifecyclePolicy", lambda _request: None, times=3)
        ecr.on("PutLifecyclePolicy", kill, times=3)
        with pytest.raises(KeyboardInterrupt):
            run(names, rules=RULES, parallel=1)
        assert [ecr.policy(name) for name in names] == [POLICY] * 3 + [None] * 3

        ecr.heal()
        result = run(names, rules=RULES)
        assert result["changed"]
        assert all(ecr.policy(name) == POLICY for name in names)

    def test_two_runs_at_once_reach_the_same_state(self, ecr: FakeECR) -> None:
        """The other run writes the same policy between our look and our step."""
        ecr.add("team/app", "team/web")

        def other_run(request: dict[str, Any]) -> None:
            ecr._put_lifecycle_policy(request)

        ecr.on("PutLifecyclePolicy", other_run, times=2)
        assert not run(["team/*"], rules=RULES).get("failed")
        assert not run(["team/*"], rules=RULES)["changed"]

    def test_two_removals_at_once(self, ecr: FakeECR) -> None:
        ecr.add("team/app", policy=POLICY)

        def other_run(request: dict[str, Any]) -> None:
            ecr._delete_lifecycle_policy(request)

        ecr.on("DeleteLifecyclePolicy", other_run)
        assert not run(["team/app"], state="absent").get("failed")
        assert ecr.policy("team/app") is None


class TestDocumentation:
    EXAMPLES = [
        task["stevedore.ecr.ecr_lifecycle"]
        for task in yaml.safe_load(ecr_lifecycle.EXAMPLES)
        if "stevedore.ecr.ecr_lifecycle" in task
    ]

    @pytest.mark.parametrize("options", EXAMPLES)
    def test_the_examples_work(self, ecr: FakeECR, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
        monkeypatch.setattr(SystemClock, "sleep", lambda _clock, _seconds: None)
        ecr.add("team/app", "team/keepsakes", "mirror/nginx")
        if "lookup" in str(options.get("policy")):
            options = {**options, "policy": json.dumps(POLICY)}
        assert not run_module(ecr_lifecycle.main, **options).get("failed")

    def test_the_sample_of_a_policy_is_a_real_one(self, ecr: FakeECR) -> None:
        sample = yaml.safe_load(ecr_lifecycle.RETURN)["repositories"]["contains"]["after"]["sample"]
        ecr.add("team/app")
        assert run(["team/app"], rules=sample)["repositories"][0]["after"] == sample
