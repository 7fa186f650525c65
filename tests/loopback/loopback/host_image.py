"""A small image whose programs are this machine's own, mounted read-only: shells, Python, Docker's client, AWS CLI.

It stands for CodeBuild's curated images, which cannot be had without a network, and for any image that carries its
label: push it under another name, and a build or a task that runs it gets the same files. A prepared virtual
environment comes first in PATH if the knob `host_image.venv` names one.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import uuid
from pathlib import Path

from loopback.knobs import knobs

NAME = "loopback/host:latest"
LABEL = "loopback.host"
_MOUNTED = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache")
_AWS_CLI = Path(sys.prefix).parent / "aws"  # an environment beside the cloud's own, if it was made
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_DIRECTORIES = {"root": 0o700, "tmp": 0o1777, "run": 0o755, "var/tmp": 0o1777, "etc": 0o755, "proc": 0o755}


def archive() -> tuple[list[str], bytes]:
    """What `docker import` makes such an image from: options, and an archive that shares no layer with any other."""
    settings = [f"LABEL {LABEL}=1", f"ENV PATH={_PATH}", 'CMD ["/bin/sh"]']
    options = [word for setting in settings for word in ("--change", setting)]
    return options, _archive({**_FILES, "etc/loopback": str(uuid.uuid4())})


def mounts() -> list[tuple[Path, str]]:
    """What is mounted into a container of such an image."""
    found = [Path(name) for name in _MOUNTED if Path(name).exists()]
    for venv in filter(None, (environment(), _aws_cli())):
        # A virtual environment is nothing without the interpreter that it links to.
        found += [venv, *_interpreters(venv)]
    return [(path.resolve(), f"{path}:ro") for path in dict.fromkeys(_outermost(found))]


def environment() -> Path | None:
    named = knobs.get("host_image.venv", None)
    return Path(named) if named else None


def _aws_cli() -> Path | None:
    return _AWS_CLI if (_AWS_CLI / "bin" / "aws").exists() else None


def search_path() -> str:
    """The prepared environment's programs first; the AWS CLI's last, as it has a Python too."""
    first, last = environment(), _aws_cli()
    return ":".join([*([f"{first}/bin"] if first else []), _PATH, *([f"{last}/bin"] if last else [])])


def _outermost(paths: list[Path]) -> list[Path]:
    """Without those that lie in another one: Docker could not make their mount points."""
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _interpreters(venv: Path) -> list[Path]:
    """The installations outside the system's directories that the environment's Python is a link to."""
    real = Path(os.path.realpath(venv / "bin" / "python")).parents[1]
    return [] if real.is_relative_to("/usr") else [real]


def _archive(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, mode in _DIRECTORIES.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return whole.getvalue()
