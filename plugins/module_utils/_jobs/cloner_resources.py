# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role codebuild_cloner makes of AWS resources, in the words of the AWS API. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import notices
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_images import (
    METRICS_FILE,
    TOKEN_VARIABLE,
    USER_VARIABLE,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_variables import MAX_SHARDS, Cloner
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document

CURATED = {
    "x86_64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
}
PYTHON = "3.12"
_FAILURES = ["FAILED", "FAULT", "TIMED_OUT"]


def project(cloner: Cloner, engine: bool) -> Document:
    kind, curated = CURATED[cloner.architecture]
    environment = {
        "type": kind,
        "image": cloner.image or curated,
        "computeType": cloner.compute_type,
        "privilegedMode": engine,
        "imagePullCredentialsType": "SERVICE_ROLE" if cloner.own_image else "CODEBUILD",
        "environmentVariables": _variables(cloner),
    }
    vpc = cloner.vpc and {
        "vpcId": cloner.vpc["id"],
        "subnets": cloner.vpc["subnets"],
        "securityGroupIds": cloner.vpc["security_groups"],
    }
    batch = {
        "serviceRole": cloner.role_arn("batch"),
        "restrictions": {"maximumBuildsAllowed": MAX_SHARDS},
        # Of itself CodeBuild would stop the batch of builds that may take longer.
        "timeoutInMins": cloner.timeout,
    }
    definition = {
        "description": f"Clones images into {cloner.registry}/{cloner.namespace}. Managed by stevedore.ecr.",
        "source": {
            "type": "S3",
            "location": f"{cloner.bucket_name}/{cloner.key}",
            "buildspec": buildspec(cloner.fan_out, own_image=cloner.own_image),
        },
        "artifacts": {"type": "NO_ARTIFACTS"},
        "cache": {"type": "NO_CACHE"},
        "environment": environment,
        "serviceRole": cloner.role_arn("build"),
        "timeoutInMinutes": cloner.timeout,
        # The builds of a batch run side by side, each with other repositories.
        "concurrentBuildLimit": None if cloner.sharded else 1,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": cloner.log_group}},
        "vpcConfig": vpc or None,
        "buildBatchConfig": batch if cloner.sharded else None,
    }
    return {"kind": "codebuild_project", "name": cloner.project, "definition": definition, "tags": cloner.tags}


def _variables(cloner: Cloner) -> list[Document]:
    if cloner.docker_hub_secret_arn:
        arn = cloner.docker_hub_secret_arn
        return [
            {"name": USER_VARIABLE, "value": f"{arn}:username", "type": "SECRETS_MANAGER"},
            {"name": TOKEN_VARIABLE, "value": f"{arn}:accessToken", "type": "SECRETS_MANAGER"},
        ]
    if cloner.docker_hub_username:
        return [
            {"name": USER_VARIABLE, "value": cloner.docker_hub_username, "type": "PLAINTEXT"},
            {"name": TOKEN_VARIABLE, "value": cloner.parameter, "type": "PARAMETER_STORE"},
        ]
    return []


def buildspec(shards: int, *, own_image: bool) -> str:
    """Short, whatever the number of images: those are in the source."""
    install = (
        []
        if own_image
        else [
            "  install:",
            "    runtime-versions:",
            f'      python: "{PYTHON}"',
            "    commands:",
            "      - python3 -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt",
        ]
    )
    batch: list[str] = []
    if shards > 1:
        batch = ["batch:", "  fast-fail: false", "  build-list:"]
        for number in range(shards):
            batch += [
                f"    - identifier: shard_{number}",
                "      env:",
                "        variables:",
                f'          SHARD: "-{number}"',
            ]
    lines = [
        "version: 0.2",
        "env:",
        "  shell: bash",
        "  variables:",
        '    SHARD: ""',
        "    ANSIBLE_CALLBACKS_ENABLED: stevedore.ecr.progress",
        '    ANSIBLE_INVENTORY_UNPARSED_WARNING: "false"',
        '    ANSIBLE_LOCALHOST_WARNING: "false"',
        *batch,
        "phases:",
        *install,
        "  build:",
        "    commands:",
        '      - export ANSIBLE_COLLECTIONS_PATH="$CODEBUILD_SRC_DIR"',
        "      - ansible-playbook stevedore.ecr.mirror -e @job$SHARD.json",
        "    finally:",
        "      # As it is, for CloudWatch makes metrics of it.",
        f"      - if [ -f {METRICS_FILE} ]; then cat {METRICS_FILE}; fi",
    ]
    return "\n".join(lines) + "\n"


def schedule(cloner: Cloner) -> Document:
    how = "startBuildBatch" if cloner.sharded else "startBuild"
    queue = cloner.dead_letter_queue_arn
    definition = {
        "Description": f"Starts {cloner.project}. Managed by stevedore.ecr.",
        "ScheduleExpression": cloner.schedule,
        "ScheduleExpressionTimezone": cloner.schedule_timezone,
        "State": cloner.schedule_state,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": f"arn:{cloner.partition}:scheduler:::aws-sdk:codebuild:{how}",
            "RoleArn": cloner.role_arn("schedule"),
            "Input": json.dumps({"ProjectName": cloner.project}),
            # By default Scheduler would go on for a day, 185 times.
            "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
            "DeadLetterConfig": {"Arn": queue} if queue else None,
        },
    }
    return {"kind": "schedule", "name": cloner.project, "definition": definition}


def token(cloner: Cloner) -> Document:
    """The parameter that holds it, which is gone where there is none. Without the token."""
    if not cloner.has_token:
        return {"kind": "ssm_parameter", "name": cloner.parameter, "state": "absent"}
    definition = {"Type": "SecureString", **({"KeyId": cloner.kms_key_arn} if cloner.kms_key_arn else {})}
    return {"kind": "ssm_parameter", "name": cloner.parameter, "definition": definition, "tags": cloner.tags}


def failures(cloner: Cloner) -> Document:
    """The pattern of what EventBridge tells of builds that failed."""
    detail = {"build-status": _FAILURES, "project-name": [cloner.project]}
    return {"source": ["aws.codebuild"], "detail-type": ["CodeBuild Build State Change"], "detail": detail}


def topic(cloner: Cloner) -> list[Document]:
    publishers = {
        "events.amazonaws.com": cloner.arn("events", f"rule/{cloner.rule}"),
        "cloudwatch.amazonaws.com": cloner.arn("cloudwatch", f"alarm:{cloner.alarm}"),
    }
    return notices.topic(cloner.own_topic_arn, cloner.notify, publishers, cloner.tags)
