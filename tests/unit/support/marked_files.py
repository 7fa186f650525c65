# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with references, written so that what is there before and after can be seen at once.

[[nginx:1|hub/library/nginx:1]] is nginx:1 before, and REGISTRY/hub/library/nginx:1 after. [[docker.io|]] becomes the
registry alone, and [[a|=b]] is b.
"""

from __future__ import annotations

import re

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import Aim, tail_of
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_files import Result, Source, rewrite

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'ab' * 32}"

_MARKED = re.compile(r"\[\[(.*?)\|(.*?)\]\]", re.DOTALL)
_CACHED = {"docker.io": "hub", "quay.io": "quay"}


def cover(reference: str) -> str | None:
    """Two upstreams are cached; of ghcr.io/team/app there are the tags 1 and 2, and the second is called two.10."""
    image = Reference.parse(reference)
    if image.registry in _CACHED:
        return f"{REGISTRY}/{_CACHED[image.registry]}/{image.repository}{tail_of(image)}"
    tags = {"1": "1", "2": "2.10"}
    if image.name == "ghcr.io/team/app" and image.digest is None and image.tag in tags:
        return f"{REGISTRY}/team/app:{tags[image.tag]}"
    return None


AIM = Aim(REGISTRY, cover)


def before(marked: str) -> str:
    return _MARKED.sub(lambda match: match[1], marked)


def after(marked: str) -> str:
    return _MARKED.sub(lambda match: _new(match[2]), marked)


def _new(text: str) -> str:
    if text.startswith("="):
        return text[1:]
    return f"{REGISTRY}/{text}" if text else REGISTRY


def rewritten(path: str, text: str, kind: str = "") -> Result:
    (result,) = rewrite([Source(path, text, kind)], AIM)
    return result


def told(result: Result) -> list[tuple[int, str, str]]:
    return [(finding.line, finding.state, finding.reference) for finding in result.findings]
