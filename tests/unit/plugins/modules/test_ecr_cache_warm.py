# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it: options in, result out, with a cache in memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.modules import ecr_cache_warm
from ansible_collections.stevedore.ecr.tests.unit.support.fake_cache import FakeCache, digest_of
from ansible_collections.stevedore.ecr.tests.unit.support.fake_pull_through import HOST, secret_arn
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

NGINX, VAULT, PAUSE = "docker-hub/library/nginx", "docker-hub/hashicorp/vault", "k8s/pause"
DIGEST = digest_of("something else")


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeCache:
    fake = FakeCache()
    fake.add_rule("docker-hub", "registry-1.docker.io", credentialArn=secret_arn())
    fake.add_rule("k8s/", "registry.k8s.io")
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, _service, **_settings: fake.client)
    return fake


def run(*images: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    return run_module(ecr_cache_warm.main, check_mode=check_mode, images=list(images), **options)


def errors(result: dict[str, Any]) -> list[str | None]:
    return [image.get("error", {}).get("code") for image in result["images"]]


def test_images_are_fetched_once(ecr: FakeCache) -> None:
    digests = [ecr.publish(NGINX, "1.27"), ecr.publish(VAULT, "1.14")]
    wanted = [f"{NGINX}:1.27", f"{HOST}/{VAULT}:1.14"]
    first = run(*wanted)
    assert [image["name"] for image in first["images"]] == wanted
    assert [(image["changed"], image["cached"], image["digest"]) for image in first["images"]] == [
        (True, True, digest) for digest in digests
    ]
    assert first["images"][1]["address"] == f"{HOST}/{VAULT}:1.14"
    ecr.calls.clear()

    second = run(*wanted)
    assert not second["changed"]
    assert [image["digest"] for image in second["images"]] == digests
    assert sorted(ecr.operations()) == ["GetAuthorizationToken", "ListImages", "ListImages"]


def test_a_tag_may_be_left_out(ecr: FakeCache) -> None:
    ecr.publish(NGINX, "latest")
    assert run(NGINX)["images"][0]["address"] == f"{HOST}/{NGINX}:latest"


def test_all_platforms_are_fetched(ecr: FakeCache) -> None:
    ecr.publish(NGINX, "1.27", children=130)
    assert not run(f"{NGINX}:1.27").get("failed")
    assert len(ecr.repositories[NGINX].images) == 131
    assert [len(request["imageIds"]) for name, request in ecr.calls if name == "BatchGetImage"] == [1, 100, 30]


def test_a_platform_that_cannot_be_had_is_a_failure(ecr: FakeCache) -> None:
    ecr.publish(NGINX, "1.27", children=1)
    child = next(name for repository, name in ecr.upstream if name.startswith("sha256"))
    ecr.failing[NGINX, child] = "UpstreamTooManyRequests"
    message = run(f"{NGINX}:1.27")["msg"]
    assert f"{NGINX}@{child}" in message
    assert "The upstream limits pulls" in message


def test_check_mode_says_what_would_be_fetched(ecr: FakeCache) -> None:
    ecr.publish(NGINX, "1.27")
    result = run(f"{NGINX}:1.27", "not/covered:1", check_mode=True)
    assert result["actions"] == [f"fetch {HOST}/{NGINX}:1.27", f"fetch {HOST}/not/covered:1"]
    assert [image["cached"] for image in result["images"]] == [False, False]
    assert ecr.writes() == []
    assert "BatchGetImage" not in ecr.operations()


class TestDigests:
    def test_a_tag_is_checked_against_its_digest(self, ecr: FakeCache) -> None:
        digest = ecr.publish(NGINX, "1.27")
        assert run(f"{NGINX}:1.27@{digest}")["images"][0]["digest"] == digest
        assert not run(f"{NGINX}:1.27@{digest}")["changed"]

    def test_another_digest_is_a_failure(self, ecr: FakeCache) -> None:
        digest = ecr.publish(NGINX, "1.27")
        message = run(f"{NGINX}:1.27@{DIGEST}")["msg"]
        assert f"{NGINX}:1.27 is {digest} now, not {DIGEST}" in message

    def test_a_cached_tag_with_another_digest_is_pulled_again(self, ecr: FakeCache) -> None:
        ecr.publish(NGINX, "1.27")
        run(f"{NGINX}:1.27")
        moved = ecr.publish(NGINX, "1.27", children=1)
        assert run(f"{NGINX}:1.27@{moved}")["images"][0]["digest"] == moved


class TestTrouble:
    @pytest.mark.parametrize(
        ("image", "says"),
        [
            (f"{NGINX}@{DIGEST}", "needs a tag too"),
            ("Docker-Hub/nginx:1", "must be REPOSITORY:TAG"),
            (f"{NGINX}:1.27@sha256:12", "must be REPOSITORY:TAG"),
            ("", "must be REPOSITORY:TAG"),
            ("localhost:5000/nginx:1", f"is in another registry than {HOST}"),
            ("210987654321.dkr.ecr.eu-west-1.amazonaws.com/nginx:1", f"is in another registry than {HOST}"),
        ],
    )
    def test_what_is_no_image_of_this_registry_is_refused(self, ecr: FakeCache, image: str, says: str) -> None:
        result = run(image, f"{NGINX}:1")
        assert result["failed"]
        assert f"{image!r}: {says}" in result["msg"]
        assert ecr.operations() == ["GetAuthorizationToken"]

    @pytest.mark.parametrize(
        ("image", "code", "says"),
        [
            ("docker-hub/nginx:1", "OfficialImage", f"this one is {NGINX}:1"),
            ("quay/app:1", "NoPullThroughCacheRule", "No pull-through cache rule covers quay/app. Create one"),
            (
                "docker.io/library/nginx:1",
                "NoPullThroughCacheRule",
                "No pull-through cache rule covers docker.io/library",
            ),
            (f"{NGINX}:no-such", "ImageNotFound", "ecr:BatchImportUpstreamImage is not allowed"),
        ],
    )
    def test_one_that_cannot_be_had_does_not_stop_the_others(
        self, ecr: FakeCache, image: str, code: str, says: str
    ) -> None:
        ecr.publish(PAUSE, "3.9")
        result = run(image, f"{PAUSE}:3.9")
        assert errors(result) == [code, None]
        assert says in result["msg"]
        assert result["images"][1]["changed"] is True

    def test_official_images_are_meant_only_where_the_rule_caches_the_whole_hub(self, ecr: FakeCache) -> None:
        ecr.add_rule("mine", "registry-1.docker.io", credentialArn=secret_arn(), upstreamRepositoryPrefix="acme")
        ecr.publish("mine/app", "1")
        assert not run("mine/app:1").get("failed")

    def test_under_root_too(self, ecr: FakeCache) -> None:
        ecr.add_rule("ROOT", "registry-1.docker.io", credentialArn=secret_arn())
        assert "this one is library/nginx:1" in run("nginx:1")["msg"]

    def test_a_repository_that_cannot_be_made_says_what_may_be_missing(self, ecr: FakeCache) -> None:
        ecr.refuse("BatchGetImage", "RepositoryNotFoundException", "The repository does not exist")
        message = run(f"{NGINX}:1")["msg"]
        assert "The repository does not exist" in message
        assert "ecr:CreateRepository" in message

    def test_tags_that_may_not_be_listed_are_a_failure_of_their_images(self, ecr: FakeCache) -> None:
        denied = "User: me is not authorized to perform: ecr:ListImages"
        ecr.refuse("ListImages", "AccessDeniedException", denied, only=NGINX)
        ecr.publish(PAUSE, "3.9")
        result = run(f"{NGINX}:1", f"{PAUSE}:3.9")
        assert errors(result) == ["AccessDeniedException", None]
        assert "needs ecr:ListImages" in result["msg"]
