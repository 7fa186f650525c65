"""Full mode, seen from inside: a network and mount namespace in which the real host names mean loopback.

Started by loopback.client.FullCloud as `unshare --mount --net -- python -m loopback full`. In here are the cloud with
TLS on port 443, a CNCF distribution that holds the upstream content, and a Docker Engine of our own. There is no way
out: the namespace has no interface but `lo`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loopback import certificates, server
from loopback.addresses import RealAddresses
from loopback.config import ACCOUNTS, CONTAINER_CREDENTIALS_HOST, REGIONS, Settings

API_PORT = 4566
DISTRIBUTION_PORT = 4652
READY_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x8913, 0x8914, 0x8916, 0x1
_PR_SET_PDEATHSIG = 1


class NotStarted(Exception):
    """Something in the namespace did not come up."""


def run(directory: Path, control_fd: int, *, stop_at_eof: bool) -> None:
    """Bring everything up, serve until SIGTERM, take everything down."""
    _refuse_the_machines_own_network()
    _raise_loopback()
    _add_to_loopback(CONTAINER_CREDENTIALS_HOST)
    names = RealAddresses(ACCOUNTS, REGIONS).hosts()
    tls = certificates.make(directory / "tls", names)
    _resolve(directory, names)
    _trust(directory, tls / "ca.pem")
    with _distribution(directory), _docker_engine(directory):
        server.run(
            Settings(
                directory=directory,
                port=API_PORT,
                tls=tls,
                upstream_registry=f"http://127.0.0.1:{DISTRIBUTION_PORT}",
                stop_at_eof=stop_at_eof,
                control_fd=control_fd,
            )
        )


def _refuse_the_machines_own_network() -> None:
    """Everything below changes what host names mean: never do that outside a namespace of our own."""
    interfaces = {name for _index, name in socket.if_nameindex()}
    if interfaces - {"lo", "sit0", "tunl0", "ip6tnl0"}:
        raise NotStarted(f"not in a network namespace of its own: there are the interfaces {sorted(interfaces)}")


def _raise_loopback() -> None:
    """`ip link set lo up`, without needing iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _add_to_loopback(address: str) -> None:
    """`ip address add ADDRESS dev lo`, without needing iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, _SIOCSIFADDR, request)


def _mount_over(source: Path, target: Path) -> None:
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def _resolve(directory: Path, names: list[str]) -> None:
    hosts = directory / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", socket.gethostname(), *names]))
    _mount_over(hosts, Path("/etc/hosts"))


def _trust(directory: Path, authority: Path) -> None:
    """A bundle with our own authority, where everybody looks for it."""
    bundle = directory / "bundle.pem"
    known = SYSTEM_BUNDLE.read_text() if SYSTEM_BUNDLE.exists() else ""
    bundle.write_text(known + authority.read_text())
    if SYSTEM_BUNDLE.exists():
        _mount_over(bundle, SYSTEM_BUNDLE)
    os.environ["SSL_CERT_FILE"] = str(bundle)


@contextlib.contextmanager
def _distribution(directory: Path) -> Iterator[None]:
    """docker-registry, the real one, with what the upstreams hold."""
    configuration = directory / "distribution.yml"
    configuration.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/distribution}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{DISTRIBUTION_PORT}'}}\n"
        "validation: {manifests: {urls: {allow: ['^https://']}}}\n"  # layers that live elsewhere, as Windows has them
    )
    with _daemon(directory, "distribution", ["docker-registry", "serve", str(configuration)]) as process:
        _await(process, "docker-registry", lambda: _accepts(("127.0.0.1", DISTRIBUTION_PORT)))
        yield


@contextlib.contextmanager
def _docker_engine(directory: Path) -> Iterator[None]:
    """A Docker Engine that shares nothing with the machine's own: not its data, its socket, nor its containerd."""
    containerd = Path("/run/containerd")
    if containerd.exists():
        empty = directory / "no-containerd"
        empty.mkdir()
        _mount_over(empty, containerd)
    address = directory / "docker.sock"
    command = [
        "dockerd",
        *("--data-root", str(directory / "docker")),
        *("--exec-root", str(directory / "docker-exec")),
        *("--pidfile", str(directory / "docker.pid")),
        *("--host", f"unix://{address}"),
        *("--config-file", str(_empty_json(directory))),
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
    ]
    with _daemon(directory, "dockerd", command) as process:
        _await(process, "dockerd", lambda: _accepts(str(address)))
        try:
            yield
        finally:
            # Left alone, the engine would wait ten seconds for each container to end by itself.
            _end_containers(address)
    _unmount_below(directory)


def _end_containers(address: Path) -> None:
    client = ["docker", "--host", f"unix://{address}"]
    running = subprocess.run([*client, "ps", "--quiet"], capture_output=True, text=True, check=False).stdout.split()
    if running:
        subprocess.run([*client, "kill", *running], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _empty_json(directory: Path) -> Path:
    """An empty daemon configuration, so that the machine's /etc/docker/daemon.json is not read."""
    path = directory / "daemon.json"
    path.write_text("{}")
    return path


@contextlib.contextmanager
def _daemon(directory: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    if shutil.which(command[0]) is None:
        raise NotStarted(f"{command[0]} is not installed: `make test` installs it")
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with_parent() -> None:
    """Should this process be killed, its daemons are told to stop all the same."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await(process: subprocess.Popen[bytes], name: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"{name} did not come up: see {name}.log in the cloud's directory")
        time.sleep(0.02)


def _accepts(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def _unmount_below(directory: Path) -> None:
    """A killed engine may leave mounts of containers behind; the directory could not be removed."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{directory}/docker")), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
