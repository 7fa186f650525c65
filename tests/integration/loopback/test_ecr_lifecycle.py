"""ECR's lifecycle policies in the loopback cloud: grammar, evaluation, dry run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from ecr_api import push_image, push_index, refused

from loopback.client import Cloud

DAY = 86400
REPOSITORY = "team/app"
Rule = dict[str, Any]


def rule(priority: int = 1, *, action: str = "expire", **selection: Any) -> Rule:
    """A rule that keeps the newest image of all, unless told otherwise. None removes what is the default here."""
    wanted = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1, **selection}
    return {
        "rulePriority": priority,
        "description": "made for a test of the loopback cloud's lifecycle policies",
        "selection": {key: value for key, value in wanted.items() if value is not None},
        "action": {"type": action, **({"targetStorageClass": "archive"} if action == "transition" else {})},
    }


def days(count_type: str, number: int) -> dict[str, Any]:
    return {"countType": count_type, "countUnit": "days", "countNumber": number}


def text(*rules: Rule) -> str:
    return json.dumps({"rules": rules})


def tagged(*patterns: str, **more: Any) -> dict[str, Any]:
    return {"tagStatus": "tagged", "tagPatternList": list(patterns), **more}


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    client = cloud.client("ecr")
    client.create_repository(repositoryName=REPOSITORY)
    cloud.knobs(ecr__preview__polls=0)
    return client


# ------------------------------------------------------------------ policies


def test_policy_is_kept_replaced_and_removed(ecr: Any) -> None:
    with refused("LifecyclePolicyNotFoundException"):
        ecr.get_lifecycle_policy(repositoryName=REPOSITORY)
    for policy in (text(rule()), text(rule(2, tagStatus="untagged"), rule(3))):
        ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=policy)
        kept = ecr.get_lifecycle_policy(repositoryName=REPOSITORY)
        assert json.loads(kept["lifecyclePolicyText"]) == json.loads(policy)
    ecr.delete_lifecycle_policy(repositoryName=REPOSITORY)
    with refused("LifecyclePolicyNotFoundException"):
        ecr.delete_lifecycle_policy(repositoryName=REPOSITORY)
    with refused("RepositoryNotFoundException"):
        ecr.put_lifecycle_policy(repositoryName="no/such", lifecyclePolicyText=text(rule()))


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule(1, tagStatus="untagged"), rule(5, **tagged("v*")), rule(9)], id="any has the last word"),
        pytest.param([rule(9), rule(1, tagStatus="untagged")], id="order in the text is free"),
        pytest.param([rule(**days("sinceImagePulled", 30), action="transition")], id="archive what nobody pulls"),
        pytest.param(
            [rule(1), rule(2, storageClass="archive", **days("sinceImageTransitioned", 90))],
            id="any is last by storage class",
        ),
        pytest.param([rule(**tagged("*a*b*c*", "v*"))], id="four wildcards"),
        pytest.param(
            [rule(1, tagStatus="tagged", tagPrefixList=["v"]), rule(2, tagStatus="tagged", tagPrefixList=["v", "w"])],
            id="different sets of prefixes",
        ),
        pytest.param([rule(1, storageClass="standard", action="transition")], id="archive by count"),
        pytest.param([rule(n, **tagged(f"v{n}*")) for n in range(1, 51)], id="fifty rules"),
    ],
)
def test_policies_that_follow_the_grammar(ecr: Any, rules: list[Rule]) -> None:
    ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=text(*rules))


_NO_PATTERNS = {"tagStatus": "tagged"}
REFUSED: dict[str, tuple[list[Rule], str]] = {
    # Told by users:
    "any before others": ([rule(1), rule(2, tagStatus="untagged")], "Rule for tagStatus=ANY must have the lowest"),
    "untagged twice": (
        [rule(1, tagStatus="untagged"), rule(2, tagStatus="untagged", **days("sinceImagePushed", 3))],
        "Only one rule can select Untagged images per storage class",
    ),
    "tagged without tags": (
        [rule(**_NO_PATTERNS)],
        "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
    ),
    # Documented, in words that nobody has told:
    "priority twice": ([rule(1, tagStatus="untagged"), rule(1)], ""),
    "priority zero": ([rule(0)], ""),
    "priority as text": ([{**rule(), "rulePriority": "1"}], ""),
    "no priority": ([{k: v for k, v in rule().items() if k != "rulePriority"}], "rulePriority"),
    "no action": ([{k: v for k, v in rule().items() if k != "action"}], "action"),
    "unknown field": ([{**rule(), "priority": 1}], "priority"),
    "unknown selection": ([rule(tagRegexList=["v.*"])], "tagRegexList"),
    "description is a number": ([{**rule(), "description": 1}], ""),
    "unknown tagStatus": ([rule(tagStatus="ANY")], ""),
    "both lists": ([rule(**tagged("v*"), tagPrefixList=["v"])], ""),
    "patterns for untagged": ([rule(**tagged("v*", tagStatus="untagged"))], ""),
    "prefixes for any": ([rule(tagPrefixList=["v"])], ""),
    "empty list": ([rule(**tagged())], ""),
    "pattern is a number": ([rule(tagStatus="tagged", tagPatternList=[1])], ""),
    "five wildcards": ([rule(**tagged("*a*b*c*d*"))], ""),
    "count of zero": ([rule(countNumber=0)], ""),
    "count of one and a half": ([rule(countNumber=1.5)], ""),
    "unit for a count of images": ([rule(countUnit="days")], ""),
    "no unit for days": ([rule(countType="sinceImagePushed")], ""),
    "unit of hours": ([rule(**{**days("sinceImagePushed", 3), "countUnit": "hours"})], ""),
    "a null": ([{**rule(), "description": None}], ""),
    "pulled cannot expire": ([rule(**days("sinceImagePulled", 3))], ""),
    "transition without a target": ([{**rule(), "action": {"type": "transition"}}], ""),
    "expire with a target": ([{**rule(), "action": {"type": "expire", "targetStorageClass": "archive"}}], ""),
    "transitioned is about the archive": ([rule(**days("sinceImageTransitioned", 90))], ""),
    "pushed is not about the archive": ([rule(**days("sinceImagePushed", 90), storageClass="archive")], ""),
    "less than 90 days in the archive": (
        [rule(**days("sinceImageTransitioned", 89), storageClass="archive")],
        "",
    ),
    "same prefixes": (
        [
            rule(1, tagStatus="tagged", tagPrefixList=["v", "w"]),
            rule(2, tagStatus="tagged", tagPrefixList=["w", "v"]),
        ],
        "",
    ),
    "51 rules": ([rule(n, **tagged(f"v{n}*")) for n in range(1, 52)], ""),
}


@pytest.mark.parametrize(("rules", "says"), REFUSED.values(), ids=REFUSED)
def test_policies_that_break_the_grammar(ecr: Any, rules: list[Rule], says: str) -> None:
    for call in (ecr.put_lifecycle_policy, ecr.start_lifecycle_policy_preview):
        with refused("InvalidParameterException", "LifecyclePolicyText", "Lifecycle policy validation failure", says):
            call(repositoryName=REPOSITORY, lifecyclePolicyText=text(*rules))


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("{" + " " * 100, "Could not map policyString into LifecyclePolicy."),
        (json.dumps({"rule": [], "x": "x" * 100}), 'object has missing required properties (["rules"])'),
        (json.dumps({"rules": []}) + " " * 100, ""),
        (text(rule()) + " " * 30_720, "30720"),
    ],
)
def test_texts_that_are_no_policy(ecr: Any, policy: str, says: str) -> None:
    with refused("InvalidParameterException", says):
        ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=policy)


# ------------------------------------------------------------------ evaluation


def outcome(ecr: Any, *rules: Rule) -> list[tuple[str, int]]:
    """(tags, or the digest of an untagged image; priority of the rule that takes it), in order of the verdicts."""
    return [
        (",".join(result.get("imageTags", [])) or result["imageDigest"], result["appliedRulePriority"])
        for result in preview(ecr, *rules)["previewResults"]
    ]


def preview(ecr: Any, *rules: Rule, **more: Any) -> dict[str, Any]:
    ecr.start_lifecycle_policy_preview(repositoryName=REPOSITORY, lifecyclePolicyText=text(*rules))
    answer: dict[str, Any] = ecr.get_lifecycle_policy_preview(repositoryName=REPOSITORY, **more)
    assert answer["status"] == "COMPLETE"
    return answer


def push_each_day(cloud: Cloud, ecr: Any, images: Iterable[list[str]]) -> list[str]:
    """One image a day, the last one a moment ago."""
    digests = []
    for number, tags in enumerate(images):
        if number:
            cloud.advance(DAY)
        digests.append(push_image(ecr, REPOSITORY, tags, seed=number))
    return digests


@pytest.fixture
def example(cloud: Cloud, ecr: Any) -> None:
    """The repository of the user guide's examples: A, B and C."""
    push_each_day(cloud, ecr, [["beta-1", "prod-1"], ["beta-2", "prod-2"], ["beta-3"]])


@pytest.mark.usefixtures("example")
def test_a_match_by_a_higher_rule_protects_from_a_lower_one(ecr: Any) -> None:
    assert outcome(ecr, rule(1, **tagged("prod*")), rule(2, **tagged("beta*"))) == [("beta-1,prod-1", 1)]


@pytest.mark.usefixtures("example")
def test_priority_decides_not_the_order_of_the_text(ecr: Any) -> None:
    assert outcome(ecr, rule(2, **tagged("prod*")), rule(1, **tagged("beta*"))) == [
        ("beta-1,prod-1", 1),
        ("beta-2,prod-2", 1),
    ]


def test_a_lower_rule_counts_what_a_higher_one_takes(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["old"], ["middle"], ["latest"]])
    rules = [rule(1, **tagged("latest")), rule(2, **tagged("*", countNumber=2))]
    assert outcome(ecr, *rules) == [("old", 2)]


@pytest.mark.usefixtures("example")
def test_all_entries_of_a_list_must_be_met(ecr: Any) -> None:
    assert outcome(ecr, rule(**tagged("beta*", "prod*"))) == [("beta-1,prod-1", 1)]
    assert outcome(ecr, rule(**tagged("beta*", "*-3"))) == []
    assert outcome(ecr, rule(tagStatus="tagged", tagPrefixList=["prod-", "beta-"])) == [("beta-1,prod-1", 1)]


def test_a_prefix_is_no_pattern(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["v1"], ["v2"]])
    assert outcome(ecr, rule(tagStatus="tagged", tagPrefixList=["*"])) == []


def test_tag_status(cloud: Cloud, ecr: Any) -> None:
    untagged = push_each_day(cloud, ecr, [[], [], ["v1"], ["v2"]])[0]
    assert outcome(ecr, rule(tagStatus="untagged")) == [(untagged, 1)]
    assert outcome(ecr, rule(**tagged("*"))) == [("v1", 1)]
    assert len(outcome(ecr, rule(countNumber=1))) == 3


def test_age_since_push(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["v1"], ["v2"], ["v3"]])
    cloud.advance(DAY / 2)
    assert outcome(ecr, rule(**days("sinceImagePushed", 1))) == [("v1", 1), ("v2", 1)]
    assert outcome(ecr, rule(**days("sinceImagePushed", 3))) == []


def test_age_since_pull_is_that_since_push_for_what_nobody_pulled(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["pulled"], ["forgotten"]])
    cloud.advance(5 * DAY)
    ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "pulled"}])
    answer = preview(ecr, rule(**days("sinceImagePulled", 3), action="transition"))
    assert [result["imageTags"] for result in answer["previewResults"]] == [["forgotten"]]
    assert answer["previewResults"][0]["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    assert answer["summary"] == {
        "expiringImageTotalCount": 0,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


def test_an_image_is_taken_by_one_rule_at_most(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["v1"], ["v2"], ["v3"]])
    rules = [rule(1, **tagged("v*"), action="transition"), rule(2)]
    answer = preview(ecr, *rules)
    assert [result["appliedRulePriority"] for result in answer["previewResults"]] == [1, 1]
    assert answer["summary"]["expiringImageTotalCount"] == 0


def test_children_stay_as_long_as_their_list(cloud: Cloud, ecr: Any) -> None:
    children = push_each_day(cloud, ecr, [[], []])
    push_index(ecr, REPOSITORY, children, ["multi"])
    cloud.advance(10 * DAY)
    assert outcome(ecr, rule(tagStatus="untagged", **days("sinceImagePushed", 1))) == []
    assert outcome(ecr, rule(**days("sinceImagePushed", 1))) == [("multi", 1)]
    ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "multi"}])
    assert len(outcome(ecr, rule(tagStatus="untagged", **days("sinceImagePushed", 1)))) == 2


# ------------------------------------------------------------------ dry run


def test_a_dry_run_changes_nothing(cloud: Cloud, ecr: Any) -> None:
    push_each_day(cloud, ecr, [["v1"], ["v2"]])
    assert outcome(ecr, rule()) == [("v1", 1)]
    assert len(ecr.list_images(repositoryName=REPOSITORY)["imageIds"]) == 2
    with refused("LifecyclePolicyNotFoundException"):
        ecr.get_lifecycle_policy(repositoryName=REPOSITORY)


def test_there_is_none_before_the_first(ecr: Any) -> None:
    with refused("LifecyclePolicyPreviewNotFoundException"):
        ecr.get_lifecycle_policy_preview(repositoryName=REPOSITORY)


def test_it_takes_time_and_one_runs_at_once(cloud: Cloud, ecr: Any) -> None:
    cloud.knobs(ecr__preview__polls=2)
    call = {"repositoryName": REPOSITORY}
    started = ecr.start_lifecycle_policy_preview(**call, lifecyclePolicyText=text(rule()))
    assert started["status"] == "IN_PROGRESS"
    with refused("LifecyclePolicyPreviewInProgressException"):
        ecr.start_lifecycle_policy_preview(**call, lifecyclePolicyText=text(rule()))
    seen = [ecr.get_lifecycle_policy_preview(**call)["status"] for _poll in range(3)]
    assert seen == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETE"]
    ecr.start_lifecycle_policy_preview(**call, lifecyclePolicyText=text(rule(countNumber=2)))


@pytest.mark.parametrize("status", ["FAILED", "EXPIRED"])
def test_it_may_end_badly(cloud: Cloud, ecr: Any, status: str) -> None:
    cloud.knobs(ecr__preview__status=status)
    ecr.start_lifecycle_policy_preview(repositoryName=REPOSITORY, lifecyclePolicyText=text(rule()))
    answer = ecr.get_lifecycle_policy_preview(repositoryName=REPOSITORY)
    assert answer["status"] == status
    assert not answer.get("previewResults")


def test_without_a_text_it_tries_the_policy_that_is_there(ecr: Any) -> None:
    with refused("LifecyclePolicyNotFoundException"):
        ecr.start_lifecycle_policy_preview(repositoryName=REPOSITORY)
    ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=text(rule(countNumber=7)))
    started = ecr.start_lifecycle_policy_preview(repositoryName=REPOSITORY)
    assert json.loads(started["lifecyclePolicyText"])["rules"][0]["selection"]["countNumber"] == 7


def test_results_come_in_pages(ecr: Any) -> None:
    for number in range(106):
        push_image(ecr, REPOSITORY, [f"v{number}"])
    first = preview(ecr, rule())
    assert len(first["previewResults"]) == 100
    assert first["summary"]["expiringImageTotalCount"] == 105
    rest = ecr.get_lifecycle_policy_preview(repositoryName=REPOSITORY, nextToken=first["nextToken"])
    assert len(rest["previewResults"]) == 5
    assert "nextToken" not in rest
    with refused("InvalidParameterException", "maxResults"):
        ecr.get_lifecycle_policy_preview(repositoryName=REPOSITORY, maxResults=101)


def test_results_can_be_narrowed_down(cloud: Cloud, ecr: Any) -> None:
    untagged, _v1, _v2 = push_each_day(cloud, ecr, [[], ["v1"], ["v2"]])
    results = preview(ecr, rule(), filter={"tagStatus": "UNTAGGED"})["previewResults"]
    assert [result["imageDigest"] for result in results] == [untagged]
    results = preview(ecr, rule(), filter={"tagStatus": "TAGGED"})["previewResults"]
    assert [result["imageTags"] for result in results] == [["v1"]]
    results = preview(ecr, rule(), imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])["previewResults"]
    assert [result["imageTags"] for result in results] == [["v1"]]
