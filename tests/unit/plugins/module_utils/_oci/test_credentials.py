# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, DockerConfig
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import CredentialError


def auth(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def config(**document: Any) -> DockerConfig:
    return DockerConfig(document, "config.json")


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a credential helper; it notes its arguments and its input."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(name: str, body: str) -> Path:
        program, notes = tmp_path / f"docker-credential-{name}", tmp_path / f"{name}.notes"
        program.write_text(f'#!/bin/sh\nread -r server || :\necho "$*|$server" >> {notes}\n{body}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return notes

    return install


def test_credentials_show_no_secret() -> None:
    credentials = Credentials("user", "pass-word", "id-token", "reg-token")
    assert not any(secret in repr(credentials) for secret in credentials.secrets)
    assert credentials.basic == f"Basic {auth('user:pass-word')}"


def test_a_registry_token_is_fit_for_a_header() -> None:
    with pytest.raises(CredentialError, match="line break"):
        Credentials(registry_token="abc\r\nX: y")


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://registry-1.docker.io/v2/", "docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://GHCR.io/v2/", "ghcr.io"),
        ("http://localhost:5000/", "localhost:5000"),
    ],
)
def test_an_entry_is_found_under_all_its_names(key: str, registry: str) -> None:
    found = config(auths={"other.io": {"auth": auth("no:no")}, key: {"auth": auth("user:p:w")}})
    assert found.credentials_for(registry) == Credentials("user", "p:w")
    assert found.credentials_for("unrelated.io") is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, None),
        ({"auth": ""}, None),
        ({"email": "me@example.com"}, None),
        ({"auth": auth("user:pw\0")}, Credentials("user", "pw")),
        ({"username": "user", "password": "pw"}, Credentials("user", "pw")),
        ({"auth": auth("user:"), "identitytoken": "id"}, Credentials("user", "", "id")),
        ({"registrytoken": "tok"}, Credentials(registry_token="tok")),
    ],
)
def test_kinds_of_entries(entry: dict[str, str], expected: Credentials | None) -> None:
    assert config(auths={"ghcr.io": entry}).credentials_for("ghcr.io") == expected


def test_an_entry_for_a_path_is_not_for_the_host() -> None:
    assert config(auths={"quay.io/team": {"auth": auth("user:pw")}}).credentials_for("quay.io") is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"auths": {"ghcr.io": {"auth": "*"}}}, "the auth of ghcr.io is not in base64"),
        ({"auths": {"ghcr.io": {"auth": base64.b64encode(b"\xff\xff").decode()}}}, "not in base64"),
        ({"auths": {"ghcr.io": {"auth": auth("nocolon")}}}, "a user name, a colon and a password"),
        ({"auths": {"ghcr.io": {"auth": 7}}}, "not made of texts"),
        ({"auths": {"ghcr.io": "x"}}, "not made of texts"),
        ({"auths": []}, None),
        ({"auths": ["x"]}, "auths is no JSON object"),
        ({"credHelpers": "x"}, "credHelpers is no JSON object"),
        ({"credHelpers": {"ghcr.io": 7}}, "the helper for ghcr.io is no text"),
        ({"credHelpers": {"ghcr.io": "../x"}}, "is no name of a credential helper"),
        ({"credsStore": 7}, "credsStore is no text"),
        ({"credsStore": "absent-helper"}, "docker-credential-absent-helper is not installed"),
    ],
)
def test_what_is_wrong_with_a_config_is_named(document: dict[str, Any], why: str | None) -> None:
    def look_up() -> Credentials | None:
        return DockerConfig(document, "/home/me/.docker/config.json").credentials_for("ghcr.io")

    if why is None:
        assert look_up() is None
        return
    with pytest.raises(CredentialError, match=why) as caught:
        look_up()
    assert str(caught.value).startswith("The Docker config /home/me/.docker/config.json gives no usable credentials: ")


def test_a_helper_is_asked_once_and_not_by_its_arguments(helper: Any) -> None:
    notes = helper("fake", """echo '{"ServerURL":"x","Username":"user","Secret":"pw"}'""")
    found = config(credHelpers={"ghcr.io": "fake"}, credsStore="absent")
    assert found.credentials_for("ghcr.io") == Credentials("user", "pw")
    assert found.credentials_for("ghcr.io") == Credentials("user", "pw")
    assert notes.read_text() == "get|ghcr.io\n"


def test_the_store_knows_docker_hub_by_its_old_name(helper: Any) -> None:
    notes = helper("store", """echo '{"Username":"<token>","Secret":"id"}'""")
    assert config(credsStore="store").credentials_for("docker.io") == Credentials(identity_token="id")
    assert notes.read_text() == "get|https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    "body", ["echo credentials not found in native keychain; exit 1", """echo '{"Username":"","Secret":""}'"""]
)
def test_a_helper_without_an_entry_leaves_what_is_in_the_file(helper: Any, body: str) -> None:
    helper("empty", body)
    found = config(credsStore="empty", auths={"ghcr.io": {"auth": auth("user:pw")}, "quay.io": {}})
    assert found.credentials_for("ghcr.io") == Credentials("user", "pw")
    assert found.credentials_for("quay.io") is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo the keychain is locked; exit 1", "failed for ghcr.io: the keychain is locked"),
        ("echo no bus >&2; exit 1", "failed for ghcr.io: no bus"),
        ("exit 3", "failed for ghcr.io: it said nothing"),
        ("echo s3cret", "gave no user name and secret for ghcr.io"),
        ("""echo '{"Username":7,"Secret":"s3cret"}'""", "gave no user name and secret"),
        ("echo '[]'", "gave no user name and secret"),
        ("exec sleep 60", "did not answer in 0.3 s"),
    ],
)
def test_a_helper_that_fails_is_named(helper: Any, body: str, why: str) -> None:
    helper("bad", body)
    broken = DockerConfig({"credsStore": "bad"}, "config.json", helper_seconds=0.3)
    with pytest.raises(CredentialError, match=f"docker-credential-bad {why}") as caught:
        broken.credentials_for("ghcr.io")
    assert "s3cret" not in str(caught.value)


def test_a_helper_that_is_no_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "docker-credential-odd"
    program.write_text("neither a script nor a program")
    program.chmod(0o755)
    with pytest.raises(CredentialError, match="docker-credential-odd cannot be started"):
        config(credsStore="odd").credentials_for("ghcr.io")


def test_the_config_is_found_where_docker_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"auths": {"ghcr.io": {"auth": auth("user:pw")}}}
    for folder in ("home/.docker", "config", "given"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text(json.dumps(document).replace("ghcr", folder[:4]))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    assert DockerConfig.load().credentials_for("home.io")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    assert DockerConfig.load().credentials_for("conf.io")
    assert DockerConfig.load(str(tmp_path / "given")).credentials_for("give.io")


def test_there_need_not_be_a_config(tmp_path: Path) -> None:
    assert DockerConfig.load(str(tmp_path / "none")).credentials_for("ghcr.io") is None
    (tmp_path / "config.json").write_text("\n")
    assert DockerConfig.load(str(tmp_path)).credentials_for("ghcr.io") is None


@pytest.mark.parametrize(
    ("content", "why"), [("{", "is no valid JSON"), ("[" * 100_000, "is no valid JSON"), ("[]", "is no JSON object")]
)
def test_a_broken_config_is_named(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CredentialError, match=f"config.json {why}"):
        DockerConfig.load(str(tmp_path))


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CredentialError, match="cannot be read: Is a directory"):
        DockerConfig.load(str(tmp_path))
