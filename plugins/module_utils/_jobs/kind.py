# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kinds of resources have in common.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler

# In the words of the service's API.
Fields = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What AWS has: the fields in the words in which it is created, and what it is known by."""

    fields: Fields
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Kind(ABC):
    """How AWS is asked for one kind of thing.

    `creation` is the operation whose input the definitions are, `named` the field of it with the name. What is `fixed`
    cannot be changed afterwards. `secret` is the field that takes the secret, if there is one. Where AWS keeps what
    once was, as it does with revisions, to update is to create another one.
    """

    service: ClassVar[str]
    creation: ClassVar[str]
    named: ClassVar[str]
    says: ClassVar[str]
    fixed: ClassVar[tuple[str, ...]] = ()
    secret: ClassVar[str] = ""
    has_tags: ClassVar[bool] = True

    @abstractmethod
    def find(self, client: Any, name: str, wanted: Fields) -> Found | None: ...

    @abstractmethod
    def create(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str]) -> str:
        """The ARN."""

    @abstractmethod
    def update(self, client: Any, name: str, wanted: Fields, tags: Mapping[str, str], found: Found) -> str:
        """The ARN."""

    @abstractmethod
    def delete(self, client: Any, name: str, found: Found) -> None: ...


class _Handler(ECRErrorHandler):
    """With the codes by which these services say that there is none."""

    @classmethod
    def _is_missing(cls) -> type[Exception]:
        missing: type[Exception] = is_boto3_error_code(
            ["NotFound", "NotFoundException", "ParameterNotFound", "ResourceNotFoundException"]
        )
        return missing


def ask(client: Any, operation: str, doing: str, **fields: Any) -> Fields:
    """One call. `doing` completes "Failed to ..."."""

    @_Handler.common_error_handler(doing)
    @retried
    def call() -> Fields:
        answer: Fields = getattr(client, operation)(**fields)
        return answer

    return call()


def ask_for(client: Any, operation: str, doing: str, **fields: Any) -> Fields | None:
    """One call; None where there is no such thing."""

    @_Handler.list_error_handler(doing)
    @retried
    def call() -> Fields:
        answer: Fields = getattr(client, operation)(**fields)
        return answer

    return call()


def given(fields: Fields) -> Fields:
    """Without the nulls, also of structures in it: they say that something must not be there."""
    return {
        name: given(value) if isinstance(value, dict) else value for name, value in fields.items() if value is not None
    }
