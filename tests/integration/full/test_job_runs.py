"""Runs of a job, started and followed from a playbook as a user does, with builds that really run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builds import Project, buildspec, until

from loopback.client import Cloud, FullCloud
from running import PlaybookRun, local_play, run_playbook


def play(full: FullCloud, directory: Path, **arguments: Any) -> PlaybookRun:
    task = {"name": "Run it", "stevedore.ecr.job_run": {"kind": "codebuild_build", "name": "cloner", **arguments}}
    return run_playbook(local_play(task), directory=directory, environment=Cloud.environment(full))


def test_the_log_is_shown_as_it_comes(full: FullCloud, tmp_path: Path) -> None:
    Project(full).make(buildspec("echo first words", "echo last words"))
    ran = play(full, tmp_path)
    assert ran.status == 0, ran.output
    lines = [line.strip() for line in ran.output.splitlines()]
    assert lines.index("first words") < lines.index("last words")


def test_a_failure_is_told_in_the_build_s_words(full: FullCloud, tmp_path: Path) -> None:
    Project(full).make(buildspec("echo the registry said no", "exit 3"))
    ran = play(full, tmp_path)
    assert ran.status != 0
    assert "the registry said no" in ran.output
    assert "ended as FAILED: phase BUILD FAILED: " in ran.output
    assert "exit 3" in ran.output
    assert "Log: https://" in ran.output


def test_a_run_waits_until_another_has_ended(full: FullCloud, tmp_path: Path) -> None:
    project = Project(full).make(buildspec("true"), concurrentBuildLimit=1)
    first = project.start(buildspecOverride=buildspec("sleep 300"))

    def end_the_first_once_another_was_refused() -> None:
        until(lambda: len(full.calls("StartBuild")) > 1)
        project.codebuild.stop_build(id=first)

    with ThreadPoolExecutor() as pool:
        ended = pool.submit(end_the_first_once_another_was_refused)
        ran = play(full, tmp_path)
        ended.result()
    assert ran.status == 0, ran.output
    assert "Another run of cloner is at work: waiting until it ends." in ran.output


def test_without_waiting_another_run_is_an_error(full: FullCloud, tmp_path: Path) -> None:
    project = Project(full).make(buildspec("sleep 30"), concurrentBuildLimit=1)
    first = project.start()
    ran = play(full, tmp_path, wait=False)
    project.codebuild.stop_build(id=first)
    assert ran.status != 0
    assert "Another run of cloner is at work, and this job runs once at a time." in ran.output


@pytest.mark.parametrize("wait", [True, False])
def test_check_mode_starts_nothing(full: FullCloud, tmp_path: Path, wait: bool) -> None:
    project = Project(full).make(buildspec("true"))
    task = {"name": "Run it", "stevedore.ecr.job_run": {"kind": "codebuild_build", "name": "cloner", "wait": wait}}
    ran = run_playbook(local_play(task), "--check", directory=tmp_path, environment=Cloud.environment(full))
    assert ran.status == 0, ran.output
    assert project.codebuild.list_builds()["ids"] == []


def test_a_batch_says_which_build_failed(full: FullCloud, tmp_path: Path) -> None:
    batch = {
        "fast-fail": False,
        "build-list": [
            {"identifier": f"shard_{number}", "env": {"variables": {"SHARD": str(number)}}} for number in (0, 1)
        ],
    }
    project = Project(full)
    project.make(buildspec("echo shard $SHARD at work", "test $SHARD = 0", batch=batch))
    full.client("iam").put_role_policy(
        RoleName="cloner-build",
        PolicyName="batch",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"codebuild:*","Resource":"*"}]}',
    )
    project.codebuild.update_project(name="cloner", buildBatchConfig={"serviceRole": project.role})
    ran = play(full, tmp_path, kind="codebuild_batch")
    assert ran.status != 0
    assert "shard_0: shard 0 at work" in ran.output, ran.output
    assert "shard_1: shard 1 at work" in ran.output
    assert "shard_1: phase BUILD FAILED" in ran.output


def test_a_project_that_is_not_there(full: FullCloud, tmp_path: Path) -> None:
    ran = play(full, tmp_path)
    assert ran.status != 0
    assert "Failed to start a build of cloner" in ran.output
