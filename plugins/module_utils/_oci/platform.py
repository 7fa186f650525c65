# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Platforms: what an image runs on.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidPlatformError

_PART = re.compile(r"[a-z0-9_.-]{1,64}")

# Other names of an architecture, with the variant they imply.
_ALIASES = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
# The variant that is meant when none is named, and that is therefore left out or put in.
_IMPLIED = {"amd64": "v1", "arm64": "v8"}
_DEFAULT_ARM = "v7"


@dataclass(frozen=True)
class Platform:
    """An operating system, an architecture and perhaps its variant, in their usual spelling.

    Two platforms that mean the same are equal: linux/aarch64 is linux/arm64/v8 is linux/arm64.
    """

    os: str
    architecture: str
    variant: str = ""

    def __post_init__(self) -> None:
        for part in filter(None, (self.os, self.architecture, self.variant)):
            if not _PART.fullmatch(part.lower()):
                raise InvalidPlatformError(f"{part[:80]!r} cannot be part of a platform such as linux/arm64/v8")
        if not self.os or not self.architecture:
            raise InvalidPlatformError("A platform has at least an operating system and an architecture: linux/amd64")
        os = self.os.lower()
        architecture, variant = _normal(self.architecture.lower(), self.variant.lower())
        object.__setattr__(self, "os", "darwin" if os == "macos" else os)
        object.__setattr__(self, "architecture", architecture)
        object.__setattr__(self, "variant", variant)

    @classmethod
    def parse(cls, text: str) -> Platform:
        parts = text.strip().split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidPlatformError(
                f"{text[:80]!r} is not a platform: write it as os/architecture or os/architecture/variant, "
                "such as linux/amd64 or linux/arm64/v8"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def _normal(architecture: str, variant: str) -> tuple[str, str]:
    architecture, implied = _ALIASES.get(architecture, (architecture, ""))
    variant = variant or implied
    if architecture in ("arm", "arm64", "amd64") and variant.isdigit():
        variant = f"v{variant}"
    if architecture == "arm":
        return architecture, variant or _DEFAULT_ARM
    return architecture, "" if variant == _IMPLIED.get(architecture) else variant
