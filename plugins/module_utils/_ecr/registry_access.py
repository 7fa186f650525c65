# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to get into each registry of a mirror run: by what the task says, by AWS, or as Docker does on this machine.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_mirror as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import (
    ECR_PUBLIC,
    PUBLIC_REGION,
    ecr_host,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_login import (
    Login,
    RegistryLogin,
    private_login,
    public_login,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import RegistryOptions
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import RegistrySettings
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.counters import Asked, Counters
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, DockerConfig

_SESSION = "stevedore-ecr"
_API = "Amazon ECR API"


class RegistryAccess:
    """`new_client` makes a client of boto3, such as AnsibleAWSModule.client does.

    `own` is the host of the registry that images go to, and `logins` has the login to it. Others are added.
    """

    def __init__(
        self,
        new_client: Callable[..., Any],
        options: Mapping[str, RegistryOptions],
        own: str,
        logins: dict[str, RegistryLogin],
        *,
        ca_bundle: str = "",
    ) -> None:
        self._new_client, self._options = new_client, options
        self._own, self._logins, self._ca_bundle = own, logins, ca_bundle
        self._docker = _DockerLogins()

    def settings(self, hosts: Iterable[str]) -> dict[str, RegistrySettings]:
        """For these registries and the own one."""
        found = {}
        for host in dict.fromkeys((*hosts, self._own)):
            options = self._options.get(host, RegistryOptions())
            login = self._login(host, options)
            if login:
                self._logins[host] = login
            ca_bundle = options.ca or (self._ca_bundle if login else "")
            endpoint = options.endpoint or (self._logins[host].current().endpoint if host == self._own else "")
            credentials = self._source(host, options)
            found[host] = RegistrySettings(endpoint, ca_bundle, options.insecure, credentials)
        return found

    def credentials_for(self, host: str) -> Credentials | None:
        """Those that are good now."""
        return self._source(host, self._options.get(host, RegistryOptions()))()

    def _source(self, host: str, options: RegistryOptions) -> Callable[[], Credentials | None]:
        if host in self._logins:
            return self._logins[host].credentials
        if options.credentials:
            return lambda: options.credentials
        return lambda: self._docker.credentials_for(host)

    def _login(self, host: str, options: RegistryOptions) -> RegistryLogin | None:
        """By AWS, if that is how."""
        if host in self._logins:
            return self._logins[host]
        found = ecr_host(host)
        asked = options.aws_login or options.region or options.role_arn
        if options.credentials or options.aws_login is False or not (found or asked):
            return None
        if host == ECR_PUBLIC:
            return RegistryLogin(self._logging_in(public_login, "ecr-public", PUBLIC_REGION, options.role_arn))
        region = options.region or (found.region if found else None)
        return RegistryLogin(self._logging_in(private_login, "ecr", region, options.role_arn))

    def _logging_in(
        self, log_in: Callable[[Any], Login], service: str, region: str | None, role: str
    ) -> Callable[[], Login]:
        where = {"region": region} if region else {}
        if not role:
            client = self._new_client(service, **where)
            return lambda: log_in(client)
        sts = self._new_client("sts")

        def as_role() -> Login:
            keys = api.assume_role(sts, role, _SESSION)
            return log_in(
                self._new_client(
                    service,
                    aws_access_key_id=keys["AccessKeyId"],
                    aws_secret_access_key=keys["SecretAccessKey"],
                    aws_session_token=keys["SessionToken"],
                    **where,
                )
            )

        return as_role


class RequestCounters(Counters):
    """Counts the requests to registries and to AWS, and tells a login of these when it is refused."""

    def __init__(self, logins: Mapping[str, RegistryLogin]) -> None:
        super().__init__()
        self._logins = logins
        self._challenged: set[str] = set()

    def answered(self, asked: Asked, status: int) -> None:
        super().answered(asked, status)
        if status in (401, 403) and asked.registry in self._logins and not self._is_challenge(asked.registry, status):
            self._logins[asked.registry].refused()

    def count_calls(self, client: Any) -> None:
        """Of the API of Amazon ECR."""
        client.meta.events.register("before-send.ecr", self._called)

    def by_registry(self) -> dict[str, int]:
        return {registry: self.total(registry) for registry in sorted({asked.registry for asked in self.requests})}

    def _called(self, **unused: object) -> None:
        with self._lock:
            self.requests[Asked(_API, "POST", "call")] += 1

    def _is_challenge(self, registry: str, status: int) -> bool:
        """The first request goes out without a login, and learns by a refusal that there has to be one."""
        with self._lock:
            first = registry not in self._challenged
            self._challenged.add(registry)
        return first and status == 401


class _DockerLogins:
    """Docker's configuration, read when it is needed first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._config: DockerConfig | None = None

    def credentials_for(self, host: str) -> Credentials | None:
        with self._lock:
            self._config = self._config or DockerConfig.load()
        return self._config.credentials_for(host)
