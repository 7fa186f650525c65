#!/bin/sh
# Pictures of a report, in Chromium: tools/screenshot.sh report.html docs/report  makes docs/report-{light,dark,phone}.png
set -eu
cd "$(dirname "$0")/.."
PYTHONPATH=tests/support .venv/bin/python - "$1" "$2" <<'PYTHON'
import sys
from pathlib import Path

from browser import DESK, PHONE, browser

report, name = sys.argv[1:]
with browser() as page:
    for kind, size, dark in (("light", DESK, False), ("dark", DESK, True), ("phone", PHONE, False)):
        page.open(Path(report), size, dark=dark)
        page.screenshot(Path(f"{name}-{kind}.png"))
        print(f"{name}-{kind}.png")
PYTHON
