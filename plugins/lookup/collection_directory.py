# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documented in the file of the same name that ends in .yml."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        return [_directory(term) for term in terms]


def _directory(collection: str) -> str:
    try:
        package = importlib.import_module(f"ansible_collections.{collection}")
    except ImportError as error:
        raise AnsibleLookupError(f"collection_directory: the collection {collection} is not installed") from error
    return str(Path(next(iter(package.__path__))).resolve())
