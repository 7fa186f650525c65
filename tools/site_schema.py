# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the JSON schema of stevedore.yml, for editors, from what the code says: `python tools/site_schema.py`."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through_cache
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import sync_variables
from ansible_collections.stevedore.ecr.plugins.module_utils._site import document

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "playbooks" / "files" / "stevedore.schema.json"

Schema = dict[str, Any]

# What Ansible fills in may be anything in the end.
TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{"}
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "path": "string"}
KINDS = {
    pull_through_cache.TEXT: {"type": "str"},
    pull_through_cache.LIST: {"type": "list"},
    pull_through_cache.DICTIONARY: {"type": "dict"},
    pull_through_cache.YES_OR_NO: {"type": "bool"},
}
# Of options that modules take as they come, what they understand.
TAG: Schema = {"type": "string"}
RENAMED: Schema = {
    "type": "object",
    "properties": {"from": TAG, "to": TAG},
    "required": ["from", "to"],
    "additionalProperties": False,
}
RAW: dict[str, Schema] = {
    "tag": TAG,
    "tags": {
        "anyOf": [
            TAG,
            {"type": "array", "items": {"anyOf": [TAG, RENAMED]}, "minItems": 1},
            {"type": "object", "additionalProperties": TAG, "minProperties": 1},
        ]
    },
}


def schema() -> Schema:
    module = importlib.import_module("ansible_collections.stevedore.ecr.plugins.modules.ecr_image_mirror")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stevedore.yml",
        "description": "Which images are to be pullable from one's own Amazon ECR, and how they get there.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "region": {
                "type": "string",
                "description": "The region of the registry. Without it, that of the environment.",
            },
            "upstreams": upstreams(),
            "images": images(module, documented),
            **{way: section(way, module, documented) for way in document.WAYS},
        },
    }


def upstreams() -> Schema:
    fields = {
        name: of_option({**KINDS[kind], "choices": pull_through_cache.CHOICES.get(name)})
        for name, kind in pull_through_cache.FIELDS.items()
    }
    one = {"type": ["object", "null"], "properties": fields, "additionalProperties": False}
    description = role_options(document.CACHE)["pull_through_cache_upstreams"]["description"]
    return {"type": ["object", "null"], "description": plain(description), "additionalProperties": one}


def images(module: Any, documented: Mapping[str, Any]) -> Schema:
    described = documented["images"]["suboptions"]
    properties = {name: of_option(option, described.get(name)) for name, option in module.IMAGE_ARGUMENTS.items()}
    properties |= {name: {**properties[name], **raw} for name, raw in RAW.items()}
    properties[document.VIA] = {
        "enum": list(document.WAYS),
        "description": "The way in which it comes. Left out, it is cached where Amazon ECR can do that, cloned where "
        "lines of a Dockerfile are added, and mirrored otherwise.",
    }
    reference = {"type": "string", "minLength": 1}
    one = {"type": "object", "properties": properties, "required": ["source"], "additionalProperties": False}
    return {
        "type": ["array", "null"],
        "description": "The images. One is its source as a text, such as nginx:1.27, or says more.",
        "items": {"anyOf": [reference, one]},
    }


def section(way: str, module: Any, documented: Mapping[str, Any]) -> Schema:
    """The variables of a role, but for those that the file has another place for."""
    prefix = f"{document.ROLES[way]}_"
    options = {name.removeprefix(prefix): option for name, option in role_options(way).items()}
    properties = {name: of_option(option) for name, option in options.items() if name not in document.ELSEWHERE[way]}
    if way == document.MIRROR:
        for name in ("registries", "repository_defaults"):
            properties[name] = of_option(module.ARGUMENTS[name], documented[name])
    if way == document.SYNC:
        properties["config"] = config()
    return {
        "type": ["object", "null"],
        "description": f"Variables of the role {document.ROLES[way]}, without its name.",
        "properties": properties,
        "additionalProperties": False,
    }


def config() -> Schema:
    defaults = {"type": "object", "properties": {key: {} for key in sync_variables.DEFAULTS_KEYS}}
    return {
        "type": "object",
        "properties": {
            "mode": {"enum": list(sync_variables.MODES)},
            "repo_defaults": {**defaults, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def role_options(way: str) -> dict[str, Any]:
    path = ROOT / "roles" / document.ROLES[way] / "meta" / "argument_specs.yml"
    options: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    return options


def of_option(option: Mapping[str, Any], documented: Mapping[str, Any] | None = None) -> Schema:
    """What may be written where Ansible has an option."""
    described = documented or option
    found = of_type(option, described)
    if described.get("description"):
        found = {"description": plain(described["description"]), **found}
    if "default" in option and not option.get("no_log"):
        found["default"] = option["default"]
    return found


def of_type(option: Mapping[str, Any], documented: Mapping[str, Any]) -> Schema:
    kind = option.get("type", "str")
    if option.get("choices"):
        return {"anyOf": [{"enum": list(option["choices"])}, TEMPLATE]}
    if kind == "list":
        items = of_type({**option, "type": option.get("elements", "raw")}, documented)
        # One alone is as good as a list of one, but for dictionaries.
        alone = [] if items.get("type") == "object" or "anyOf" in items else [items]
        return {"anyOf": [{"type": "array", "items": items}, *(alone or [TEMPLATE])]}
    if kind == "dict":
        return of_dictionary(option, documented)
    if kind == "raw":
        return {}
    written = TYPES[kind]
    return {"type": "string"} if written == "string" else {"anyOf": [{"type": written}, TEMPLATE]}


def of_dictionary(option: Mapping[str, Any], documented: Mapping[str, Any]) -> Schema:
    if "options" not in option:
        return {"type": "object"}
    described = documented.get("suboptions", {})
    properties = {name: of_option(one, described.get(name)) for name, one in option["options"].items()}
    required = [name for name, one in option["options"].items() if one.get("required")]
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def plain(description: str | list[str]) -> str:
    """Without the markup of Ansible's documentation."""
    text = " ".join([description] if isinstance(description, str) else description)
    text = re.sub(r"\b[OPV]\((?:[\w.]+#\w+:)?([^)]*)\)", lambda found: found.group(1).replace("\\]", "]"), text)
    return re.sub(r"\b[BCEIM]\(([^)]*)\)", r"\1", text).strip()


def text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.parent.mkdir(exist_ok=True)
    SCHEMA.write_text(text())
