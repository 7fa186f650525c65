"""The YAML in README, role pages and documentation: all of it makes sense to Ansible, and what is marked is run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from snippets import Snippet, snippets, snippets_of

from ansible_collections.stevedore.ecr.plugins.module_utils._site.site import read as read_site
from loopback.client import Cloud
from running import playbook_command, playbook_environment, run_playbook

ROOT = Path(__file__).parents[2]
ALL = snippets(ROOT)
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
# Of registries that the loopback cloud does not have, where their images are.
STAND_INS = {"docker.elastic.co": "quay.io"}
RUNNABLE = [snippet for snippet in ALL if snippet.run]
# What plays know beside the variables of roles: of playbooks, of inventories, and of those who keep a vault.
OTHER_VARIABLES = {"aws_region", "aws_profile", "all"}


@pytest.fixture(scope="module")
def options() -> dict[str, dict[str, Any]]:
    """The options of each role, by its name."""
    found = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        found[path.parents[1].name] = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("snippet", ALL, ids=str)
def test_variables_are_those_of_roles(snippet: Snippet, options: dict[str, dict[str, Any]]) -> None:
    if snippet.is_site:
        assert read_site(snippet.document, REGISTRY).images
        return
    for variables in snippet.variables:
        for role, known in options.items():
            given = {name: value for name, value in variables.items() if name.startswith(f"{role}_") and name in known}
            wanted = {name: {**known[name], "required": False} for name in given}
            assert ArgumentSpecValidator(wanted).validate(given).error_messages == []
        unknown = set(variables) - OTHER_VARIABLES - {name for known in options.values() for name in known}
        assert unknown - {"pull_sync_source_policies"} == set()


def test_plays_and_tasks_are_understood(tmp_path: Path) -> None:
    paths = []
    for number, snippet in enumerate(ALL):
        if snippet.plays:
            paths.append(tmp_path / f"{number}-{snippet}.yml")
            paths[-1].write_text(yaml.safe_dump(snippet.plays, sort_keys=False))
    assert paths
    done = subprocess.run(
        [*playbook_command(paths[0], *map(str, paths[1:])), "--syntax-check"],
        env=playbook_environment(tmp_path, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


@pytest.mark.parametrize("snippet", RUNNABLE, ids=str)
def test_what_is_marked_runs(snippet: Snippet, cloud: Cloud, tmp_path: Path) -> None:
    cloud.knobs(codebuild__light="SUCCEEDED")
    _furnish(cloud)
    (tmp_path / "policies.json").write_text("[]")
    for host, repository, tag in snippet.images:
        cloud.publish(STAND_INS.get(host, host), repository, tag, platforms=["linux/amd64", "linux/arm64/v8"])
    (tmp_path / "stevedore.yml").write_text(snippet.text)
    (tmp_path / "given.yml").write_text(yaml.safe_dump(_given(cloud)))
    name, *options = snippet.command
    what = snippet.plays if name == "itself" else name
    if snippet.is_inventory:
        options += ["-i", "stevedore.yml"]
    # Playbooks read a desired-state file by themselves.
    elif not snippet.is_site and not snippet.plays:
        options += ["-e", "@stevedore.yml"]
    run = run_playbook(
        what, "-e", "@given.yml", *options, directory=tmp_path, environment=_environment(cloud, tmp_path)
    )
    assert run.status == 0, run.output
    assert ("[WARNING]" in run.output) == snippet.warns, run.output


def _furnish(cloud: Cloud) -> None:
    """What snippets take to be there."""
    ecr, iam = cloud.client("ecr"), cloud.client("iam")
    for repository in ("team/app", "base-images"):
        ecr.create_repository(repositoryName=repository)
    for role in ("eks-nodes", "developers"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')


def _environment(cloud: Cloud, home: Path) -> dict[str, str]:
    """With credentials by profiles, as people have them: those of the environment allow no profile beside them."""
    environment = cloud.environment() | {"AWS_CONFIG_FILE": str(home / "aws.cfg"), "DOCKER_HUB_TOKEN": "hubtoken"}
    keys = {name: environment.pop(name.upper()) for name in ("aws_access_key_id", "aws_secret_access_key")}
    lines = "".join(f"{name} = {value}\n" for name, value in keys.items())
    (home / "aws.cfg").write_text(f"[default]\n{lines}[profile sandbox]\n{lines}")
    return environment


def _given(cloud: Cloud) -> dict[str, Any]:
    login = {"username": "hubuser", "password": "hubtoken"}
    hub = {"host": "docker.io", "endpoint": cloud.upstreams["registry-1.docker.io"], **login}
    others = [{"host": host, "endpoint": url} for host, url in cloud.upstreams.items() if "docker.io" not in host]
    others += [{"host": host, "endpoint": cloud.upstreams[there]} for host, there in STAND_INS.items()]
    return {
        "docker_hub_user": "hubuser",
        "docker_hub_token": "hubtoken",
        "vault_docker_hub_token": "hubtoken",
        "image_mirror_registries": [hub, *others],
        # Without an engine here, none can be built.
        "pull_sync_task_image_uri": f"{cloud.account}.dkr.ecr.{cloud.region}.amazonaws.com/runner",
    }


def test_something_is_marked() -> None:
    assert len(RUNNABLE) >= 20
    # Of those who read no further.
    assert {ROOT / "README.md", *ROOT.glob("roles/*/README.md")} <= {one.path for one in RUNNABLE}


def test_marks_and_blocks_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(
        "Text\n\n.. runnable: stevedore.ecr.mirror --check; images: quay.io/a/b:1 docker.io/c:2\n\n"
        ".. code-block:: yaml\n\n   # a\n   a:\n     - 1\n\n   b: 2\n\nText\n\n"
        "   .. code-block:: yaml\n\n      c: 3\n\n.. code-block:: text\n\n   d: 4\n"
    )
    marked, plain = snippets_of(page)
    assert (marked.document, plain.document) == ({"a": [1], "b": 2}, {"c": 3})
    assert marked.command == ["stevedore.ecr.mirror", "--check"]
    assert marked.images == [("quay.io", "a/b", "1"), ("docker.io", "c", "2")]
    assert (plain.run, plain.command, plain.images, plain.warns) == ("", [], [], False)


def test_blocks_of_markdown_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- runnable: x -->\n\n```yaml\na: 1\n```\nText\n```yaml\nb: 2\n```\n```console\n$ c\n```\n")
    assert [(one.document, one.run) for one in snippets_of(page)] == [({"a": 1}, "x"), ({"b": 2}, "")]
