"""Commands of a buildspec, in the build's container: one shell for all of them, as far as they can tell."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loopback.engine import Container
from loopback.fidelity import assumed, documented

INSIDE = "/codebuild/run"  # where `directory` is mounted

# Variables, functions and the working directory outlive a command; `exit` ends the command, not the build.
_KEEP = f"""\
loopback_keep() {{
    loopback_status=$?
    trap - EXIT
    pwd > {INSIDE}/directory
    if [ -n "${{BASH_VERSION:-}}" ]; then
        {{ declare -p | grep -Ev '^declare -[A-Za-z]*r'; declare -f; }} > {INSIDE}/state
    else
        {{ set; export -p; }} > {INSIDE}/state
    fi
    exit "$loopback_status"
}}
"""


@dataclass
class Shell:
    container: Container
    directory: Path  # on this side
    program: str = "/bin/sh"

    def prepare(self, variables: dict[str, str], working_directory: str) -> None:
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        (self.directory / "state").write_text("\n".join([*exports, ""]))
        (self.directory / "directory").write_text(working_directory + "\n")

    @documented("CodeBuild user guide, build-spec-ref-syntax: version 0.2 runs all commands in the same shell instance")
    @assumed("variables outlive a command that calls exit")
    def run(self, command: str, *, succeeding: bool, say: Callable[[str], None]) -> int:
        """Run one command; its exit code."""
        script = (
            f"{_KEEP}. {INSIDE}/state 2>/dev/null\n"
            f'cd "$(cat {INSIDE}/directory)" || exit 1\n'
            f"export CODEBUILD_BUILD_SUCCEEDING={int(succeeding)}\n"
            f"trap loopback_keep EXIT\n{command}\n"
        )
        (self.directory / "command").write_text(script)
        return self.container.execute([self.program, f"{INSIDE}/command"], say)

    def value_of(self, names: list[str]) -> dict[str, str]:
        """What exported variables hold after the last command."""
        print_one = "".join(f'printf "%s\\n" "{name}=${{{name}:-}}"\n' for name in names)
        (self.directory / "command").write_text(f". {INSIDE}/state 2>/dev/null\n{print_one}")
        lines: list[str] = []
        self.container.execute([self.program, f"{INSIDE}/command"], lines.append)
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        return {name: found.get(name, "") for name in names}
