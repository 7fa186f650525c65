"""The page of permissions says what the code of this version asks for and grants."""

from __future__ import annotations

import re
from pathlib import Path

import iam_actions
import permissions_page
import pytest

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    written = permissions_page.PAGE.read_text(encoding="utf-8")
    assert written == permissions_page.page(), "run: python tools/permissions_page.py"


def test_operations_that_aws_does_not_have_are_seen() -> None:
    known = {"ecr:PutImage", "s3:GetObject", "s3:PutLifecycleConfiguration", "ecr-public:GetAuthorizationToken"}
    assert iam_actions.unknown({*known, "ecr:PutParameter", "s3:HeadNothing"}) == ["ecr:PutParameter", "s3:HeadNothing"]


@pytest.mark.parametrize(
    ("module", "actions"),
    [
        ("ecr_image_prune", {"ecr:BatchDeleteImage", "ecr:BatchGetImage", "ecr:DescribeImages"}),
        ("ecr_repository_purge", {"ecr:DeleteRepository", "ecr:DescribeRepositories"}),
        (
            "job_object",
            {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:ListBucketVersions", "s3:PutObject"},
        ),
        ("ecr_registry_info", {"ecr:GetAuthorizationToken"}),
        ("registry_rate_limit_info", set()),
    ],
)
def test_what_a_module_asks_for(module: str, actions: set[str]) -> None:
    assert iam_actions.actions_of(module) == actions


def test_services_can_be_left_out() -> None:
    services = {action.partition(":")[0] for action in iam_actions.actions_of("job_run", without_services={"batch"})}
    assert services == {"codebuild", "ecs", "logs"}


@pytest.mark.parametrize("role", ["pull_through_cache", "image_mirror", "codebuild_cloner", "pull_sync"])
def test_no_module_of_a_role_is_forgotten(role: str) -> None:
    # A task of a role is a name, then a module: what is neither a builtin nor known here would be left out.
    tasks = "".join(path.read_text() for path in (ROOT / "roles" / role / "tasks").glob("*.yml"))
    named = set(re.findall(r"^\s+(\w+\.\w+\.\w+):", tasks, re.MULTILINE))
    known = {f"{collection}.{module}" for collection, module in permissions_page.modules_of(role)}
    assert {name for name in named if not name.startswith("ansible.builtin.")} == known
