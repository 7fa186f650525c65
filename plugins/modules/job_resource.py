#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_resource
version_added: 0.1.0
short_description: Manage the AWS resources that scheduled jobs are made of
description:
  - Makes CodeBuild projects, EventBridge Scheduler schedules and what belongs to them be as they are defined.
  - It is what the roles of this collection use for the kinds of resources that amazon.aws has no module
    for.
  - A definition is written in the words of the AWS API, and checked against the API's model before AWS is asked.
    Only what it mentions is compared and changed.
  - One task handles all resources, in their order. One that fails does not stop the others. The task fails at its end,
    and says which ones failed and why.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  resources:
    description:
      - The resources.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description:
          - What it is. The definition is the input of the operation that creates it.
          - That is C(CreateComputeEnvironment), C(RegisterJobDefinition) and C(CreateJobQueue) of AWS Batch for those
            that begin with C(batch_); C(CreateProject) of AWS CodeBuild; C(CreateCluster) and C(RegisterTaskDefinition)
            of Amazon ECS; C(PutBucketLogging) and C(PutBucketLifecycleConfiguration) of Amazon S3, for buckets;
            C(CreateSchedule) of EventBridge Scheduler; C(Subscribe) and C(CreateTopic) of Amazon SNS;
            C(PutParameter) of AWS Systems Manager.
        type: str
        required: true
        choices:
          - batch_compute_environment
          - batch_job_definition
          - batch_job_queue
          - codebuild_project
          - ecs_cluster
          - ecs_task_definition
          - s3_access_log
          - s3_lifecycle
          - schedule
          - sns_subscription
          - sns_topic
          - ssm_parameter
      name:
        description: Its name. The name of an C(sns_subscription) is its endpoint.
        type: str
        required: true
      definition:
        description:
          - How it shall be, without its name and tags. A null says that there must be none of this.
          - Of one with O(resources[].state=absent), it is needed only as far as the resource is found by it, such
            as C(GroupName) of a schedule and C(TopicArn) of a subscription.
        type: dict
      secret:
        description:
          - The value of an C(ssm_parameter). It is compared in memory, and never shown.
        type: str
      tags:
        description:
          - Tags that it shall have. They are added and changed, and no others are removed.
          - Schedules and subscriptions have none.
          - With O(resources[].state=absent), only what has all of them is removed.
        type: dict
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: full
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Build every morning
  stevedore.ecr.job_resource:
    resources:
      - kind: schedule
        name: clone-images
        definition:
          ScheduleExpression: cron(0 9 ? * * *)
          ScheduleExpressionTimezone: Europe/Berlin
          FlexibleTimeWindow: {Mode: "OFF"}
          Target:
            Arn: arn:aws:codebuild:eu-west-1:111122223333:project/clone-images
            RoleArn: arn:aws:iam::111122223333:role/clone-images-schedule
            RetryPolicy: {MaximumRetryAttempts: 2}

- name: Keep a token for builds
  stevedore.ecr.job_resource:
    resources:
      - kind: ssm_parameter
        name: /clone-images/docker-hub
        definition:
          Type: SecureString
        secret: "{{ docker_hub_token }}"
"""

RETURN = r"""
resources:
  description: What became of each resource, in the order of O(resources).
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: What it is, and its name.
      type: str
    changed:
      description: Whether it was changed, or in check mode would be.
      type: bool
    before:
      description: What was there of what is mentioned, C(definition) and C(tags); null where there was nothing.
      type: dict
    after:
      description: What is there now; null where there is nothing.
      type: dict
    arn:
      description: Its ARN; null where there is none, or in check mode where there is none yet.
      type: str
    error:
      description: What went wrong, C(msg) and C(code).
      returned: when it failed
      type: dict
actions:
  description: What was done, or in check mode would be, in words.
  returned: when RV(resources) is returned
  type: list
  elements: str
  sample: ["create the CodeBuild project clone-images"]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import failing_readably, report
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import SystemClock
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import resources
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.clients import Clients

RESOURCE_ARGUMENTS = {
    "kind": {"type": "str", "required": True, "choices": sorted(resources.KINDS)},
    "name": {"type": "str", "required": True},
    "definition": {"type": "dict"},
    "secret": {"type": "str", "no_log": True},
    "tags": {"type": "dict"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}

ARGUMENTS = {"resources": {"type": "list", "elements": "dict", "required": True, "options": RESOURCE_ARGUMENTS}}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with failing_readably(module):
        client = Clients(module)
        wanted = resources.wanted_resources(module.params["resources"], client)
        outcomes = resources.converge(wanted, client, SystemClock(), check_mode=module.check_mode)
        report(module, "resources", outcomes)


if __name__ == "__main__":
    main()
