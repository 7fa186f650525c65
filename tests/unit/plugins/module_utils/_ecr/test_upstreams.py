# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import (
    UPSTREAMS,
    ecr_account,
    normal_url,
    unknown_url,
    upstream_of,
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("registry-1.docker.io", "docker-hub"),
        ("public.ecr.aws", "ecr-public"),
        ("quay.io", "quay"),
        ("registry.k8s.io", "k8s"),
        ("ghcr.io", "ghcr"),
        ("registry.gitlab.com", "gitlab"),
        ("example.azurecr.io", "acr"),
        ("my-registry-h4sh.azurecr.io", "acr"),
        ("cgr.dev", "chainguard"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "ecr"),
    ],
)
def test_each_url_has_its_upstream(url: str, name: str) -> None:
    upstream = upstream_of(url)
    assert upstream
    assert upstream.name == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "docker.io",
        "gitlab.example.com",
        "quay.io.example.com",
        "azurecr.io",
        "-a.azurecr.io",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
    ],
)
def test_other_urls_have_none(url: str) -> None:
    assert upstream_of(url) is None


def test_which_upstreams_need_a_login() -> None:
    assert {name: upstream.login for name, upstream in UPSTREAMS.items()} == {
        "docker-hub": "credential_arn",
        "ecr-public": None,
        "quay": None,
        "k8s": None,
        "ghcr": "credential_arn",
        "gitlab": "credential_arn",
        "acr": "credential_arn",
        "chainguard": "credential_arn",
        "ecr": "custom_role_arn",
    }


@pytest.mark.parametrize("url", ["quay.io", "https://quay.io", "http://quay.io/", " Quay.IO// "])
def test_normal_url(url: str) -> None:
    assert normal_url(url) == "quay.io"


def test_an_unknown_url_is_met_with_advice() -> None:
    assert unknown_url("docker.io") == "Amazon ECR knows docker.io as registry-1.docker.io"
    advice = unknown_url("harbor.example.com")
    assert "ghcr.io" in advice
    assert "NAME.azurecr.io" in advice
    assert "ecr_image_mirror" in advice


@pytest.mark.parametrize(
    ("host", "account"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "123456789012"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "123456789012"),
        ("127.0.0.1:4566", None),
        ("quay.io", None),
    ],
)
def test_ecr_account(host: str, account: str | None) -> None:
    assert ecr_account(host) == account
