# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a repository: all of them, or those that are asked for by tag and digest.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr import api_registry as api
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError

IDS_IN_A_CALL = 100
LOOKS = 3

_TAG = re.compile(r"\w[\w.-]{0,299}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NEVER = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Query:
    """Which images. Without ids, all with this tag status."""

    tag_status: str = "any"
    ids: Sequence[Mapping[str, str]] | None = None


def query(params: Mapping[str, Any]) -> Query:
    """From the options of the module, checked before anything is asked of AWS."""
    tags, digests = params["tags"], params["digests"]
    problems = [f"tags: {tag!r} is no tag, and patterns are not known here" for tag in tags or [] if not _is(_TAG, tag)]
    problems += [
        f"digests: must be sha256: and 64 hexadecimal digits in lower case, not {digest!r}"
        for digest in digests or []
        if not _is(_DIGEST, digest)
    ]
    if problems:
        raise AnsibleECRError(f"Not valid: {'; '.join(problems)}", code="InvalidImageId")
    if tags is None and digests is None:
        return Query(tag_status=params["tag_status"] or "any")
    ids = [{"imageTag": tag} for tag in tags or []] + [{"imageDigest": digest} for digest in digests or []]
    return Query(ids=[image_id for index, image_id in enumerate(ids) if image_id not in ids[:index]])


def find(client: Any, repository: str, uri: str, wanted: Query) -> dict[str, Any]:
    """The images of one repository, newest first, and the tags and digests that it does not have."""
    if wanted.ids is None:
        found = api.describe_all_images(client, repository, wanted.tag_status.upper())
        return {"uri": uri, "images": _shown(found, uri), "missing": []}
    found, missing = _described(client, repository, wanted.ids)
    return {"uri": uri, "images": _shown(found, uri), "missing": [name for item in missing for name in item.values()]}


def image_from_ecr(document: Mapping[str, Any], uri: str) -> dict[str, Any]:
    """Flat, in our words, with the addresses to pull it by."""
    digest, tags = document["imageDigest"], sorted(document.get("imageTags", []))
    return {
        "digest": digest,
        "tags": tags,
        "uri": f"{uri}@{digest}",
        "uris": [f"{uri}:{tag}" for tag in tags],
        "size_in_bytes": document.get("imageSizeInBytes"),
        "pushed_at": _moment(document.get("imagePushedAt")),
        "last_pulled_at": _moment(document.get("lastRecordedPullTime")),
        "media_type": document.get("imageManifestMediaType"),
        "artifact_type": document.get("artifactMediaType"),
        "subject": document.get("subjectManifestDigest"),
        "status": document.get("imageStatus", "ACTIVE").lower(),
    }


def _described(
    client: Any, repository: str, ids: Sequence[Mapping[str, str]]
) -> tuple[list[dict[str, Any]], list[Mapping[str, str]]]:
    """The images that these ids name, and the ids that name none.

    ECR describes no image of a call in which one is missing, and does not say which ones are. So it is asked then which
    there are, once for the repository, and again should some vanish meanwhile. One id needs no such question.
    """
    present = list(ids)
    for _look in range(LOOKS):
        found = [api.describe_images(client, repository, batch) for batch in _batches(present)]
        complete = [images for images in found if images is not None]
        if len(complete) == len(found):
            described = [image for images in complete for image in images]
            return described, [image_id for image_id in ids if image_id not in present]
        existing = _names(api.list_image_ids(client, repository)) if len(present) > 1 else set()
        present = [image_id for image_id in ids if existing.issuperset(image_id.values())]
    raise AnsibleECRError(
        f"Images vanished while they were read, {LOOKS} times in a row. Run again when nobody deletes any",
        code="ImageNotFoundException",
    )


def _batches(ids: Sequence[Mapping[str, str]]) -> Iterator[Sequence[Mapping[str, str]]]:
    return (ids[start : start + IDS_IN_A_CALL] for start in range(0, len(ids), IDS_IN_A_CALL))


def _names(ids: Iterable[Mapping[str, str]]) -> set[str]:
    return {name for image_id in ids for name in image_id.values()}


def _shown(documents: Iterable[Mapping[str, Any]], uri: str) -> list[dict[str, Any]]:
    """Each image once, though two tags may have asked for it; the newest first."""
    by_digest = {document["imageDigest"]: document for document in documents}
    newest_first = sorted(
        by_digest.values(), key=lambda document: document.get("imagePushedAt") or _NEVER, reverse=True
    )
    return [image_from_ecr(document, uri) for document in newest_first]


def _moment(value: datetime | None) -> str | None:
    """In UTC: botocore gives it in the time zone of this host."""
    return value.astimezone(timezone.utc).isoformat() if value else None


def _is(form: re.Pattern[str], text: str) -> bool:
    return form.fullmatch(text) is not None
