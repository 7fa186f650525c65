"""Small images by ECR's API, and what it says when it refuses: for tests of the loopback cloud."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import botocore.exceptions
import pytest

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@contextlib.contextmanager
def refused(code: str, *says: str) -> Iterator[None]:
    """The block is refused by AWS with this error code, in a message that has all these words."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    for word in says:
        assert word in error["Message"]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push_layer(ecr: Any, repository: str, content: bytes) -> str:
    """Upload a layer in one part."""
    digest = digest_of(content)
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload,
        partFirstByte=0,
        partLastByte=len(content) - 1,
        layerPartBlob=content,
    )
    ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])
    return digest


def push_image(ecr: Any, repository: str, tags: Iterable[str] = (), *, seed: object = "", **fields: Any) -> str:
    """An image that is nothing but a configuration, made different by its tags or `seed`; returns its digest."""
    tags = list(tags)
    config = json.dumps({"architecture": "amd64", "os": "linux", "seed": f"{tags}{seed}"}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": push_layer(ecr, repository, config), "size": len(config)},
        "layers": [],
        **fields,
    }
    return put(ecr, repository, manifest, tags)


def push_index(ecr: Any, repository: str, children: Iterable[str], tags: Iterable[str] = ()) -> str:
    manifests = [{"mediaType": MANIFEST, "digest": child, "size": 1} for child in children]
    return put(ecr, repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, list(tags))


def put(ecr: Any, repository: str, manifest: dict[str, Any], tags: list[str]) -> str:
    text = json.dumps(manifest)
    for tag in tags:
        ecr.put_image(repositoryName=repository, imageManifest=text, imageTag=tag)
    if not tags:
        ecr.put_image(repositoryName=repository, imageManifest=text)
    return digest_of(text.encode())


def allow(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    """A statement of an identity policy."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | list[str] = "*") -> dict[str, Any]:
    return {"Effect": "Deny", "Action": list(actions), "Resource": on}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
