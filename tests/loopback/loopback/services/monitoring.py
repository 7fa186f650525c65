"""CloudWatch: ministack's, with alarms evaluated as the cloud's clock goes on."""

from __future__ import annotations

from loopback import ticker
from loopback.aws import alarms

NAME = "monitoring"

ticker.every_tick.append(alarms.evaluate_all)
