"""Lifecycle policies and their dry run, the preview."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from loopback.clock import clock
from loopback.errors import AwsError
from loopback.fidelity import assumed, documented, from_model
from loopback.knobs import knobs
from loopback.services.ecr import repositories, state
from loopback.services.ecr.lifecycle_evaluation import Verdict, evaluate
from loopback.services.ecr.lifecycle_grammar import parse
from loopback.services.ecr.service import service
from loopback.services.ecr.state import Json, Repository


@dataclass
class Preview:
    """A dry run. It is over when it has been asked for `polls` times."""

    text: str
    verdicts: list[Verdict]
    polls: int

    @property
    def running(self) -> bool:
        return self.polls > 0


@service.operation
@from_model
def put_lifecycle_policy(request: Json) -> Json:
    repository = repositories.named(request)
    repository.lifecycle = checked(request["lifecyclePolicyText"])
    return _policy(repository)


@service.operation
@from_model
@assumed("lastEvaluatedAt is there even if the policy was never evaluated")
def get_lifecycle_policy(request: Json) -> Json:
    repository = repositories.named(request)
    return {**_policy(repository), "lastEvaluatedAt": clock.now()}


@service.operation
@from_model
def delete_lifecycle_policy(request: Json) -> Json:
    repository = repositories.named(request)
    answer = {**_policy(repository), "lastEvaluatedAt": clock.now()}
    repository.lifecycle = None
    return answer


@assumed("ECR gives a policy back re-serialised")
def checked(text: str) -> str:
    """A policy that follows the grammar, as ECR keeps it."""
    parse(text)
    return json.dumps(json.loads(text), separators=(",", ":"))


@assumed("wording of LifecyclePolicyNotFoundException")
def _policy(repository: Repository) -> Json:
    if repository.lifecycle is None:
        message = f"Lifecycle policy does not exist for {repositories.where(repository)}"
        raise AwsError("LifecyclePolicyNotFoundException", message)
    return {**repositories.identity(repository), "lifecyclePolicyText": repository.lifecycle}


# ------------------------------------------------------------------ dry run


@service.operation
@from_model
@assumed("the images are looked at when the dry run starts; wording of LifecyclePolicyPreviewInProgressException")
def start_lifecycle_policy_preview(request: Json) -> Json:
    repository = repositories.named(request)
    given = request.get("lifecyclePolicyText")
    text = checked(given) if given else _policy(repository)["lifecyclePolicyText"]
    if repository.preview is not None and repository.preview.running:
        message = "The previous lifecycle policy preview request has not completed. Wait and try again."
        raise AwsError("LifecyclePolicyPreviewInProgressException", message)
    repository.preview = Preview(text, evaluate(repository, parse(text)), knobs.get("ecr.preview.polls", 1))
    return {**repositories.identity(repository), "lifecyclePolicyText": text, "status": "IN_PROGRESS"}


@service.operation
@from_model
@documented(
    "ECR API reference, GetLifecyclePolicyPreview: pages of at most 100; paging and imageIds exclude each other"
)
@assumed("an answer without results unless COMPLETE; the summary covers all images, whatever the filter and page")
def get_lifecycle_policy_preview(request: Json) -> Json:
    repository = repositories.named(request)
    preview = repository.preview
    if preview is None:
        raise AwsError("LifecyclePolicyPreviewNotFoundException", "There is no dry run for this repository.")
    answer = {**repositories.identity(repository), "lifecyclePolicyText": preview.text}
    if preview.running:
        preview.polls -= 1
        return {**answer, "status": "IN_PROGRESS"}
    status = knobs.get("ecr.preview.status", "COMPLETE")
    if status != "COMPLETE":
        return {**answer, "status": status}
    if request.get("imageIds"):
        repositories.refuse_paging(request, "imageIds")
    results = [_result(verdict) for verdict in preview.verdicts if _wanted(verdict, repository, request)]
    summary = _summary(preview.verdicts)
    return {**answer, "status": status, "summary": summary, **state.page(results, request, "previewResults")}


def _wanted(verdict: Verdict, repository: Repository, request: Json) -> bool:
    status = request.get("filter", {}).get("tagStatus", "ANY")
    if (status == "TAGGED" and not verdict.tags) or (status == "UNTAGGED" and verdict.tags):
        return False
    identities = request.get("imageIds")
    if not identities:
        return True
    found = [repository.find(identity.get("imageTag"), identity.get("imageDigest")) for identity in identities]
    return verdict.image in found


def _result(verdict: Verdict) -> Json:
    transition = verdict.rule.action == "transition"
    return {
        **({"imageTags": verdict.tags} if verdict.tags else {}),
        "imageDigest": verdict.image.digest,
        "imagePushedAt": verdict.image.pushed_at,
        "action": {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"} if transition else {"type": "EXPIRE"},
        "appliedRulePriority": verdict.rule.priority,
        "storageClass": "STANDARD",
    }


def _summary(verdicts: Sequence[Verdict]) -> Json:
    transitions = sum(verdict.rule.action == "transition" for verdict in verdicts)
    counts = [{"targetStorageClass": "ARCHIVE", "imageTotalCount": transitions}] if transitions else []
    return {
        "expiringImageTotalCount": len(verdicts) - transitions,
        **({"transitioningImageTotalCounts": counts} if counts else {}),
    }
