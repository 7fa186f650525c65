"""What may become an image: a manifest is checked as ECR checks it, then kept as the exact bytes that were pushed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container
from typing import Any

from loopback.blobs import DIGEST, digest_of
from loopback.errors import RegistryError
from loopback.fidelity import assumed, documented, from_model
from loopback.knobs import knobs
from loopback.services.ecr.state import IMAGE_TYPES, INDEX_TYPES, Image, Json, Repository

MAX_SIZE = 4 << 20
MAX_TAGS = 1000
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
#: The same manifest in the other of the two worlds.
SIBLINGS = {
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.config.v1+json": "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
WORLDS = (SIBLINGS, {docker: oci for oci, docker in SIBLINGS.items()})


def store(
    repository: Repository, raw: bytes, media_type: str | None, tag: str | None, *, check_parts: bool = True
) -> Image:
    """Keep a manifest, and let `tag` name it. Raises RegistryError, and keeps nothing then."""
    document, kind = parse(raw, media_type)
    digest = digest_of(raw)
    if tag is not None:
        check_tag(repository, tag, digest)
    if check_parts:
        _check_parts(repository, document, kind)
    image = repository.images.get(digest) or _image(repository, raw, document, kind)
    repository.images[digest] = image
    if tag is not None:
        repository.tags[tag] = digest
    return image


@from_model
@assumed("error codes and wordings")
def parse(raw: bytes, media_type: str | None) -> tuple[Json, str]:
    """The document and its media type, which the request or the document must state, and both alike."""
    if len(raw) > MAX_SIZE:
        raise too_large()
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _invalid("must be a valid image manifest")
    given = (media_type or "").partition(";")[0].strip() or None
    stated = document.get("mediaType")
    if given and stated and given != stated:
        raise RegistryError("MANIFEST_INVALID", f"Manifest has mediaType '{stated}' but was sent as '{given}'")
    kind = given or stated
    if kind not in IMAGE_TYPES + INDEX_TYPES:
        raise RegistryError("MANIFEST_INVALID", f"Manifest media type '{kind}' is not supported")
    if not _well_formed(document, kind):
        raise _invalid("must have the members of its media type")
    return document, kind


def too_large() -> RegistryError:
    return _invalid(f"Member must have length less than or equal to {MAX_SIZE}")


def check_tag_name(tag: str) -> None:
    if not TAG.fullmatch(tag):
        raise RegistryError(
            "TAG_INVALID",
            f"Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression "
            f"'{TAG.pattern}''",
        )


@documented("ECR user guide, image-tag-mutability; service-quotas: 1,000 tags per image")
@assumed("wordings, as users quote them; a tag is refused for its own digest too: knob ecr.immutable_same_digest")
def check_tag(repository: Repository, tag: str, digest: str) -> None:
    """Whether `tag` may name `digest` from now on."""
    check_tag_name(tag)
    present = repository.tags.get(tag)
    same_is_refused = knobs.get("ecr.immutable_same_digest", "refuse") == "refuse"
    if present and repository.immutable(tag) and (present != digest or same_is_refused):
        raise RegistryError(
            "TAG_INVALID",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten "
            f"because the {'tag' if repository.exclusion_filters else 'repository'} is immutable.",
        )
    if present != digest and len(repository.tags_of(digest)) >= MAX_TAGS:
        raise RegistryError(
            "DENIED",
            f"Adding tag '{tag}' to an image in the repository with name '{repository.name}' in registry with id "
            f"'{repository.account}' exceeds the maximum allowed number of tags per image which is '{MAX_TAGS}'",
            403,
        )


def children(document: Json) -> list[str]:
    """The manifests that an index lists."""
    return [child["digest"] for child in document.get("manifests", [])]


def layers(document: Json) -> list[str]:
    """Configuration and layers, but for layers that live elsewhere (Windows base layers)."""
    found = [part["digest"] for part in _parts(document) if not _is_foreign(part)]
    return found + [layer["blobSum"] for layer in document.get("fsLayers", [])]


def refer_to(repository: Repository, layer: str) -> bool:
    """Whether an image of the repository has this layer or configuration."""
    return any(layer.encode() in image.raw for image in repository.images.values() if not image.is_index)


def referrers(repository: Repository, subject: str, artifact_type: str | None) -> list[Json]:
    """Descriptors of the manifests whose subject is `subject`."""
    return [
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(image.raw),
            **({"artifactType": image.artifact_type} if image.artifact_type else {}),
            **({"annotations": image.annotations} if image.annotations else {}),
        }
        for image in repository.images.values()
        if image.subject == subject and artifact_type in (None, image.artifact_type)
    ]


@documented("ECR user guide, image-manifest-formats: by tag, an image is converted to a format that the client accepts")
def convert(image: Image, accepted: Container[str | None]) -> tuple[bytes, str] | None:
    """The image's manifest in the other world's media types, if those are what the client accepts."""
    table = next((world for world in WORLDS if world.get(image.media_type) in accepted), None)
    if table is None:
        return None
    document = json.loads(image.raw)
    document["mediaType"] = table[image.media_type]
    for part in _parts(document):
        part["mediaType"] = table.get(part.get("mediaType", ""), part.get("mediaType"))
    return json.dumps(document, separators=(",", ":")).encode(), document["mediaType"]


def _image(repository: Repository, raw: bytes, document: Json, kind: str) -> Image:
    config_type = (document.get("config") or {}).get("mediaType")
    return Image(
        digest=digest_of(raw),
        raw=raw,
        media_type=kind,
        size=_size(repository, document),
        artifact_type=document.get("artifactType") or (None if config_type in CONFIG_TYPES else config_type),
        subject=(document.get("subject") or {}).get("digest"),
        annotations=document.get("annotations"),
    )


@documented("ECR user guide, docker-push-multi-architecture-image: the size of a list is that of its largest child")
@assumed("an image's size is the sum of its layers and configuration")
def _size(repository: Repository, document: Json) -> int:
    known = [repository.images[digest].size for digest in children(document) if digest in repository.images]
    if known:
        return max(known)
    return sum(part.get("size", 0) for part in _parts(document))


@from_model
@assumed("codes and wordings; of layers as in github.com/oras-project/oras-py/issues/54. A subject need not exist")
def _check_parts(repository: Repository, document: Json, kind: str) -> None:
    where = f"image into repository with name '{repository.name}' in the registry with id '{repository.account}'"
    if kind in INDEX_TYPES:
        missing = [digest for digest in children(document) if digest not in repository.images]
        if missing:
            message = f"Images with digests '[{', '.join(missing)}]' required for pushing {where} do not exist"
            raise RegistryError("MANIFEST_BLOB_UNKNOWN", message)
        return
    missing = [digest for digest in layers(document) if digest not in repository.layers]
    if missing:
        message = f"Layers with digests '[{', '.join(missing)}]' required for pushing {where} do not exist"
        raise RegistryError("BLOB_UPLOAD_UNKNOWN", message)


def _parts(document: Json) -> list[Json]:
    config = [document["config"]] if "config" in document else []
    return [*config, *document.get("layers", [])]


def _is_foreign(part: Json) -> bool:
    kind = str(part.get("mediaType", ""))
    return "nondistributable" in kind or ".foreign." in kind


def _well_formed(document: Json, kind: str) -> bool:
    """Whether the members that later code relies on are there and of the right kind."""
    if kind in INDEX_TYPES:
        descriptors = document.get("manifests")
    elif "fsLayers" in document:
        return _all(document["fsLayers"], lambda layer: _is_digest(layer.get("blobSum")))
    elif isinstance(document.get("layers"), list):
        descriptors = [document.get("config"), *document["layers"]]
    else:
        return False
    if "subject" in document:
        descriptors = [*(descriptors or []), document["subject"]]
    return _all(descriptors, lambda d: _is_digest(d.get("digest")) and isinstance(d.get("size", 0), int))


def _all(items: Any, check: Callable[[Json], bool]) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and check(item) for item in items)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _invalid(why: str) -> RegistryError:
    return RegistryError(
        "MANIFEST_INVALID", f"Invalid parameter at 'imageManifest' failed to satisfy constraint: '{why}'"
    )
