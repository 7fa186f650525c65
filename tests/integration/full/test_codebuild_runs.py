"""CodeBuild builds that really run: in a container, in the service role, with everything judged."""

from __future__ import annotations

import base64
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from builds import Project, buildspec, logging, service_role, until, variables
from ecr_api import allow, policy

from loopback.client import FullCloud

BUSYBOX = Path("/bin/busybox")


@pytest.fixture
def project(full: FullCloud) -> Project:
    full.knobs(host_image__venv=sys.prefix)
    return Project(full)


def phases(**given: Any) -> str:
    return buildspec(phases=given)


def login(full: FullCloud) -> None:
    answer = full.client("ecr").get_authorization_token()["authorizationData"][0]
    password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")[2]
    host = full.registry.removeprefix("https://")
    assert full.docker("login", "--username", "AWS", "--password-stdin", host, stdin=password).returncode == 0


# ------------------------------------------------------------------ commands and phases


def test_commands_run_in_one_shell(project: Project) -> None:
    commands = ["PLAIN='two words'", "export OUT=1; cd /tmp", 'echo "$PLAIN $OUT $(pwd)"', "sh -c 'exit 3' || echo $?"]
    build = project.make(buildspec(*commands)).build()
    assert build.status == "SUCCEEDED", build.log
    assert build.printed == ["two words 1 /tmp", "3"]


def test_bash_where_the_buildspec_asks_for_it(project: Project) -> None:
    spec = buildspec("list=(a b)", "say() { echo said ${list[1]}; }", "say", env={"shell": "bash"})
    assert project.make(spec).build().printed == ["said b"]


def test_a_failed_build_phase_is_followed_by_post_build(project: Project) -> None:
    spec = phases(
        pre_build={"commands": ["echo pre"], "finally": ["echo finally"]},
        build={"commands": ["echo build; exit 4", "echo never"], "finally": ["echo cleaned"]},
        post_build={"commands": ["echo post $CODEBUILD_BUILD_SUCCEEDING"]},
    )
    build = project.make(spec).build()
    assert build.status == "FAILED"
    assert build.printed == ["pre", "finally", "build", "cleaned", "post 0"]
    assert (build.phases["PRE_BUILD"], build.phases["BUILD"], build.phases["POST_BUILD"]) == (
        "SUCCEEDED",
        "FAILED",
        "SUCCEEDED",
    )
    assert "Reason: exit status 4" in build.contexts
    assert "Phase complete: BUILD State: FAILED" in "\n".join(build.log)


@pytest.mark.parametrize(
    ("phase", "on_failure", "ran"),
    [
        ("pre_build", None, ["pre_build"]),
        ("pre_build", "CONTINUE", ["pre_build", "build", "post_build"]),
        ("build", "ABORT", ["pre_build", "build"]),
    ],
)
def test_what_runs_after_a_failure(project: Project, phase: str, on_failure: str | None, ran: list[str]) -> None:
    given: dict[str, Any] = {name: {"commands": [f"echo {name}"]} for name in ("pre_build", "build", "post_build")}
    given[phase]["commands"].append("false")
    if on_failure:
        given[phase]["on-failure"] = on_failure
    build = project.make(phases(**given)).build()
    assert (build.status, build.printed) == ("FAILED", ran)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("version: 0.2\nphases: [", "YAML"),
        ("version: 0.3\nphases: {build: {commands: [x]}}", "version"),
        ("version: 0.2\nphases: {build: {commands: [{echo a: b}]}}", "commands"),
    ],
    ids=["yaml", "version", "colon"],
)
def test_a_buildspec_that_cannot_be_read(project: Project, spec: str, says: str) -> None:
    build = project.make(spec).build()
    assert build.phases["DOWNLOAD_SOURCE"] == "FAILED"
    assert "YAML_FILE_ERROR" in build.contexts
    assert says in build.contexts


def test_exported_variables_are_shown(project: Project) -> None:
    spec = buildspec("export DIGEST=sha256:1", env={"exported-variables": ["DIGEST", "UNSET"]})
    shown = project.make(spec).build().build["exportedEnvironmentVariables"]
    assert shown == [{"name": "DIGEST", "value": "sha256:1"}, {"name": "UNSET", "value": ""}]


# ------------------------------------------------------------------ the role


def test_programs_act_in_the_service_role(project: Project) -> None:
    ask = 'python3 -c \'import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])\''
    build = project.make(buildspec(ask, "aws sts get-caller-identity --query Account --output text")).build()
    assert build.status == "SUCCEEDED", build.log
    assert build.printed[0].startswith(f"arn:aws:sts::{project.cloud.account}:assumed-role/cloner-build/AWSCodeBuild-")
    assert build.printed[1] == project.cloud.account


def test_the_service_role_may_do_what_its_policy_says(project: Project) -> None:
    create = "aws ecr create-repository --repository-name {} --query repository.repositoryName --output text"
    one = allow("ecr:CreateRepository", on="arn:aws:ecr:*:*:repository/ours/*")
    build = project.make(buildspec(create.format("ours/app"), create.format("other/app")), one).build()
    assert build.status == "FAILED"
    assert build.printed[0] == "ours/app"
    assert "not authorized to perform: ecr:CreateRepository" in "\n".join(build.printed)


SETTINGS = {
    "variables": {"A": "buildspec", "B": "buildspec"},
    "parameter-store": {"TOKEN": "/cloner/token"},
    "secrets-manager": {"LOGIN": "hub:accessToken"},
}
READS = {
    "ssm:GetParameters": "arn:aws:ssm:*:*:parameter/cloner/token",
    "secretsmanager:GetSecretValue": "arn:aws:secretsmanager:*:*:secret:hub-*",
}


def with_settings(project: Project, *statements: dict[str, Any]) -> Project:
    cloud = project.cloud
    cloud.client("ssm").put_parameter(Name="/cloner/token", Value="parameter-value", Type="SecureString")
    cloud.client("secretsmanager").create_secret(Name="hub", SecretString=json.dumps({"accessToken": "secret-value"}))
    spec = buildspec('echo "$A $B $C $TOKEN"', 'echo "$TOKEN $LOGIN" | base64', env=SETTINGS)
    return project.make(spec, *statements, environment={"environmentVariables": variables(B="project", C="project")})


def test_parameters_and_secrets_are_read_in_the_role_and_masked(project: Project) -> None:
    with_settings(project, *(allow(action, on=resource) for action, resource in READS.items()))
    build = project.build(environmentVariablesOverride=variables(C="start"))
    assert build.status == "SUCCEEDED", build.contexts
    assert build.printed[0] == "buildspec project start ***"
    assert base64.b64decode(build.printed[1]).decode() == "parameter-value secret-value\n"


@pytest.mark.parametrize("missing", READS)
def test_a_role_that_may_not_read_them_fails_the_build(project: Project, missing: str) -> None:
    with_settings(project, *(allow(action, on=resource) for action, resource in READS.items() if action != missing))
    build = project.build()
    assert build.phases["DOWNLOAD_SOURCE"] == "FAILED"
    assert f"not authorized to perform: {missing}" in build.contexts


def test_a_role_that_may_not_write_its_log_fails_the_build(project: Project) -> None:
    project.make(buildspec("echo unheard"))
    statement = logging()
    statement["Action"].remove("logs:PutLogEvents")
    service_role(project.cloud, "cloner-build", "codebuild.amazonaws.com", [statement])
    build = project.build()
    assert (build.status, build.log) == ("FAILED", [])
    assert "logs:PutLogEvents" in build.contexts


def test_sources_come_from_s3_in_the_role(project: Project) -> None:
    s3 = project.cloud.client("s3")
    s3.create_bucket(Bucket="jobs", CreateBucketConfiguration={"LocationConstraint": project.cloud.region})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("buildspec.yml", buildspec("cat lists/images"))
        packed.writestr("lists/images", "busybox\n")
    s3.put_object(Bucket="jobs", Key="job.zip", Body=archive.getvalue())
    reading = allow("s3:GetObject", on="arn:aws:s3:::jobs/*")
    project.make(buildspec("cat lists/images"), reading, source={"type": "S3", "location": "jobs/job.zip"})
    assert project.build().printed == ["busybox"]
    service_role(project.cloud, "cloner-build", "codebuild.amazonaws.com", [logging()])
    assert "403" in project.build().contexts


# ------------------------------------------------------------------ images and the engine


PULLING = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@pytest.fixture
def own_image(full: FullCloud) -> str:
    """An image in ECR that has a shell and Python."""
    full.client("ecr").create_repository(repositoryName="tools/runner")
    image = f"{full.registry.removeprefix('https://')}/tools/runner:1"
    full.make_host_image(image)
    login(full)
    assert full.docker("push", image).returncode == 0
    full.docker("rmi", image)
    return image


def test_an_own_image_is_pulled_in_the_role(project: Project, own_image: str) -> None:
    environment = {"image": own_image, "imagePullCredentialsType": "SERVICE_ROLE"}
    project.make(buildspec("python3 -m pip --version > /dev/null && echo ready"), environment=environment)
    for missing in PULLING:
        may = allow(*(action for action in PULLING if action != missing))
        service_role(project.cloud, "cloner-build", "codebuild.amazonaws.com", [logging(), may])
        build = project.build()
        assert build.phases["PROVISIONING"] == "FAILED"
        assert "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE" in build.contexts
        assert missing in build.contexts
    service_role(project.cloud, "cloner-build", "codebuild.amazonaws.com", [logging(), allow(*PULLING)])
    build = project.build()
    assert (build.status, build.printed) == ("SUCCEEDED", ["ready"]), build.contexts


def test_an_image_of_ones_own_needs_the_service_role(project: Project, own_image: str) -> None:
    project.make(buildspec("true"), allow(*PULLING), environment={"image": own_image})
    assert "SERVICE_ROLE" in project.build().contexts


def test_only_privileged_builds_have_an_engine(project: Project) -> None:
    project.make(buildspec("docker version --format '{{.Server.Os}}'"))
    assert "Cannot connect to the Docker daemon" in "\n".join(project.build().printed)
    assert project.build(privilegedModeOverride=True).printed == ["linux"]


def test_a_build_clones_with_docker(project: Project) -> None:
    full = project.cloud
    assert isinstance(full, FullCloud)
    binary = base64.b64encode(BUSYBOX.read_bytes()).decode()
    full.publish("registry-1.docker.io", "library/bb", "1", files={"bin/busybox": {"base64": binary, "mode": 0o755}})
    full.client("ecr").create_repository(repositoryName="clones/bb")
    host = full.registry.removeprefix("https://")
    target = f"{host}/clones/bb:1"
    commands = [
        f"aws ecr get-login-password | docker login --username AWS --password-stdin {host} 2>/dev/null",
        """printf 'FROM bb:1\\nRUN ["/bin/busybox", "mkdir", "/made"]\\n' > Dockerfile""",
        f"DOCKER_BUILDKIT=0 docker build --quiet --tag {target} . 2>/dev/null",
        f"docker push --quiet {target}",
        f"docker rmi --force bb:1 {target} > /dev/null",
    ]
    actions = [
        "BatchCheckLayerAvailability",
        "InitiateLayerUpload",
        "UploadLayerPart",
        "CompleteLayerUpload",
        "PutImage",
    ]
    pushing = allow(
        "ecr:BatchGetImage", *(f"ecr:{action}" for action in actions), on="arn:aws:ecr:*:*:repository/clones/*"
    )
    project.make(
        buildspec(*commands), pushing, allow("ecr:GetAuthorizationToken"), environment={"privilegedMode": True}
    )
    build = project.build()
    assert build.status == "SUCCEEDED", "\n".join(build.log)
    (image,) = full.client("ecr").describe_images(repositoryName="clones/bb")["imageDetails"]
    assert image["imageTags"] == ["1"]


def test_requirements_that_are_there_need_no_index(project: Project) -> None:
    pinned = "import ansible.release as r; print(f'ansible-core=={r.__version__} --hash=sha256:' + '0' * 64)"
    commands = [
        f'python3 -c "{pinned}" > requirements.txt',
        "python3 -m pip install --no-deps --require-hashes -r requirements.txt",
        "ansible --version | head -n 1",
    ]
    build = project.make(buildspec(*commands)).build()
    assert build.status == "SUCCEEDED", "\n".join(build.log)
    assert build.printed[-1].startswith("ansible [core")


# ------------------------------------------------------------------ how builds end


def test_a_stopped_build_leaves_no_container(project: Project) -> None:
    project.make(buildspec("echo started; sleep 600"))
    identity = project.start()
    until(lambda: "started" in project.log(project.describe(identity)))
    project.codebuild.stop_build(id=identity)
    build = project.follow(identity)
    assert (build.status, build.phases["BUILD"]) == ("STOPPED", "STOPPED")
    assert containers(project) == ""


def test_a_build_out_of_time_leaves_no_container(project: Project) -> None:
    project.make(buildspec("echo started; sleep 600"), timeoutInMinutes=5)
    identity = project.start()
    until(lambda: "started" in project.log(project.describe(identity)))
    project.cloud.advance(301)
    assert project.follow(identity).status == "TIMED_OUT"
    assert containers(project) == ""


def test_a_reset_ends_what_runs(project: Project) -> None:
    project.make(buildspec("echo started; sleep 600"))
    identity = project.start()
    until(lambda: "started" in project.log(project.describe(identity)))
    project.cloud.reset()
    assert containers(project) == ""


def test_a_cloud_ends_with_its_containers() -> None:
    with FullCloud() as cloud:
        project = Project(cloud).make(buildspec("echo started; exec sleep 74123"))
        identity = project.start()
        until(lambda: "started" in project.log(project.describe(identity)))
        assert sleepers()
    assert not sleepers()


def sleepers() -> list[str]:
    """Processes that only the build above starts."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.split(b"\0")[:2] == [b"sleep", b"74123"]:
            found.append(path.parent.name)
    return found


def containers(project: Project) -> str:
    assert isinstance(project.cloud, FullCloud)
    return project.cloud.docker("ps", "--all", "--quiet").stdout.strip()


# ------------------------------------------------------------------ batches


def test_a_batch_runs_each_shard_once(project: Project) -> None:
    shards = [{"identifier": f"shard{number}", "env": {"variables": {"SHARD": number}}} for number in range(4)]
    spec = buildspec("echo $SHARD of $CODEBUILD_BATCH_BUILD_IDENTIFIER", batch={"build-list": shards})
    may = [allow("codebuild:StartBuild", "codebuild:StopBuild")]
    role = service_role(project.cloud, "batch", "codebuild.amazonaws.com", may)
    project.make(spec, buildBatchConfig={"serviceRole": role})
    identity = project.codebuild.start_build_batch(projectName="cloner")["buildBatch"]["id"]
    batch: dict[str, Any] = until(
        lambda: (
            one
            if (one := project.codebuild.batch_get_build_batches(ids=[identity])["buildBatches"][0])["complete"]
            else None
        )
    )
    assert batch["buildBatchStatus"] == "SUCCEEDED"
    arns = [group["currentBuildSummary"]["arn"] for group in batch["buildGroups"]]
    printed = [project.follow(arn).printed for arn in arns]
    assert printed == [[f"{number} of shard{number}"] for number in range(4)]


def test_trust_may_be_for_this_project_only(project: Project) -> None:
    """The confused deputy: aws:SourceArn is the project."""
    project.make(buildspec("true"))
    trust = {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}
    arn = f"arn:aws:codebuild:{project.cloud.region}:{project.cloud.account}:project/"
    iam = project.cloud.client("iam")
    for name, status in (("cloner", "SUCCEEDED"), ("other", "FAILED")):
        condition = {"ArnEquals": {"aws:SourceArn": arn + name}}
        document = policy({**trust, "Condition": condition})
        iam.update_assume_role_policy(RoleName="cloner-build", PolicyDocument=document)
        assert project.build().status == status
