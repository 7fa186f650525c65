# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pull-through cache rules: what is wanted, what is there, and how to get from the one to the other.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_pull_through as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import (
    ROOT,
    is_under,
    normal_prefix,
    prefix_problem,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import (
    SECRET_PREFIX,
    Rule,
    check_accounts,
    check_prefixes,
    check_region,
    check_rules,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_validation import (
    login_of,
    validate_logins,
    validated,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import (
    ROLE,
    SECRET,
    UPSTREAMS,
    normal_url,
    upstream_of,
)

PURGE_PREFIX_LENGTHS = range(1, 31)

# Where ECR keeps each of our fields; `upstream` follows from the URL.
API_NAMES = {
    "prefix": "ecrRepositoryPrefix",
    "upstream_url": "upstreamRegistryUrl",
    "upstream_repository_prefix": "upstreamRepositoryPrefix",
    SECRET: "credentialArn",
    ROLE: "customRoleArn",
}
UPDATABLE = (SECRET, ROLE)
FIXED = ("upstream_url", "upstream_repository_prefix")
FIELDS = ("prefix", "upstream", *FIXED, *UPDATABLE)

_REMEDIES = {
    "LimitExceededException": "Amazon ECR allows 50 rules in a registry and region, and the quota cannot be raised: "
    "remove rules that nobody needs, with state=absent or purge",
    "PullThroughCacheRuleAlreadyExistsException": "Somebody else has just created it: run again",
    "SecretNotFoundException": "Check the six characters at the end of credential_arn, and that the secret exists",
    "UnableToAccessSecretException": f"The secret must be in this account and region and be named {SECRET_PREFIX}...",
    "UnableToDecryptSecretValueException": "The secret must be encrypted with the key aws/secretsmanager: Amazon ECR "
    "cannot use a customer managed key",
}


@dataclass(frozen=True)
class Settings:
    """How to go about it."""

    check_mode: bool
    recreate: bool = False
    validate: bool | None = None  # None: where there is a credential
    purge_prefix: str | None = None


@dataclass(frozen=True)
class Registry:
    """What is there: the rules as ECR tells them, by normal prefix, and the address that serves their images."""

    rules: Mapping[str, Mapping[str, Any]]
    host: str = ""

    def rule(self, prefix: str) -> Rule | None:
        return rule_from_ecr(self.rules[prefix]) if prefix in self.rules else None

    def stored_prefix(self, prefix: str) -> str:
        """The prefix in ECR's own spelling, which may have a slash at the end."""
        return str(self.rules[prefix]["ecrRepositoryPrefix"]) if prefix in self.rules else prefix

    def pull_url(self, prefix: str) -> str:
        return self.host if prefix == ROOT else f"{self.host}/{prefix}"


@dataclass(frozen=True)
class Done:
    """A change, and the error that stopped it half-way."""

    change: Change
    error: AnsibleECRError | None = None


def desired_rules(given: Sequence[Mapping[str, Any]], region: str) -> list[Rule]:
    """From the options of the module, checked as a whole before anything is asked of AWS."""
    check_region(region)
    rules = [_desired_rule(rule) for rule in given]
    check_rules(rules, region)
    return rules


def purge_under(params: Mapping[str, Any]) -> str | None:
    """Where rules that are not listed go; None is nowhere."""
    if not params["purge"]:
        return None
    if params["state"] == "absent":
        raise AnsibleECRError("purge deletes the rules that are not listed, state=absent those that are: leave one out")
    prefix = normal_prefix(params["purge_prefix"])
    problem = prefix_problem(prefix, PURGE_PREFIX_LENGTHS)
    if problem:
        raise AnsibleECRError(f"purge_prefix: {problem}", code="InvalidPrefix")
    return prefix


def unwanted_prefixes(given: Sequence[Mapping[str, Any]]) -> list[str]:
    """The prefixes of the rules that are to go. What else is said of them does not matter."""
    rules = [{"prefix": normal_prefix(rule["prefix"])} for rule in given]
    check_prefixes(rules)
    return [rule["prefix"] for rule in rules]


def present(client: Any, rules: Sequence[Rule], settings: Settings) -> list[Outcome[Change]]:
    """Make ECR have these rules. Those that are purged go first, and make room."""
    registry = Registry(_rules_by_prefix(client))
    if rules:
        registry = replace(registry, host=registry_host(client))
        check_accounts(rules, registry.host)
    purged = _purged(registry, rules, settings.purge_prefix)
    removed = absent(client, purged, settings, registry)
    by_prefix = {rule["prefix"]: rule for rule in rules}

    def converge(prefix: str) -> Done:
        change = plan(prefix, registry.rule(prefix), by_prefix[prefix], recreate=settings.recreate)
        change = replace(change, details={"pull_url": registry.pull_url(prefix), "validation": None})
        return Done(change) if settings.check_mode else apply(client, registry.stored_prefix(prefix), change)

    # One by one: the first rule creates ECR's service-linked role, and there are not many.
    changed = [_outcome(outcome) for outcome in run_each(list(by_prefix), converge, parallel=1)]
    return (
        validated(client, changed, registry.stored_prefix, settings.validate, check_mode=settings.check_mode) + removed
    )


def absent(
    client: Any, prefixes: Sequence[str], settings: Settings, registry: Registry | None = None
) -> list[Outcome[Change]]:
    """Make ECR have none of these rules."""
    known = registry or Registry(_rules_by_prefix(client))

    def converge(prefix: str) -> Done:
        change = plan(prefix, known.rule(prefix), None)
        change = replace(change, details={"pull_url": None, "validation": None})
        return Done(change) if settings.check_mode else apply(client, known.stored_prefix(prefix), change)

    return [_outcome(outcome) for outcome in run_each(prefixes, converge, parallel=1)]


def describe(client: Any, prefixes: Sequence[str] | None, *, validate: bool) -> list[dict[str, Any]]:
    """The rules that there are, or those of them that were asked for."""
    registry = Registry(_rules_by_prefix(client))
    wanted = list(registry.rules) if prefixes is None else list(dict.fromkeys(map(normal_prefix, prefixes)))
    found = [prefix for prefix in wanted if prefix in registry.rules]
    if not found:
        return []
    registry = replace(registry, host=registry_host(client))
    rules = {prefix: rule_from_ecr(registry.rules[prefix]) for prefix in found}
    validations = validate_logins(client, rules, registry.stored_prefix) if validate else {}
    for outcome in validations.values():
        if outcome.error:
            raise outcome.error
    return [
        {
            **rule,
            "registry_id": registry.rules[prefix].get("registryId"),
            "created_at": _moment(registry.rules[prefix].get("createdAt")),
            "updated_at": _moment(registry.rules[prefix].get("updatedAt")),
            "pull_url": registry.pull_url(prefix),
            "validation": validations[login_of(rule)].result if validate else None,
        }
        for prefix, rule in rules.items()
    ]


def plan(prefix: str, current: Rule | None, desired: Rule | None, *, recreate: bool = False) -> Change:
    """Compare by meaning. Pure."""
    if desired is None:
        return Change(current, None, [f"delete the pull-through cache rule {prefix}"] if current else [])
    if current is None:
        after = _completed(desired)
        return Change(None, after, [_creation(after)])
    after = _merged(current, desired)
    fixed, updated = _differences(current, after, FIXED), _differences(current, after, UPDATABLE)
    if fixed and not recreate:
        changes = ", ".join(f"{field} ({current[field]} to {after[field]})" for field in fixed)
        raise AnsibleECRError(
            f"Amazon ECR cannot change {changes} of a rule. Set recreate=true to delete the rule and create it anew: "
            "images that are cached stay, and pulls fail for the moment between the two",
            code="RecreateNeeded",
        )
    if fixed:
        return Change(current, after, [f"delete the pull-through cache rule {prefix}", _creation(after)])
    return Change(
        current, after, [f"update {', '.join(updated)} of the pull-through cache rule {prefix}"] * bool(updated)
    )


def apply(client: Any, stored_prefix: str, change: Change) -> Done:
    """Do what the plan says, and nothing else."""
    before, after = change.before, change.after
    if not change.changed:
        return Done(change)
    if after is None:
        api.delete_rule(client, stored_prefix)
    elif before is None:
        _create(client, after)
    elif _differences(before, after, FIXED):
        return _recreate(client, stored_prefix, change)
    else:
        _with_remedy(api.update_rule, client, _for_ecr({**after, "prefix": stored_prefix}, ("prefix", *UPDATABLE)))
    return Done(change)


def rule_from_ecr(document: Mapping[str, Any]) -> Rule:
    """Flat, in the words of the options, with every field, and in a normal form in which equal means the same."""
    url = normal_url(document["upstreamRegistryUrl"])
    upstream = upstream_of(url)
    return {
        "prefix": normal_prefix(document["ecrRepositoryPrefix"]),
        "upstream": upstream.name if upstream else document.get("upstreamRegistry"),
        "upstream_url": url,
        "upstream_repository_prefix": normal_prefix(document.get("upstreamRepositoryPrefix") or ROOT),
        SECRET: document.get("credentialArn"),
        ROLE: document.get("customRoleArn"),
    }


def registry_host(client: Any) -> str:
    """What stands before the first slash of an image's name: host, and port if it is not the usual one."""
    return urlsplit(api.registry_endpoint(client)).netloc


# ------------------------------------------------------------------ wanted rules


def _desired_rule(given: Mapping[str, Any]) -> Rule:
    """Upstream and URL from one another; None is what nobody mentioned."""
    rule = {field: given[field] for field in FIELDS}
    rule["prefix"] = normal_prefix(given["prefix"])
    if given["upstream_repository_prefix"] is not None:
        rule["upstream_repository_prefix"] = normal_prefix(given["upstream_repository_prefix"])
    if given["upstream_url"] is not None:
        rule["upstream_url"] = normal_url(given["upstream_url"])
        known = upstream_of(rule["upstream_url"])
        rule["upstream"] = given["upstream"] or (known.name if known else None)
    elif given["upstream"] is not None:
        rule["upstream_url"] = UPSTREAMS[given["upstream"]].url
    return rule


def _completed(rule: Rule) -> Rule:
    return {**rule, "upstream_repository_prefix": rule["upstream_repository_prefix"] or ROOT}


def _merged(current: Rule, desired: Rule) -> Rule:
    """What nobody mentioned stays. But another upstream never gets the login of the old one."""
    if desired["upstream_url"] != current["upstream_url"]:
        return _completed(desired)
    return {**current, **{field: value for field, value in desired.items() if value is not None}}


def _differences(before: Rule, after: Rule, fields: Iterable[str]) -> list[str]:
    return [field for field in fields if before[field] != after[field]]


def _creation(rule: Rule) -> str:
    return f"create the pull-through cache rule {rule['prefix']} (upstream: {rule['upstream_url']})"


def _purged(registry: Registry, rules: Sequence[Rule], purge_prefix: str | None) -> list[str]:
    if purge_prefix is None:
        return []
    listed = {rule["prefix"] for rule in rules}
    return [prefix for prefix in registry.rules if is_under(prefix, purge_prefix) and prefix not in listed]


# ------------------------------------------------------------------ ECR


def _rules_by_prefix(client: Any) -> dict[str, dict[str, Any]]:
    documents = {normal_prefix(rule["ecrRepositoryPrefix"]): rule for rule in api.list_rules(client)}
    return dict(sorted(documents.items()))


def _for_ecr(rule: Rule, fields: Iterable[str]) -> dict[str, str]:
    """ROOT for the upstream is ECR's default, and not to be sent along with ROOT as the prefix."""
    given = {field: rule[field] for field in fields if rule[field] is not None}
    return {API_NAMES[f]: value for f, value in given.items() if (f, value) != ("upstream_repository_prefix", ROOT)}


def _create(client: Any, rule: Rule) -> None:
    _with_remedy(api.create_rule, client, _for_ecr(rule, API_NAMES))


def _recreate(client: Any, stored_prefix: str, change: Change) -> Done:
    """Delete and create. Where the second fails, the rule that was there comes back."""
    api.delete_rule(client, stored_prefix)
    try:
        _create(client, change.after)
    except AnsibleECRError as error:
        return _restored(client, stored_prefix, change, error)
    return Done(change)


def _restored(client: Any, stored_prefix: str, change: Change, reason: AnsibleECRError) -> Done:
    try:
        _create(client, {**change.before, "prefix": stored_prefix})
    except AnsibleECRError as error:
        lost = AnsibleECRError(
            f"{reason}. The rule is deleted, and the old one could not be restored either: {error}. Run again",
            code=reason.code,
        )
        deletion = [action for action in change.actions if action.startswith("delete")]
        return Done(replace(change, after=None, actions=deletion), lost)
    restored = AnsibleECRError(f"{reason}. The old rule was restored", code=reason.code)
    return Done(replace(change, after=change.before, actions=[]), restored)


def _with_remedy(call: Any, client: Any, fields: Mapping[str, str]) -> None:
    try:
        call(client, fields)
    except AnsibleECRError as error:
        if error.code not in _REMEDIES:
            raise
        raise AnsibleECRError(f"{error}. {_REMEDIES[error.code]}", code=error.code) from error


def _outcome(outcome: Outcome[Done]) -> Outcome[Change]:
    if outcome.result is None:
        return Outcome(outcome.name, error=outcome.error)
    return Outcome(outcome.name, outcome.result.change, outcome.result.error)


def _moment(value: Any) -> str | None:
    return value.isoformat() if value else None
