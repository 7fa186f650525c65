# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_image_mirror
from ansible_collections.stevedore.ecr.tests.unit.support.fake_mirrored import HOST, FakeMirrored
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

NGINX = {"source": "nginx:1.27"}
RULE = {"priority": 1, "tag_status": "any", "count_type": "imageCountMoreThan", "count_number": 0, "action": "expire"}


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeMirrored:
    fake = FakeMirrored("nginx")
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(**options: Any) -> dict[str, Any]:
    return run_module(ecr_image_mirror.main, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, ["one of the following is required: images, source"]),
        ({"images": [NGINX], "source": "nginx"}, ["mutually exclusive", "images|source"]),
        ({"images": [NGINX], "platform": "linux/amd64"}, ["mutually exclusive", "images|platform"]),
        ({"images": [{}]}, ["images[0].source: missing"]),
        ({"images": [{"source": "nginx"}]}, ["images[0]: does not say which tags of nginx"]),
        ({"images": [{"source": "Nginx:1"}]}, ["images[0].source:", "must be lower case"]),
        ({"images": [{"source": "nginx", "tag": 1.1}]}, ["images[0].tag: 1.1 is a number", "put the tag in quotes"]),
        ({"images": [{"source": "nginx", "tags": ["a b"]}]}, ["images[0].tags[0]: the tag 'a b'"]),
        ({"images": [{"source": "nginx", "tags": []}]}, ["images[0].tags: an empty list"]),
        ({"images": [{**NGINX, "tags": ["1"]}]}, ["images[0].tags: tags and the tag or digest in source contradict"]),
        ({"images": [{"source": "nginx", "digest": "sha256:1"}]}, ["images[0].digest:"]),
        ({"images": [{"source": "nginx", "select": {"semver": "=>"}}]}, ["images[0].select.semver:"]),
        ({"images": [{"source": "nginx", "select": {"globs": ["[12]"]}}]}, ["images[0].select.globs[0]:"]),
        ({"images": [{"source": "nginx", "select": {"newest": 0}}]}, ["images[0].select.newest:"]),
        ({"images": [{"source": "nginx", "select": {"sort": "age"}}]}, ["images[0].select.sort: 'age'"]),
        ({"images": [{**NGINX, "repository": "UPPER"}]}, ["images[0].repository:", "must be lower case"]),
        ({"images": [{**NGINX, "platforms": ["amd64"]}]}, ["images[0].platforms[0]:"]),
        ({"images": [{**NGINX, "platforms": ["all", "linux/amd64"]}]}, ["images[0].platforms: all stands alone"]),
        ({"images": [{**NGINX, "dockerfile": ["FROM x"]}]}, ["images[0].dockerfile:"]),
        ({"images": [{**NGINX, "transport": "pigeon"}]}, ["value of transport must be one of: docker, direct"]),
        ({"images": [{**NGINX, "unknown": 1}]}, ["images.unknown"]),
        (
            {"images": [NGINX, {"source": "nginx:1.28", "tag": "1.27"}]},
            ["images[1]: writes nginx:1.27 from docker.io/library/nginx 1.28"],
        ),
        ({"images": [NGINX], "namespace": "Mirror"}, ["namespace:", "must be lower case"]),
        ({"images": [NGINX], "parallel": 0}, ["parallel: must be at least 1, not 0"]),
        ({"images": [NGINX], "rate_limit_reserve": -1}, ["rate_limit_reserve: must be at least 0, not -1"]),
        ({"images": [NGINX], "timeout": -1}, ["timeout: must be at least 0, not -1"]),
        ({"images": [NGINX], "registries": [{"host": "x"}]}, ["registries[0].host: must be a host"]),
        ({"images": [NGINX], "registries": [{"username": "x"}]}, ["host", "registries"]),
        ({"images": [NGINX], "repository_defaults": {"kms_key_arn": "k"}}, ["kms_key_arn: must be the ARN of a key"]),
        ({"images": [NGINX], "repository_defaults": {"lifecycle_rules": [RULE]}}, ["count_number", "0"]),
        # The one image at the top is no list.
        ({"source": "nginx"}, ["Not valid: does not say which tags of nginx"]),
        ({"source": "nginx", "tag": 1.1}, ["Not valid: tag: 1.1 is a number"]),
        ({"source": "nginx:1", "platform": "amd64"}, ["Not valid: platforms[0]:"]),
        ({"source": "nginx:1", "repository": "A"}, ["Not valid: repository:"]),
        # Everything at once.
        (
            {
                "images": [{"source": "nginx"}, {"source": "A:1"}],
                "timeout": -1,
                "registries": [{"host": "x"}],
                "repository_defaults": {"encryption_type": "KMS", "kms_key_arn": "k"},
            },
            ["images[0]:", "images[1].source:", "timeout:", "registries[0].host:", "kms_key_arn:"],
        ),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(
    ecr: FakeMirrored, options: dict[str, Any], says: list[str]
) -> None:
    result = run(**options)
    assert result["failed"]
    for words in says:
        assert words in result["msg"]
    assert ecr.calls == []


def test_secrets_are_hidden_from_results_and_logs(ecr: FakeMirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _module, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    registries = [
        {"host": "ghcr.io", "username": "somebody", "password": "secret-password"},
        {"host": "quay.io", "token": "secret token"},
    ]
    result = run(images=[NGINX], registries=registries)
    assert "registries[1].token" in result["msg"]
    assert logged
    for text in (str(result), *logged):
        assert "secret-password" not in text
        assert "secret token" not in text
    assert any("somebody" in text for text in (str(result), *logged))


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("GetAuthorizationToken", "AccessDeniedException", "needs ecr:GetAuthorizationToken"),
        ("GetAuthorizationToken", "ExpiredTokenException", "Check the credentials"),
        ("DescribeRepositories", "AccessDeniedException", "needs ecr:DescribeRepositories"),
    ],
)
def test_what_aws_refuses_is_one_line(ecr: FakeMirrored, operation: str, code: str, says: str) -> None:
    ecr.refuse(operation, code, "no", times=10)
    result = run(images=[NGINX])
    assert says in result["msg"]
    assert "exception" not in result
    assert "images" not in result


def test_a_source_that_cannot_be_reached_is_in_the_result(ecr: FakeMirrored) -> None:
    result = run(images=[{"source": "127.0.0.1:1/team/app:1", "repository": "nginx"}], timeout=0)
    assert result["failed"]
    [image] = result["images"]
    assert (image["action"], image["error"]["code"]) == ("fail", "Unreachable")
    assert result["registry"] == HOST
    assert result["msg"].startswith(f"Failed for 1 of 1 images. 127.0.0.1:1/team/app:1 -> {HOST}/nginx:1: ")
