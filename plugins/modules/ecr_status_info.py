#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_status_info
version_added: 0.1.0
short_description: Find out whether images can be pulled from Amazon ECR, and what has drifted
description:
  - Looks at everything that a desired-state file declares, and says which images are missing or out of date, which
    pull-through cache rules do not work, which logins will be refused, which jobs have failed or are no longer started,
    which cached repositories are never cleaned up, and which images nobody uses.
  - Changes nothing, and copies nothing. Sources are asked by C(HEAD), which no registry counts as a pull.
  - Whatever cannot be found out, for want of a permission for example, is listed in RV(unknown). All else is found out.
  - Meant for the playbook C(stevedore.ecr.status), which takes the options from a desired-state file with
    P(stevedore.ecr.status_questions#filter).
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  images:
    description:
      - The images to look for, in the words of O(stevedore.ecr.ecr_image_mirror#module:images), with their whole names
        in Amazon ECR as C(repository), and with C(way), which is V(cache), V(mirror), V(clone) or V(sync). Where
        C(transport) is not given, it is V(direct).
      - One that comes through a cache need not be there before it is pulled for the first time.
    type: list
    elements: dict
    default: []
  registries:
    description:
      - How to speak to the registries that images come from, as in
        O(stevedore.ecr.ecr_image_mirror#module:registries).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The registry, for example V(ghcr.io).
        type: str
        required: true
      username:
        description: Whom to log in as.
        type: str
      password:
        description: The password or token of O(registries[].username).
        type: str
      token:
        description: A token that the registry takes as it is.
        type: str
      endpoint:
        description: Where the registry is, if not at V(https://) and its name.
        type: str
      ca:
        description: A file with certificates of authorities to trust.
        type: path
      insecure:
        description: Whether to trust any certificate.
        type: bool
        default: false
      aws_login:
        description: Whether to log in by AWS. By default, so are private registries of Amazon ECR.
        type: bool
      region:
        description: The region to log in to.
        type: str
      role_arn:
        description: The role to log in with.
        type: str
  rules:
    description:
      - The pull-through cache rules that should be there.
      - Repositories that they cover and that no image of O(images) is copied to are the cached repositories.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description: The prefix of the rule, or V(ROOT).
        type: str
        required: true
      upstream_url:
        description: Where it should lead to.
        type: str
      secret:
        description: The name or ARN of the secret that it should log in with. A rule that is there knows it itself.
        type: str
  jobs:
    description:
      - The scheduled jobs that copy images.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the schedule, and of the project, task definition and cluster, or job queue.
        type: str
        required: true
      kind:
        description: What its runs are.
        type: str
        required: true
        choices: [codebuild_build, codebuild_batch, ecs_task, batch_job]
      way:
        description: The way in which its images come.
        type: str
        required: true
      enabled:
        description: Whether the schedule should be switched on.
        type: bool
        default: true
  unused_days:
    description:
      - An image with a tag that was neither pulled nor pushed for so many days counts as unused.
      - A mirror run that looks at a copy counts as a pull of it, unless its role is one of the exclusions of
        M(stevedore.ecr.ecr_registry_settings).
    type: int
    default: 90
  fail_on:
    description:
      - The kinds of findings of which RV(failure) tells.
      - By default those that keep images from being pulled. A kind that is merely untidy breaks nothing today.
    type: list
    elements: str
    choices:
      - image_missing
      - rule_missing
      - rule_invalid
      - login_refused
      - job_failed
      - schedule_missing
      - schedule_disabled
      - source_unreadable
      - image_stale
      - no_lifecycle
      - image_unused
      - unknown
    default: [image_missing, rule_missing, rule_invalid, login_refused]
requirements:
  - urllib3 (Python package)
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
notes:
  - Needs the permission C(ecr:GetAuthorizationToken). For images C(ecr:DescribeRepositories) and C(ecr:DescribeImages),
    and for copies that differ from their sources C(ecr:BatchGetImage). For rules C(ecr:DescribePullThroughCacheRules),
    C(ecr:ValidatePullThroughCacheRule), C(secretsmanager:DescribeSecret), C(secretsmanager:BatchGetSecretValue) and
    C(secretsmanager:GetSecretValue), and for their repositories C(ecr:GetLifecyclePolicy). For jobs
    C(scheduler:GetSchedule), and as their kind asks for it C(codebuild:ListBuildsForProject) and
    C(codebuild:BatchGetBuilds), C(codebuild:ListBuildBatchesForProject), C(codebuild:BatchGetBuildBatches) and
    C(codebuild:BatchGetBuilds), C(ecs:ListTasks), C(ecs:DescribeTasks) and C(ecs:DescribeTaskDefinition), or
    C(batch:ListJobs) and C(batch:DescribeJobs).
  - Where a permission is missing, the answer is in RV(unknown). Only C(ecr:GetAuthorizationToken) is indispensable.
  - A registry whose answer to C(HEAD) has no digest in it is asked by C(GET). Docker Hub is none of these.
  - With C(select), the tags of the source are listed, which is no pull either.
seealso:
  - module: stevedore.ecr.ecr_image_info
  - module: stevedore.ecr.ecr_image_mirror
  - module: stevedore.ecr.ecr_pull_through_rule_info
  - plugin: stevedore.ecr.status_page
    plugin_type: filter
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stevedore.ecr.attributes
"""

EXAMPLES = r"""
- name: Look at two images and a cache
  stevedore.ecr.ecr_status_info:
    images:
      - way: mirror
        source: quay.io/prometheus/prometheus
        tag: v3.5.0
        repository: mirror/prometheus
      - way: cache
        source: registry.k8s.io/pause:3.10
        repository: k8s/pause
    rules:
      - prefix: k8s
        upstream_url: registry.k8s.io
  register: status

- name: Stop if anything cannot be pulled
  ansible.builtin.assert:
    that: status.failure | length == 0
    fail_msg: "{{ status.failure }}"
"""

RETURN = r"""
verdict:
  description: What was found, in one sentence.
  returned: success
  type: str
  sample: All of 61 images can be pulled, and nothing is to be done.
failure:
  description: What was found of the kinds in O(fail_on), in one sentence. Empty if nothing was.
  returned: success
  type: str
  sample: 1 image is missing.
lines:
  description: The same for people, as a table in lines of text.
  returned: success
  type: list
  elements: str
findings:
  description: What is not as it should be, the worst first.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: One of the choices of O(fail_on).
      returned: always
      type: str
      sample: image_missing
    breaks:
      description: Whether it keeps images from being pulled.
      returned: always
      type: bool
      sample: true
    subject:
      description: Of what.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror/prometheus:v3.5.0
    what:
      description: What it is, and where it helps what to do.
      returned: always
      type: str
      sample: not in the destination yet
images:
  description: The images of O(images), each tag by itself.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: Where it comes from.
      returned: always
      type: str
      sample: quay.io/prometheus/prometheus:v3.5.0
    way:
      description: How it comes.
      returned: always
      type: str
      sample: mirror
    address:
      description: Where to pull it.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror/prometheus:v3.5.0
    state:
      description:
        - V(current), V(stale) if the source is another one by now, V(missing), V(on demand) if a cache fetches it when
          it is pulled, or V(unknown). What is not in a cache yet is V(missing) if its source does not have it, and
          V(unknown) if its source cannot be read from here, as the cache may have another login.
      returned: always
      type: str
      sample: current
    why:
      description: Why it is V(missing), V(stale) or V(on demand).
      returned: always
      type: str
      sample: ''
    problem:
      description: Why its source cannot be read. Empty if it can.
      returned: always
      type: str
      sample: ''
    digest:
      description: Its digest in Amazon ECR, or V(null).
      returned: always
      type: str
      sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11...
    source_digest:
      description: The digest of its source, or V(null).
      returned: always
      type: str
      sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11...
    pushed_at:
      description: When it was pushed, in UTC, or V(null).
      returned: always
      type: str
      sample: "2026-01-31T12:00:00+00:00"
    last_pulled_at:
      description: When it was last pulled, in UTC. V(null) if never.
      returned: always
      type: str
      sample: "2026-02-01T06:30:00+00:00"
rules:
  description: The rules of O(rules).
  returned: success
  type: list
  elements: dict
  contains:
    prefix:
      description: Its prefix.
      returned: always
      type: str
      sample: k8s
    upstream_url:
      description: Where it leads to, or should.
      returned: always
      type: str
      sample: registry.k8s.io
    state:
      description: V(valid), V(invalid), V(missing) or V(unknown).
      returned: always
      type: str
      sample: valid
    why:
      description: Why it is V(invalid) or V(missing).
      returned: always
      type: str
      sample: ''
    login_problem:
      description: Why its login will be refused. Empty if nothing speaks for that.
      returned: always
      type: str
      sample: ''
repositories:
  description: The cached repositories.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: k8s/pause
    lifecycle:
      description: Whether it has a lifecycle policy, or V(null) if that is not known.
      returned: always
      type: bool
      sample: true
    images:
      description: How many images it has, those without a tag included.
      returned: always
      type: int
      sample: 3
    size_in_bytes:
      description: What they take, compressed.
      returned: always
      type: int
      sample: 71234567
unused:
  description: The images of cached repositories and of those of O(images) that nobody uses, see O(unused_days).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Where it is, by one of its tags.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s/pause:3.10
    digest:
      description: Its digest.
      returned: always
      type: str
      sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11...
    size_in_bytes:
      description: What it takes, compressed.
      returned: always
      type: int
      sample: 71234567
    pushed_at:
      description: When it was pushed, in UTC.
      returned: always
      type: str
      sample: "2026-01-31T12:00:00+00:00"
    last_pulled_at:
      description: When it was last pulled, in UTC. V(null) if never.
      returned: always
      type: str
      sample: null
    why:
      description: The same in words.
      returned: always
      type: str
      sample: never pulled, pushed 2026-01-31
jobs:
  description: The jobs of O(jobs).
  returned: success
  type: list
  elements: dict
  contains:
    way:
      description: As in O(jobs[].way).
      returned: always
      type: str
      sample: clone
    name:
      description: Its name.
      returned: always
      type: str
      sample: ecs-clone-cloner
    enabled:
      description: As in O(jobs[].enabled).
      returned: always
      type: bool
      sample: true
    schedule:
      description: When it is started, or V(null).
      returned: always
      type: str
      sample: rate(1 day)
    schedule_state:
      description: V(ENABLED), V(DISABLED), V(MISSING) or V(UNKNOWN).
      returned: always
      type: str
      sample: ENABLED
    last_run:
      description:
        - What became of it last, or V(null) where AWS knows of no run.
        - Amazon ECS forgets a task after an hour, and AWS Batch a job after a week.
      returned: always
      type: dict
      contains:
        id:
          description: The build, batch, task or job.
          returned: always
          type: str
          sample: ecs-clone-cloner:5f1e7c6e-3d52-4f2f-9b3b-0f3e8c1d2a4b
        status:
          description: In the words of its service.
          returned: always
          type: str
          sample: SUCCEEDED
        succeeded:
          description: Whether all is well with it, or V(null) as long as it runs.
          returned: always
          type: bool
          sample: true
        at:
          description: When it was begun, in UTC.
          returned: always
          type: str
          sample: "2026-01-31T12:00:00+00:00"
        why:
          description: Why it failed.
          returned: always
          type: str
          sample: ''
unknown:
  description: What could not be found out.
  returned: success
  type: list
  elements: dict
  contains:
    part:
      description: What it is about.
      returned: always
      type: str
      sample: rules
    why:
      description: Why it could not be found out, and which permission that needs.
      returned: always
      type: str
      sample: >-
        Failed to list the pull-through cache rules (needs ecr:DescribePullThroughCacheRules)
"""

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.image_mirror import failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.exchange import HAS_URLLIB3
from ansible_collections.stevedore.ecr.plugins.module_utils._site.status_run import SiteStatus

BREAKING = ["image_missing", "rule_missing", "rule_invalid", "login_refused"]

ARGUMENTS = {
    "images": {"type": "list", "elements": "dict", "default": []},
    "registries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "endpoint": {"type": "str"},
            "ca": {"type": "path"},
            "insecure": {"type": "bool", "default": False},
            "aws_login": {"type": "bool"},
            "region": {"type": "str"},
            "role_arn": {"type": "str"},
        },
    },
    "rules": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "prefix": {"type": "str", "required": True},
            "upstream_url": {"type": "str"},
            # Where it is, and not what is in it.
            "secret": {"type": "str", "no_log": False},
        },
    },
    "jobs": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {
                "type": "str",
                "required": True,
                "choices": ["codebuild_build", "codebuild_batch", "ecs_task", "batch_job"],
            },
            "way": {"type": "str", "required": True},
            "enabled": {"type": "bool", "default": True},
        },
    },
    "unused_days": {"type": "int", "default": 90},
    "fail_on": {
        "type": "list",
        "elements": "str",
        "choices": [
            *BREAKING,
            "job_failed",
            "schedule_missing",
            "schedule_disabled",
            "source_unreadable",
            "image_stale",
            "no_lifecycle",
            "image_unused",
            "unknown",
        ],
        "default": BREAKING,
    },
}


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if not HAS_URLLIB3:
        module.fail_json(msg=missing_required_lib("urllib3"))
    with failing_readably(module):
        result = SiteStatus(module).run()
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
