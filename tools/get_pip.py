"""Stands in for get-pip.py, which ansible-test would download: installs the pip that Python itself brings."""

from __future__ import annotations

import subprocess
import sys

arguments = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
# Processes of their own: ensurepip changes pip's configuration for the process it runs in.
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
