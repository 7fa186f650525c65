"""The module registry_rate_limit_info against the loopback cloud: behaviour, bad input, faults, secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from registry import DOCKER_MANIFEST, Upstream

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play, run_module

MODULE = "registry_rate_limit_info"
HUB = "registry-1.docker.io"
LOGIN = {"username": "hubuser", "password": "hubtoken"}

Ask = Callable[..., ModuleResult]


@pytest.fixture
def ask(cloud: Cloud) -> Ask:
    """ask(option=...): the module in this process; no AWS in its environment."""

    def run(*, check: bool = False, **options: Any) -> ModuleResult:
        return run_module(MODULE, {"registry_url": cloud.upstreams[HUB], **options}, check=check, environment={})

    return run


def pull(cloud: Cloud, times: int, login: str = "") -> None:
    cloud.publish(HUB, "library/app", "1", kind="docker")
    hub = Upstream(cloud, HUB, login).login("library/app")
    for _pull in range(times):
        answer = hub.call("GET", "/v2/library/app/manifests/1", accept=DOCKER_MANIFEST)
        assert answer.status == 200, answer


def test_anonymous_pulls_that_are_left(cloud: Cloud, ask: Ask) -> None:
    result = ask()
    assert not result.failed, result.msg
    assert not result.changed
    assert (result["limited"], result["limit"], result["remaining"]) == (True, 100, 100)
    assert (result["window_seconds"], result["source"], result["logged_in"]) == (21600, "127.0.0.1", False)
    pull(cloud, 3)
    assert ask()["remaining"] == 97


def test_asking_costs_no_pull(cloud: Cloud, ask: Ask) -> None:
    for _time in range(5):
        assert ask()["remaining"] == 100
    asked = [call for call in cloud.calls() if "/manifests/" in call["path"]]
    assert {call["method"] for call in asked} == {"HEAD"}


def test_check_mode_says_the_same(ask: Ask) -> None:
    assert ask(check=True).returned == ask().returned


def test_an_account_is_counted_by_itself(cloud: Cloud, ask: Ask) -> None:
    pull(cloud, 2, "hubuser:hubtoken")
    account = ask(**LOGIN)
    assert (account["remaining"], account["logged_in"]) == (98, True)
    assert account["source"] != ask()["source"]
    assert ask()["remaining"] == 100


def test_the_window_is_read_and_not_assumed(cloud: Cloud, ask: Ask) -> None:
    cloud.knobs(hub__limit=10, hub__window=3600)
    result = ask()
    assert (result["limit"], result["window_seconds"]) == (10, 3600)


def test_none_left(cloud: Cloud, ask: Ask) -> None:
    cloud.knobs(hub__limit=2)
    pull(cloud, 2)
    assert (ask()["limited"], ask()["remaining"]) == (True, 0)


def test_no_headers_are_no_limit(cloud: Cloud, ask: Ask) -> None:
    cloud.knobs(hub__rate_limited_hosts=[])
    result = ask()
    assert (result["limited"], result["limit"], result["remaining"]) == (False, None, None)


def test_wrong_login_is_said_in_the_registrys_words(ask: Ask) -> None:
    result = ask(username="hubuser", password="a-wrong-token")
    assert result.failed
    assert "incorrect username or password" in result.msg
    assert "a-wrong-token" not in str(result.returned)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"repository": "nobody/nothing"}, ["nobody/nothing", "401"]),
        ({"tag": "nothing"}, ["ratelimitpreview/test:nothing", "404"]),
        ({"registry_url": "http://127.0.0.1:1", "timeout": 1}, ["http://127.0.0.1:1", "no answer"]),
        ({"registry_url": "not a registry"}, ["registry_url", "not a registry"]),
        ({"registry_url": "https://127.0.0.1:1", "ca_path": "/nowhere.pem"}, ["/nowhere.pem", "PEM"]),
        ({"username": "hubuser"}, ["username", "password"]),
    ],
)
def test_bad_input_is_one_clear_line(ask: Ask, options: dict[str, Any], says: list[str]) -> None:
    result = ask(**options)
    assert result.failed
    assert "\n" not in result.msg
    for word in says:
        assert word in result.msg


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "headers": {"Retry-After": "0"}}, {"reset": True}])
def test_short_trouble_is_waited_out(cloud: Cloud, ask: Ask, fault: dict[str, Any]) -> None:
    cloud.inject({"path": "/manifests/", "method": "HEAD", "after": 1, **fault})
    assert ask()["remaining"] == 100


def test_a_registry_that_is_busy_for_long_is_a_failure(cloud: Cloud, ask: Ask) -> None:
    cloud.inject({"path": "/manifests/", "status": 429, "times": -1, "headers": {"Retry-After": "600"}})
    result = ask(timeout=2)
    assert result.failed
    assert "429" in result.msg


def test_no_secret_is_in_the_output(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    options = {"registry_url": cloud.upstreams[HUB], **LOGIN}
    tasks = [
        {f"stevedore.ecr.{MODULE}": options, "register": "hub"},
        {"ansible.builtin.debug": {"var": "hub"}},
        {f"stevedore.ecr.{MODULE}": {**options, "password": "a-wrong-token"}, "ignore_errors": True},
    ]
    run = playbook(local_play(*tasks), "-vvvv")
    assert run.status == 0, run.output
    assert '"remaining": 100' in run.output
    for secret in ("hubtoken", "a-wrong-token", "aHVidXNlcjpodWJ0b2tlbg"):
        assert secret not in run.output
