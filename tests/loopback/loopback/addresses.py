"""Which name on the network stands for what. Light mode gives each registry a loopback address of its own;
full mode uses the real host names, which the network namespace resolves to loopback.
"""

from __future__ import annotations

import re
from typing import Protocol

from loopback.config import TOKEN_HOSTS, UPSTREAM_HOSTS
from loopback.errors import AwsError

Registry = tuple[str, str]  # account, region


class Addresses(Protocol):
    def registry(self, account: str, region: str) -> str:
        """Origin of an ECR registry, as GetAuthorizationToken's proxyEndpoint gives it."""

    def registry_at(self, host: str) -> Registry | None:
        """The registry that a Host header names, if it names one."""

    def blobs(self, region: str) -> str:
        """Origin that serves layers: S3's part. It refuses a forwarded Authorization header."""

    def is_blobs(self, host: str) -> bool: ...

    def upstream(self, host: str) -> str:
        """Origin of an upstream registry such as quay.io."""

    def upstream_at(self, host: str) -> str | None:
        """The upstream registry that a Host header names, if it names one."""

    def hosts(self) -> list[str]:
        """Every address or name to listen on or resolve."""

    def reset(self) -> None: ...


class LightAddresses:
    """127.0.0.1-8 are registries, given out as accounts first ask; .9 is the blob store; .11 on: upstreams."""

    REGISTRIES = tuple(f"127.0.0.{n}" for n in range(1, 9))
    BLOBS = "127.0.0.9"

    def __init__(self, home: Registry) -> None:
        self.port = 0
        self._home = home
        self._upstreams = {host: f"127.0.0.{n}" for n, host in enumerate(UPSTREAM_HOSTS, 11)}
        self._given: dict[Registry, str] = {}
        self.reset()

    def reset(self) -> None:
        self._given = {self._home: self.REGISTRIES[0]}

    def hosts(self) -> list[str]:
        return [*self.REGISTRIES, self.BLOBS, *self._upstreams.values()]

    def registry(self, account: str, region: str) -> str:
        key = (account, region)
        if key not in self._given:
            if len(self._given) == len(self.REGISTRIES):
                raise AwsError("LimitExceededException", f"light mode has {len(self.REGISTRIES)} registries, all taken")
            self._given[key] = self.REGISTRIES[len(self._given)]
        return self._origin(self._given[key])

    def registry_at(self, host: str) -> Registry | None:
        address = _name(host)
        return next((key for key, given in self._given.items() if given == address), None)

    def blobs(self, region: str) -> str:
        return self._origin(self.BLOBS)

    def is_blobs(self, host: str) -> bool:
        return _name(host) == self.BLOBS

    def upstream(self, host: str) -> str:
        return self._origin(self._upstreams[TOKEN_HOSTS.get(host, host)])

    def upstream_at(self, host: str) -> str | None:
        address = _name(host)
        return next((name for name, given in self._upstreams.items() if given == address), None)

    def _origin(self, address: str) -> str:
        return f"http://{address}:{self.port}"


class RealAddresses:
    """The names the world uses, over TLS. Any account and region is a registry."""

    _ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
    _BLOBS = re.compile(r"prod-[a-z0-9-]+-starport-layer-bucket\.s3\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")

    def __init__(self, accounts: tuple[str, ...], regions: tuple[str, ...]) -> None:
        self._accounts, self._regions = accounts, regions

    def reset(self) -> None:
        """Nothing is given out, so nothing is taken back."""

    def hosts(self) -> list[str]:
        names = [self.registry(a, r) for a in self._accounts for r in self._regions]
        names += [self.blobs(r) for r in self._regions]
        return [_name(n.removeprefix("https://")) for n in names] + [*UPSTREAM_HOSTS, *TOKEN_HOSTS]

    def registry(self, account: str, region: str) -> str:
        return f"https://{account}.dkr.ecr.{region}.{_suffix(region)}"

    def registry_at(self, host: str) -> Registry | None:
        match = self._ECR.fullmatch(_name(host))
        return (match[1], match[2]) if match else None

    def blobs(self, region: str) -> str:
        return f"https://prod-{region}-starport-layer-bucket.s3.{region}.{_suffix(region)}"

    def is_blobs(self, host: str) -> bool:
        return bool(self._BLOBS.fullmatch(_name(host)))

    def upstream(self, host: str) -> str:
        return f"https://{host}"

    def upstream_at(self, host: str) -> str | None:
        name = TOKEN_HOSTS.get(_name(host), _name(host))
        return name if name in UPSTREAM_HOSTS else None


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _name(host: str) -> str:
    return host.rpartition(":")[0] if ":" in host else host
