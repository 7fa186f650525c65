"""The role image_mirror and the playbook mirror.yml against the loopback cloud, as a user runs them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ecr_api import allow, push_image

from loopback.client import Cloud
from running import PlaybookRun

ROLE = "stevedore.ecr.image_mirror"
HUB_HOST = "registry-1.docker.io"
LOGIN = {"username": "hubuser", "password": "hubtoken"}
NGINX, REDIS = "docker.io/library/nginx", "docker.io/library/redis"


@dataclass(frozen=True)
class RoleRun:
    run: PlaybookRun
    facts: dict[str, Any]

    @property
    def changed(self) -> int:
        return self.run.recap["changed"]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.facts["result"]
        return result

    def actions(self) -> dict[str, str]:
        return {image["source"]: image["action"] for image in self.result["images"]}

    def pruned(self) -> list[str]:
        return [f"{found['name']}:{tag['tag']}" for found in self.result["pruned"] for tag in found["tags"]]


@dataclass(frozen=True)
class Mirror:
    """The role, with one list of images after another."""

    playbook: Callable[..., PlaybookRun]
    cloud: Cloud
    directory: Path

    def __call__(self, images: Any, *options: str, fails: bool = False, warns: str = "", **variables: Any) -> RoleRun:
        told = self.directory / "facts.json"
        told.unlink(missing_ok=True)
        facts = "{{ {'result': image_mirror_result, 'addresses': image_mirror_addresses} | to_json }}"
        tell = {"content": facts, "dest": str(told), "mode": "0600"}
        play = {
            "name": "Mirror",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {**self.variables(), **named(variables), **({} if images is None else named({"images": images}))},
            "tasks": [
                {
                    "block": [{"ansible.builtin.include_role": {"name": ROLE}}],
                    # It is no part of what is counted.
                    "always": [
                        {
                            "ansible.builtin.copy": tell,
                            "check_mode": False,
                            "diff": False,
                            "changed_when": False,
                            "when": "image_mirror_result is defined",
                        }
                    ],
                }
            ],
        }
        run = self.playbook([play], *options)
        assert run.status == (2 if fails else 0), run.output
        assert ("[WARNING]" in run.output) == bool(warns)
        assert warns in run.output
        assert "DEPRECATION" not in run.output
        return RoleRun(run, json.loads(told.read_text()) if told.exists() else {})

    def variables(self) -> dict[str, Any]:
        return named(
            {
                "transport": "direct",
                "registries": [{"host": "docker.io", "endpoint": self.cloud.upstreams[HUB_HOST], **LOGIN}],
            }
        )


def named(variables: dict[str, Any]) -> dict[str, Any]:
    return {f"image_mirror_{name}": value for name, value in variables.items()}


@pytest.fixture
def mirror(cloud: Cloud, playbook: Callable[..., PlaybookRun], tmp_path: Path) -> Mirror:
    for tag in ("1.27", "1.28", "1.29"):
        cloud.publish(HUB_HOST, "library/nginx", tag, platforms=["linux/amd64", "linux/arm64"])
    cloud.publish(HUB_HOST, "library/redis", "8")
    return Mirror(playbook, cloud, tmp_path)


def repositories(cloud: Cloud) -> list[str]:
    return [found["repositoryName"] for found in cloud.client("ecr").describe_repositories()["repositories"]]


def tags(cloud: Cloud, repository: str) -> list[str]:
    ids = cloud.client("ecr").list_images(repositoryName=repository)["imageIds"]
    return sorted(image_id["imageTag"] for image_id in ids if "imageTag" in image_id)


def tags_of(images: Iterable[str]) -> list[dict[str, Any]]:
    return [{"source": name, "tag": tag} for name, _colon, tag in (image.partition(":") for image in images)]


# ------------------------------------------------------------------ from nothing to copies


def test_check_then_run_then_run_again(cloud: Cloud, mirror: Mirror, tmp_path: Path) -> None:
    images = [
        {"source": "nginx", "repository": "web", "tags": ["1.28", {"from": "1.29", "to": "stable"}]},
        {"source": "redis", "tag": "8"},
    ]
    reports = {"report_html": str(tmp_path / "new" / "report.html"), "report_markdown": str(tmp_path / "report.md")}
    promised = mirror(images, "--check", "--diff", **reports)
    assert repositories(cloud) == []
    assert set(promised.actions().values()) == {"copy"}
    assert "Plan: nothing was changed" in (tmp_path / "new" / "report.html").read_text()
    assert "3 of 3 images would be copied." in promised.run.output

    done = mirror(images, "--diff", **reports)
    assert done.changed == promised.changed == 1
    assert done.actions() == promised.actions()
    assert done.result["repositories_created"] == promised.result["repositories_created"] == ["redis", "web"]
    assert (tags(cloud, "web"), tags(cloud, "redis")) == (["1.28", "stable"], ["8"])
    host = cloud.registry.removeprefix("http://")
    digest = done.result["images"][1]["digest"]
    assert done.facts["addresses"][f"{NGINX}:1.29"] == {"tag": f"{host}/web:stable", "digest": f"{host}/web@{digest}"}
    assert set(done.facts["addresses"]) == {f"{NGINX}:1.28", f"{NGINX}:1.29", f"{REDIS}:8"}
    assert f"copied: {NGINX}:1.29 -> {host}/web:stable (" in done.run.output
    assert "All 3 images can be pulled from your own ECR." in (tmp_path / "new" / "report.html").read_text()
    assert f"`{host}/web:stable`" in (tmp_path / "report.md").read_text()
    assert done.result["reports"] == list(reports.values())

    again = mirror(images, "--diff", **reports)
    assert again.changed == 0
    assert set(again.actions().values()) == {"up_to_date"}
    assert again.facts["addresses"] == done.facts["addresses"]
    assert "All 3 images can be pulled from your own ECR." in again.run.output


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_images_can_be_in_a_file(cloud: Cloud, mirror: Mirror, tmp_path: Path, write: Callable[..., str]) -> None:
    images = tmp_path / "images.txt"
    images.write_text(write([{"source": "redis", "tag": "8"}, {"source": "nginx", "tag": "1.28"}]))
    done = mirror(None, images_file=str(images))
    assert list(done.actions().values()) == ["copy", "copy"]
    assert repositories(cloud) == ["nginx", "redis"]


def test_a_file_of_images_is_looked_for_where_ansible_was_started(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "images.yml").write_text(json.dumps(tags_of(["redis:8"])))
    variables = json.dumps({**mirror.variables(), **named({"images_file": "images.yml"})})
    run = mirror.playbook("stevedore.ecr.mirror", "-e", variables)
    assert run.status == 0, run.output


def test_the_playbook_is_all_that_a_job_needs(cloud: Cloud, mirror: Mirror, tmp_path: Path) -> None:
    job, journal, report = tmp_path / "job.json", tmp_path / "journal.jsonl", tmp_path / "report.md"
    wanted = {"images": tags_of(["redis:8", "nginx:1.28"]), "journal": str(journal), "report_markdown": str(report)}
    job.write_text(json.dumps({**mirror.variables(), **named(wanted)}))
    run = mirror.playbook("stevedore.ecr.mirror", "-e", f"@{job}", "-e", f"aws_region={cloud.region}")
    assert run.status == 0, run.output
    lines = [line for line in run.output.splitlines() if '"copied: ' in line]
    assert [line.strip().split()[1] for line in lines] == [f"{REDIS}:8", f"{NGINX}:1.28"]
    assert {json.loads(line)["event"] for line in journal.read_text().splitlines()} >= {"start"}
    assert report.exists()

    job.write_text(json.dumps({**mirror.variables(), **named({**wanted, "images": tags_of(["redis:none"])})}))
    assert mirror.playbook("stevedore.ecr.mirror", "-e", f"@{job}").status != 0


# ------------------------------------------------------------------ what fails


def test_a_bad_image_stops_no_other_and_is_reported_and_fails_the_run(
    cloud: Cloud, mirror: Mirror, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    images = tags_of(["redis:8", "nginx:none", "nginx:1.28"])
    done = mirror(images, fails=True, report_html=str(report), prune="delete")
    assert list(done.actions().values()) == ["copy", "fail", "copy"]
    assert (tags(cloud, "redis"), tags(cloud, "nginx")) == (["8"], ["1.28"])
    page = report.read_text()
    assert "2 of 3 images can be pulled" in page
    assert page.index("What did not work") < page.index("<b>")
    assert set(done.facts["addresses"]) == {f"{REDIS}:8", f"{NGINX}:1.28"}
    assert done.result["problem"].startswith("Failed for 1 of 3 images. ")
    assert f"{NGINX}:none" in done.result["problem"]
    assert "Nothing was pruned, because the run failed." in page


@pytest.mark.parametrize(
    ("images", "variables", "says"),
    [
        (None, {}, "Give the images either as the list image_mirror_images, or as a file"),
        (tags_of(["redis:8"]), {"images_file": "images.yml"}, "Give the images either as the list"),
        (None, {"images_file": "images.yml"}, "images.yml"),
        ([{"source": "nginx"}], {}, "give tag, tags, select or digest"),
        (tags_of(["redis:8"]), {"prune": "sometimes"}, "image_mirror_prune must be one of: False, report, delete"),
        (tags_of(["redis:8"]), {"prune": "report", "prune_protect": ["a{b"]}, "protect[0]: 'a{b'"),
        (
            [*tags_of(["redis:8"]), {"source": "nginx", "select": {"part": {"index": 0, "of": 2}}}],
            {"prune": "delete"},
            "select.part asks for one part only of the tags of nginx. Leave out image_mirror_prune",
        ),
    ],
)
def test_mistakes_are_told(mirror: Mirror, images: Any, variables: dict[str, Any], says: str) -> None:
    output = mirror(images, fails=True, **variables).run.output
    assert says in output
    assert "Traceback" not in output


def test_a_file_that_holds_no_list_is_told(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "images.yml").write_text("nginx: 1")
    run = mirror(None, fails=True, images_file=str(tmp_path / "images.yml")).run
    assert "and which holds such a list" in run.output


# ------------------------------------------------------------------ pruning


def test_what_is_no_longer_asked_for_is_told_and_then_deleted(cloud: Cloud, mirror: Mirror, tmp_path: Path) -> None:
    everything = [{"source": "nginx", "tags": ["1.27", "1.28", "1.29"]}, {"source": "redis", "tag": "8"}]
    mirror(everything)
    ecr = cloud.client("ecr")
    push_image(ecr, "nginx", ["ours-1"])
    push_image(ecr, "redis", ["theirs"])
    ecr.create_repository(repositoryName="other")
    push_image(ecr, "other", ["1"])
    wanted = [{"source": "nginx", "select": {"semver": ">=1", "newest": 1}}]
    report = tmp_path / "report.md"
    more = {"prune_protect": ["ours-*"], "report_markdown": str(report)}

    assert mirror(wanted, **more).pruned() == []

    told = mirror(wanted, "--diff", prune="report", **more)
    assert (told.changed, told.pruned()) == (0, ["nginx:1.27", "nginx:1.28"])
    assert "no longer asked for: nginx:1.27 and its image" in told.run.output
    assert "## Tags that are no longer wanted (2)" in report.read_text()

    promised = mirror(wanted, "--check", prune="delete", **more)
    assert (promised.changed, promised.pruned()) == (1, told.pruned())
    assert tags(cloud, "nginx") == ["1.27", "1.28", "1.29", "ours-1"]

    done = mirror(wanted, prune="delete", **more)
    assert (done.changed, done.pruned()) == (1, told.pruned())
    assert "deleted: nginx:1.27 and its image" in done.run.output
    assert "## Deleted tags (2)" in report.read_text()
    assert tags(cloud, "nginx") == ["1.29", "ours-1"]
    assert (tags(cloud, "redis"), tags(cloud, "other")) == (["8", "theirs"], ["1"])

    assert mirror(wanted, prune="delete", **more).changed == 0


def test_nothing_is_deleted_when_nothing_is_found_at_the_source(cloud: Cloud, mirror: Mirror) -> None:
    mirror([{"source": "nginx", "tags": ["1.27", "1.28"]}])
    wanted = [{"source": "nginx", "tag": "1.27"}, {"source": "nginx", "select": {"globs": ["9.*"]}}]
    done = mirror(wanted, prune="delete", require_match=False, warns=f"no tag of {NGINX} is selected")
    assert "Nothing was pruned, because nothing was selected of some images." in done.run.output
    assert tags(cloud, "nginx") == ["1.27", "1.28"]


def test_a_failure_to_prune_is_reported_and_fails_the_run(
    cloud: Cloud, mirror: Mirror, playbook: Callable[..., PlaybookRun], tmp_path: Path
) -> None:
    mirror([{"source": "nginx", "tags": ["1.27", "1.28"]}])
    may = [allow("ecr:*"), {"Effect": "Deny", "Action": "ecr:BatchDeleteImage", "Resource": "*"}]
    restricted = cloud.role("mirror", may)
    report = tmp_path / "report.html"
    limited = Mirror(lambda *what: playbook(*what, credentials=restricted), cloud, tmp_path)
    done = limited(tags_of(["nginx:1.28"]), fails=True, prune="delete", report_html=str(report))
    assert "needs ecr:BatchDeleteImage" in done.result["problem"]
    assert "needs ecr:BatchDeleteImage" in report.read_text()
    assert tags(cloud, "nginx") == ["1.27", "1.28"]


# ------------------------------------------------------------------ kept elsewhere


@pytest.mark.parametrize("fails", [False, True])
def test_report_and_journal_are_kept_in_a_bucket(cloud: Cloud, mirror: Mirror, tmp_path: Path, fails: bool) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="runs", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    figures = tmp_path / "figures.json"
    how = {
        "journal": str(tmp_path / "journal.jsonl"),
        "report_html": str(tmp_path / "report.html"),
        "metrics": {"file": str(figures), "job": "daily"},
        "upload": {"bucket": "runs", "prefix": "daily/1"},
    }
    images = tags_of(["redis:8", *(["redis:none"] if fails else [])])
    planned = mirror(images, "--check", fails=fails, **how)
    assert "Contents" not in s3.list_objects_v2(Bucket="runs")
    done = mirror(images, fails=fails, **how)
    assert done.changed == planned.changed
    kept = [entry["Key"] for entry in s3.list_objects_v2(Bucket="runs")["Contents"]]
    assert kept == ["daily/1/journal.jsonl", "daily/1/report.html"]
    content = s3.get_object(Bucket="runs", Key="daily/1/report.html")["Body"].read()
    assert content == (tmp_path / "report.html").read_bytes()
    assert json.loads(figures.read_text())["Failed"] == int(fails)


# ------------------------------------------------------------------ what never shows


def test_secrets_never_show(cloud: Cloud, mirror: Mirror, tmp_path: Path) -> None:
    """Not at any verbosity, with a diff, in facts and reports, nor when something fails."""
    secret = LOGIN["password"]
    written = tmp_path / "written"
    files = {
        "report_html": str(written / "report.html"),
        "report_markdown": str(written / "report.md"),
        "journal": str(tmp_path / "journal.jsonl"),
    }
    hub = cloud.upstreams[HUB_HOST]
    wrong = [{"host": "docker.io", "endpoint": hub, "username": "hubuser", "password": "a-wrong-token"}]
    runs = [
        mirror(tags_of(["redis:8"]), "-vvvv", "--diff", **files),
        mirror(tags_of(["redis:8"]), "-vvvv", fails=True, registries=wrong, **files),
        mirror([{"source": "redis", "tagg": "8"}], "-vvvv", fails=True, **files),
        mirror(tags_of(["redis:8"]), "-vvvv", fails=True, prune="sometimes", **files),
    ]
    encoded = base64.b64encode(f"hubuser:{secret}".encode()).decode()
    texts = [text for run in runs for text in (run.run.output, json.dumps(run.facts))]
    texts += [path.read_text() for path in (*written.iterdir(), tmp_path / "journal.jsonl")]
    for text in texts:
        assert secret not in text
        assert encoded not in text
        assert "a-wrong-token" not in text
