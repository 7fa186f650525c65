"""`python -m loopback light --directory DIR [--port N]`, `full` (started by loopback.client.FullCloud), `fidelity`."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
from pathlib import Path

from loopback.config import Settings


def main() -> int:
    options = _options()
    if options.command == "fidelity":
        _print_fidelity()
        return 0
    try:
        if options.command == "full":
            from loopback import namespace

            namespace.run(options.directory, options.control_fd, stop_at_eof=options.with_parent)
        else:
            from loopback import server

            server.run(Settings(options.directory, port=options.port, stop_at_eof=options.with_parent))
    finally:
        if options.with_parent and _at_end_of_input():
            # Nobody else is left to do it.
            shutil.rmtree(options.directory, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="loopback", description="AWS for container images, on 127.0.0.1")
    commands = parser.add_subparsers(dest="command", required=True)
    light = commands.add_parser("light", help="no root, no Docker: serve until stopped")
    light.add_argument("--port", type=int, default=0, help="default: any free port")
    full = commands.add_parser("full", help="inside a network namespace of its own, as root: see loopback.namespace")
    full.add_argument("--control-fd", type=int, required=True, help="a listening socket made outside the namespace")
    for mode in (light, full):
        mode.add_argument("--directory", type=Path, required=True, help="where blobs and uploads are kept")
        mode.add_argument(
            "--with-parent",
            action="store_true",
            help="stop when standard input ends, as it does with the parent",
        )
    commands.add_parser("fidelity", help="print how far each emulated behaviour can be trusted")
    return parser.parse_args()


def _at_end_of_input() -> bool:
    readable, _writable, _failed = select.select([sys.stdin], [], [], 0)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _print_fidelity() -> None:
    from loopback import fidelity, services, upstream  # noqa: F401  (its marks belong in the table)

    services.discover()
    print(fidelity.table())


if __name__ == "__main__":
    sys.exit(main())
