# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with repository creation templates, with a message for every mistake at once.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.policies import MAX_POLICY_CHARACTERS, policy_to_text
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import prefix_problem, repeated

# A template in the words of the options, in its normal form: whole, or what a task says of it.
Template = dict[str, Any]
# (field, what is wrong with it)
Problem = tuple[str, str]

PREFIX_LENGTHS = range(1, 257)
MAX_DESCRIPTION = 256
MAX_FILTERS = 5
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 128, 256

_FILTER = re.compile(r"[0-9a-zA-Z._*-]{1,128}")
_KEY_ARN = re.compile(r"arn:aws[a-z0-9-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:key/[a-z0-9-]+")
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/.+")


def check_templates(templates: Sequence[Template], region: str, known_problems: Sequence[str]) -> None:
    """All that can be known before AWS is asked. The templates hold what the task says."""
    problems = [
        located(template["prefix"], problem)
        for template in templates
        for problem in (*_field_problems(template, region), *combination_problems(template))
    ]
    prefixes = [template["prefix"] for template in templates]
    _raise_if_any([*known_problems, *_prefix_problems(prefixes), *problems])


def check_prefixes(prefixes: Sequence[str]) -> None:
    """What a template that is to go must have right."""
    _raise_if_any(_prefix_problems(prefixes))


def combination_problems(template: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields that do not go together, in a whole template or in what a task says of one."""
    mutability, filters = template.get("image_tag_mutability"), template.get("image_tag_mutability_exclusion_filters")
    with_exclusion = (mutability or "").endswith("_WITH_EXCLUSION")
    if filters and not with_exclusion:
        yield (
            "image_tag_mutability_exclusion_filters",
            "need image_tag_mutability IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION",
        )
    if with_exclusion and not filters:
        yield "image_tag_mutability_exclusion_filters", f"are required with image_tag_mutability {mutability}"
    uses_kms = template.get("encryption_type") not in (None, "AES256")
    if template.get("kms_key_arn") and not uses_kms:
        yield "kms_key_arn", "needs encryption_type KMS or KMS_DSSE"
    for given, field, reason in (
        (uses_kms, f"encryption_type {template.get('encryption_type')}", "uses the key"),
        (template.get("resource_tags"), "resource_tags", "tags repositories"),
    ):
        if given and not template.get("custom_role_arn"):
            yield (
                "custom_role_arn",
                f"is required with {field}: Amazon ECR {reason} as this role, which ecr.amazonaws.com must be allowed "
                "to assume. Without it ECR takes the template, but creates no repository from it, and pulls fail",
            )


def located(prefix: str, problem: Problem) -> str:
    field, text = problem
    return f"{prefix!r}, {field}: {text}"


def invalid(problems: Iterable[str]) -> AnsibleECRError:
    return AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidCreationTemplate")


def _raise_if_any(problems: Sequence[str]) -> None:
    if problems:
        raise invalid(problems)


def _prefix_problems(prefixes: Sequence[str]) -> list[str]:
    wrong = [(prefix, prefix_problem(prefix, PREFIX_LENGTHS)) for prefix in prefixes]
    twice = "is there more than once (a slash at the end is no difference)"
    return [
        *(located(prefix, ("prefix", problem)) for prefix, problem in wrong if problem),
        *(located(prefixes[at], ("prefix", twice)) for at in repeated(prefixes)),
    ]


def _field_problems(template: Template, region: str) -> Iterator[Problem]:
    if template.get("applied_for") == []:
        yield "applied_for", "must name at least one of pull_through_cache, replication, create_on_push"
    if len(template.get("description") or "") > MAX_DESCRIPTION:
        yield "description", f"must have at most {MAX_DESCRIPTION} characters, not {len(template['description'])}"
    role = template.get("custom_role_arn")
    if role and not _ROLE_ARN.fullmatch(role):
        yield "custom_role_arn", f"must be the ARN of an IAM role, not {role!r}"
    yield from _key_problems(template.get("kms_key_arn"), region)
    yield from _filter_problems(template.get("image_tag_mutability_exclusion_filters") or [])
    yield from _tag_problems(template.get("resource_tags") or {})
    policy = template.get("repository_policy")
    if policy and len(policy_to_text(policy)) > MAX_POLICY_CHARACTERS:
        size = len(policy_to_text(policy))
        yield "repository_policy", f"takes {size} characters as JSON, ECR allows {MAX_POLICY_CHARACTERS}"


def _key_problems(arn: str | None, region: str) -> Iterator[Problem]:
    if not arn:
        return
    match = _KEY_ARN.fullmatch(arn)
    if not match:
        yield "kms_key_arn", f"must be the ARN of a key, not an alias or an id: {arn!r}"
    elif match["region"] != region:
        yield "kms_key_arn", f"the key is in {match['region']}, but must be in the region of the registry, {region}"


def _filter_problems(filters: Sequence[str]) -> Iterator[Problem]:
    field = "image_tag_mutability_exclusion_filters"
    if len(filters) > MAX_FILTERS:
        yield field, f"there are {len(filters)}, ECR allows {MAX_FILTERS}"
    for text in filters:
        if not _FILTER.fullmatch(text):
            yield field, f"must have 1 to 128 letters, digits, dots, dashes, underscores and *, not {text!r}"


def _tag_problems(tags: Mapping[str, str]) -> Iterator[Problem]:
    if len(tags) > MAX_TAGS:
        yield "resource_tags", f"there are {len(tags)}, ECR allows {MAX_TAGS}"
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_TAG_KEY or key.lower().startswith("aws:"):
            yield "resource_tags", f"keys must have 1 to {MAX_TAG_KEY} characters and not begin with aws:, not {key!r}"
        if len(value) > MAX_TAG_VALUE:
            yield "resource_tags", f"the value of {key} must have at most {MAX_TAG_VALUE} characters, not {len(value)}"
