"""`python -m loopback light --directory DIR [--port N]`, `full` (started by loopback.client.FullCloud), `fidelity`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loopback.config import Settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="loopback", description="AWS for container images, on 127.0.0.1")
    commands = parser.add_subparsers(dest="command", required=True)
    light = commands.add_parser("light", help="no root, no Docker: serve until stopped")
    light.add_argument("--directory", type=Path, required=True, help="where blobs and uploads are kept")
    light.add_argument("--port", type=int, default=0, help="default: any free port")
    full = commands.add_parser("full", help="inside a network namespace of its own, as root: see loopback.namespace")
    full.add_argument("--directory", type=Path, required=True)
    full.add_argument("--control-fd", type=int, required=True, help="a listening socket made outside the namespace")
    commands.add_parser("fidelity", help="print how far each emulated behaviour can be trusted")
    options = parser.parse_args()
    if options.command == "fidelity":
        from loopback import fidelity, services, upstream  # noqa: F401  (its marks belong in the table)

        services.discover()
        print(fidelity.table())
        return 0
    if options.command == "full":
        from loopback import namespace

        namespace.run(options.directory, options.control_fd)
        return 0
    from loopback.server import run

    run(Settings(directory=options.directory, port=options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
