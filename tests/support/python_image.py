"""An image with Python and the packages that jobs need, all of this machine: a base to build upon without a network."""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from loopback.client import FullCloud

# Of the shell's world what Ansible and the Dockerfile of the runner call.
_PROGRAMS = ("cat", "chmod", "chown", "env", "install", "ls", "mkdir", "mv", "rm", "sh", "sleep", "timeout")
_LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
_UNUSED = ("site-packages", "test", "idlelib", "tkinter", "lib2to3", "turtledemo", "ensurepip")
_ENTRIES = ("ansible-playbook",)
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def make_python_image(cloud: FullCloud, name: str, requirements: Path) -> None:
    """`requirements` is a lock: each package that it names has to be installed here."""
    packed = cloud.directory / "python.tar"
    with tarfile.open(packed, "w") as archive:
        for directory, mode in {"tmp": 0o1777, "root": 0o700, "run": 0o755, "proc": 0o755}.items():
            _directory(archive, directory, mode)
        for target, source in sorted(_files(requirements).items()):
            archive.add(source.resolve(), target, recursive=False, filter=_plain)
        for target, text in {**_TEXTS, **_scripts()}.items():
            _text(archive, target, text)
    done = cloud.docker("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", str(packed), name)
    packed.unlink()
    assert done.returncode == 0, done.stderr


def _files(requirements: Path) -> dict[str, Path]:
    """By their names in the image."""
    base = Path(sys.base_prefix)
    standard = base / _LIBRARY
    found: dict[str, Path] = {"usr/local/bin/python3": Path(sys.executable)}
    for path in standard.rglob("*"):
        parts = path.relative_to(standard).parts
        if path.is_file() and parts[0] not in _UNUSED and not parts[0].startswith("config-") and path.suffix != ".pyc":
            found[f"usr/local/{_LIBRARY}/{path.relative_to(standard)}"] = path
    site = Path(sysconfig.get_path("purelib"))
    for package in ("pip", *re.findall(r"^([\w.-]+)==", requirements.read_text(), re.MULTILINE)):
        for file in importlib.metadata.files(package) or []:
            if ".." not in file.parts and file.suffix != ".pyc" and (site / file).is_file():
                found[f"usr/local/{_LIBRARY}/site-packages/{file}"] = site / file
    for path in Path("/usr/lib/locale").glob("C.*/**/*"):
        if path.is_file():
            found[str(path).removeprefix("/")] = path
    for program in _PROGRAMS:
        found[f"bin/{program}"] = Path("/bin") / program
    needed = [path for path in found.values() if path.suffix == ".so" or path.resolve().parent.name == "bin"]
    return {**_libraries(needed), **found}


def _libraries(programs: list[Path]) -> dict[str, Path]:
    """What comes with Python itself goes where the loader looks, too."""
    told = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    base = Path(sys.base_prefix) / "lib"
    paths = [Path(text) for text in set(re.findall(r"(?:=> |^\t)(/\S+)", told, re.MULTILINE))]
    return {f"lib/{path.name}" if path.parent == base else str(path).removeprefix("/"): path for path in paths}


def _scripts() -> dict[str, str]:
    (group,) = [importlib.metadata.entry_points(group="console_scripts", name=name) for name in _ENTRIES]
    return {
        f"usr/local/bin/{entry.name}": (
            f"#!/usr/local/bin/python3\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
        )
        for entry in group
    }


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.mode |= 0o444 | (0o111 if member.mode & 0o100 else 0)
    return member


def _directory(archive: tarfile.TarFile, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    archive.addfile(member)


def _text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), 0o755 if text.startswith("#!") else 0o644
    archive.addfile(member, io.BytesIO(text.encode()))
