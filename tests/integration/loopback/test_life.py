"""How a cloud comes and goes: alone on loopback, and never longer than whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopback.client import ROOT, Cloud, CloudNotStarted

TESTS = Path(__file__).parents[2]


def listeners(pid: int) -> list[str]:
    """The addresses that a process listens on, from /proc."""
    mine = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                found.append(fields[1].partition(":")[0])
    return found


def test_listens_on_loopback_only(light_cloud: Cloud) -> None:
    assert light_cloud._process is not None
    addresses = listeners(light_cloud._process.pid)
    assert len(addresses) > 10
    # /proc writes addresses with the lowest byte first: 127.0.0.1 is 0100007F.
    assert all(len(address) == 8 and address.endswith("7F") for address in addresses)


def test_two_clouds_know_nothing_of_each_other(cloud: Cloud) -> None:
    with Cloud() as other:
        other.client("ecr").create_repository(repositoryName="team/app")
        assert cloud.client("ecr").describe_repositories()["repositories"] == []


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CloudNotStarted) as caught:
            Cloud(port=port).start()
    assert f"port {port} is taken on 127.0.0.1" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_cloud_ends_with_its_parent_and_leaves_nothing(number: signal.Signals) -> None:
    script = (
        "from loopback.client import Cloud\n"
        "import time\n"
        "cloud = Cloud()\n"
        "cloud.start()\n"
        "print(cloud.url, cloud.directory, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        url, directory = parent.stdout.readline().split()
        parent.send_signal(number)
    port = int(url.rpartition(":")[2])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (Path(directory).exists() or is_open(port)):
        time.sleep(0.05)
    assert not Path(directory).exists()
    assert not is_open(port)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_bad_fault_rules_are_refused_at_once(cloud: Cloud) -> None:
    with pytest.raises(ValueError, match="unterminated subpattern"):
        cloud.inject({"path": "("})
    with pytest.raises(ValueError, match="unexpected keyword"):
        cloud.inject({"no_such_field": 1})
    assert cloud.client("ecr").describe_repositories()["repositories"] == []


def test_the_aws_command_line(cloud: Cloud) -> None:
    aws = TESTS.parent / ".venv" / "aws" / "bin" / "aws"
    environment = {"PATH": os.environ["PATH"], "HOME": str(cloud.directory), **cloud.environment()}

    def run(*arguments: str) -> str:
        command = [str(aws), *arguments, "--output", "text"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("ecr", "create-repository", "--repository-name", "team/app")
    assert run("ecr", "describe-repositories", "--query", "repositories[].repositoryName") == "team/app"
    assert run("sts", "get-caller-identity", "--query", "Account") == cloud.account
    assert len(run("ecr", "get-login-password")) > 40
