# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads from the code which operations of AWS a module of this collection can call, without running it.

From main(), every name that is mentioned is followed to where it is defined. What is called on a client on the way is
an operation. So it is what a module can do at all: more than most of its options ask for, and never less.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import botocore.session
from botocore import xform_name

PLUGINS = Path(__file__).parents[1] / "plugins"
PACKAGE = "ansible_collections.stevedore.ecr.plugins."
# The services of files that ask another one than Amazon ECR, and do not say so in a class of theirs.
SERVICES = {
    "module_utils/_ecr/api_account.py": "iam",
    "module_utils/_ecr/api_secrets.py": "secretsmanager",
    "module_utils/_jobs/last_runs.py": "codebuild",
    "module_utils/_jobs/locks.py": "s3",
    "module_utils/_jobs/networks.py": "ec2",
    "module_utils/_jobs/objects.py": "s3",
    "module_utils/_jobs/results.py": "s3",
    "module_utils/_jobs/runs.py": "logs",
}
# Where a function asks another service than the rest of its file.
FUNCTION_SERVICES = {
    ("module_utils/_ecr/api_account.py", "caller_identity"): "sts",
    ("module_utils/_ecr/api_mirror.py", "assume_role"): "sts",
    ("module_utils/_ecr/api_mirror.py", "public_authorization"): "ecr-public",
    ("module_utils/_jobs/last_runs.py", "_batch_jobs"): "batch",
    ("module_utils/_jobs/last_runs.py", "_listed_tasks"): "ecs",
    ("module_utils/_jobs/last_runs.py", "_tasks"): "ecs",
}
# Where a client is one of AWS, and not of a registry.
OF_AWS = ("module_utils/_ecr/", "module_utils/_jobs/")
# Amazon S3 has other names for some permissions than for the operations that they allow.
S3_ACTIONS = {
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    # As it is called here, with versions.
    "DeleteObjects": "DeleteObjectVersion",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "HeadObject": "GetObject",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
# Everybody may ask who they are.
FREE = {"sts:GetCallerIdentity"}

Place = tuple[str, str]
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass
class Source:
    """What a file defines and imports: names to (file, name), where no name is a whole file."""

    path: str
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, Place] = field(default_factory=dict)
    service: str = ""


@functools.cache
def source(path: str) -> Source:
    found = Source(path)
    for node in ast.parse((PLUGINS / path).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.definitions[node.name] = node
        elif isinstance(node, ast.Assign):
            found.definitions.update({name.id: node for name in node.targets if isinstance(name, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.definitions[node.target.id] = node
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.imports.update(_imported(node))
    found.service = SERVICES.get(path) or _own_service(found) or "ecr"
    return found


def _imported(node: ast.ImportFrom) -> Iterator[tuple[str, Place]]:
    module = str(node.module)
    if not module.startswith(PACKAGE):
        return
    folder = module.removeprefix(PACKAGE).replace(".", "/")
    for name in node.names:
        is_file = (PLUGINS / folder / f"{name.name}.py").is_file()
        yield name.asname or name.name, (f"{folder}/{name.name}.py", "") if is_file else (f"{folder}.py", name.name)


def _own_service(found: Source) -> str:
    """Of classes that have an attribute `service`."""
    for definition in found.definitions.values():
        for node in definition.body if isinstance(definition, ast.ClassDef) else []:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "service"
            ):
                return str(ast.literal_eval(node.value))
    return ""


def actions_of(module: str, *, without_services: Collection[str] = ()) -> set[str]:
    """The IAM actions that a module of this collection can need."""
    seen: set[Place] = set()
    found: set[str] = set()
    waiting: list[Place] = [(f"modules/{module}.py", "main")]
    while waiting:
        place = waiting.pop()
        path, name = place
        here = source(path)
        if place in seen or name not in here.definitions:
            continue
        seen.add(place)
        service = FUNCTION_SERVICES.get(place, here.service)
        for node in ast.walk(here.definitions[name]):
            waiting += _mentioned(here, node)
            operation = _operation_of(service, node) if path.startswith(OF_AWS) else ""
            if operation:
                found.add(f"{service}:{_action(service, operation)}")
    return {action for action in found - FREE if action.partition(":")[0] not in without_services}


def _mentioned(here: Source, node: ast.AST) -> list[Place]:
    if isinstance(node, ast.Name):
        return [(here.path, node.id)] if node.id in here.definitions else [here.imports.get(node.id, (here.path, ""))]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        path, name = here.imports.get(node.value.id, ("", ""))
        return [(path, node.attr)] if path and not name else []
    return []


def _operation_of(service: str, node: ast.AST) -> str:
    """Of client.operation(...), and of the names of operations that are given to others as texts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if node.value in _operations(service) else ""
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "client":
        return called.attr if called.attr not in ("get_paginator", "get_waiter") else ""
    return ""


@functools.cache
def _operations(service: str) -> set[str]:
    return set(map(xform_name, _operation_names(service)))


@functools.cache
def _operation_names(service: str) -> set[str]:
    return set(botocore.session.get_session().get_service_model(service).operation_names)


def _action(service: str, operation: str) -> str:
    name = "".join(word.capitalize() for word in operation.split("_"))
    return S3_ACTIONS.get(name, name) if service == "s3" else name


def unknown(actions: Iterable[str]) -> list[str]:
    """Those that AWS has no operation for, as far as the botocore that is installed knows."""
    return [
        action
        for action in sorted(actions)
        for service, _colon, name in [action.partition(":")]
        if name not in _operation_names(service) and not (service == "s3" and name in S3_ACTIONS.values())
    ]
