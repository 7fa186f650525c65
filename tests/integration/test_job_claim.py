"""The module job_claim against the loopback cloud: one run at a time, whoever dies, and in which role."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import locks
from loopback.client import Cloud
from running import ModuleResult, PlaybookRun, local_play

Module = Callable[..., ModuleResult]

BUCKET, KEY, LOCK = "jobs", "sync/job.json", "sync/locks/0"
JOB = {"variables": {"image_mirror_prune": False}, "shards": [[{"source": "a"}], [{"source": "b"}]]}
OBJECTS = f"arn:aws:s3:::{BUCKET}/*"
ACTIONS = {
    "s3:GetObject": OBJECTS,
    "s3:PutObject": OBJECTS,
    "s3:DeleteObject": OBJECTS,
    "s3:ListBucket": f"arn:aws:s3:::{BUCKET}",
}


@pytest.fixture(autouse=True)
def bucket(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(JOB).encode())


def arguments(owner: str = "one", **more: Any) -> dict[str, Any]:
    return {"bucket": BUCKET, "key": KEY, "lock": LOCK, "owner": owner, **more}


def keys(cloud: Cloud) -> list[str]:
    return [one["Key"] for one in cloud.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]


def operator(cloud: Cloud, actions: list[str]) -> dict[str, str]:
    return cloud.role("operator", [{"Effect": "Allow", "Action": one, "Resource": ACTIONS[one]} for one in actions])


def test_one_works_and_the_other_is_told_who(module: Module) -> None:
    first = module("job_claim", arguments("one", seconds=600))
    assert (first["claimed"], first["owner"], first["seconds_left"]) == (True, "one", 600)
    assert first["variables"] == JOB["variables"]
    second = module("job_claim", arguments("two"))
    assert (second["changed"], second["claimed"], second["owner"]) == (False, False, "one")
    assert 0 < second["seconds_left"] <= 600
    assert "images" not in second.returned

    assert not module("job_claim", arguments("two", state="released"))["changed"]
    assert module("job_claim", arguments("one", state="released"))["changed"]
    assert module("job_claim", arguments("two"))["claimed"]


def test_the_next_attempt_of_a_run_that_died_goes_on(module: Module) -> None:
    assert module("job_claim", arguments())["claimed"]
    assert module("job_claim", arguments())["claimed"]


def test_a_lock_is_over_by_itself(module: Module) -> None:
    assert module("job_claim", arguments("dead", seconds=0))["claimed"]
    assert module("job_claim", arguments("two"))["owner"] == "two"


def test_of_many_at_once_one_gets_it(cloud: Cloud) -> None:
    client = cloud.client("s3")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: locks.take(client, BUCKET, LOCK, f"run-{n}", 600, {}), range(8)))
    (mine,) = [lock for lock in found if lock.mine]
    assert {lock.owner for lock in found} == {mine.owner}


def test_each_shard_has_its_images_and_further_ones_none(module: Module) -> None:
    found = [module("job_claim", arguments(shard=shard, lock=f"locks/{shard}"))["images"] for shard in range(3)]
    assert found == [*JOB["shards"], []]


def test_check_mode_says_who_would_get_it_and_writes_nothing(cloud: Cloud, module: Module) -> None:
    assert module("job_claim", arguments("two"), check=True)["claimed"]
    assert keys(cloud) == [KEY]
    module("job_claim", arguments("one"))
    foreseen = module("job_claim", arguments("two"), check=True)
    assert (foreseen["claimed"], foreseen["owner"]) == (False, "one")
    assert module("job_claim", arguments("one", state="released"), check=True)["changed"]
    assert not module("job_claim", arguments("two"))["claimed"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "x"}', '{"owner": "x", "seconds": "soon"}'])
def test_what_is_no_lock_stops_nobody(cloud: Cloud, module: Module, text: str) -> None:
    cloud.client("s3").put_object(Bucket=BUCKET, Key=LOCK, Body=text.encode())
    assert module("job_claim", arguments())["claimed"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "There is no job s3://jobs/sync/job.json: run the role that makes it"),
        ("{", "s3://jobs/sync/job.json is no job"),
        ("[]", "s3://jobs/sync/job.json is no job"),
        ('{"variables": {}}', "s3://jobs/sync/job.json is no job"),
    ],
)
def test_what_is_no_job_is_named(cloud: Cloud, module: Module, text: str | None, says: str) -> None:
    s3 = cloud.client("s3")
    if text is None:
        s3.delete_object(Bucket=BUCKET, Key=KEY)
    else:
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=text.encode())
    result = module("job_claim", arguments())
    assert result.failed
    assert says in result.msg


def test_a_bucket_that_is_not_there_is_one_line(module: Module) -> None:
    result = module("job_claim", arguments(bucket="no-such-bucket"))
    assert result.failed
    assert "NoSuchBucket" in result.msg


# Without s3:ListBucket, Amazon S3 refuses to say that there is no such object; the cloud always says so.
@pytest.mark.parametrize("missing", [one for one in ACTIONS if one != "s3:ListBucket"])
def test_each_permission_is_needed_and_named(cloud: Cloud, module: Module, missing: str) -> None:
    role = operator(cloud, [one for one in ACTIONS if one != missing])
    results = [
        module("job_claim", arguments(), credentials=role),
        module("job_claim", arguments(state="released"), credentials=role),
    ]
    failures = [result.msg for result in results if result.failed]
    assert failures
    assert all(missing in message for message in failures)


def test_documented_permissions_suffice(cloud: Cloud, module: Module) -> None:
    role = operator(cloud, list(ACTIONS))
    assert module("job_claim", arguments(), credentials=role)["claimed"]
    assert module("job_claim", arguments(state="released"), credentials=role)["changed"]


def test_a_lock_is_encrypted_with_the_key_of_the_bucket(cloud: Cloud, module: Module) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    module("job_claim", arguments(kms_key_arn=key))
    assert cloud.client("s3").head_object(Bucket=BUCKET, Key=LOCK)["SSEKMSKeyId"] == key


def test_a_playbook_sees_no_warnings(playbook: Callable[..., PlaybookRun]) -> None:
    run = playbook(local_play({"stevedore.ecr.job_claim": arguments()}))
    assert run.status == 0, run.output
    assert "[WARNING]" not in run.output
