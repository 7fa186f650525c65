# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which file is of which kind, templates, and what holds for any file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._site import rewriting_yaml
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import STATES
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_files import KINDS, is_candidate
from ansible_collections.stevedore.ecr.tests.unit.support.marked_files import AIM, after, before, rewritten, told

POD = "apiVersion: v1\nkind: Pod\n"


@pytest.mark.parametrize(
    ("path", "text", "kinds"),
    [
        ("a.yaml", f"{POD}image: nginx", ["kubernetes"]),
        ("values.yaml", f"{POD}image: nginx", ["kubernetes"]),
        ("values.yaml", "image: nginx", ["helm"]),
        ("values-prod.yml", "image: nginx", ["helm"]),
        ("prod.values.yaml", "image: nginx", ["helm"]),
        ("kustomization.yaml", "images: []", ["kustomize"]),
        ("compose.yaml", "services: {a: {image: nginx}}", ["compose"]),
        ("my-compose.prod.yml", "x-image: a", ["compose"]),
        ("any.yaml", "services: {a: {image: nginx}, b: {build: .}}", ["compose"]),
        ("any.yaml", "services: {a: {image: nginx}, b: {port: 1}}", []),
        ("any.yaml", "image: nginx", []),
        ("any.yaml", f"image: nginx\n---\n{POD}image: nginx\n---\n- image", ["kubernetes"]),
        ("Dockerfile", "FROM nginx", ["dockerfile"]),
        ("web.Dockerfile", "FROM nginx", ["dockerfile"]),
        ("Dockerfile.web", "FROM nginx", ["dockerfile"]),
        ("Containerfile", "FROM nginx", ["dockerfile"]),
        ("Dockerfile.yaml", "FROM: image", []),
        ("build.txt", "FROM image", []),
        ("t.yaml", "{{- if .x }}\nimage: nginx\n{{ end }}", ["template"]),
    ],
)
def test_kinds(path: str, text: str, kinds: list[str]) -> None:
    result = rewritten(f"some/{path}", text)
    assert list(result.kinds) == kinds
    assert bool(result.skipped) == (not kinds)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.yaml", True),
        ("a.YML", True),
        ("Kustomization", True),
        ("Dockerfile", True),
        ("dockerfile", True),
        ("Dockerfile.dockerignore", False),
        ("Dockerfile.md", False),
        ("a.json", False),
        ("a.yaml.j2", False),
    ],
)
def test_candidates(name: str, expected: bool) -> None:
    assert is_candidate(f"some/directory/{name}") == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_said(kind: str) -> None:
    text = "FROM image" if kind == "dockerfile" else "x: {image: nginx}"
    assert list(rewritten("any.txt", text, kind).kinds) == [kind]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image: [\na: }", "line 2: it is no YAML: while parsing a flow node, did not find expected node content"),
        ("a: 1\n\timage: x\n", "line 2: it is no YAML: while scanning"),
        ("image: \x07", "it is no YAML: "),
        ("image: *unknown", "line 1: it is no YAML: found undefined alias"),
    ],
)
def test_what_is_no_yaml(text: str, problem: str) -> None:
    result = rewritten("a.yaml", text)
    assert result.problem.startswith(problem)
    assert not result.changed


@pytest.mark.parametrize("text", ["# \udce9\nimage: nginx\n", "a: |\n  {{ x }}\n# \udce9\nimage: nginx\n"])
def test_what_is_no_text_is_left(text: str) -> None:
    result = rewritten("values.yaml", text)
    assert (result.problem, result.skipped, result.changed) == ("", "it is no text in UTF-8", False)


def test_files_without_images_are_not_even_read() -> None:
    result = rewritten("a.yaml", "a: [")
    assert (result.problem, result.skipped, result.changed) == ("", "", False)


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("{{ if .x }}\n  - image: [[nginx:1|hub/library/nginx:1]]  # c\r\n{{ end }}", ["rewritten"]),
        ("a: {{ .x }}\nimage: '[[nginx|hub/library/nginx]]'\n", ["rewritten"]),
        ('image: "[[quay.io/a/b:{{ .Values.tag }}|quay/a/b:{{ .Values.tag }}]]"\n{{ x }}', ["rewritten"]),
        ('image: [[quay.io/a/b:{{ default "1" .tag }}|quay/a/b:{{ default "1" .tag }}]]\n', ["rewritten"]),
        ("image: {{ .Values.image }}\n", ["unresolved"]),
        ('image: "{{ .r }}/{{ .n }}:{{ .t }}"\n{{ x }}', ["unresolved"]),
        ("image: quay.io/{{ .n }}:1\n", ["unresolved"]),
        ("image: ghcr.io/team/app:{{ .t }}\n", ["uncovered"]),
        ("image:\n  {{ toYaml .x }}\n# image: nginx\nimage: # none\nimage: &a x\n", []),
        ("image: nginx # stevedore: keep\n{{ x }}", ["kept"]),
        ("{{- /* stevedore: keep */}}\nimage: nginx\n", ["kept"]),
        (
            "metadata:\n  labels:\n    image: web\n  annotations: {{ x }}\n    {{ y }}\n    image: web\n"
            "spec:\n- labels:\n    'image': web\n  image: [[nginx|hub/library/nginx]]\n",
            ["rewritten"],
        ),
        ("metadata:\n  x: {% if y %}\nimage: [[nginx|hub/library/nginx]]\n", ["rewritten"]),
    ],
)
def test_templates(marked: str, expected: list[str]) -> None:
    result = rewritten("chart/templates/pod.yaml", before(marked))
    assert [finding.state for finding in result.findings] == expected
    assert result.after == after(marked)
    assert not rewritten("chart/templates/pod.yaml", result.after).changed


@pytest.mark.parametrize(
    ("path", "marked", "kind", "expected"),
    [
        (
            "values.yaml",
            "image:\n  registry: [[docker.io|]]\n  repository: [[bitnami/nginx|=hub/bitnami/nginx]]\n  tag: '1'\n"
            "config: |\n  {{ .Values.x }}\n  image: nginx\n",
            "helm",
            ["rewritten"],
        ),
        ("a.yaml", f"{POD}image: [[nginx|hub/library/nginx]]\nargs: --x={{{{ .y }}}}\n", "kubernetes", ["rewritten"]),
        (
            "a.yaml",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    {{ if .x }}\n    image: nginx\n",
            "kubernetes",
            [],
        ),
    ],
)
def test_yaml_with_templates_inside_of_its_texts_is_yaml(
    path: str, marked: str, kind: str, expected: list[str]
) -> None:
    result = rewritten(path, before(marked))
    assert list(result.kinds) == [kind]
    assert [finding.state for finding in result.findings] == expected
    assert result.after == after(marked)


# ------------------------------------------------------------------ what holds for any file

HOSTS = st.sampled_from(["", "docker.io/", "quay.io/", "ghcr.io/", "localhost:5000/", f"{AIM.registry}/"])
NAMES = st.sampled_from(["nginx", "team/app", "a/b-c/d__e"])
TAILS = st.sampled_from(["", ":1", ":2", ":1.10", "@sha256:" + "0" * 64, ":$TAG", ":${T:-1}"])
REFERENCES = st.tuples(HOSTS, NAMES, TAILS).map("".join)
NOISE = st.text(alphabet=st.sampled_from("aé\u2028\U0001f600 #'\"&-"), max_size=8)
STYLES = st.sampled_from(["{}", '"{}"', "'{}'", "&x{n} {}", "!!str {}", "|-\n    {}", "  {}  "])
ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def manifests(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file with a place for each reference, and the references."""
    references = draw(st.lists(REFERENCES, min_size=1, max_size=5))
    lines = ["apiVersion: v1", "kind: Pod"]
    for number, _reference in enumerate(references):
        comment = draw(st.sampled_from(["", "  # comment \U0001f600 nginx:1 "]))
        style = draw(STYLES).replace("{n}", str(number)).replace("{}", f"\0{number}\0")
        lines.append(f"# {draw(NOISE)}".replace("\u2028", " "))
        lines += [f"a{number}:", f"  text: {json.dumps(draw(NOISE), ensure_ascii=False)}"]
        lines.append(f"  image: {style}" + ("" if "|" in style else comment))
    end = draw(ENDS)
    bom = draw(st.sampled_from(["", "\ufeff"]))
    return bom + end.join(lines).replace("\n    ", f"{end}    ") + draw(st.sampled_from(["", end])), references


def _filled(template: str, references: list[str]) -> str:
    for number, reference in enumerate(references):
        template = template.replace(f"\0{number}\0", reference)
    return template


@given(manifests())
def test_only_references_change_and_only_once(manifest: tuple[str, list[str]]) -> None:
    template, references = manifest
    text = _filled(template, references)
    result = rewritten("pod.yaml", text)
    assert result.problem == ""
    assert [finding.reference for finding in result.findings] == references
    new = [finding.address or finding.reference for finding in result.findings]
    assert result.after == _filled(template, new)
    again = rewritten("pod.yaml", result.after)
    assert not again.changed
    assert [finding.reference for finding in again.findings] == new


@given(manifests())
def test_the_slow_reader_finds_the_same(manifest: tuple[str, list[str]]) -> None:
    """Where PyYAML was built without libyaml."""
    text = _filled(*manifest)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(rewriting_yaml.yaml, "CSafeLoader", raising=False)
        slow = rewritten("pod.yaml", text)
    assert (slow.after, slow.problem) == (rewritten("pod.yaml", text).after, "")


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["FROM", "ARG A=nginx", "COPY --from=", "RUN --mount=from=", "<<E", "E", "\\", "image: "]),
            st.sampled_from(
                ["{{ x }}", "$A", "# stevedore: keep", "repository: ", "{", "}", "- ", "&a", "*a", '"', "'"]
            ),
            st.sampled_from(["\n", "\r\n", "\n  ", " ", "services:", "images:", "name: ", "tag: "]),
            REFERENCES,
            NOISE,
        ),
        max_size=30,
    ).map("".join),
    st.sampled_from(["Dockerfile", "a.yaml", "values.yaml", "kustomization.yaml", "compose.yaml"]),
)
def test_any_text_is_read_or_refused(text: str, path: str) -> None:
    result = rewritten(path, text)
    assert {finding.state for finding in result.findings} <= set(STATES)
    edits = sorted({edit for finding in result.findings for edit in finding.edits})
    assert result.changed == bool([edit for edit in edits if text[edit.start : edit.end] != edit.text])
    # What is between the edits is still there, in this order.
    position, start = 0, 0
    for edit in edits:
        between = text[start : edit.start] + edit.text
        assert result.after.startswith(between, position)
        position, start = position + len(between), edit.end
    assert result.after[position:] == text[start:]
    if not result.problem:
        again = rewritten(path, result.after)
        assert again.problem == ""
        assert not again.changed
        assert len(told(again)) == len(told(result))
