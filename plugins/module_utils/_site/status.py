# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to ask of AWS and of registries to know how a site does, and what the answers come to. Asks nobody.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.pull_through_cache import ABSENT, Entry
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_variables import Cloner
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_variables import Sync
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wishes import WHICH_KEYS
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import DOCKER_HUB
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import counted
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import CACHE, CLONE, MIRROR, ROLES, SYNC
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import Site, SiteImage

Document = dict[str, Any]

# What can be found, worst first: whether it keeps images from being pulled, and how it is called of one and of many.
KINDS: Mapping[str, tuple[bool, str, str]] = {
    "image_missing": (True, "image is missing", "images are missing"),
    "rule_missing": (True, "rule is missing", "rules are missing"),
    "rule_invalid": (True, "rule does not work", "rules do not work"),
    "login_refused": (True, "login will be refused", "logins will be refused"),
    "job_failed": (False, "job has failed", "jobs have failed"),
    "schedule_missing": (False, "schedule is missing", "schedules are missing"),
    "schedule_disabled": (False, "schedule is switched off", "schedules are switched off"),
    "source_unreadable": (False, "source cannot be read", "sources cannot be read"),
    "image_stale": (False, "image is out of date", "images are out of date"),
    "no_lifecycle": (False, "repository is never cleaned up", "repositories are never cleaned up"),
    "image_unused": (False, "image is not used", "images are not used"),
    "unknown": (False, "question was not answered", "questions were not answered"),
}
BREAKING = [kind for kind, (breaks, _one, _many) in KINDS.items() if breaks]


# ------------------------------------------------------------------ what to ask


def questions(site: Site, defaults: Mapping[str, Mapping[str, Any]]) -> Document:
    """The options of the module ecr_status_info. `defaults` are those of the roles, by way. Logins are in it."""
    return {
        "images": [_image(image) for image in site.images if _can_be_asked_for(image)],
        "registries": list(_registries(site)),
        "rules": list(_rules(site)),
        "jobs": list(_jobs(site, defaults)),
    }


def _can_be_asked_for(image: SiteImage) -> bool:
    """Of a cache, any image can be pulled: only those that are named can be told to be there or not."""
    return image.way != CACHE or bool(image.wish.tags)


def _image(image: SiteImage) -> Document:
    """In the words of the engine, with all that the file says elsewhere."""
    wish = image.wish
    which = {key: image.entry[key] for key in WHICH_KEYS if key in image.entry}
    if wish.selection is not None and "select" not in which:
        which["select"] = {}
    return {
        "way": image.way,
        "source": image.entry["source"],
        "repository": wish.repository,
        **which,
        "platforms": [str(platform) for platform in wish.platforms] or None,
        "transport": wish.transport,
        "dockerfile": list(wish.dockerfile) or None,
        "on_moved_tag": wish.on_moved_tag,
    }


def _registries(site: Site) -> Iterator[Document]:
    """What mirrors are told of registries, and the logins of upstreams and of the cloner for the others."""
    given = site.document.section(MIRROR).get("registries") or []
    yield from (dict(one) for one in given)
    said = {one["host"] for one in given}
    cloner = site.document.section(CLONE)
    for host in dict.fromkeys(image.source.registry for image in site.images):
        login = site.upstreams.login(host)
        user, token = login.get("username"), login.get("access_token")
        if host == DOCKER_HUB and not token:
            user, token = cloner.get("docker_hub_username"), cloner.get("docker_hub_access_token")
        if host not in said and user and token:
            yield {"host": host, "username": user, "password": token}


def _rules(site: Site) -> Iterator[Document]:
    if site.document.section(CACHE).get("state") == ABSENT or CACHE not in site.ways:
        return
    for prefix, fields in site.upstreams.given.items():
        entry = Entry(prefix.removesuffix("/"), fields)
        if entry["state"] == ABSENT or entry.upstream is None:
            continue
        yield {
            "prefix": entry.prefix,
            "upstream_url": entry["upstream_url"] or entry.upstream.url,
            "secret": entry["secret_arn"] or (entry.secret_name if entry.has_managed_secret else None),
        }


def _jobs(site: Site, defaults: Mapping[str, Mapping[str, Any]]) -> Iterator[Document]:
    for way in (CLONE, SYNC):
        prefix = f"{ROLES[way]}_"
        variables = {name.removeprefix(prefix): one for name, one in {**defaults[way], **site.variables(way)}.items()}
        if way not in site.ways or variables["state"] == ABSENT:
            continue
        job = {"way": way, "enabled": variables["schedule_state"] == "ENABLED"}
        if way == CLONE:
            cloner = Cloner(variables)
            yield {**job, "name": cloner.project, "kind": "codebuild_batch" if cloner.sharded else "codebuild_build"}
        else:
            sync = Sync(variables)
            yield {**job, "name": sync.namespace, "kind": "batch_job" if sync.on_batch else "ecs_task"}


# ------------------------------------------------------------------ what the answers come to


@dataclass(frozen=True)
class Answers:
    """What was found out, in the words of the module's result."""

    images: Sequence[Document]
    rules: Sequence[Document]
    repositories: Sequence[Document]
    unused: Sequence[Document]
    jobs: Sequence[Document]
    unknown: Sequence[Document]


def findings(answers: Answers) -> list[Document]:
    """Whatever is not as it should be, the worst first."""
    found = [
        {"kind": kind, "breaks": KINDS[kind][0], "subject": subject, "what": what}
        for kind, subject, what in (
            *_of_images(answers.images),
            *_of_rules(answers.rules),
            *_of_repositories(answers.repositories),
            *(("image_unused", one["address"], one["why"]) for one in answers.unused),
            *_of_jobs(answers.jobs),
            *(("unknown", one["part"], one["why"]) for one in answers.unknown),
        )
    ]
    order = list(KINDS)
    return sorted(found, key=lambda one: order.index(one["kind"]))


def _of_images(images: Sequence[Document]) -> Iterator[tuple[str, str, str]]:
    kinds = {"missing": "image_missing", "stale": "image_stale"}
    for image in images:
        if image["state"] in kinds:
            yield kinds[image["state"]], image["address"], image["why"]
        if image["problem"]:
            yield "source_unreadable", image["source"], image["problem"]


def _of_rules(rules: Sequence[Document]) -> Iterator[tuple[str, str, str]]:
    for rule in rules:
        if rule["state"] in ("missing", "invalid"):
            yield f"rule_{rule['state']}", rule["prefix"], rule["why"]
        if rule["login_problem"]:
            yield "login_refused", rule["prefix"], rule["login_problem"]


def _of_repositories(repositories: Sequence[Document]) -> Iterator[tuple[str, str, str]]:
    for repository in repositories:
        if repository["lifecycle"] is False:
            yield "no_lifecycle", repository["name"], "no lifecycle policy: what is cached stays forever"


def _of_jobs(jobs: Sequence[Document]) -> Iterator[tuple[str, str, str]]:
    for job in jobs:
        run = job["last_run"]
        if run and run["succeeded"] is False:
            why = f": {run['why']}" if run["why"] else ""
            yield "job_failed", job["name"], f"the last run, {run['at'] or run['id']}, is {run['status']}{why}"
        if job["schedule_state"] == "MISSING":
            yield "schedule_missing", job["name"], "nothing starts it: run the playbook site.yml"
        elif job["schedule_state"] == "DISABLED" and job["enabled"]:
            yield "schedule_disabled", job["name"], f"{job['schedule']} is switched off, and the file says otherwise"


# ------------------------------------------------------------------ in words


def sentence(found: Sequence[Document], kinds: Collection[str]) -> str:
    """What of these kinds was found; empty if nothing."""
    numbers = {kind: sum(one["kind"] == kind for one in found) for kind in KINDS if kind in kinds}
    said = [f"{number:,} {KINDS[kind][1 if number == 1 else 2]}" for kind, number in numbers.items() if number]
    return f"{_listed(said)}." if said else ""


def verdict(answers: Answers, found: Sequence[Document]) -> str:
    breaking, other = sentence(found, BREAKING), sentence(found, [kind for kind in KINDS if kind not in BREAKING])
    if breaking:
        return breaking
    said = _pullable([one["state"] for one in answers.images], answers.unknown)
    if other:
        return f"{said}, but {other}"
    return (
        f"{said}." if "unknown" in (one["state"] for one in answers.images) else f"{said}, and nothing is to be done."
    )


def _pullable(states: Sequence[str], unanswered: Sequence[Document]) -> str:
    """Of images of which none is missing."""
    unknown = states.count("unknown")
    if not states:
        return "Nothing is known to be wrong" if unanswered else "All is well"
    if unknown:
        are = "is" if unknown == 1 else "are"
        return (
            f"{len(states) - unknown:,} of {counted(len(states), 'image')} can be pulled, {unknown:,} {are} not known"
        )
    return "The image can be pulled" if len(states) == 1 else f"All of {counted(len(states), 'image')} can be pulled"


def lines(answers: Answers, found: Sequence[Document]) -> list[str]:
    """A table for terminals: what is there, and then what is to be done."""
    table = [
        ("what", "state", "since"),
        *((one["address"], one["state"], _day(one["pushed_at"])) for one in answers.images),
        *((f"rule {one['prefix']}", one["state"], "") for one in answers.rules),
        *((f"job {one['name']}", *_run_in_words(one)) for one in answers.jobs),
    ]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [*told, *(f"{one['kind']}: {one['subject']}: {one['what']}" for one in found)]


def _run_in_words(job: Mapping[str, Any]) -> tuple[str, str]:
    run = job["last_run"]
    if not run:
        return "no run is known", ""
    ended = {True: "succeeded", False: "failed"}
    return ended.get(run["succeeded"], str(run["status"]).lower()), _day(run["at"])


def _day(moment: str | None) -> str:
    return (moment or "")[:10]


def _listed(said: Sequence[str]) -> str:
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
