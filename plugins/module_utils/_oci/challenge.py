# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a registry demands in WWW-Authenticate.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MAX_HEADER = 16_384
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}(?:[/:]+{_TOKEN})*))')
_SCHEME = re.compile(rf"({_TOKEN})(?:\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$)))?")


@dataclass(frozen=True)
class Challenge:
    """A scheme in lower case, and its parameters with names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """All challenges of a header, which may have several with commas between and inside them.

    Nonsense is passed over: what is left is at worst no challenge that anybody knows.
    """
    text = header[:_MAX_HEADER]
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(text):
        parameter, scheme = _PARAMETER.match(text, position), _SCHEME.match(text, position)
        if parameter and found:
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
            position = parameter.end()
        elif scheme:
            found.append((scheme.group(1).lower(), {}))
            position = scheme.end()
        else:
            position += 1
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
