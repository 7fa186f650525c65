# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ECR's repositories and lifecycle policies in memory, behind a real boto3 client.

Only the network is missing: botocore checks parameters against the service model, raises its own ClientErrors and
drives its own paginators, and every answer given here is checked against the model too.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

ACCOUNT = "123456789012"
NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)

Document = dict[str, Any]


class Refused(Exception):
    """ECR says no."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Image:
    digest: str
    tags: list[str] = field(default_factory=list)
    pushed_days_ago: int = 0


@dataclass
class Preview:
    text: str
    results: list[Document]
    looks_left: int
    end: str

    @property
    def status(self) -> str:
        return "IN_PROGRESS" if self.looks_left > 0 else self.end


@dataclass
class Repository:
    policy: str | None = None
    images: list[Image] = field(default_factory=list)
    preview: Preview | None = None


@dataclass
class _Fault:
    action: Callable[[Document], None]
    only: str | None
    times: int


class FakeECR:
    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.calls: list[tuple[str, Document]] = []
        # How many looks a preview takes, and how it ends.
        self.preview_looks = 0
        self.preview_end = "COMPLETE"
        self._faults: dict[str, list[_Fault]] = defaultdict(list)
        self._lock = threading.RLock()
        self.client = boto3.client("ecr", region_name="eu-west-1", aws_access_key_id="id", aws_secret_access_key="key")
        self.client.meta.events.register("before-call.ecr", self._answer)

    def add(self, *names: str, policy: Document | str | None = None, images: list[Image] | None = None) -> None:
        text = json.dumps(policy) if isinstance(policy, dict) else policy
        for name in names:
            self.repositories[name] = Repository(text, list(images or []))

    def policy(self, name: str) -> Document | None:
        text = self.repositories[name].policy
        return None if text is None else json.loads(text)

    def called(self, operation: str) -> list[str]:
        """The repositories for which the operation was called."""
        return [request.get("repositoryName", "") for name, request in self.calls if name == operation]

    def on(
        self, operation: str, action: Callable[[Document], None], *, only: str | None = None, times: int = 1
    ) -> None:
        """Run the action with the request before the next calls of the operation, or those for one repository only.

        It may raise.
        """
        self._faults[operation].append(_Fault(action, only, times))

    def refuse(self, operation: str, code: str, message: str = "", *, only: str | None = None, times: int = 1) -> None:
        """Answer the next calls with an error."""

        def fault(_request: Document) -> None:
            raise Refused(code, message)

        self.on(operation, fault, only=only, times=times)

    def heal(self) -> None:
        """Forget what was to happen to calls to come."""
        self._faults.clear()

    def _answer(self, model: Any, params: Document, **_kwargs: Any) -> tuple[AWSResponse, Document]:
        request = json.loads(params["body"])
        try:
            with self._lock:
                self.calls.append((model.name, request))
                self._meddle(model.name, request)
                answer = getattr(self, f"_{xform_name(model.name)}")(request)
        except Refused as refusal:
            error = {"Error": {"Code": refusal.code, "Message": refusal.message}, "ResponseMetadata": {}}
            return AWSResponse("", refusal.status, {}, None), error
        problems = ParamValidator().validate(answer, model.output_shape)
        if problems.has_errors():
            raise AssertionError(problems.generate_report())
        return AWSResponse("", 200, {}, None), {**answer, "ResponseMetadata": {}}

    def _meddle(self, operation: str, request: Document) -> None:
        for fault in self._faults[operation]:
            if fault.times > 0 and fault.only in (None, request.get("repositoryName")):
                fault.times -= 1
                fault.action(request)
                return

    def _repository(self, request: Document) -> Repository:
        name = request["repositoryName"]
        if name not in self.repositories:
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            raise Refused("RepositoryNotFoundException", text)
        return self.repositories[name]

    def _describe_repositories(self, request: Document) -> Document:
        names, start, size = sorted(self.repositories), int(request.get("nextToken", 0)), request["maxResults"]
        page: Document = {"repositories": [{"repositoryName": name} for name in names[start : start + size]]}
        return page | ({"nextToken": str(start + size)} if start + size < len(names) else {})

    def _get_lifecycle_policy(self, request: Document) -> Document:
        policy = self._repository(request).policy
        if policy is None:
            raise Refused("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist")
        return {"repositoryName": request["repositoryName"], "lifecyclePolicyText": policy}

    def _put_lifecycle_policy(self, request: Document) -> Document:
        repository, text = self._repository(request), request["lifecyclePolicyText"]
        _check(text)
        repository.policy = text
        return {"repositoryName": request["repositoryName"], "lifecyclePolicyText": text}

    def _delete_lifecycle_policy(self, request: Document) -> Document:
        answer = self._get_lifecycle_policy(request)
        self._repository(request).policy = None
        return answer

    def _start_lifecycle_policy_preview(self, request: Document) -> Document:
        repository, text = self._repository(request), request["lifecyclePolicyText"]
        if repository.preview and repository.preview.status == "IN_PROGRESS":
            repository.preview.looks_left -= 1
            raise Refused("LifecyclePolicyPreviewInProgressException", "A preview is in progress")
        _check(text)
        results = _evaluate(json.loads(text)["rules"], repository.images)
        repository.preview = Preview(text, results, self.preview_looks, self.preview_end)
        return {"repositoryName": request["repositoryName"], "lifecyclePolicyText": text, "status": "IN_PROGRESS"}

    def _get_lifecycle_policy_preview(self, request: Document) -> Document:
        preview = self._repository(request).preview
        if preview is None:
            raise Refused("LifecyclePolicyPreviewNotFoundException", "There is no preview")
        answer: Document = {"lifecyclePolicyText": preview.text, "status": preview.status}
        preview.looks_left -= 1
        if answer["status"] != "COMPLETE":
            return answer
        start, size = int(request.get("nextToken", 0)), request["maxResults"]
        answer["previewResults"] = preview.results[start : start + size]
        return answer | ({"nextToken": str(start + size)} if start + size < len(preview.results) else {})


def _check(text: str) -> None:
    """A little of what ECR checks: JSON, its length, and no nulls."""

    def without_nulls(pairs: list[tuple[str, Any]]) -> Document:
        if any(value is None for _key, value in pairs):
            raise ValueError("null")
        return dict(pairs)

    try:
        json.loads(text, object_pairs_hook=without_nulls)
        valid = len(text) <= 30720
    except ValueError:
        valid = False
    if not valid:
        raise Refused("InvalidParameterException", "Lifecycle policy validation failure")


def _evaluate(rules: list[Document], images: list[Image]) -> list[Document]:
    """What expires or moves: a rule never acts on an image that a rule before it selects."""
    taken: set[str] = set()
    results = []
    for rule in sorted(rules, key=lambda rule: rule["rulePriority"]):
        selection, action = rule["selection"], rule["action"]
        selected = [image for image in images if _selects(selection, image)]
        selected.sort(key=lambda image: image.pushed_days_ago)
        number = selection["countNumber"]
        if selection["countType"] == "imageCountMoreThan":
            due = selected[number:]
        else:
            due = [image for image in selected if image.pushed_days_ago > number]
        results += [_result(image, rule["rulePriority"], action) for image in due if image.digest not in taken]
        taken |= {image.digest for image in selected}
    return results


def _selects(selection: Document, image: Image) -> bool:
    patterns = selection.get("tagPatternList") or [f"{prefix}*" for prefix in selection.get("tagPrefixList", [])]
    if selection["tagStatus"] == "untagged":
        return not image.tags
    return all(any(fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns)


def _result(image: Image, priority: int, action: Document) -> Document:
    target = {"targetStorageClass": action["targetStorageClass"].upper()} if "targetStorageClass" in action else {}
    return {
        "imageDigest": image.digest,
        "imageTags": image.tags,
        "imagePushedAt": NOW - timedelta(days=image.pushed_days_ago),
        "action": {"type": action["type"].upper(), **target},
        "appliedRulePriority": priority,
        "storageClass": "STANDARD",
    }
