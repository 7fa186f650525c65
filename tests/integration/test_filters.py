"""The filters through Ansible's own templating, with rules as the modules return them and as people write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from loopback.client import Cloud
from running import PlaybookRun, local_play

Playbook = Callable[..., PlaybookRun]

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
HUB = [{"prefix": "hub", "upstream": "docker-hub"}]

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: nginx
      image: {{ 'nginx:1.27' | stevedore.ecr.ecr_cached_image(hub, registry) }}
    - name: pinned
      image: {{ pinned | stevedore.ecr.ecr_cached_image(hub, registry) }}
"""
COMPOSE = """\
services:
{% for name, image in services.items() %}
  {{ name }}:
    image: {{ image | stevedore.ecr.ecr_mirrored_image(registry, 'mirror') }}
{% endfor %}
"""
DOCKERFILE = """\
FROM {{ 'python:3.13-slim' | stevedore.ecr.ecr_cached_image(hub, registry) }} AS build
FROM {{ runtime | stevedore.ecr.ecr_cached_image(hub, registry, default=runtime) }}
COPY --from=build /app /app
"""


def write(content: str, path: Path) -> dict[str, Any]:
    path.with_suffix(".j2").write_text(content)
    source = str(path.with_suffix(".j2"))
    return {"ansible.builtin.template": {"src": source, "dest": str(path), "mode": "0644"}}


def test_manifest_compose_file_and_dockerfile(playbook: Playbook, tmp_path: Path) -> None:
    manifest, compose, dockerfile = (tmp_path / name for name in ("pod.yaml", "compose.yaml", "Dockerfile"))
    play = local_play(
        write(MANIFEST, manifest),
        write(COMPOSE, compose),
        write(DOCKERFILE, dockerfile),
        vars={
            "registry": HOST,
            "hub": [{"prefix": "{{ 'h' ~ 'ub' }}", "upstream": "docker-hub"}],  # templated when it is read
            "pinned": "docker.io/library/redis:7@{{ digest }}",
            "digest": DIGEST,
            "runtime": "gcr.io/distroless/python3",
            "services": {"db": "postgres:17", "metrics": "quay.io/prometheus/prometheus:v3.1.0"},
        },
    )
    run = playbook(play)
    assert run.status == 0, run.output
    assert "WARNING" not in run.output
    assert "DEPRECATION" not in run.output
    containers = yaml.safe_load(manifest.read_text())["spec"]["containers"]
    assert [container["image"] for container in containers] == [
        f"{HOST}/hub/library/nginx:1.27",
        f"{HOST}/hub/library/redis:7@{DIGEST}",
    ]
    services = yaml.safe_load(compose.read_text())["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        "db": f"{HOST}/mirror/postgres:17",
        "metrics": f"{HOST}/mirror/prometheus/prometheus:v3.1.0",
    }
    assert dockerfile.read_text().splitlines()[:2] == [
        f"FROM {HOST}/hub/library/python:3.13-slim AS build",
        "FROM gcr.io/distroless/python3",
    ]
    assert playbook(play).recap["changed"] == 0


def test_rules_as_the_modules_return_them(cloud: Cloud, playbook: Playbook, tmp_path: Path) -> None:
    made = {"rules": [{"prefix": "quay", "upstream": "quay"}, {"prefix": "k8s", "upstream": "k8s"}]}
    images = ["registry.k8s.io/pause:3.9", "quay.io/org/app", f"quay.io/org/app@{DIGEST}"]
    addresses = "{{ images | map('stevedore.ecr.ecr_cached_image', %s.rules) | list | to_json }}"
    run = playbook(
        local_play(
            {"stevedore.ecr.ecr_pull_through_rule": made, "register": "made"},
            {"stevedore.ecr.ecr_pull_through_rule_info": {}, "register": "found"},
            *(
                {
                    "ansible.builtin.copy": {
                        "content": addresses.replace("%s", result),
                        "dest": str(tmp_path / f"{result}.json"),
                        "mode": "0644",
                    }
                }
                for result in ("made", "found")
            ),
            vars={"images": images},
        )
    )
    assert run.status == 0, run.output
    host = urlsplit(cloud.registry).netloc
    for result in ("made", "found"):
        assert json.loads((tmp_path / f"{result}.json").read_text()) == [
            f"{host}/k8s/pause:3.9",
            f"{host}/quay/org/app",
            f"{host}/quay/org/app@{DIGEST}",
        ]


def test_an_image_that_no_rule_covers_is_named_with_what_is_covered(playbook: Playbook) -> None:
    message = "{{ 'ghcr.io/org/x:1' | stevedore.ecr.ecr_cached_image(hub, registry) }}"
    run = playbook(local_play({"ansible.builtin.debug": {"msg": message}}, vars={"hub": HUB, "registry": HOST}))
    assert run.status == 2
    for word in ("ecr_cached_image", "'ghcr.io/org/x:1'", "docker.io", "default"):
        assert word in run.output
    assert "Traceback" not in run.output


def test_what_is_no_image_is_said_without_a_traceback(playbook: Playbook) -> None:
    message = "{{ 'https://ghcr.io/org/x' | stevedore.ecr.ecr_mirrored_image(registry) }}"
    run = playbook(local_play({"ansible.builtin.debug": {"msg": message}}, vars={"registry": HOST}))
    assert run.status == 2
    assert "ecr_mirrored_image" in run.output
    assert "not a URL" in run.output
    assert "Traceback" not in run.output
