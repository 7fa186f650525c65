# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words and numbers as people read them.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import unicodedata
from typing import Any

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# What no font shows, and what turns the direction of writing: text of strangers could look like other text with it.
INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def plain(value: Any) -> str:
    """One line of visible characters, whatever a registry has sent."""
    text = "" if value is None else str(value)
    spaced = " ".join(text.split())
    if spaced.isprintable():
        return spaced
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in INVISIBLE else c for c in spaced)


def size(count: int) -> str:
    """In decimal units, as registries and disks count: 61.4 MB."""
    number, unit = float(count), 0
    while number >= 999.5 and unit < len(UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {UNITS[unit]}" if unit == 0 or number >= 99.95 else f"{number:.1f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def counted(number: int, thing: str) -> str:
    """1 image, 2 images, 2 repositories."""
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else many}"
