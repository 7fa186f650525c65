"""ECS and Batch in tests: roles, a network, and an image in ECR that has a shell and Python."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from builds import service_role, until
from ecr_api import allow

from loopback.client import Cloud, FullCloud

TASKS = "ecs-tasks.amazonaws.com"
PULLING = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
LOGGING = ("logs:CreateLogStream", "logs:PutLogEvents")
GROUP = "/ours/tasks"


def push_host_image(cloud: FullCloud, repository: str = "tools/runner", tag: str = "1") -> str:
    """Put a host image into ECR; its address. See loopback.host_image."""
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName=repository)
    host = cloud.registry.removeprefix("https://")
    image = f"{host}/{repository}:{tag}"
    cloud.make_host_image(image)
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    for done in (
        cloud.docker("login", "--username", "AWS", "--password-stdin", host, stdin=password),
        cloud.docker("push", image),
        cloud.docker("rmi", image),
    ):
        assert done.returncode == 0, done.stderr
    return image


@dataclass
class Tasks:
    """One cluster, one task definition of one container, and its roles."""

    cloud: Cloud
    image: str = "busybox:1"

    def make(self, *task_statements: dict[str, Any], **definition: Any) -> Tasks:
        self.cloud.client("logs").create_log_group(logGroupName=GROUP)
        self.execution_role()
        task_role = service_role(self.cloud, "task", TASKS, task_statements)
        options = {"awslogs-group": GROUP, "awslogs-region": self.cloud.region, "awslogs-stream-prefix": "sync"}
        container = {
            "name": "runner",
            "image": self.image,
            "logConfiguration": {"logDriver": "awslogs", "options": options},
            **definition.pop("container", {}),
        }
        self.ecs.create_cluster(clusterName="ours")
        self.ecs.register_task_definition(**{**self.definition(container), "taskRoleArn": task_role, **definition})
        return self

    def definition(self, container: dict[str, Any]) -> dict[str, Any]:
        return {
            "family": "sync",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": f"arn:aws:iam::{self.cloud.account}:role/execution",
            "containerDefinitions": [container],
        }

    def execution_role(self, *without: str, also: tuple[dict[str, Any], ...] = ()) -> str:
        actions = [action for action in (*PULLING, *LOGGING) if action not in without]
        return service_role(self.cloud, "execution", TASKS, [allow(*actions), *also])

    @property
    def ecs(self) -> Any:
        return self.cloud.client("ecs")

    def network(self) -> dict[str, Any]:
        ec2 = self.cloud.client("ec2")
        (subnet, *_others) = ec2.describe_subnets()["Subnets"]
        return {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]]}}

    def start(self, **request: Any) -> str:
        given = {"cluster": "ours", "taskDefinition": "sync", "launchType": "FARGATE", **request}
        given.setdefault("networkConfiguration", self.network())
        return str(self.ecs.run_task(**given)["tasks"][0]["taskArn"])

    def describe(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ecs.describe_tasks(cluster="ours", tasks=[arn])["tasks"][0]
        return found

    def follow(self, arn: str) -> dict[str, Any]:
        ended: dict[str, Any] = until(lambda: one if (one := self.describe(arn))["lastStatus"] == "STOPPED" else None)
        return ended

    def run(self, **request: Any) -> dict[str, Any]:
        return self.follow(self.start(**request))

    def log(self, task: dict[str, Any]) -> list[str]:
        return log(self.cloud, GROUP, f"sync/runner/{task['taskArn'].rpartition('/')[2]}")


@dataclass
class Jobs:
    """One compute environment, queue and job definition of Batch on Fargate."""

    cloud: Cloud
    image: str = "busybox:1"

    def make(self, *task_statements: dict[str, Any], vcpus: int = 8, **definition: Any) -> Jobs:
        tasks = Tasks(self.cloud)
        (subnet,) = tasks.network()["awsvpcConfiguration"]["subnets"]
        resources = {"type": "FARGATE", "maxvCpus": vcpus, "subnets": [subnet], "securityGroupIds": ["sg-1"]}
        batch = self.batch
        batch.create_compute_environment(computeEnvironmentName="ours", type="MANAGED", computeResources=resources)
        order = [{"order": 1, "computeEnvironment": "ours"}]
        batch.create_job_queue(jobQueueName="ours", priority=1, computeEnvironmentOrder=order)
        container = {
            "image": self.image,
            "command": ["true"],
            "executionRoleArn": tasks.execution_role(),
            "jobRoleArn": service_role(self.cloud, "task", TASKS, task_statements),
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
            **definition.pop("container", {}),
        }
        given = {"jobDefinitionName": "sync", "type": "container", "platformCapabilities": ["FARGATE"], **definition}
        batch.register_job_definition(**given, containerProperties=container)
        return self

    @property
    def batch(self) -> Any:
        return self.cloud.client("batch")

    def start(self, **request: Any) -> str:
        given = {"jobName": "sync", "jobQueue": "ours", "jobDefinition": "sync", **request}
        return str(self.batch.submit_job(**given)["jobId"])

    def describe(self, identity: str) -> dict[str, Any]:
        found: dict[str, Any] = self.batch.describe_jobs(jobs=[identity])["jobs"][0]
        return found

    def follow(self, identity: str) -> dict[str, Any]:
        done = ("SUCCEEDED", "FAILED")
        ended: dict[str, Any] = until(lambda: one if (one := self.describe(identity))["status"] in done else None)
        return ended

    def run(self, **request: Any) -> dict[str, Any]:
        return self.follow(self.start(**request))

    def children(self, identity: str) -> list[dict[str, Any]]:
        size = self.describe(identity)["arrayProperties"]["size"]
        return [self.describe(f"{identity}:{index}") for index in range(size)]

    def log(self, job: dict[str, Any]) -> list[str]:
        return log(self.cloud, "/aws/batch/job", job["container"]["logStreamName"])


def log(cloud: Cloud, group: str, stream: str) -> list[str]:
    logs = cloud.client("logs")
    try:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def command(text: str) -> dict[str, Any]:
    """The overrides that have the container run this."""
    return {"containerOverrides": [{"name": "runner", "command": ["/bin/sh", "-c", text]}]}
