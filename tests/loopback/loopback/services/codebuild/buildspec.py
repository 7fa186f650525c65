"""The buildspec: parsed, and refused where CodeBuild would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml  # type: ignore[import-untyped]

from loopback.fidelity import assumed, documented

Json = dict[str, Any]
PHASES = ("install", "pre_build", "build", "post_build")
_KEYS = {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"}
_PHASE_KEYS = {"run-as", "on-failure", "on-success", "commands", "finally", "runtime-versions", "steps"}


class BuildspecError(Exception):
    """The buildspec cannot be used."""


@dataclass(frozen=True)
class Phase:
    commands: list[str] = field(default_factory=list)
    finally_: list[str] = field(default_factory=list)
    on_failure: str = ""


@dataclass(frozen=True)
class Buildspec:
    phases: dict[str, Phase]
    env: Json = field(default_factory=dict)
    batch: Json = field(default_factory=dict)

    @property
    def shell(self) -> str:
        return "bash" if self.env.get("shell") == "bash" else "/bin/sh"


@documented("CodeBuild user guide, build-spec-ref")
@assumed("wordings, as users quote them")
def parse(text: str) -> Buildspec:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"invalid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise BuildspecError("unable to parse the buildspec: it is no mapping")
    if str(document.get("version")) != "0.2":
        raise BuildspecError(f"unknown version {document.get('version')}: the loopback cloud knows 0.2")
    unknown = document.keys() - _KEYS
    if unknown:
        raise BuildspecError(f"unknown key {sorted(unknown)[0]}")
    phases = _mapping(document, "phases")
    if not phases and not document.get("batch"):
        raise BuildspecError("phases: no phase is given")
    if misnamed := phases.keys() - set(PHASES):
        raise BuildspecError(f"unknown phase {sorted(misnamed)[0]}")
    parsed = {name: _phase(name, phases[name]) for name in PHASES if name in phases}
    return Buildspec(parsed, _mapping(document, "env"), _mapping(document, "batch"))


def _mapping(document: Json, key: str) -> Json:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise BuildspecError(f"{key} must be a mapping")
    return value


def _phase(name: str, given: Any) -> Phase:
    if not isinstance(given, dict) or given.keys() - _PHASE_KEYS:
        raise BuildspecError(f"phase {name} is malformed")
    on_failure = str(given.get("on-failure", "")).upper()
    if on_failure not in ("", "ABORT", "CONTINUE"):
        raise BuildspecError(f"phase {name}: the loopback cloud does not emulate on-failure: {on_failure}")
    return Phase(_commands(name, given, "commands"), _commands(name, given, "finally"), on_failure)


def _commands(phase: str, given: Json, key: str) -> list[str]:
    commands = given.get(key) or []
    if not isinstance(commands, list):
        raise BuildspecError(f"phase {phase}: {key} must be a list")
    for command in commands:
        if isinstance(command, (dict, list)):
            # The mistake everybody makes once: a colon and a space in an unquoted command.
            raise BuildspecError(f"phase {phase}: expected {key}[] to be of string type: found subkeys instead")
    return [str(command) for command in commands]
