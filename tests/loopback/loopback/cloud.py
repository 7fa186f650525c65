"""One running cloud: its settings, its addresses, and the switch that clears it."""

from __future__ import annotations

from dataclasses import dataclass

from loopback.addresses import Addresses
from loopback.config import Settings


@dataclass(frozen=True)
class Cloud:
    settings: Settings
    addresses: Addresses


_running: list[Cloud] = []


def start(cloud: Cloud) -> None:
    _running[:] = [cloud]


def running() -> Cloud:
    """The cloud of this process. Services ask here for addresses and the directory for their files."""
    return _running[0]
