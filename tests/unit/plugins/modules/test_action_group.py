# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module that is missing in the action group would silently get no defaults."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[4]


def test_all_modules_that_speak_to_aws_are_in_the_action_group() -> None:
    modules = (ROOT / "plugins" / "modules").glob("*.py")
    speaking = sorted(path.stem for path in modules if "AnsibleAWSModule(" in path.read_text())
    group = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["all"]
    assert [item for item in group if isinstance(item, str)] == speaking
    assert group[0] == {"metadata": {"extend_group": ["amazon.aws.aws"]}}
