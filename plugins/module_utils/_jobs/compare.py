# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether something in AWS is as its definition says: only what the definition mentions counts.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# By which of these fields the members of a list of structures are told apart, so that their order means nothing.
_NAMES = ("name", "Name", "key", "Key")
# Lists of texts whose order matters; that of all others, such as subnets, does not.
_ORDERED = ("command", "entryPoint")


def differing(wanted: Any, actual: Any, key: str = "") -> bool:
    """Whether anything that is wanted is not so. Null is what AWS leaves out, or fills in as nothing."""
    if wanted is None:
        return not _is_nothing(actual)
    if isinstance(wanted, Mapping):
        known = actual if isinstance(actual, Mapping) else {}
        return any(differing(value, known.get(field), field) for field, value in wanted.items())
    if isinstance(wanted, (list, tuple)):
        members = actual or []
        return not isinstance(members, (list, tuple)) or _lists_differ(wanted, members, key)
    return bool(wanted != actual)


def mentioned(wanted: Any, actual: Any) -> Any:
    """Of what there is, that which is spoken of."""
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        return {key: mentioned(value, actual[key]) for key, value in wanted.items() if key in actual}
    if isinstance(wanted, (list, tuple)) and isinstance(actual, (list, tuple)):
        pairs = _pairs(wanted, actual)
        spoken_of = [mentioned(one, other) for one, other in pairs]
        return spoken_of + _without(actual, [other for _wanted, other in pairs])
    return actual


def _is_nothing(actual: Any) -> bool:
    """Also of a structure, if there is nothing in any of its fields."""
    values = actual.values() if isinstance(actual, Mapping) else ()
    return not actual or (bool(values) and all(_is_nothing(value) for value in values))


def _lists_differ(wanted: Sequence[Any], actual: Sequence[Any], key: str) -> bool:
    if key in _ORDERED:
        return list(wanted) != list(actual)
    pairs = _pairs(wanted, actual)
    return len(wanted) != len(actual) or len(pairs) != len(wanted) or any(differing(*pair) for pair in pairs)


def _pairs(wanted: Sequence[Any], actual: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each member with its counterpart, as far as there is one."""
    name = _name_of(wanted) if _name_of(wanted) == _name_of(actual) else None
    if name is not None:
        by_name = {one[name]: one for one in actual}
        return [(one, by_name[one[name]]) for one in wanted if one[name] in by_name]
    if all(isinstance(one, str) for one in [*wanted, *actual]):
        return list(zip(sorted(wanted), sorted(actual), strict=False))
    return list(zip(wanted, actual, strict=False))


def _without(members: Sequence[Any], taken: Sequence[Any]) -> list[Any]:
    """One less for each that is taken, also where several are the same."""
    left = list(members)
    for one in taken:
        left.pop([other is one for other in left].index(True))
    return left


def _name_of(members: Sequence[Any]) -> str | None:
    """The field that names each of them, and no two the same."""
    for name in _NAMES:
        if members and all(isinstance(one, Mapping) and isinstance(one.get(name), str) for one in members):
            return name if len({one[name] for one in members}) == len(members) else None
    return None
