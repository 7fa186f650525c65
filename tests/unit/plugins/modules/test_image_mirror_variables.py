# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role image_mirror has the options of the module, and hands all of them over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.stevedore.ecr.plugins.modules import ecr_image_mirror

ROLE = Path(__file__).parents[4] / "roles" / "image_mirror"
PREFIX = "image_mirror_"
# What a list of images says.
OF_ONE_IMAGE = {"source", "repository", "tag", "tags", "select", "digest", "platform"}
OF_THE_ROLE = {"images_file", "metrics", "prune", "prune_protect", "report_html", "report_markdown", "upload"}


def module_options() -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load(ecr_image_mirror.DOCUMENTATION)["options"]
    return {name: option for name, option in options.items() if name not in OF_ONE_IMAGE}


def role_options() -> dict[str, Any]:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    options: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return {name.removeprefix(PREFIX): option for name, option in options.items()}


def test_the_role_has_every_option_of_the_module_and_its_own() -> None:
    assert set(role_options()) == set(module_options()) | OF_THE_ROLE


def test_they_mean_the_same() -> None:
    ours = role_options()
    for name, option in module_options().items():
        assert ours[name]["type"] == option["type"], name
        assert ours[name].get("elements") == option.get("elements"), name
        assert ours[name].get("choices", []) == list(option.get("choices", [])), name


def test_all_are_handed_over() -> None:
    tasks = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text())
    handed = next(task["stevedore.ecr.ecr_image_mirror"] for task in tasks if "stevedore.ecr.ecr_image_mirror" in task)
    expected = {name: f"{{{{ {PREFIX}{name} | default(omit) }}}}" for name in module_options()}
    # These two are made of what is given.
    made = {"images": "{{ image_mirror__images }}", "journal": "{{ image_mirror__journal or omit }}"}
    assert handed == {**expected, **made}
