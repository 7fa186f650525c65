"""What CodeBuild remembers, by account and region."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loopback import aws

if TYPE_CHECKING:
    from loopback.services.codebuild.batches import Batch
    from loopback.services.codebuild.record import Build

Json = dict[str, Any]


@dataclass
class Place:
    """CodeBuild in one account and region."""

    projects: dict[str, Json] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)  # of builds, by project


_places: dict[tuple[str, str], Place] = {}


def here() -> Place:
    return _places.setdefault((aws.account(), aws.region()), Place())


def reset() -> None:
    _places.clear()


def project_arn(name: str) -> str:
    return aws.arn("codebuild", f"project/{name}")


def project_name(reference: str) -> str:
    """The name of a project that is given by name or ARN."""
    return reference.rpartition(":project/")[2]


def build_id(reference: str) -> str:
    """The id of a build or a batch that is given by id or ARN."""
    for kind in (":build-batch/", ":build/"):
        if kind in reference:
            return reference.rpartition(kind)[2]
    return reference
