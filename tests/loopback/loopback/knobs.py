"""Switches that a test sets to make an emulated service behave in a way that AWS does only at times.

A service names its knobs with a default where it reads them: `knobs.get("ecr.preview.polls", 1)`.
"""

from __future__ import annotations

from typing import Any


class Knobs:
    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, name: str, default: Any) -> Any:
        return self._values.get(name, default)

    def set(self, values: dict[str, Any]) -> None:
        self._values.update(values)

    def reset(self) -> None:
        self._values.clear()


knobs = Knobs()
