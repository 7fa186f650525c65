#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: job_run
version_added: 0.1.0
short_description: Run a scheduled job now, and follow it
description:
  - Starts a run of a job. Waits for its end on request, and shows meanwhile what it writes to its log.
  - Fails where the run fails, with the service's own explanation and the address of the log.
  - In check mode nothing is started.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  kind:
    description:
      - What is run. The overrides are the other parameters of C(SubmitJob), C(StartBuildBatch), C(StartBuild) and
        C(RunTask).
    type: str
    required: true
    choices: [batch_job, codebuild_batch, codebuild_build, ecs_task]
  name:
    description: The name of the project, of the job, or of the task definition.
    type: str
    required: true
  overrides:
    description: What is different in this run, in the words of the AWS API.
    type: dict
    default: {}
  wait:
    description: Whether to wait for the end.
    type: bool
    default: true
  timeout:
    description: For how many seconds to wait, for another run that has to end first and for this one together.
    type: int
    default: 3600
  look:
    description:
      - What an earlier look has returned. The action plugin, which asks for one look after the other, sets it.
    type: dict
    suboptions:
      run_id:
        description: The run to look at, and not to start one.
        type: str
      marks:
        description: How far its log has been read.
        type: dict
        default: {}
      seconds:
        description: For how long to look.
        type: float
        default: 0.0
attributes:
  action:
    support: full
    description: Runs partly on the controller, which shows the log as it comes.
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: none
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Clone the images now
  stevedore.ecr.job_run:
    kind: codebuild_build
    name: ecs-clone-project
"""

RETURN = r"""
ended:
  description: Whether the run has come to its end.
  returned: when a run was started
  type: bool
succeeded:
  description: Whether it has come to a good end.
  returned: when a run was started
  type: bool
why:
  description: The service's own explanation of a failure.
  returned: when a run was started
  type: str
marks:
  description: How far the log has been read.
  returned: when a run was started
  type: dict
run_id:
  description: The id of the run; null in check mode.
  returned: always
  type: str
status:
  description: The state of the run, in the words of the service.
  returned: always
  type: str
  sample: SUCCEEDED
log_url:
  description: Where to read the log.
  returned: when a run was started
  type: str
log:
  description: The last lines of the log.
  returned: when a run was started
  type: list
  elements: str
details:
  description: C(builds) of a batch and C(children) of an array, each with its state; C(exit_codes) of a task.
  returned: when a run was started
  type: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.module import aws_client, failing_readably
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import SystemClock
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs import follow, start
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_batch import BatchJob
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_codebuild import CodeBuildBatch, CodeBuildBuild
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.runs_ecs import EcsTask

RUNS = {
    "batch_job": BatchJob(),
    "codebuild_batch": CodeBuildBatch(),
    "codebuild_build": CodeBuildBuild(),
    "ecs_task": EcsTask(),
}

LOOK_ARGUMENTS = {
    "run_id": {"type": "str"},
    "marks": {"type": "dict", "default": {}},
    "seconds": {"type": "float", "default": 0.0},
}

ARGUMENTS = {
    "kind": {"type": "str", "required": True, "choices": sorted(RUNS)},
    "name": {"type": "str", "required": True},
    "overrides": {"type": "dict", "default": {}},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 3600},
    "look": {"type": "dict", "options": LOOK_ARGUMENTS},
}


def main() -> None:
    """One look; the action plugin asks for as many as there have to be."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, run_id=None, status="NOT_STARTED")
    look = params["look"] or {"run_id": None, "marks": {}, "seconds": 0.0}
    run = RUNS[params["kind"]]
    with failing_readably(module):
        client = aws_client(module, run.service)
        clock = SystemClock()
        run_id = look["run_id"] or start(run, client, params["name"], params["overrides"], clock)
        if run_id is None:
            module.exit_json(changed=False, run_id=None, status="WAITING")
        logs = aws_client(module, "logs")
        seen = follow(run, client, logs, params["name"], run_id, look["marks"], float(look["seconds"]), clock)
        module.exit_json(
            changed=True,
            run_id=run_id,
            status=seen.state.status,
            ended=seen.state.ended,
            succeeded=seen.state.succeeded,
            why=seen.state.why,
            log_url=seen.state.log_url,
            log=seen.lines,
            marks=seen.marks,
            details=seen.state.details,
        )


if __name__ == "__main__":
    main()
