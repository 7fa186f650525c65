"""Every request to the registry is checked: the action it needs, on the repository it is about, on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest
from registry import OCI_LAYER, OCI_MANIFEST, Answer, Ecr, encoded, sha256

from loopback.client import Cloud

NAME = "team/app"
OTHER = "210987654321"
LOGIN = "ecr:GetAuthorizationToken"
LAYER, CONFIG = b"layer", b"{}"
MANIFEST = encoded(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_LAYER, "digest": sha256(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": OCI_LAYER, "digest": sha256(LAYER), "size": len(LAYER)}],
    }
)

#: action -> (a request that needs that action alone, the status it is answered with)
Request = Callable[[Ecr, str], Answer]
REQUESTS: dict[str, tuple[Request, int]] = {
    "ecr:BatchGetImage": (lambda registry, _: registry.manifest(NAME, "1"), 200),
    "ecr:GetDownloadUrlForLayer": (lambda registry, _: registry.call("GET", f"/v2/{NAME}/blobs/{sha256(LAYER)}"), 307),
    "ecr:BatchCheckLayerAvailability": (
        lambda registry, _: registry.call("HEAD", f"/v2/{NAME}/blobs/{sha256(LAYER)}"),
        200,
    ),
    "ecr:ListImages": (lambda registry, _: registry.call("GET", f"/v2/{NAME}/tags/list"), 200),
    "ecr:InitiateLayerUpload": (lambda registry, _: registry.call("POST", f"/v2/{NAME}/blobs/uploads/"), 202),
    "ecr:UploadLayerPart": (lambda registry, upload: registry.call("PATCH", upload, body=b"x"), 201),
    "ecr:CompleteLayerUpload": (lambda registry, upload: registry.finish(upload, sha256(b"")), 201),
    "ecr:PutImage": (lambda registry, _: registry.put(NAME, "2", MANIFEST), 201),
}
HEADS = ("ecr:BatchCheckLayerAvailability",)  # an answer to HEAD has no text


@pytest.fixture
def upload(cloud: Cloud) -> str:
    """A repository with an image, and an upload that has begun."""
    cloud.client("ecr").create_repository(repositoryName=NAME)
    root = Ecr(cloud)
    for blob in (CONFIG, LAYER):
        root.push_blob(NAME, blob)
    assert root.put(NAME, "1", MANIFEST).status == 201
    return str(root.call("POST", f"/v2/{NAME}/blobs/uploads/").headers["Location"])


def arn(name: str, account: str = "123456789012") -> str:
    return f"arn:aws:ecr:eu-central-1:{account}:repository/{name}"


def allow(*actions: str, on: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def visitor(cloud: Cloud, *statements: dict[str, Any], account: str | None = None, at: str | None = None) -> Ecr:
    """Somebody who may log in, and what the statements say."""
    credentials = cloud.role("visitor", [allow(LOGIN), *statements], account=account)
    return Ecr(cloud, credentials=credentials, at=at)


def test_login_needs_its_permission(cloud: Cloud) -> None:
    credentials = cloud.role("visitor", [allow(*REQUESTS)])
    with pytest.raises(botocore.exceptions.ClientError, match=LOGIN):
        Ecr(cloud, credentials=credentials)


@pytest.mark.parametrize("action", REQUESTS)
def test_request_needs_its_action_and_no_other(cloud: Cloud, upload: str, action: str) -> None:
    request, status = REQUESTS[action]
    assert request(visitor(cloud, allow(action, on=arn(NAME))), upload).status == status


@pytest.mark.parametrize("action", REQUESTS)
def test_request_is_refused_without_its_action(cloud: Cloud, upload: str, action: str) -> None:
    request, _status = REQUESTS[action]
    answer = request(visitor(cloud, allow(*(other for other in REQUESTS if other != action))), upload)
    assert answer.status == 403
    if action not in HEADS:
        assert answer.error == (403, "DENIED")
        assert answer.message == (
            "User: arn:aws:sts::123456789012:assumed-role/visitor/test is not authorized to perform: "
            f"{action} on resource: {arn(NAME)} because no identity-based policy allows the {action} action"
        )


def test_upload_in_one_put_needs_upload_layer_part_too(cloud: Cloud, upload: str) -> None:
    registry = visitor(cloud, allow("ecr:CompleteLayerUpload"))
    answer = registry.finish(upload, sha256(b"x"), b"x")
    assert answer.error == (403, "DENIED")
    assert "ecr:UploadLayerPart" in answer.message


@pytest.mark.usefixtures("upload")
def test_catalog_and_referrers(cloud: Cloud) -> None:
    for path, action in (
        ("_catalog", "ecr:DescribeRepositories"),
        (f"{NAME}/referrers/{sha256(b'')}", "ecr:BatchGetImage"),
    ):
        assert visitor(cloud, allow(action)).call("GET", f"/v2/{path}").status == 200
        assert visitor(cloud).call("GET", f"/v2/{path}").error == (403, "DENIED")


@pytest.mark.parametrize(("resource", "status"), [(arn(NAME), 200), (arn("team/*"), 200), (arn("other/*"), 403)])
@pytest.mark.usefixtures("upload")
def test_action_is_judged_on_its_repository(cloud: Cloud, resource: str, status: int) -> None:
    assert visitor(cloud, allow("ecr:BatchGetImage", on=resource)).manifest(NAME, "1").status == status


@pytest.mark.parametrize(("value", "status"), [("web", 200), ("db", 403)])
@pytest.mark.usefixtures("upload")
def test_repository_tags_are_conditions(cloud: Cloud, value: str, status: int) -> None:
    cloud.client("ecr").tag_resource(resourceArn=arn(NAME), tags=[{"Key": "tier", "Value": "web"}])
    statement = allow("ecr:BatchGetImage") | {"Condition": {"StringEquals": {"aws:ResourceTag/tier": value}}}
    assert visitor(cloud, statement).manifest(NAME, "1").status == status


def test_a_missing_repository_is_not_told_to_who_may_not_ask(cloud: Cloud) -> None:
    assert visitor(cloud).manifest("no/such", "1").error == (403, "DENIED")
    assert visitor(cloud, allow("ecr:BatchGetImage")).manifest("no/such", "1").error == (404, "NAME_UNKNOWN")


# ------------------------------------------------------------------ policies of the repository and the registry


def principal(name: str = "*", account: str = "123456789012") -> dict[str, Any]:
    return {"AWS": "*" if name == "*" else f"arn:aws:iam::{account}:{name}"}


@pytest.mark.usefixtures("upload")
def test_repository_policy_is_enough_within_an_account(cloud: Cloud) -> None:
    registry = visitor(cloud)
    assert registry.manifest(NAME, "1").error == (403, "DENIED")
    statement = {"Effect": "Allow", "Principal": principal("role/visitor"), "Action": "ecr:BatchGetImage"}
    cloud.client("ecr").set_repository_policy(repositoryName=NAME, policyText=policy(statement))
    assert registry.manifest(NAME, "1").status == 200
    assert registry.call("GET", f"/v2/{NAME}/tags/list").error == (403, "DENIED")


@pytest.mark.usefixtures("upload")
def test_repository_policy_can_deny(cloud: Cloud) -> None:
    registry = visitor(cloud, allow("ecr:*"))
    assert registry.manifest(NAME, "1").status == 200
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}
    cloud.client("ecr").set_repository_policy(repositoryName=NAME, policyText=policy(statement))
    answer = registry.manifest(NAME, "1")
    assert answer.error == (403, "DENIED")
    assert answer.message.endswith("with an explicit deny in a resource-based policy")


@pytest.mark.parametrize(("scope", "status"), [("V2", 403), ("V1", 200)])
@pytest.mark.usefixtures("upload")
def test_registry_policy_denies_everything_under_v2_only(cloud: Cloud, scope: str, status: int) -> None:
    ecr = cloud.client("ecr")
    ecr.put_account_setting(name="REGISTRY_POLICY_SCOPE", value=scope)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage", "Resource": arn("*")}
    ecr.put_registry_policy(policyText=policy(statement))
    assert visitor(cloud, allow("ecr:*")).manifest(NAME, "1").status == status


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(allow("ecr:CreateRepository"), id="by the pusher"),
        pytest.param(None, id="by the registry policy"),
    ],
)
def test_create_on_push_needs_create_repository(cloud: Cloud, statement: dict[str, Any] | None) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository_creation_template(prefix="made", appliedFor=["CREATE_ON_PUSH"])
    registry = visitor(cloud, allow("ecr:InitiateLayerUpload"))
    refused = registry.call("POST", "/v2/made/here/blobs/uploads/")
    assert refused.error == (403, "DENIED")
    assert "ecr:CreateRepository" in refused.message
    assert ecr.describe_repositories()["repositories"] == []
    if statement:
        registry = visitor(cloud, allow("ecr:InitiateLayerUpload"), statement)
    else:
        granted = {"Principal": principal("role/visitor"), **allow("ecr:CreateRepository", on=arn("made/*"))}
        ecr.put_registry_policy(policyText=policy(granted))
    assert registry.call("POST", "/v2/made/here/blobs/uploads/").status == 202


def test_mount_needs_download_from_the_source(cloud: Cloud, upload: str) -> None:
    assert upload
    ecr = cloud.client("ecr")
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    ecr.create_repository(repositoryName="team/other")
    path = f"/v2/team/other/blobs/uploads/?mount={sha256(LAYER)}&from={NAME}"
    for source, status in (("team/other", 202), (NAME, 201)):
        registry = visitor(cloud, allow("ecr:InitiateLayerUpload"), allow("ecr:GetDownloadUrlForLayer", on=arn(source)))
        assert registry.call("POST", path).status == status


# ------------------------------------------------------------------ other accounts

PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def repository_policy(cloud: Cloud, who: str) -> None:
    statement = {"Effect": "Allow", "Principal": principal(who, OTHER), "Action": PULL}
    cloud.client("ecr").set_repository_policy(repositoryName=NAME, policyText=policy(statement))


def registry_policy(cloud: Cloud, who: str) -> None:
    statement = {"Principal": principal(who, OTHER), **allow(*PULL, on=arn("team/*"))}
    cloud.client("ecr").put_registry_policy(policyText=policy(statement))


@pytest.mark.parametrize("grant", [repository_policy, registry_policy])
@pytest.mark.parametrize("who", ["root", "role/visitor"])
@pytest.mark.usefixtures("upload")
def test_pull_from_another_account_needs_both_sides(
    cloud: Cloud, grant: Callable[[Cloud, str], None], who: str
) -> None:
    trusted = visitor(cloud, allow(*PULL), account=OTHER, at=cloud.registry)
    assert trusted.manifest(NAME, "1").error == (403, "DENIED")
    grant(cloud, who)
    assert trusted.manifest(NAME, "1").body == MANIFEST
    assert trusted.blob(NAME, sha256(LAYER)) == LAYER
    untrusted = visitor(cloud, account=OTHER, at=cloud.registry)
    assert untrusted.manifest(NAME, "1").error == (403, "DENIED")


@pytest.mark.usefixtures("upload")
def test_root_of_another_account_needs_the_owner_too(cloud: Cloud) -> None:
    stranger = Ecr(cloud, account=OTHER, at=cloud.registry)
    assert stranger.manifest(NAME, "1").error == (403, "DENIED")
    repository_policy(cloud, "root")
    assert stranger.manifest(NAME, "1").status == 200
    assert stranger.call("GET", f"/v2/{NAME}/tags/list").error == (403, "DENIED")


def test_another_account_has_a_registry_of_its_own(cloud: Cloud, upload: str) -> None:
    assert upload
    theirs = Ecr(cloud, account=OTHER)
    assert theirs.origin != cloud.registry
    assert theirs.manifest(NAME, "1").error == (404, "NAME_UNKNOWN")
    assert f"in the registry with id '{OTHER}'" in theirs.manifest(NAME, "1").message
