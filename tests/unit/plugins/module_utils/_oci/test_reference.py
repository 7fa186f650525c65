# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidReferenceError
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("nginx:1.27", "nginx"),
        ("docker.io/library/nginx", "nginx"),
        ("grafana/loki", "grafana/loki"),
        ("library/a/b", "library/a/b"),
        ("quay.io/library/nginx", "library/nginx"),
        ("ghcr.io/org/app@" + DIGEST, "org/app"),
    ],
)
def test_path(written: str, path: str) -> None:
    assert Reference.parse(written).path == path


@pytest.mark.parametrize(
    ("written", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx", "nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx", "nginx"),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx", "nginx"),
        ("registry-1.docker.io/grafana/loki:3", "docker.io/grafana/loki:3", "grafana/loki:3"),
        ("DOCKER.IO/nginx", "docker.io/library/nginx", "nginx"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("docker.io/" + "a" * 64, "docker.io/library/" + "a" * 64, "docker.io/library/" + "a" * 64),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        ("docker.io/localhost/app", "docker.io/localhost/app", "docker.io/localhost/app"),
        ("docker.io/a.b/app", "docker.io/a.b/app", "docker.io/a.b/app"),
        ("127.0.0.1:05000/app", "127.0.0.1:5000/app", "127.0.0.1:5000/app"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        ("[0:0::1]/app", "[::1]/app", "[::1]/app"),
        ("host:5000/a/b/c:Tag_1.2-3", "host:5000/a/b/c:Tag_1.2-3", "host:5000/a/b/c:Tag_1.2-3"),
        (f"{ECR}/team/app:v1", f"{ECR}/team/app:v1", f"{ECR}/team/app:v1"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1.27@{DIGEST}", f"docker.io/library/nginx:1.27@{DIGEST}", f"nginx:1.27@{DIGEST}"),
        ("quay.io/a__b/c--d/e.f", "quay.io/a__b/c--d/e.f", "quay.io/a__b/c--d/e.f"),
    ],
)
def test_what_people_write_and_what_it_means(written: str, full: str, familiar: str) -> None:
    reference = Reference.parse(written)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(full) == reference
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("a" * 1025, "too long"),
        ("quay.io/" + "a/" * 130 + "a", "at most 255 characters"),
        ("https://quay.io/app", "not a URL"),
        ("docker://nginx", "not a URL"),
        ("ngi nx", "a space"),
        ("nginx\n", "a space"),
        ("a" * 64, "local image"),
        ("Nginx", "'Nginx' must be lower case"),
        ("Team/app", "'Team/app' must be lower case"),
        ("nginx:", "no tag after the colon"),
        ("nginx:-x", "the tag '-x'"),
        ("nginx:" + "x" * 129, "at most 128"),
        ("nginx:a@b:c", "cannot be verified"),
        ("nginx@", "is not a digest"),
        ("nginx@sha256:abc", "64 digits"),
        ("@" + DIGEST, "the repository name is missing"),
        ("quay.io/", "the repository name is missing"),
        ("quay.io//app", "an empty part"),
        ("quay.io/app/", "an empty part"),
        ("a___b", "the part 'a___b'"),
        ("-a/b", "the part '-a'"),
        ("a..b/c:5/d", "not a host name|the part"),
        ("-host.io/app", "not a host name"),
        ("host_name.io/app", "not a host name"),
        ("[::x]/app.x", "not a host name|the part"),
        ("[:::1]:5/app", "not an IPv6 address"),
        ("host:0/app", "not a port"),
        ("host:65536/app", "not a port"),
        ("host:/app", "not a port"),
        ("ho\u017ft.io/app", "not a host name"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    with pytest.raises(InvalidReferenceError, match=why) as caught:
        Reference.parse(text)
    assert str(caught.value).startswith(repr(text[:200]))


def test_a_registry_must_look_like_one() -> None:
    with pytest.raises(InvalidReferenceError, match="needs a dot or a port"):
        Reference("myhost", "app")


@pytest.mark.parametrize(
    ("text", "identifier"),
    [("nginx", "latest"), ("nginx:1", "1"), (f"nginx@{DIGEST}", DIGEST), (f"nginx:1@{DIGEST}", DIGEST)],
)
def test_the_most_exact_identifier_is_asked_for(text: str, identifier: str) -> None:
    assert Reference.parse(text).identifier == identifier


def test_another_tag_or_digest_of_the_same_repository() -> None:
    reference = Reference.parse(f"quay.io/a/b:1@{DIGEST}")
    assert str(reference.with_tag("2")) == "quay.io/a/b:2"
    assert str(reference.with_digest(Digest.parse(DIGEST))) == f"quay.io/a/b@{DIGEST}"
    assert reference.name == "quay.io/a/b"


COMPONENTS = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True)
HOSTS = st.one_of(
    st.sampled_from(["docker.io", "index.docker.io", "localhost", "localhost:5000", "[::1]:443", "10.0.0.1"]),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,5}){1,3}(:[1-9][0-9]{0,3})?", fullmatch=True),
)
TAGS = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
DIGESTS = st.none() | st.binary().map(Digest.of)
REPOSITORIES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join).filter(lambda name: len(name) < 200)


@given(HOSTS, REPOSITORIES, TAGS, DIGESTS)
def test_every_reference_is_read_back_from_its_text(
    registry: str, repository: str, tag: str | None, digest: Digest | None
) -> None:
    reference = Reference(registry, repository, tag, digest)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert len(reference.familiar) <= len(str(reference))


@given(st.text() | st.text(alphabet="aZ0.:/@_-[]sha256 \n"))
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReferenceError:
        return
    assert Reference.parse(str(reference)) == reference
