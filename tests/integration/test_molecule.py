"""Every scenario in extensions/molecule, as `molecule test` runs it. A new one is found here by itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from running import BIN, playbook_environment

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.parent.name for path in (ROOT / "extensions" / "molecule").glob("*/molecule.yml"))


def test_there_are_scenarios() -> None:
    assert "pull_through_cache" in SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, tmp_path: Path) -> None:
    chosen_python = {name: os.environ[name] for name in ("LOOPBACK_PYTHON",) if name in os.environ}
    homes = {"ANSIBLE_HOME": str(tmp_path / "ansible"), "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "scenario")}
    done = subprocess.run(
        [str(BIN / "molecule"), "test", "--scenario-name", scenario],
        env=playbook_environment(tmp_path, {**homes, **chosen_python}),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for action in ("create", "converge", "idempotence", "verify", "destroy"):
        assert f"[{scenario} > {action}] Executed: Successful" in done.stdout, done.stdout
    assert "[WARNING]" not in done.stdout
    assert "DEPRECATION" not in done.stdout
