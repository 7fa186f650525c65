"""One running cloud: its settings, its addresses, and the switch that clears it."""

from __future__ import annotations

from dataclasses import dataclass

from loopback.addresses import Addresses
from loopback.config import Settings


@dataclass(frozen=True)
class Cloud:
    settings: Settings
    addresses: Addresses
    endpoint: str  # of the AWS APIs, as the cloud itself and its containers reach them

    @property
    def runs_containers(self) -> bool:
        """Only full mode has an engine of its own."""
        return self.settings.tls is not None


_running: list[Cloud] = []


def start(cloud: Cloud) -> None:
    _running[:] = [cloud]


def running() -> Cloud:
    """The cloud of this process. Services ask here for addresses and the directory for their files."""
    return _running[0]
