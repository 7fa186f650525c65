# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the role pull_sync: the names that follow from them, and what is wrong with them. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.limits import ALARM_HOURS, RETENTION_DAYS
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.notices import is_mail, notify_problem
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.schedules import schedule_problem

MODES = ("create", "refresh")
ENGINES = ("fargate", "batch")
ARCHITECTURES = {"x86_64": "X86_64", "arm64": "ARM64"}
# What AWS Batch takes for an array. One alone is no array.
MAX_SHARDS = 10_000
CONFIG_KEYS = ("mode", "repos", "repo_defaults")
DEFAULTS_KEYS = (
    "scan_on_push",
    "tag_immutability",
    "encryption_type",
    "kms_key_arn",
    "image_tag_mutability_exclusion_filters",
    "lifecycle_rules",
    "resource_tags",
)

_GIB = 1024
# By CPU units, the sizes of memory in MiB that Fargate has.
_MEMORY = {
    256: (512, _GIB, 2 * _GIB),
    512: range(_GIB, 4 * _GIB + 1, _GIB),
    1024: range(2 * _GIB, 8 * _GIB + 1, _GIB),
    2048: range(4 * _GIB, 16 * _GIB + 1, _GIB),
    4096: range(8 * _GIB, 30 * _GIB + 1, _GIB),
    8192: range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB),
    16384: range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB),
    32768: (60 * _GIB, 120 * _GIB, 244 * _GIB),
}
_STORAGE = range(21, 201)
_TIMEOUTS = range(1, 10_081)
_ATTEMPTS = range(1, 11)
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,26}[a-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PATTERN = re.compile(r"[a-z0-9][a-z0-9._/*-]*")
_KEY = re.compile(r"arn:[\w-]+:kms:[\w-]+:\d{12}:key/[\w-]+")


@dataclass(frozen=True)
class Sync:
    """The variables of the role without their prefix, and where it is to work."""

    given: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.given[name]

    @property
    def log_group(self) -> str:
        return f"/{self.namespace}/ecr-pull-sync"

    @property
    def bucket(self) -> str:
        return str(self.s3_bucket or f"{self.namespace}-{self.account}-{self.region}")

    @property
    def key(self) -> str:
        return f"{self.namespace}/job.json"

    @property
    def locks(self) -> str:
        return f"{self.namespace}/locks"

    @property
    def results(self) -> str:
        return f"{self.namespace}/runs"

    @property
    def runner_repository(self) -> str:
        """Where our own image of the runner is kept."""
        return f"{self.namespace}/runner"

    @property
    def rule(self) -> str:
        return f"{self.namespace}-failed"

    @property
    def alarm(self) -> str:
        return f"{self.namespace}-no-success"

    @property
    def names(self) -> dict[str, str]:
        names = ("log_group", "bucket", "key", "locks", "results", "runner_repository", "rule", "alarm")
        return {
            **{name: getattr(self, name) for name in names},
            **dict.fromkeys(("cluster", "task_definition", "schedule", "topic", "security_group"), self.namespace),
        }

    @property
    def on_batch(self) -> bool:
        return bool(self.engine == "batch")

    @property
    def shard_count(self) -> int:
        return int(self.shards) if self.on_batch else 1

    @property
    def creates(self) -> bool:
        return bool(self.config.get("mode", "create") == "create")

    @property
    def repos(self) -> list[Any]:
        return list(self.config.get("repos") or [])

    @property
    def repo_defaults(self) -> Mapping[str, Any]:
        return self.config.get("repo_defaults") or {}

    @property
    def mails(self) -> bool:
        return is_mail(self.notify)

    @property
    def own_topic_arn(self) -> str:
        return self.arn("sns", self.namespace)

    @property
    def topic_arn(self) -> str:
        """Of the topic that is told, if anybody is."""
        return self.own_topic_arn if self.mails else str(self.notify)

    @property
    def image(self) -> str:
        """The address of the runner; empty for our own, which is not known before it is built."""
        uri = str(self.task_image_uri)
        if not uri or "@" in uri or ":" in uri.rpartition("/")[2]:
            return uri
        return f"{uri}:{self.task_image_tag}"

    def role(self, purpose: str) -> str:
        """Roles are of the whole account, so that each region has its own."""
        return f"{self.namespace}-{purpose}-{self.region}"

    def role_arn(self, purpose: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role(purpose)}"

    def arn(self, service: str, what: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{what}"

    def repository_arn(self, repository: str) -> str:
        return self.arn("ecr", f"repository/{repository}")

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"


def name_problems(sync: Sync) -> Iterator[str]:
    """Of the variable that all names follow from, also those of what is to go."""
    if not _NAMESPACE.fullmatch(str(sync.namespace)):
        yield f"namespace: must be at most 28 small letters, digits and hyphens, not {sync.namespace!r}"
    elif sync.namespace.startswith("sg-"):
        yield "namespace: must not begin with sg-: a security group is called so too, and Amazon EC2 refuses that"


def problems(sync: Sync) -> Iterator[str]:
    """With the names of the variables, without what they all begin with."""
    yield from name_problems(sync)
    yield from _config_problems(sync.config)
    problem = schedule_problem(sync.schedule)
    if problem:
        yield f"schedule: {problem}"
    if sync.engine not in ENGINES:
        yield f"engine: must be one of {', '.join(ENGINES)}, not {sync.engine!r}"
    elif not sync.on_batch and sync.shards != 1:
        yield "shards: one task does it all with engine fargate: choose batch, or leave out shards"
    elif sync.shards not in range(1, MAX_SHARDS + 1):
        yield f"shards: must be a number from 1 to {MAX_SHARDS}, not {sync.shards!r}"
    yield from _size_problems(sync)
    yield from _network_problems(sync)
    yield from _number_problems(sync)
    yield from _storage_problems(sync)
    if notify_problem(sync.notify):
        yield notify_problem(sync.notify)
    for pattern in sync.repository_patterns:
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
            yield f"repository_patterns: must be names of repositories in which * stands for anything, not {pattern!r}"


def _number_problems(sync: Sync) -> Iterator[str]:
    for name, values, unit in (
        ("timeout", _TIMEOUTS, "minutes"),
        ("alarm_hours", ALARM_HOURS, "hours, 0 for no alarm"),
        ("attempts", _ATTEMPTS, "attempts"),
    ):
        if getattr(sync, name) not in values:
            yield f"{name}: must be {values[0]} to {values[-1]} {unit}, not {getattr(sync, name)!r}"
    if sync.log_retention not in RETENTION_DAYS:
        yield f"log_retention: must be one of {', '.join(map(str, RETENTION_DAYS))}, not {sync.log_retention!r}"
    if not sync.put_image_rate > 0:
        yield f"put_image_rate: must be more than 0 a second, not {sync.put_image_rate!r}"


def _storage_problems(sync: Sync) -> Iterator[str]:
    for name in ("log_kms_key_id", "s3_bucket_kms_key_arn"):
        if getattr(sync, name) and not _KEY.fullmatch(getattr(sync, name)):
            yield f"{name}: must be the ARN of a key of AWS KMS, not {getattr(sync, name)!r}"
    if not _BUCKET.fullmatch(sync.bucket):
        yield f"s3_bucket: must be 3 to 63 small letters, digits, dots and hyphens, not {sync.bucket!r}"
    for name in ("s3_bucket_noncurrent_version_expiration_days", "s3_bucket_abort_incomplete_multipart_upload_days"):
        if getattr(sync, name) < 1:
            yield f"{name}: must be at least 1, not {getattr(sync, name)!r}"


def _config_problems(config: Any) -> Iterator[str]:
    if not isinstance(config, Mapping):
        yield f"config: must be a dictionary with repos, not {config!r}"
        return
    for key in config:
        if key not in CONFIG_KEYS:
            yield f"config.{key}: unknown, use one of {', '.join(CONFIG_KEYS)}"
    if config.get("mode", "create") not in MODES:
        yield f"config.mode: must be one of {', '.join(MODES)}, not {config['mode']!r}"
    repos = config.get("repos")
    if not isinstance(repos, (list, tuple)) or not repos:
        yield "config.repos: must be a list of repositories, each with its source"
    defaults = config.get("repo_defaults") or {}
    if not isinstance(defaults, Mapping):
        yield f"config.repo_defaults: must be a dictionary, not {defaults!r}"
        return
    for key, value in defaults.items():
        if key not in DEFAULTS_KEYS:
            yield f"config.repo_defaults.{key}: unknown, use one of {', '.join(DEFAULTS_KEYS)}"
        elif key in ("scan_on_push", "tag_immutability") and not isinstance(value, bool):
            yield f"config.repo_defaults.{key}: must be true or false, not {value!r}"


def _size_problems(sync: Sync) -> Iterator[str]:
    sizes = _MEMORY.get(sync.task_cpu)
    if sizes is None:
        yield f"task_cpu: must be one of {', '.join(map(str, _MEMORY))}, not {sync.task_cpu!r}"
    elif sync.task_memory not in sizes:
        some = f"{sizes[0]} to {sizes[-1]} MiB in Fargate's steps"
        yield f"task_memory: must be {some} with task_cpu {sync.task_cpu}, not {sync.task_memory!r}"
    if sync.task_ephemeral_storage and sync.task_ephemeral_storage not in _STORAGE:
        storage = f"{_STORAGE[0]} to {_STORAGE[-1]} GiB, or 0 for the 20 that there are without"
        yield f"task_ephemeral_storage: must be {storage}, not {sync.task_ephemeral_storage!r}"
    if sync.architecture not in ARCHITECTURES:
        yield f"architecture: must be one of {', '.join(ARCHITECTURES)}, not {sync.architecture!r}"


def _network_problems(sync: Sync) -> Iterator[str]:
    if sync.subnet_ids and not sync.vpc_id:
        yield "vpc_id: is missing: say of which network subnet_ids are"
    if sync.vpc_id and not sync.subnet_ids:
        yield "subnet_ids: are missing: say where in the network tasks run"
    if len(sync.subnet_ids) > 16:
        yield "subnet_ids: a task takes 16 at most"
    if len(sync.security_groups) > 5:
        yield "security_groups: a task takes 5 at most"
