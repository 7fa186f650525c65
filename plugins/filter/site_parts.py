# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.module_utils._site.checks import RoleWords, read_and_check
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import MIRROR, ROLES
from ansible_collections.stevedore.ecr.plugins.module_utils._site.plan import as_parts
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import SiteError
from ansible_collections.stevedore.ecr.plugins.modules.ecr_image_mirror import ARGUMENTS

_COLLECTION = Path(__file__).parents[2]


def site_parts(document: Any, registry: Mapping[str, str]) -> dict[str, Any]:
    try:
        return as_parts(read_and_check(plain(document), registry, words()))
    except SiteError as error:
        raise AnsibleFilterError(str(error)) from error


@functools.cache
def words() -> dict[str, RoleWords]:
    return {way: _words_of(role) for way, role in ROLES.items()}


def _words_of(role: str) -> RoleWords:
    directory = _COLLECTION / "roles" / role
    options = yaml.safe_load((directory / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    if role == ROLES[MIRROR]:
        # What is in these, the module knows.
        options = {
            name: {**option, **ARGUMENTS.get(name.removeprefix(f"{role}_"), {})} for name, option in options.items()
        }
    return RoleWords(options, yaml.safe_load((directory / "defaults" / "main.yml").read_text()))


def plain(value: Any) -> Any:
    """Without what is still to be filled in by Ansible when it is looked at."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_parts": site_parts}
