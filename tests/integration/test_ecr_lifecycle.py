"""The module ecr_lifecycle against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play, playbook_command, playbook_environment

Module = Callable[..., ModuleResult]

UNTAGGED = {
    "priority": 1,
    "description": "Untagged images go after two weeks",
    "tag_status": "untagged",
    "count_type": "sinceImagePushed",
    "count_number": 14,
    "action": "expire",
}
KEEP_TWO = {
    "priority": 2,
    "tag_status": "tagged",
    "tag_patterns": ["v*"],
    "count_type": "imageCountMoreThan",
    "count_number": 2,
    "action": "expire",
}
ACTIONS = ["ecr:GetLifecyclePolicy", "ecr:PutLifecyclePolicy", "ecr:DeleteLifecyclePolicy", "ecr:DescribeRepositories"]
PREVIEW_ACTIONS = ["ecr:StartLifecyclePolicyPreview", "ecr:GetLifecyclePolicyPreview"]


def make_repositories(cloud: Cloud, *names: str) -> None:
    for name in names:
        cloud.client("ecr").create_repository(repositoryName=name)


def stored(cloud: Cloud, name: str) -> Any:
    ecr = cloud.client("ecr")
    try:
        return json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
    except ecr.exceptions.LifecyclePolicyNotFoundException:
        return None


def push_images(cloud: Cloud, repository: str, tags: list[str]) -> None:
    """Images with one small configuration each, through the registry API."""
    cloud.publish("quay.io", "source/app", "seed")
    ecr = cloud.client("ecr")
    if not ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]:
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    for number, tag in enumerate(tags):
        cloud.publish("quay.io", repository, tag, seed=number, platforms=["linux/amd64"], kind="image")
        ecr.batch_get_image(repositoryName=f"quay/{repository}", imageIds=[{"imageTag": tag}])
        cloud.advance(60)


# ------------------------------------------------------------------ what it does


def test_writes_once_and_then_leaves_alone(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a", "team/b")
    arguments = {"repositories": ["team/*"], "rules": [UNTAGGED, KEEP_TWO]}
    first = module("ecr_lifecycle", arguments)
    assert not first.failed, first.msg
    assert first.changed
    assert [(r["name"], r["changed"]) for r in first["repositories"]] == [("team/a", True), ("team/b", True)]
    assert [rule["rulePriority"] for rule in stored(cloud, "team/a")["rules"]] == [1, 2]
    cloud.forget_calls()
    second = module("ecr_lifecycle", arguments)
    assert not second.changed
    assert sorted(cloud.operations()) == ["DescribeRepositories", "GetLifecyclePolicy", "GetLifecyclePolicy"]


def test_check_mode_promises_what_the_run_then_does(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a", "team/b")
    module("ecr_lifecycle", {"repositories": ["team/b"], "rules": [UNTAGGED]})
    arguments = {"repositories": ["team/a", "team/b"], "rules": [UNTAGGED]}
    promised = module("ecr_lifecycle", arguments, check=True, diff=True)
    assert stored(cloud, "team/a") is None
    done = module("ecr_lifecycle", arguments, diff=True)
    assert promised.returned == done.returned
    assert [entry["before_header"] for entry in done["diff"]] == ["team/a"]


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(lambda rules: {"rules": rules[::-1]}, id="another order"),
        pytest.param(
            lambda rules: {"rules": [{**rules[0], "storage_class": "standard", "count_unit": "days"}, rules[1]]},
            id="defaults written out",
        ),
        pytest.param(
            lambda rules: {"rules": [{**rule, "target_storage_class": None} for rule in rules]},
            id="nulls",
        ),
    ],
)
def test_compares_meaning_not_text(cloud: Cloud, module: Module, same: Callable[[Any], dict[str, Any]]) -> None:
    make_repositories(cloud, "team/a")
    module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED, KEEP_TWO]})
    again = module("ecr_lifecycle", {"repository": "team/a", **same([UNTAGGED, KEEP_TWO])})
    assert not again.failed, again.msg
    assert not again.changed


def test_policy_as_aws_writes_it_means_the_same(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a")
    module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED]})
    policy = stored(cloud, "team/a")
    for form in (policy, json.dumps(policy, indent=8)):
        assert not module("ecr_lifecycle", {"repository": "team/a", "policy": form}).changed


def test_absent_removes_and_then_has_nothing_to_do(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a")
    module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED]})
    removal = {"repository": "team/a", "state": "absent"}
    assert module("ecr_lifecycle", removal, check=True).changed
    assert stored(cloud, "team/a") is not None
    assert module("ecr_lifecycle", removal).changed
    assert stored(cloud, "team/a") is None
    assert not module("ecr_lifecycle", removal).changed


def test_two_hundred_repositories_are_one_task(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, *(f"team/app-{n:03}" for n in range(200)))
    cloud.forget_calls()
    result = module("ecr_lifecycle", {"repositories": ["team/*"], "rules": [UNTAGGED]})
    assert len([r for r in result["repositories"] if r["changed"]]) == 200
    assert len(cloud.calls("PutLifecyclePolicy")) == 200
    assert len(cloud.calls("DescribeRepositories")) == 1


def test_preview_says_which_images_would_go_and_writes_nothing_in_check_mode(cloud: Cloud, module: Module) -> None:
    push_images(cloud, "app", ["v1", "v2", "v3", "v4", "other"])
    cloud.knobs(ecr__preview__polls=0)
    arguments = {"repository": "quay/app", "rules": [KEEP_TWO], "preview": True}
    result = module("ecr_lifecycle", arguments, check=True)
    assert not result.failed, result.msg
    preview = result["repositories"][0]["preview"]
    assert preview["expiring_total"] == 2
    assert sorted(tag for image in preview["images"] for tag in image["tags"]) == ["v1", "v2"]
    assert {image["rule_priority"] for image in preview["images"]} == {2}
    assert stored(cloud, "quay/app") is None


def test_preview_pages_and_waits(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    push_images(cloud, "app", [f"v{n}" for n in range(120)])
    cloud.knobs(ecr__preview__polls=3)
    arguments = {"repository": "quay/app", "rules": [{**KEEP_TWO, "count_number": 1}], "preview": True}
    result = module("ecr_lifecycle", arguments, check=True)
    assert not result.failed, result.msg
    assert len(result["repositories"][0]["preview"]["images"]) == 119
    assert len(cloud.calls("GetLifecyclePolicyPreview")) == 3 + 2


# ------------------------------------------------------------------ bad input and faults


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"rules": [UNTAGGED, {**KEEP_TWO, "priority": 1}]}, ["priority", "1"], id="duplicate priority"),
        pytest.param(
            {"rules": [{**UNTAGGED, "tag_status": "any"}, KEEP_TWO]}, ["any", "highest priority"], id="any not last"
        ),
        pytest.param({"rules": [{**KEEP_TWO, "tag_patterns": ["*a*b*c*d*"]}]}, ["tag_patterns", "4"], id="five stars"),
        pytest.param(
            {"policy": {"rules": [{"rulePriority": 1, "description": "x" * 31_000}]}},
            ["30720"],
            id="policy too long",
        ),
        pytest.param({"policy": "{not json"}, ["JSON"], id="not JSON"),
    ],
)
def test_bad_policy_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: list[str]
) -> None:
    make_repositories(cloud, "team/a")
    cloud.forget_calls()
    result = module("ecr_lifecycle", {"repository": "team/a", **arguments})
    assert result.failed
    for word in says:
        assert word in result.msg.replace(",", "")
    assert cloud.operations() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rules": None}, "state=present needs rules or policy, and neither has a value"),
        ({"rules": [UNTAGGED], "parallel": 0}, "parallel must be at least 1, not 0"),
        ({"rules": [UNTAGGED], "preview": True, "preview_timeout": -1}, "preview_timeout must not be negative"),
        ({"policy": '{"rules": [{"rulePriority": 1, "description": "\\ud800"}]}'}, "lone surrogate"),
        ({"policy": "[" * 100_000}, "it is not JSON"),
    ],
    ids=["null rules", "parallel 0", "negative time-out", "half a character", "deep nesting"],
)
def test_odd_input_is_refused_in_one_line(cloud: Cloud, module: Module, arguments: dict[str, Any], says: str) -> None:
    result = module("ecr_lifecycle", {"repository": "team/a", **arguments})
    assert result.failed
    assert says in result.msg
    assert cloud.operations() == []


def test_very_many_at_a_time_are_as_many_as_there_are(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a")
    assert module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED], "parallel": 10**8}).changed


@pytest.mark.parametrize(
    "answer",
    [{"body": {}}, {"body": {"lifecyclePolicyText": '{"rules":[{"selection":{}}]}'}}, {"body": "<html>Log in</html>"}],
    ids=["empty", "a policy of another shape", "not JSON"],
)
def test_an_answer_that_is_not_ecrs_is_one_repositorys_failure(
    cloud: Cloud, module: Module, answer: dict[str, Any]
) -> None:
    make_repositories(cloud, "team/a", "team/b")
    cloud.inject({"op": "GetLifecyclePolicy", "after": 1, "times": -1, "status": 200, **answer})
    result = module("ecr_lifecycle", {"repositories": ["team/a", "team/b"], "rules": [UNTAGGED], "parallel": 1})
    assert result.failed
    assert [entry["changed"] for entry in result["repositories"]] == [True, False]
    assert result["repositories"][1]["error"]["msg"].startswith(("Failed to read", "The stored lifecycle policy"))


def test_a_broken_connection_is_one_repositorys_failure(cloud: Cloud, module: Module) -> None:
    names = [f"team/app-{n}" for n in range(4)]
    make_repositories(cloud, *names)
    cloud.inject({"op": "GetLifecyclePolicy", "after": 1, "times": 6, "reset": True})
    result = module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED], "parallel": 1})
    assert result.failed
    assert [entry["changed"] for entry in result["repositories"]][::3] == [True, True]


def test_missing_repository_does_not_hide_the_others(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a", "team/c")
    result = module("ecr_lifecycle", {"repositories": ["team/a", "team/b", "team/c"], "rules": [UNTAGGED]})
    assert result.failed
    assert "team/b" in result.msg
    assert [(r["name"], r["changed"]) for r in result["repositories"]] == [
        ("team/a", True),
        ("team/b", False),
        ("team/c", True),
    ]
    assert result["repositories"][1]["error"]["code"] == "RepositoryNotFoundException"
    assert stored(cloud, "team/c") is not None


@pytest.mark.parametrize("status", ["FAILED", "EXPIRED"])
def test_preview_that_ends_badly_writes_nothing(cloud: Cloud, module: Module, status: str) -> None:
    make_repositories(cloud, "team/a")
    cloud.knobs(ecr__preview__polls=0, ecr__preview__status=status)
    result = module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED], "preview": True})
    assert result.failed
    assert status in result.msg
    assert stored(cloud, "team/a") is None


def test_throttling_is_waited_out(cloud: Cloud, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    make_repositories(cloud, "team/a")
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    cloud.inject({"op": "PutLifecyclePolicy", "status": 400, "times": 7, "body": throttled})
    result = module("ecr_lifecycle", {"repository": "team/a", "rules": [UNTAGGED]})
    assert not result.failed, result.msg
    assert stored(cloud, "team/a") is not None


@pytest.mark.parametrize("missing", ACTIONS + PREVIEW_ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    make_repositories(cloud, "team/a", "team/b")
    module("ecr_lifecycle", {"repository": "team/b", "rules": [UNTAGGED]})
    cloud.knobs(ecr__preview__polls=0)
    allowed = [action for action in ACTIONS + PREVIEW_ACTIONS if action != missing]
    role = cloud.role("operator", [{"Effect": "Allow", "Action": allowed, "Resource": "*"}])
    results = [
        module("ecr_lifecycle", {"repositories": ["team/a*"], "rules": [UNTAGGED], "preview": True}, credentials=role),
        module("ecr_lifecycle", {"repositories": ["team/b"], "state": "absent"}, credentials=role),
    ]
    failures = [result.msg for result in results if result.failed]
    assert failures
    assert all(missing in message for message in failures)


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    make_repositories(cloud, "team/a")
    cloud.knobs(ecr__preview__polls=0)
    role = cloud.role("operator", [{"Effect": "Allow", "Action": ACTIONS + PREVIEW_ACTIONS, "Resource": "*"}])
    arguments = {"repositories": ["team/*"], "rules": [UNTAGGED], "preview": True}
    assert not module("ecr_lifecycle", arguments, credentials=role).failed
    assert not module("ecr_lifecycle", {"repositories": ["team/a"], "state": "absent"}, credentials=role).failed


def test_two_runs_at_once_end_the_same(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    names = [f"team/app-{n}" for n in range(20)]
    make_repositories(cloud, *names)
    task = {"stevedore.ecr.ecr_lifecycle": {"repositories": ["team/*"], "rules": [UNTAGGED]}}
    runs: list[PlaybookRun] = []
    threads = [threading.Thread(target=lambda: runs.append(playbook(local_play(task)))) for _run in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == [0, 0], "\n".join(run.output for run in runs)
    assert all(stored(cloud, name) is not None for name in names)
    assert playbook(local_play(task)).recap["changed"] == 0


def test_a_killed_run_is_finished_by_the_next(cloud: Cloud, module: Module, tmp_path: Path) -> None:
    names = [f"team/app-{n:02}" for n in range(30)]
    make_repositories(cloud, *names)
    cloud.inject({"op": "PutLifecyclePolicy", "delay": 0.2, "times": -1})
    task = {"stevedore.ecr.ecr_lifecycle": {"repositories": names, "rules": [UNTAGGED], "parallel": 1}}
    (tmp_path / "play.yml").write_text(yaml.safe_dump(local_play(task)))
    environment = playbook_environment(tmp_path, cloud.environment())
    with subprocess.Popen(
        playbook_command(tmp_path / "play.yml"), env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as run:
        while len(cloud.calls("PutLifecyclePolicy")) < 3:
            assert run.poll() is None
        os.killpg(run.pid, signal.SIGKILL)
    cloud.clear_faults()
    assert module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED]}).changed
    assert all(stored(cloud, name) is not None for name in names)
    assert not module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED]}).changed


def test_secrets_do_not_show(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    make_repositories(cloud, "team/a")
    role = cloud.role("operator", [{"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}])
    given = {"secret_key": role["SecretAccessKey"], "session_token": role["SessionToken"]}
    arguments = {"repositories": ["team/*"], "rules": [UNTAGGED], "access_key": role["AccessKeyId"], **given}
    run = playbook(local_play({"stevedore.ecr.ecr_lifecycle": arguments}), "-vvvv", without=KEYS)
    assert run.recap["changed"] == 1
    assert not [name for name, secret in given.items() if secret in run.output]


def test_a_run_cut_short_is_finished_by_the_next(cloud: Cloud, module: Module) -> None:
    names = [f"team/app-{n}" for n in range(10)]
    make_repositories(cloud, *names)
    cloud.inject({"op": "PutLifecyclePolicy", "status": 403, "after": 4, "times": -1, "body": _DENIED})
    assert module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED]}).failed
    cloud.clear_faults()
    result = module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED]})
    assert len([r for r in result["repositories"] if r["changed"]]) == 6
    assert not module("ecr_lifecycle", {"repositories": names, "rules": [UNTAGGED]}).changed


_DENIED = {"__type": "AccessDeniedException", "message": "not authorized"}


# ------------------------------------------------------------------ as a user runs it


def test_unreachable_endpoint_is_said_once(playbook: Callable[..., PlaybookRun]) -> None:
    task = {
        "stevedore.ecr.ecr_lifecycle": {
            "repositories": [f"team/{n}" for n in range(50)],
            "rules": [UNTAGGED],
            "endpoint_url": "http://127.0.0.1:1",
        }
    }
    run = playbook(local_play(task))
    assert run.status == 2
    error = error_line(run)
    assert error.count("Could not connect to the endpoint URL") == 1
    assert "Check the region, endpoint_url, any proxy and the network" in error
    assert "Traceback" not in run.output


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.mark.parametrize(
    ("options", "without", "says"),
    [
        ({}, KEYS, "Unable to locate credentials"),
        ({}, REGION, "requires a region"),
        ({"region": "bad_region"}, (), "'bad_region' doesn't match a supported format"),
        ({"profile": "no-such-profile"}, KEYS, "The config profile (no-such-profile) could not be found"),
    ],
    ids=["no credentials", "no region", "malformed region", "missing profile"],
)
def test_credentials_and_region_that_do_not_work_say_so(
    playbook: Callable[..., PlaybookRun], options: dict[str, Any], without: tuple[str, ...], says: str
) -> None:
    task = {"stevedore.ecr.ecr_lifecycle": {"repositories": ["team/a"], "rules": [UNTAGGED], **options}}
    run = playbook(local_play(task), without=without)
    assert run.status == 2
    assert says in error_line(run)
    assert "Traceback" not in run.output


def error_line(run: PlaybookRun) -> str:
    """What Ansible shows of the failure."""
    lines = [line for line in run.output.splitlines() if line.startswith("[ERROR]")]
    assert len(lines) == 1, run.output
    return lines[0]


def test_no_warnings_and_no_changes_on_the_second_run(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    make_repositories(cloud, "team/a")
    play = local_play(
        {"stevedore.ecr.ecr_lifecycle": {"repositories": ["team/*"], "rules": [UNTAGGED]}},
        module_defaults={"group/stevedore.ecr.all": {"region": cloud.region}},
    )
    runs = [playbook(play, without=REGION), playbook(play, "--check", "--diff", without=REGION)]
    assert [run.recap["changed"] for run in runs] == [1, 0]
    assert not any("WARNING" in run.output or "DEPRECAT" in run.output for run in runs)
