# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stevedore.ecr.plugins.modules import image_references
from ansible_collections.stevedore.ecr.tests.unit.support.marked_files import REGISTRY
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

TOKEN = "a-very-secret-token"
SITE = f"""
upstreams:
  hub: {{upstream: docker-hub, username: me, access_token: {TOKEN}}}
images:
  - ghcr.io/team/app:1
"""
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {}   # comment\n"
OLD, NEW = "nginx:1.25", f"{REGISTRY}/hub/library/nginx:1.25"


def run(*paths: Path | str, check_mode: bool = False, diff: bool = False, **more: Any) -> dict[str, Any]:
    options = {"paths": [str(path) for path in paths], "site": SITE, "registry": REGISTRY, **more}
    return run_module(image_references.main, check_mode=check_mode, diff=diff, **options)


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    path = tmp_path / "deploy" / "pod.yaml"
    path.parent.mkdir()
    path.write_text(POD.format(OLD))
    return path


def test_a_file_is_rewritten_once(pod: Path) -> None:
    pod.chmod(0o640)
    result = run(pod)
    assert pod.read_text() == POD.format(NEW)
    assert pod.stat().st_mode & 0o777 == 0o640
    assert (result["changed"], result["files"]) == (True, [str(pod)])
    found = {"path": str(pod), "line": 5, "reference": OLD, "state": "rewritten", "address": NEW, "reason": ""}
    assert result["references"] == [found]
    assert result["lines"] == [f"{pod}:5: rewritten: {OLD} -> {NEW}"]
    assert result["counts"] == {"rewritten": 1, "own": 0, "kept": 0, "uncovered": 0, "unresolved": 0}
    before = pod.stat()
    again = run(pod)
    assert (again["changed"], again["files"], again["diff"], again["lines"]) == (False, [], [], [])
    assert again["counts"]["own"] == 1
    assert (pod.stat().st_ino, pod.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_check_mode_shows_it_and_writes_nothing(pod: Path) -> None:
    result = run(pod.parent, check_mode=True, diff=True)
    assert result["changed"]
    assert pod.read_text() == POD.format(OLD)
    (shown,) = result["diff"]
    assert (shown["before"], shown["after"]) == (POD.format(OLD), POD.format(NEW))
    assert shown["before_header"] == shown["after_header"] == str(pod)


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_bytes(b"\xef\xbb\xbf# caf\xe9\r\nFROM nginx:1.25 \r\n\r\n# \xff")
    result = run(dockerfile, diff=True)
    assert dockerfile.read_bytes() == b"\xef\xbb\xbf# caf\xe9\r\nFROM " + NEW.encode() + b" \r\n\r\n# \xff"
    assert result["diff"][0]["before"].endswith("# ?")


def test_links_stay_links(pod: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(pod)
    (tmp_path / "loop").symlink_to(tmp_path)
    result = run(link, tmp_path)
    assert result["files"] == [str(link)]
    assert link.is_symlink()
    assert pod.read_text() == POD.format(NEW)
    assert not pod.is_symlink()


def test_files_of_a_directory(tmp_path: Path) -> None:
    names = ["a.yaml", "b/c.yml", "b/Dockerfile", "vendor/d.yaml", "b/e.example.yaml", ".git/f.yaml", "g.json", "h.txt"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("FROM nginx:1.25" if "Docker" in name else POD.format(OLD))
    (tmp_path / "nowhere.yaml").symlink_to("nothing")
    result = run(tmp_path, exclude=["vendor", "*.example.yaml"])
    assert [os.path.relpath(path, tmp_path) for path in result["files"]] == ["a.yaml", "b/Dockerfile", "b/c.yml"]
    assert run(tmp_path / "**" / "d.*", tmp_path / "g.json")["not_read"][0]["path"].endswith("g.json")
    assert run(tmp_path, exclude=["b/*", ".*"])["counts"]["own"] == 2


def test_a_kind_is_said_for_what_has_another_name(tmp_path: Path) -> None:
    values = tmp_path / "production.yaml"
    values.write_text("image: {repository: nginx, tag: 1.25}\n")
    assert "say which by kind" in run(values)["not_read"][0]["reason"]
    assert run(values, kind="helm")["changed"]
    assert values.read_text() == f"image: {{repository: {REGISTRY}/hub/library/nginx, tag: 1.25}}\n"


def test_what_is_not_covered(pod: Path, tmp_path: Path) -> None:
    other = tmp_path / "Dockerfile"
    other.write_text("FROM ghcr.io/team/app:1 AS app\nFROM ghcr.io/team/app:2\nFROM $X\n")
    failed = run(pod, other, require_covered=True)
    assert failed["failed"]
    assert f"{other}:2: uncovered: ghcr.io/team/app:2: nothing covers it" in failed["msg"]
    assert failed["counts"] == {"rewritten": 2, "own": 0, "kept": 0, "uncovered": 1, "unresolved": 1}
    assert pod.read_text() == POD.format(OLD)
    assert run(pod, other)["changed"]
    assert other.read_text() == f"FROM {REGISTRY}/team/app:1 AS app\nFROM ghcr.io/team/app:2\nFROM $X\n"


def test_nothing_is_written_if_a_file_cannot_be_read(pod: Path) -> None:
    bad, worse = pod.parent / "bad.yaml", pod.parent / "Dockerfile"
    bad.write_text("a: 1\nimage: [\n")
    worse.write_text("RUN <<X\n")
    result = run(pod.parent)
    assert result["failed"]
    assert f"{bad}: line 3: it is no YAML: while parsing a flow node" in result["msg"]
    assert f"{worse}: line 1: the text after <<X is not ended by a line X" in result["msg"]
    assert pod.read_text() == POD.format(OLD)
    assert run(pod.parent, exclude=["bad.yaml", "Dockerfile"])["changed"]


@pytest.mark.parametrize("content", [b"image: \0", b"# caf\xe9\nimage: nginx:1\n"])
def test_what_is_no_text_stops_nothing_else(content: bytes, pod: Path) -> None:
    pod.with_name("image.yaml").write_bytes(content)
    result = run(pod.parent)
    assert result["changed"]
    assert result["not_read"] == [{"path": str(pod.with_name("image.yaml")), "reason": "it is no text in UTF-8"}]
    assert result["lines"][1:] == [f"{pod.with_name('image.yaml')}: not looked at: it is no text in UTF-8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"paths": ["nowhere/*.yaml", "gone"]},
            "paths: nowhere/*.yaml does not exist, and no file matches it; gone does",
        ),
        ({"registry": "nonsense"}, "registry must be the host of your own registry, not 'nonsense': "),
        ({"site": "{images: [1]}"}, "site: images[0]: must be a dictionary with a source"),
        ({"site": f"a: {TOKEN}\nb: ["}, "site is neither YAML nor JSON: expected the node content, but found"),
        ({"site": "\x07"}, "site is neither YAML nor JSON"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], message: str, pod: Path) -> None:
    result = run(pod, **options)
    assert result["failed"]
    assert result["msg"].startswith(message)
    assert TOKEN not in json.dumps(result)


def test_no_permission_to_read(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, kind: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(image_references.source_files, "read", refuse)
    assert f"{pod}: it cannot be read: Permission denied" in run(pod)["msg"]


def test_the_site_may_be_json_and_is_told_nobody(pod: Path) -> None:
    site = {"upstreams": {"hub": {"upstream": "docker-hub", "username": "me", "access_token": TOKEN}}}
    result = run(pod, site=json.dumps(site))
    assert result["changed"]
    assert TOKEN not in json.dumps(result)
