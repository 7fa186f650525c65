# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the role codebuild_cloner: the names that follow from them, and what is wrong with them. Pure.

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
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import check_repository

PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
MAX_SHARDS = 100
# What can be said of a repository apart from its tags; the others are options of the mirror engine.
ENTRY_KEYS = ("tags", "select", "registry", "platforms", "on_moved_tag", "referrers", "require_match")

_TIMEOUTS = range(5, 2161)
_PREFIX = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_SECRET = re.compile(r"arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:.+")


@dataclass(frozen=True)
class Cloner:
    """The variables of the role without their prefix, and where it is to work."""

    given: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.given[name]

    @property
    def project(self) -> str:
        return f"{self.prefix}cloner"

    @property
    def log_group(self) -> str:
        return f"/aws/codebuild/{self.project}"

    @property
    def parameter(self) -> str:
        return f"/{self.project}/docker-hub-token"

    @property
    def bucket_name(self) -> str:
        return str(self.bucket or f"{self.project}-{self.account}-{self.region}")

    @property
    def key(self) -> str:
        return f"{self.project}/job.zip"

    @property
    def results(self) -> str:
        return f"{self.project}/runs"

    @property
    def rule(self) -> str:
        return f"{self.project}-failed"

    @property
    def alarm(self) -> str:
        return f"{self.project}-no-success"

    @property
    def names(self) -> dict[str, str]:
        names = ("project", "log_group", "parameter", "key", "rule", "alarm")
        return {"bucket": self.bucket_name, **{name: getattr(self, name) for name in names}}

    @property
    def sharded(self) -> bool:
        return int(self.fan_out) > 1

    @property
    def own_image(self) -> bool:
        """Those of AWS CodeBuild, whichever one, have nothing that a build needs."""
        return bool(self.image) and not str(self.image).startswith("aws/codebuild/")

    @property
    def has_login(self) -> bool:
        return bool(self.docker_hub_username or self.docker_hub_secret_arn)

    @property
    def engine_platform(self) -> str:
        return PLATFORMS[self.architecture]

    @property
    def mails(self) -> bool:
        return is_mail(self.notify)

    @property
    def own_topic_arn(self) -> str:
        return self.arn("sns", self.project)

    @property
    def topic_arn(self) -> str:
        """Of the topic that is told, if anybody is."""
        return self.own_topic_arn if self.mails else str(self.notify)

    def role(self, purpose: str) -> str:
        """Roles are of the whole account, so that each region has its own."""
        return f"{self.project}-{purpose}-{self.region}"

    def role_arn(self, purpose: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role(purpose)}"

    def arn(self, service: str, what: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{what}"

    @property
    def project_arn(self) -> str:
        return self.arn("codebuild", f"project/{self.project}")

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket_name}"


def place_problems(cloner: Cloner) -> Iterator[str]:
    """Of the variables that say which cloner is meant, and where: also what is to go must be that of no other."""
    if not _PREFIX.fullmatch(cloner.prefix):
        yield f"prefix: must be at most 20 small letters, digits and hyphens, not {cloner.prefix!r}"
    try:
        check_repository(cloner.namespace)
    except InvalidReferenceError as error:
        yield f"namespace: {error}"
    for name, said, here in (
        ("account_id", cloner.account_id, cloner.account),
        ("region", cloner.asked_region, cloner.region),
    ):
        if said and str(said) != here:
            yield f"{name}: is {said}, and the credentials and settings of this play are for {here}"


def problems(cloner: Cloner) -> Iterator[str]:
    """With the names of the variables, without what they all begin with."""
    yield from place_problems(cloner)
    yield from _container_problems(cloner.containers, cloner.build_commands)
    problem = schedule_problem(cloner.schedule)
    if problem:
        yield f"schedule: {problem}"
    yield from _login_problems(cloner)
    if cloner.vpc and not all(cloner.vpc.get(field) for field in ("id", "subnets", "security_groups")):
        yield "vpc: needs id, subnets and security_groups"
    if cloner.fan_out not in range(1, MAX_SHARDS + 1):
        yield f"fan_out: must be a number from 1 to {MAX_SHARDS}, not {cloner.fan_out!r}"
    if cloner.timeout not in _TIMEOUTS:
        yield f"timeout: must be 5 to 2160 minutes, not {cloner.timeout!r}"
    if cloner.alarm_hours not in ALARM_HOURS:
        yield f"alarm_hours: must be at most 168, or 0 for no alarm, not {cloner.alarm_hours!r}"
    if cloner.log_retention_days not in RETENTION_DAYS:
        yield f"log_retention_days: must be one of {', '.join(map(str, RETENTION_DAYS))}"
    if notify_problem(cloner.notify):
        yield notify_problem(cloner.notify)


def _container_problems(containers: Any, commands: Mapping[str, Any]) -> Iterator[str]:
    if not containers:
        yield 'containers: must be repositories with their tags, such as redis: ["7.4"]'
    known = set()
    for repository, what in containers.items():
        entry = what if isinstance(what, Mapping) else {"tags": what}
        for key in entry:
            if key not in ENTRY_KEYS:
                yield f"containers.{repository}.{key}: unknown, use one of {', '.join(ENTRY_KEYS)}"
        tags = entry.get("tags")
        if entry.get("select") and tags is None:
            continue
        if not isinstance(tags, list) or not tags:
            yield f"containers.{repository}: has no tags: name at least one, or leave the repository out"
            continue
        known |= {f"{repository}:{tag}" for tag in tags if isinstance(tag, str)}
    for name in commands:
        if name not in known:
            yield (
                f"build_commands.{name}: is no tag of containers: "
                f"write repository:tag as it stands there, one of {', '.join(sorted(known)[:10]) or 'none'}"
            )


def _login_problems(cloner: Cloner) -> Iterator[str]:
    if cloner.docker_hub_secret_arn:
        if cloner.has_token:
            yield "docker_hub_secret_arn: there is docker_hub_access_token too: give one of them"
        if not _SECRET.fullmatch(cloner.docker_hub_secret_arn):
            yield "docker_hub_secret_arn: must be the ARN of a secret in AWS Secrets Manager"
    elif cloner.has_token and not cloner.docker_hub_username:
        yield "docker_hub_username: is missing: a token is of no use without the name of its user"
    elif cloner.docker_hub_username and not cloner.has_token:
        yield "docker_hub_access_token: is missing: give it, or leave out docker_hub_username"
