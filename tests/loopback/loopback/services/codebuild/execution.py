"""The life of one build, from its queue to its end, in a thread of its own."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError

from loopback import acting, aws, cloud, engine
from loopback.acting import Actor, reason
from loopback.clock import clock
from loopback.engine import Container, EngineError
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented
from loopback.knobs import knobs
from loopback.log_streams import LogStream
from loopback.runs import Run
from loopback.services import container_credentials
from loopback.services.codebuild import projects, source, state, surroundings
from loopback.services.codebuild.buildspec import PHASES, Buildspec, BuildspecError, Phase, parse
from loopback.services.codebuild.guard import SERVICE
from loopback.services.codebuild.record import Build, PhaseFailed, Stopped
from loopback.services.codebuild.shell import INSIDE, Shell

_NO_CONTAINERS = (
    "the loopback cloud runs containers in full mode only (FullCloud); in light mode the knob codebuild.light says how "
    "builds end: SUCCEEDED, FAILED, or IN_PROGRESS until it says otherwise"
)
_IN_A_VPC = (
    *("ec2:CreateNetworkInterface", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DeleteNetworkInterface", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"),
)
_FOREVER = ["-c", "while :; do sleep 3600; done"]


def execute(build: Build, run: Run) -> None:
    build.run = run
    work = _Work(build, run)
    try:
        status = work.do()
    except PhaseFailed as failure:
        status = failure.status
    finally:
        work.close()
    build.complete(run.stopped or status)


@dataclass
class _Work:
    build: Build
    run: Run
    ending: ExitStack = field(default_factory=ExitStack)
    log: LogStream | None = None
    variables: surroundings.Variables = field(default_factory=surroundings.Variables)

    def do(self) -> str:
        """All phases in their order; how the build ends."""
        with contextlib.suppress(Stopped):
            with self.build.phase("QUEUED"):
                self._queue()
            with self.build.phase("PROVISIONING"):
                self._check()
                actor = self._assume()
                self._enter_network(actor)
                self._open_log(actor)
                shell = self._provision(actor) if cloud.running().runs_containers else None
            if shell is None:
                with self.build.phase("BUILD"):
                    self._play()
            else:
                with self.build.phase("DOWNLOAD_SOURCE"):
                    spec = self._download(actor, shell)
                self._run_phases(spec, shell)
            for name in ("UPLOAD_ARTIFACTS", "FINALIZING"):
                with self.build.phase(name):
                    self._check()
                    if name == "FINALIZING":
                        self._finalize()
        return "SUCCEEDED" if self.build.succeeding else "FAILED"

    def close(self) -> None:
        self.ending.close()

    def _check(self) -> None:
        if self.run.stopped:
            raise Stopped

    # -------------------------------------------------------------- before the container

    @assumed("a build of a batch waits for room where StartBuild would refuse")
    def _queue(self) -> None:
        place, me = state.here(), self.build
        while me.wait_for_room and not self._is_next(list(place.builds.values())):
            self._check()
            self.run.wait(0.05)
        self._check()
        self.run.deadline = clock.now() + 60 * me.project["timeoutInMinutes"]

    def _is_next(self, builds: list[Build]) -> bool:
        limit = self.build.project.get("concurrentBuildLimit")
        ours = [b for b in builds if b.document["projectName"] == self.build.project["name"] and b.is_running]
        return limit is None or self.build in ours[:limit]

    def _assume(self) -> Actor:
        identity = self.build.identity.partition(":")[2]
        project_arn = state.project_arn(self.build.project["name"])
        try:
            return acting.assume(self.build.project["serviceRole"], SERVICE, f"AWSCodeBuild-{identity}", project_arn)
        except AwsError as error:
            raise PhaseFailed("ACCESS_DENIED", f"Error calling sts:AssumeRole: {error.message}") from error

    @documented("CodeBuild user guide, auth-and-access-control-iam-identity-based: network interfaces in a VPC")
    @assumed("each of the actions is asked for before the build starts; no interface is made")
    def _enter_network(self, actor: Actor) -> None:
        if not self.build.project.get("vpcConfig"):
            return
        interface = aws.arn("ec2", "network-interface/*")
        subnets = [aws.arn("ec2", f"subnet/{name}") for name in self.build.project["vpcConfig"]["subnets"]]
        permission = {"ec2:Subnet": subnets[0], "ec2:AuthorizedService": SERVICE}
        wanted: list[tuple[str, str, dict[str, str]]] = [(action, "*", {}) for action in _IN_A_VPC]
        for action, resource, context in [*wanted, ("ec2:CreateNetworkInterfacePermission", interface, permission)]:
            refused = aws.denial(actor.credentials()["AccessKeyId"], action, resource, context)
            if refused:
                raise PhaseFailed("VPC_CLIENT_ERROR", f"Unexpected EC2 error: UnauthorizedOperation: {refused}")

    @documented("CodeBuild user guide, troubleshooting: log streams are made with the service role")
    def _open_log(self, actor: Actor) -> None:
        logs = self.build.document["logs"]
        if "groupName" not in logs:
            return
        log = LogStream(actor, logs["groupName"], logs["streamName"])
        try:
            log.open(create_group=True)
        except ClientError as error:
            message = (
                f"Service role {actor.role_arn} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log "
                f"streams for build {self.build.document['arn']}. Error message: {reason(error)}"
            )
            raise PhaseFailed("ACCESS_DENIED", message) from error
        self.log = log
        self.ending.callback(log.close)

    @assumed("no behaviour of AWS's: in light mode a knob says how builds end")
    def _play(self) -> None:
        while (outcome := knobs.get("codebuild.light", None)) == "IN_PROGRESS":
            self._check()
            self.run.wait(0.05)
        if outcome is None:
            raise PhaseFailed("INTERNAL_ERROR", _NO_CONTAINERS, "FAULT")
        if outcome != "SUCCEEDED":
            raise PhaseFailed("COMMAND_EXECUTION_ERROR", "the knob codebuild.light says so", outcome)

    # -------------------------------------------------------------- the container

    def _provision(self, actor: Actor) -> Shell:
        work = Path(self.ending.enter_context(tempfile.TemporaryDirectory(dir=cloud.running().settings.directory)))
        for name in ("run", "source"):
            (work / name).mkdir(mode=0o777)
        environment = self.build.project["environment"]
        try:
            image = self.ending.enter_context(self._image(actor))
            container = Container(
                image,
                environment={"HOME": "/root", **container_credentials.environment(actor, self.ending)},
                entrypoint="/bin/sh",
                command=_FOREVER,
                mounts=[(work / "run", INSIDE), (work / "source", surroundings.SOURCE_DIRECTORY)],
                with_engine=bool(environment.get("privilegedMode")),
                options=["--user", "0"],
            )
            self.ending.callback(container.remove)
            self.run.on_stop(lambda _why: container.kill())
            container.start()
        except EngineError as error:
            self._check()
            message = f"Unable to pull customer's container image. {error}"
            raise PhaseFailed("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", message) from error
        return Shell(container, work / "run")

    @contextlib.contextmanager
    def _image(self, actor: Actor) -> Iterator[str]:
        environment = self.build.project["environment"]
        image, own = environment["image"], environment.get("imagePullCredentialsType") == "SERVICE_ROLE"
        if projects.is_curated(image):
            yield engine.own_image()
        else:
            if engine.is_ecr(image) and not own:
                raise EngineError(_refused_to_codebuild(image))
            with engine.pulled(image, actor if own else None) as pulled:
                yield pulled

    def _download(self, actor: Actor, shell: Shell) -> Buildspec:
        given, directory = self.build.project["source"], shell.directory.parent / "source"
        self._check()
        source.fetch(actor, given, self.build.project.get("sourceVersion"), directory)
        try:
            spec = parse(source.buildspec_text(actor, given, directory))
            self.variables = surroundings.variables(actor, self.build, spec)
        except BuildspecError as error:
            raise self._said(PhaseFailed("YAML_FILE_ERROR", str(error))) from error
        except PhaseFailed as failure:
            raise self._said(failure) from failure
        shell.program = spec.shell
        shell.prepare(self.variables.values, surroundings.SOURCE_DIRECTORY)
        return spec

    def _said(self, failure: PhaseFailed) -> PhaseFailed:
        self._say_phase("DOWNLOAD_SOURCE", "FAILED", failure)
        return failure

    # -------------------------------------------------------------- phases of the buildspec

    @documented("CodeBuild user guide, view-build-details-phases: post_build follows build even when that failed")
    @assumed("a build in which a phase failed is FAILED, also when on-failure is CONTINUE")
    def _run_phases(self, spec: Buildspec, shell: Shell) -> None:
        for name in PHASES:
            phase = spec.phases.get(name, Phase())
            failed = False
            with contextlib.suppress(PhaseFailed):
                failed = True
                with self.build.phase(name.upper()):
                    self._check()
                    self._run_phase(name, phase, shell)
                failed = False
            self._check()
            goes_on = phase.on_failure == "CONTINUE" or (name == "build" and phase.on_failure != "ABORT")
            if failed and not goes_on:
                break
        if exported := spec.env.get("exported-variables"):
            self.build.document["exportedEnvironmentVariables"] = [
                {"name": name, "value": value} for name, value in shell.value_of(exported).items()
            ]

    def _run_phase(self, name: str, phase: Phase, shell: Shell) -> None:
        self._say(f"Entering phase {name.upper()}")
        failure: PhaseFailed | None = None
        for command in phase.commands:
            if failure := self._run_command(command, shell, succeeding=self.build.succeeding):
                break
        for command in phase.finally_:
            fault = self._run_command(command, shell, succeeding=self.build.succeeding and failure is None)
            failure = failure or fault
            if fault:
                break
        self._say_phase(name.upper(), "FAILED" if failure else "SUCCEEDED", failure)
        if failure:
            raise failure

    def _run_command(self, command: str, shell: Shell, *, succeeding: bool) -> PhaseFailed | None:
        self._check()
        self._say(f"Running command {command.rstrip()}")
        code = shell.run(command, succeeding=succeeding, say=self._print)
        self._check()
        if code == 0:
            return None
        self._say(f"Command did not exit successfully {command.rstrip()} exit status {code}")
        message = f"Error while executing command: {command.rstrip()}. Reason: exit status {code}"
        return PhaseFailed("COMMAND_EXECUTION_ERROR", message)

    @assumed("a role that may not write log events fails the build at its end")
    def _finalize(self) -> None:
        if self.log is None:
            return
        self.log.close()
        if self.log.failure is not None:
            message = f"Error writing to Amazon CloudWatch Logs: {reason(self.log.failure)}"
            raise PhaseFailed("ACCESS_DENIED", message)

    # -------------------------------------------------------------- the log

    def _say_phase(self, name: str, status: str, failure: PhaseFailed | None = None) -> None:
        self._say(f"Phase complete: {name} State: {status}")
        code, message = (failure.code, failure.message) if failure else ("", "")
        self._say(f"Phase context status code: {code} Message: {message}")

    def _say(self, line: str) -> None:
        stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(clock.now()))
        self._print(f"[Container] {stamp} {line}")

    def _print(self, line: str) -> None:
        if self.log is not None:
            self.log.write(self.variables.mask(line))


@documented("CodeBuild API reference, ProjectEnvironment: CODEBUILD credentials need the repository's policy to say so")
@assumed("such repository policies are not emulated: the pull is refused")
def _refused_to_codebuild(image: str) -> str:
    return f"pull access denied for {image}: repository policy does not let CodeBuild pull (use SERVICE_ROLE)"
