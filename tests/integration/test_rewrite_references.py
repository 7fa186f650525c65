"""The playbook rewrite_references.yml over a directory with files of all kinds, as a user runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loopback.client import Cloud
from running import PlaybookRun

PLAYBOOK = "stevedore.ecr.rewrite_references"
TOKEN = "token-that-nobody-sees"
SITE = """\
region: REGION
upstreams:
  docker-hub:
    username: me
    access_token: "{{ lookup('ansible.builtin.env', 'HUB_TOKEN') | default('TOKEN', true) }}"
  quay:
images:
  - quay.io/prometheus/prometheus:v3.5.0
  - source: registry.example.com/team/app
    tags: ["1.2", "1.3"]
"""
# HUB/ and the like are where the caches are; REGISTRY/ where the copies are.
BEFORE = {
    "web.yaml": """\
# The web server
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - {name: wait, image: 'busybox:1.36'}   # waits
      containers:
      -   name: web
          image: "nginx:1.27"
      -   name: app
          image: registry.example.com/team/app:1.2
      -   name: ours   # stevedore: keep
          image: redis # stevedore: keep
---
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: registry.example.com/team/app:9}]}}}}}
""",
    "chart/values.yaml": """\
image:
  registry: docker.io\t
  repository: bitnami/redis
  tag: "7.20"   # a text, as the number is 7.2
metrics:
  image:
    repository: quay.io/oliver006/redis_exporter
    tag: ""
""",
    "chart/templates/pod.yaml": """\
{{- if .Values.enabled }}
image: {{ .Values.image.repository }}:{{ .Values.image.tag }}
image: quay.io/prometheus/busybox:latest
{{- end }}
""",
    "overlay/kustomization.yaml": """\
images:
- name: web
  newName: nginx
  newTag: "1.27"
- name: quay.io/prometheus/prometheus
  newTag: v3.5.0
""",
    "compose.yaml": """\
services:
  db: {image: "postgres:${PG:-17}"}
  any: {image: "${REGISTRY}/app:1"}
""",
    "Dockerfile": """\
# syntax=docker/dockerfile:1
ARG BASE=alpine:3.22
FROM --platform=$BUILDPLATFORM golang:1.25 AS build
RUN <<EOF
FROM nothing
EOF
FROM $BASE
COPY --from=build /app /app
COPY --from=quay.io/prometheus/busybox:glibc /bin/sh /bin/
""",
}
CHANGES = [
    ("web.yaml", "busybox:1.36", "HUB/library/busybox:1.36"),
    ("web.yaml", "nginx:1.27", "HUB/library/nginx:1.27"),
    ("web.yaml", "registry.example.com/team/app:1.2", "REGISTRY/team/app:1.2"),
    ("chart/values.yaml", "registry: docker.io", "registry: REGISTRY"),
    ("chart/values.yaml", "bitnami/redis", "docker-hub/bitnami/redis"),
    ("chart/values.yaml", "quay.io/oliver006", "REGISTRY/quay/oliver006"),
    ("chart/templates/pod.yaml", "quay.io/", "REGISTRY/quay/"),
    ("overlay/kustomization.yaml", "newName: nginx", "newName: HUB/library/nginx"),
    (
        "overlay/kustomization.yaml",
        "- name: quay.io/prometheus/prometheus\n",
        "- name: quay.io/prometheus/prometheus\n  newName: REGISTRY/quay/prometheus/prometheus\n",
    ),
    ("compose.yaml", "postgres:", "HUB/library/postgres:"),
    ("Dockerfile", "docker/dockerfile:1", "HUB/docker/dockerfile:1"),
    ("Dockerfile", "alpine:", "HUB/library/alpine:"),
    ("Dockerfile", "golang:", "HUB/library/golang:"),
    ("Dockerfile", "quay.io/", "REGISTRY/quay/"),
]
REWRITTEN = 13


@dataclass(frozen=True)
class Workloads:
    """A directory of files, and the playbook that rewrites them."""

    playbook: Callable[..., PlaybookRun]
    cloud: Cloud
    directory: Path

    def run(self, *options: str, status: int = 0, **variables: Any) -> PlaybookRun:
        given = {"rewrite_references_paths": "deploy", **variables}
        extra = [f"--extra-vars={json.dumps({name: value})}" for name, value in given.items()]
        run = self.playbook(PLAYBOOK, "-v", *extra, *options)
        assert run.status == status, run.output
        assert TOKEN not in run.output
        return run

    @property
    def files(self) -> dict[str, str]:
        return {name: self.path(name).read_text() for name in BEFORE}

    def path(self, name: str) -> Path:
        return self.directory / "deploy" / name

    def expected(self) -> dict[str, str]:
        registry = self.cloud.registry.removeprefix("http://")
        after = dict(BEFORE)
        for name, old, new in CHANGES:
            assert after[name].count(old) == 1
            after[name] = after[name].replace(old, new.replace("HUB", "REGISTRY/docker-hub"))
        # One is no mark, but a variable.
        return {name: re.sub(r"(?<!\$\{)REGISTRY", registry, text) for name, text in after.items()}


@pytest.fixture
def workloads(playbook: Callable[..., PlaybookRun], cloud: Cloud, tmp_path: Path) -> Workloads:
    (tmp_path / "stevedore.yml").write_text(SITE.replace("REGION", cloud.region).replace("TOKEN'", f"{TOKEN}'"))
    found = Workloads(playbook, cloud, tmp_path)
    for name, text in BEFORE.items():
        found.path(name).parent.mkdir(parents=True, exist_ok=True)
        found.path(name).write_text(text)
    return found


def test_a_directory_moves_over(workloads: Workloads) -> None:
    expected = workloads.expected()
    planned = workloads.run("--check", "--diff")
    assert workloads.files == BEFORE
    assert planned.recap["changed"] == 1
    for name, text in expected.items():
        for line in set(text.splitlines()) - set(BEFORE[name].splitlines()):
            assert f"+{line}" in planned.output
    done = workloads.run()
    assert workloads.files == expected
    assert f"{REWRITTEN} rewritten, 0 own, 1 kept, 1 uncovered, 2 unresolved" in done.output
    assert '"deploy/web.yaml:19: uncovered: registry.example.com/team/app:9: nothing covers it"' in done.output
    again = workloads.run("--diff")
    assert workloads.files == expected
    assert again.recap["changed"] == 0
    assert f"0 rewritten, {REWRITTEN} own, 1 kept, 1 uncovered, 2 unresolved" in again.output


def test_a_file_of_no_known_kind_does_not_hide_what_is_done(workloads: Workloads) -> None:
    workloads.path("prod.yaml").write_text("image:\n  repository: nginx\n  tag: '1'\n")
    done = workloads.run("--diff")
    assert workloads.files == workloads.expected()
    assert done.recap["changed"] == 1
    assert "+++ after: " in done.output
    assert "skipping" not in done.output.partition("TASK [Rewrite references]")[2]
    assert '"deploy/prod.yaml: not looked at: it does not look like Kubernetes, ' in done.output


def test_everything_has_to_be_covered_on_request(workloads: Workloads) -> None:
    failed = workloads.run(status=2, rewrite_references_require_covered=True)
    assert "Nothing was written, as nothing covers 1 of the references." in failed.output
    assert workloads.files == BEFORE
    workloads.run(rewrite_references_require_covered=True, rewrite_references_exclude="web.yaml")
    assert workloads.files == {**workloads.expected(), "web.yaml": BEFORE["web.yaml"]}


def test_a_registry_that_is_said_is_not_asked_for(workloads: Workloads) -> None:
    workloads.run(
        rewrite_references_registry="123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        rewrite_references_paths=["deploy/*.yaml"],
        rewrite_references_kind="compose",
    )
    assert workloads.path("compose.yaml").read_text().count("123456789012.dkr.ecr.eu-west-1.amazonaws.com/") == 1
    assert workloads.cloud.calls() == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"rewrite_references_paths": "nowhere"}, "nowhere does not exist, and no file matches it"),
        ({"stevedore_file": "nowhere.yml"}, "nowhere.yml. Say where it is: -e stevedore_file=..."),
    ],
)
def test_what_is_missing_is_told(workloads: Workloads, variables: dict[str, str], message: str) -> None:
    assert message in workloads.run(status=2, **variables).output


def test_a_file_that_cannot_be_read_is_told_of_without_what_is_in_it(workloads: Workloads) -> None:
    (workloads.directory / "stevedore.yml").write_text(f"images: [\nupstreams: {{a: {TOKEN}\n")
    assert "stevedore.yml cannot be read: " in workloads.run(status=2).output
