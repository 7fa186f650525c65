# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an image of another registry is to be found in ECR: in a pull-through cache, or as a copy. Asks nobody.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import (
    ROOT,
    longest_prefix,
    normal_prefix,
    prefix_problem,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import UPSTREAMS, normal_url
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

REPOSITORY_LENGTHS = range(2, 257)


class AddressError(Exception):
    """There is no such address, for a reason that the user can do something about."""


@dataclass(frozen=True)
class Rule:
    """What a pull-through cache rule has to do with addresses."""

    prefix: str
    upstream: str
    upstream_prefix: str
    registry: str | None

    def breadth(self) -> int:
        """Less for what covers less."""
        return 0 if self.upstream_prefix == ROOT else -len(self.upstream_prefix)

    def repository_of(self, upstream_repository: str) -> str | None:
        """The repository that caches one of the upstream, or None where the rule caches it not."""
        rest = upstream_repository
        if self.upstream_prefix != ROOT:
            rest = upstream_repository.removeprefix(f"{self.upstream_prefix}/")
            if rest == upstream_repository:
                return None
        return rest if self.prefix == ROOT else f"{self.prefix}/{rest}"


def cached_address(reference: object, rules: object, registry: object = None, default: object = None) -> str:
    """The address to pull an image through a cache."""
    text, image = _parsed(reference)
    known = _rules(rules)
    host = None if registry is None else _registry(registry)
    if image.registry in {host, *(rule.registry for rule in known)}:
        return text
    found = _best(known, image)
    if found is None:
        if default is not None:
            return str(default)
        raise AddressError(f"no pull-through cache rule covers {text!r}: {_coverage(known, image)}")
    rule, repository = found
    where = host or rule.registry
    if where is None:
        raise AddressError(f"registry is required: the rule {rule.prefix} does not say by pull_url where it is")
    return _address(where, repository, image)


def mirrored_address(reference: object, registry: object, namespace: object = "", repository: object = None) -> str:
    """The address of the copy of an image."""
    text, image = _parsed(reference)
    host = _registry(registry)
    if image.registry == host:
        return text
    name = image.path if repository is None else _text("repository", repository).strip("/")
    parent = _text("namespace", namespace).strip("/") if namespace else ""
    return _address(host, f"{parent}/{name}" if parent else name, image)


# ------------------------------------------------------------------ choosing a rule


def _best(rules: Sequence[Rule], image: Reference) -> tuple[Rule, str] | None:
    """The most specific rule, and the repository; never one that ECR would look for by another rule."""
    prefixes = [rule.prefix for rule in rules]
    for rule in sorted(rules, key=Rule.breadth):
        repository = rule.repository_of(image.repository) if rule.upstream == image.registry else None
        if repository is not None and longest_prefix(prefixes, repository) == rule.prefix:
            return rule, repository
    return None


def _coverage(rules: Sequence[Rule], image: Reference) -> str:
    """What is covered instead."""
    same = [rule for rule in rules if rule.upstream == image.registry]
    if same:
        paths = ", ".join(f"{rule.prefix} (caching {rule.upstream_prefix})" for rule in same)
        return f"of {image.registry} there are {paths}, and none leads to {image.repository}"
    upstreams = ", ".join(dict.fromkeys(rule.upstream for rule in rules)) or "none at all"
    return f"it comes from {image.registry}, and the rules cache {upstreams}. Add a rule, or give a default"


# ------------------------------------------------------------------ what was given


def _parsed(reference: object) -> tuple[str, Reference]:
    text = _text("the image", reference)
    try:
        return text, Reference.parse(text)
    except InvalidReferenceError as error:
        raise AddressError(str(error)) from error


def _rules(rules: object) -> list[Rule]:
    if isinstance(rules, (str, Mapping)) or not isinstance(rules, Iterable):
        raise AddressError(
            "rules must be a list of rules, such as the value `rules` that ecr_pull_through_rule_info returns, "
            f"not {_kind(rules)}"
        )
    found = [_rule(f"rules[{index}]", rule) for index, rule in enumerate(rules)]
    return [rule for rule in found if rule is not None]


def _rule(where: str, given: object) -> Rule | None:
    """From a rule as the info module returns it, as the other one does, with `after`, or as a person writes it.

    None for one that was removed, or could not be made.
    """
    if not isinstance(given, Mapping):
        raise AddressError(f"{where} must be a dictionary, not {_kind(given)}")
    fields = given
    if "name" in given and "changed" in given:
        fields = given.get("after") or {}
        if not fields:
            return None
    prefix = fields.get("prefix") or fields.get("ecr_repository_prefix")
    if not prefix:
        raise AddressError(f"{where} has no prefix")
    return Rule(
        normal_prefix(str(prefix)),
        _upstream(where, fields),
        normal_prefix(str(fields.get("upstream_repository_prefix") or ROOT)),
        _registry_of(where, given.get("pull_url")),
    )


def _upstream(where: str, rule: Mapping[str, Any]) -> str:
    named = UPSTREAMS.get(str(rule.get("upstream")))
    url = rule.get("upstream_url") or rule.get("upstream_registry_url") or (named.url if named else None)
    if not url:
        known = ", ".join(upstream.name for upstream in UPSTREAMS.values() if upstream.url)
        raise AddressError(f"{where} needs upstream_url, or as upstream one of {known}, not {rule.get('upstream')!r}")
    return _host(f"{where}, upstream_url", str(url))


def _registry_of(where: str, pull_url: object) -> str | None:
    return _host(f"{where}, pull_url", str(pull_url).partition("/")[0]) if pull_url else None


def _registry(given: object) -> str:
    return _host("registry", _text("registry", given))


def _host(what: str, text: str) -> str:
    """In the form in which references have it."""
    try:
        return Reference(normal_url(text), "any/name").registry
    except InvalidReferenceError as error:
        raise AddressError(f"{what} must be a host, not {text!r}: {error}") from error


def _address(registry: str, repository: str, image: Reference) -> str:
    problem = prefix_problem(repository, REPOSITORY_LENGTHS)
    if problem:
        raise AddressError(f"{repository!r} cannot be the name of a repository in Amazon ECR: it {problem}")
    return f"{registry}/{repository}{str(image).removeprefix(image.name)}"


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise AddressError(f"{what} must be a text, not {_kind(value)}")
    return value.strip()


def _kind(value: object) -> str:
    return "nothing" if value is None or value == "" else type(value).__name__
