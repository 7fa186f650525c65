"""The module ecr_image_info against the loopback cloud: behaviour, bad input, faults and permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from ecr_api import CONFIG, INDEX, MANIFEST, allow, push_image, push_index, push_layer, put

from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

MODULE = "ecr_image_info"
ABSENT = f"sha256:{'0' * 64}"
ACTIONS = ["ecr:DescribeImages", "ecr:ListImages", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken"]


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    client = cloud.client("ecr")
    for name in ("team/app", "team/web", "other"):
        client.create_repository(repositoryName=name)
    return client


def images(result: ModuleResult, index: int = 0) -> list[dict[str, Any]]:
    assert not result.failed, result.msg
    found: list[dict[str, Any]] = result["repositories"][index]["images"]
    return found


def push_many(ecr: Any, repository: str, count: int) -> None:
    """Images without a tag that differ in an annotation only."""
    config = {"mediaType": CONFIG, "digest": push_layer(ecr, repository, b"{}"), "size": 2}
    image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    for number in range(count):
        put(ecr, repository, {**image, "annotations": {"number": str(number)}}, [])


def test_an_image_and_everything_that_is_known_of_it(cloud: Cloud, ecr: Any, module: Module) -> None:
    digest = push_image(ecr, "team/app", ["1.27", "1.27.3"])
    [image] = images(module(MODULE, {"repository": "team/app"}))
    address = f"{urlsplit(cloud.registry).netloc}/team/app"
    assert image["digest"] == digest
    assert image["tags"] == ["1.27", "1.27.3"]
    assert image["uri"] == f"{address}@{digest}"
    assert image["uris"] == [f"{address}:1.27", f"{address}:1.27.3"]
    assert image["media_type"] == MANIFEST
    assert image["size_in_bytes"] > 0
    assert image["pushed_at"].endswith("+00:00")
    assert (image["last_pulled_at"], image["subject"], image["status"]) == (None, None, "active")


def test_looking_is_no_pull_and_a_pull_is_seen(ecr: Any, module: Module) -> None:
    push_image(ecr, "team/app", ["v1"])
    for arguments in ({}, {"tags": ["v1"]}, {"tags": ["v1", "no"]}):
        assert images(module(MODULE, {"repository": "team/app", **arguments}))[0]["last_pulled_at"] is None
    ecr.batch_get_image(repositoryName="team/app", imageIds=[{"imageTag": "v1"}])
    assert images(module(MODULE, {"repository": "team/app"}))[0]["last_pulled_at"] is not None


def test_newest_first_and_signatures_know_their_subject(cloud: Cloud, ecr: Any, module: Module) -> None:
    child = push_image(ecr, "team/app", seed="child")
    cloud.advance(60)
    index = push_index(ecr, "team/app", [child], ["v1"])
    cloud.advance(60)
    subject = {"mediaType": INDEX, "digest": index, "size": 1}
    signature = push_image(ecr, "team/app", seed="signature", subject=subject, artifactType="application/vnd.example")
    found = images(module(MODULE, {"repository": "team/app"}))
    assert [image["digest"] for image in found] == [signature, index, child]
    assert [image["subject"] for image in found] == [index, None, None]
    assert found[0]["artifact_type"] == "application/vnd.example"
    assert found[1]["media_type"] == INDEX
    by_status = {
        status: [image["digest"] for image in images(module(MODULE, {"repository": "team/app", "tag_status": status}))]
        for status in ("any", "tagged", "untagged")
    }
    assert by_status == {"any": [signature, index, child], "tagged": [index], "untagged": [signature, child]}


def test_it_changes_nothing_and_check_mode_says_the_same(cloud: Cloud, ecr: Any, module: Module) -> None:
    push_image(ecr, "team/app", ["v1"])
    cloud.forget_calls()
    first = module(MODULE, {"repositories": ["team/*"]})
    assert not first.changed
    assert first.returned == module(MODULE, {"repositories": ["team/*"]}, check=True, diff=True).returned
    assert set(cloud.operations()) == {"DescribeRepositories", "GetAuthorizationToken", "DescribeImages"}


def test_the_missing_are_named_and_the_others_described(ecr: Any, module: Module) -> None:
    digest = push_image(ecr, "team/app", ["v1", "v2"])
    result = module(
        MODULE,
        {"repositories": ["team/app", "team/web"], "tags": ["v1", "v2", "no"], "digests": [digest, ABSENT]},
    )
    assert [image["digest"] for image in images(result)] == [digest]
    assert [item["missing"] for item in result["repositories"]] == [
        ["no", ABSENT],
        ["v1", "v2", "no", digest, ABSENT],
    ]


def test_pages_of_a_thousand_and_a_hundred_ids_a_call(cloud: Cloud, ecr: Any, module: Module) -> None:
    tags = [f"v{number}" for number in range(250)]
    digest = push_image(ecr, "team/app", tags)
    push_many(ecr, "team/web", 1100)
    cloud.forget_calls()
    assert len(images(module(MODULE, {"repository": "team/web"}))) == 1100
    assert len(cloud.calls("DescribeImages")) == 2
    cloud.forget_calls()
    [image] = images(module(MODULE, {"repository": "team/app", "tags": tags}))
    assert (image["digest"], len(image["tags"])) == (digest, 250)
    assert len(cloud.calls("DescribeImages")) == 3


def test_two_hundred_repositories_are_one_task(cloud: Cloud, ecr: Any, module: Module) -> None:
    for number in range(200):
        ecr.create_repository(repositoryName=f"many/{number:03}")
    cloud.forget_calls()
    result = module(MODULE, {"repositories": ["many/*"]})
    assert len(result["repositories"]) == 200
    assert len(cloud.calls("DescribeImages")) == 200
    assert len(cloud.operations()) == 202


def test_missing_repository_does_not_hide_the_others(ecr: Any, module: Module) -> None:
    push_image(ecr, "team/app", ["v1"])
    result = module(MODULE, {"repositories": ["team/none", "team/app"]})
    assert result.failed
    assert "team/none" in result.msg
    assert result["repositories"][0]["error"]["code"] == "RepositoryNotFoundException"
    assert len(result["repositories"][1]["images"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tags": ["v*"]}, ["tags", "'v*'"]),
        ({"digests": ["sha256:12"]}, ["digests", "64"]),
        ({"tags": ["v1"], "tag_status": "untagged"}, ["mutually exclusive", "tag_status"]),
        ({"repositories": ["Team"]}, ["'Team'"]),
    ],
)
def test_bad_input_is_refused_before_any_call(
    cloud: Cloud, module: Module, arguments: dict[str, Any], says: list[str]
) -> None:
    result = module(MODULE, {"repositories": ["team/app"], **arguments})
    assert result.failed
    for word in says:
        assert word in result.msg
    assert cloud.operations() == []


def test_throttling_is_waited_out(cloud: Cloud, ecr: Any, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    push_image(ecr, "team/app", ["v1"])
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    cloud.inject({"op": "DescribeImages", "status": 400, "times": 7, "body": throttled})
    assert len(images(module(MODULE, {"repository": "team/app"}))) == 1


def exercise(module: Module, credentials: dict[str, str]) -> ModuleResult:
    return module(MODULE, {"repositories": ["team/*"], "tags": ["v1", "no"]}, credentials=credentials)


def test_documented_permissions_suffice(cloud: Cloud, ecr: Any, module: Module) -> None:
    push_image(ecr, "team/app", ["v1"])
    assert not exercise(module, cloud.role("reader", [allow(*ACTIONS)])).failed


@pytest.mark.parametrize("missing", ACTIONS)
def test_each_permission_is_needed_and_named(cloud: Cloud, ecr: Any, module: Module, missing: str) -> None:
    push_image(ecr, "team/app", ["v1"])
    role = cloud.role("reader", [allow(*(action for action in ACTIONS if action != missing))])
    result = exercise(module, role)
    assert result.failed
    assert missing in result.msg


def test_no_credential_is_in_the_output(cloud: Cloud, ecr: Any, playbook: Callable[..., PlaybookRun]) -> None:
    push_image(ecr, "team/app", ["v1"])
    cloud.forget_calls()
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    role = cloud.role("reader", [allow(*ACTIONS)])
    task = {f"stevedore.ecr.{MODULE}": {"repositories": ["team/*"]}}
    run = playbook(local_play(task), "-vvvv", credentials=role)
    assert run.status == 0, run.output
    assert "team/app:v1" in run.output
    for secret in (token, token[:40], role["SecretAccessKey"], role["SessionToken"], "authorizationToken"):
        assert secret not in run.output
