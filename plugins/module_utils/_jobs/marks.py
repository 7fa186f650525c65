# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tag by which roles know what they have made from what only has the same name. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations


def mark(owner: str) -> dict[str, str]:
    return {"stevedore.ecr": owner}
