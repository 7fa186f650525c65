# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests: what content is called, and how it is checked.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidDigestError

if TYPE_CHECKING:
    from hashlib import _Hash

# The algorithms that the image specification registers, with the length of their hexadecimal text.
_LENGTHS = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True)
class Digest:
    """Such as sha256:4bc453b5..."""

    algorithm: str
    encoded: str

    def __post_init__(self) -> None:
        length = _LENGTHS.get(self.algorithm)
        if length is None:
            known = " and ".join(_LENGTHS)
            raise InvalidDigestError(
                f"Digests of the algorithm {self.algorithm[:40]!r} cannot be verified, only {known}"
            )
        if not re.fullmatch(r"[0-9a-f]+", self.encoded):
            raise InvalidDigestError(f"A {self.algorithm} digest is lower-case hexadecimal, not {self.encoded[:140]!r}")
        if len(self.encoded) != length:
            raise InvalidDigestError(f"A {self.algorithm} digest has {length} digits, this one {len(self.encoded)}")

    @classmethod
    def parse(cls, text: str) -> Digest:
        algorithm, colon, encoded = text.partition(":")
        if not colon:
            raise InvalidDigestError(f"{text[:140]!r} is not a digest, which looks like sha256:4bc453b5...")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def hasher(self) -> _Hash:
        """An empty hash to feed what should have this digest."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"
