"""One container on Fargate, for ECS and Batch: started with the execution role, run in the task's own role.

In light mode no container runs: the knob tasks.light says how tasks end, by exit code, or "RUNNING" for as long as it
says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from loopback import acting, cloud, engine, references, runs
from loopback.acting import Actor, reason
from loopback.engine import Container, EngineError
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, note
from loopback.knobs import knobs
from loopback.log_streams import LogStream
from loopback.references import Unresolved
from loopback.runs import Run
from loopback.services import container_credentials

Json = dict[str, Any]
SERVICE = "ecs-tasks.amazonaws.com"
_STOP_TIMEOUT = 30
_GIB = 1024
_NO_CONTAINERS = (
    "the loopback cloud runs containers in full mode only (FullCloud); in light mode the knob tasks.light says how "
    "tasks end: an exit code, or RUNNING"
)

note("fargate", "assumed", "CPU, memory and ephemeral storage are checked and not enforced")


class NotStarted(Exception):
    """The container never ran: what `stoppedReason` says."""


@dataclass
class Order:
    """What to run. `definition` is a container definition of ECS, overrides included."""

    definition: Json
    execution_role: str | None
    task_role: str | None
    source_arn: str
    stream: str  # of the log, after its prefix
    variables: dict[str, str] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    on_running: Callable[[str], None] = lambda _digest: None


def run(order: Order, run: Run) -> int:
    """Run the container to its end; its exit code. NotStarted where it does not come that far."""
    with ExitStack() as ending:
        executor = _assume(order.execution_role, order)
        log = _log(order, executor, ending)
        secrets = _secrets(order, executor)
        task = _assume(order.task_role, order)
        if not cloud.running().runs_containers:
            return _play(order, run)
        try:
            image = ending.enter_context(engine.pulled(order.definition["image"], executor))
            container = _container(order, image, secrets, task, ending)
            ending.callback(container.remove)
            run.on_stop(lambda why: _end(container, order, why))
            container.create()
            order.on_running(container.image_digest)
            for line in container.lines():
                if log is not None:
                    log.write(line)
            return container.exit_code
        except EngineError as error:
            raise NotStarted(_pull_error(order.definition["image"], error)) from error


@assumed("wording")
def _assume(role: str | None, order: Order) -> Actor | None:
    if not role:
        return None
    try:
        return acting.assume(role, SERVICE, order.source_arn.rpartition("/")[2], order.source_arn)
    except AwsError as error:
        message = f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
        raise NotStarted(message + "role being passed has the proper trust relationship and permissions") from error


@documented("ECS developer guide, using_awslogs: the execution role makes the stream, and the group if it is told to")
@assumed("wording, as users quote it")
def _log(order: Order, executor: Actor | None, ending: ExitStack) -> LogStream | None:
    settings = order.definition.get("logConfiguration") or {}
    if settings.get("logDriver") != "awslogs" or executor is None:
        return None
    options = settings.get("options") or {}
    stream = "/".join(filter(None, [options.get("awslogs-stream-prefix"), order.stream]))
    log = LogStream(executor, options["awslogs-group"], stream)
    try:
        log.open(create_group=options.get("awslogs-create-group") == "true")
    except ClientError as error:
        raise NotStarted(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            f"failed to create Cloudwatch log stream: {reason(error)}"
        ) from error
    ending.callback(log.close)
    return log


@documented("ECS developer guide, secrets-envvar: read with the execution role before the container starts")
@assumed("wording, as users quote it")
def _secrets(order: Order, executor: Actor | None) -> dict[str, str]:
    found = {}
    for secret in order.definition.get("secrets") or []:
        name, source = secret["name"], secret["valueFrom"]
        is_secret = ":secretsmanager:" in source
        if executor is None:
            raise NotStarted("ResourceInitializationError: secrets need an execution role")
        try:
            found[name] = (references.secret if is_secret else references.parameter)(executor, source)
        except Unresolved as error:
            kind = "secret from asm" if is_secret else "secrets from ssm"
            raise NotStarted(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
                f"failed: unable to retrieve {kind}: service call has been retried 1 time(s): {error}"
            ) from error
    return found


@assumed("wording, as users quote it")
def _pull_error(image: str, error: EngineError) -> str:
    if "ecr:GetAuthorizationToken" in str(error):
        return (
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
            f"failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): {error}"
        )
    return f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to pull {image}: {error}"


@assumed("no behaviour of AWS's: in light mode a knob says how tasks end")
def _play(order: Order, run: Run) -> int:
    outcome = knobs.get("tasks.light", None)
    if outcome is None:
        raise NotStarted(_NO_CONTAINERS)
    order.on_running("")
    while outcome == "RUNNING" and not run.wait(0.02):
        outcome = knobs.get("tasks.light", None)
    return 143 if run.stopped else int(outcome or 0)


# ------------------------------------------------------------------ the container


@documented("ECS API reference, ContainerDefinition; developer guide, task-metadata-endpoint-v4-fargate")
def _container(order: Order, image: str, secrets: dict[str, str], task: Actor | None, ending: ExitStack) -> Container:
    definition = order.definition
    region = order.source_arn.split(":")[3]
    environment = {"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE", "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    # Nobody answers there, but the address tells a container which task it belongs to.
    identity = order.source_arn.rpartition("/")[2]
    environment["ECS_CONTAINER_METADATA_URI_V4"] = f"http://169.254.170.2/v4/{identity}-0"
    environment |= {**engine.surroundings(), **(container_credentials.environment(task, ending) if task else {})}
    environment |= {one["name"]: one["value"] for one in definition.get("environment") or []}
    entrypoint, command = list(definition.get("entryPoint") or []), list(definition.get("command") or [])
    return Container(
        image,
        environment={**environment, **secrets, **order.variables},
        entrypoint=entrypoint[0] if entrypoint else None,
        command=[*entrypoint[1:], *command],
        options=_options(order),
    )


def _options(order: Order) -> list[str]:
    definition = order.definition
    options = ["--read-only"] if definition.get("readonlyRootFilesystem") else []
    for option, member in (("--user", "user"), ("--workdir", "workingDirectory")):
        if definition.get(member):
            options += [option, str(definition[member])]
    for mount in definition.get("mountPoints") or []:
        if mount["sourceVolume"] in order.volumes:
            options += ["--volume", mount["containerPath"]]
    return options


@documented("ECS API reference, StopTask: SIGTERM, and SIGKILL after 30 seconds or the container's stopTimeout")
def _end(container: Container, order: Order, why: str) -> None:
    if why == runs.CLOUD_ENDS:
        container.kill()
    else:
        container.stop(int(order.definition.get("stopTimeout") or _STOP_TIMEOUT))


# ------------------------------------------------------------------ sizes

_SIZES: dict[int, range | tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: range(1, 5),
    1024: range(2, 9),
    2048: range(4, 17),
    4096: range(8, 31),
    8192: range(16, 61, 4),
    16384: range(32, 121, 8),
    32768: (60 * _GIB, 120 * _GIB, 244 * _GIB),
}


@documented("ECS developer guide, fargate-tasks-services: task CPU and memory")
def is_size(cpu: int, memory: int) -> bool:
    """Whether Fargate has tasks with so many CPU units and so many MiB."""
    allowed = _SIZES.get(cpu, ())
    return memory in ([gib * _GIB for gib in allowed] if isinstance(allowed, range) else allowed)


def units(text: str) -> int:
    """CPU units or MiB, as a task definition may write them: 1024, `1 vCPU`, `2 GB`."""
    number, _space, unit = text.strip().partition(" ")
    with contextlib.suppress(ValueError):
        return int(float(number) * (_GIB if unit.lower() in ("vcpu", "gb") else 1))
    return 0
