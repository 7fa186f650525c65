"""The six commands of the README and those of the documentation are one path."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "docsite" / "rst" / "quick_start.rst").read_text()
PATH = README.partition("## From nothing")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^\.\. code-block:: (console|text)\n\n((?:   .*\n|\n)+)", re.MULTILINE)
FENCE = re.compile(r"^```(console|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_commands_and_outputs_are_the_same() -> None:
    blocks = [(language, dedent(text).strip()) for language, text in BLOCK.findall(PAGE)]
    assert blocks == [(language, text.strip()) for language, text in FENCE.findall(PATH)]
    commands = [line for language, text in blocks if language == "console" for line in text.splitlines()]
    assert len(commands) == 6


def test_the_measured_times_are_the_same() -> None:
    measured = r"On two cores .* the plan and the run took \d+ s each"
    here, there = (re.findall(measured, " ".join(text.split())) for text in (PATH, PAGE))
    assert here == there
    assert len(here) == 1


def test_packages_that_a_fresh_system_lacks_are_named() -> None:
    for text in (PATH, PAGE):
        assert "sudo apt-get install python3-venv git make" in text
