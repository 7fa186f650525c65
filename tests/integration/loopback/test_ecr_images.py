"""Images by ECR's API in the loopback cloud."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from ecr_api import CONFIG, INDEX, MANIFEST, allow, digest_of, push_image, push_index, push_layer, put, refused

from loopback.client import Cloud

REPOSITORY = "team/app"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
ABSENT = f"sha256:{'0' * 64}"
OTHER = "210987654321"


@pytest.fixture
def ecr(cloud: Cloud) -> Any:
    client = cloud.client("ecr")
    client.create_repository(repositoryName=REPOSITORY)
    return client


def get(ecr: Any, *identities: dict[str, str], repository: str = REPOSITORY, **more: Any) -> Any:
    return ecr.batch_get_image(repositoryName=repository, imageIds=list(identities), **more)


def delete(ecr: Any, *identities: dict[str, str]) -> Any:
    return ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=list(identities))


def listed(ecr: Any, repository: str = REPOSITORY, **more: Any) -> list[dict[str, str]]:
    images: list[dict[str, str]] = ecr.list_images(repositoryName=repository, **more)["imageIds"]
    return images


def codes(answer: Any) -> list[str]:
    return [failure["failureCode"] for failure in answer["failures"]]


# ------------------------------------------------------------------ layers


def test_a_layer_is_uploaded_in_parts_and_downloaded(ecr: Any) -> None:
    content = bytes(range(256)) * 4096 * 6  # 6 MiB: more than the smallest part
    upload = ecr.initiate_layer_upload(repositoryName=REPOSITORY)
    where = {"repositoryName": REPOSITORY, "uploadId": upload["uploadId"]}
    half = 5 << 20
    ecr.upload_layer_part(**where, partFirstByte=0, partLastByte=half - 1, layerPartBlob=content[:half])
    part = {"partFirstByte": half, "partLastByte": len(content) - 1, "layerPartBlob": content[half:]}
    assert ecr.upload_layer_part(**where, **part)["lastByteReceived"] == len(content) - 1
    digest = ecr.complete_layer_upload(**where, layerDigests=[digest_of(content)])["layerDigest"]
    (layer,) = ecr.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=[digest])["layers"]
    assert (layer["layerAvailability"], layer["layerSize"]) == ("AVAILABLE", len(content))
    with refused("LayerInaccessibleException"):
        ecr.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=digest)
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(content)}]
    push_image(ecr, REPOSITORY, ["1"], layers=layers)
    url = ecr.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=digest)["downloadUrl"]
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == content


def test_layers_that_cannot_be(ecr: Any) -> None:
    where = {
        "repositoryName": REPOSITORY,
        "uploadId": ecr.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"],
    }
    with refused("EmptyUploadException"):
        ecr.complete_layer_upload(**where, layerDigests=[ABSENT])
    with refused("InvalidLayerPartException"):
        ecr.upload_layer_part(**where, partFirstByte=1, partLastByte=3, layerPartBlob=b"abc")
    ecr.upload_layer_part(**where, partFirstByte=0, partLastByte=2, layerPartBlob=b"abc")
    with refused("InvalidLayerPartException"):
        ecr.upload_layer_part(**where, partFirstByte=3, partLastByte=5, layerPartBlob=b"def")
    with refused("InvalidLayerException"):
        ecr.complete_layer_upload(**where, layerDigests=[ABSENT])
    with refused("UploadNotFoundException"):
        ecr.complete_layer_upload(**where, layerDigests=[ABSENT])


def test_a_layer_is_there_once_in_a_repository(ecr: Any) -> None:
    ecr.create_repository(repositoryName="team/other")
    digest = push_layer(ecr, REPOSITORY, b"layer")
    with refused("LayerAlreadyExistsException"):
        push_layer(ecr, REPOSITORY, b"layer")
    answer = ecr.batch_check_layer_availability(repositoryName="team/other", layerDigests=[digest, "md5:00"])
    assert [layer["layerAvailability"] for layer in answer["layers"]] == ["UNAVAILABLE"]
    assert codes(answer) == ["InvalidLayerDigest"]
    with refused("LayersNotFoundException"):
        ecr.get_download_url_for_layer(repositoryName="team/other", layerDigest=digest)


# ------------------------------------------------------------------ put


def test_an_image_comes_back_byte_for_byte(ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1"])
    (image,) = get(ecr, {"imageTag": "1"})["images"]
    assert image["imageId"] == {"imageTag": "1", "imageDigest": digest}
    assert digest_of(image["imageManifest"].encode()) == digest
    assert image["imageManifestMediaType"] == MANIFEST


def test_the_same_image_is_put_once_a_tag(ecr: Any) -> None:
    push_image(ecr, REPOSITORY, ["1"])
    manifest = get(ecr, {"imageTag": "1"})["images"][0]["imageManifest"]
    for tag in ({"imageTag": "1"}, {}):
        with refused("ImageAlreadyExistsException"):
            ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, **tag)
    ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag="2")
    (image,) = ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert image["imageTags"] == ["1", "2"]


def test_a_tag_moves_unless_it_is_immutable(ecr: Any) -> None:
    first = push_image(ecr, REPOSITORY, ["1"], seed="first")
    second = push_image(ecr, REPOSITORY, ["1"], seed="second")
    assert {"imageDigest": first} in listed(ecr)
    assert {"imageDigest": second, "imageTag": "1"} in listed(ecr)
    ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    with refused("ImageTagAlreadyExistsException", "'1'", "immutable"):
        push_image(ecr, REPOSITORY, ["1"], seed="third")
    push_image(ecr, REPOSITORY, ["2"])


def test_an_immutable_tag_cannot_even_be_put_again(cloud: Cloud, ecr: Any) -> None:
    push_image(ecr, REPOSITORY, ["1"])
    call = {"repositoryName": REPOSITORY, "imageManifest": get(ecr, {"imageTag": "1"})["images"][0]["imageManifest"]}
    ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    with refused("ImageTagAlreadyExistsException"):
        ecr.put_image(**call, imageTag="1")
    with refused("ImageAlreadyExistsException"):
        ecr.put_image(**call)


def test_exclusions_from_immutability(ecr: Any) -> None:
    ecr.put_image_tag_mutability(
        repositoryName=REPOSITORY,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    for seed in ("a", "b"):
        push_image(ecr, REPOSITORY, ["dev-1"], seed=seed)
    push_image(ecr, REPOSITORY, ["1"], seed="a")
    with refused("ImageTagAlreadyExistsException"):
        push_image(ecr, REPOSITORY, ["1"], seed="b")


def test_images_that_cannot_be(ecr: Any) -> None:
    config = {"mediaType": CONFIG, "digest": ABSENT, "size": 2}
    with refused("LayersNotFoundException", ABSENT):
        put(ecr, REPOSITORY, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}, ["1"])
    with refused("ReferencedImagesNotFoundException", ABSENT):
        push_index(ecr, REPOSITORY, [ABSENT])
    with refused("InvalidParameterException"):
        ecr.put_image(repositoryName=REPOSITORY, imageManifest="not a manifest", imageTag="1")
    with refused("InvalidParameterException"):
        push_image(ecr, REPOSITORY, ["no spaces, please"])
    with refused("ImageDigestDoesNotMatchException"):
        ecr.put_image(repositoryName=REPOSITORY, imageManifest="{}", imageTag="1", imageDigest=ABSENT)
    assert listed(ecr) == []


# ------------------------------------------------------------------ list and describe


def test_lists_one_entry_a_tag_in_pages(ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1", "latest"])
    untagged = push_image(ecr, REPOSITORY)
    tagged = [{"imageDigest": digest, "imageTag": tag} for tag in ("1", "latest")]
    assert listed(ecr) == [*tagged, {"imageDigest": untagged}]
    assert listed(ecr, filter={"tagStatus": "TAGGED"}) == tagged
    assert listed(ecr, filter={"tagStatus": "UNTAGGED"}) == [{"imageDigest": untagged}]
    assert listed(ecr, filter={"imageStatus": "ARCHIVED"}) == []
    pages = ecr.get_paginator("list_images").paginate(repositoryName=REPOSITORY, PaginationConfig={"PageSize": 2})
    assert [len(page["imageIds"]) for page in pages] == [2, 1]


def test_describes_an_image(cloud: Cloud, ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1", "latest"])
    (detail,) = ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert detail.pop("imagePushedAt")
    assert detail.pop("imageSizeInBytes") > 0
    assert detail == {
        "registryId": cloud.account,
        "repositoryName": REPOSITORY,
        "imageDigest": digest,
        "imageTags": ["1", "latest"],
        "imageManifestMediaType": MANIFEST,
        "imageStatus": "ACTIVE",
    }


def test_describes_by_any_identity_but_an_absent_one(ecr: Any) -> None:
    first, second = (push_image(ecr, REPOSITORY, [tag]) for tag in ("1", "2"))
    call = {"repositoryName": REPOSITORY}
    wanted = [{"imageTag": "1"}, {"imageDigest": first}, {"imageDigest": second, "imageTag": "2"}]
    found = ecr.describe_images(**call, imageIds=wanted)["imageDetails"]
    assert [detail["imageDigest"] for detail in found] == [first, second]
    for identity in ({"imageTag": "3"}, {"imageDigest": ABSENT}, {"imageDigest": first, "imageTag": "2"}):
        with refused("ImageNotFoundException", *identity.values()):
            ecr.describe_images(**call, imageIds=[{"imageTag": "1"}, identity])
    with refused("InvalidParameterException", "maxResults"):
        ecr.describe_images(**call, imageIds=[{"imageTag": "1"}], maxResults=5)
    pages = ecr.get_paginator("describe_images").paginate(**call, PaginationConfig={"PageSize": 1})
    assert [len(page["imageDetails"]) for page in pages] == [1, 1]


def test_filters_of_describe(ecr: Any) -> None:
    tagged, untagged = push_image(ecr, REPOSITORY, ["1"]), push_image(ecr, REPOSITORY)
    for status, wanted in {"TAGGED": [tagged], "UNTAGGED": [untagged], "ANY": [tagged, untagged]}.items():
        found = ecr.describe_images(repositoryName=REPOSITORY, filter={"tagStatus": status})["imageDetails"]
        assert [detail["imageDigest"] for detail in found] == wanted


def test_the_size_of_a_list_is_that_of_its_largest_child(ecr: Any) -> None:
    children = [push_image(ecr, REPOSITORY, seed=seed) for seed in ("small", "quite a bit larger")]
    push_index(ecr, REPOSITORY, children, ["multi"])
    sizes = {
        detail["imageDigest"]: detail["imageSizeInBytes"]
        for detail in ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    }
    (multi,) = ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "multi"}])["imageDetails"]
    assert multi["imageSizeInBytes"] == max(sizes[child] for child in children)
    assert multi["imageManifestMediaType"] == INDEX


# ------------------------------------------------------------------ get


def test_what_cannot_be_had_is_a_failure_and_no_error(ecr: Any) -> None:
    first, _second = (push_image(ecr, REPOSITORY, [tag]) for tag in ("1", "2"))
    answer = get(
        ecr,
        {"imageTag": "1"},
        {"imageTag": "3"},
        {"imageDigest": ABSENT},
        {"imageDigest": first, "imageTag": "2"},
        {"imageDigest": "sha256:short"},
        {},
    )
    assert [image["imageId"]["imageTag"] for image in answer["images"]] == ["1"]
    assert codes(answer) == [
        "ImageNotFound",
        "ImageNotFound",
        "ImageTagDoesNotMatchDigest",
        "InvalidImageDigest",
        "MissingDigestAndTag",
    ]


def test_by_tag_an_image_is_converted_to_an_accepted_type(ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1"])
    (image,) = get(ecr, {"imageTag": "1"}, acceptedMediaTypes=[DOCKER])["images"]
    assert image["imageManifestMediaType"] == json.loads(image["imageManifest"])["mediaType"] == DOCKER
    assert image["imageId"]["imageDigest"] == digest_of(image["imageManifest"].encode()) != digest
    answer = get(ecr, {"imageDigest": digest}, acceptedMediaTypes=[DOCKER])
    assert (answer["images"], codes(answer)) == ([], ["ImageNotFound"])


# ------------------------------------------------------------------ get through the cache


@pytest.fixture
def quay(cloud: Cloud) -> dict[str, Any]:
    cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    return cloud.publish("quay.io", "team/app", "1", platforms=["linux/amd64", "linux/arm64"])


def test_a_pull_imports_the_image_with_its_children(ecr: Any, quay: dict[str, Any]) -> None:
    (image,) = get(ecr, {"imageTag": "1"}, repository="quay/team/app")["images"]
    assert image["imageId"]["imageDigest"] == quay["digest"]
    digests = {entry["imageDigest"] for entry in listed(ecr, "quay/team/app")}
    children = json.loads(image["imageManifest"])["manifests"]
    assert digests == {quay["digest"], *(child["digest"] for child in children)}
    assert len(children) == 2


@pytest.mark.usefixtures("quay")
def test_what_the_upstream_says_is_a_failure(cloud: Cloud, ecr: Any) -> None:
    assert codes(get(ecr, {"imageTag": "absent"}, repository="quay/team/app")) == ["ImageNotFound"]
    host = cloud.upstreams["quay.io"].partition("://")[2]
    expected = {429: "UpstreamTooManyRequests", 503: "UpstreamUnavailable", 403: "UpstreamAccessDenied"}
    for status, code in expected.items():
        cloud.inject({"host": host, "path": "/manifests/", "status": status, "times": -1})
        assert codes(get(ecr, {"imageTag": "1"}, repository="quay/team/app")) == [code]
        cloud.clear_faults()
    with refused("RepositoryNotFoundException", "elsewhere/app"):
        get(ecr, {"imageTag": "1"}, repository="elsewhere/app")


@pytest.mark.usefixtures("quay")
def test_a_pull_through_the_cache_needs_all_its_permissions(cloud: Cloud, ecr: Any) -> None:
    needed = {"ecr:BatchGetImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"}

    def pull() -> Any:
        return get(puller, {"imageTag": "1"}, repository="quay/team/app")

    puller = cloud.client("ecr", credentials=cloud.role("puller", [allow(*needed - {"ecr:BatchGetImage"})]))
    with refused("AccessDeniedException", "ecr:BatchGetImage"):
        pull()
    cloud.role("puller", [allow(*needed - {"ecr:CreateRepository"})])
    with refused("RepositoryNotFoundException", "quay/team/app"):
        pull()
    cloud.role("puller", [allow(*needed - {"ecr:BatchImportUpstreamImage"})])
    assert codes(pull()) == ["ImageNotFound"]
    cloud.role("puller", [allow(*needed)])
    assert pull()["images"]
    cloud.role("puller", [allow("ecr:BatchGetImage")])
    assert pull()["images"]


# ------------------------------------------------------------------ delete


def test_the_last_tag_takes_the_image_with_it(ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1", "2"])
    assert delete(ecr, {"imageTag": "1"})["imageIds"] == [{"imageDigest": digest, "imageTag": "1"}]
    assert listed(ecr) == [{"imageDigest": digest, "imageTag": "2"}]
    delete(ecr, {"imageTag": "2"})
    assert listed(ecr) == []


def test_a_digest_takes_all_its_tags(ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1", "2"])
    deleted = delete(ecr, {"imageDigest": digest})["imageIds"]
    assert deleted == [{"imageDigest": digest, "imageTag": tag} for tag in ("1", "2")]
    assert listed(ecr) == []


def test_what_a_list_refers_to_cannot_go_before_it(ecr: Any) -> None:
    child = push_image(ecr, REPOSITORY)
    push_index(ecr, REPOSITORY, [child], ["multi"])
    answer = delete(ecr, {"imageDigest": child}, {"imageTag": "absent"})
    assert codes(answer) == ["ImageReferencedByManifestList", "ImageNotFound"]
    assert codes(delete(ecr, {"imageTag": "multi"}, {"imageDigest": child})) == []
    assert listed(ecr) == []


# ------------------------------------------------------------------ referrers


def test_referrers_are_listed_by_type_in_pages(ecr: Any) -> None:
    subject = push_image(ecr, REPOSITORY, ["1"])
    descriptor = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    for number in range(22):
        kind = "application/vnd.example.signature" if number else "application/vnd.example.sbom"
        push_image(ecr, REPOSITORY, seed=number, subject=descriptor, artifactType=kind, annotations={"n": str(number)})
    call = {"repositoryName": REPOSITORY, "subjectId": {"imageDigest": subject}}
    first = ecr.list_image_referrers(**call)
    assert len(first["referrers"]) == 20
    assert len(ecr.list_image_referrers(**call, nextToken=first["nextToken"])["referrers"]) == 2
    (sbom,) = ecr.list_image_referrers(**call, filter={"artifactTypes": ["application/vnd.example.sbom"]})["referrers"]
    assert sbom["annotations"] == {"n": "0"}
    assert ecr.list_image_referrers(**call, filter={"artifactStatus": "ARCHIVED"})["referrers"] == []
    details = ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageDigest": sbom["digest"]}])
    assert details["imageDetails"][0]["subjectManifestDigest"] == subject
    assert details["imageDetails"][0]["artifactMediaType"] == "application/vnd.example.sbom"


# ------------------------------------------------------------------ another account


def test_another_account_pulls_by_registry_id(cloud: Cloud, ecr: Any) -> None:
    digest = push_image(ecr, REPOSITORY, ["1"])
    statement = {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": ["ecr:BatchGetImage"]}
    ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=json.dumps({"Statement": statement}))
    guest = cloud.client("ecr", credentials=cloud.role("guest", [allow("ecr:*")], account=OTHER))
    (image,) = get(guest, {"imageTag": "1"}, registryId=cloud.account)["images"]
    assert (image["registryId"], image["imageId"]["imageDigest"]) == (cloud.account, digest)
    with refused("AccessDeniedException", "ecr:PutImage"):
        guest.put_image(repositoryName=REPOSITORY, registryId=cloud.account, imageManifest="{}", imageTag="2")
    with refused("RepositoryNotFoundException", OTHER):
        get(guest, {"imageTag": "1"})
