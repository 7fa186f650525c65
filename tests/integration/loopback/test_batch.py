"""AWS Batch's control plane, and jobs whose end a knob decides: no container runs in light mode."""

from __future__ import annotations

from typing import Any

import pytest
from builds import service_role, until
from ecr_api import allow, refused
from fargate_api import Jobs

from loopback.client import Cloud


@pytest.fixture
def jobs(cloud: Cloud) -> Jobs:
    cloud.knobs(tasks__light=0)
    return Jobs(cloud).make(allow("ecr:*"))


def test_resources_come_and_go(jobs: Jobs) -> None:
    batch = jobs.batch
    (environment,) = batch.describe_compute_environments(computeEnvironments=["ours"])["computeEnvironments"]
    (queue,) = batch.describe_job_queues(jobQueues=["ours"])["jobQueues"]
    assert (environment["status"], queue["status"]) == ("VALID", "VALID")
    with refused("ClientException", "DISABLED"):
        batch.delete_job_queue(jobQueue="ours")
    with refused("ClientException", "DISABLED"):
        batch.delete_compute_environment(computeEnvironment="ours")
    batch.update_compute_environment(computeEnvironment="ours", state="DISABLED")
    with refused("ClientException", "relationship"):
        batch.delete_compute_environment(computeEnvironment="ours")
    batch.update_job_queue(jobQueue="ours", state="DISABLED")
    with refused("ClientException", "not ENABLED"):
        jobs.start()
    batch.delete_job_queue(jobQueue="ours")
    batch.delete_compute_environment(computeEnvironment="ours")
    assert batch.describe_job_queues()["jobQueues"] == []
    assert batch.describe_compute_environments()["computeEnvironments"] == []


def test_definitions_have_revisions_and_tags(jobs: Jobs) -> None:
    batch = jobs.batch
    (first,) = batch.describe_job_definitions(jobDefinitionName="sync")["jobDefinitions"]
    given = {name: first[name] for name in ("jobDefinitionName", "type", "platformCapabilities", "containerProperties")}
    second = batch.register_job_definition(**given, tags={"a": "1"})
    assert second["revision"] == 2
    arn = second["jobDefinitionArn"]
    batch.tag_resource(resourceArn=arn, tags={"b": "2"})
    batch.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    batch.deregister_job_definition(jobDefinition=arn)
    active = batch.describe_job_definitions(jobDefinitionName="sync", status="ACTIVE")["jobDefinitions"]
    assert [one["revision"] for one in active] == [1]
    with refused("ClientException", "not found or inactive"):
        jobs.start(jobDefinition="sync:2")


def test_variables_without_a_value_are_dropped(jobs: Jobs) -> None:
    (first,) = jobs.batch.describe_job_definitions(jobDefinitionName="sync")["jobDefinitions"]
    given = {name: first[name] for name in ("jobDefinitionName", "type", "platformCapabilities")}
    variables = [{"name": "A", "value": ""}, {"name": "B", "value": "b"}]
    second = jobs.batch.register_job_definition(
        **given, containerProperties={**first["containerProperties"], "environment": variables}
    )
    (shown,) = jobs.batch.describe_job_definitions(jobDefinitions=[second["jobDefinitionArn"]])["jobDefinitions"]
    assert shown["containerProperties"]["environment"] == variables[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "9999"}]},
        {"executionRoleArn": ""},
        {"jobRoleArn": "arn:aws:iam::123456789012:role/absent"},
        {"privileged": True},
    ],
    ids=["size", "execution role", "job role", "privileged"],
)
def test_what_fargate_refuses(jobs: Jobs, change: dict[str, Any]) -> None:
    (first,) = jobs.batch.describe_job_definitions(jobDefinitionName="sync")["jobDefinitions"]
    given = {name: first[name] for name in ("jobDefinitionName", "type", "platformCapabilities")}
    with refused("ClientException"):
        jobs.batch.register_job_definition(**given, containerProperties={**first["containerProperties"], **change})


def test_a_job_ends_as_the_knob_says(cloud: Cloud, jobs: Jobs) -> None:
    job = jobs.run()
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    cloud.knobs(tasks__light=3)
    job = jobs.run(retryStrategy={"attempts": 3})
    assert (job["status"], job["container"]["exitCode"], len(job["attempts"])) == ("FAILED", 3, 3)
    assert len(jobs.batch.list_jobs(jobQueue="ours", jobStatus="FAILED")["jobSummaryList"]) == 1
    assert jobs.batch.list_jobs(jobQueue="ours")["jobSummaryList"] == []


def test_evaluate_on_exit_decides_about_another_attempt(cloud: Cloud, jobs: Jobs) -> None:
    cloud.knobs(tasks__light=3)
    rules = [{"onExitCode": "3", "action": "EXIT"}, {"onReason": "*", "action": "RETRY"}]
    assert len(jobs.run(retryStrategy={"attempts": 3, "evaluateOnExit": rules})["attempts"]) == 1


def test_an_array_is_its_children(cloud: Cloud, jobs: Jobs) -> None:
    array = jobs.run(arrayProperties={"size": 50})
    assert array["status"] == "SUCCEEDED"
    assert array["arrayProperties"]["size"] == 50
    assert array["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 50
    children = jobs.batch.list_jobs(arrayJobId=array["jobId"], jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [child["arrayProperties"]["index"] for child in children] == list(range(50))
    assert children[7]["jobId"] == f"{array['jobId']}:7"


def test_an_array_fails_with_a_child(cloud: Cloud, jobs: Jobs) -> None:
    cloud.knobs(tasks__light=1)
    array = jobs.run(arrayProperties={"size": 2})
    assert array["status"] == "FAILED"
    assert array["arrayProperties"]["statusSummary"]["FAILED"] == 2


@pytest.mark.parametrize("size", [1, 10_001])
def test_arrays_have_two_to_ten_thousand_children(jobs: Jobs, size: int) -> None:
    with refused("ClientException"):
        jobs.start(arrayProperties={"size": size})


def test_jobs_wait_for_vcpus(cloud: Cloud) -> None:
    cloud.knobs(tasks__light="RUNNING")
    jobs = Jobs(cloud).make(allow("ecr:*"), vcpus=1)
    array = jobs.start(arrayProperties={"size": 6})

    def counts() -> tuple[int, int]:
        summary = jobs.describe(array)["arrayProperties"]["statusSummary"]
        return summary["RUNNING"], summary["RUNNABLE"]

    until(lambda: counts() == (4, 2))
    cloud.knobs(tasks__light=0)
    assert jobs.follow(array)["status"] == "SUCCEEDED"


def test_an_attempt_runs_out_of_time_on_the_clouds_clock(cloud: Cloud, jobs: Jobs) -> None:
    cloud.knobs(tasks__light="RUNNING")
    identity = jobs.start(timeout={"attemptDurationSeconds": 600})
    until(lambda: jobs.describe(identity)["status"] == "RUNNING")
    cloud.advance(601)
    job = jobs.follow(identity)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    with refused("ClientException"):
        jobs.start(timeout={"attemptDurationSeconds": 59})


def test_jobs_are_terminated(cloud: Cloud, jobs: Jobs) -> None:
    cloud.knobs(tasks__light="RUNNING")
    for request in ({}, {"arrayProperties": {"size": 3}}):
        identity = jobs.start(**request)
        waiting = f"{identity}:2" if request else identity
        until(lambda name=waiting: jobs.describe(name)["status"] == "RUNNING")  # type: ignore[misc]
        jobs.batch.terminate_job(jobId=identity, reason="enough")
        job = jobs.follow(identity)
        assert job["status"] == "FAILED"
        ended = jobs.describe(waiting)
        assert (ended["statusReason"], ended["isTerminated"]) == ("enough", True)


def test_submitting_is_judged_by_definition_and_queue(cloud: Cloud, jobs: Jobs) -> None:
    on = [f"arn:aws:batch:{cloud.region}:{cloud.account}:{name}" for name in ("job-definition/sync*", "job-queue/ours")]
    for missing in on:
        left = next(one for one in on if one != missing)
        somebody = cloud.client("batch", credentials=cloud.role("somebody", [allow("batch:SubmitJob", on=left)]))
        with refused("AccessDeniedException", "batch:SubmitJob"):
            somebody.submit_job(jobName="sync", jobQueue="ours", jobDefinition="sync")
    both = [{**allow("batch:SubmitJob"), "Resource": on}]
    somebody = cloud.client("batch", credentials=cloud.role("somebody", both))
    assert somebody.submit_job(jobName="sync", jobQueue="ours", jobDefinition="sync")["jobId"]


def test_a_schedule_submits_an_array(cloud: Cloud, jobs: Jobs) -> None:
    role = service_role(cloud, "schedule", "scheduler.amazonaws.com", [allow("batch:SubmitJob")])
    given = '{"JobName": "sync", "JobQueue": "ours", "JobDefinition": "sync", "ArrayProperties": {"Size": 4}}'
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob", "RoleArn": role, "Input": given}
    cloud.client("scheduler").create_schedule(
        Name="sync", ScheduleExpression="cron(0 9 * * ? *)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    identity = cloud.fire(schedule="sync")["answer"]["jobId"]
    assert jobs.follow(identity)["arrayProperties"]["size"] == 4
