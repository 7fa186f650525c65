"""Starts, steers and reads a loopback cloud from a test. Imports nothing of the cloud's own environment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import boto3
import botocore.config

ROOT = Path(__file__).parents[1]  # what PYTHONPATH needs
REPOSITORY = Path(__file__).parents[3]
START_TIMEOUT = 30.0
# Of any account's root. Ansible hides secrets wherever they occur, so it is no word that anybody else would use.
ROOT_SECRET = "loopback-cloud-root-secret"


def cloud_python() -> str:
    """The interpreter of the cloud's own environment: ministack pins botocore, so it is not the collection's."""
    return os.environ.get("LOOPBACK_PYTHON", str(REPOSITORY / ".venv" / "cloud" / "bin" / "python"))


class CloudNotStarted(Exception):
    """The cloud did not come up; the message holds what it printed."""


class Cloud:
    """A cloud in light mode. `with Cloud() as cloud:` or start() and stop()."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self.directory = Path()
        self.url = ""
        self.account = self.region = self.registry = ""
        self.upstreams: dict[str, str] = {}

    def __enter__(self) -> Cloud:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # -------------------------------------------------------------- life

    def command(self) -> list[str]:
        where = ["--directory", str(self.directory), "--port", str(self._port), "--with-parent"]
        return [cloud_python(), "-m", "loopback", "light", *where]

    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="loopback-"))
        self._log = (self.directory / "log").open("w")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            self.command(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # The cloud stops when this pipe ends, which it does however this process ends.
            stdin=subprocess.PIPE,
            cwd=self.directory,
            env=environment,
            text=True,
            start_new_session=True,
            pass_fds=self.inherited_sockets(),
        )
        self._await_ready()

    def inherited_sockets(self) -> tuple[int, ...]:
        return ()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            if self._process.stdin:
                self._process.stdin.close()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def output(self) -> str:
        return (self.directory / "log").read_text()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            self.url = self._find_url()
            try:
                health = self._door("GET", "health", timeout=1) if self.url else None
            except OSError:
                health = None
            if health:
                self.account, self.region = health["account"], health["region"]
                self.registry, self.upstreams = health["registry"], health["upstreams"]
                return
            time.sleep(0.02)
        printed = self.output()
        self.stop()
        raise CloudNotStarted(f"the loopback cloud did not start; it printed:\n{printed}")

    def _find_url(self) -> str:
        """The address that the cloud says it listens on."""
        marker = "loopback cloud on "
        return next((line.removeprefix(marker) for line in self.output().splitlines() if line.startswith(marker)), "")

    # -------------------------------------------------------------- the door

    def _door(self, method: str, name: str, document: Any = None, timeout: float = 60) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/_cloud/{name}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{method} /_cloud/{name}: {error.read().decode()}") from error

    def reset(self) -> None:
        self._door("POST", "reset")

    def inject(self, *rules: dict[str, Any]) -> None:
        """Add faults; see loopback.faults.Rule for their fields."""
        self._door("POST", "faults", list(rules))

    def clear_faults(self) -> None:
        self._door("DELETE", "faults")

    def faults(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = self._door("GET", "faults")
        return rules

    def calls(self, op: str | None = None) -> list[dict[str, Any]]:
        """The calls so far; of one AWS operation if `op` is given."""
        log: list[dict[str, Any]] = self._door("GET", "log")
        return [call for call in log if op is None or call["op"] == op]

    def operations(self) -> list[str]:
        """The AWS operations called so far, in order."""
        return [call["op"] for call in self.calls() if call["op"]]

    def forget_calls(self) -> None:
        self._door("DELETE", "log")

    def knobs(self, **values: Any) -> None:
        """Set knobs; dots are written as two underscores: ecr__preview__polls=3."""
        self._door("POST", "knobs", {name.replace("__", "."): value for name, value in values.items()})

    def advance(self, seconds: float) -> None:
        self._door("POST", "clock", {"advance": seconds})

    def fire(self, *, schedule: str | None = None, rule: str | None = None, **where: str) -> dict[str, Any]:
        """Fire a schedule (NAME or GROUP/NAME) or a scheduled rule at once; of a schedule, what became of it."""
        named = {"schedule": schedule} if schedule is not None else {"rule": rule}
        told: dict[str, Any] = self._door("POST", "fire", {**named, **where})
        return told

    def publish(self, host: str, repository: str, tag: str, **more: Any) -> dict[str, Any]:
        """Put an image into an upstream; returns what was made, digests included. See loopback.content."""
        made: dict[str, Any] = self._door("PUT", "images", {"host": host, "repository": repository, "tag": tag, **more})
        return made

    # -------------------------------------------------------------- AWS

    def environment(self, account: str | None = None, credentials: dict[str, str] | None = None) -> dict[str, str]:
        """Environment variables with which any AWS tool talks to this cloud, as the account's root or a role."""
        keys = credentials or {"AccessKeyId": account or self.account, "SecretAccessKey": ROOT_SECRET}
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            **({"AWS_SESSION_TOKEN": keys["SessionToken"]} if "SessionToken" in keys else {}),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(
        self,
        service: str,
        *,
        account: str | None = None,
        region: str | None = None,
        credentials: dict[str, str] | None = None,
        attempts: int = 1,
    ) -> Any:
        """A boto3 client: as the root of an account by default, as a role with `credentials`."""
        keys = credentials or {"AccessKeyId": account or self.account, "SecretAccessKey": ROOT_SECRET}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region or self.region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )

    def role(self, name: str, statements: Iterable[dict[str, Any]], *, account: str | None = None) -> dict[str, str]:
        """Credentials of a role with exactly these statements; made or changed as needed."""
        account = account or self.account
        iam, sts = self.client("iam", account=account), self.client("sts", account=account)
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([trust]))
        iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=_policy(list(statements)))
        answer = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/{name}", RoleSessionName="test")
        credentials: dict[str, str] = answer["Credentials"]
        return credentials


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class FullCloud(Cloud):
    """A cloud in full mode: real host names, TLS, a real distribution, a Docker Engine. Needs root.

    The test stays outside the namespace and steers the cloud as in light mode; `run()` runs a command inside.
    """

    INNER_URL = "http://127.0.0.1:4566"

    def __init__(self) -> None:
        super().__init__()
        self._listener: socket.socket | None = None

    def command(self) -> list[str]:
        inside = [cloud_python(), "-m", "loopback", "full", "--directory", str(self.directory), "--with-parent"]
        control = str(self.inherited_sockets()[0])
        return ["unshare", "--mount", "--net", "--propagation", "private", "--", *inside, "--control-fd", control]

    def inherited_sockets(self) -> tuple[int, ...]:
        """A socket made out here keeps listening out here, whatever namespace its server moves into."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        return (self._listener.fileno(),)

    def stop(self) -> None:
        super().stop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _find_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}" if self._listener else ""

    def environment(self, account: str | None = None, credentials: dict[str, str] | None = None) -> dict[str, str]:
        bundle = str(self.directory / "bundle.pem")
        return {
            **super().environment(account, credentials),
            "AWS_ENDPOINT_URL": self.INNER_URL,
            "AWS_CA_BUNDLE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "DOCKER_HOST": f"unix://{self.directory}/docker.sock",
            "DOCKER_CONFIG": str(self.directory / "docker-config"),
        }

    def run(
        self,
        command: list[str],
        *,
        environment: dict[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the namespace; its exit status and output are the caller's to judge."""
        if self._process is None:
            raise CloudNotStarted("start() the cloud first")
        inside = ["nsenter", "--target", str(self._process.pid), "--mount", "--net", "--", *command]
        base = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return subprocess.run(
            inside,
            env={**base, **self.environment(), **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def make_host_image(self, name: str) -> None:
        """Make a small image whose programs are this machine's own, in the engine; see loopback.host_image."""
        self._door("POST", "host-image", {"name": name})

    def docker(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The Docker client against this cloud's own engine."""
        return self.run(["docker", *arguments], stdin=stdin)
