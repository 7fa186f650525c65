# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repository creation templates: what is wanted, what is there, and how to get from the one to the other.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_pull_through as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import (
    lifecycle,
    lifecycle_grammar,
    policies,
    transformations,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.creation_template_grammar import (
    Template,
    check_prefixes,
    check_templates,
    combination_problems,
    invalid,
    located,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import normal_prefix

MUTABLE, AES256 = "MUTABLE", "AES256"

# A template of which nothing is said, and the order of the fields in results and diffs.
EMPTY: Template = {
    "prefix": None,
    "description": None,
    "applied_for": [],
    "encryption_type": AES256,
    "kms_key_arn": None,
    "resource_tags": {},
    "image_tag_mutability": MUTABLE,
    "image_tag_mutability_exclusion_filters": [],
    "repository_policy": None,
    "lifecycle_rules": None,
    "custom_role_arn": None,
}
_NOTHING = ("", "{}")

# Whether AWS keeps or clears what an update leaves out is not documented, so what is to go is sent as nothing.
_CLEARED: Mapping[str, Any] = {
    "description": "",
    "resourceTags": [],
    "repositoryPolicy": "",
    "lifecyclePolicy": "",
    "customRoleArn": "",
}


@dataclass(frozen=True)
class Desired:
    """What a task says of templates; fields that it does not mention are not there."""

    templates: list[Template]
    warnings: list[str]


def desired_templates(given: Sequence[Mapping[str, Any]], region: str) -> Desired:
    """From the options of the module, checked as a whole before anything is asked of AWS."""
    templates: list[Template] = []
    problems: list[str] = []
    for options in given:
        template = _plain_fields(options)
        for name, read in (("repository_policy", _said_policy), ("lifecycle_rules", _said_rules)):
            try:
                template.update(read(options))
            except (ValueError, AnsibleECRError) as error:
                problems.append(located(template["prefix"], (name, str(error))))
        templates.append(template)
    check_templates(templates, region, problems)
    return Desired(templates, [warning for template in templates for warning in _warnings(template)])


def stored_templates(client: Any) -> dict[str, dict[str, Any]]:
    """The templates as ECR tells them, by normal prefix."""
    return {normal_prefix(template["prefix"]): template for template in api.list_templates(client)}


def absent(client: Any, given: Sequence[Mapping[str, Any]], check_mode: bool) -> list[Outcome[Change]]:
    """Make ECR have no templates of these prefixes. What else is said of them does not matter."""
    prefixes = [normal_prefix(options["prefix"]) for options in given]
    check_prefixes(prefixes)
    return converge(client, stored_templates(client), dict.fromkeys(prefixes), check_mode)


def converge(
    client: Any,
    stored: Mapping[str, Mapping[str, Any]],
    desired: Mapping[str, Template | None],
    check_mode: bool,
) -> list[Outcome[Change]]:
    """Make each template, by prefix, be what is said of it; None is that it shall go."""

    def work(prefix: str) -> Change:
        document = stored.get(prefix)
        change = plan(prefix, template_from_ecr(document) if document else None, desired[prefix])
        if not check_mode:
            apply(client, str(document["prefix"]) if document else prefix, change)
        return change

    return run_each(list(desired), work, parallel=1)


def plan(prefix: str, current: Template | None, desired: Template | None) -> Change:
    """Compare by meaning. Pure."""
    if desired is None:
        return Change(current, None, [f"delete the creation template {prefix}"] if current else [])
    after = _merged(current or EMPTY, desired)
    problems = list(combination_problems(after))
    if not after["applied_for"]:
        problems.append(("applied_for", "is required to create a template"))
    if problems:
        raise invalid(located(prefix, problem) for problem in problems)
    if current is None:
        return Change(None, after, [f"create the creation template {prefix} (for: {', '.join(after['applied_for'])})"])
    different = [name for name in EMPTY if after[name] != current[name]]
    return Change(
        current, after, [f"update {', '.join(different)} of the creation template {prefix}"] * bool(different)
    )


def apply(client: Any, stored_prefix: str, change: Change) -> None:
    """Do what the plan says, and nothing else."""
    if not change.changed:
        return
    if change.after is None:
        api.delete_template(client, stored_prefix)
    elif change.before is None:
        api.create_template(client, template_to_ecr(change.after))
    else:
        fields = template_to_ecr(change.after)
        had = template_to_ecr(change.before)
        cleared = {name: empty for name, empty in _CLEARED.items() if name in had and name not in fields}
        api.update_template(client, {**fields, **cleared, "prefix": stored_prefix})


def template_from_ecr(document: Mapping[str, Any]) -> Template:
    """Flat, in the words of the options, with every field, and in a normal form in which equal means the same."""
    encryption = document.get("encryptionConfiguration") or {}
    return {
        "prefix": normal_prefix(document["prefix"]),
        "description": document.get("description") or None,
        "applied_for": sorted(purpose.lower() for purpose in document["appliedFor"]),
        "encryption_type": encryption.get("encryptionType", AES256),
        "kms_key_arn": encryption.get("kmsKey") or None,
        "resource_tags": boto3_tag_list_to_ansible_dict(document.get("resourceTags") or []),
        **mutability_from_ecr(document),
        "repository_policy": stored_policy(document.get("repositoryPolicy")),
        "lifecycle_rules": _stored_rules(document.get("lifecyclePolicy")),
        "custom_role_arn": document.get("customRoleArn") or None,
    }


def template_to_ecr(template: Template) -> dict[str, Any]:
    """All its fields, without those that are empty."""
    rules, policy, key = template["lifecycle_rules"], template["repository_policy"], template["kms_key_arn"]
    fields = {
        "prefix": template["prefix"],
        "description": template["description"],
        "appliedFor": [purpose.upper() for purpose in template["applied_for"]],
        "encryptionConfiguration": {"encryptionType": template["encryption_type"], **({"kmsKey": key} if key else {})},
        "resourceTags": ansible_dict_to_boto3_tag_list(template["resource_tags"]),
        **mutability_to_ecr(template),
        "repositoryPolicy": policies.policy_to_text(policy) if policy else None,
        "lifecyclePolicy": transformations.rules_to_text(rules) if rules else None,
        "customRoleArn": template["custom_role_arn"],
    }
    return {name: value for name, value in fields.items() if value}


def mutability_from_ecr(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same for templates and repositories."""
    filters = document.get("imageTagMutabilityExclusionFilters") or []
    return {
        "image_tag_mutability": document.get("imageTagMutability", MUTABLE),
        "image_tag_mutability_exclusion_filters": sorted(item["filter"] for item in filters),
    }


def mutability_to_ecr(fields: Mapping[str, Any]) -> dict[str, Any]:
    filters = [{"filterType": "WILDCARD", "filter": text} for text in fields["image_tag_mutability_exclusion_filters"]]
    return {
        "imageTagMutability": fields["image_tag_mutability"],
        **({"imageTagMutabilityExclusionFilters": filters} if filters else {}),
    }


def stored_policy(text: str | None) -> policies.Policy | None:
    try:
        return policies.policy_from_text(text) if text else None
    except ValueError as error:
        raise AnsibleECRError(
            f"The stored repository policy cannot be understood: {error}", code="UnreadableRepositoryPolicy"
        ) from error


def _stored_rules(text: str | None) -> list[transformations.Rule] | None:
    try:
        policy = transformations.policy_from_text(text) if text else None
    except ValueError as error:
        raise AnsibleECRError(
            f"The stored lifecycle policy cannot be understood: {error}", code="UnreadableLifecyclePolicy"
        ) from error
    return transformations.normal_rules(transformations.rules_from_policy(policy)) if policy else None


# ------------------------------------------------------------------ what a task says


def _plain_fields(options: Mapping[str, Any]) -> Template:
    """The fields that the task mentions, in their normal form. An empty one is a wish too: for nothing."""
    said = {name: options[name] for name in EMPTY if options.get(name) is not None}
    said["prefix"] = normal_prefix(options["prefix"])
    for name in ("description", "kms_key_arn", "custom_role_arn"):
        if name in said:
            said[name] = said[name] or None
    for name in ("applied_for", "image_tag_mutability_exclusion_filters"):
        if name in said:
            said[name] = sorted(set(said[name]))
    if "resource_tags" in said:
        said["resource_tags"] = {str(key): str(value) for key, value in said["resource_tags"].items()}
    if said.get("image_tag_mutability") in ("MUTABLE", "IMMUTABLE"):
        said.setdefault("image_tag_mutability_exclusion_filters", [])
    if said.get("encryption_type") == AES256:
        said.setdefault("kms_key_arn", None)
    return {name: value for name, value in said.items() if name not in ("repository_policy", "lifecycle_rules")}


def _said_policy(options: Mapping[str, Any]) -> Template:
    text = options.get("repository_policy")
    if text is None:
        return {}
    return {"repository_policy": None if text in _NOTHING else policies.policy_from_text(text)}


def _said_rules(options: Mapping[str, Any]) -> Template:
    rules, text = options.get("lifecycle_rules"), options.get("lifecycle_policy")
    if rules is None and text is None:
        return {}
    if rules == [] or text in _NOTHING:
        return {"lifecycle_rules": None}
    given = [_with_lists(rule) for rule in rules or []]
    desired = lifecycle.desired_policy({"state": "present", "preview": False, "policy": text, "rules": given})
    return {"lifecycle_rules": desired.rules}


def _warnings(template: Template) -> list[str]:
    warnings = lifecycle_grammar.policy_warnings(template.get("lifecycle_rules") or [], lifecycle_grammar.our_names)
    return [located(template["prefix"], ("lifecycle_rules", warning)) for warning in warnings]


def _with_lists(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A single tag may stand for a list of one, as everywhere in Ansible."""
    single = {name: [rule[name]] for name in transformations.TAG_LISTS if isinstance(rule.get(name), str)}
    return {**rule, **single}


def _merged(current: Template, desired: Template) -> Template:
    """What nobody mentioned stays, and a policy that means the same stays as it is written."""
    merged = {**current, **desired}
    if policies.same_policy(current["repository_policy"], merged["repository_policy"]):
        merged["repository_policy"] = current["repository_policy"]
    return merged
