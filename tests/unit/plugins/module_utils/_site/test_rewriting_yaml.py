# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import textwrap

import pytest
import yaml

from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_files import Source, rewrite
from ansible_collections.stevedore.ecr.tests.unit.support.marked_files import (
    AIM,
    DIGEST,
    after,
    before,
    rewritten,
    told,
)

POD = "apiVersion: v1\nkind: Pod\n"
VALUES = "values.yaml"
UNCOVERED_TAG = "its tag is chosen elsewhere, and not every tag is covered"


def check(path: str, marked: str, kind: str = "") -> None:
    """It becomes what is marked, and then stays so."""
    result = rewritten(path, before(marked), kind)
    assert result.problem == ""
    assert result.after == after(marked)
    again = rewritten(path, result.after, kind)
    assert not again.changed
    assert not [finding for finding in again.findings if finding.state == "rewritten"]


def reasons(path: str, text: str, kind: str = "") -> list[tuple[str, str]]:
    result = rewritten(path, text, kind)
    assert not result.changed
    return [(finding.state, finding.reason) for finding in result.findings]


@pytest.mark.parametrize(
    "marked",
    [
        "image: [[nginx:1|hub/library/nginx:1]]",
        "image: [[nginx|hub/library/nginx]]   # comment\n",
        'image: "[[docker.io/team/a:1|hub/team/a:1]]"',
        "image: '[[quay.io/a/b:1|quay/a/b:1]]'\r\nx: 1\r\n",
        f"image: [[quay.io/a/b:1@{DIGEST}|quay/a/b:1@{DIGEST}]]",
        f"image: [[quay.io/a/b@{DIGEST}|quay/a/b@{DIGEST}]]",
        "image: [[ghcr.io/team/app:2|team/app:2.10]]",
        "spec: {containers: [{name: a, image: [[nginx:1|hub/library/nginx:1]]}]}",
        '{"spec": {"image": "[[nginx:1|hub/library/nginx:1]]"}}',
        "spec:\n  template:\n    spec:\n      initContainers:\n      - image: [[nginx|hub/library/nginx]]\n"
        "      ephemeralContainers:\n      - {image: [[redis|hub/library/redis]]}\n",
        "a: &x {image: [[nginx|hub/library/nginx]]}\nb: *x\nc: {<<: *x, d: 1}\n",
        "a: {image: &i [[nginx:1|hub/library/nginx:1]]}\nb: {image: *i}\n",
        "a:\n  image: &i   '[[nginx:1|hub/library/nginx:1]]'\nb:\n  image: *i\n",
        "a: {image: !!str [[nginx:1|hub/library/nginx:1]]}",
        "image: |-\n  [[nginx:1|hub/library/nginx:1]]\n# was nginx:1\n",
        "image: >\n  [[nginx:1|hub/library/nginx:1]]\n\nx: 1\n",
        "volumes:\n- image: {reference: [[quay.io/a/b:1|quay/a/b:1]], pullPolicy: Always}\n",
        "spec:\n  sidecarImage: [[busybox:1|hub/library/busybox:1]]\n",
        "x: \U0001f600é\nimage: [[nginx|hub/library/nginx]] # \U0001f680\n",
        "image: [[busybox:$(TAG)|hub/library/busybox:$(TAG)]]",
        "image: [[busybox:${TAG}|hub/library/busybox:${TAG}]]",
        "image: [[busybox@${DIGEST}|hub/library/busybox@${DIGEST}]]",
        "image: [[docker.io/library/busybox:v$V-alpine|hub/library/busybox:v$V-alpine]]",
        "spec: {values: {image: {repository: [[quay.io/a/b|quay/a/b]], tag: '1'}}}",
        "x:\n  image:\n    registry: [[quay.io|]]\n    repository: [[a/b|=quay/a/b]]\n    tag: 1.10\n",
    ],
)
def test_kubernetes(marked: str) -> None:
    if marked.startswith("{"):
        check("pod.yaml", marked.replace("{", '{"apiVersion": "v1", "kind": "Pod", ', 1))
    else:
        check("pod.yaml", POD + marked)
        check("pod.yaml", "\ufeff" + POD + marked)


def test_documents_and_lists() -> None:
    deployment = "{kind: Deployment, apiVersion: apps/v1, spec: {image: [[redis|hub/library/redis]]}}"
    check("all.yml", f"# first\n---\n{POD}image: [[a/b|hub/a/b]]\n...\n--- {deployment}\n---\n---\n# end\n")
    check("all.yml", f"apiVersion: v1\nkind: List\nitems:\n- {deployment}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image: ghcr.io/team/app:3", [("uncovered", "nothing covers it")]),
        ("image: ghcr.io/team/app", [("uncovered", "nothing covers it")]),
        ("image: ghcr.io/team/app:$TAG", [("uncovered", UNCOVERED_TAG)]),
        ("image: $REGISTRY/app:1", [("unresolved", "its name has variables in it")]),
        ("image: nginx$TAG", [("unresolved", "its name has variables in it")]),
        ("image: localhost:$PORT/app", [("unresolved", "its name has variables in it")]),
        (
            "image: <image>",
            [("unresolved", "'<image>' is not an image reference: the part '<image>' of the repository")],
        ),
        ("image: two words", [("unresolved", "it is no image reference")]),
        ('image: "\\x6eginx"', [("unresolved", "it is written with escapes or over several lines")]),
        ("image: ami-0123456789abcdef0", [("unresolved", "it is the image of a machine")]),
        ("image: !Sub nginx", [("unresolved", "it depends on !Sub")]),
        ("image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1", [("own", "")]),
        ("image: 123456789012.DKR.ecr.eu-west-1.amazonaws.com/a:$V", [("own", "")]),
        ("image: nginx # stevedore: keep", [("kept", "a comment says so")]),
        ("# stevedore: keep, as it is ours\n# and more\nimage: nginx", [("kept", "a comment says so")]),
        ("image: ''", []),
        ("image:", []),
        ("image: null", []),
        ("image: true", []),
        ("metadata: {labels: {image: nginx}}", []),
        ("coverImage: picture.png", []),
        ("source: {repository: team/app, tag: v1}", []),
        ("image: {repository: 'https://example.com/a', tag: v1}", []),
    ],
)
def test_what_stays(text: str, expected: list[tuple[str, str]]) -> None:
    found = reasons("pod.yaml", f"{POD}{text}\n")
    assert [(state, why[: len(told)]) for (state, why), (_s, told) in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "CustomResourceDefinition"])
def test_data_is_not_looked_at(kind: str) -> None:
    assert reasons("a.yaml", f"apiVersion: v1\nkind: {kind}\ndata: {{image: nginx}}\n") == []


def test_a_comment_is_for_its_line_only() -> None:
    check("pod.yaml", f"{POD}a:\n- image: nginx # stevedore: keep\n- image: [[redis|hub/library/redis]]\n")


@pytest.mark.parametrize(
    "marked",
    [
        "image: [[nginx:1|hub/library/nginx:1]]\n",
        "a:\n  image:\n    repository: [[nginx|hub/library/nginx]]\n    tag: 1.25\n",
        "image: {registry: [[docker.io|]], repository: [[bitnami/a|=hub/bitnami/a]], tag: '1'}\n",
        "image: {registry: '', repository: [[bitnami/a|hub/bitnami/a]], tag: 1}\n",
        "image: {registry: , repository: [[bitnami/a|hub/bitnami/a]], tag: 1}\n",
        f"image:\n  repository: [[quay.io/a/b|quay/a/b]]\n  tag: ''\n  digest: {DIGEST}\n",
        "image:\n  repository: [[quay.io/a/b|quay/a/b]]\n  pullPolicy: Always\n",
        "image:\n  repository: [[quay.io/a/b|quay/a/b]]\n  tag: '{{ .Chart.AppVersion }}'\n",
        f"image: {{repository: [[quay.io/a/b|quay/a/b]], tag: '1.0@{DIGEST}'}}\n",
        "controller:\n  image:\n    registry: [[quay.io|]]\n    image: [[a/b|=quay/a/b]]\n    tag: v1\n",
        "images:\n  proxy: {repository: [[quay.io/a/b|quay/a/b]], tag: v1}\n",
        # A number has to stay a text.
        'image: {repository: [[ghcr.io/team/app|team/app]], tag: [[2|="2.10"]]}\n',
        'image: {repository: [[ghcr.io/team/app|team/app]], tag: "[[2|=2.10]]"}\n',
        "global: {imageRegistry: ''}\nimage: {registry: [[quay.io|]], repository: [[a/b|=quay/a/b]], tag: 1}\n",
        "global: {imageRegistry: [[quay.io|]]}\nimage: {repository: [[a/b|=quay/a/b]], tag: 1}\n"
        "x: {image: {registry: [[docker.io|]], repository: [[c/d|=quay/c/d]], tag: 1}}\n",
        "global: {imageRegistry: [[quay.io|]]}\nimage: {repository: [[docker.io/a/b|hub/a/b]], tag: 1}\n"
        "x: {image: {registry: '', repository: [[c/d|=quay/c/d]], tag: 1}}\n",
        "a: {image: {registry: &r [[quay.io|]], repository: [[a/b|=quay/a/b]], tag: 1}}\n"
        "b: {image: {registry: *r, repository: [[c/d|=quay/c/d]], tag: 1}}\n",
    ],
)
def test_helm_values(marked: str) -> None:
    check(VALUES, marked)
    check("environments/production.yml", marked.replace("\n", "\r\n"), "helm")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image: {repository: ghcr.io/team/app}\n", [("uncovered", UNCOVERED_TAG)]),
        ("image: {repository: ghcr.io/team/app, tag: 9}\n", [("uncovered", "nothing covers it")]),
        ("image: {repository: '{{ .Values.x }}', tag: 9}\n", [("unresolved", "its name has variables in it")]),
        *(
            (
                f"image: {{repository: nginx, tag: {tag}}}\n",
                [("unresolved", f"its tag is the number {read}, as it is without quotes: write them around the tag")],
            )
            for tag, read in (("1.10", "1.1"), ("2.0", "2"), ("12e4", "120000"))
        ),
        ("image: # stevedore: keep\n  repository: nginx\n  tag: 1\n", [("kept", "a comment says so")]),
        ("image:\n  repository: nginx\n  tag: 1 # stevedore: keep\n", [("kept", "a comment says so")]),
        (
            "global: {imageRegistry: ghcr.io}\nimage: {repository: team/app, tag: 1}\n"
            "b: {image: {repository: team/other, tag: 1}}\n",
            [
                ("unresolved", "the text in line 1, column 25 is for ghcr.io/team/other:1 too, which is not rewritten"),
                ("uncovered", "nothing covers it"),
            ],
        ),
        (
            "a: {image: {registry: &r docker.io, repository: a/b, tag: 1}}\n"
            "b: {image: {registry: *r, repository: c/d, tag: 1}} # stevedore: keep\n",
            [
                ("unresolved", "the text in line 1, column 23 is for docker.io/c/d:1 too, which is not rewritten"),
                ("kept", "a comment says so"),
            ],
        ),
    ],
)
def test_helm_values_that_stay(text: str, expected: list[tuple[str, str]]) -> None:
    assert reasons(VALUES, text) == expected


def test_an_item_is_not_kept_by_the_one_before() -> None:
    check(
        VALUES,
        "images:\n- repository: nginx\n  tag: 1 # stevedore: keep\n"
        "- repository: [[redis|hub/library/redis]]\n  tag: 1\n",
    )


@pytest.mark.parametrize(
    "marked",
    [
        "images:\n- name: nginx\n  newName: [[quay.io/a/b|quay/a/b]]\n  newTag: '1'\n",
        f"images:\n- name: nginx\n  newName: [[quay.io/a/b|quay/a/b]]\n  digest: {DIGEST}\n",
        'images:\n- name: app\n  newName: [[ghcr.io/team/app|team/app]]\n  newTag: [[2|="2.10"]]\n',
        "images:\n  - name: nginx # why\n[[|=    newName: REGISTRY/hub/library/nginx\n]]    newTag: '1'\n",
        "images:\n  - newTag: '1'\n    name: 'nginx'[[|=\n    newName: REGISTRY/hub/library/nginx]]",
        "images: [{name: nginx[[|=, newName: REGISTRY/hub/library/nginx]], newTag: v1}]\n",
        "images:\n- name: nginx[[|=\n  newName: REGISTRY/hub/library/nginx]]\n",
    ],
)
def test_kustomize(marked: str) -> None:
    marked = marked.replace("REGISTRY", AIM.registry)
    check("kustomization.yaml", marked)
    check("any.yaml", f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{marked}")
    check("Kustomization", marked.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images: [{name: ghcr.io/team/app}]", ("uncovered", UNCOVERED_TAG)),
        ("images: [{name: ghcr.io/team/app, newTag: '3'}]", ("uncovered", "nothing covers it")),
        ("images: [{name: nginx, newName: ''}]", ("unresolved", "there is no place for a newName: write one")),
        (
            "x: &n nginx\nimages: [{name: *n, newTag: '1'}]",
            ("unresolved", "there is no place for a newName: write one"),
        ),
    ],
)
def test_kustomize_that_stays(text: str, expected: tuple[str, str]) -> None:
    assert reasons("kustomization.yml", text) == [expected]


def test_a_kustomization_still_finds_what_it_replaces() -> None:
    manifest = f"{POD}spec: {{containers: [{{image: 'nginx:1'}}, {{image: redis}}]}}\n"
    files = {
        "overlays/a/kustomization.yaml": "resources: [../../base]\nimages: [{name: nginx, newTag: '2'}]\n",
        "base/kustomization.yaml": "resources: [pod.yaml, ../more/pod.yaml]\n",
        "base/pod.yaml": manifest,
        "more/pod.yaml": manifest,
        "other/pod.yaml": manifest,
    }
    results = {one.path: one for one in rewrite([Source(path, text) for path, text in files.items()], AIM)}
    assert told(results["base/pod.yaml"]) == [(3, "kept", "nginx:1"), (3, "rewritten", "redis")]
    assert told(results["more/pod.yaml"]) == told(results["base/pod.yaml"])
    assert told(results["other/pod.yaml"]) == [(3, "rewritten", "nginx:1"), (3, "rewritten", "redis")]
    assert not any(one.changed for one in rewrite([Source(one.path, one.after) for one in results.values()], AIM))


def test_a_kustomization_of_flux_may_be_for_any_file() -> None:
    flux = (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"
        "spec: {path: ./x, images: [{name: nginx, newName: [[quay.io/a/b|quay/a/b]], newTag: '2'}]}\n"
    )
    sources = [Source("flux.yaml", before(flux)), Source("x/pod.yaml", f"{POD}image: nginx\n")]
    first, second = rewrite(sources, AIM)
    assert first.after == after(flux)
    assert told(second) == [(3, "kept", "nginx")]


@pytest.mark.parametrize(
    "marked",
    [
        "services:\n  a:\n    image: [[nginx:1|hub/library/nginx:1]] # c\n",
        "services: {a: {image: '[[nginx:${V:-1}|hub/library/nginx:${V:-1}]]'}}\n",
        "services: {a: {image: '[[nginx:$V|hub/library/nginx:$V]]'}, b: {extends: a}}\n",
        "x-a: &a {image: [[nginx|hub/library/nginx]]}\nservices: {a: *a, b: {<<: *a, command: x}, c: {<<: [*a]}}\n",
        "x-a: &a\n  image: &i [[nginx|hub/library/nginx]]\n"
        "services:\n  a: {<<: *a, image: [[redis|hub/library/redis]]}\n  b: {image: *i}\n",
    ],
)
def test_compose(marked: str) -> None:
    check("docker-compose.prod.yml", marked)
    check("any.yaml", marked)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("image: '${REGISTRY:-docker.io}/a:1'", ("unresolved", "its name has variables in it")),
        ("image: '${IMAGE:-nginx:1}'", ("unresolved", "its name has variables in it")),
        ("image: 'ghcr.io/team/app:${V:-1}'", ("uncovered", UNCOVERED_TAG)),
        ("image: app\n    build: .", ("kept", "it is the name of what is built here")),
    ],
)
def test_compose_that_stays(service: str, expected: tuple[str, str]) -> None:
    assert reasons("compose.yaml", f"services:\n  a:\n    {service}\n") == [expected]


def test_what_is_written_is_read_as_what_was_meant() -> None:
    text = textwrap.dedent(
        """
        image: {registry: docker.io, repository: bitnami/a, tag: 1.25}
        b: {image: &x "nginx:1"}
        c: {image: *x, list: [a, b], text: "nginx:1"}
        """
    )
    result = yaml.safe_load(rewritten(VALUES, text).after)
    host = AIM.registry
    assert result["image"] == {"registry": host, "repository": "hub/bitnami/a", "tag": 1.25}
    assert result["b"]["image"] == result["c"]["image"] == f"{host}/hub/library/nginx:1"
    assert (result["c"]["list"], result["c"]["text"]) == (["a", "b"], "nginx:1")
