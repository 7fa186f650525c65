"""Runs modules in this process and playbooks as a user would, and says what came out."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible.module_utils.common import warnings
from module_arguments import module_arguments

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class ModuleResult:
    """What a module printed, as Ansible would read it."""

    returned: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.returned[key]

    @property
    def changed(self) -> bool:
        return bool(self.returned.get("changed"))

    @property
    def failed(self) -> bool:
        return bool(self.returned.get("failed"))

    @property
    def msg(self) -> str:
        return str(self.returned.get("msg", ""))

    @property
    def warnings(self) -> list[str]:
        return list(self.returned.get("warnings", []))


def run_main(
    main: Callable[[], None], arguments: Mapping[str, Any], *, check: bool = False, diff: bool = False
) -> dict[str, Any]:
    """Run a module's main() in this process, as Ansible would, and read what it prints."""
    given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
    output = io.StringIO()
    with (
        module_arguments(given),
        # Warnings are kept for the life of a process, which is a module's own elsewhere.
        mock.patch.object(warnings, "_global_warnings", type(warnings._global_warnings)()),
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        main()
        raise AssertionError("the module ended without exit_json or fail_json")
    result: dict[str, Any] = json.loads(output.getvalue())
    if "warnings" in result:
        # Depending on what else was imported, ansible-core writes them as texts or as events.
        result["warnings"] = [w if isinstance(w, str) else w["event"]["msg"] for w in result["warnings"]]
    return result


def run_module(
    name: str,
    arguments: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    environment: Mapping[str, str] | None = None,
) -> ModuleResult:
    """Run plugins/modules/NAME.py in this process. A traceback is the test's failure."""
    module = importlib.import_module(f"ansible_collections.stevedore.ecr.plugins.modules.{name}")
    other_settings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with mock.patch.dict(os.environ, {**other_settings, **(environment or {})}, clear=True):
        return ModuleResult(run_main(module.main, arguments, check=check, diff=diff))


@dataclass(frozen=True)
class PlaybookRun:
    """One run of ansible-playbook."""

    status: int
    output: str

    @property
    def recap(self) -> dict[str, int]:
        """The counts of localhost in the last recap."""
        line = [line for line in self.output.splitlines() if re.match(r"\S+\s+: ok=", line)][-1]
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}


def playbook_command(playbook: Path | str, *options: str) -> list[str]:
    return [str(BIN / "ansible-playbook"), str(playbook), *options]


def playbook_environment(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which nothing of the machine's own AWS, Docker or Ansible configuration is seen."""
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        # Ansible would take it from the user's home, wherever HOME points.
        "ANSIBLE_REMOTE_TMP": str(directory / "ansible-tmp"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "no-collections"),
        "ANSIBLE_CONFIG": str(_empty_configuration(directory)),
        **environment,
    }


def _empty_configuration(directory: Path) -> Path:
    path = directory / "ansible.cfg"
    path.write_text("[defaults]\n")
    return path


def run_playbook(
    playbook: Path | str | list[dict[str, Any]],
    *options: str,
    directory: Path,
    environment: Mapping[str, str],
    timeout: float = 300,
) -> PlaybookRun:
    """Run a playbook (a path, an FQCN such as stevedore.ecr.mirror, or plays) on localhost."""
    if isinstance(playbook, list):
        path = directory / "playbook.yml"
        path.write_text(yaml.safe_dump(playbook, sort_keys=False))
        playbook = path
    done = subprocess.run(
        playbook_command(playbook, *options),
        env=playbook_environment(directory, environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return PlaybookRun(done.returncode, done.stdout)


def local_play(*tasks: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """One play on localhost with these tasks."""
    return [{"name": "Test", "hosts": "localhost", "gather_facts": False, "tasks": list(tasks), **more}]
