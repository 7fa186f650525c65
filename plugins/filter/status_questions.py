# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stevedore.ecr.plugins.filter.site_parts import plain, words
from ansible_collections.stevedore.ecr.plugins.module_utils._site.checks import read_and_check
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import SiteError
from ansible_collections.stevedore.ecr.plugins.module_utils._site.status import questions


def status_questions(document: Any, registry: Mapping[str, str]) -> dict[str, Any]:
    known = words()
    try:
        site = read_and_check(plain(document), registry, known)
    except SiteError as error:
        raise AnsibleFilterError(str(error)) from error
    return questions(site, {way: one.defaults for way, one in known.items()})


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_questions": status_questions}
