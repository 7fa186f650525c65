"""What a job runs on: written once, and enough to run from."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_collections.amazon.aws as amazon_aws
import pytest

import ansible_collections.stevedore.ecr as stevedore_ecr
from loopback.client import Cloud
from running import BIN, ModuleResult

Run = Callable[..., ModuleResult]
INSTALLED = {
    "stevedore.ecr": str(Path(next(iter(stevedore_ecr.__path__)))),
    "amazon.aws": str(Path(next(iter(amazon_aws.__path__)))),
}
KEY = "jobs/clone.zip"


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="jobs", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_bucket_versioning(Bucket="jobs", VersioningConfiguration={"Status": "Enabled"})
    return "jobs"


def arguments(**more: Any) -> dict[str, Any]:
    return {"bucket": "jobs", "key": KEY, "files": {"job.json": "{}"}, "collections": INSTALLED, **more}


def versions(cloud: Cloud) -> list[str]:
    return sorted(one["Key"] for one in cloud.client("s3").list_object_versions(Bucket="jobs").get("Versions", []))


def test_the_same_job_makes_no_new_version(cloud: Cloud, module: Run, bucket: str) -> None:
    foreseen = module("job_object", arguments(), check=True)
    assert versions(cloud) == []
    written = module("job_object", arguments())
    again = module("job_object", arguments())

    assert foreseen["actions"] == written["actions"] == [f"write {KEY}"]
    assert again["actions"] == []
    assert versions(cloud) == [KEY]


def test_another_list_is_another_version(cloud: Cloud, module: Run, bucket: str) -> None:
    module("job_object", arguments())
    assert module("job_object", arguments(files={"job.json": "{ }"}))["actions"] == [f"write {KEY}"]
    assert versions(cloud) == [KEY, KEY]


def test_a_text_is_written_as_it_is(cloud: Cloud, module: Run, bucket: str) -> None:
    given = {"bucket": "jobs", "key": "clone.json", "files": {"any": "text\n"}}
    assert module("job_object", given).changed
    assert not module("job_object", given).changed
    assert cloud.client("s3").get_object(Bucket="jobs", Key="clone.json")["Body"].read() == b"text\n"


def test_check_mode_knows_that_there_is_no_bucket_yet(module: Run, cloud: Cloud) -> None:
    assert module("job_object", arguments(), check=True)["actions"] == [f"write {KEY}"]


def test_it_goes(cloud: Cloud, module: Run, bucket: str) -> None:
    module("job_object", arguments())
    gone = module("job_object", {"bucket": "jobs", "key": KEY, "state": "absent"})
    again = module("job_object", {"bucket": "jobs", "key": KEY, "state": "absent"})
    assert gone["actions"] == [f"delete {KEY}"]
    assert again["actions"] == []


def test_what_is_below_a_key_goes_with_all_versions_and_nothing_else(cloud: Cloud, module: Run, bucket: str) -> None:
    s3 = cloud.client("s3")
    for key in ("sync/a", "sync/a", "sync/b/c", "synced", "other/sync/a"):
        s3.put_object(Bucket="jobs", Key=key, Body=b"x")
    s3.delete_object(Bucket="jobs", Key="sync/a")
    purge = {"bucket": "jobs", "key": "sync/", "state": "purged"}
    assert module("job_object", purge, check=True)["actions"] == ["delete 4 versions below sync/"]
    assert module("job_object", purge)["actions"] == ["delete 4 versions below sync/"]
    assert versions(cloud) == ["other/sync/a", "synced"]
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket="jobs")
    assert not module("job_object", purge).changed
    assert not module("job_object", {**purge, "bucket": "gone"}).changed
    assert "a key that ends in /, not sync" in module("job_object", {**purge, "key": "sync"}).msg


@pytest.mark.parametrize("missing", ["s3:ListBucketVersions", "s3:DeleteObject"])
def test_what_may_not_be_purged_is_told(cloud: Cloud, module: Run, bucket: str, missing: str) -> None:
    cloud.client("s3").put_object(Bucket="jobs", Key="sync/a", Body=b"x")
    actions = ("s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion")
    allowed = [one for one in actions if not one.startswith(missing)]
    role = cloud.role("operator", [{"Effect": "Allow", "Action": allowed, "Resource": "*"}])
    result = module("job_object", {"bucket": "jobs", "key": "sync/", "state": "purged"}, credentials=role)
    assert result.failed
    assert missing in result.msg
    assert versions(cloud) == ["sync/a"]


def test_the_archive_is_enough_to_run_from(cloud: Cloud, module: Run, bucket: str, tmp_path: Path) -> None:
    module("job_object", arguments())
    raw = cloud.client("s3").get_object(Bucket="jobs", Key=KEY)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        archive.extractall(tmp_path)
    task = {"stevedore.ecr.ecr_lifecycle": {"repositories": ["*"], "state": "absent"}}
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}])
    )
    environment = {**os.environ, **cloud.environment(), "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    ran = subprocess.run(
        [BIN / "ansible-playbook", "-vv", "play.yml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "failed=0" in ran.stdout, ran.stdout + ran.stderr
    assert len(raw) < 1_500_000, "small enough to be fetched by every run"
    assert "__pycache__" not in str(list(tmp_path.rglob("*")))


def test_a_host_without_the_collections_is_told_so(module: Run, bucket: str, tmp_path: Path) -> None:
    result = module("job_object", arguments(collections={**INSTALLED, "amazon.aws": str(tmp_path)}))
    assert result.failed
    assert "There is no collection amazon.aws of use to a job" in result.msg
