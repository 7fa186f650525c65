# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tags of a repository can be written once only.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import mutability_from_ecr


@dataclass(frozen=True)
class Mutability:
    """The setting of a repository, and the tags that are an exception to it."""

    setting: str
    filters: tuple[str, ...] = ()

    FIELDS: ClassVar[tuple[str, ...]] = ("imageTagMutability", "imageTagMutabilityExclusionFilters")

    @classmethod
    def from_ecr(cls, document: Mapping[str, Any]) -> Mutability:
        fields = mutability_from_ecr(document)
        return cls(fields["image_tag_mutability"], tuple(fields["image_tag_mutability_exclusion_filters"]))

    def is_immutable(self, tag: str) -> bool:
        return self.setting.startswith("IMMUTABLE") != any(_matches(text, tag) for text in self.filters)


def _matches(wildcard: str, tag: str) -> bool:
    """`*` stands for any characters, and nothing else is special."""
    pattern = ".*".join(re.escape(part) for part in wildcard.split("*"))
    return re.fullmatch(pattern, tag) is not None
