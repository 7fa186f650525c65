# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with pull-through cache rules, checked before any change, with a message for every mistake at once.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import ROOT, prefix_problem, repeated
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import (
    ROLE,
    SECRET,
    UPSTREAMS,
    Upstream,
    ecr_account,
    unknown_url,
    upstream_of,
)

# A rule with the names of the options, as it is wanted or as it is: prefix, URL and upstream in their normal form.
Rule = dict[str, Any]
# (field, what is wrong with it)
Problem = tuple[str, str]

PREFIX_LENGTHS = range(2, 31)
MAX_CREDENTIAL_ARN = 612
SECRET_PREFIX = "ecr-pullthroughcache/"

_REGIONS_WITHOUT = re.compile("(cn|us-gov)-.*")
_SECRET_ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):secret:(?P<name>.+)")
_SECRET_NAME = re.compile(r"[\w/+=.@-]+", re.ASCII)
_SUFFIX = re.compile(r".+-[A-Za-z0-9]{6}")
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::(?P<account>\d{12}):role/.+")


def check_region(region: str) -> None:
    if _REGIONS_WITHOUT.fullmatch(region):
        raise AnsibleECRError(
            f"Amazon ECR has no pull-through caches in {region}, nor elsewhere in China or GovCloud. "
            "ecr_image_mirror copies images to any region.",
            code="UnsupportedRegion",
        )


def check_rules(rules: Sequence[Rule], region: str) -> None:
    """All that can be known from the rules alone."""
    problems = [_located(rule, problem) for rule in rules for problem in _rule_problems(rule, region)]
    _raise_if_any(problems + _repeated_prefixes(rules))


def check_prefixes(rules: Sequence[Rule]) -> None:
    """What a rule that is to go must have right."""
    problems = [_located(rule, problem) for rule in rules for problem in _prefix_problems(rule)]
    _raise_if_any(problems + _repeated_prefixes(rules))


def check_accounts(rules: Sequence[Rule], registry: str) -> None:
    """What takes the address of the registry to see. An address that names no account shows nothing."""
    account = ecr_account(registry)
    if account:
        _raise_if_any(
            [_located(rule, problem) for rule in rules for problem in _account_problems(rule, registry, account)]
        )


def _repeated_prefixes(rules: Sequence[Rule]) -> list[str]:
    problem = ("prefix", "is there more than once (a slash at the end is no difference)")
    return [_located(rules[at], problem) for at in repeated([rule["prefix"] for rule in rules])]


def _raise_if_any(problems: Sequence[str]) -> None:
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidPullThroughCacheRule")


def _located(rule: Rule, problem: Problem) -> str:
    field, text = problem
    return f"{rule['prefix']!r}, {field}: {text}"


def _rule_problems(rule: Rule, region: str) -> Iterator[Problem]:
    yield from _prefix_problems(rule)
    yield from _upstream_prefix_problems(rule)
    if rule.get(SECRET):
        yield from ((SECRET, text) for text in _secret_problems(rule[SECRET], region))
    if rule.get(ROLE) and not _ROLE_ARN.fullmatch(rule[ROLE]):
        yield ROLE, f"must be the ARN of an IAM role, not {rule[ROLE]!r}"
    problem = _url_problem(rule)
    upstream = upstream_of(rule.get("upstream_url") or "")
    if problem:
        yield problem
    elif upstream:
        yield from _login_problems(rule, upstream)


def _prefix_problems(rule: Rule) -> Iterator[Problem]:
    problem = prefix_problem(rule["prefix"], PREFIX_LENGTHS)
    if problem:
        yield "prefix", problem


def _upstream_prefix_problems(rule: Rule) -> Iterator[Problem]:
    upstream_prefix = rule.get("upstream_repository_prefix")
    if upstream_prefix is None:
        return
    problem = prefix_problem(upstream_prefix, PREFIX_LENGTHS)
    if problem:
        yield "upstream_repository_prefix", problem
    elif rule["prefix"] == ROOT != upstream_prefix:
        yield "upstream_repository_prefix", f"must be {ROOT} or left out with prefix {ROOT}, not {upstream_prefix}"


def _url_problem(rule: Mapping[str, Any]) -> Problem | None:
    name, url = rule.get("upstream"), rule.get("upstream_url")
    if url is None:
        if name is None:
            return "upstream", f"is required: one of {', '.join(UPSTREAMS)}"
        return "upstream_url", f"is required with upstream {name}: {UPSTREAMS[name].url_form}"
    if name is not None and not UPSTREAMS[name].serves(url):
        upstream = UPSTREAMS[name]
        fix = f"leave it out, {name} is {upstream.url}" if upstream.url else f"it must be {upstream.url_form}"
        return "upstream_url", f"{url!r} is not {name}: {fix}"
    return None if upstream_of(url) else ("upstream_url", unknown_url(url))


def _login_problems(rule: Rule, upstream: Upstream) -> Iterator[Problem]:
    if upstream.login == SECRET and not rule.get(SECRET):
        yield (
            SECRET,
            f"is required with upstream {upstream.name}, public images included: "
            f"the ARN of a secret named {SECRET_PREFIX}... that holds username and accessToken",
        )
    for field in (SECRET, ROLE):
        if rule.get(field) and upstream.login != field:
            instead = f", but {upstream.login}" if upstream.login else ": Amazon ECR caches its public images only"
            yield field, f"upstream {upstream.name} takes none{instead}"


def _secret_problems(arn: str, region: str) -> Iterator[str]:
    match = _SECRET_ARN.fullmatch(arn)
    if not match:
        yield f"must be the ARN of a secret in AWS Secrets Manager, not {arn!r}"
        return
    if len(arn) > MAX_CREDENTIAL_ARN:
        yield f"must have at most {MAX_CREDENTIAL_ARN} characters, not {len(arn)}"
    if match["region"] != region:
        yield f"the secret is in {match['region']}, but must be in the region of the rule, {region}: replicate it"
    name = match["name"]
    if not name.startswith(SECRET_PREFIX):
        yield f"the name of the secret must begin with {SECRET_PREFIX}, but it is {name}"
    elif not _SECRET_NAME.fullmatch(name) or name == SECRET_PREFIX:
        yield f"{name!r} is no name of a secret"
    elif not _SUFFIX.fullmatch(name):
        yield (
            "must be the whole ARN, which ends in a dash and the six characters that AWS Secrets Manager added, "
            f"but it ends in {name.rpartition('/')[2]!r}"
        )


def _account_problems(rule: Rule, registry: str, account: str) -> Iterator[Problem]:
    for field, form in ((SECRET, _SECRET_ARN), (ROLE, _ROLE_ARN)):
        match = form.fullmatch(rule.get(field) or "")
        if match and match["account"] != account:
            yield field, f"belongs to account {match['account']}, but must belong to that of the registry, {account}"
    url = rule["upstream_url"]
    if url == registry:
        yield "upstream_url", "is this registry itself"
    elif not rule.get(ROLE) and ecr_account(url) not in (None, account):
        yield (
            ROLE,
            f"is required to cache from account {ecr_account(url)}: the ARN of a role in account {account} "
            "that pullthroughcache.ecr.amazonaws.com may assume",
        )
