# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How images, rules and cached repositories do. Writes nothing, and costs no pull at the source.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api, api_pull_through, api_registry
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through_secrets as secrets
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.bulk import Outcome, run_each
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.images import image_from_ecr
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.mirror_destination import (
    DestinationError,
    EcrDestination,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.plan import Change
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.prefixes import longest_prefix, normal_prefix
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through import Registry
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_grammar import SECRET_PREFIX
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_validation import (
    login_of,
    validate_logins,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.upstreams import SECRET
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.discovery import Discovery
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.finding import Finding
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.interruption import threads
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Present, Source, Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import NotFound

Document = dict[str, Any]
Images = Mapping[str, Outcome[list[Document]]]

CACHE = "cache"
_PARALLEL = 16
_QUESTIONS = 32
_NO_REPOSITORY = "RepositoryNotFoundException"


def describe(client: Any, repositories: Sequence[str]) -> dict[str, Outcome[list[Document]]]:
    """All images of these repositories. One that does not exist has none."""

    def images(name: str) -> list[Document]:
        try:
            return api_registry.describe_all_images(client, name, "ANY")
        except AnsibleECRError as error:
            if error.code == _NO_REPOSITORY:
                return []
            raise

    return {outcome.name: outcome for outcome in run_each(list(dict.fromkeys(repositories)), images, _PARALLEL)}


# ------------------------------------------------------------------ images


class _Seen(EcrDestination):
    """Amazon ECR as it was described.

    Asking for a manifest would count as a pull of it, and hide that nobody else pulls it. Only where a copy differs
    from its source by design, there is no other way to learn what it was made of.
    """

    def __init__(self, client: Any, registry: str, images: Images, made: Collection[str]) -> None:
        super().__init__(client, registry, RepositoryDefaults())
        self._images, self._made = images, made

    def present(self, repository: str, identifiers: Sequence[str]) -> Mapping[str, Present]:
        there = by_identifier(self._images[repository])
        found = [identifier for identifier in identifiers if identifier in there]
        if repository in self._made:
            read = super().present(repository, found)
            # Without its configuration: that of the source would cost a pull.
            return {identifier: replace(one, config=None) for identifier, one in read.items()}
        return {identifier: _present(there[identifier]) for identifier in found}


def _present(image: Mapping[str, Any]) -> Present:
    return Present(Digest.parse(image["imageDigest"]), image.get("imageManifestMediaType", ""))


def by_identifier(outcome: Outcome[list[Document]]) -> dict[str, Document]:
    """The images of a repository by digest and by tag."""
    if outcome.result is None:
        raise DestinationError(str(outcome.error), outcome.error.code if outcome.error else "")
    return {
        identifier: image
        for image in outcome.result
        for identifier in (image["imageDigest"], *image.get("imageTags", []))
    }


def image_states(
    client: Any, host: str, source: Source, wished: Sequence[tuple[str, Wish]], images: Images
) -> list[Document]:
    """One for each tag that is wished for, as the engine finds them. `wished`: with the way of each."""
    made = {wish.repository for _way, wish in wished if wish.platforms or wish.dockerfile or wish.transport == "docker"}
    ways = {(wish.source.name, wish.repository): way for way, wish in wished}
    seen, budget = _Seen(client, host, images, made), PullBudget(lambda _registry: None)
    with threads(_QUESTIONS, "question") as pool:
        discovery = Discovery(source, seen, budget, pool, create_repositories=True, skip_missing=False, check_mode=True)
        found = discovery.findings([wish for _way, wish in wished])
    return [image_state(one, ways[one.item.wish.source.name, one.item.wish.repository], images) for one in found]


def image_state(finding: Finding, way: str, images: Images) -> Document:
    """What the engine would do about an image, as what the image is. Pure."""
    item, decision = finding.item, finding.decision
    to = item.destination
    identifier = to.identifier if to.tag or to.digest else ""
    outcome = images.get(to.repository)
    image = by_identifier(outcome).get(identifier) if outcome and outcome.result is not None else None
    state, problem = "current", ""
    if outcome is None or outcome.result is None:
        state = "unknown"
    elif finding.error is not None or not identifier:
        # A cache may have a login, with which it can read what is refused here.
        may_be_fetched = way == CACHE and not isinstance(finding.error, NotFound)
        state = "unknown" if image or not identifier or may_be_fetched else "missing"
        problem = str(finding.error or (decision.reason if decision else ""))
    elif image is None:
        state = "missing"
    elif decision and decision.action != "up_to_date":
        state = "stale"
    if state == "missing" and way == CACHE and not problem:
        state = "on demand"
    described = image_from_ecr(image, f"{to.registry}/{to.repository}") if image else {}
    return {
        "source": str(item.source),
        "way": way,
        "address": str(to),
        "state": state,
        "why": _why(state, way, decision.reason if decision else "", problem),
        "problem": problem,
        "digest": described.get("digest"),
        "source_digest": str(finding.found.digest) if finding.found else None,
        "pushed_at": described.get("pushed_at"),
        "last_pulled_at": described.get("last_pulled_at"),
    }


def _why(state: str, way: str, reason: str, problem: str) -> str:
    if state == "on demand":
        return "not fetched yet: the first pull brings it"
    if state == "missing" and problem:
        return "it is not there, and its source cannot be read"
    if state == "missing":
        jobs = {"clone": "the next run of the cloner brings it", "sync": "the next run of the sync brings it"}
        return f"it is not there: {jobs.get(way, 'run the playbook site.yml')}"
    if state == "stale" and way == CACHE:
        return f"{reason}; Amazon ECR looks again when it is pulled, at most once in 24 hours"
    return reason if state == "stale" else ""


# ------------------------------------------------------------------ cached repositories


def cached_repositories(client: Any, prefixes: Sequence[str], others: Collection[str]) -> list[str]:
    """Those that the rules with these prefixes cover, and that no copy goes to."""
    names = sorted(api.list_repository_names(client))
    return [name for name in names if name not in others and longest_prefix(prefixes, name)]


def repository_states(client: Any, names: Sequence[str], images: Images) -> list[Document]:
    outcomes = run_each(names, lambda name: api.get_lifecycle_policy(client, name) is not None, _PARALLEL)
    return [
        {
            "name": outcome.name,
            "lifecycle": outcome.result,
            "images": len(images[outcome.name].result or []),
            "size_in_bytes": sum(image.get("imageSizeInBytes") or 0 for image in images[outcome.name].result or []),
            "problem": str(outcome.error) if outcome.error else "",
        }
        for outcome in outcomes
    ]


def unused(host: str, images: Images, days: int, now: datetime) -> Iterator[Document]:
    """Images with a tag that nobody has pulled for so many days, nor pushed. Pure."""
    limit = now - timedelta(days=days)
    for repository, outcome in images.items():
        for image in outcome.result or []:
            pulled, pushed = image.get("lastRecordedPullTime"), image["imagePushedAt"]
            # What belongs to an image is of use as long as that is.
            if not image.get("imageTags") or image.get("subjectManifestDigest") or (pulled or pushed) > limit:
                continue
            shown = image_from_ecr(image, f"{host}/{repository}")
            since = f"last pulled {shown['last_pulled_at'][:10]}" if pulled else "never pulled"
            yield {
                "address": shown["uris"][0],
                "digest": shown["digest"],
                "size_in_bytes": shown["size_in_bytes"],
                "pushed_at": shown["pushed_at"],
                "last_pulled_at": shown["last_pulled_at"],
                "why": f"{since}, pushed {shown['pushed_at'][:10]}",
            }


# ------------------------------------------------------------------ rules


def existing_rules(client: Any) -> Registry:
    rules = api_pull_through.list_rules(client)
    return Registry({normal_prefix(rule["ecrRepositoryPrefix"]): rule for rule in rules})


def rule_states(client: Any, secrets_client: Any, wanted: Sequence[Mapping[str, Any]]) -> list[Document]:
    registry = existing_rules(client)
    found = {one["prefix"]: rule for one in wanted if (rule := registry.rule(one["prefix"]))}
    validations = validate_logins(client, found, registry.stored_prefix)
    ids = {
        one["prefix"]: secret
        for one in wanted
        if (secret := (found[one["prefix"]][SECRET] if one["prefix"] in found else one["secret"]))
    }
    logins = secret_problems(secrets_client, ids.values())
    return [
        rule_state(
            one,
            found.get(one["prefix"]),
            validations.get(login_of(found[one["prefix"]])) if one["prefix"] in found else None,
            logins.get(ids.get(one["prefix"], ""), ("", "")),
        )
        for one in wanted
    ]


def rule_state(
    wanted: Mapping[str, Any],
    rule: Mapping[str, Any] | None,
    validation: Outcome[Document] | None,
    login: tuple[str, str],
) -> Document:
    """`login`: what is wrong with its secret, and why that is not known. Pure."""
    state, why, unknown = "valid", "", login[1]
    if rule is None:
        state, why = "missing", "there is no such rule: run the playbook site.yml"
    elif wanted["upstream_url"] and rule["upstream_url"] != wanted["upstream_url"]:
        state, why = "invalid", f"it leads to {rule['upstream_url']}, and the file says {wanted['upstream_url']}"
    elif validation is None or validation.result is None:
        state, unknown = "unknown", str(validation.error) if validation else unknown
    elif not validation.result["valid"]:
        state, why = "invalid", f"{rule['upstream_url']}: {validation.result['reason'] or 'Amazon ECR gives no reason'}"
    return {
        "prefix": wanted["prefix"],
        "upstream_url": rule["upstream_url"] if rule else wanted["upstream_url"],
        "state": state,
        "why": why,
        "login_problem": login[0],
        "problem": unknown,
    }


def secret_problems(client: Any, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """By name or ARN: why Amazon ECR will not get in with a secret, and why that could not be found out."""
    wanted = [secrets.Wanted(one) for one in dict.fromkeys(ids)]
    outcomes = secrets.present(client, wanted, secrets.Settings(check_mode=True))
    return {outcome.name: _secret_problem(outcome.name, outcome) for outcome in outcomes}


def _secret_problem(name: str, outcome: Outcome[Change]) -> tuple[str, str]:
    plain = name.rpartition(":secret:")[2]
    if not plain.startswith(SECRET_PREFIX):
        return f"Amazon ECR may not read the secret {plain}: its name must begin with {SECRET_PREFIX}", ""
    if outcome.error:
        denied = "(needs " in str(outcome.error)
        return ("", str(outcome.error)) if denied else (str(outcome.error), "")
    change = outcome.result
    if change is None or change.before is None:
        return f"the secret {plain} does not exist", ""
    if change.before["awaits_deletion"]:
        return f"the secret {plain} is about to be deleted", ""
    if change.details["needs_filling"]:
        return f"the secret {plain} still has {secrets.PLACEHOLDER} in it: fill in the login", ""
    if change.details["needs_filling"] is None:
        needs = "secretsmanager:BatchGetSecretValue and secretsmanager:GetSecretValue"
        return "", f"the secret {plain} cannot be read (needs {needs})"
    return "", ""
