# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.stevedore.ecr.plugins.modules import mirror_report
from ansible_collections.stevedore.ecr.tests.unit.support.mirror_results import REGISTRY, image
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module


def run(check_mode: bool = False, **more: Any) -> dict[str, Any]:
    return run_module(mirror_report.main, check_mode=check_mode, **{"images": [image()], **more})


def test_what_is_asked_for_is_written(tmp_path: Path) -> None:
    page, text = tmp_path / "new" / "report.html", tmp_path / "report.md"
    text.write_text("of yesterday")
    result = run(html=str(page), markdown=str(text), title="Nightly")
    assert (result["changed"], result["files"]) == (True, [str(page), str(text)])
    assert "<h1>Nightly</h1>" in page.read_text()
    assert text.read_text().startswith("# Nightly\n\n**The image can be pulled from your own ECR.**\n")


def test_a_summary_needs_no_file() -> None:
    result = run()
    assert (result["changed"], result["files"]) == (False, [])
    assert result["verdict"] == "The image can be pulled from your own ECR."
    assert result["lines"] == [f"up to date: quay.io/team/app:1 -> {REGISTRY}/team/app:1"]
    assert result["addresses"]["quay.io/team/app:1"]["tag"] == f"{REGISTRY}/team/app:1"


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run(check_mode=True, html=str(page))["changed"]
    assert not page.exists()


def test_a_path_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(html=str(tmp_path / "file" / "report.html"))
    assert result["msg"].startswith("The report cannot be written: ")
    assert str(tmp_path / "file") in result["msg"]


def test_what_is_no_result_is_told() -> None:
    assert "There can be no report of this: images[0].action must be" in run(images=[{"action": "x"}])["msg"]
