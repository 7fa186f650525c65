# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/docsite/rst/permissions.rst from the code: `python tools/permissions_page.py`.

Who runs a role needs what its modules ask of AWS. What a role grants to others comes from the same functions that make
the policies, given an example.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))

from iam_actions import actions_of, unknown

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through_cache
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import cloner, permissions, sync
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.resources import KINDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "docsite" / "rst" / "permissions.rst"
LABEL = "ansible_collections.stevedore.ecr.docsite."

ACCOUNT, REGION, SOURCE = "123456789012", "eu-west-1", "111122223333"
REGISTRY = {
    "registry_id": ACCOUNT,
    "region": REGION,
    "partition": "aws",
    "repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository",
}

# Requests of the registry protocol, which are no operations of an API.
PROTOCOL = {
    "ecr_image_mirror": (*permissions.INTO, *permissions.FROM),
    "job_image": permissions.INTO,
    "ecr_cache_warm": ("ecr:BatchImportUpstreamImage", "ecr:CreateRepository", "ecr:TagResource"),
}
# What AWS asks for where these are called. What is in parentheses says when.
IMPLIED = {
    "batch:CreateComputeEnvironment": ("iam:CreateServiceLinkedRole (the first of an account)",),
    "batch:RegisterJobDefinition": ("iam:PassRole (roles it is given)",),
    "codebuild:CreateProject": ("iam:PassRole (roles it is given)",),
    "ecr:CreatePullThroughCacheRule": (
        "iam:CreateServiceLinkedRole (the first rule of an account)",
        "iam:PassRole (custom_role_arn)",
    ),
    "ecr:CreateRepository": ("ecr:TagResource (tags)",),
    "ecr:CreateRepositoryCreationTemplate": ("ecr:CreateRepository", "iam:PassRole (tags or KMS)"),
    "ecs:CreateCluster": ("iam:CreateServiceLinkedRole (the first of an account)",),
    "ecs:RegisterTaskDefinition": ("iam:PassRole (roles it is given)",),
    "ecs:RunTask": ("iam:PassRole (roles it is given)",),
    "ecr-public:GetAuthorizationToken": ("sts:GetServiceBearerToken",),
    "s3:GetObject": ("s3:ListBucket (to tell that there is nothing)",),
    "scheduler:CreateSchedule": ("iam:PassRole (roles it is given)",),
    "secretsmanager:BatchGetSecretValue": ("secretsmanager:GetSecretValue",),
}
# Of a module with many options, what a role uses.
ONLY = {
    ("pull_through_cache", "ecr_registry_settings"): {
        "ecr:DeleteRegistryPolicy",
        "ecr:GetAccountSetting",
        "ecr:GetRegistryPolicy",
        "ecr:PutRegistryPolicy",
    },
    ("codebuild_cloner", "job_object"): {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
    ("image_mirror", "job_object"): {"s3:GetObject", "s3:PutObject"},
}
# Modules of amazon.aws, as far as the roles use them: to look, and to change.
AMAZON = {
    "cloudwatch_metric_alarm": (
        ["cloudwatch:DescribeAlarms"],
        ["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"],
    ),
    "cloudwatchevent_rule": (
        ["events:DescribeRule", "events:ListTargetsByRule"],
        [
            "events:DeleteRule",
            "events:DisableRule",
            "events:EnableRule",
            "events:PutRule",
            "events:PutTargets",
            "events:RemoveTargets",
        ],
    ),
    "cloudwatchlogs_log_group": (
        ["logs:DescribeLogGroups", "logs:ListTagsLogGroup"],
        [
            "logs:CreateLogGroup",
            "logs:DeleteLogGroup",
            "logs:DeleteRetentionPolicy",
            "logs:PutRetentionPolicy",
            "logs:TagLogGroup",
        ],
    ),
    "ec2_security_group": (
        ["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"],
        [
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:CreateSecurityGroup",
            "ec2:CreateTags",
            "ec2:DeleteSecurityGroup",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ],
    ),
    "ec2_security_group_info": (["ec2:DescribeSecurityGroups"], []),
    "s3_bucket": (
        [
            "s3:GetBucketOwnershipControls",
            "s3:GetBucketPolicy",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetBucketTagging",
            "s3:GetBucketVersioning",
            "s3:GetEncryptionConfiguration",
            "s3:ListBucket",
            "s3:ListBucketVersions",
        ],
        [
            "s3:CreateBucket",
            "s3:DeleteBucket",
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketTagging",
            "s3:PutBucketVersioning",
            "s3:PutEncryptionConfiguration",
        ],
    ),
}
TASK = re.compile(r"^\s+(amazon\.aws|stevedore\.ecr)\.(\w+):", re.MULTILINE)
LOOKING = re.compile(r"[\w-]+:(Get|List|Describe|BatchGet|BatchCheck|Assume|Validate)")

INTRODUCTION = """\
.. This page is written by tools/permissions_page.py. Change that, or the code it reads.

.. _{label}permissions:

Permissions
===========

Two questions have an answer here, for each role: what has whoever runs the role to be allowed, and what does the role
allow others?

The tables are made from the code of this version. The first one of each role follows every call that its modules can
make. It is all that a role can ask for, so most plays need less: an action that no variable of yours asks for can be
left out. *To look* is enough for check mode. What follows after *also* is what AWS asks for by itself, and when.
The playbook ``stevedore.ecr.site`` needs what the roles need of whose ways its file makes use.

The second one lists the policies that the role writes, for an example in the account ``{account}`` and the region
``{region}``. Nothing is granted that is not in them.

.. contents::
   :local:
   :depth: 1
"""


@dataclass(frozen=True)
class Grant:
    """A statement of a policy that a role writes."""

    to: str
    statement: Mapping[str, Any]


@dataclass(frozen=True)
class Role:
    name: str
    title: str
    grants: Sequence[Grant]
    # The file whose kinds of resources the role makes.
    resources: str = ""
    what: str = ""


def page() -> str:
    parts = [INTRODUCTION.format(label=LABEL, account=ACCOUNT, region=REGION)]
    for role in _roles():
        parts += [_section(role)]
    return "\n".join(parts)


def _section(role: Role) -> str:
    lines = [f".. _{LABEL}permissions_{role.name}:", "", role.title, "-" * len(role.title), ""]
    lines += [role.what or f"The role :ansplugin:`stevedore.ecr.{role.name}#role`.", "", "Who runs it needs:", ""]
    lines += _table(["for", "to look", "to change"], [24, 32, 44], list(_needed(role)))
    if role.grants:
        lines += ["", "What it grants:", ""]
        lines += _table(["to", "what for", "actions", "on"], [22, 12, 33, 33], [_granted(one) for one in role.grants])
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ who runs a role


def modules_of(role: str) -> list[tuple[str, str]]:
    """(collection, module) of all tasks, in the order of the first use."""
    found: dict[tuple[str, str], None] = {}
    for path in sorted(_task_files(role), key=lambda path: (path.stem != "main", path)):
        for collection, module in re.findall(
            r"^\s+(amazon\.aws|stevedore\.ecr)\.(\w+):", path.read_text(), re.MULTILINE
        ):
            found[collection, module] = None
    return list(found)


def _task_files(role: str) -> list[Path]:
    """Of a role, or the playbook where there is no role of that name."""
    return list((ROOT / "roles" / role / "tasks").glob("*.yml")) or [ROOT / "playbooks" / f"{role}.yml"]


def _needed(role: Role) -> Iterator[list[str]]:
    for collection, module in modules_of(role.name):
        if collection == "amazon.aws":
            looking, changing = AMAZON[module]
            yield [f"``{collection}.{module}``", _listed(looking), _listed(changing)]
            continue
        actions = actions_of(module, without_services=_not_used(role, module))
        actions.update(PROTOCOL.get(module, ()))
        actions &= ONLY.get((role.name, module), actions)
        if module.endswith("_info"):
            actions = {action for action in actions if LOOKING.match(action)}
        if not actions:
            continue
        looking = sorted(action for action in actions if LOOKING.match(action))
        changing = sorted(actions - set(looking))
        cells = [_listed(some) + _also(some, actions) for some in (looking, changing)]
        yield [f":ansplugin:`{module} <stevedore.ecr.{module}#module>`", *cells]


def _not_used(role: Role, module: str) -> set[str]:
    """Services of resources and runs that this role has none of."""
    if module not in ("job_resource", "job_run"):
        return set()
    # Both roles tell of failures in the same way.
    jobs = ROOT / "plugins" / "module_utils" / "_jobs"
    text = "".join((jobs / name).read_text() for name in (role.resources, "notices.py"))
    used = {kind.service for name, kind in KINDS.items() if f'"{name}"' in text}
    return {kind.service for kind in KINDS.values()} - used


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"``{name}``" for name in names) or "none"


def _also(some: Iterable[str], known: Collection[str]) -> str:
    found = dict.fromkeys(extra for action in some for extra in IMPLIED.get(action, ()))
    texts = [
        f"``{action}``{' ' if when else ''}{when}"
        for action, _space, when in (extra.partition(" ") for extra in found)
        if action not in known
    ]
    return f"; also {', '.join(texts)}" if texts else ""


# ------------------------------------------------------------------ what a role grants


def _granted(grant: Grant) -> list[str]:
    statement = grant.statement
    resources = [f"``{one}``" for one in statement.get("Resource", [])]
    conditions = [
        f"``{key}`` is {_listed([values] if isinstance(values, str) else values)}"
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
    ]
    where = ", ".join(resources) or "the repository that has the policy"
    return [
        grant.to,
        f"``{statement['Sid']}``",
        _listed(statement["Action"]),
        f"{where}, if {' and '.join(conditions)}" if conditions else where,
    ]


def _roles() -> list[Role]:
    return [
        Role("pull_through_cache", "Cache", list(_cache_grants())),
        Role("image_mirror", "Mirror", []),
        Role("codebuild_cloner", "Clone", list(_cloner_grants()), "cloner_resources.py"),
        Role("pull_sync", "Sync", list(_sync_grants()), "sync_resources.py"),
        Role("status", "Status", [], what="The playbook ``stevedore.ecr.status``: see :doc:`status`."),
    ]


def _cache_grants() -> Iterator[Grant]:
    settings = pull_through_cache.settings_from(
        {
            "registry": REGISTRY,
            "name": "pull-through-cache",
            "tags": {"team": "platform"},
            "cross_account_principals": [SOURCE],
            "template_role_arn": f"arn:aws:iam::{ACCOUNT}:role/pull-through-cache-{REGION}-templates",
            "secret_recovery_days": 7,
        }
    )
    kms = {"encryption_type": "KMS", "kms_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/example"}
    made = pull_through_cache.parts({"docker-hub": {"repository_read_access_arns": [SOURCE]}, "quay": kms}, settings)
    for statement in made["puller_policy"]["Statement"]:
        yield Grant("pullers, by the IAM policy", statement)
    for statement in made["template_policy"]["Statement"]:
        yield Grant("Amazon ECR, by the role for new repositories that have tags or a key", statement)
    for statement in made["consumer_statements"]:
        yield Grant("other accounts, by the registry policy", statement)
    readers = yaml.safe_load(made["templates"][0]["repository_policy"])
    for statement in readers["Statement"]:
        yield Grant("other accounts that only read, by the policy of cached repositories", statement)


def _cloner_grants() -> Iterator[Grant]:
    given = {
        **_defaults("codebuild_cloner"),
        "containers": {
            "hashicorp/vault": ["1.14"],
            "my-app": {"registry": f"{SOURCE}.dkr.ecr.us-east-1.amazonaws.com", "tags": ["1"]},
        },
        "build_commands": {"hashicorp/vault:1.14": ["RUN mkdir /etc/vault"]},
        "docker_hub_username": "acme",
        "has_token": True,
        "fan_out": 2,
        "vpc": {"id": "vpc-1", "subnets": ["subnet-1"], "security_groups": ["sg-1"]},
        **_here(),
    }
    yield from _role_grants(cloner.parts(given)["roles"])


def _sync_grants() -> Iterator[Grant]:
    source = f"{SOURCE}.dkr.ecr.us-east-1.amazonaws.com/my-app"
    given = {
        **_defaults("pull_sync"),
        "namespace": "example-ecr-sync",
        "config": {"repos": [{"source": source}]},
        "prune": "delete",
        **_here(),
    }
    made = sync.parts(given)
    yield from _role_grants(made["roles"])
    for policy in made["source_policies"]:
        for statement in policy["repositories"][0]["statements"]:
            yield Grant("the sync, by the policy of each source repository", statement)


def _role_grants(roles: Iterable[Mapping[str, Any]]) -> Iterator[Grant]:
    for role in roles:
        for statement in role["policy"]["Statement"]:
            yield Grant(f"the role ``{role['name']}``", statement)


def _defaults(role: str) -> dict[str, Any]:
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    return {name.removeprefix(f"{role}_"): value for name, value in defaults.items()}


def _here() -> dict[str, str]:
    return {
        "account": ACCOUNT,
        "region": REGION,
        "asked_region": "",
        "partition": "aws",
        "registry": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
    }


# ------------------------------------------------------------------ reStructuredText


def _table(titles: Sequence[str], widths: Sequence[int], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    for row in [titles, *rows]:
        lines += [f"   {'* -' if at == 0 else '  -'} {cell}" for at, cell in enumerate(row)]
    return lines


def main() -> int:
    modules = {
        module for role in _roles() for collection, module in modules_of(role.name) if collection != "amazon.aws"
    }
    wrong = unknown({action for module in modules for action in actions_of(module)})
    if wrong:
        print(f"AWS has no such operations, see SERVICES in tools/iam_actions.py: {', '.join(wrong)}", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
