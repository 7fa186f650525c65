# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.realm import is_loopback, origin, why_not

OTHER_DOMAIN = "another domain"
NO_HTTPS = "not protected by https"


@pytest.mark.parametrize(
    ("registry", "endpoint", "realm", "expected"),
    [
        ("docker.io", "https://registry-1.docker.io", "https://auth.docker.io/token", ""),
        ("registry.gitlab.com", "https://registry.gitlab.com", "https://gitlab.com/jwt/auth", ""),
        ("ghcr.io", "https://ghcr.io", "https://ghcr.io/token", ""),
        ("lscr.io", "https://lscr.io", "https://ghcr.io/token", ""),
        ("mine.azurecr.io", "https://mine.azurecr.io", "https://mine.azurecr.io/oauth2/token", ""),
        ("registry.example.co.uk", "https://registry.example.co.uk", "https://auth.example.co.uk/", ""),
        ("registry.example.com:5000", "https://registry.example.com:5000", "https://auth.example.com/", ""),
        ("10.0.0.1:5000", "https://10.0.0.1:5000", "https://10.0.0.1:5001/", ""),
        # Reached elsewhere, the token server of the registry is still the right one.
        ("docker.io", "https://mirror.corp.example", "https://auth.docker.io/token", ""),
        ("docker.io", "https://mirror.corp.example", "https://auth.corp.example/token", ""),
        # Plain HTTP, where the registry itself has nothing better.
        ("registry.example.com", "http://registry.example.com", "http://auth.example.com/", ""),
        ("localhost:5000", "http://localhost:5000", "http://127.0.0.1:5001/token", ""),
        ("localhost:5000", "https://localhost:5000", "http://[::1]:5001/token", ""),
        # Never.
        ("docker.io", "https://registry-1.docker.io", "https://evil.example/token", OTHER_DOMAIN),
        ("docker.io", "https://registry-1.docker.io", "https://docker.io.evil.example/token", OTHER_DOMAIN),
        ("docker.io", "https://registry-1.docker.io", "https://evildocker.io/token", OTHER_DOMAIN),
        ("docker.io", "https://registry-1.docker.io", "http://auth.docker.io/token", NO_HTTPS),
        ("ghcr.io", "https://ghcr.io", "https://quay.io/token", OTHER_DOMAIN),
        ("mine.azurecr.io", "https://mine.azurecr.io", "https://yours.azurecr.io/oauth2/token", OTHER_DOMAIN),
        ("a.dkr.example.co.uk", "https://a.dkr.example.co.uk", "https://evil.co.uk/", OTHER_DOMAIN),
        ("10.0.0.1:5000", "https://10.0.0.1:5000", "https://9.0.0.1/", OTHER_DOMAIN),
        ("registry:5000", "https://registry:5000", "https://auth/", OTHER_DOMAIN),
        ("[fd00::1]:5000", "https://[fd00::1]:5000", "https://[fd00::2]/", OTHER_DOMAIN),
        ("registry.example.com", "http://registry.example.com", "http://evil.example/", OTHER_DOMAIN),
        ("localhost:5000", "http://localhost:5000", "http://evil.example/", OTHER_DOMAIN),
        (
            "1.dkr.ecr.eu-west-1.amazonaws.com",
            "https://1.dkr.ecr.eu-west-1.amazonaws.com",
            "https://evil.s3.eu-west-1.amazonaws.com/",
            OTHER_DOMAIN,
        ),
    ],
)
def test_where_credentials_may_go(registry: str, endpoint: str, realm: str, expected: str) -> None:
    reason = why_not(registry, endpoint, realm)
    assert expected in reason
    assert bool(reason) == bool(expected)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Host/path?x", ("https", "host", 443)),
        ("http://host", ("http", "host", 80)),
        ("https://host:8443", ("https", "host", 8443)),
        ("http://[::1]:80/", ("http", "::1", 80)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host/", "file:///etc/passwd", "https://", "https://u:p@host/", "http://h:x/", "http://[::/"],
)
def test_what_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|Port|IPv6"):
        origin(url)
