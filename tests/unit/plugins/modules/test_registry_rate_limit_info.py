# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a user sees it, against a registry of a few lines on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import module_arguments
import pytest

from ansible_collections.stevedore.ecr.plugins.modules import registry_rate_limit_info
from ansible_collections.stevedore.ecr.tests.unit.support.run_module import run_module

SUPPORT = str(Path(module_arguments.__file__).parent)
DIGEST = f"sha256:{'0' * 64}"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIMITS = {
    "RateLimit-Limit": "100;w=21600",
    "RateLimit-Remaining": "76;w=21600",
    "Docker-RateLimit-Source": "192.0.2.7",
}
NOTHING = {"limited": False, "limit": None, "remaining": None, "window_seconds": None, "source": None}


class Registry:
    """Answers every HEAD in the same way, and wants no login."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                registry.asked.append(f"{self.command} {self.path}")
                self.send_response(registry.status)
                sent = {"Content-Type": MANIFEST, "Docker-Content-Digest": DIGEST, "Content-Length": "2"}
                sent |= registry.headers
                for name, value in sent.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def run(registry_url: str, **options: Any) -> dict[str, Any]:
    return run_module(registry_rate_limit_info.main, registry_url=registry_url, **options)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (
            LIMITS,
            {"limited": True, "limit": 100, "remaining": 76, "window_seconds": 21600, "source": "192.0.2.7"},
        ),
        (
            {"ratelimit-limit": "10;w=3600", "ratelimit-remaining": "0;w=3600"},
            {"limited": True, "limit": 10, "remaining": 0, "window_seconds": 3600, "source": ""},
        ),
        (
            {"ratelimit-limit": "10", "ratelimit-remaining": "9"},
            {"limited": True, "limit": 10, "remaining": 9, "window_seconds": None, "source": ""},
        ),
        ({}, NOTHING),
        ({"ratelimit-limit": "plenty"}, NOTHING),
    ],
)
def test_what_the_headers_say(registry: Registry, headers: dict[str, str], found: dict[str, Any]) -> None:
    registry.headers = headers
    result = run(registry.url)
    assert {name: result[name] for name in found} == found
    assert (result["changed"], result["logged_in"]) == (False, False)
    assert registry.asked == ["HEAD /v2/ratelimitpreview/test/manifests/latest"]


def test_another_repository_and_tag(registry: Registry) -> None:
    run(registry.url, repository="team/app", tag="v1")
    assert registry.asked == ["HEAD /v2/team/app/manifests/v1"]


def test_a_refusal_that_tells_the_limit_is_an_answer(registry: Registry) -> None:
    registry.status = 429
    registry.headers = {**LIMITS, "RateLimit-Remaining": "0;w=21600", "Retry-After": "3600"}
    result = run(registry.url, timeout=1)
    assert not result.get("failed")
    assert (result["limited"], result["remaining"]) == (True, 0)


def test_a_refusal_that_tells_nothing_is_a_failure(registry: Registry) -> None:
    registry.status, registry.headers = 429, {"Retry-After": "3600"}
    result = run(registry.url, timeout=1)
    assert result["failed"]
    assert "429" in result["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"username": "me"}, "parameters are required together: username, password"),
        ({"registry_url": "hub"}, "registry_url, repository or tag is not valid: the registry 'hub' needs a dot"),
        ({"registry_url": "https://x.example/path"}, "it is no address of the form https://host or https://host:port"),
        ({"repository": "Team/App"}, "registry_url, repository or tag is not valid: the repository name 'Team/App'"),
        ({"tag": "a b"}, "registry_url, repository or tag is not valid: the tag 'a b'"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str) -> None:
    result = run_module(registry_rate_limit_info.main, **options)
    assert result["failed"]
    assert message in result["msg"]


def test_a_password_in_the_address_is_not_repeated() -> None:
    result = run("https://me:very-secret@x.example")
    assert result["failed"]
    assert "very-secret" not in result["msg"]


def test_urllib3_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_rate_limit_info, "HAS_URLLIB3", False)
    result = run("https://x.example")
    assert result["failed"]
    assert "Failed to import the required Python library (urllib3)" in result["msg"]


def test_it_needs_nothing_of_aws() -> None:
    program = """
import sys
for name in ("boto3", "botocore", "ansible_collections.amazon"):
    sys.modules[name] = None
from ansible_collections.stevedore.ecr.plugins.modules import registry_rate_limit_info
print(registry_rate_limit_info.HAS_URLLIB3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_it_says_that_urllib3_is_missing_on_a_host_without_it() -> None:
    program = f"""
import sys
sys.modules["urllib3"] = None
sys.path.insert(0, {SUPPORT!r})
from module_arguments import module_arguments
from ansible_collections.stevedore.ecr.plugins.modules import registry_rate_limit_info
with module_arguments({{}}):
    registry_rate_limit_info.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "(urllib3)" in json.loads(done.stdout)["msg"]
