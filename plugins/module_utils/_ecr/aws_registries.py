# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts are registries of AWS, by their names.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

try:
    from botocore.loaders import create_loader
except ImportError:
    pass  # handled by AnsibleAWSModule

ECR_PUBLIC = "public.ecr.aws"
# Where AWS answers for Amazon ECR Public.
PUBLIC_REGION = "us-east-1"

_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr(?P<joint>[.-])ecr(-fips)?\.(?P<region>[a-z]{2,}(-[a-z]+)+-\d+)\.(?P<suffix>[a-z0-9.-]+)"
)


@dataclass(frozen=True)
class EcrHost:
    """A private registry."""

    account: str
    region: str


def ecr_host(host: str) -> EcrHost | None:
    """Only names below those that belong to AWS: everybody else would get a login that opens the user's registries."""
    match = _HOST.fullmatch(host)
    if match is None or match["suffix"] not in _suffixes(dual_stack=match["joint"] == "-"):
        return None
    return EcrHost(match["account"], match["region"])


def _suffixes(*, dual_stack: bool) -> set[str]:
    """Of all partitions. What serves IPv6 too is below on.aws, where the API is below api.aws."""
    outputs = [partition["outputs"] for partition in create_loader().load_data("partitions")["partitions"]]
    if dual_stack:
        return {re.sub(r"^api\.", "on.", output["dualStackDnsSuffix"]) for output in outputs}
    return {output["dnsSuffix"] for output in outputs}
