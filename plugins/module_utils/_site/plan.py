# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site in words: which image comes which way and why, and what became of it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import counted, size
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import CACHE, CLONE, MIRROR, SYNC
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import Site, SiteImage

_VERBS = {
    CACHE: "is cached",
    MIRROR: "is mirrored now, by this machine",
    CLONE: "is cloned on a schedule, by AWS CodeBuild",
    SYNC: "is synced on a schedule, by AWS Fargate",
}


def as_parts(site: Site) -> dict[str, Any]:
    """What playbooks need to know of a site. Logins are in `variables`."""
    variables = {way: site.variables(way) for way in site.ways}
    return {
        "ways": site.ways,
        "images": [_image(image) for image in site.images],
        "brought_in": list(site.upstreams.brought_in),
        "lines": list(_lines(site)),
        "addresses": site.addresses(),
        "variables": {name: value for given in variables.values() for name, value in given.items()},
    }


def _image(image: SiteImage) -> dict[str, Any]:
    return {
        "place": image.place,
        "name": _named(image),
        "way": image.way,
        "reason": image.reason,
        "source": image.source.name,
        "repository": image.wish.repository,
    }


def _lines(site: Site) -> Iterator[str]:
    for image in site.images:
        yield f"{_named(image)} {_VERBS[image.way]}: {image.reason}"
    for name in site.upstreams.brought_in:
        yield f"The upstream {name} is added for them"
    if not site.images and not site.ways:
        yield "The file asks for nothing: write images under images, or upstreams under upstreams"


def _named(image: SiteImage) -> str:
    """As a person would say it."""
    tags, source = image.wish.tags, image.source.familiar
    if image.wish.selection is not None:
        return f"{source}, as selected" if image.entry.get("select") else f"{source}, whatever tag"
    identifiers = list(dict.fromkeys(tags.values()))
    if len(identifiers) == 1:
        return f"{source}{'@' if ':' in identifiers[0] else ':'}{identifiers[0]}"
    return f"{source}:{{{','.join(identifiers)}}}"


# ------------------------------------------------------------------ what became of it


def outcome(results: Mapping[str, Mapping[str, Any]], *, planned: bool) -> list[str]:
    """What the roles of a site made of it, or in check mode would. `results` are the facts that they set, by way."""
    tellers = {CACHE: _of_cache, CLONE: _of_clone, SYNC: _of_sync, MIRROR: _of_mirror}
    return [line for way, tell in tellers.items() if results.get(way) for line in tell(results[way], planned)]


def _of_cache(result: Mapping[str, Any], planned: bool) -> Iterator[str]:
    rules = result["rules"]
    if not rules:
        yield _removed("cache", planned)
        return
    changed, fetched = (sum(bool(one["changed"]) for one in result[what]) for what in ("rules", "warmed"))
    done = f" {counted(changed, 'rule')} {_did('made or changed', planned, changed)}." if changed else ""
    yield f"Cached: {', '.join(rule['name'] for rule in rules)}.{done}"
    if fetched:
        yield f"{counted(fetched, 'image')} {_did('fetched', planned, fetched)} by the cache."
    if result["needs_filling"]:
        names = ", ".join(result["needs_filling"])
        yield f"Still to be filled in: the login of {names}. Until then, none of its images can be pulled."


def _of_clone(result: Mapping[str, Any], planned: bool) -> Iterator[str]:
    if not result["project"]:
        yield _removed("cloner", planned)
        return
    images = counted(len(result["images"]), "image") if result["images"] else "what is selected"
    yield f"Cloned by the project {result['project']}: {images}. {_run(result, planned)}"


def _of_sync(result: Mapping[str, Any], planned: bool) -> Iterator[str]:
    by = result["batch_job_queue"] or result["ecs_cluster_name"]
    if not by:
        yield _removed("sync", planned)
        return
    yield f"Synced by {by}: {counted(len(result['addresses']), 'repository')}. {_run(result, planned)}"


def _of_mirror(result: Mapping[str, Any], planned: bool) -> Iterator[str]:
    yield f"Mirrored: {result['verdict']}"
    totals = result["totals"]
    if totals and (totals["refused"] or totals["deferred"]):
        yield f"Refused: {totals['refused']:,}. Deferred, to leave pulls to others: {totals['deferred']:,}."
    if copied := _copied(result, planned):
        yield f"{'To copy' if planned else 'Copied'}: {copied}."
    for registry, limit in result["rate_limit"].items():
        if limit.get("remaining") is not None:
            needed = ", and each of these images takes at least one" if planned and totals["copied"] else ""
            yield f"Pulls of {registry} that are left: {limit['remaining']:,} of {limit['limit']:,}{needed}."


def _copied(result: Mapping[str, Any], planned: bool) -> str:
    """How much. A plan does not look into images where looking is a pull."""
    moved = result["totals"]["bytes"]["moved"] if result["totals"] else 0
    unknown = sum(one["action"] == "copy" and one["bytes"] is None for one in result["images"]) if planned else 0
    sizes = "size is" if unknown == 1 else "sizes are"
    not_known = f"{counted(unknown, 'image')} whose {sizes} not known without a pull" if unknown else ""
    return " and ".join(filter(None, (size(moved) if moved else "", not_known)))


def _run(result: Mapping[str, Any], planned: bool) -> str:
    if planned:
        return "What it copies, it finds out when it runs."
    if result["run_status"] == "NOT_STARTED":
        return "Nothing was started now. The next run is that of its schedule."
    return f"The run {result['run_id']} was started: {result['run_status']}."


def _removed(what: str, planned: bool) -> str:
    return f"The {what} {_did('removed', planned, 1)}."


def _did(what: str, planned: bool, number: int) -> str:
    return f"would be {what}" if planned else f"{'was' if number == 1 else 'were'} {what}"
