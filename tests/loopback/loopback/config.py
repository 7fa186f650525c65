"""What a loopback cloud is started with. Everything else is state, and reset() clears it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "eu-central-1"

# Full mode resolves the registries of these accounts and regions.
ACCOUNTS = (DEFAULT_ACCOUNT, "210987654321")
REGIONS = (DEFAULT_REGION, "us-east-1")

# Where containers on AWS get the credentials of their role from.
CONTAINER_CREDENTIALS_HOST = "169.254.170.2"

# Hosts that ECR can cache, and the token hosts and aliases that go with them.
UPSTREAM_HOSTS = (
    "registry-1.docker.io",
    "quay.io",
    "ghcr.io",
    "registry.k8s.io",
    "public.ecr.aws",
    "registry.gitlab.com",
    "example.azurecr.io",
    "cgr.dev",
)
TOKEN_HOSTS = {"auth.docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Settings:
    """One cloud. `tls` and `upstream_registry` are set in full mode only."""

    directory: Path  # blobs, uploads and logs live here
    port: int = 0  # 0: any free port
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    enforce_iam: bool = True
    tls: Path | None = None  # directory with cert.pem, key.pem, ca.pem: real host names on 443
    upstream_registry: str | None = None  # base URL of a CNCF distribution behind the upstream stand-in
    stop_at_eof: bool = False  # stop when standard input ends: when whoever started the cloud is gone
    control_fd: int | None = None  # a listening socket made outside the network namespace
    upstream_users: dict[str, str] = field(default_factory=lambda: {"hubuser": "hubtoken"})
