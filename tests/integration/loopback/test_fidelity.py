"""Every emulated behaviour says how far it can be trusted, and what is not emulated says so."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from botocore import xform_name

from loopback.client import ROOT, Cloud, cloud_python

NOT_EMULATED = {
    "DeleteSigningConfiguration",
    "DescribeImageReplicationStatus",
    "DescribeImageScanFindings",
    "DescribeImageSigningStatus",
    "GetSigningConfiguration",
    "PutSigningConfiguration",
    "StartImageScan",
    "UpdateImageStorageClass",
}
_EMULATED = """
import json
from loopback import services
from loopback.validation import service_model
services.discover()
from loopback.services.ecr.service import service
print(json.dumps([sorted(service.emulated), service_model("ecr").operation_names]))
"""


def in_the_cloud(*arguments: str) -> str:
    """What the cloud's own interpreter prints."""
    done = subprocess.run(
        [cloud_python(), *arguments],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def table() -> list[tuple[str, str, str]]:
    """(behaviour, fidelity, source) of each line."""
    lines = [line for line in in_the_cloud("-m", "loopback", "fidelity").splitlines() if line.startswith("| `")]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], row[1], row[2]) for row in cells]


@pytest.fixture(scope="module")
def operations() -> dict[str, list[str]]:
    emulated, modelled = json.loads(in_the_cloud("-c", _EMULATED))
    return {"emulated": emulated, "modelled": modelled}


def test_every_emulated_operation_is_marked(table: list[tuple[str, str, str]], operations: dict[str, Any]) -> None:
    marked = {where.rpartition(".")[2] for where, _kind, _source in table if where.startswith("services.ecr.")}
    assert {xform_name(operation) for operation in operations["emulated"]} <= marked


@pytest.mark.parametrize("service", ["batch", "codebuild", "ecs", "scheduler"])
def test_every_operation_of_a_service_that_runs_things_is_marked(
    table: list[tuple[str, str, str]], service: str
) -> None:
    code = f"from loopback.services import {service} as s; print(*sorted(s.service.emulated))"
    emulated = in_the_cloud("-c", code).split()
    marked = {where.rpartition(".")[2] for where, _kind, _source in table if where.startswith(f"services.{service}.")}
    assert len(emulated) > 10
    assert {xform_name(operation) for operation in emulated} <= marked


def test_marks_are_of_three_kinds_and_have_a_source(table: list[tuple[str, str, str]]) -> None:
    assert {kind for _where, kind, _source in table} == {"service model", "documented", "assumed"}
    assert [row for row in table if not row[2]] == []


def test_all_of_ecr_is_emulated_but_what_is_listed_here(operations: dict[str, Any]) -> None:
    assert set(operations["modelled"]) - set(operations["emulated"]) == NOT_EMULATED


@pytest.mark.parametrize("operation", sorted(NOT_EMULATED))
def test_what_is_not_emulated_says_so_at_once(cloud: Cloud, operation: str) -> None:
    ecr = cloud.client("ecr", attempts=5)
    parameters: dict[str, Any] = {
        "repositoryName": "team/app",
        "imageId": {"imageTag": "1"},
        "targetStorageClass": "ARCHIVE",
        "signingConfiguration": {"rules": []},
    }
    shape = ecr.meta.service_model.operation_model(operation).input_shape
    call = {name: parameters[name] for name in shape.required_members}
    with pytest.raises(ecr.exceptions.ClientError) as caught:
        getattr(ecr, xform_name(operation))(**call)
    assert caught.value.response["Error"]["Code"] == "NotEmulatedException"
    assert operation in caught.value.response["Error"]["Message"]
    assert len(cloud.calls(operation)) == 1


def test_operations_that_ecr_does_not_have_are_refused(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    target = "AmazonEC2ContainerRegistry_V20150921.DescribeWeather"
    ecr.meta.events.register(
        "before-send.ecr.DescribeRegistry", lambda request, **_: request.headers.update({"X-Amz-Target": target})
    )
    with pytest.raises(ecr.exceptions.ClientError, match="DescribeWeather") as caught:
        ecr.describe_registry()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
