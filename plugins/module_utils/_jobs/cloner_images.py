# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role codebuild_cloner has the mirror engine do: the list of images, and its parts. Pure.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.cloner_variables import Cloner
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.permissions import Document
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import wishes
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

HUB = "docker.io"
# Where the job finds the login; it is in no file.
TOKEN_VARIABLE = "DOCKER_HUB_TOKEN"
METRICS_FILE = "metrics.json"
USER_VARIABLE = "DOCKER_HUB_USERNAME"

# For Ansible, in the build.
_DIRECTORY = "{{ lookup('ansible.builtin.env', 'CODEBUILD_SRC_DIR') }}"
_BUILD = "lookup('ansible.builtin.env', 'CODEBUILD_BUILD_ID') | split(':') | last"
_RUN = f"{{{{ now(utc=true, fmt='%Y-%m-%d/%H%M%SZ') }}}}-{{{{ {_BUILD} }}}}"


@dataclass(frozen=True)
class Images:
    """In the words of the engine, and as it understands them."""

    options: Sequence[Document]
    wished: Sequence[Wish]

    @property
    def need_engine(self) -> bool:
        return any(wish.transport == "docker" for wish in self.wished)

    @property
    def repositories(self) -> list[str]:
        return sorted({wish.repository for wish in self.wished})

    @property
    def sources(self) -> list[Reference]:
        return [wish.source for wish in self.wished]


def read_images(cloner: Cloner) -> Images:
    """Raises an error with all that the engine would not understand, by the names that the variables have for it."""
    options = list(_options(cloner))
    try:
        wished = wishes.parse(options, {"namespace": cloner.namespace, "transport": "direct"})
    except wishes.WishError as error:
        problems = [_named_after(options, problem) for problem in error.problems]
    else:
        built = {(wish.repository, tag) for wish in wished if wish.transport == "docker" for tag in wish.tags}
        problems = []
        for number, one in enumerate(options):
            if _needs_engine(cloner, one, built):
                problems += _platform_problems(cloner, one)
                # What is built is for the platform that the build itself runs on.
                options[number] = {**one, "platforms": [cloner.engine_platform]}
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidVariables")
    return Images(options, wished)


def addresses(cloner: Cloner, images: Images) -> dict[str, str]:
    """By the name that the variables have for it. What is still to be selected is not in it."""
    start = len(cloner.namespace) + 1
    return {
        f"{wish.repository[start:]}:{tag}": f"{cloner.registry}/{wish.repository}:{tag}"
        for wish in images.wished
        for tag in wish.tags
    }


def job_files(cloner: Cloner, options: Sequence[Document]) -> dict[str, str]:
    """The variables of the playbook, a file for each shard."""
    if not cloner.sharded:
        return {"job.json": _job(cloner, options)}
    shards: list[list[Document]] = [[] for _number in range(cloner.fan_out)]
    for one in options:
        shards[shard_of(one["repository"], cloner.fan_out)].append(one)
    return {f"job-{number}.json": _job(cloner, shard) for number, shard in enumerate(shards)}


def shard_of(repository: str, shards: int) -> int:
    """The same for a repository whatever else is in the list, so that each shard finds its own work done."""
    return int.from_bytes(hashlib.sha256(repository.encode()).digest()[:8], "big") % shards


def _options(cloner: Cloner) -> Iterator[Document]:
    """What is copied as it is, and one for each tag that gets lines of its own."""
    for repository, what in cloner.containers.items():
        entry = (
            {key: value for key, value in what.items() if value is not None}
            if isinstance(what, Mapping)
            else {"tags": what}
        )
        common = {"source": f"{entry.pop('registry', HUB)}/{repository}", "repository": repository}
        if cloner.platforms:
            common["platforms"] = cloner.platforms
        tags = entry.pop("tags", None)
        if tags is None:
            yield {**common, **entry}
            continue
        plain = [tag for tag in tags if f"{repository}:{tag}" not in cloner.build_commands]
        if plain:
            yield {**common, **entry, "tags": plain}
        for tag in tags:
            if tag not in plain:
                yield {**common, **entry, "tags": [tag], "dockerfile": cloner.build_commands[f"{repository}:{tag}"]}


def _needs_engine(cloner: Cloner, one: Document, built: set[tuple[str, str]]) -> bool:
    return "dockerfile" in one and (f"{cloner.namespace}/{one['repository']}", one["tags"][0]) in built


def _platform_problems(cloner: Cloner, one: Document) -> Iterator[str]:
    if one.get("platforms") not in (None, "all", [cloner.engine_platform]):
        yield (
            f"build_commands.{one['repository']}:{one['tags'][0]}: has lines that have to be run, which a build on "
            f"{cloner.architecture} does for {cloner.engine_platform} alone: leave out other platforms, or keep to "
            "lines such as ENV and VOLUME, which need not be run"
        )


def _named_after(options: Sequence[Document], problem: str) -> str:
    """A problem of the engine, with the image by name and not by number."""
    found = re.match(r"images\[(\d+)\]", problem)
    if not found:
        return problem
    one = options[int(found.group(1))]
    repository = one["repository"]
    name = f"build_commands.{repository}:{one['tags'][0]}" if "dockerfile" in one else f"containers.{repository}"
    return name + problem[found.end() :]


def _job(cloner: Cloner, options: Sequence[Document]) -> str:
    job: Document = {
        "image_mirror_images": list(options),
        "image_mirror_namespace": cloner.namespace,
        "image_mirror_transport": "direct",
        "image_mirror_create_repositories": False,
        "image_mirror_journal": f"{_DIRECTORY}/journal.jsonl",
        "image_mirror_report_html": f"{_DIRECTORY}/report.html",
        "image_mirror_report_markdown": f"{_DIRECTORY}/report.md",
        "image_mirror_metrics": {"file": f"{_DIRECTORY}/{METRICS_FILE}", "job": cloner.project},
        "image_mirror_upload": {"bucket": cloner.bucket_name, "prefix": f"{cloner.results}/{_RUN}"},
    }
    if cloner.kms_key_arn:
        job["image_mirror_upload"]["kms_key_arn"] = cloner.kms_key_arn
    if cloner.has_login:
        login = {"username": _from_environment(USER_VARIABLE), "password": _from_environment(TOKEN_VARIABLE)}
        job["image_mirror_registries"] = [{"host": HUB, **login}]
    return json.dumps(job, indent=2, sort_keys=True) + "\n"


def _from_environment(name: str) -> str:
    return "{{ lookup('ansible.builtin.env', '" + name + "') }}"
