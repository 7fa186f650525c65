# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of ECR to delete tags: as in api.py, one line of boto3 a function.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.api import retried
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import ECRErrorHandler


@ECRErrorHandler.common_error_handler("delete the tags")
@retried
def delete_tags(client: Any, repository: str, tags: Sequence[str]) -> list[dict[str, Any]]:
    """At most 100. Returns the failures. With its last tag, an image goes too.

    The digest is not given: it would delete the image with all its tags.
    """
    ids = [{"imageTag": tag} for tag in tags]
    failures: list[dict[str, Any]] = client.batch_delete_image(repositoryName=repository, imageIds=ids).get(
        "failures", []
    )
    return failures
