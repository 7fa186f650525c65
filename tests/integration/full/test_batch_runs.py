"""Batch jobs that really run: arrays whose children each get their index, retries, and roles."""

from __future__ import annotations

import sys

import pytest
from ecr_api import allow
from fargate_api import Jobs, push_host_image

from loopback.client import FullCloud


@pytest.fixture
def jobs(full: FullCloud) -> Jobs:
    full.knobs(host_image__venv=sys.prefix)
    return Jobs(full, push_host_image(full))


def command(text: str) -> dict[str, list[str]]:
    return {"command": ["/bin/sh", "-c", text]}


def test_each_child_of_an_array_does_its_own(jobs: Jobs) -> None:
    jobs.make(allow("ecr:*"))
    text = "echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JQ_NAME; [ $AWS_BATCH_JOB_ARRAY_INDEX != 2 ]"
    array = jobs.run(arrayProperties={"size": 4}, containerOverrides=command(text))
    children = jobs.children(array["jobId"])
    assert [jobs.log(child) for child in children] == [[f"{index} of ours"] for index in range(4)]
    assert [child["status"] for child in children] == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert array["status"] == "FAILED"


def test_a_failed_attempt_is_made_again(jobs: Jobs) -> None:
    jobs.make(allow("ecr:*"))
    text = "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ]"
    job = jobs.run(retryStrategy={"attempts": 3}, containerOverrides=command(text))
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 2)
    assert jobs.log(job) == ["attempt 2"]
    assert job["attempts"][0]["container"]["exitCode"] == 1


def test_a_job_acts_in_its_role(jobs: Jobs) -> None:
    jobs.make(allow("ecr:DescribeRepositories"))
    ask = "aws sts get-caller-identity --query Arn --output text"
    text = f"{ask}; aws ecr delete-repository --repository-name tools/runner"
    job = jobs.run(containerOverrides=command(text))
    said = jobs.log(job)
    assert f":assumed-role/task/{job['container']['taskArn'].rpartition('/')[2]}" in said[0]
    assert "not authorized to perform: ecr:DeleteRepository" in "\n".join(said)
    assert job["status"] == "FAILED"


def test_an_image_that_may_not_be_pulled_fails_the_job(jobs: Jobs) -> None:
    jobs.make(allow("ecr:*"))
    iam = jobs.cloud.client("iam")
    iam.delete_role_policy(RoleName="execution", PolicyName="test")
    job = jobs.run()
    assert job["status"] == "FAILED"
    assert "logs:CreateLogStream" in job["container"]["reason"]
