#!/usr/bin/python
# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mirror_report
version_added: 0.1.0
short_description: Sum up what a run has done to images, for people
description:
  - Says of what M(stevedore.ecr.ecr_image_mirror) and M(stevedore.ecr.ecr_image_prune) have returned whether everything
    can be pulled, what did not work and why, which addresses to use, how many bytes were moved, and how many pulls are
    left.
  - Returns that, and writes it as a page or as Markdown where a path is given.
  - The page is one file that needs nothing else. It can be read on a phone and printed, is light or dark as the reader
    prefers it, and its tables can be sorted and searched without a server.
  - All text of registries is shown as text, whatever is in it.
author:
  - Contributors to the stevedore.ecr project (!UNKNOWN)
options:
  html:
    description:
      - Where to write the page. Directories that are missing are made.
    type: path
  markdown:
    description:
      - Where to write Markdown, for example the file in E(GITHUB_STEP_SUMMARY). What is there is replaced.
    type: path
  metrics:
    description:
      - Where to write the number of images that were copied, up to date, skipped, deferred and failed, the bytes that
        were moved, and how many pulls are left.
      - It is one line in the embedded metric format. Amazon CloudWatch makes metrics of it where the line is written
        to a log of Amazon CloudWatch Logs.
    type: dict
    suboptions:
      file:
        description: The file.
        type: path
        required: true
      namespace:
        description: The namespace of the metrics.
        type: str
        default: stevedore
      job:
        description: The value of their dimension C(Job).
        type: str
        required: true
  title:
    description:
      - What the report is about.
    type: str
    default: Images in Amazon ECR
  images:
    description:
      - What RV(stevedore.ecr.ecr_image_mirror#module:images) has. Lists of several runs can be added.
    type: list
    elements: dict
    default: []
  rate_limit:
    description:
      - What RV(stevedore.ecr.ecr_image_mirror#module:rate_limit) has.
    type: dict
    default: {}
  pruned:
    description:
      - What RV(stevedore.ecr.ecr_image_prune#module:repositories) has.
    type: list
    elements: dict
    default: []
  planned:
    description:
      - Whether this is what a run in check mode has found out, so that nothing was done.
    type: bool
    default: false
  told:
    description:
      - Whether the callback plugin P(stevedore.ecr.progress#callback) has told of each image already. Then RV(lines)
        does not repeat it.
    type: bool
    default: false
  problem:
    description:
      - Why the whole run failed, if it did.
    type: str
    default: ''
  notes:
    description:
      - Sentences to add at the end.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: With C(--check) the module reports what it would change, and changes nothing.
    support: full
  diff_mode:
    description: With C(--diff) the module shows what it changed.
    support: none
  idempotent:
    description: A second run with the same options reports no change.
    support: none
    details:
      - A report has the time at which it was written in it.
      - Where a report shall not count as a change, as in the roles of this collection, set C(changed_when=false).
notes:
  - The shape of RV(lines) is for people. Programs take RV(stevedore.ecr.ecr_image_mirror#module:images).
seealso:
  - module: stevedore.ecr.ecr_image_mirror
  - module: stevedore.ecr.ecr_image_prune
"""

EXAMPLES = r"""
- name: Mirror images
  stevedore.ecr.ecr_image_mirror:
    images:
      - source: quay.io/prometheus/prometheus
        tag: v3.5.0
    transport: direct
  register: mirrored

- name: Write a report
  stevedore.ecr.mirror_report:
    images: "{{ mirrored.images }}"
    rate_limit: "{{ mirrored.rate_limit }}"
    planned: "{{ ansible_check_mode }}"
    html: /srv/www/images.html
    markdown: /srv/www/images.md
  # In check mode it is the plan that is written down.
  check_mode: false
  changed_when: false
"""

RETURN = r"""
verdict:
  description: What the report says in one sentence.
  returned: success
  type: str
  sample: All 61 images can be pulled from your own ECR.
lines:
  description: One line for each entry of O(images), see O(told), and for each tag of O(pruned).
  returned: success
  type: list
  elements: str
  sample: ["copied: quay.io/a/b:1 -> 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b:1 (61.4 MB, 2.3 s)"]
addresses:
  description:
    - By the source of an image, the addresses to pull it by.
    - What could not be brought over is not in it, nor what was left out.
    - Where an image was copied to several places, these are of the first one.
  returned: success
  type: dict
  contains:
    tag:
      description: The address by tag. V(null) where it was asked for by digest.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b:1
    digest:
      description: The address by digest, which is always this very image. V(null) where check mode cannot know it.
      returned: always
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11...
files:
  description: The files that were written, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/srv/www/images.html]
"""

import os
from collections.abc import Mapping
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.stevedore.ecr.plugins.module_utils._report.markdown import markdown
from ansible_collections.stevedore.ecr.plugins.module_utils._report.metrics import embedded_metrics
from ansible_collections.stevedore.ecr.plugins.module_utils._report.page import page
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import ReportError, run_from

ARGUMENTS = {
    "html": {"type": "path"},
    "markdown": {"type": "path"},
    "metrics": {
        "type": "dict",
        "options": {
            "file": {"type": "path", "required": True},
            "namespace": {"type": "str", "default": "stevedore"},
            "job": {"type": "str", "required": True},
        },
    },
    "title": {"type": "str", "default": "Images in Amazon ECR"},
    "images": {"type": "list", "elements": "dict", "default": []},
    "rate_limit": {"type": "dict", "default": {}},
    "pruned": {"type": "list", "elements": "dict", "default": []},
    "planned": {"type": "bool", "default": False},
    "told": {"type": "bool", "default": False},
    "problem": {"type": "str", "default": ""},
    "notes": {"type": "list", "elements": "str", "default": []},
}


def write(module: AnsibleModule, texts: Mapping[str, str]) -> None:
    """Each file appears whole, or not at all."""
    for path, text in texts.items():
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        unfinished = os.path.join(module.tmpdir, os.path.basename(path))
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
        module.atomic_move(unfinished, os.path.abspath(path))


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        now = datetime.now(timezone.utc)
        run = run_from(params, f"{now:%-d %B %Y, %H:%M} UTC")
        writers = {"html": page, "markdown": markdown}
        texts = {params[name]: writer(run) for name, writer in writers.items() if params[name]}
        if metrics := params["metrics"]:
            line = embedded_metrics(run, metrics["namespace"], metrics["job"], int(now.timestamp() * 1000))
            texts[metrics["file"]] = line
        if not module.check_mode:
            write(module, texts)
    except ReportError as error:
        module.fail_json(msg=f"There can be no report of this: {error}")
    except OSError as error:
        module.fail_json(msg=f"The report cannot be written: {error}. Check the path and its permissions.")
    module.exit_json(
        changed=bool(texts), verdict=run.verdict, lines=run.lines, addresses=run.addresses, files=list(texts)
    )


if __name__ == "__main__":
    main()
