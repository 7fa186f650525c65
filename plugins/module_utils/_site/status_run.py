# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the module ecr_status_info to its result, part by part.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from typing import Any, TypeVar

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import module as common
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import site_status as status
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import (
    AnsibleECRError,
    AnsibleECRUnavailableError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_access import RegistryAccess
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import RegistryLogin, private_login
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import read_registries
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.clients import Clients
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.last_runs import last_run, schedule_of
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    MirrorError,
    UnavailableError,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import OciError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http, Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._site.status import (
    Answers,
    findings,
    lines,
    sentence,
    verdict,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.variables import placed

T = TypeVar("T")
Document = dict[str, Any]

_CONNECTIONS = 32
# A source that does not answer is a finding, and nothing to wait long for.
_SECONDS = 30.0
_DEFAULTS = {"transport": "direct"}


class SiteStatus:
    """One run of the module. Checks all that it is told before anybody is asked anything."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        params = module.params
        problems: list[str] = []
        self._module, self._params = module, params
        self._registries = read_registries(params["registries"], problems)
        self._wished = _read_wishes(params["images"], problems)
        if params["unused_days"] < 0:
            problems.append(f"unused_days: must be at least 0, not {params['unused_days']}")
        if problems:
            raise MirrorError(f"Not valid: {'; '.join(problems)}")
        self._client = common.ecr_client(module, _CONNECTIONS)
        self._clients = Clients(module)
        self._unknown: list[Document] = []

    def run(self) -> Document:
        params = self._params
        login = RegistryLogin(lambda: private_login(self._client), UnavailableError)
        host = login.current().host
        copied = list(dict.fromkeys(wish.repository for _way, wish in self._wished))
        cached: list[str] = self._part("cached repositories", [], lambda: self._cached(copied))
        images = status.describe(self._client, [*copied, *cached])
        self._tell("images", (outcome.error for outcome in images.values()))
        repositories = status.repository_states(self._client, cached, images)
        self._tell("lifecycle policies", (one.pop("problem") for one in repositories))
        now = datetime.now(timezone.utc)
        answers = Answers(
            images=self._part("images", [], lambda: self._images(host, login, images)) if self._wished else [],
            rules=self._part("rules", [], self._rules) if params["rules"] else [],
            repositories=repositories,
            unused=list(status.unused(host, images, params["unused_days"], now)),
            jobs=[self._job(job) for job in params["jobs"]],
            unknown=self._unknown,
        )
        found = findings(answers)
        return {
            "registry": host,
            "verdict": verdict(answers, found),
            "failure": sentence(found, params["fail_on"]),
            "lines": lines(answers, found),
            "findings": found,
            **vars(answers),
        }

    def _cached(self, copied: Sequence[str]) -> list[str]:
        prefixes = [rule["prefix"] for rule in self._params["rules"]]
        # An image that comes through a cache is no copy.
        others = {wish.repository for way, wish in self._wished if way != status.CACHE}
        return status.cached_repositories(self._client, prefixes, others) if prefixes else []

    def _images(self, host: str, login: RegistryLogin, images: status.Images) -> list[Document]:
        bundle = self._params["aws_ca_bundle"] or ""
        access = RegistryAccess(self._module.client, self._registries, host, {host: login}, ca_bundle=bundle)
        settings = access.settings([*self._registries, *(wish.source.registry for _way, wish in self._wished)])
        http = Http(connections=2 * _CONNECTIONS, patience=Patience(seconds=_SECONDS))
        with closing(Client(settings, credentials=access.credentials_for, http=http)) as client:
            return status.image_states(self._client, host, client, self._wished, images)

    def _rules(self) -> list[Document]:
        rules = status.rule_states(self._client, self._clients("secretsmanager"), self._params["rules"])
        self._tell("rules", (rule.pop("problem") for rule in rules))
        return rules

    def _job(self, job: Mapping[str, Any]) -> Document:
        name = job["name"]
        not_known: tuple[str | None, str] = (None, "UNKNOWN")
        schedule, state = self._part("schedules", not_known, lambda: schedule_of(self._clients, name))
        run = self._part("runs", None, lambda: last_run(self._clients, job["kind"], name))
        return {
            "way": job["way"],
            "name": name,
            "enabled": job["enabled"],
            "schedule": schedule,
            "schedule_state": state,
            "last_run": run,
        }

    # ------------------------------------------------------------------ what could not be found out

    def _part(self, part: str, instead: T, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except AnsibleECRUnavailableError:
            raise
        except (AnsibleECRError, MirrorError, OciError) as error:
            self._tell(part, [error])
            return instead

    def _tell(self, part: str, reasons: Iterable[object]) -> None:
        """Each reason once."""
        for reason in reasons:
            one = {"part": part, "why": str(reason)}
            if reason and one not in self._unknown:
                self._unknown.append(one)


def _read_wishes(images: Sequence[Mapping[str, Any]], problems: list[str]) -> list[tuple[str, Wish]]:
    """With the way of each. What is there twice is asked for once, so they are read way by way."""
    found: list[tuple[str, Wish]] = []
    ways = [str(image.get("way", "")) for image in images]
    for way in dict.fromkeys(ways):
        places = [index for index, other in enumerate(ways) if other == way]
        mine = [{key: one for key, one in images[index].items() if key != "way"} for index in places]
        try:
            found += [(way, wish) for wish in wishes.parse(mine, _DEFAULTS)]
        except wishes.WishError as error:
            problems += [placed(problem, [f"images[{index}]" for index in places], "") for problem in error.problems]
    return found
