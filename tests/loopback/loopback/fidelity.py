"""How far each emulated behaviour can be trusted. `python -m loopback fidelity` prints the table.

Mark a behaviour where it is written:

    @from_model                          shape and constraints come from botocore's service model
    @documented("ECR user guide, ...")   AWS says so on that page
    @assumed("why we believe it")        nobody wrote it down; no test of a module may assert it

Marks stack: a function may follow the model in its shapes and assume a wording.
`note()` marks a behaviour that is not a function of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Mark:
    where: str
    kind: str  # "service model", "documented" or "assumed"
    source: str


MARKS: list[Mark] = []


def note(where: str, kind: str, source: str) -> None:
    MARKS.append(Mark(where, kind, source))


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__.removeprefix('loopback.')}.{function.__qualname__}"


def from_model(function: F) -> F:
    note(_name(function), "service model", "botocore")
    return function


def documented(page: str) -> Callable[[F], F]:
    def mark(function: F) -> F:
        note(_name(function), "documented", page)
        return function

    return mark


def assumed(why: str) -> Callable[[F], F]:
    def mark(function: F) -> F:
        note(_name(function), "assumed", why)
        return function

    return mark


def table() -> str:
    """The marks as a Markdown table, the least trustworthy first."""
    order = {"assumed": 0, "documented": 1, "service model": 2}
    rows = sorted(set(MARKS), key=lambda m: (order[m.kind], m.where, m.source))
    lines = [f"| `{mark.where}` | {mark.kind} | {mark.source} |" for mark in rows]
    return "\n".join(["| behaviour | fidelity | source |", "|---|---|---|", *lines])
