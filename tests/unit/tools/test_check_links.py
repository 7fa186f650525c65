"""Links of documents: what is there, and what is not."""

from __future__ import annotations

from pathlib import Path

import check_links
import pytest

ROOT = Path(__file__).parents[3]

RAW = "https://raw.githubusercontent.com/stevedore-ecr/stevedore.ecr/main/"
MARKDOWN = "# A title, and `code`\n\n## Twice\n\n## Twice\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    pages = tmp_path / "docs" / "docsite" / "rst"
    for folder in (pages, tmp_path / "playbooks", tmp_path / "plugins" / "modules", tmp_path / "roles" / "cache"):
        folder.mkdir(parents=True)
    (tmp_path / "other.md").write_text(MARKDOWN)
    (tmp_path / "galaxy.yml").write_text("build_ignore: [tests, 'docs/*.png']\n")
    (tmp_path / "tests").mkdir()
    for name in ("tests/cloud.md", "docs/picture.png"):
        (tmp_path / name).touch()
    (tmp_path / "playbooks" / "mirror.yml").touch()
    (tmp_path / "plugins" / "modules" / "ecr_lifecycle.py").touch()
    (pages / "other.rst").write_text(".. _ansible_collections.stevedore.ecr.docsite.other:\n\nOther\n=====\n")
    return tmp_path


def told(checkout: Path, name: str, text: str) -> list[str]:
    path = checkout / name
    path.write_text(text)
    return [problem.partition(": ")[2] for problem in check_links.problems(path, checkout)]


@pytest.mark.parametrize(
    "text",
    [
        "[a](other.md), [b](other.md#a-title-and-code), [c](other.md#twice-1), [d](roles/), [e](#here)\n\n# Here\n",
        "[a](https://docs.ansible.com/x?y=z#q) [b](mailto:somebody@example.com) <https://anything>",
        f"[a]({check_links.OWN_PAGES}other.md)",
        f"[a]({check_links.OWN_PAGES}tests/cloud.md#x) ![b]({RAW}docs/picture.png)",
        "```text\n[a](nowhere.md)\n```\nand `[b](nowhere.md)`",
        "ansible-playbook stevedore.ecr.mirror",
    ],
)
def test_markdown_that_is_well(checkout: Path, text: str) -> None:
    assert told(checkout, "page.md", text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a](nowhere.md)", "there is no nowhere.md"),
        ("[a](other.md#nothing)", "there is no heading for #nothing in other.md"),
        ("[a](#nothing)", "there is no heading for #nothing in page.md"),
        ("[a](other.md#twice-2)", "there is no heading for #twice-2 in other.md"),
        ("[a](https://nohost)", "no address: https://nohost"),
        ("[a](ftp://example.com)", "no address: ftp://example.com"),
        ("[a](mailto:nobody)", "no address: mailto:nobody"),
        ("ansible-playbook stevedore.ecr.nothing", "there is no playbook stevedore.ecr.nothing"),
        (
            f"[a]({check_links.OWN_PAGES}gone.md)",
            f"there is no gone.md, to which {check_links.OWN_PAGES}gone.md leads",
        ),
        (f"![a]({RAW}docs/gone.png)", f"there is no docs/gone.png, to which {RAW}docs/gone.png leads"),
        (
            "[a](tests/cloud.md)",
            f"tests/cloud.md is not in the artefact: write {check_links.OWN_PAGES}tests/cloud.md",
        ),
        (
            "![a](docs/picture.png)",
            f"docs/picture.png is not in the artefact: write {check_links.OWN_PAGES}docs/picture.png",
        ),
    ],
)
def test_markdown_that_is_not(checkout: Path, text: str, problem: str) -> None:
    assert told(checkout, "page.md", text) == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (":doc:`other` :doc:`the other one <other>`", []),
        (":ref:`x <ansible_collections.stevedore.ecr.docsite.other>`", []),
        (":ref:`x <ansible_collections.stevedore.ecr.ecr_lifecycle_module>`", []),
        (":ansplugin:`stevedore.ecr.ecr_lifecycle#module` :ansplugin:`x <stevedore.ecr.cache#role>`", []),
        (":ansplugin:`amazon.aws.s3_bucket#module`", []),
        (":doc:`nothing`", ["there is no page nothing"]),
        (":ref:`x <nothing>`", ["there is no label nothing"]),
        (":ansplugin:`stevedore.ecr.nothing#module`", ["there is no stevedore.ecr.nothing#module"]),
        (":ansplugin:`stevedore.ecr.mirror#role`", ["there is no stevedore.ecr.mirror#role"]),
        ("`x <https://nohost>`__", ["no address: https://nohost"]),
        ("`x <https://aws.amazon.com/ecr/pricing/>`__", []),
    ],
)
def test_pages(checkout: Path, text: str, problems: list[str]) -> None:
    assert told(checkout, "docs/docsite/rst/page.rst", text) == problems


def test_what_is_not_in_the_artefact_may_point_to_the_like(checkout: Path) -> None:
    assert told(checkout, "tests/page.md", "[a](cloud.md) [b](../docs/picture.png)") == []


def test_what_is_installed_or_built_is_not_looked_at(checkout: Path) -> None:
    for folder in (".venv", "build", "docs"):
        (checkout / folder).mkdir(exist_ok=True)
        (checkout / folder / "page.md").touch()
    found = [str(path.relative_to(checkout)) for path in check_links.documents(checkout)]
    assert found == ["docs/docsite/rst/other.rst", "docs/page.md", "other.md", "tests/cloud.md"]


def test_the_links_of_this_checkout() -> None:
    wrong = [problem for path in check_links.documents(ROOT) for problem in check_links.problems(path, ROOT)]
    assert wrong == []
