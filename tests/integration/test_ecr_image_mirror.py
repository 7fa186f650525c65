# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ecr_image_mirror by direct transport: from the loopback cloud's Docker Hub, and from real registries, to its ECR."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker_registry import DockerRegistry
from ecr_api import allow
from pushing import Pusher
from registry import OCI_MANIFEST, Ecr, sha256

from loopback.client import ROOT_SECRET, Cloud
from running import ModuleResult, PlaybookRun

HUB = "registry-1.docker.io"
AMD, ARM = "linux/amd64", "linux/arm64"
LOGIN = {"username": "hubuser", "password": "hubtoken"}
SIGNATURE = "application/vnd.example.signature"


@dataclass(frozen=True)
class Mirror:
    """mirror(images, check=, diff=, fails=, credentials=, **options): the module, by direct transport."""

    module: Callable[..., ModuleResult]
    cloud: Cloud

    def __call__(
        self,
        images: Any,
        *,
        check: bool = False,
        diff: bool = False,
        fails: bool = False,
        credentials: dict[str, str] | None = None,
        **options: Any,
    ) -> ModuleResult:
        given = {"transport": "direct", "registries": [self.hub()], **options}
        if images is not None:
            given["images"] = images
        result = self.module("ecr_image_mirror", given, check=check, diff=diff, credentials=credentials)
        assert result.failed == fails, result.returned
        return result

    def hub(self, **login: str) -> dict[str, Any]:
        return {"host": "docker.io", "endpoint": self.cloud.upstreams[HUB], **login}

    @property
    def ecr(self) -> Pusher:
        """The registry, as its owner sees it."""
        login = Ecr(self.cloud)
        return Pusher(login.origin, login.authorization)

    def address(self, name: str) -> str:
        return f"{self.ecr.origin.partition('://')[2]}/{name}"


@pytest.fixture
def mirror(
    cloud: Cloud, module: Callable[..., ModuleResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Mirror:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    return Mirror(module, cloud)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path) as registry:
        yield registry


@pytest.fixture
def source(real: DockerRegistry) -> Pusher:
    return Pusher(real.url)


def publish(cloud: Cloud, *tags: str, repository: str = "library/nginx", **more: Any) -> dict[str, Any]:
    """The last of them."""
    return [cloud.publish(HUB, repository, tag, **more) for tag in tags][-1]


def actions(result: ModuleResult) -> dict[str, str]:
    """By destination, without the registry."""
    return {image["destination"].partition("/")[2]: image["action"] for image in result["images"]}


def only(result: ModuleResult) -> dict[str, Any]:
    [image] = result["images"]
    found: dict[str, Any] = image
    return found


def writes(cloud: Cloud) -> list[tuple[str, str]]:
    """What changed anything in Amazon ECR."""
    calls = [call for call in cloud.calls() if cloud.upstreams[HUB].partition("://")[2] != call["host"]]
    return [
        (call["op"] or call["method"], call["path"])
        for call in calls
        if call["op"].startswith(("Create", "Put", "Delete", "BatchDelete", "Tag"))
        or (not call["op"] and call["method"] in ("POST", "PUT", "PATCH", "DELETE"))
    ]


# ------------------------------------------------------------------ what is copied


def test_an_index_is_copied_as_it_is_and_once(cloud: Cloud, mirror: Mirror) -> None:
    made = publish(cloud, "1.27", platforms=[AMD, ARM], attestations=True)
    done = mirror([{"source": "nginx:1.27"}])
    image = only(done)
    assert done.changed
    assert (image["action"], image["digest"], image["source_digest"]) == ("copy", made["digest"], made["digest"])
    assert image["destination"] == mirror.address("nginx:1.27")
    assert image["bytes"] == {"moved": made["size"], "reused": 0, "mounted": 0}
    assert done["repositories_created"] == ["nginx"]
    assert sha256(mirror.ecr.assert_complete("nginx", "1.27")) == made["digest"]
    again = mirror([{"source": "nginx:1.27"}])
    assert (again.changed, only(again)["action"], only(again)["bytes"]) == (False, "up_to_date", None)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"tags": ["1.27", {"from": "1.28", "to": "stable"}]}, {"nginx:1.27": "1.27", "nginx:stable": "1.28"}),
        ({"tags": {"1.27": "old"}, "repository": "team/web"}, {"team/web:old": "1.27"}),
        ({"select": {"semver": ">=1.27", "newest": 2}}, {"nginx:1.29": "1.29", "nginx:1.28": "1.28"}),
        ({"select": {"globs": ["1.2?"], "exclude": {"regex": ["1.2[79]"]}}}, {"nginx:1.28": "1.28"}),
        ({"source": "nginx:1.27", "tag": "pinned"}, {"nginx:pinned": "1.27"}),
        ({"tag": "1.29", "platforms": [AMD]}, {"nginx:1.29": None}),
    ],
)
def test_which_tags_and_what_they_are_called(
    cloud: Cloud, mirror: Mirror, entry: dict[str, Any], expected: dict[str, str | None]
) -> None:
    digests = {tag: publish(cloud, tag, platforms=[AMD, ARM])["digest"] for tag in ("1.27", "1.28", "1.29", "edge")}
    done = mirror([{"source": "nginx", **entry}])
    assert actions(done) == dict.fromkeys(expected, "copy")
    for name, origin in expected.items():
        raw = mirror.ecr.assert_complete(*name.split(":"))
        assert origin is None or sha256(raw) == digests[origin]
    assert not mirror([{"source": "nginx", **entry}]).changed


def test_exact_tags_are_never_listed(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    cloud.forget_calls()
    mirror([{"source": "nginx", "tags": ["1.27"]}])
    assert not [call for call in cloud.calls() if call["path"].endswith("/tags/list")]


def test_an_image_by_digest(cloud: Cloud, mirror: Mirror) -> None:
    digest = publish(cloud, "1.27")["digest"]
    images = [
        {"source": "nginx", "digest": digest},
        {"source": f"nginx@{digest}", "repository": "web"},
        {"source": "nginx", "digest": digest, "tag": "pinned", "repository": "tagged"},
    ]
    done = mirror(images)
    assert [image["digest"] for image in done["images"]] == [digest] * 3
    assert [image["tag"] for image in done["images"]] == [None, None, "pinned"]
    for repository, reference in (("nginx", digest), ("web", digest), ("tagged", "pinned")):
        mirror.ecr.assert_complete(repository, reference)
    assert not mirror(images).changed


def test_a_single_image_at_the_top(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "php7.4-apache", repository="library/wordpress", platforms=[AMD, ARM])
    wish = {"source": "wordpress", "tag": "php7.4-apache", "repository": "php_wordpress", "platform": ARM}
    done = mirror(None, **wish, namespace="mirror")
    assert actions(done) == {"mirror/php_wordpress:php7.4-apache": "copy"}
    index = json.loads(mirror.ecr.assert_complete("mirror/php_wordpress", "php7.4-apache"))
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["arm64"]
    assert not mirror(None, **wish, namespace="mirror").changed


def test_a_choice_of_platforms_is_recognised_and_made_anew_when_it_changes(cloud: Cloud, mirror: Mirror) -> None:
    first = publish(cloud, "1.27", platforms=[AMD, ARM, "linux/s390x"])
    wish = [{"source": "nginx:1.27"}]
    done = only(mirror(wish, platforms=[ARM, AMD]))
    assert done["recipe"] == f"platforms={AMD},{ARM}"
    assert (done["digest"] == first["digest"], done["source_digest"]) == (False, first["digest"])
    assert only(mirror(wish, platforms=[AMD, ARM]))["action"] == "up_to_date"
    assert only(mirror(wish, platforms=[AMD]))["action"] == "copy"
    moved = publish(cloud, "1.27", platforms=[AMD, ARM], seed="moved")
    again = only(mirror(wish, platforms=[AMD]))
    assert (again["action"], again["source_digest"]) == ("copy", moved["digest"])
    missing = only(mirror(wish, platforms=["linux/riscv64"], fails=True))
    assert "linux/riscv64" in missing["reason"]
    assert AMD in missing["reason"]


def test_a_moved_tag_is_copied_again_and_moves_only_what_is_new(cloud: Cloud, mirror: Mirror) -> None:
    shared = {"base": "debian", "base_size": 50_000}
    old = publish(cloud, "latest", seed="old", **shared)
    mirror([{"source": "nginx:latest"}])
    new = publish(cloud, "latest", seed="new", **shared)
    done = mirror([{"source": "nginx:latest"}], diff=True)
    image = only(done)
    assert (image["previous_digest"], image["digest"]) == (old["digest"], new["digest"])
    assert image["bytes"]["reused"] > 50_000
    assert image["bytes"]["moved"] + image["bytes"]["reused"] == new["size"]
    assert done["diff"]["before"] == f"nginx:latest {old['digest']}\n"
    assert done["diff"]["after"] == f"nginx:latest {new['digest']}\n"


def test_referrers_and_cosign_tags_travel_with_their_image(cloud: Cloud, mirror: Mirror) -> None:
    made = publish(cloud, "1.27", referrers=[SIGNATURE], cosign=True)
    wish = [{"source": "nginx:1.27", "referrers": True}]
    done = mirror(wish)
    assert sorted(image["kind"] for image in done["images"]) == ["image", "referrer", "referrer"]
    hex_digest = made["digest"].partition(":")[2]
    assert sha256(mirror.ecr.assert_complete("nginx", f"sha256-{hex_digest}.sig")) == made["signature"]
    mirror.ecr.assert_complete("nginx", made["referrers"][0])
    listed = mirror.ecr.call("GET", f"/v2/nginx/referrers/{made['digest']}").json["manifests"]
    assert [entry["digest"] for entry in listed] == made["referrers"]
    assert not mirror(wish).changed


def test_lines_that_only_change_configuration_need_no_engine(cloud: Cloud, mirror: Mirror) -> None:
    made = publish(cloud, "1.27", platforms=[AMD, ARM], config={"Env": ["A=1"]})
    wish = [{"source": "nginx:1.27", "dockerfile": ["ENV B=$A-2", "LABEL vendor=acme"]}]
    image = only(mirror(wish, transport="docker", docker_host="unix:///nowhere"))
    assert (image["action"], image["transport"], image["source_digest"]) == ("copy", "direct", made["digest"])
    index = json.loads(mirror.ecr.assert_complete("nginx", "1.27"))
    for entry in index["manifests"]:
        manifest = json.loads(mirror.ecr.raw("nginx", entry["digest"]))
        config = json.loads(mirror.ecr.content("nginx", manifest["config"]["digest"]))["config"]
        assert "B=1-2" in config["Env"]
        assert config["Labels"]["vendor"] == "acme"
    assert not mirror(wish, transport="docker", docker_host="unix:///nowhere").changed


def test_without_an_engine_the_docker_transport_says_what_to_do(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    failed = mirror([{"source": "nginx:1.27"}], transport="docker", docker_host="unix:///nowhere", fails=True)
    assert "transport: direct needs no engine" in failed.msg
    mirror([{"source": "nginx:1.27"}])
    unchanged = mirror([{"source": "nginx:1.27"}], transport="docker", docker_host="unix:///nowhere")
    assert only(unchanged)["action"] == "up_to_date"


# ------------------------------------------------------------------ repositories


def test_repositories_are_created_as_told(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27", "dev")
    defaults = {
        "scan_on_push": True,
        "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
        "image_tag_mutability_exclusion_filters": ["dev*"],
        "encryption_type": "KMS",
        "resource_tags": {"team": "platform"},
        "lifecycle_rules": [
            {
                "priority": 1,
                "tag_status": "untagged",
                "count_type": "sinceImagePushed",
                "count_number": 14,
                "action": "expire",
            }
        ],
    }
    done = mirror([{"source": "nginx", "tags": ["1.27", "dev"]}], repository_defaults=defaults)
    assert done["actions"][0] == "create the repository nginx"
    ecr = cloud.client("ecr")
    [made] = ecr.describe_repositories()["repositories"]
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "dev*"}]
    assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
    tags = ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "platform"}]
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName="nginx")["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"]["countNumber"] == 14
    publish(cloud, "1.27", "dev", seed="moved")
    moved = mirror([{"source": "nginx", "tags": ["1.27", "dev"]}], repository_defaults=defaults, fails=True)
    assert actions(moved) == {"nginx:1.27": "refuse", "nginx:dev": "copy"}


def test_a_repository_that_lacks_its_lifecycle_policy_is_not_passed_over(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    rule = {"priority": 1, "tag_status": "any", "count_type": "imageCountMoreThan", "count_number": 5}
    defaults = {"lifecycle_rules": [{**rule, "action": "expire"}]}
    refusal = {"__type": "InvalidParameterException", "message": "not today"}
    cloud.inject({"op": "PutLifecyclePolicy", "status": 400, "body": refusal})
    failed = mirror([{"source": "nginx:1.27"}], repository_defaults=defaults, fails=True)
    assert "nginx was created, but has no lifecycle policy yet" in failed.msg
    assert "not today" in failed.msg
    assert "ecr_lifecycle" in failed.msg


def test_without_create_repositories_images_for_missing_ones_are_refused(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    cloud.client("ecr").create_repository(repositoryName="there")
    images = [{"source": "nginx:1.27"}, {"source": "nginx:1.27", "repository": "there"}]
    done = mirror(images, create_repositories=False, fails=True)
    assert actions(done) == {"nginx:1.27": "refuse", "there:1.27": "copy"}
    assert "create it, or set create_repositories" in done.msg
    assert [found["repositoryName"] for found in cloud.client("ecr").describe_repositories()["repositories"]] == [
        "there"
    ]


def test_two_repositories_share_layers_where_mounting_is_enabled(cloud: Cloud, mirror: Mirror) -> None:
    cloud.client("ecr").put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    made = publish(cloud, "1.27", base="debian", base_size=50_000)
    images = [{"source": "nginx:1.27", "repository": name} for name in ("one", "two", "three")]
    totals = mirror(images)["totals"]
    assert totals["bytes"] == {"moved": made["size"], "reused": 0, "mounted": 2 * made["size"]}
    for name in ("one", "two", "three"):
        mirror.ecr.assert_complete(name, "1.27")


# ------------------------------------------------------------------ immutable tags


@pytest.mark.parametrize(
    ("on_moved_tag", "action", "fails"), [("fail", "refuse", True), ("skip", "skip", False), ("new_tag", "copy", False)]
)
def test_an_immutable_tag_whose_source_has_moved(
    cloud: Cloud, mirror: Mirror, on_moved_tag: str, action: str, fails: bool
) -> None:
    cloud.client("ecr").create_repository(repositoryName="nginx", imageTagMutability="IMMUTABLE")
    old = publish(cloud, "1.27")["digest"]
    mirror([{"source": "nginx:1.27"}])
    same = mirror([{"source": "nginx:1.27"}], on_moved_tag=on_moved_tag)
    assert actions(same) == {"nginx:1.27": "up_to_date"}
    new = publish(cloud, "1.27", seed="moved")["digest"]
    promised = mirror([{"source": "nginx:1.27"}], on_moved_tag=on_moved_tag, check=True, fails=fails)
    done = mirror([{"source": "nginx:1.27"}], on_moved_tag=on_moved_tag, fails=fails)
    assert actions(promised) == actions(done)
    assert only(done)["action"] == action
    assert sha256(mirror.ecr.raw("nginx", "1.27")) == old
    if action == "copy":
        tag = f"1.27-{new.partition(':')[2][:12]}"
        assert only(done)["tag"] == tag
        assert sha256(mirror.ecr.assert_complete("nginx", tag)) == new
        assert actions(mirror([{"source": "nginx:1.27"}], on_moved_tag="new_tag")) == {f"nginx:{tag}": "up_to_date"}
    else:
        assert old in only(done)["reason"]
        assert new in only(done)["reason"]


# ------------------------------------------------------------------ what it costs


def test_a_run_with_nothing_to_do_costs_a_hundredth_of_a_call_a_tag(
    cloud: Cloud, mirror: Mirror, real: DockerRegistry, source: Pusher
) -> None:
    tags = [f"1.{number}" for number in range(130)]
    raw = source.image("team/app", "1.0", b"layer")
    for tag in tags[1:]:
        source.put("team/app", tag, raw, OCI_MANIFEST)
    source.image("team/web", "1", b"web")
    images = [{"source": f"{real.host}/team/app", "tags": tags}, {"source": f"{real.host}/team/web:1"}]
    mirror([{"source": f"{real.host}/team/app:1.0"}, images[1]])
    ecr = mirror.ecr
    for tag in tags[1:]:
        ecr.put("team/app", tag, raw, OCI_MANIFEST)
    cloud.forget_calls()
    real.requests()
    again = mirror(images)
    assert again["totals"]["up_to_date"] == len(tags) + 1
    calls = Counter(cloud.operations())
    assert calls == {
        "GetAuthorizationToken": 1,
        "DescribeRepositories": 1,
        "BatchGetImage": math.ceil(len(tags) / 100) + 1,
    }
    assert len(cloud.calls()) == calls.total()
    assert Counter(asked.method for asked in real.requests()) == {"HEAD": len(tags) + 1}
    assert again["totals"]["requests"] == {"Amazon ECR API": calls.total(), real.host: len(tags) + 1}


def test_repositories_are_looked_up_by_the_hundred(cloud: Cloud, mirror: Mirror) -> None:
    cloud.knobs(hub__limit=1000)
    publish(cloud, "1.27")
    ecr = cloud.client("ecr")
    for number in range(120):
        ecr.create_repository(repositoryName=f"copy/{number}")
    images = [{"source": "nginx:1.27", "repository": f"copy/{number}"} for number in range(120)]
    cloud.forget_calls()
    mirror(images, check=True)
    assert Counter(cloud.operations())["DescribeRepositories"] == 2
    cloud.forget_calls()
    more = mirror([*images, {"source": "nginx:1.27", "repository": "copy/new"}], check=True)
    # One of the two calls fails, and all there are fit into one page.
    assert Counter(cloud.operations())["DescribeRepositories"] == 3
    assert more["repositories_created"] == ["copy/new"]


def test_a_failure_to_throttle_is_waited_for(cloud: Cloud, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    publish(cloud, "1.27")
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    cloud.inject(*({"op": op, "status": 400, "body": throttled} for op in ("DescribeRepositories", "BatchGetImage")))
    assert only(mirror([{"source": "nginx:1.27"}]))["action"] == "copy"
    assert only(mirror([{"source": "nginx:1.27"}]))["action"] == "up_to_date"
    assert slept


# ------------------------------------------------------------------ check mode


def test_check_mode_is_exact(cloud: Cloud, mirror: Mirror, real: DockerRegistry, source: Pusher) -> None:
    cloud.client("ecr").put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    base = bytes(range(256)) * 200
    for name in ("one", "two"):
        index = {
            platform: source.image(f"team/{name}", None, base, f"{name}{platform}".encode()) for platform in (AMD, ARM)
        }
        source.index(f"team/{name}", "1", index)
        source.image(f"team/{name}", "2", base, name.encode())
    mirror([{"source": f"{real.host}/team/one:1"}])
    images = [
        {"source": f"{real.host}/team/one", "tags": ["1", "2"]},
        {"source": f"{real.host}/team/two", "select": {}, "platforms": [AMD]},
        {"source": f"{real.host}/team/none:1"},
    ]
    cloud.forget_calls()
    promised = mirror(images, check=True, diff=True, fails=True)
    assert writes(cloud) == []
    done = mirror(images, diff=True, fails=True, parallel=1)
    assert promised["actions"] == done["actions"]
    assert promised["repositories_created"] == done["repositories_created"] == ["team/two"]
    assert promised.msg == done.msg
    for name in ("action", "reason", "source_digest", "recipe", "previous_digest"):
        assert [image[name] for image in promised["images"]] == [image[name] for image in done["images"]], name
    for before, after in zip(promised["images"], done["images"], strict=True):
        # The digest of what is made anew is not known before.
        assert before["digest"] in (None, after["digest"])
        assert (before["bytes"] and sum(before["bytes"].values())) == (after["bytes"] and sum(after["bytes"].values()))
    assert promised["totals"]["bytes"] == done["totals"]["bytes"]
    assert promised["totals"]["bytes"]["mounted"] > 0
    assert mirror(images, check=True, diff=True, fails=True)["actions"] == []


# ------------------------------------------------------------------ when something goes wrong


def test_one_bad_image_among_fifty_stops_no_other(cloud: Cloud, mirror: Mirror) -> None:
    for number in range(49):
        publish(cloud, "1", repository=f"team/app{number}")
    images = [{"source": f"team/app{number}:1"} for number in range(50)]
    done = mirror(images, fails=True)
    assert Counter(actions(done).values()) == {"copy": 49, "fail": 1}
    assert done.msg.startswith("Failed for 1 of 50 images. docker.io/team/app49:1 -> ")
    for number in range(49):
        mirror.ecr.assert_complete(f"team/app{number}", "1")


def test_keep_going_false_begins_nothing_after_a_failure(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    done = mirror([{"source": "nginx:none"}, {"source": "nginx:1.27"}], keep_going=False, fails=True)
    assert actions(done) == {"nginx:none": "fail", "nginx:1.27": "skip"}
    assert "not attempted" in done["images"][1]["reason"]


@pytest.mark.parametrize(
    ("image", "code", "says"),
    [
        ("nginx:none", "NotFound", ["docker.io/library/nginx:none", "Check the name and the tag"]),
        ("team/private:1", "Unauthorized", ["Give credentials for docker.io", "docker login"]),
        ("127.0.0.1:1/team/app:1", "Unreachable", ["no answer from http://127.0.0.1:1"]),
    ],
)
def test_a_source_that_cannot_be_read(cloud: Cloud, mirror: Mirror, image: str, code: str, says: list[str]) -> None:
    publish(cloud, "1.27")
    publish(cloud, "1", repository="team/private", private=True)
    done = mirror([{"source": image}], fails=True, timeout=0)
    assert only(done)["error"]["code"] == code
    for words in says:
        assert words in done.msg
    assert not cloud.client("ecr").describe_repositories()["repositories"]


def test_a_repository_without_matching_tags_is_a_warning_or_a_failure(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1.27")
    wish = [{"source": "nginx", "select": {"semver": ">=9"}}]
    nothing = mirror(wish)
    assert not nothing.changed
    assert any("docker.io/library/nginx" in warning for warning in nothing.warnings)
    assert only(nothing)["action"] == "skip"
    failed = mirror(wish, require_match=True, fails=True)
    assert "require_match" in failed.msg


def test_two_runs_at_the_same_time_both_succeed(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    publish(cloud, "1", "2", "3", repository="team/app", layers=3, layer_size=20_000)
    task = {
        "transport": "direct",
        "images": [{"source": "team/app", "tags": ["1", "2", "3"]}],
        "registries": [{"host": "docker.io", "endpoint": cloud.upstreams[HUB]}],
        "repository_defaults": {"image_tag_mutability": "IMMUTABLE"},
    }
    play = plays(task)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda unused: playbook(play), range(2)))
    assert [run.status for run in runs] == [0, 0], [run.output for run in runs]
    login = Ecr(cloud)
    ecr = Pusher(login.origin, login.authorization)
    assert ecr.tags("team/app") == ["1", "2", "3"]
    for tag in ("1", "2", "3"):
        ecr.assert_complete("team/app", tag)


def test_a_login_that_expires_during_the_run_is_renewed(
    cloud: Cloud, mirror: Mirror, real: DockerRegistry, source: Pusher
) -> None:
    for number in range(5):
        source.image("team/app", str(number), str(number).encode())
    cloud.inject({"method": "PUT", "path": "/manifests/", "expire_tokens": True, "times": 1})
    done = mirror([{"source": f"{real.host}/team/app", "select": {}}])
    assert done["totals"]["copied"] == 5
    assert Counter(cloud.operations())["GetAuthorizationToken"] == 2


# ------------------------------------------------------------------ pulls that are counted


def test_what_the_rate_limit_does_not_allow_is_deferred(cloud: Cloud, mirror: Mirror) -> None:
    cloud.knobs(hub__limit=10)
    publish(cloud, "1", "2", "3", "4")
    publish(cloud, "multi", platforms=[AMD, ARM, "linux/s390x"])
    wish = [{"source": "nginx", "tags": ["multi", "1", "2", "3", "4"]}]
    promised = mirror(wish, rate_limit_reserve=6, check=True)
    done = mirror(wish, rate_limit_reserve=6, parallel=1)
    assert actions(done) == actions(promised)
    assert actions(done) == {"nginx:multi": "defer", **{f"nginx:{tag}": "copy" for tag in "1234"}}
    assert done["rate_limit"]["docker.io"] == {"limit": 10, "remaining": 6, "window": 21600, "used": 4}
    assert done["totals"]["deferred"] == 1
    assert any("deferred" in warning for warning in done.warnings)
    cloud.advance(21601)
    later = mirror(wish, rate_limit_reserve=6)
    assert actions(later)["nginx:multi"] == "copy"
    assert later["totals"]["up_to_date"] == 4


def test_an_unchanged_image_costs_no_pull(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1", "2")
    wish = [{"source": "nginx", "tags": ["1", "2"]}]
    mirror(wish)
    cloud.forget_calls()
    again = mirror(wish)
    assert again["rate_limit"]["docker.io"]["used"] == 0
    hub = [call for call in cloud.calls() if "/v2/" in call["path"] and not call["op"]]
    assert {call["method"] for call in hub} == {"HEAD"}


# ------------------------------------------------------------------ logins


def test_a_private_source_by_the_login_of_the_task(cloud: Cloud, mirror: Mirror) -> None:
    publish(cloud, "1", repository="team/private", private=True)
    done = mirror([{"source": "team/private:1"}], registries=[mirror.hub(**LOGIN)])
    assert only(done)["action"] == "copy"
    wrong = mirror([{"source": "team/private:1"}], registries=[mirror.hub(username="a", password="b")], fails=True)
    assert "Check the username and password for docker.io" in wrong.msg


def test_a_private_source_by_docker_s_configuration(
    cloud: Cloud, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(cloud, "1", repository="team/private", private=True)
    auth = base64.b64encode(b"hubuser:hubtoken").decode()
    config = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert only(mirror([{"source": "team/private:1"}]))["action"] == "copy"


def test_docker_s_configuration_is_read_only_where_it_is_needed(
    cloud: Cloud, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(cloud, "1")
    (tmp_path / "config.json").write_text("no JSON")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert only(mirror([{"source": "nginx:1"}], registries=[mirror.hub(**LOGIN)]))["action"] == "copy"
    failed = mirror([{"source": "nginx:1"}], fails=True)
    assert f"The Docker config {tmp_path}/config.json is no valid JSON" in failed.msg


def other_registry(cloud: Cloud, account: str, region: str) -> Pusher:
    login = Ecr(cloud, account=account, region=region)
    cloud.client("ecr", account=account, region=region).create_repository(repositoryName="team/app")
    return Pusher(login.origin, login.authorization)


def test_a_source_in_ecr_of_another_region(cloud: Cloud, mirror: Mirror) -> None:
    there = other_registry(cloud, cloud.account, "us-east-1")
    raw = there.image("team/app", "1", b"layer")
    host = there.origin.partition("://")[2]
    done = mirror([{"source": f"{host}/team/app:1"}], registries=[{"host": host, "region": "us-east-1"}])
    assert only(done)["digest"] == sha256(raw)
    mirror.ecr.assert_complete("team/app", "1")


def test_a_source_in_ecr_of_another_account_by_a_role(cloud: Cloud, mirror: Mirror) -> None:
    account = "210987654321"
    there = other_registry(cloud, account, cloud.region)
    there.image("team/app", "1", b"layer")
    host = there.origin.partition("://")[2]
    reading = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:GetAuthorizationToken")
    iam = cloud.client("iam", account=account)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=document(allow(*reading)))
    role = {"host": host, "role_arn": f"arn:aws:iam::{account}:role/reader"}
    wish = [{"source": f"{host}/team/app:1"}]
    refused = mirror(wish, registries=[{"host": host, "aws_login": True}], fails=True)
    assert f"{host} does not allow it (403)" in refused.msg
    assert only(mirror(wish, registries=[role]))["action"] == "copy"
    nobody = {**role, "role_arn": f"arn:aws:iam::{account}:role/nobody"}
    failed = mirror([{"source": f"{host}/team/app:1", "repository": "other"}], registries=[nobody], fails=True)
    assert "sts:AssumeRole" in failed.msg or "role/nobody" in failed.msg


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_source_in_the_very_registry(cloud: Cloud, mirror: Mirror) -> None:
    cloud.client("ecr").create_repository(repositoryName="team/app")
    mirror.ecr.image("team/app", "1", b"layer")
    done = mirror([{"source": mirror.address("team/app:1"), "repository": "copy"}])
    assert only(done)["action"] == "copy"
    mirror.ecr.assert_complete("copy", "1")


# ------------------------------------------------------------------ permissions

READING = ("ecr:DescribeRepositories", "ecr:BatchGetImage")
PUSHING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
CREATING = ("ecr:CreateRepository", "ecr:TagResource", "ecr:PutLifecyclePolicy")
DEFAULTS = {
    "resource_tags": {"team": "a"},
    "lifecycle_rules": [
        {
            "priority": 1,
            "tag_status": "any",
            "count_type": "imageCountMoreThan",
            "count_number": 5,
            "action": "expire",
        }
    ],
}


def as_allowed(cloud: Cloud, *actions: str) -> dict[str, str]:
    """Somebody who may do this, in repositories below mirror/, and log in."""
    own = f"arn:aws:ecr:{cloud.region}:{cloud.account}:repository/mirror/*"
    login = [action for action in actions if action == "ecr:GetAuthorizationToken"]
    rest = [action for action in actions if action != "ecr:GetAuthorizationToken"]
    return cloud.role("mirror", [*([allow(*login)] if login else []), allow(*rest, on=own)])


@pytest.mark.parametrize("missing", [None, "ecr:GetAuthorizationToken", *READING, *PUSHING, *CREATING])
def test_the_permissions_that_it_needs_and_no_more(
    cloud: Cloud, mirror: Mirror, real: DockerRegistry, source: Pusher, missing: str | None
) -> None:
    source.image("team/app", "1", b"layer")
    source.image("team/app", "2", b"layer", b"other")
    everything = ("ecr:GetAuthorizationToken", *READING, *PUSHING, *CREATING)
    credentials = as_allowed(cloud, *(action for action in everything if action != missing))
    # One repository is there, the other has to be made.
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="mirror/there")
    Pusher(mirror.ecr.origin, mirror.ecr.authorization).image("mirror/there", "2", b"layer")
    images = [{"source": f"{real.host}/team/app:1", "repository": name} for name in ("there", "new")]
    more = {"namespace": "mirror", "repository_defaults": DEFAULTS, "credentials": credentials}
    done = mirror(images, **more, fails=missing is not None)
    if missing is None:
        assert done["totals"]["copied"] == 2
        assert not mirror(images, **more).changed
    else:
        assert missing in done.msg, done.msg
        assert "Traceback" not in done.msg


# ------------------------------------------------------------------ secrets


def plays(task: dict[str, Any]) -> list[dict[str, Any]]:
    name = "stevedore.ecr.ecr_image_mirror"
    return [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "Mirror", name: task, "register": "done"}, {"ansible.builtin.debug": {"var": "done"}}],
        }
    ]


def test_no_secret_is_shown_or_kept(cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    publish(cloud, "1", repository="team/private", private=True)
    registry_token, wrong = "registry-token-which-nobody-may-see", "wrong-password-which-nobody-may-see"
    task = {
        "transport": "direct",
        "images": [
            {"source": "team/private:1"},
            {"source": "quay.io/team/one:1"},
            {"source": "ghcr.io/team/two:1"},
            {"source": "localhost/team/three:1"},
        ],
        "journal": str(tmp_path / "journal"),
        "timeout": 0,
        "registries": "{{ lookup('ansible.builtin.file', path) | from_yaml }}",
    }
    registries = [
        {"host": "docker.io", "endpoint": cloud.upstreams[HUB], **LOGIN},
        {"host": "quay.io", "endpoint": cloud.upstreams["quay.io"], "username": "bob", "password": wrong},
        {"host": "ghcr.io", "endpoint": cloud.upstreams["ghcr.io"], "token": registry_token},
    ]
    config = {"auths": {"localhost": {"auth": base64.b64encode(b"user:docker-login-which-nobody-may-see").decode()}}}
    docker = tmp_path / ".docker"
    docker.mkdir()
    (docker / "config.json").write_text(json.dumps(config))
    given = tmp_path / "registries.yml"
    given.write_text(yaml.safe_dump(registries))
    run = playbook(plays(task), "-vvvv", "--diff", "-e", f"path={given}")
    assert run.status == 2
    assert "docker.io/team/private:1" in run.output, run.output
    token = cloud.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    secrets = [LOGIN["password"], wrong, registry_token, "docker-login-which-nobody-may-see", ROOT_SECRET, token[:40]]
    secrets += [base64.b64encode(f"{user}:{secret}".encode()).decode() for user, secret in (("hubuser", "hubtoken"),)]
    kept = {
        path: path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path not in (given, docker / "config.json")
    }
    for secret in secrets:
        assert secret not in run.output, secret
        assert not [path for path, content in kept.items() if secret.encode() in content], secret
    assert (tmp_path / "journal").read_text().count("\n") == 6


def test_the_journal_has_a_line_for_each_image(cloud: Cloud, mirror: Mirror, tmp_path: Path) -> None:
    publish(cloud, "1", "2")
    journal = tmp_path / "journal"
    done = mirror([{"source": "nginx", "tags": ["1", "2"]}], journal=str(journal))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "image", "image", "end"]
    assert {line["destination"] for line in lines[1:3]} == {image["destination"] for image in done["images"]}
    nowhere = mirror([{"source": "nginx:1"}], journal=str(tmp_path / "no" / "journal"), fails=True)
    assert "journal" in nowhere.msg


# ------------------------------------------------------------------ what Ansible sees


def test_as_a_playbook_checks_runs_and_runs_again(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    publish(cloud, "1.27", platforms=[AMD, ARM])
    task = {
        "images": [{"source": "nginx:1.27"}],
        "transport": "direct",
        "registries": [{"host": "docker.io", "endpoint": cloud.upstreams[HUB]}],
    }
    for options, changed in ((["--check", "--diff"], 1), (["--diff"], 1), (["--diff"], 0)):
        run = playbook(plays(task), *options)
        assert run.status == 0, run.output
        assert run.recap["changed"] == changed, run.output
        assert ("+nginx:1.27 sha256:" in run.output) == bool(changed)
        assert "[WARNING]" not in run.output


def test_group_defaults_reach_the_module(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    publish(cloud, "1.27")
    task = {
        "images": [{"source": "nginx:1.27"}],
        "transport": "direct",
        "registries": [{"host": "docker.io", "endpoint": cloud.upstreams[HUB]}],
    }
    [play] = plays(task)
    play["module_defaults"] = {"group/stevedore.ecr.all": {"region": "us-east-1"}}
    run = playbook([play], without=["AWS_REGION", "AWS_DEFAULT_REGION"])
    assert run.status == 0, run.output
    found = cloud.client("ecr", region="us-east-1").describe_repositories()["repositories"]
    assert [one["repositoryName"] for one in found] == ["nginx"]


def test_kinds_of_images(cloud: Cloud, mirror: Mirror) -> None:
    kinds: Sequence[dict[str, Any]] = (
        {"kind": "docker"},
        {"kind": "docker-list", "platforms": [AMD, ARM]},
        {"compression": "zstd"},
        {"empty_layers": 2},
        {"foreign_layers": 1},
        {"kind": "artifact"},
    )
    digests = {f"k{number}": publish(cloud, f"k{number}", **kind)["digest"] for number, kind in enumerate(kinds)}
    mirror([{"source": "nginx", "tags": list(digests)}])
    for tag, digest in digests.items():
        assert sha256(mirror.ecr.assert_complete("nginx", tag)) == digest


def test_a_thousand_tags_of_which_some_are_selected(cloud: Cloud, mirror: Mirror) -> None:
    there = other_registry(cloud, cloud.account, "us-east-1")
    images = [there.image("team/app", None, content) for content in (b"old", b"new")]
    for number in range(1005):
        there.put("team/app", f"0.{number}", images[number // 1000], OCI_MANIFEST)
    host = there.origin.partition("://")[2]
    cloud.forget_calls()
    wish = {"source": f"{host}/team/app", "select": {"semver": ">=0.1000", "newest": 3}}
    done = mirror([wish], registries=[{"host": host, "region": "us-east-1"}])
    assert actions(done) == {f"team/app:0.{number}": "copy" for number in (1004, 1003, 1002)}
    assert sum(call["path"].endswith("/tags/list") and call["status"] == 200 for call in cloud.calls()) == 2
    assert {image["digest"] for image in done["images"]} == {sha256(images[1])}


def test_what_is_in_the_destination_already_by_others_is_replaced_or_kept(cloud: Cloud, mirror: Mirror) -> None:
    made = publish(cloud, "1.27")
    cloud.client("ecr").create_repository(repositoryName="nginx")
    foreign = mirror.ecr.image("nginx", "1.27", b"something else")
    image = only(mirror([{"source": "nginx:1.27"}]))
    assert (image["previous_digest"], image["digest"]) == (sha256(foreign), made["digest"])
    assert re.search("moved|record", image["reason"])
