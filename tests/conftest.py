"""In continuous integration a skipped test is a failure, and properties are tried with the same examples each time.

Everywhere else they are tried with others, so that what they find is found by whoever works on the code.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, or the making of it, says more about the machine than about the code.
settings.register_profile(
    "stevedore",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("stevedore")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped tests are a failure in continuous integration", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
