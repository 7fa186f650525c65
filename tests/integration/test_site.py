"""The playbook site.yml where something is wrong: what it tells, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback.client import Cloud
from running import PlaybookRun

HUB_HOST = "registry-1.docker.io"
SECRET = "geheim"
# What reads, among the operations of AWS.
READING = ("Get", "List", "Describe", "Batch", "Head", "Validate")

Site = Callable[..., PlaybookRun]


@pytest.fixture
def site(cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Site:
    """site(document, *options): a run that fails, and shows no login."""

    def run(document: Any, *options: str) -> PlaybookRun:
        path = tmp_path / "stevedore.yml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        registries = [{"host": "docker.io", "endpoint": cloud.upstreams[HUB_HOST]}]
        done = playbook("stevedore.ecr.site", "-v", "-e", json.dumps({"image_mirror_registries": registries}), *options)
        assert done.status == 2, done.output
        assert SECRET not in done.output
        assert "Traceback" not in done.output
        return done

    return run


def changes(cloud: Cloud) -> list[str]:
    return [call for call in cloud.operations() if not call.startswith(READING)]


def test_all_mistakes_are_told_before_anything_is_made(cloud: Cloud, site: Site) -> None:
    done = site(
        {
            "upstreams": {"docker-hub": {"access_token": SECRET}},
            "images": ["quay.io/a/b:1", {"source": "redis:7", "via": "clone"}, "Nginx:1"],
            "clone": {"timeout": 1},
            "mirorr": {},
        }
    )
    for place in ("mirorr", "images[2].source", "upstreams.docker-hub.username", "clone.timeout"):
        assert f"- {place}: " in done.output
    assert "did you mean mirror?" in done.output
    assert changes(cloud) == []


@pytest.mark.parametrize("text", [f"images: [\ncache: {{a: {SECRET}\n", f"- {SECRET}\n"], ids=["no YAML", "a list"])
def test_a_file_that_cannot_be_read_is_told_of_without_what_is_in_it(cloud: Cloud, site: Site, text: str) -> None:
    assert "stevedore.yml cannot be read: " in site(text).output
    assert cloud.operations() == []


def test_a_file_that_is_not_there_is_asked_for(cloud: Cloud, playbook: Callable[..., PlaybookRun]) -> None:
    done = playbook("stevedore.ecr.site", "-e", "stevedore_file=elsewhere.yml")
    assert done.status == 2
    assert "elsewhere.yml. Say where it is: -e stevedore_file=" in done.output
    assert cloud.operations() == []


def test_an_image_that_is_not_there_stops_nothing_else_and_the_end_is_told(cloud: Cloud, site: Site) -> None:
    cloud.publish(HUB_HOST, "library/nginx", "1.27")
    done = site({"upstreams": {"quay": None}, "images": ["nginx:1.27", "nginx:no-such-tag"]})
    assert [rule["ecrRepositoryPrefix"] for rule in rules(cloud)] == ["quay"]
    assert "Cached: quay. 1 rule was made or changed." in done.output
    assert "Mirrored: 1 of 2 images can be pulled from your own ECR as they should be." in done.output
    assert "nginx:1.27" in done.output


REGIONS = {"ireland": {"aws_region": "eu-west-1"}, "virginia": {"aws_region": "us-east-1"}}


@pytest.fixture
def regions(playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Callable[..., PlaybookRun]:
    """regions(playbook, document, *options): a run for two regions, as the documentation writes them down."""
    inventory = tmp_path / "regions.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": REGIONS}}))

    def run(name: str, document: Any, *options: str) -> PlaybookRun:
        (tmp_path / "stevedore.yml").write_text(yaml.safe_dump(document))
        return playbook(name, "-i", str(inventory), "-e", "stevedore_hosts=all", *options)

    return run


def test_regions_of_an_inventory_have_one_file_without_a_region(
    cloud: Cloud, regions: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    done = regions("stevedore.ecr.site", {"upstreams": {"quay": None}})
    assert done.status == 0, done.output
    for host in REGIONS.values():
        ecr = cloud.client("ecr", region=host["aws_region"])
        assert ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]
    pages = f"status_html={tmp_path}/status-{{{{ inventory_hostname }}}}.html"
    asked = regions("stevedore.ecr.status", {"upstreams": {"quay": None}}, "-e", pages)
    assert asked.status == 0, asked.output
    assert {path.name for path in tmp_path.glob("*.html")} == {"status-ireland.html", "status-virginia.html"}

    refused = regions("stevedore.ecr.site", {"region": "eu-west-1", "upstreams": {"quay": None}})
    assert refused.status != 0
    assert "region: is eu-west-1, and the settings of this play lead to us-east-1" in refused.output


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stevedore.ecr.site", ("--check",)),
        ("stevedore.ecr.status", ("-e", "status_fail_on=[]")),
        ("stevedore.ecr.rewrite_references", ("-e", "rewrite_references_paths=.")),
    ],
)
def test_variables_of_the_file_are_given_to_each_playbook_that_reads_it(
    playbook: Callable[..., PlaybookRun], tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    login = {"username": "hubuser", "access_token": "{{ docker_hub_token }}"}
    (tmp_path / "stevedore.yml").write_text(yaml.safe_dump({"upstreams": {"docker-hub": login}, "images": ["nginx:1"]}))
    (tmp_path / "vault.yml").write_text(yaml.safe_dump({"docker_hub_token": SECRET}))
    without = playbook(name, *options)
    assert without.status == 2
    assert "docker_hub_token" in without.output
    done = playbook(name, "-e", "@vault.yml", *options)
    assert "docker_hub_token" not in done.output, done.output
    assert SECRET not in done.output


def rules(cloud: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.client("ecr").describe_pull_through_cache_rules()["pullThroughCacheRules"]
    return found
