# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mirror run from the options of a module to its result.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from ansible.module_utils.common.parameters import remove_values
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import module as common
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.mirror_destination import EcrDestination
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_access import RegistryAccess, RequestCounters
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import RegistryLogin, private_login
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import (
    read_registries,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import REASON, GivenUp, Interruption
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    MirrorError,
    Transport,
    UnavailableError,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.progress import VARIABLE, Progress
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import GO_ON, Report
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.run import Settings, mirror
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import OciError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import Http, Patience
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.pace import ECR_RATES, PUT_IMAGE, Pace

# Questions that are asked at a time, see run.py; each needs a connection to AWS.
_CONNECTIONS = 32


@contextmanager
def failing_readably(module: AnsibleAWSModule) -> Iterator[None]:
    """As module.failing_readably, for the errors of mirroring too."""
    with common.failing_readably(module):
        try:
            yield
        except (MirrorError, OciError) as error:
            raise AnsibleECRError(str(error)) from error
        except GivenUp as error:
            raise AnsibleECRError(f"Given up, because {REASON}. {GO_ON}") from error


class ImageMirror:
    """One run of the module. Checks all that it is told before anybody is asked anything."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        params = module.params
        self._client = common.ecr_client(module, max(_CONNECTIONS, params["parallel"]))
        self._module, self._params = module, params
        problems = [*_number_problems(params)]
        self._registries = read_registries(params["registries"], problems)
        self._wishes = _read_wishes(params, problems)
        self._defaults = self._read_defaults(problems)
        if problems:
            raise MirrorError(f"Not valid: {'; '.join(problems)}")
        # With no_log, nothing of the task may be shown.
        self._progress = Progress(
            "" if module.no_log else os.environ.get(VARIABLE, ""),
            clean=lambda said: str(remove_values(said, module.no_log_values)),
        )
        self._interruption = Interruption()

    def run(self) -> dict[str, Any]:
        """The result. It has `failed` and `msg` if an image could not be brought over."""
        try:
            with self._interruption.by_signals():
                return self._run()
        finally:
            # Ansible, being interrupted too, leaves its files with the options of the task behind.
            if self._interruption.happened and not self._module._keep_remote_files:
                shutil.rmtree(self._module.tmpdir, ignore_errors=True)

    def _run(self) -> dict[str, Any]:
        params = self._params
        logins: dict[str, RegistryLogin] = {}
        counters = RequestCounters(logins)
        counters.count_calls(self._client)
        own_login = RegistryLogin(lambda: private_login(self._client), UnavailableError)
        host = own_login.current().host
        logins[host] = own_login
        access = RegistryAccess(
            self._module.client, self._registries, host, logins, ca_bundle=params["aws_ca_bundle"] or ""
        )
        settings = access.settings([*self._registries, *(wish.source.registry for wish in self._wishes)])
        http = Http(
            connections=2 * max(_CONNECTIONS, params["parallel"]),
            patience=Patience(seconds=params["timeout"]),
            observer=counters,
            pacer=_HeedfulPace(self._interruption, host, {**ECR_RATES, PUT_IMAGE: params["put_image_rate"]}),
            sleep=self._interruption.sleep,
        )
        with closing(Client(settings, credentials=access.credentials_for, http=http)) as client:
            report = self._mirror(client, EcrDestination(self._client, host, self._defaults), access)
        common.show_warnings([*self._defaults.warnings, *report.warnings])
        return self._result(report, counters)

    def _mirror(self, client: Client, destination: EcrDestination, access: RegistryAccess) -> Report:
        params = self._params
        budget = PullBudget(client.rate_limit, params["rate_limit_reserve"])
        settings = Settings(
            parallel=params["parallel"],
            keep_going=params["keep_going"],
            check_mode=self._module.check_mode,
            create_repositories=params["create_repositories"],
            skip_missing=params["missing_repositories"] == "skip",
            journal=params["journal"] or "",
            progress=self._progress,
            interruption=self._interruption,
        )

        # Imported when they are needed: a run that has nothing to do needs neither.
        def direct() -> Transport:
            from ansible_collections.stevedore.ecr.plugins.module_utils._transport.direct import DirectTransport

            return DirectTransport(
                client, destination, blob_workers=params["parallel"], budget=budget, watch=_Watch(settings)
            )

        def docker() -> Transport:
            from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_transport import (
                DockerTransport,
            )

            return DockerTransport(
                client,
                destination,
                credentials=access.credentials_for,
                docker_host=params["docker_host"] or "",
                keep_local=params["keep_local"],
                heed=self._interruption.heed,
            )

        with _closing(Transports({"direct": direct, "docker": docker})) as transports:
            return mirror(self._wishes, client, destination, transports, budget, settings)

    def _result(self, report: Report, counters: RequestCounters) -> dict[str, Any]:
        result = {
            "registry": report.registry,
            **report.as_result(counters.by_registry()),
            "progress_told": self._progress.was_watched,
        }
        diff = report.diff() if self._module._diff else {}
        if diff and (report.changed or diff["prepared"]):
            result["diff"] = diff
        return {**result, "failed": True, "msg": report.failure} if report.failure else result

    def _read_defaults(self, problems: list[str]) -> RepositoryDefaults:
        try:
            return RepositoryDefaults.read(self._params["repository_defaults"], self._client.meta.region_name)
        except AnsibleECRError as error:
            problems.append(str(error))
            return RepositoryDefaults()


class _HeedfulPace(Pace):
    """Lets no request begin when the run is to end."""

    def __init__(self, interruption: Interruption, registry: str, rates: Mapping[tuple[str, str], float]) -> None:
        super().__init__(registry, rates, sleep=interruption.sleep)
        self._interruption = interruption

    def wait(self, asked: Asked) -> None:
        self._interruption.heed()
        super().wait(asked)


class _Watch:
    """Tells of the bytes, and stops them when the run is to end."""

    def __init__(self, settings: Settings) -> None:
        self.expected = settings.progress.expected
        self._moved, self._heed = settings.progress.moved, settings.interruption.heed

    def moved(self, count: int) -> None:
        self._moved(count)
        self._heed()


class Transports(Mapping[str, Transport]):
    """Each is made when it is asked for first, whichever thread does."""

    def __init__(self, makers: Mapping[str, Callable[[], Transport]]) -> None:
        self._makers = makers
        self._lock = threading.Lock()
        self._made: dict[str, Transport] = {}

    def __getitem__(self, name: str) -> Transport:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def close(self) -> None:
        for transport in self._made.values():
            transport.close()


@contextmanager
def _closing(transports: Transports) -> Iterator[Transports]:
    """Whatever hangs in them is not waited for."""
    hangs = False
    try:
        yield transports
    except GivenUp:
        hangs = True
        raise
    finally:
        if not hangs:
            transports.close()


def _number_problems(params: Mapping[str, Any]) -> Iterator[str]:
    if not params["put_image_rate"] > 0:
        yield f"put_image_rate: must be more than 0, not {params['put_image_rate']}"
    for name, least in (("parallel", 1), ("rate_limit_reserve", 0), ("timeout", 0)):
        if params[name] < least:
            yield f"{name}: must be at least {least}, not {params[name]}"


def _read_wishes(params: Mapping[str, Any], problems: list[str]) -> list[Wish]:
    images = params["images"]
    if params["source"] is not None:
        platforms = [params["platform"]] if params["platform"] else None
        images = [{**{name: params[name] for name in ("source", "repository", "tag")}, "platforms": platforms}]
    try:
        return wishes.parse(images, {name: params[name] for name in wishes.DEFAULT_KEYS})
    except wishes.WishError as error:
        problems += error.problems if params["images"] else map(_without_place, error.problems)
        return []


def _without_place(problem: str) -> str:
    """The one image is no list."""
    return problem.removeprefix("images[0].").removeprefix("images[0]: ")
