# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles would say of a site, asked before anything is made.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import pull_through_cache
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.registry_options import read_registries
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs import cloner, sync
from ansible_collections.stevedore.ecr.plugins.module_utils._site.document import (
    CACHE,
    CLONE,
    ELSEWHERE,
    MIRROR,
    ROLES,
    SYNC,
    WAYS,
    unknown_keys,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import Site, SiteError, SiteImage, read_as_far

Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class RoleWords:
    """What a role knows of its variables: the options of its argument_specs, and its defaults."""

    options: Options
    defaults: Mapping[str, Any]


def read_and_check(document: Any, here: Mapping[str, str], words: Mapping[str, RoleWords]) -> Site:
    """The site that a file describes. Raises SiteError with all problems, those included that its roles see.

    `here` is what ecr_registry_info says, with the host. `words` are those of the roles, by way.
    """
    problems: list[str] = []
    site = read_as_far(document, here["host"], problems, region=here["region"])
    if site.region and site.region != here["region"]:
        problems.append(f"region: is {site.region}, and the settings of this play lead to {here['region']}")
    for way in WAYS:
        problems += _unknown_variables(site, way, words[way].options)
        wrong = list(_wrong_variables(site, way, words[way].options))
        problems += wrong or _role_problems(site, way, here, words[way].defaults)
    if problems:
        raise SiteError(list(dict.fromkeys(problems)))
    return site


def _unknown_variables(site: Site, way: str, options: Options) -> list[str]:
    known = [name.removeprefix(f"{ROLES[way]}_") for name in options]
    return unknown_keys(f"{way}.", site.document.section(way), [one for one in known if one not in ELSEWHERE[way]])


def _wrong_variables(site: Site, way: str, options: Options) -> Iterator[str]:
    """Those that hold something else than they should."""
    prefix = f"{ROLES[way]}_"
    given = {f"{prefix}{name}": value for name, value in site.document.section(way).items()}
    # Whether one is missing that is required, the role's own check says.
    optional = {name: {**option, "required": False} for name, option in options.items()}
    known = {name: value for name, value in given.items() if name in options}
    for message in ArgumentSpecValidator(optional).validate(known).error_messages:
        yield _of_spec(message.replace(prefix, ""), way)


def _of_spec(message: str, way: str) -> str:
    """What Ansible's check of options says, with the place first."""
    unknown = re.fullmatch(r"(?P<place>\S+)\. Supported parameters include: (?P<known>.*)\.", message)
    if unknown:
        return f"{way}.{unknown['place']}: unknown, use one of {unknown['known']}"
    inside = re.search(r" found in (?P<place>[\w.>\- ]+)$", message)
    if inside:
        return f"{way}.{inside['place'].replace(' -> ', '.')}: {message[: inside.start()]}"
    named = re.search(r"(?:argument '|value of )(?P<place>\w+)", message)
    return f"{way}.{named['place']}: {message}" if named else f"{way}: {message}"


def _role_problems(site: Site, way: str, here: Mapping[str, str], defaults: Mapping[str, Any]) -> list[str]:
    """What the role says of all that it would be given."""
    given = site.variables(way)
    if not given or site.document.section(way).get("state") == "absent":
        return []
    prefix = f"{ROLES[way]}_"
    variables = {name.removeprefix(prefix): value for name, value in {**defaults, **given}.items()}
    images = [image for image in site.images if image.way == way]
    if way == MIRROR:
        return list(_mirror_problems(variables, here))
    asks: dict[str, Callable[[], Any]] = {
        CACHE: lambda: _ask_cache(variables, here),
        CLONE: lambda: cloner.parts(_of_cloner(variables, here)),
        SYNC: lambda: sync.parts({**variables, **_place(here)}),
    }
    try:
        asks[way]()
    except AnsibleAWSError as error:
        return _placed(str(error).removeprefix("Not valid: ").rstrip(".").split("; "), way, images)
    return []


def _ask_cache(variables: Mapping[str, Any], here: Mapping[str, str]) -> None:
    # Only that there is one counts.
    settings = {
        **variables,
        "registry": here,
        "template_role_arn": f"arn:{here['partition']}:iam::000000000000:role/any",
    }
    pull_through_cache.parts(variables["upstreams"], pull_through_cache.settings_from(settings))


def _of_cloner(variables: Mapping[str, Any], here: Mapping[str, str]) -> dict[str, Any]:
    has_token = bool(variables["docker_hub_access_token"])
    return {**variables, **_place(here), "asked_region": "", "has_token": has_token}


def _place(here: Mapping[str, str]) -> dict[str, str]:
    return {
        "region": here["region"],
        "account": here["registry_id"],
        "partition": here["partition"],
        "registry": here["host"],
    }


def _mirror_problems(variables: Mapping[str, Any], here: Mapping[str, str]) -> Iterator[str]:
    """Of what is not in the images."""
    problems: list[str] = []
    registries = variables.get("registries") or []
    if all(isinstance(one, Mapping) and isinstance(one.get("host"), str) for one in registries):
        read_registries(registries, problems)
    else:
        problems.append("registries: each must be a dictionary with a host")
    try:
        RepositoryDefaults.read(variables.get("repository_defaults"), here["region"])
    except AnsibleAWSError as error:
        problems.append(str(error).removeprefix("Not valid: "))
    yield from (f"{MIRROR}.{problem}" for problem in problems)


# ------------------------------------------------------------------ in the words of the file


def _placed(problems: Iterable[str], way: str, images: Sequence[SiteImage]) -> list[str]:
    """Problems of a role, with the places of the file for what it calls otherwise."""
    return [_in_our_words(problem, way, images) for problem in problems]


def _in_our_words(problem: str, way: str, images: Sequence[SiteImage]) -> str:
    if way == CACHE:
        return _of_cache(problem)
    if way == CLONE:
        for image in sorted(images, key=lambda one: -len(one.source.path)):
            for name in ("containers", "build_commands"):
                if problem.startswith(f"{name}.{image.source.path}"):
                    return f"{image.place}: {problem.removeprefix(f'{name}.')}"
    found = re.match(r"config\.repos\[(\d+)\]", problem)
    if found:
        return f"{images[int(found.group(1))].place}{problem[found.end() :]}"
    return f"{way}.{problem}"


def _of_cache(problem: str) -> str:
    variable = re.match(r"pull_through_cache_(\w+)", problem)
    if variable:
        name = "upstreams" if variable.group(1) == "upstreams" else f"{CACHE}.{variable.group(1)}"
        return f"{name}{problem[variable.end() :]}"
    field = re.match(r"'([^']+)'(?:, (\w+))?: ", problem)
    if field is None:
        return f"upstreams: {problem}"
    name = f".{field.group(2)}" if field.group(2) else ""
    return f"upstreams.{field.group(1)}{name}: {problem[field.end() :]}"
