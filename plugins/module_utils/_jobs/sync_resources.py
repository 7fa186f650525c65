# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role pull_sync makes of AWS resources, in the words of the AWS API. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import notices
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.marks import mark
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document, policy
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import ARCHITECTURES, Sync

CONTAINER = "runner"
PLAYBOOK = "stevedore.ecr.mirror_job"
# All that a run writes, the root of the file system being read-only.
SCRATCH = "/work"
_METRICS = f"{SCRATCH}/metrics.json"
_NO_ROOT = "65534"
# What a run has to sum up what it has done, once its time is over.
_SECONDS_TO_END = 60


def compute(sync: Sync, image: str, subnets: Sequence[str], security_groups: Sequence[str]) -> list[Document]:
    """Where the image runs, in the order in which it has to be made."""
    if sync.on_batch:
        return [
            _resource(sync, "batch_compute_environment", _environment(sync, subnets, security_groups)),
            _resource(sync, "batch_job_queue", _queue(sync)),
            _resource(sync, "batch_job_definition", _job_definition(sync, image)),
        ]
    return [
        _resource(sync, "ecs_cluster", {}),
        _resource(sync, "ecs_task_definition", _task_definition(sync, image)),
    ]


def of_no_use(sync: Sync) -> list[Document]:
    """What the other engine would have made, the last first."""
    return [_absent(sync, kind) for kind in (_OF_FARGATE if sync.on_batch else _OF_BATCH)]


_OF_FARGATE = ("ecs_task_definition", "ecs_cluster")
_OF_BATCH = ("batch_job_definition", "batch_job_queue", "batch_compute_environment")


def leftovers(sync: Sync) -> list[Document]:
    """All that may have been made, the last first."""
    schedule_of_ours = {"kind": "schedule", "name": sync.namespace, "state": "absent"}
    return [
        schedule_of_ours,
        *notices.no_topic(sync.own_topic_arn, sync.notify),
        *(_absent(sync, kind) for kind in (*_OF_FARGATE, *_OF_BATCH)),
    ]


def _absent(sync: Sync, kind: str) -> Document:
    """Only what is ours."""
    return {"kind": kind, "name": sync.namespace, "state": "absent", "tags": mark(sync.namespace)}


def _resource(sync: Sync, kind: str, definition: Document) -> Document:
    tags = {**sync.tags, **mark(sync.namespace)}
    return {"kind": kind, "name": sync.namespace, "definition": definition, "tags": tags}


# ------------------------------------------------------------------ Fargate


def _task_definition(sync: Sync, image: str) -> Document:
    container = {
        **_container(sync, image),
        "name": CONTAINER,
        "essential": True,
    }
    storage = {"sizeInGiB": sync.task_ephemeral_storage} if sync.task_ephemeral_storage else None
    return {
        "containerDefinitions": [container],
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(sync.task_cpu),
        "memory": str(sync.task_memory),
        "executionRoleArn": sync.role_arn("execution"),
        "taskRoleArn": sync.role_arn("task"),
        "runtimePlatform": _platform(sync),
        "ephemeralStorage": storage,
        "volumes": [{"name": "scratch"}],
    }


def _container(sync: Sync, image: str) -> Document:
    options = {"awslogs-group": sync.log_group, "awslogs-region": sync.region, "awslogs-stream-prefix": "sync"}
    return {
        "image": image,
        "command": command(sync.timeout * 60),
        # AWS Batch drops those without a value.
        "environment": [{"name": name, "value": value} for name, value in _variables(sync).items() if value],
        "user": _NO_ROOT,
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": "scratch", "containerPath": SCRATCH, "readOnly": False}],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }


def command(seconds: int) -> list[str]:
    """Amazon ECS ends no task by itself. CloudWatch makes metrics of the last line, if it stands there as it is."""
    run = f"timeout -k {_SECONDS_TO_END} {seconds} ansible-playbook {PLAYBOOK}"
    steps = f"{run}; code=$?; if [ -f {_METRICS} ]; then cat {_METRICS}; fi; exit $code"
    return ["/bin/sh", "-c", steps]


def _variables(sync: Sync) -> dict[str, str]:
    """Where a run finds its job, and what it leaves behind. See the playbook mirror_job."""
    return {
        "MIRROR_JOB_BUCKET": sync.bucket,
        "MIRROR_JOB_KEY": sync.key,
        "MIRROR_JOB_LOCKS": sync.locks,
        "MIRROR_JOB_RESULTS": sync.results,
        # A lock is not renewed, so it has to last longer than whoever holds it.
        "MIRROR_JOB_SECONDS": str(sync.timeout * 60 + _SECONDS_TO_END),
        "MIRROR_JOB_KMS_KEY": sync.s3_bucket_kms_key_arn,
        "MIRROR_JOB_NAME": sync.namespace,
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        # Ansible would look for a home where the user's is, which is none.
        "ANSIBLE_HOME": f"{SCRATCH}/ansible",
        "ANSIBLE_LOCAL_TEMP": f"{SCRATCH}/ansible/tmp",
        "ANSIBLE_REMOTE_TMP": f"{SCRATCH}/ansible/tmp",
        "ANSIBLE_CALLBACKS_ENABLED": "stevedore.ecr.progress",
    }


def _platform(sync: Sync) -> Document:
    return {"cpuArchitecture": ARCHITECTURES[sync.architecture], "operatingSystemFamily": "LINUX"}


def _public_ip(sync: Sync) -> str:
    return "ENABLED" if sync.assign_public_ip else "DISABLED"


# ------------------------------------------------------------------ Batch


def _environment(sync: Sync, subnets: Sequence[str], security_groups: Sequence[str]) -> Document:
    resources = {
        "type": "FARGATE",
        "maxvCpus": max(1, -(-sync.shard_count * sync.task_cpu // 1024)),
        "subnets": list(subnets),
        "securityGroupIds": list(security_groups),
    }
    return {"type": "MANAGED", "state": "ENABLED", "computeResources": resources}


def _queue(sync: Sync) -> Document:
    environment = sync.arn("batch", f"compute-environment/{sync.namespace}")
    order = [{"order": 1, "computeEnvironment": environment}]
    return {"state": "ENABLED", "priority": 1, "computeEnvironmentOrder": order}


def _job_definition(sync: Sync, image: str) -> Document:
    requirements = [
        {"type": "VCPU", "value": f"{sync.task_cpu / 1024:g}"},
        {"type": "MEMORY", "value": str(sync.task_memory)},
    ]
    storage = {"sizeInGiB": sync.task_ephemeral_storage} if sync.task_ephemeral_storage else None
    container = {
        **_container(sync, image),
        "volumes": [{"name": "scratch"}],
        "executionRoleArn": sync.role_arn("execution"),
        "jobRoleArn": sync.role_arn("task"),
        "resourceRequirements": requirements,
        "networkConfiguration": {"assignPublicIp": _public_ip(sync)},
        "fargatePlatformConfiguration": {"platformVersion": "LATEST"},
        "runtimePlatform": _platform(sync),
        "ephemeralStorage": storage,
    }
    return {
        "type": "container",
        "platformCapabilities": ["FARGATE"],
        "containerProperties": container,
        "retryStrategy": {"attempts": sync.attempts},
        "timeout": {"attemptDurationSeconds": max(60, sync.timeout * 60)},
    }


# ------------------------------------------------------------------ starts


def run(sync: Sync, subnets: Sequence[str], security_groups: Sequence[str]) -> Document:
    """For the module job_run."""
    if sync.on_batch:
        return {"kind": "batch_job", "name": sync.namespace, "overrides": _submission(sync)}
    network = {
        "subnets": list(subnets),
        "securityGroups": list(security_groups),
        "assignPublicIp": _public_ip(sync),
    }
    overrides = {
        "cluster": sync.namespace,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
    }
    return {"kind": "ecs_task", "name": sync.namespace, "overrides": overrides}


def _submission(sync: Sync) -> Document:
    array = {"arrayProperties": {"size": sync.shard_count}} if sync.shard_count > 1 else {}
    return {"jobQueue": sync.namespace, "jobDefinition": sync.namespace, **array}


def schedule(sync: Sync, subnets: Sequence[str], security_groups: Sequence[str]) -> Document:
    queue = sync.dead_letter_queue_arn
    target = {
        **(_batch_target(sync) if sync.on_batch else _ecs_target(sync, subnets, security_groups)),
        "RoleArn": sync.role_arn("schedule"),
        # By default Scheduler would go on for a day, 185 times.
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
        "DeadLetterConfig": {"Arn": queue} if queue else None,
    }
    definition = {
        "Description": f"Starts {sync.namespace}. Managed by stevedore.ecr.",
        "ScheduleExpression": sync.schedule,
        "ScheduleExpressionTimezone": sync.schedule_timezone,
        "State": sync.schedule_state,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
    }
    return {"kind": "schedule", "name": sync.namespace, "definition": definition}


def _ecs_target(sync: Sync, subnets: Sequence[str], security_groups: Sequence[str]) -> Document:
    network = {
        "Subnets": list(subnets),
        "SecurityGroups": list(security_groups),
        "AssignPublicIp": _public_ip(sync),
    }
    # Without a revision, so that the newest one runs.
    parameters = {
        "TaskDefinitionArn": sync.arn("ecs", f"task-definition/{sync.namespace}"),
        "TaskCount": 1,
        "LaunchType": "FARGATE",
        "NetworkConfiguration": {"awsvpcConfiguration": network},
    }
    return {"Arn": sync.arn("ecs", f"cluster/{sync.namespace}"), "EcsParameters": parameters, "Input": None}


def _batch_target(sync: Sync) -> Document:
    given: Document = {"JobName": sync.namespace, "JobQueue": sync.namespace, "JobDefinition": sync.namespace}
    if sync.shard_count > 1:
        given["ArrayProperties"] = {"Size": sync.shard_count}
    return {
        "Arn": f"arn:{sync.partition}:scheduler:::aws-sdk:batch:submitJob",
        "Input": json.dumps(given),
        "EcsParameters": None,
    }


# ------------------------------------------------------------------ the bucket, and who is told


def bucket_policy(sync: Sync) -> Document:
    encrypted_only = {
        "Sid": "EncryptedOnTheWay",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [sync.bucket_arn, f"{sync.bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return policy([encrypted_only])


def bucket_settings(sync: Sync) -> list[Document]:
    """What amazon.aws has no module for."""
    rule = {
        "ID": "stevedore",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": sync.s3_bucket_noncurrent_version_expiration_days},
        "AbortIncompleteMultipartUpload": {
            "DaysAfterInitiation": sync.s3_bucket_abort_incomplete_multipart_upload_days
        },
    }
    expiry = {"kind": "s3_lifecycle", "name": sync.bucket, "definition": {"LifecycleConfiguration": {"Rules": [rule]}}}
    target, prefix = sync.s3_bucket_access_logging_target_bucket, sync.s3_bucket_access_logging_target_prefix
    if not target:
        return [expiry, {"kind": "s3_access_log", "name": sync.bucket, "state": "absent"}]
    enabled = {"TargetBucket": target, "TargetPrefix": prefix}
    definition = {"BucketLoggingStatus": {"LoggingEnabled": enabled}}
    return [expiry, {"kind": "s3_access_log", "name": sync.bucket, "definition": definition}]


def failures(sync: Sync) -> Document:
    """The pattern of what EventBridge tells of runs that failed."""
    if sync.on_batch:
        job = {"status": ["FAILED"], "jobQueue": [sync.arn("batch", f"job-queue/{sync.namespace}")]}
        # The whole array, and not each of its children.
        parent = {"arrayProperties": {"index": [{"exists": False}]}}
        return {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"], "detail": {**job, **parent}}
    bad = [{"anything-but": 0}]
    detail: Document = {
        "clusterArn": [sync.arn("ecs", f"cluster/{sync.namespace}")],
        "lastStatus": ["STOPPED"],
        "$or": [{"containers": {"exitCode": bad}}, {"stopCode": ["TaskFailedToStart"]}],
    }
    return {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": detail}


def topic(sync: Sync) -> list[Document]:
    publishers = {
        "events.amazonaws.com": sync.arn("events", f"rule/{sync.rule}"),
        "cloudwatch.amazonaws.com": sync.arn("cloudwatch", f"alarm:{sync.alarm}"),
    }
    return notices.topic(sync.own_topic_arn, sync.notify, publishers, sync.tags)
