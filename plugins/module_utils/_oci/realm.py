# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the credentials for a registry may be sent: to the registry, and to token servers that belong to it.

A registry names its token server itself, so an impostor could name one of his own. There is no list of public suffixes
at hand; the few rules here err on the side of not sending.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

# Registries whose token server is somebody else's by name, but known to be meant.
_KNOWN = {"lscr.io": "ghcr.io", "dhi.io": "docker.io"}

# Below these and a country, each name is another owner's: example.co.uk.
_SECOND_LEVELS = {"ac", "co", "com", "edu", "gob", "go", "gov", "mil", "ne", "net", "nom", "or", "org"}
# Anybody can have a name below these, so there a host is related to nobody but itself.
_SHARED = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".api.aws",
    ".appspot.com",
    ".azure-api.net",
    ".azurecontainerapps.io",
    ".azurecr.cn",
    ".azurecr.io",
    ".azurecr.us",
    ".azurefd.net",
    ".azurewebsites.net",
    ".cloudapp.azure.com",
    ".cloudfront.net",
    ".digitaloceanspaces.com",
    ".fly.dev",
    ".github.io",
    ".gitlab.io",
    ".googleapis.com",
    ".googleusercontent.com",
    ".herokuapp.com",
    ".jfrog.io",
    ".netlify.app",
    ".ngrok-free.app",
    ".ngrok.io",
    ".nip.io",
    ".on.aws",
    ".ondigitalocean.app",
    ".onrender.com",
    ".pages.dev",
    ".pkg.dev",
    ".run.app",
    ".sslip.io",
    ".vercel.app",
    ".web.app",
    ".windows.net",
    ".workers.dev",
)


def why_not(registry: str, endpoint: str, realm: str) -> str:
    """The reason not to send the credentials for `registry`, which is at `endpoint`, to `realm`; or empty."""
    target, source = urlsplit(realm), urlsplit(endpoint)
    host, home = target.hostname or "", source.hostname or ""
    local = is_loopback(host) and is_loopback(home)
    if target.scheme != "https" and not (source.scheme == "http" or local):
        return "it is not protected by https"
    named = registry.rpartition(":")[0] or registry
    if local or host == home or related(host, home):
        return ""
    if related(host, named) or related(host, _KNOWN.get(registry, "")):
        return ""
    return f"its host belongs to another domain than {home}"


def is_loopback(host: str) -> bool:
    bare = host.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def related(one: str, other: str) -> bool:
    """Whether two host names are under the same domain that somebody has registered."""
    domain = _registrable(one)
    return bool(domain) and domain == _registrable(other)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: whom a credential is for. Raises ValueError for what is no address on the web."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an address on the web")
    return parts.scheme, parts.hostname, _port(parts)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _registrable(host: str) -> str:
    """The part of a name that has one owner; none for addresses, single words and what is below a shared name."""
    name = host.lower().rstrip(".")
    labels = name.split(".")
    if labels[-1].isdigit() or ":" in name or not all(labels) or f".{name}".endswith(_SHARED):
        return ""
    public = 2 if len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVELS else 1
    return ".".join(labels[-public - 1 :]) if len(labels) > public else ""
