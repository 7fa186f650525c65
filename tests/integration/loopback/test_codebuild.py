"""CodeBuild's control plane, and builds whose end a knob decides: no container runs in light mode."""

from __future__ import annotations

from typing import Any

import pytest
from builds import IMAGE, Project, buildspec, logging, service_role, until, variables
from ecr_api import allow, policy, refused

from loopback.client import Cloud

SPEC = buildspec("true")
ENVIRONMENT = {"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"}


@pytest.fixture
def project(cloud: Cloud) -> Project:
    cloud.knobs(codebuild__light="SUCCEEDED")
    return Project(cloud)


def given(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """The arguments of CreateProject."""
    return {
        "name": "cloner",
        "source": {"type": "NO_SOURCE", "buildspec": SPEC},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": ENVIRONMENT,
        "serviceRole": service_role(cloud, "build", "codebuild.amazonaws.com", []),
        **changes,
    }


# ------------------------------------------------------------------ projects


def test_a_project_keeps_what_it_is_given(cloud: Cloud) -> None:
    codebuild = cloud.client("codebuild")
    settings = {
        "description": "clones",
        "timeoutInMinutes": 30,
        "queuedTimeoutInMinutes": 15,
        "concurrentBuildLimit": 1,
        "cache": {"type": "NO_CACHE"},
        "tags": [{"key": "made-by", "value": "role"}],
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": "/our/builds"}},
        "vpcConfig": {"vpcId": "vpc-1", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]},
    }
    made = codebuild.create_project(**given(cloud, **settings))["project"]
    (read,) = codebuild.batch_get_projects(names=["cloner"])["projects"]
    assert read == made
    assert {name: read[name] for name in settings} == settings
    assert read["arn"] == f"arn:aws:codebuild:{cloud.region}:{cloud.account}:project/cloner"
    changed = codebuild.update_project(name="cloner", timeoutInMinutes=45, concurrentBuildLimit=-1)["project"]
    assert changed["timeoutInMinutes"] == 45
    assert changed["description"] == "clones"
    assert "concurrentBuildLimit" not in changed


def test_projects_are_listed_found_and_deleted(cloud: Cloud) -> None:
    codebuild = cloud.client("codebuild")
    for name in ("beta", "alpha"):
        codebuild.create_project(**given(cloud, name=name))
    assert codebuild.list_projects()["projects"] == ["alpha", "beta"]
    answer = codebuild.batch_get_projects(names=["beta", "gamma"])
    assert [one["name"] for one in answer["projects"]] == ["beta"]
    assert answer["projectsNotFound"] == ["gamma"]
    with refused("ResourceAlreadyExistsException", "project/beta"):
        codebuild.create_project(**given(cloud, name="beta"))
    codebuild.delete_project(name="beta")
    codebuild.delete_project(name="beta")
    assert codebuild.list_projects()["projects"] == ["alpha"]
    with refused("ResourceNotFoundException", "project/beta"):
        codebuild.update_project(name="beta", description="gone")
    with refused("ResourceNotFoundException", "project/beta"):
        codebuild.start_build(projectName="beta")


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"type": "NO_SOURCE"}},
        {"source": {"type": "S3"}},
        {"source": {"type": "NO_SOURCE", "buildspec": "#" * 25_601}},
        {"environment": {**ENVIRONMENT, "imagePullCredentialsType": "SERVICE_ROLE"}},
        {"environment": {**ENVIRONMENT, "environmentVariables": variables(A="1") * 2}},
        {"environment": {**ENVIRONMENT, "computeType": "BUILD_LAMBDA_1GB"}},
        {"environment": {**ENVIRONMENT, "type": "WINDOWS_95"}},
        {"timeoutInMinutes": 3000},
        {"concurrentBuildLimit": 0},
        {"vpcConfig": {"vpcId": "vpc-1"}},
        {"name": "no spaces"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_project_may_not_be(cloud: Cloud, change: dict[str, Any]) -> None:
    with refused("InvalidInputException"):
        cloud.client("codebuild").create_project(**given(cloud, **change))


def test_the_service_role_must_trust_codebuild(cloud: Cloud) -> None:
    role = service_role(cloud, "other", "ec2.amazonaws.com", [])
    for arn in (role, role.replace("other", "absent")):
        with refused("InvalidInputException", "sts:AssumeRole"):
            cloud.client("codebuild").create_project(**given(cloud, serviceRole=arn))


# ------------------------------------------------------------------ who may


def test_calls_are_judged_by_project(cloud: Cloud, project: Project) -> None:
    project.make(SPEC)
    Project(cloud, "other").make(SPEC)
    actions = allow("codebuild:*", on=f"arn:aws:codebuild:*:*:project/{project.name}")
    somebody = cloud.client("codebuild", credentials=cloud.role("somebody", [actions]))
    identity = somebody.start_build(projectName="cloner")["build"]["id"]
    assert somebody.batch_get_builds(ids=[identity])["builds"][0]["initiator"] == "somebody/test"
    assert somebody.batch_get_projects(names=["cloner"])["projects"]
    other = Project(cloud, "other").start()
    for call in (
        lambda: somebody.start_build(projectName="other"),
        lambda: somebody.batch_get_builds(ids=[other]),
        lambda: somebody.stop_build(id=other),
        lambda: somebody.batch_get_projects(names=["cloner", "other"]),
        somebody.list_projects,
    ):
        with refused("AccessDeniedException"):
            call()


def test_the_role_of_a_batch_is_handed_over_too(cloud: Cloud) -> None:
    batch = service_role(cloud, "batch", "codebuild.amazonaws.com", [])
    request = given(cloud, buildBatchConfig={"serviceRole": batch})
    rest = [allow("codebuild:*"), allow("iam:PassRole", on=request["serviceRole"])]
    somebody = cloud.client("codebuild", credentials=cloud.role("somebody", rest))
    with refused("AccessDeniedException", "iam:PassRole", "role/batch"):
        somebody.create_project(**request)


# ------------------------------------------------------------------ builds


def test_a_build_ends_as_the_knob_says(cloud: Cloud, project: Project) -> None:
    project.make(SPEC)
    build = project.build()
    assert build.status == "SUCCEEDED"
    assert build.build["buildNumber"] == 1
    assert build.build["logs"]["groupName"] == "/aws/codebuild/cloner"
    assert build.build["id"].startswith("cloner:")
    cloud.knobs(codebuild__light="FAILED")
    build = project.build()
    assert build.status == "FAILED"
    assert build.build["buildNumber"] == 2
    assert "COMMAND_EXECUTION_ERROR" in build.contexts


def test_without_the_knob_a_build_says_why_it_cannot_run(cloud: Cloud) -> None:
    build = Project(cloud).make(SPEC).build()
    assert build.status == "FAULT"
    assert "FullCloud" in build.contexts


def test_overrides_are_of_one_build(project: Project) -> None:
    project.make(SPEC, environment={"environmentVariables": variables(A="1", B="2")})
    build = project.build(
        environmentVariablesOverride=variables(B="3", C="4"),
        timeoutInMinutesOverride=7,
        privilegedModeOverride=True,
        buildspecOverride=buildspec("echo other"),
    ).build
    assert build["environment"]["environmentVariables"] == variables(A="1", B="3", C="4")
    assert (build["timeoutInMinutes"], build["environment"]["privilegedMode"]) == (7, True)
    assert "echo other" in build["source"]["buildspec"]
    assert project.build().build["environment"]["environmentVariables"] == variables(A="1", B="2")


def test_builds_are_listed_newest_first(project: Project) -> None:
    project.make(SPEC)
    first, second = project.start(), project.start()
    codebuild = project.codebuild
    assert codebuild.list_builds_for_project(projectName="cloner")["ids"] == [second, first]
    assert codebuild.list_builds_for_project(projectName="cloner", sortOrder="ASCENDING")["ids"] == [first, second]
    assert codebuild.list_builds()["ids"] == [second, first]
    assert codebuild.batch_get_builds(ids=["cloner:absent"])["buildsNotFound"] == ["cloner:absent"]


def test_a_repeated_token_starts_nothing(cloud: Cloud, project: Project) -> None:
    project.make(SPEC)
    first, second = (project.start(idempotencyToken="one") for _number in range(2))
    assert first == second
    with refused("InvalidInputException", "mismatch"):
        project.start(idempotencyToken="one", timeoutInMinutesOverride=7)
    cloud.advance(301)
    assert project.start(idempotencyToken="one") != first


def test_the_concurrent_build_limit_refuses_builds(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="IN_PROGRESS")
    project.make(SPEC, concurrentBuildLimit=1)
    first = project.start()
    with refused("AccountLimitExceededException"):
        project.start()
    project.codebuild.stop_build(id=first)
    assert project.follow(first).status == "STOPPED"
    project.start()


def test_a_build_runs_out_of_time_on_the_clouds_clock(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="IN_PROGRESS")
    project.make(SPEC, timeoutInMinutes=10)
    identity = project.start()
    until(lambda: project.describe(identity)["currentPhase"] == "BUILD")
    cloud.advance(9 * 60)
    assert not project.describe(identity)["buildComplete"]
    cloud.advance(61)
    build = project.follow(identity)
    assert (build.status, build.phases["BUILD"]) == ("TIMED_OUT", "TIMED_OUT")


def test_a_build_is_retried_with_its_overrides(project: Project) -> None:
    project.make(SPEC)
    first = project.build(environmentVariablesOverride=variables(A="1")).build["id"]
    again = project.codebuild.retry_build(id=first)["build"]
    assert again["id"] != first
    assert again["environment"]["environmentVariables"] == variables(A="1")


@pytest.mark.parametrize("missing", ["logs:CreateLogGroup", "logs:CreateLogStream"])
def test_a_role_that_may_not_log_fails_the_build(cloud: Cloud, project: Project, missing: str) -> None:
    project.make(SPEC)
    statement = logging()
    statement["Action"].remove(missing)
    service_role(cloud, "cloner-build", "codebuild.amazonaws.com", [statement])
    build = project.build()
    assert build.status == "FAILED"
    assert build.phases["PROVISIONING"] == "FAILED"
    assert "ACCESS_DENIED" in build.contexts
    assert missing in build.contexts


def test_a_build_in_a_vpc_needs_network_interfaces(cloud: Cloud, project: Project) -> None:
    vpc = {"vpcId": "vpc-1", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    reading = ["DhcpOptions", "NetworkInterfaces", "Subnets", "SecurityGroups", "Vpcs"]
    actions = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", *(f"ec2:Describe{what}" for what in reading)]
    authorized = {"StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"}}
    interface = "arn:aws:ec2:*:*:network-interface/*"
    permission = allow("ec2:CreateNetworkInterfacePermission", on=interface, Condition=authorized)
    project.make(SPEC, allow(*actions), permission, vpcConfig=vpc)
    assert project.build().status == "SUCCEEDED"
    for statements in ([allow(*actions)], *([allow(*(a for a in actions if a != one)), permission] for one in actions)):
        service_role(cloud, "cloner-build", "codebuild.amazonaws.com", [logging(), *statements])
        build = project.build()
        assert build.status == "FAILED"
        assert "VPC_CLIENT_ERROR" in build.contexts


def test_a_role_that_trusts_codebuild_no_more_fails_the_build(cloud: Cloud, project: Project) -> None:
    project.make(SPEC)
    other = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    cloud.client("iam").update_assume_role_policy(RoleName="cloner-build", PolicyDocument=policy(other))
    build = project.build()
    assert build.status == "FAILED"
    assert "sts:AssumeRole" in build.contexts


def test_what_is_not_emulated_says_so(cloud: Cloud, project: Project) -> None:
    project.make(SPEC)
    with refused("NotEmulatedException", "artifacts"):
        cloud.client("codebuild").create_project(**given(cloud, name="x1", artifacts={"type": "S3", "location": "b"}))
    with refused("NotEmulatedException", "GITHUB"):
        source = {"type": "GITHUB", "location": "https://github.com/a/b"}
        cloud.client("codebuild").create_project(**given(cloud, name="x1", source=source))
    with refused("NotEmulatedException", "fleet"):
        environment = {**ENVIRONMENT, "fleet": {"fleetArn": "arn:aws:codebuild:eu-central-1:1:fleet/f"}}
        cloud.client("codebuild").create_project(**given(cloud, name="x1", environment=environment))
    with refused("NotEmulatedException", "gitCloneDepthOverride"):
        project.start(gitCloneDepthOverride=1)


# ------------------------------------------------------------------ batches

LIST = [{"identifier": f"shard{number}", "env": {"variables": {"SHARD": number}}} for number in range(4)]
BATCH_SPEC = buildspec("true", batch={"fast-fail": False, "build-list": LIST})


def batch_role(cloud: Cloud, *actions: str) -> dict[str, Any]:
    return {
        "serviceRole": service_role(cloud, "batch", "codebuild.amazonaws.com", [allow(*actions)] if actions else [])
    }


def follow_batch(project: Project, **request: Any) -> dict[str, Any]:
    identity = project.codebuild.start_build_batch(projectName=project.name, **request)["buildBatch"]["id"]
    return ended_batch(project, identity)


def ended_batch(project: Project, identity: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        batch: dict[str, Any] = project.codebuild.batch_get_build_batches(ids=[identity])["buildBatches"][0]
        return batch if batch["complete"] else None

    found: dict[str, Any] = until(ended)
    return found


def test_a_batch_is_its_list_of_builds(cloud: Cloud, project: Project) -> None:
    project.make(BATCH_SPEC, buildBatchConfig=batch_role(cloud, "codebuild:StartBuild", "codebuild:StopBuild"))
    batch = follow_batch(project)
    assert batch["buildBatchStatus"] == "SUCCEEDED"
    assert [group["identifier"] for group in batch["buildGroups"]] == ["shard0", "shard1", "shard2", "shard3"]
    arns = [group["currentBuildSummary"]["arn"] for group in batch["buildGroups"]]
    shards = set()
    for build in project.codebuild.batch_get_builds(ids=arns)["builds"]:
        assert build["buildBatchArn"] == batch["arn"]
        shards |= {one["value"] for one in build["environment"]["environmentVariables"] if one["name"] == "SHARD"}
    assert shards == {"0", "1", "2", "3"}


def test_a_batch_fails_with_its_builds(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="FAILED")
    project.make(BATCH_SPEC, buildBatchConfig=batch_role(cloud, "codebuild:StartBuild", "codebuild:StopBuild"))
    assert follow_batch(project)["buildBatchStatus"] == "FAILED"


@pytest.mark.parametrize(
    ("actions", "restrictions", "says"),
    [
        ([], {}, "codebuild:StartBuild"),
        (["codebuild:StartBuild"], {"maximumBuildsAllowed": 3}, "exceeds the maximum allowed 3"),
    ],
    ids=["role", "restriction"],
)
def test_what_keeps_a_batch_from_its_builds(
    cloud: Cloud, project: Project, actions: list[str], restrictions: dict[str, Any], says: str
) -> None:
    project.make(BATCH_SPEC, buildBatchConfig={**batch_role(cloud, *actions), "restrictions": restrictions})
    batch = follow_batch(project)
    assert batch["buildBatchStatus"] == "FAILED"
    assert batch["buildGroups"] == []
    assert says in str(batch["phases"])


def test_a_batch_needs_a_configuration(project: Project) -> None:
    project.make(BATCH_SPEC)
    with refused("InvalidInputException", "service role"):
        project.codebuild.start_build_batch(projectName="cloner")


def test_a_stopped_batch_stops_its_builds(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="IN_PROGRESS")
    project.make(BATCH_SPEC, buildBatchConfig=batch_role(cloud, "codebuild:StartBuild", "codebuild:StopBuild"))
    identity = project.codebuild.start_build_batch(projectName="cloner")["buildBatch"]["id"]
    until(lambda: len(project.codebuild.list_builds()["ids"]) == 4)
    project.codebuild.stop_build_batch(id=identity)
    batch = ended_batch(project, identity)
    assert batch["buildBatchStatus"] == "STOPPED"
    assert {group["currentBuildSummary"]["buildStatus"] for group in batch["buildGroups"]} == {"STOPPED"}


def test_builds_of_a_batch_wait_for_room(cloud: Cloud, project: Project) -> None:
    cloud.knobs(codebuild__light="IN_PROGRESS")
    config = batch_role(cloud, "codebuild:StartBuild", "codebuild:StopBuild")
    project.make(BATCH_SPEC, concurrentBuildLimit=1, buildBatchConfig=config)
    identity = project.codebuild.start_build_batch(projectName="cloner")["buildBatch"]["id"]
    ids = until(lambda: found if len(found := project.codebuild.list_builds()["ids"]) == 4 else None)
    until(lambda: "BUILD" in [project.describe(one)["currentPhase"] for one in ids])
    assert sorted(project.describe(one)["currentPhase"] for one in ids) == ["BUILD", "QUEUED", "QUEUED", "QUEUED"]
    cloud.knobs(codebuild__light="SUCCEEDED")
    assert ended_batch(project, identity)["buildBatchStatus"] == "SUCCEEDED"
