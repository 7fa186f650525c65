"""One test for each internal of ministack that loopback/aws.py leans on, so that a new version is found out."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from typing import Any

import boto3
import botocore
import botocore.config
import pytest
from ecr_api import allow, deny, policy, refused

from loopback.client import ROOT, Cloud, cloud_python

OTHER = "210987654321"
QUAY = {"ecrRepositoryPrefix": "quay", "upstreamRegistryUrl": "quay.io"}


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    return cloud.client("ecr")


def service_role(cloud: Cloud, name: str, trusted: str, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
    trust = policy({**statement, **({"Condition": condition} if condition else {})})
    return str(cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"])


# ------------------------------------------------------------------ install(), reset()


def test_our_ecr_stands_in_ministacks_place(ecr: Any) -> None:
    assert ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"] == []


def test_reset_forgets_ministacks_state_and_ours(cloud: Cloud, ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/app")
    cloud.client("secretsmanager").create_secret(Name="name", SecretString="value")
    cloud.role("somebody", [allow("ecr:*")])
    cloud.reset()
    assert ecr.describe_repositories()["repositories"] == []
    assert cloud.client("secretsmanager").list_secrets()["SecretList"] == []
    assert "somebody" not in [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]


# ------------------------------------------------------------------ account(), region(), act_in()


def test_accounts_and_regions_are_apart_in_ministacks_services(cloud: Cloud) -> None:
    cloud.client("secretsmanager").create_secret(Name="name", SecretString="value")
    for stranger in (
        cloud.client("secretsmanager", account=OTHER),
        cloud.client("secretsmanager", region="us-east-1"),
    ):
        assert stranger.list_secrets()["SecretList"] == []
    assert cloud.client("sts", account=OTHER).get_caller_identity()["Account"] == OTHER


def test_a_role_is_of_its_account(cloud: Cloud) -> None:
    role = cloud.role("somebody", [allow("ecr:*")], account=OTHER)
    assert cloud.client("sts", credentials=role).get_caller_identity()["Account"] == OTHER
    made = cloud.client("ecr", credentials=role).create_repository(repositoryName="team/app")["repository"]
    assert made["registryId"] == OTHER


# ------------------------------------------------------------------ signatures and credentials


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [("ecr", "describe_registry", "InvalidSignatureException"), ("iam", "list_roles", "SignatureDoesNotMatch")],
)
def test_a_wrong_secret_is_refused(cloud: Cloud, service: str, operation: str, code: str) -> None:
    role = cloud.role("somebody", [allow("*")])
    getattr(cloud.client(service, credentials=role), operation)()
    with refused(code):
        getattr(cloud.client(service, credentials={**role, "SecretAccessKey": "wrong"}), operation)()


@pytest.mark.parametrize("change", [{"AccessKeyId": "ASIAUNKNOWN"}, {"SessionToken": "junk"}], ids=["key", "token"])
def test_unknown_credentials_are_refused(cloud: Cloud, change: dict[str, str]) -> None:
    role = cloud.role("somebody", [allow("*")])
    with refused("UnrecognizedClientException"):
        cloud.client("ecr", credentials={**role, **change}).describe_registry()


def test_a_request_without_a_signature_is_refused(cloud: Cloud) -> None:
    config = botocore.config.Config(signature_version=botocore.UNSIGNED)
    stranger = boto3.client("ecr", endpoint_url=cloud.url, region_name=cloud.region, config=config)
    with refused("MissingAuthenticationTokenException"):
        stranger.describe_registry()


def test_users_have_keys_too(cloud: Cloud, ecr: Any) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="alice")
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    alice = cloud.client("ecr", credentials=key)
    with refused("AccessDeniedException", "user/alice", "ecr:CreateRepository"):
        alice.create_repository(repositoryName="team/app")
    iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=policy(allow("ecr:*")))
    alice.create_repository(repositoryName="team/app")
    with refused("AccessDeniedException"):
        alice.list_images(repositoryName="team/app", registryId=OTHER)


# ------------------------------------------------------------------ denial(), refusal()


def test_managed_policies_count_and_a_deny_wins(cloud: Cloud, ecr: Any) -> None:
    iam = cloud.client("iam")
    ecr.create_repository(repositoryName="team/app")
    somebody = cloud.client("ecr", credentials=cloud.role("somebody", [deny("ecr:DeleteRepository")]))
    with refused("AccessDeniedException"):
        somebody.list_images(repositoryName="team/app")
    made = iam.create_policy(PolicyName="all", PolicyDocument=policy(allow("ecr:*")))["Policy"]
    iam.attach_role_policy(RoleName="somebody", PolicyArn=made["Arn"])
    assert somebody.list_images(repositoryName="team/app")["imageIds"] == []
    with refused("AccessDeniedException", "explicit deny"):
        somebody.delete_repository(repositoryName="team/app")


def test_ministacks_own_services_scope_by_resource(cloud: Cloud) -> None:
    root = cloud.client("secretsmanager")
    mine, other = (root.create_secret(Name=name, SecretString="value")["ARN"] for name in ("mine", "other"))
    role = cloud.role("somebody", [allow("secretsmanager:GetSecretValue", on=mine)])
    somebody = cloud.client("secretsmanager", credentials=role)
    assert somebody.get_secret_value(SecretId=mine)["SecretString"] == "value"
    with refused("AccessDeniedException"):
        somebody.get_secret_value(SecretId=other)


def test_a_boundary_narrows_what_a_role_may(cloud: Cloud, ecr: Any) -> None:
    iam = cloud.client("iam")
    ecr.create_repository(repositoryName="team/app")
    limit = iam.create_policy(PolicyName="limit", PolicyDocument=policy(allow("ecr:ListImages")))["Policy"]["Arn"]
    somebody = cloud.client("ecr", credentials=cloud.role("somebody", [allow("ecr:*")]))
    iam.put_role_permissions_boundary(RoleName="somebody", PermissionsBoundary=limit)
    assert somebody.list_images(repositoryName="team/app")["imageIds"] == []
    with refused("AccessDeniedException"):
        somebody.describe_images(repositoryName="team/app")


def test_repository_and_registry_policies_reach_across_accounts(cloud: Cloud, ecr: Any) -> None:
    for name in ("team/a", "team/b"):
        ecr.create_repository(repositoryName=name)
    guest = cloud.client("ecr", credentials=cloud.role("guest", [allow("ecr:*")], account=OTHER))

    def check(name: str, *, may: bool) -> None:
        with contextlib.nullcontext() if may else refused("AccessDeniedException", name):
            guest.list_images(repositoryName=name, registryId=cloud.account)

    principal = {"AWS": f"arn:aws:iam::{OTHER}:role/guest"}
    opening = {"Effect": "Allow", "Principal": principal, "Action": "ecr:ListImages"}
    check("team/a", may=False)
    check("team/b", may=False)
    ecr.set_repository_policy(repositoryName="team/a", policyText=policy(opening))
    check("team/a", may=True)
    check("team/b", may=False)
    ecr.put_registry_policy(policyText=policy({**opening, "Resource": "*"}))
    check("team/a", may=True)
    check("team/b", may=True)
    ecr.set_repository_policy(repositoryName="team/b", policyText=policy({**opening, "Effect": "Deny"}))
    check("team/a", may=True)
    check("team/b", may=False)


# ------------------------------------------------------------------ guard(), require_pass_role()


def codebuild(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    cloud.client("codebuild", credentials=credentials).create_project(
        name="project",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=role,
    )


def scheduler(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    cloud.client("scheduler", credentials=credentials).create_schedule(
        Name="schedule",
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"arn:aws:sqs:{cloud.region}:{cloud.account}:queue", "RoleArn": role},
    )


def events(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    client = cloud.client("events", credentials=credentials)
    client.put_rule(Name="rule", ScheduleExpression="rate(1 hour)")
    target = f"arn:aws:codebuild:{cloud.region}:{cloud.account}:project/project"
    client.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": target, "RoleArn": role}])


def ecs(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    cloud.client("ecs", credentials=credentials).register_task_definition(
        family="task", containerDefinitions=[{"name": "c", "image": "i"}], taskRoleArn=role
    )


def rule(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    client = cloud.client("events", credentials=credentials)
    client.put_rule(Name="rule", ScheduleExpression="rate(1 hour)", RoleArn=role)


def job(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    sizes = [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}]
    roles = {"jobRoleArn": role, "executionRoleArn": role}
    cloud.client("batch", credentials=credentials).register_job_definition(
        jobDefinitionName="job",
        type="container",
        platformCapabilities=["FARGATE"],
        containerProperties={"image": "i", "resourceRequirements": sizes, **roles},
    )


def compute(cloud: Cloud, credentials: dict[str, str], role: str) -> None:
    client = cloud.client("batch", credentials=credentials)
    client.create_compute_environment(computeEnvironmentName="c", type="UNMANAGED", serviceRole=role)


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("codebuild.amazonaws.com", codebuild),
        ("scheduler.amazonaws.com", scheduler),
        ("events.amazonaws.com", events),
        ("ecs-tasks.amazonaws.com", ecs),
        ("events.amazonaws.com", rule),
        ("ecs-tasks.amazonaws.com", job),
        ("batch.amazonaws.com", compute),
    ],
    ids=["codebuild", "scheduler", "events", "ecs", "rule", "job", "compute environment"],
)
def test_handing_a_role_to_a_service_needs_pass_role(
    cloud: Cloud, service: str, call: Callable[[Cloud, dict[str, str], str], None]
) -> None:
    handed = service_role(cloud, "handed", service)
    rest = allow("codebuild:*", "scheduler:*", "events:*", "ecs:*", "batch:*")
    somebody = cloud.role("somebody", [rest])
    with refused("AccessDeniedException", "iam:PassRole", handed):
        call(cloud, somebody, handed)
    to_another = {"StringEquals": {"iam:PassedToService": "another.amazonaws.com"}}
    cloud.role("somebody", [rest, allow("iam:PassRole", on=handed, Condition=to_another)])
    with refused("AccessDeniedException", "iam:PassRole", handed):
        call(cloud, somebody, handed)
    to_it = {"StringEquals": {"iam:PassedToService": service}}
    cloud.role("somebody", [rest, allow("iam:PassRole", on=handed, Condition=to_it)])
    call(cloud, somebody, handed)


def test_overrides_of_a_call_hand_over_roles_too(cloud: Cloud) -> None:
    handed = service_role(cloud, "handed", "codebuild.amazonaws.com")
    somebody = cloud.role("somebody", [allow("codebuild:*", "ecs:*")])
    codebuild(cloud, {"AccessKeyId": cloud.account, "SecretAccessKey": "root"}, handed)
    with refused("AccessDeniedException", "iam:PassRole", handed):
        cloud.client("codebuild", credentials=somebody).start_build(projectName="project", serviceRoleOverride=handed)
    with refused("AccessDeniedException", "iam:PassRole", handed):
        cloud.client("ecs", credentials=somebody).run_task(taskDefinition="t", overrides={"taskRoleArn": handed})


# ------------------------------------------------------------------ trusts(), service_session()


@pytest.mark.parametrize(
    ("trusted", "condition", "works"),
    [
        ("ecr.amazonaws.com", {}, True),
        ("ec2.amazonaws.com", {}, False),
        ("ecr.amazonaws.com", {"StringEquals": {"aws:SourceAccount": "123456789012"}}, True),
        ("ecr.amazonaws.com", {"StringEquals": {"aws:SourceAccount": OTHER}}, False),
    ],
    ids=["trusted", "another service", "for this account", "for another account"],
)
def test_a_service_acts_in_a_role_that_trusts_it(
    cloud: Cloud, ecr: Any, trusted: str, condition: dict[str, Any], works: bool
) -> None:
    role = service_role(cloud, "template", trusted, **condition)
    may = policy(allow("ecr:CreateRepository", "ecr:TagResource"))
    cloud.client("iam").put_role_policy(RoleName="template", PolicyName="p", PolicyDocument=may)
    ecr.create_pull_through_cache_rule(**QUAY)
    tags = [{"Key": "made", "Value": "by-template"}]
    template = {"prefix": "ROOT", "appliedFor": ["PULL_THROUGH_CACHE"], "resourceTags": tags, "customRoleArn": role}
    ecr.create_repository_creation_template(**template)
    cloud.publish("quay.io", "team/app", "1")
    call = {"repositoryName": "quay/team/app", "imageIds": [{"imageTag": "1"}]}
    if not works:
        with refused("RepositoryNotFoundException"):
            ecr.batch_get_image(**call)
        return
    ecr.batch_get_image(**call)
    (made,) = ecr.describe_repositories()["repositories"]
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == tags


# ------------------------------------------------------------------ other services' state


def test_secrets_are_read_in_their_current_version(cloud: Cloud, ecr: Any) -> None:
    secrets = cloud.client("secretsmanager")
    name = "ecr-pullthroughcache/docker-hub"
    arn = secrets.create_secret(Name=name, SecretString=json.dumps({"username": "hubuser", "accessToken": "old"}))[
        "ARN"
    ]
    rule = {"ecrRepositoryPrefix": "docker-hub", "upstreamRegistryUrl": "registry-1.docker.io", "credentialArn": arn}
    ecr.create_pull_through_cache_rule(**rule)
    assert not ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")["isValid"]
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps({"username": "hubuser", "accessToken": "hubtoken"}))
    assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")["isValid"]
    secrets.delete_secret(SecretId=arn)
    with refused("SecretNotFoundException"):
        ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub", credentialArn=arn)
    secrets.restore_secret(SecretId=arn)
    ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub", credentialArn=arn)


def test_keys_of_secrets_are_seen(cloud: Cloud, ecr: Any) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    login = json.dumps({"username": "hubuser", "accessToken": "hubtoken"})
    made = cloud.client("secretsmanager").create_secret(
        Name="ecr-pullthroughcache/docker-hub", SecretString=login, KmsKeyId=key
    )
    rule = {"ecrRepositoryPrefix": "docker-hub", "upstreamRegistryUrl": "registry-1.docker.io"}
    with refused("UnableToDecryptSecretValueException"):
        ecr.create_pull_through_cache_rule(**rule, credentialArn=made["ARN"])


def test_roles_and_keys_are_looked_up(cloud: Cloud, ecr: Any) -> None:
    upstream = f"{cloud.account}.dkr.ecr.us-east-1.amazonaws.com"
    rule = {"ecrRepositoryPrefix": "usa", "upstreamRegistryUrl": upstream}
    role = service_role(cloud, "present", "pullthroughcache.ecr.amazonaws.com")
    with refused("InvalidParameterException", "role/absent"):
        ecr.create_pull_through_cache_rule(**rule, customRoleArn=role.replace("present", "absent"))
    ecr.create_pull_through_cache_rule(**rule, customRoleArn=role)
    key = cloud.client("kms").create_key()["KeyMetadata"]
    for name, known in ((key["KeyId"], True), ("alias/absent", False)):
        encryption = {"encryptionType": "KMS", "kmsKey": name}
        if known:
            ecr.create_repository(repositoryName="team/app", encryptionConfiguration=encryption)
        else:
            with refused("KmsException", name):
                ecr.create_repository(repositoryName="team/other", encryptionConfiguration=encryption)


# ------------------------------------------------------------------ application()

_DOCKER = """
from pathlib import Path
from loopback import aws
from loopback.config import Settings
aws.configure(Settings(Path("/nonexistent")), 1)
import ministack.app
before = ministack.app._docker_socket_present
aws.application()
print(before.__module__, ministack.app._docker_socket_present())
"""


def test_the_machines_docker_is_not_looked_for() -> None:
    done = subprocess.run(
        [cloud_python(), "-c", _DOCKER], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["ministack.app", "False"]
