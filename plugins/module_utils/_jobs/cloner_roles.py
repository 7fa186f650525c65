# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of a cloner may do. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.aws_registries import ecr_host
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_images import Images
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_variables import Cloner
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import (
    FROM,
    VPC,
    Document,
    allow,
    mirroring,
    policy,
    trusted,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

# What IAM takes of a role's policies, with some room for the rest of them.
_ROOM_FOR_ARNS = 40_000
_OWN_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([\w-]+)\.[^/]+/([^:@]+)([:@].*)?")


def roles(cloner: Cloner, images: Images) -> list[Document]:
    codebuild = trusted("codebuild.amazonaws.com", cloner.account, cloner.project_arn)
    scheduler = trusted("scheduler.amazonaws.com", cloner.account, cloner.arn("scheduler", "schedule-group/default"))
    start = "codebuild:StartBuildBatch" if cloner.sharded else "codebuild:StartBuild"
    starting = [allow("Start", [start], [cloner.project_arn])]
    if cloner.dead_letter_queue_arn:
        starting.append(allow("DeadLetter", ["sqs:SendMessage"], [cloner.dead_letter_queue_arn]))
    of_a_batch = [f"codebuild:{verb}Build" for verb in ("Start", "Stop", "Retry")]
    build = list(_build_statements(cloner, images))
    found = [
        _role(cloner, "build", f"What builds of {cloner.project} may do.", codebuild, build),
        _role(cloner, "schedule", f"Starts {cloner.project} on its schedule.", scheduler, starting),
    ]
    if cloner.sharded:
        builds = [allow("Builds", of_a_batch, [cloner.project_arn])]
        found.append(_role(cloner, "batch", f"Starts the builds of a batch of {cloner.project}.", codebuild, builds))
    return found


def _role(
    cloner: Cloner, purpose: str, description: str, trust_policy: Document, statements: Sequence[Document]
) -> Document:
    return {
        "name": cloner.role(purpose),
        "description": description,
        "trust_policy": trust_policy,
        "policy": policy(statements),
        "tags": cloner.tags,
    }


def _build_statements(cloner: Cloner, images: Images) -> Iterator[Document]:
    log = cloner.arn("logs", f"log-group:{cloner.log_group}")
    yield allow("Log", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], [log, f"{log}:*"])
    destinations = _repository_arns(cloner, images.repositories)
    yield from mirroring(destinations, engine=images.need_engine)
    sources = _source_arns(cloner, images.sources, _ROOM_FOR_ARNS - sum(map(len, destinations)))
    if sources:
        yield allow("Pull", FROM, sources)
    yield allow("Job", ["s3:GetObject", "s3:GetObjectVersion"], [f"{cloner.bucket_arn}/{cloner.key}"])
    yield allow("Results", ["s3:PutObject"], [f"{cloner.bucket_arn}/{cloner.results}/*"])
    if cloner.docker_hub_secret_arn:
        yield allow("Token", ["secretsmanager:GetSecretValue"], [cloner.docker_hub_secret_arn])
    elif cloner.docker_hub_username:
        yield allow("Token", ["ssm:GetParameters"], [cloner.arn("ssm", f"parameter{cloner.parameter}")])
    if cloner.kms_key_arn:
        yield allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [cloner.kms_key_arn])
    image = _OWN_REGISTRY.fullmatch(cloner.image)
    if image:
        account, region, name = image.group(1, 2, 3)
        arn = f"arn:{cloner.partition}:ecr:{region}:{account}:repository/{name}"
        yield allow("Image", ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], [arn])
    if cloner.vpc:
        yield from _network_statements(cloner)


def _repository_arns(cloner: Cloner, repositories: Sequence[str]) -> list[str]:
    """By name, unless that is more than a role's policies can hold."""
    named = [cloner.arn("ecr", f"repository/{name}") for name in repositories]
    if sum(map(len, named)) > _ROOM_FOR_ARNS:
        return [cloner.arn("ecr", f"repository/{cloner.namespace}/*")]
    return named


def _source_arns(cloner: Cloner, sources: Sequence[Reference], room: int) -> list[str]:
    """Of those in Amazon ECR, by name, unless that is more than there is room for."""
    found = [(here, source.repository) for source in sources if (here := ecr_host(source.registry))]
    named, whole = (
        sorted({f"arn:{cloner.partition}:ecr:{here.region}:{here.account}:repository/{name}" for here, name in some})
        for some in (found, [(here, "*") for here, _name in found])
    )
    return whole if sum(map(len, named)) > room else named


def _network_statements(cloner: Cloner) -> Iterator[Document]:
    yield allow("Network", VPC, ["*"])
    subnets = [cloner.arn("ec2", f"subnet/{subnet}") for subnet in cloner.vpc["subnets"]]
    yield allow(
        "NetworkOfBuilds",
        ["ec2:CreateNetworkInterfacePermission"],
        [cloner.arn("ec2", "network-interface/*")],
        {
            "StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"},
            "ArnEquals": {"ec2:Subnet": subnets},
        },
    )
