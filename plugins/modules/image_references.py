#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: image_references
version_added: 0.1.0
short_description: Rewrite image references in files to their addresses in your own ECR
description:
  - Finds the image references in Kubernetes manifests, Helm values, Kustomize files, Compose files and Dockerfiles, and
    rewrites those that the desired-state file covers to their addresses in your own registry.
  - Only the references change. Comments, indentation, quotes, line ends, anchors and everything else stay as they are,
    to the byte. Files keep their mode and their owner.
  - References that nothing covers are reported, and left as they are, like those that it cannot read for sure.
  - It needs no AWS, and asks no registry.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  paths:
    description:
      - Files, directories, and globs such as C(deploy/**/values*.yaml).
      - In directories, files are found by their names, which are C(*.yaml), C(*.yml), C(Kustomization), and those of
        Dockerfiles such as C(Dockerfile), C(Dockerfile.build), C(web.Dockerfile) and C(Containerfile). Directories
        whose names begin with a dot are left out, and links to directories are not followed.
      - Where a link leads to a file, the file is written, and the link stays.
      - Give a kustomization and what it brings in together. An image that it replaces by name keeps this name in the
        other files, as it would not be found otherwise.
    type: list
    elements: path
    required: true
  exclude:
    description:
      - Globs of files and directories to leave out. Each is compared with the name, and with the path inside of the
        directory that O(paths) has.
    type: list
    elements: str
    default: []
  site:
    description:
      - What the desired-state file has in it, as YAML or JSON. Upstreams and images in it tell what is covered.
      - It is a text because logins may be in it, which appear in no log like this.
    type: str
    required: true
  registry:
    description:
      - The host of your own registry, as in RV(stevedore.ecr.ecr_registry_info#module:registry.host).
      - What is there already is counted, and left as it is.
    type: str
    required: true
  kind:
    description:
      - What the files are. V(auto) goes by their content, and where it has to, by their names.
      - Helm values that are not in a file such as C(values.yaml) or C(prod-values.yaml) need V(helm).
    type: str
    choices: [auto, kubernetes, helm, kustomize, compose, dockerfile]
    default: auto
  require_covered:
    description:
      - Whether to fail when there are references that nothing covers. Nothing is written then.
    type: bool
    default: false
attributes:
  check_mode:
    description: With C(--check) the module reports what it would change, and changes nothing.
    support: full
  diff_mode:
    description: With C(--diff) the module shows what it changed, or in check mode would change, file by file.
    support: full
  idempotent:
    description: A second run with the same options reports no change.
    support: full
requirements:
  - PyYAML, which comes with ansible-core, on the host where it runs
notes:
  - >-
    A comment C(# stevedore: keep) keeps a reference as it is. It stands on the same line, on the line before, or on
    that of the key C(image), if the reference is in parts.
  - Of Kubernetes, it knows C(image) in containers of all kinds, in lists and in custom resources, and in volumes. Not
    looked at are labels, annotations, and ConfigMaps, Secrets and CustomResourceDefinitions.
  - Of Helm values, it knows C(image) as one text, and in parts with C(registry), C(repository), C(tag) and C(digest).
    A tag without quotes that is another one as a number, such as C(1.10), is unresolved.
    Where C(global.imageRegistry) is set, all the images that go by it are rewritten or none. Names such as
    C(sidecarImage) count where there is a tag or a digest.
  - Of templates of Helm, only lines with C(image) are seen, and of these not those below labels and annotations. A file
    is one if it is no YAML as it is. Templates in the texts of a file are texts.
  - Of Compose files, images that are built there are left, as their names are for what is built.
  - Of Dockerfiles, it knows C(FROM), the defaults of C(ARG) before it, C(COPY --from), C(RUN --mount=from) and
    C(# syntax=). What is copied or mounted from a single word that is no stage may be a build context, and stays.
  - Where the tag is a variable, or is left to a chart, the rest is rewritten if every tag of the repository is covered.
    That is so with a cache, and with C(select) of all tags.
  - A digest stays. It is covered where the copy has the same one, so not with C(platforms), with C(dockerfile), or with
    a Docker Engine.
  - References in arguments, in environment variables, and in texts inside of other files are not seen.
seealso:
  - module: stevedore.ecr.ecr_registry_info
  - plugin: stevedore.ecr.ecr_cached_image
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Find out where we are
  stevedore.ecr.ecr_registry_info:
    host: true
  register: here

- name: Move manifests and Dockerfiles over
  stevedore.ecr.image_references:
    paths:
      - deploy
      - services/*/Dockerfile
    exclude:
      - vendor
      - "*.example.yaml"
    site: "{{ lookup('ansible.builtin.file', 'stevedore.yml') }}"
    registry: "{{ here.registry.host }}"

# Where the file has lookups or Vault in it, let Ansible read it.
- name: Read the desired state
  ansible.builtin.include_vars:
    file: stevedore.yml
    name: stevedore

- name: Fail if anything does not come from our own registry
  stevedore.ecr.image_references:
    paths: [deploy]
    site: "{{ stevedore | to_json }}"
    registry: 123456789012.dkr.ecr.eu-west-1.amazonaws.com
    require_covered: true
  check_mode: true
  register: references
  failed_when: references is failed or references is changed

- name: Rewrite Helm values in a file with another name
  stevedore.ecr.image_references:
    paths: [environments/production.yaml]
    kind: helm
    site: "{{ stevedore | to_json }}"
    registry: 123456789012.dkr.ecr.eu-west-1.amazonaws.com
"""

RETURN = r"""
references:
  description: Each reference, in the order of the files and their lines.
  returned: success, and when references are not covered
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      returned: always
      type: str
      sample: deploy/web.yaml
    line:
      description: The line.
      returned: always
      type: int
      sample: 14
    reference:
      description: What was there. Where it is in parts, they are put together.
      returned: always
      type: str
      sample: quay.io/prometheus/prometheus:v3.5.0
    state:
      description:
        - V(rewritten), or in check mode to be rewritten.
        - V(own), because it is in your own registry.
        - V(kept), because a comment says so, or it is not for pulling, or a kustomization needs it.
        - V(uncovered), because nothing covers it.
        - V(unresolved), because it is not to be known what it is, such as with a variable for its name.
      returned: always
      type: str
      sample: rewritten
    address:
      description: What is there now. Empty where it is not rewritten.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/quay/prometheus/prometheus:v3.5.0
    reason:
      description: Why it is not rewritten.
      returned: always
      type: str
      sample: ''
counts:
  description: How many references there are of each state.
  returned: success, and when references are not covered
  type: dict
  sample: {rewritten: 12, own: 3, kept: 1, uncovered: 0, unresolved: 2}
files:
  description: The files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [deploy/web.yaml]
not_read:
  description: The files that were not looked at, and why.
  returned: success, and when references are not covered
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      returned: always
      type: str
      sample: deploy/dashboard.yaml
    reason:
      description: Why.
      returned: always
      type: str
      sample: it is no text in UTF-8
lines:
  description: All of it for people, without what is in your own registry already.
  returned: success, and when references are not covered
  type: list
  elements: str
  sample: ["deploy/web.yaml:14: uncovered: ghcr.io/team/app:1: nothing covers it"]
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import yaml
except ImportError:
    HAS_YAML = False
else:
    HAS_YAML = True

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._site import source_files
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import (
    OWN,
    REWRITTEN,
    STATES,
    UNCOVERED,
    Aim,
    NoTextError,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_files import KINDS, Result, Source, rewrite
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import SiteError
from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import read as read_site

ARGUMENTS = {
    "paths": {"type": "list", "elements": "path", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "site": {"type": "str", "required": True, "no_log": True},
    "registry": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["auto", *KINDS], "default": "auto"},
    "require_covered": {"type": "bool", "default": False},
}


class _ImpossibleError(Exception):
    """Why nothing can be done."""


def aim_of(site: str, registry: str) -> Aim:
    try:
        return Aim(registry, read_site(_document(site), registry).address)
    except InvalidReferenceError as error:
        raise _ImpossibleError(f"registry must be the host of your own registry, not {registry!r}: {error}") from error
    except SiteError as error:
        raise _ImpossibleError(f"site: {'; '.join(error.problems)}") from error


def _document(text: str) -> Any:
    """JSON is not quite YAML where it has escapes."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # What is in the file may be secret.
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _ImpossibleError(
            f"site is neither YAML nor JSON: {error.problem or 'there is a mistake'}{line}"
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _ImpossibleError("site is neither YAML nor JSON") from error


def results_of(paths: Sequence[str], exclude: Sequence[str], kind: str, aim: Aim) -> list[Result]:
    """What becomes of each file. Raises _ImpossibleError with all that cannot be read."""
    sources: list[Source] = []
    skipped, problems = [], []
    try:
        found = source_files.find(paths, exclude)
    except source_files.SourceError as error:
        raise _ImpossibleError(f"paths: {error}") from error
    for path in found:
        try:
            sources.append(source_files.read(path, kind))
        except NoTextError as error:
            skipped.append(Result(path, "", "", skipped=str(error)))
        except OSError as error:
            problems.append(f"{path}: it cannot be read: {error.strerror}")
    results = rewrite(sources, aim)
    problems += [f"{result.path}: {result.problem}" for result in results if result.problem]
    if problems:
        raise _ImpossibleError(
            f"Nothing was written. Correct these files, or leave them out by exclude: {'; '.join(problems)}"
        )
    return results + skipped


def summary(results: Sequence[Result]) -> dict[str, Any]:
    references = [
        {
            "path": result.path,
            "line": finding.line,
            "reference": _shown(finding.reference),
            "state": finding.state,
            "address": finding.address,
            "reason": _shown(finding.reason),
        }
        for result in results
        for finding in result.findings
    ]
    counted = Counter(reference["state"] for reference in references)
    not_read = [{"path": result.path, "reason": result.skipped} for result in results if result.skipped]
    return {
        "references": references,
        "counts": {state: counted[state] for state in STATES},
        # Not `skipped`, which Ansible takes for the whole task.
        "not_read": not_read,
        "lines": [
            *(_line(reference) for reference in references if reference["state"] != OWN),
            *(f"{one['path']}: not looked at: {one['reason']}" for one in not_read),
        ],
    }


def _line(reference: dict[str, Any]) -> str:
    place = f"{reference['path']}:{reference['line']}: {reference['state']}: {reference['reference']}"
    return (
        f"{place} -> {reference['address']}" if reference["state"] == REWRITTEN else f"{place}: {reference['reason']}"
    )


def _not_covered(references: Iterable[dict[str, Any]]) -> str:
    lines = [_line(reference) for reference in references if reference["state"] == UNCOVERED]
    return (
        f"Nothing was written, as nothing covers {len(lines)} of the references. Add them to the desired-state file, "
        f"or keep them with a comment `# stevedore: keep`: {'; '.join(lines)}"
    )


def _shown(text: str) -> str:
    """Without what is no text, which JSON could not have."""
    return text.encode("utf-8", "replace").decode()


def diff_of(result: Result) -> dict[str, str]:
    headers = {"before_header": result.path, "after_header": result.path}
    return {**headers, "before": _shown(result.before), "after": _shown(result.after)}


def write(module: AnsibleModule, results: Iterable[Result]) -> None:
    """Each file is there whole at any time, and a link stays one."""
    for result in results:
        unfinished = os.path.join(module.tmpdir, "rewritten")
        with open(unfinished, "wb") as file:
            file.write(source_files.encoded(result.after))
        module.atomic_move(unfinished, os.path.realpath(result.path))


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if not HAS_YAML:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    params = module.params
    kind = "" if params["kind"] == "auto" else params["kind"]
    try:
        aim = aim_of(params["site"], params["registry"])
        results = results_of(params["paths"], params["exclude"], kind, aim)
    except _ImpossibleError as error:
        module.fail_json(msg=_shown(str(error)))
    told = summary(results)
    if told["counts"][UNCOVERED] and params["require_covered"]:
        module.fail_json(msg=_not_covered(told["references"]), **told)
    changed = [result for result in results if result.changed]
    if not module.check_mode:
        try:
            write(module, changed)
        except OSError as error:
            module.fail_json(msg=f"A file cannot be written: {error}. Check its permissions, and run this again.")
    module.exit_json(
        changed=bool(changed), files=[result.path for result in changed], diff=[diff_of(one) for one in changed], **told
    )


if __name__ == "__main__":
    main()
