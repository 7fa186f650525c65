"""Which images a lifecycle policy would act on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from loopback.clock import clock
from loopback.fidelity import assumed, documented
from loopback.services.ecr.lifecycle_grammar import Rule
from loopback.services.ecr.state import Image, Repository, matches

DAY = 86400


@dataclass(frozen=True)
class Verdict:
    image: Image
    tags: list[str]
    rule: Rule


@documented("ECR user guide, LifecyclePolicies, evaluation rules, and lifecycle_policy_examples")
@assumed("children of an index count towards imageCountMoreThan; no image is in the archive here")
def evaluate(repository: Repository, rules: Sequence[Rule]) -> list[Verdict]:
    """At most one verdict an image, from rules by priority. A rule still counts what a higher one has claimed."""
    verdicts: list[Verdict] = []
    claimed: set[str] = set()
    protected = _children(repository)
    for rule in rules:
        matching = [image for image in _newest_first(repository) if _selects(rule, repository.tags_of(image.digest))]
        marked = [image for image in _beyond(rule, matching) if image.digest not in claimed | protected]
        verdicts += [Verdict(image, repository.tags_of(image.digest), rule) for image in reversed(marked)]
        claimed |= {image.digest for image in matching}
    return verdicts


def _newest_first(repository: Repository) -> list[Image]:
    """Of two images pushed in the same instant, the one that came later is the newer one."""
    return sorted(repository.images.values(), key=lambda image: image.pushed_at)[::-1]


def _selects(rule: Rule, tags: Sequence[str]) -> bool:
    """All entries of a list must be met, each by any of the image's tags."""
    if rule.storage_class != "standard":
        return False
    if rule.tag_status == "untagged":
        return not tags
    if rule.tag_status == "any":
        return True
    by_prefix = all(any(tag.startswith(prefix) for tag in tags) for prefix in rule.prefixes)
    return by_prefix and all(any(matches(pattern, tag) for tag in tags) for pattern in rule.patterns)


def _beyond(rule: Rule, matching: Sequence[Image]) -> Sequence[Image]:
    """The images that a rule's count leaves out, of those it selects, newest first."""
    if rule.count_type == "imageCountMoreThan":
        return matching[rule.count_number :]
    oldest_kept = clock.now() - rule.count_number * DAY
    if rule.count_type == "sinceImagePulled":
        return [image for image in matching if (image.pulled_at or image.pushed_at) < oldest_kept]
    return [image for image in matching if image.pushed_at < oldest_kept]


def _children(repository: Repository) -> set[str]:
    """Images that a manifest list refers to stay as long as the list does."""
    return {
        child["digest"]
        for image in repository.images.values()
        if image.is_index
        for child in json.loads(image.raw).get("manifests", [])
    }
