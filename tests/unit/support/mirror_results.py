# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results of runs to report on."""

from __future__ import annotations

from typing import Any

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'a' * 64}"


def image(name: str = "team/app:1", action: str = "up_to_date", **more: Any) -> dict[str, Any]:
    """As ecr_image_mirror returns it."""
    return {
        "source": f"quay.io/{name}",
        "destination": f"{REGISTRY}/{name}",
        "kind": "image",
        "action": action,
        "reason": "so it is",
        "notes": [],
        "digest": DIGEST,
        "bytes": {"moved": 0, "reused": 0, "mounted": 0},
        "seconds": 0.0,
        **more,
    }


def options(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As the module mirror_report has them."""
    return {
        "title": "Images",
        "images": list(images),
        "rate_limit": {},
        "pruned": [],
        "planned": False,
        "problem": "",
        "notes": [],
        **more,
    }
