# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The upstream registries that ECR can cache, and what a rule for each of them needs.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SECRET, ROLE = "credential_arn", "custom_role_arn"


@dataclass(frozen=True)
class Upstream:
    """One kind of registry. `login` is the field of a rule that carries the login; None: ECR logs in nowhere."""

    name: str
    url: str | None = None  # None: each registry has its own
    login: str | None = None
    url_form: str = ""
    url_pattern: re.Pattern[str] | None = None

    def serves(self, url: str) -> bool:
        return url == self.url if self.url_pattern is None else self.url_pattern.fullmatch(url) is not None


# 123456789012.dkr.ecr.eu-west-1.amazonaws.com, and the dual-stack form 123456789012.dkr-ecr.eu-west-1.on.aws
_ECR_HOST = re.compile(r"(?P<account>\d{12})\.dkr[.-]ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+")

UPSTREAMS = {
    upstream.name: upstream
    for upstream in (
        Upstream("docker-hub", "registry-1.docker.io", SECRET),
        Upstream("ecr-public", "public.ecr.aws"),
        Upstream("quay", "quay.io"),
        Upstream("k8s", "registry.k8s.io"),
        Upstream("ghcr", "ghcr.io", SECRET),
        Upstream("gitlab", "registry.gitlab.com", SECRET),
        Upstream(
            "acr",
            login=SECRET,
            url_form="NAME.azurecr.io",
            url_pattern=re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\.azurecr\.io"),
        ),
        Upstream("chainguard", "cgr.dev", SECRET),
        Upstream("ecr", login=ROLE, url_form="ACCOUNT.dkr.ecr.REGION.amazonaws.com", url_pattern=_ECR_HOST),
    )
}

# What people write for a registry that ECR knows by another name.
_OTHER_NAMES = dict.fromkeys(["docker.io", "index.docker.io", "hub.docker.com"], "registry-1.docker.io")


def normal_url(url: str) -> str:
    """The bare host, as ECR wants it."""
    return re.sub(r"^https?://|/+$", "", url.strip().lower())


def upstream_of(url: str) -> Upstream | None:
    """The upstream behind a normal URL."""
    return next((upstream for upstream in UPSTREAMS.values() if upstream.serves(url)), None)


def unknown_url(url: str) -> str:
    """What to tell the user of a URL that no upstream serves."""
    if url in _OTHER_NAMES:
        return f"Amazon ECR knows {url} as {_OTHER_NAMES[url]}"
    known = ", ".join(upstream.url or upstream.url_form for upstream in UPSTREAMS.values())
    return f"Amazon ECR cannot cache {url!r}, only {known}; ecr_image_mirror copies from any registry"


def ecr_account(host: str) -> str | None:
    """The account whose ECR registry a host is."""
    match = _ECR_HOST.fullmatch(host)
    return match["account"] if match else None
