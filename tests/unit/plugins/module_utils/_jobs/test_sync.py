"""What the variables of the role pull_sync come down to."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.service_roles import wanted_roles
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync import leftovers, parts, running_parts
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_images import Image, Source, shards
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.selection import Selection

SOURCE = "111122223333"
HOST = f"{SOURCE}.dkr.ecr.us-east-1.amazonaws.com"
NEAR = f"{SOURCE}.dkr.ecr.eu-west-1.amazonaws.com"
ACCOUNT, REGION = "210987654321", "eu-west-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
KINDS = {"ecr.api": "Interface", "ecr.dkr": "Interface", "logs": "Interface", "s3": "Gateway"}
NETWORK = {
    "vpc_id": "vpc-1",
    "cidrs": ["10.0.0.0/16"],
    "subnet_ids": ["subnet-1", "subnet-2"],
    "endpoints": [{"service": f"com.amazonaws.{REGION}.{name}", "type": kind} for name, kind in KINDS.items()],
    "s3_prefix_lists": ["pl-1"],
}
# The words of the module that this role succeeds, in YAML.
EXAMPLE = """
mode: create
repos:
  - source: 111122223333.dkr.ecr.us-east-1.amazonaws.com/my-app/backend
  - source: 111122223333.dkr.ecr.us-east-1.amazonaws.com/gadgets/ui
    destination: my-team/ui-gadgets
    tags: ["v1.*"]
  - source: 111122223333.dkr.ecr.us-east-1.amazonaws.com/project/api
    tags: ["{latest,stable}"]
  - source: 111122223333.dkr.ecr.us-east-1.amazonaws.com/team-a/shared-library
    tags: ["v?.?.?", "v?.?"]
repo_defaults:
  scan_on_push: true
  tag_immutability: true
"""
TAGS = ["latest", "stable", "v1.2", "v1.23", "v1.2.3", "v1.2.34", "v10.2", "v2.0.0", "v1.", "1.2.3", "latest-arm"]


def variables(**given: Any) -> dict[str, Any]:
    return {
        "namespace": "example-ecr-sync",
        "config": {"repos": [{"source": f"{HOST}/my-app"}]},
        "platforms": [],
        "referrers": False,
        "on_moved_tag": "fail",
        "require_match": False,
        "prune": False,
        "prune_protect": [],
        "engine": "fargate",
        "shards": 1,
        "attempts": 3,
        "timeout": 60,
        "put_image_rate": 8.0,
        "schedule": "rate(15 minutes)",
        "schedule_timezone": "UTC",
        "schedule_state": "ENABLED",
        "dead_letter_queue_arn": "",
        "task_image_uri": f"{HOST}/ecr-pull-sync",
        "task_image_tag": "latest",
        "task_cpu": 256,
        "task_memory": 512,
        "task_ephemeral_storage": 0,
        "architecture": "x86_64",
        "log_retention": 30,
        "log_kms_key_id": "",
        "vpc_id": "",
        "subnet_ids": [],
        "security_groups": [],
        "assign_public_ip": True,
        "check_endpoints": True,
        "s3_bucket": "",
        "s3_bucket_kms_key_arn": "",
        "s3_bucket_noncurrent_version_expiration_days": 30,
        "s3_bucket_abort_incomplete_multipart_upload_days": 7,
        "s3_bucket_access_logging_target_bucket": "",
        "s3_bucket_access_logging_target_prefix": "log/",
        "repository_patterns": [],
        "notify": "",
        "alarm_hours": 24,
        "tags": {},
        "region": REGION,
        "account": ACCOUNT,
        "partition": "aws",
        "registry": REGISTRY,
        **given,
    }


def job(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(parts(variables(**given))["job"])
    return found


def role(purpose: str, **given: Any) -> dict[str, list[str]]:
    """For each Sid of its policy, the actions and the resources."""
    (found,) = [one for one in parts(variables(**given))["roles"] if f"-{purpose}-" in one["name"]]
    return {one["Sid"]: [*one["Action"], *one["Resource"]] for one in found["policy"]["Statement"]}


def refusal(**given: Any) -> str:
    with pytest.raises(AnsibleECRError) as caught:
        parts(variables(**given))
    return str(caught.value)


# ------------------------------------------------------------------ the configuration's own words


@pytest.mark.parametrize(
    ("repository", "tags"),
    [
        ("my-app/backend", TAGS),
        ("my-team/ui-gadgets", ["v1.", "v1.2", "v1.2.3", "v1.2.34", "v1.23"]),
        ("project/api", ["latest", "stable"]),
        ("team-a/shared-library", ["v1.2", "v1.2.3", "v2.0.0"]),
    ],
)
def test_the_four_examples_take_what_their_comments_say(repository: str, tags: list[str]) -> None:
    (images,) = job(config=yaml.safe_load(EXAMPLE))["shards"]
    (image,) = [one for one in images if one["repository"] == repository]
    assert sorted(one.tag for one in Selection.parse(image["select"]).select(TAGS)) == sorted(tags)


def test_the_engine_understands_them() -> None:
    (images,) = job(config=yaml.safe_load(EXAMPLE))["shards"]
    assert [wish.repository for wish in wishes.parse(images, {})] == [
        "my-app/backend",
        "my-team/ui-gadgets",
        "project/api",
        "team-a/shared-library",
    ]


@pytest.mark.parametrize(
    ("pattern", "tag", "matches"),
    [
        ("*", "v1.2.3", True),
        ("**", "v1.2.3", True),
        ("v1.*", "v1.2", True),
        ("v1.*", "v1.", True),
        ("v1.*", "v12", False),
        ("v?.?.?", "v1.2.3", True),
        ("v?.?.?", "v1.2.34", False),
        ("v?.?", "v1.2", True),
        ("v?.?", "v1.23", False),
        ("?", "1", True),
        ("?", "", False),
        ("{latest,stable}", "latest", True),
        ("{latest,stable}", "latest-1", False),
        ("v{1,2}.*", "v2.7", True),
        ("v{1,2}.*", "v3.7", False),
        ("1.27{,-alpine}", "1.27", True),
        ("latest", "latest", True),
        ("latest", "Latest", False),
        ("v1.2", "v1x2", False),
    ],
)
def test_patterns(pattern: str, tag: str, matches: bool) -> None:
    (images,) = job(config={"repos": [{"source": f"{HOST}/my-app", "tags": [pattern]}]})["shards"]
    assert bool(Selection.parse(images[0]["select"]).select([tag])) is matches


@pytest.mark.parametrize(
    ("defaults", "settings"),
    [
        ({}, {"scan_on_push": True, "image_tag_mutability": "IMMUTABLE", "encryption_type": "AES256"}),
        (
            {"scan_on_push": False, "tag_immutability": False},
            {"scan_on_push": False, "image_tag_mutability": "MUTABLE", "encryption_type": "AES256"},
        ),
        (
            {"image_tag_mutability_exclusion_filters": ["latest"]},
            {
                "scan_on_push": True,
                "encryption_type": "AES256",
                "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
                "image_tag_mutability_exclusion_filters": ["latest"],
            },
        ),
    ],
)
def test_what_new_repositories_are_like(defaults: dict[str, Any], settings: dict[str, Any]) -> None:
    config = {"repos": [{"source": f"{HOST}/my-app"}], "repo_defaults": defaults}
    assert job(config=config)["variables"]["image_mirror_repository_defaults"] == settings


def test_refresh_creates_nothing_and_may_not() -> None:
    config = {"mode": "refresh", "repos": [{"source": f"{HOST}/my-app"}]}
    said = job(config=config)["variables"]
    assert said["image_mirror_create_repositories"] is False
    assert said["image_mirror_missing_repositories"] == "skip"
    assert "Create" not in role("task", config=config)
    assert "ecr:CreateRepository" in role("task")["Create"]


def test_all_of_what_is_wrong_is_said_at_once() -> None:
    said = refusal(
        namespace="Bad Name",
        schedule="rate(1 minutes)",
        task_cpu=512,
        task_memory=512,
        task_ephemeral_storage=20,
        log_retention=31,
        shards=4,
        notify="nobody",
        subnet_ids=["subnet-1"],
        config={
            "mode": "mirror",
            "repos": [
                {"source": "docker.io/library/nginx"},
                {"source": f"{HOST}/my-app:latest"},
                {"source": f"{HOST}/my-*"},
                {"source": f"{HOST}/my-app", "tags": []},
                {"source": f"{HOST}/other", "tags": ["v[12]"]},
                {"source": f"{HOST}/third", "destination": "UPPER", "colour": "red"},
                {"source": f"{REGISTRY}/same"},
            ],
            "repo_defaults": {"tag_immutability": "yes", "colour": "red"},
        },
    )
    for problem in (
        "namespace: must be",
        "schedule: a rate",
        "task_memory: must be 1024 to 4096 MiB",
        "task_ephemeral_storage: must be 21 to 200",
        "log_retention: must be one of",
        "shards: one task does it all with engine fargate",
        "notify: must be the ARN",
        "vpc_id: is missing",
        "config.mode: must be one of create, refresh",
        "config.repos[0].source: must be the whole address",
        "config.repos[1].source: has a tag or digest",
        "config.repos[2].source: is one repository",
        "config.repos[3].tags: must be a list",
        "config.repos[4].tags[0]: 'v[12]'",
        "config.repos[5].colour: unknown",
        "config.repos[6].destination: is missing",
        "config.repo_defaults.tag_immutability: must be true or false",
        "config.repo_defaults.colour: unknown",
    ):
        assert problem in said


def test_what_amazon_ec2_would_refuse_as_a_name_is_refused() -> None:
    assert "namespace: must not begin with sg-" in refusal(namespace="sg-sync")


def test_logs_are_kept_for_as_long_as_cloudwatch_can() -> None:
    assert parts(variables(log_retention=3653))


# ------------------------------------------------------------------ who may do what


def test_the_source_is_only_read_and_each_repository_is_named() -> None:
    config = {"repos": [{"source": f"{HOST}/a/b/c"}, {"source": f"{HOST}/a/d", "destination": "x/y"}]}
    task = role("task", config=config)
    there, here = f"arn:aws:ecr:us-east-1:{SOURCE}:repository", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
    reading = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"]
    assert task["Pull"] == [*reading, f"{there}/a/b/c", f"{there}/a/d"]
    assert [one for one in task["Push"] if one.startswith("arn:")] == [f"{here}/a/b/c", f"{here}/x/y"]
    elsewhere = [sid for sid, entries in task.items() if any(SOURCE in entry for entry in entries)]
    assert elsewhere == ["Pull"]


def test_what_the_source_has_to_allow() -> None:
    config = {
        "repos": [
            {"source": f"{HOST}/aa"},
            {"source": f"{HOST}/bb"},
            {"source": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/cc"},
        ]
    }
    (policy,) = parts(variables(config=config))["source_policies"]
    assert (policy["account"], policy["region"]) == (SOURCE, "us-east-1")
    assert [one["name"] for one in policy["repositories"]] == ["aa", "bb"]
    (statement,) = policy["repositories"][0]["statements"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    arn = f"arn:aws:iam::{ACCOUNT}:role/example-ecr-sync-task-{REGION}"
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalArn": arn}}


def test_other_partitions_are_theirs() -> None:
    china = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"
    given = {"partition": "aws-cn", "region": "cn-northwest-1", "config": {"repos": [{"source": f"{china}/aa"}]}}
    assert "arn:aws:" not in json.dumps(parts(variables(**given, task_image_uri="")))


def test_too_many_names_for_a_role_want_patterns() -> None:
    repos = [{"source": f"{HOST}/team/{number:04}/{'x' * 40}"} for number in range(400)]
    said = refusal(config={"repos": repos})
    assert "repository_patterns: the names of 400 repositories are more than the policies of a role can hold" in said
    assert "stands for team/0000" in refusal(config={"repos": repos}, repository_patterns=["other/*"])
    task = role("task", config={"repos": repos}, repository_patterns=["team/*"])
    assert task["Pull"][-1] == f"arn:aws:ecr:us-east-1:{SOURCE}:repository/team/*"


@pytest.mark.parametrize(("mode", "prune"), [("create", "delete"), ("create", False), ("refresh", "delete")])
def test_names_that_are_too_many_for_a_role_are_refused_before_iam_does(mode: str, prune: str | bool) -> None:
    counts = range(90, 150, 6)
    accepted = 0
    for count in counts:
        repos = [{"source": f"{HOST}/team/{number:04}/{'x' * 40}"} for number in range(count)]
        given = variables(config={"mode": mode, "repos": repos}, prune=prune)
        try:
            found = parts(given)
        except AnsibleECRError:
            break
        accepted = count
        more = {"path": None, "permissions_boundary": None}
        as_texts = ({key: json.dumps(one[key]) for key in ("trust_policy", "policy")} for one in found["roles"])
        wanted_roles([{**one, **texts, **more} for one, texts in zip(found["roles"], as_texts, strict=True)], "present")
    assert counts[0] < accepted < counts[-1]


def test_our_own_image_is_pulled_from_our_own_repository() -> None:
    assert role("execution", task_image_uri="")["Image"][-1].endswith(f"{ACCOUNT}:repository/example-ecr-sync/runner")
    assert role("execution")["Image"][-1].endswith(f"{SOURCE}:repository/ecr-pull-sync")
    assert "Image" not in role("execution", task_image_uri="ghcr.io/org/runner")


# ------------------------------------------------------------------ what runs, and where


def running(network: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return running_parts(variables(**given), "runner:1", network or NETWORK, "sg-own")


def private(**given: Any) -> dict[str, Any]:
    return {"assign_public_ip": False, "config": {"repos": [{"source": f"{NEAR}/my-app"}]}, **given}


def test_a_missing_endpoint_is_named() -> None:
    network = {**NETWORK, "endpoints": [one for one in NETWORK["endpoints"] if one["service"][-3:] in ("dkr", ".s3")]}
    assert running(network)  # there is a public address
    with pytest.raises(AnsibleECRError, match=r"no endpoint for ecr\.api \(Interface\), logs \(Interface\):"):
        running(network, **private())
    assert running(network, **private(check_endpoints=False))


def test_an_endpoint_of_another_type_is_none() -> None:
    network = {**NETWORK, "endpoints": [{**one, "type": "Interface"} for one in NETWORK["endpoints"]]}
    with pytest.raises(AnsibleECRError, match=r"no endpoint for s3 \(Gateway\):"):
        running(network, **private())


def test_endpoints_do_not_lead_to_sources_of_other_regions() -> None:
    config = {"repos": [{"source": f"{NEAR}/my-app"}, {"source": f"{HOST}/my-app", "destination": "other"}]}
    with pytest.raises(AnsibleECRError, match=r"config\.repos: has sources in us-east-1, which tasks without"):
        running(**private(config=config))
    assert running(**private(config=config, check_endpoints=False))


def test_a_private_task_gets_no_further_than_the_network_and_s3() -> None:
    assert [rule.get("cidr_ip") or rule.get("ip_prefix") for rule in running(**private())["egress"]] == [
        "10.0.0.0/16",
        "pl-1",
    ]
    by_nat = running(assign_public_ip=False, check_endpoints=False)
    assert [[rule["cidr_ip"] for rule in one["egress"]] for one in (running(), by_nat)] == [["0.0.0.0/0"]] * 2


def test_a_task_is_not_root_and_writes_nowhere_but_to_its_scratch() -> None:
    container = running()["compute"][1]["definition"]["containerDefinitions"][0]
    assert (container["user"], container["readonlyRootFilesystem"]) == ("65534", True)
    batch = running(engine="batch", shards=8)["compute"][2]["definition"]
    assert batch["containerProperties"]["readonlyRootFilesystem"] is True
    assert batch["retryStrategy"] == {"attempts": 3}


@pytest.mark.parametrize("key", ["", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"])
def test_a_variable_without_a_value_is_left_out_as_aws_batch_does(key: str) -> None:
    batch = running(engine="batch", s3_bucket_kms_key_arn=key)["compute"][2]["definition"]
    given = {one["name"]: one["value"] for one in batch["containerProperties"]["environment"]}
    assert all(given.values())
    assert given.get("MIRROR_JOB_KMS_KEY", "") == key


@pytest.mark.parametrize("engine", ["fargate", "batch"])
def test_a_run_has_ended_before_its_lock_is_over(engine: str) -> None:
    definition = running(engine=engine, timeout=5)["compute"][-1]["definition"]
    container = definition.get("containerProperties") or definition["containerDefinitions"][0]
    assert container["command"][2].startswith("timeout -k 60 300 ansible-playbook stevedore.ecr.mirror_job; code=$?;")
    assert {"name": "MIRROR_JOB_SECONDS", "value": "360"} in container["environment"]


@pytest.mark.parametrize(("count", "array"), [(1, None), (8, {"Size": 8})])
def test_one_shard_is_no_array(count: int, array: dict[str, int] | None) -> None:
    given = running(engine="batch", shards=count)
    assert json.loads(given["schedule"]["definition"]["Target"]["Input"]).get("ArrayProperties") == array
    assert ("arrayProperties" in given["run"]["overrides"]) is (array is not None)


def test_what_one_engine_makes_the_other_takes_away() -> None:
    made = {one: [each["kind"] for each in running(engine=one)["compute"]] for one in ("fargate", "batch")}
    gone = {one: [each["kind"] for each in parts(variables(engine=one))["of_no_use"]] for one in made}
    assert gone == {"fargate": made["batch"][::-1], "batch": made["fargate"][::-1]}
    everything = [one["kind"] for one in leftovers(variables())["resources"]]
    assert set(everything) >= {*made["fargate"], *made["batch"], "schedule"}


def test_a_topic_that_is_told_never_goes() -> None:
    theirs = variables(notify=f"arn:aws:sns:{REGION}:{ACCOUNT}:example-ecr-sync")
    assert parts(theirs)["topic"] == []
    assert "sns_topic" not in [one["kind"] for one in leftovers(theirs)["resources"]]
    assert [one["state"] for one in parts(variables())["topic"]] == ["absent"]


@pytest.mark.parametrize("engine", ["fargate", "batch"])
def test_only_what_is_ours_goes(engine: str) -> None:
    ours = {"stevedore.ecr": "example-ecr-sync"}
    made = [*running(engine=engine)["compute"], parts(variables(notify="ops@example.com"))["topic"][0]]
    assert all(ours.items() <= one["tags"].items() for one in made)
    document = parts(variables(engine=engine))
    gone = [*document["of_no_use"], *document["topic"], *leftovers(variables())["resources"]]
    assert all(one["tags"] == ours for one in gone if one["kind"] != "schedule")


@pytest.mark.parametrize("name", ["", "Bad Name"])
def test_nothing_goes_by_a_name_that_no_sync_has(name: str) -> None:
    with pytest.raises(AnsibleECRError, match=r"^Not valid: namespace: must be"):
        leftovers(variables(namespace=name))


# ------------------------------------------------------------------ shards

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=30)


def images(sizes: list[int]) -> list[Image]:
    return [
        Image({"source": f"{HOST}/{n}", "repository": f"r/{n}", "select": {}}, Source("", "", str(n)), f"r/{n}", size)
        for n, size in enumerate(sizes)
    ]


@given(SIZES, st.integers(1, 40))
def test_each_tag_of_each_repository_is_of_one_shard(sizes: list[int], count: int) -> None:
    tags = [f"v{number}" for number in range(40)]
    seen = Counter(
        (option["repository"], one.tag)
        for shard in shards(images(sizes), count, whole=False)
        for option in shard
        for one in Selection.parse(option["select"]).select(tags)
    )
    assert seen == Counter({(f"r/{n}", tag): 1 for n in range(len(sizes)) for tag in tags})


@given(SIZES, st.integers(1, 40))
def test_repositories_that_fit_stay_where_they_are_whatever_else_there_is(sizes: list[int], count: int) -> None:
    alone = shards(images(sizes), count, whole=True)
    more = shards(images([*sizes, 7]), count, whole=True)
    assert all(
        {one["repository"] for one in old} <= {one["repository"] for one in new}
        for old, new in zip(alone, more, strict=True)
    )


def test_of_a_shard_without_images_no_journal_is_expected() -> None:
    assert parts(variables(engine="batch", shards=8))["busy_shards"] == 8  # one repository in eight parts
    assert parts(variables(engine="batch", shards=8, prune="report"))["busy_shards"] == 1


def test_one_that_is_larger_than_its_share_is_split() -> None:
    found = shards(images([1000, *[10] * 20]), 8, whole=False)
    parts_of = [option["select"]["part"]["of"] for shard in found for option in shard if option["repository"] == "r/0"]
    assert parts_of == [7] * 7
    assert all("part" not in option["select"] for shard in found for option in shard if option["repository"] != "r/0")


def test_where_tags_are_pruned_a_repository_is_in_one_piece() -> None:
    config = {"repos": [{"source": f"{HOST}/big", "expected_tags": 5000}, {"source": f"{HOST}/small"}]}
    found = job(config=config, engine="batch", shards=4, prune="report")
    assert sum(len(shard) for shard in found["shards"]) == 2
    assert sum(len(shard) for shard in job(config=config, engine="batch", shards=4)["shards"]) == 5


def test_the_rate_is_shared() -> None:
    assert job(engine="batch", shards=16)["variables"]["image_mirror_put_image_rate"] == 0.5
