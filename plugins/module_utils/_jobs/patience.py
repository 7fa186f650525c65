# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patience with IAM, which needs some seconds until every service knows of a new role and of what it may do.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock

T = TypeVar("T")

# How services say so. The last one is that of Amazon ECS, whose own role comes with the first cluster of an account.
_NOT_YET = (
    "assume the role",
    "sts:assumerole",
    "execution role you provide must allow",
    "role cannot be assumed",
    "service linked role",
)
# What AWS CodeBuild says of the role of a project, and not of whoever makes one: that is another code.
_ROLE_MAY_NOT = "ot authorized to perform"
_OF_THE_ROLE = "InvalidInputException"
_SECONDS = 90.0
_PAUSE = 5.0


def patiently(work: Callable[[], T], clock: Clock) -> T:
    """Do it, again and again while it fails for a role that is not known yet."""
    deadline = clock.now() + _SECONDS
    while True:
        try:
            return work()
        except AnsibleECRError as error:
            if not _is_too_early(error) or clock.now() + _PAUSE > deadline:
                raise
        clock.sleep(_PAUSE)


def _is_too_early(error: AnsibleECRError) -> bool:
    said = str(error).lower()
    return any(words in said for words in _NOT_YET) or (error.code == _OF_THE_ROLE and _ROLE_MAY_NOT in said)
