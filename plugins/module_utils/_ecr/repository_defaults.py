# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What repositories are like that are made because an image goes there.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_templates import (
    EMPTY,
    MUTABLE,
    desired_templates,
    template_to_ecr,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.tag_mutability import Mutability

_NAME = "repository_defaults"
# A creation template says the same of repositories, but ECR needs a role to make those. We make ours by ourselves.
_NO_ROLE = {"custom_role_arn": "arn:aws:iam::000000000000:role/none"}


@dataclass(frozen=True)
class RepositoryDefaults:
    """`settings` are those of CreateRepository. The lifecycle policy is text, or empty for none.

    `template` has what was said, in the words of a creation template.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    lifecycle_policy: str = ""
    mutability: Mutability = field(default_factory=lambda: Mutability(MUTABLE))
    warnings: Sequence[str] = ()
    template: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, options: Mapping[str, Any] | None, region: str) -> RepositoryDefaults:
        """From the option of the module. Raises AnsibleECRError with all that is wrong with it."""
        if not options:
            return cls()
        desired = desired_templates([{**options, **_NO_ROLE, "prefix": _NAME}], region)
        fields = template_to_ecr({**EMPTY, **desired.templates[0]})
        settings = {
            "imageScanningConfiguration": {"scanOnPush": True} if options.get("scan_on_push") else None,
            "tags": fields.get("resourceTags"),
            **{name: fields.get(name) for name in ("encryptionConfiguration", *Mutability.FIELDS)},
        }
        return cls(
            settings={name: value for name, value in settings.items() if value},
            lifecycle_policy=fields.get("lifecyclePolicy", ""),
            mutability=Mutability.from_ecr(fields),
            warnings=desired.warnings,
            template={name: value for name, value in desired.templates[0].items() if name not in ("prefix", *_NO_ROLE)},
        )
