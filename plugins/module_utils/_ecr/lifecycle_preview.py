# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ECR's dry run of a lifecycle policy: which images it would expire or archive.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.transformations import (
    Rule,
    normal_rules,
    preview_image_from_ecr,
    rules_to_text,
    stored_rules,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.waiters import Clock, wait_until

BUSY = "LifecyclePolicyPreviewInProgressException"

# What ECR may answer in the end.
COMPLETE, FAILED, EXPIRED = "COMPLETE", "FAILED", "EXPIRED"
FAILURES = {
    FAILED: "ECR could not work it out",
    EXPIRED: "ECR threw its result away before it could be read",
}


def preview_policy(
    client: Any, repository: str, rules: Sequence[Rule], *, timeout: float, clock: Clock
) -> dict[str, Any]:
    """What the rules would do to the images that are there now."""
    run = _DryRun(client, repository, rules)
    end = wait_until(
        run.look,
        lambda status: status == COMPLETE or status in FAILURES,
        what="the lifecycle policy preview",
        timeout=timeout,
        clock=clock,
    )
    if end in FAILURES:
        raise AnsibleECRError(
            f"The lifecycle policy preview ended {end}: {FAILURES[end]}. Nothing was changed; run it again.",
            code=f"LifecyclePolicyPreview{end.capitalize()}",
        )
    return _summary(run.images)


class _DryRun:
    """A repository has room for one dry run, and anybody may replace it: ours is told by its policy."""

    def __init__(self, client: Any, repository: str, rules: Sequence[Rule]) -> None:
        self._client = client
        self._repository = repository
        self._rules = normal_rules(rules)
        self._text = rules_to_text(self._rules)
        self._started = False
        self.images: list[dict[str, Any]] = []

    def look(self) -> str:
        """Take the next step that is possible now, and say how far the dry run is."""
        if not self._started and not self._start():
            return "waiting for another preview of this repository to end"
        images: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = api.get_lifecycle_policy_preview(self._client, self._repository, **token)
            if page is None:
                return "not begun"
            if not self._is_ours(page):
                self._started = False
                return "replaced by another preview of this repository"
            if page["status"] != COMPLETE:
                return str(page["status"])
            images += map(preview_image_from_ecr, page.get("previewResults", []))
            if not page.get("nextToken"):
                self.images = images
                return COMPLETE
            token = {"nextToken": page["nextToken"]}

    def _start(self) -> bool:
        try:
            api.start_lifecycle_policy_preview(self._client, self._repository, self._text)
        except AnsibleECRError as error:
            if error.code != BUSY:
                raise
            return False
        self._started = True
        return True

    def _is_ours(self, page: dict[str, Any]) -> bool:
        try:
            rules = stored_rules(page["lifecyclePolicyText"])
        except ValueError:
            return False
        return normal_rules(rules) == self._rules


def _summary(images: list[dict[str, Any]]) -> dict[str, Any]:
    actions = [image["action"] for image in images]
    return {
        "expiring_total": actions.count("expire"),
        "transitioning_total": actions.count("transition"),
        "images": images,
    }
