"""What a build is built from: nothing but its buildspec, or an archive or folder in S3, fetched in the service role."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from loopback.acting import Actor, reason
from loopback.fidelity import assumed, documented
from loopback.services.codebuild.record import PhaseFailed

Json = dict[str, Any]


@documented("CodeBuild API reference, ProjectSource: an S3 location is BUCKET/KEY.zip or BUCKET/FOLDER/")
def fetch(actor: Actor, source: Json, version: str | None, directory: Path) -> None:
    """Fill the build's source directory."""
    if source["type"] != "S3":
        return
    bucket, _slash, key = source["location"].removeprefix("arn:aws:s3:::").partition("/")
    try:
        if key.endswith("/") or not key:
            _folder(actor, bucket, key, directory)
        else:
            _unpack(_object(actor, bucket, key, version), directory)
    except ClientError as error:
        raise PhaseFailed("CLIENT_ERROR", f"{reason(error)} for primary source {source['location']}") from error
    except zipfile.BadZipFile as error:
        raise PhaseFailed("CLIENT_ERROR", f"primary source {source['location']} is no ZIP archive") from error


@documented(
    "CodeBuild user guide, build-spec-ref-name-storage: inline, a path in the source, or the ARN of an S3 object"
)
def buildspec_text(actor: Actor, source: Json, directory: Path) -> str:
    given = source.get("buildspec") or "buildspec.yml"
    if "\n" in given or given.lstrip().startswith("{"):
        return str(given)
    if given.startswith("arn:"):
        bucket, _slash, key = given.partition(":s3:::")[2].partition("/")
        try:
            return _object(actor, bucket, key, None).decode()
        except ClientError as error:
            raise PhaseFailed("YAML_FILE_ERROR", f"{reason(error)} for {given}") from error
    file = directory / given
    if not file.is_file():
        raise PhaseFailed("YAML_FILE_ERROR", f"YAML file does not exist: {given}")
    return file.read_text()


@documented("CodeBuild user guide, setting-up-service-role: s3:GetObject and s3:GetObjectVersion on the source")
@assumed("it looks which version is the newest, and reads that")
def _object(actor: Actor, bucket: str, key: str, version: str | None) -> bytes:
    s3 = actor.client("s3")
    version = version or s3.head_object(Bucket=bucket, Key=key).get("VersionId")
    which = {"VersionId": version} if version else {}
    content: bytes = s3.get_object(Bucket=bucket, Key=key, **which)["Body"].read()
    return content


def _folder(actor: Actor, bucket: str, prefix: str, directory: Path) -> None:
    pages = actor.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for entry in (entry for page in pages for entry in page.get("Contents", [])):
        name = entry["Key"].removeprefix(prefix)
        if name and not name.endswith("/"):
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_object(actor, bucket, entry["Key"], None))


def _unpack(content: bytes, directory: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(directory)
