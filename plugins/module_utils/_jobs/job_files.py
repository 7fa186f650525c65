# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The job of a scheduled mirror as it lies in Amazon S3: variables, and images for each shard.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.locks import read


def read_job(client: Any, bucket: str, key: str, shard: int) -> dict[str, Any]:
    found = read(client, bucket, key)
    where = f"s3://{bucket}/{key}"
    if found is None:
        raise AnsibleECRError(f"There is no job {where}: run the role that makes it", code="NoJob")
    try:
        document = json.loads(found["Text"])
        variables, shards = dict(document["variables"]), list(document["shards"])
    except (ValueError, KeyError, TypeError) as error:
        raise AnsibleECRError(
            f"{where} is no job, which is JSON with variables and shards: {error!r}", code="UnreadableJob"
        ) from error
    # With more children than shards, such as when the array was started with another size, some have nothing to do.
    return {"variables": variables, "images": shards[shard] if 0 <= shard < len(shards) else []}
