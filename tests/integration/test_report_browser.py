"""The reports in a real browser: on a desk and on a phone, light and dark, and what can be clicked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESK, PAPER, PHONE, Page, browser

from ansible_collections.stevedore.ecr.plugins.module_utils._report.page import page as run_page
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import run_from
from ansible_collections.stevedore.ecr.plugins.module_utils._report.status import page as status_page
from ansible_collections.stevedore.ecr.tests.unit.support import mirror_results, site_states

LONG = "a-team/" + "with-a-very-long-name-" * 6 + "app:" + "1" * 60
MANY = 12
SIZES = [5_000_000, 70, 300_000_000, *range(1000, 1000 + MANY - 3)]
DARK, LIGHT = "rgb(20, 23, 26)", "rgb(251, 251, 250)"


def of_a_run() -> str:
    images = [
        mirror_results.image(f"team/app{number}:1", "copy", bytes={"moved": size, "reused": 0, "mounted": 0})
        for number, size in enumerate(SIZES)
    ]
    failed = mirror_results.image(LONG, "fail", error={"msg": f"{LONG} cannot be read", "code": "NotFound"})
    return run_page(run_from(mirror_results.options(*images, failed), "1 June 2026, 12:00 UTC"))


def of_a_status() -> str:
    status = {
        "registry": site_states.REGISTRY,
        "verdict": "1 image is missing.",
        "failure": "1 image is missing.",
        "findings": [{"kind": "image_missing", "breaks": True, "subject": LONG, "what": f"{LONG} is not there"}],
        "images": [site_states.image("missing", LONG), *(site_states.image(name=f"app:{n}") for n in range(MANY))],
        "rules": [site_states.rule()],
        "jobs": [site_states.job(site_states.run(False, why=LONG))],
        "repositories": [
            site_states.repository(name=f"quay/app{number}", size_in_bytes=size) for number, size in enumerate(SIZES)
        ],
        "unused": [site_states.unused(address=LONG)],
    }
    return status_page(status, "Images in Amazon ECR", "2026-06-01 12:00 UTC")


# The page, and the name of a column of sizes.
PAGES = {"run": (of_a_run, "Moved"), "status": (of_a_status, "Size")}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(params=PAGES)
def report(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    make, column = PAGES[request.param]
    path = tmp_path / "report.html"
    path.write_text(make())
    return path, column


@pytest.mark.parametrize("size", [DESK, PHONE, (320, 640)])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_nobody_complains(
    chromium: Page, report: tuple[Path, str], size: tuple[int, int], dark: bool
) -> None:
    path, _column = report
    chromium.open(path, size, dark=dark)
    assert chromium.complaints == []
    assert chromium.requested == [path.as_uri()]
    assert chromium("document.documentElement.scrollWidth <= innerWidth")
    assert chromium("getComputedStyle(document.body).backgroundColor") == (DARK if dark else LIGHT)
    assert (
        chromium("document.body.innerText.includes('quay.io/') && document.querySelectorAll('tbody tr').length") > MANY
    )


def test_tables_can_be_sorted(chromium: Page, report: tuple[Path, str]) -> None:
    path, column = report
    chromium.open(path)
    sizes = f"""(() => {{
      const head = [...document.querySelectorAll('th')].find((one) => one.innerText.trim() === '{column}' &&
        one.closest('table').tBodies[0].rows.length > 8);
      head.querySelector('button').click();
      const rows = [...head.closest('table').tBodies[0].rows];
      return rows.map((row) => Number(row.cells[head.cellIndex].dataset.sort));
    }})()"""
    # Of numbers, people want to see the largest first.
    assert chromium(sizes) == sorted(SIZES, reverse=True)
    assert chromium(sizes) == sorted(SIZES)
    assert chromium("document.querySelectorAll('th[aria-sort=ascending]').length") == 1
    assert chromium.complaints == []


def shown(page: Page, words: str) -> int:
    """How many rows are left by a filter."""
    count: int = page(
        f"""(() => {{
          const input = document.querySelector('input');
          input.value = '{words}';
          input.dispatchEvent(new Event('input'));
          return [...input.closest('section').querySelectorAll('tbody tr')].filter((row) => row.offsetHeight).length;
        }})()"""
    )
    return count


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_tables_can_be_searched(chromium: Page, report: tuple[Path, str], size: tuple[int, int]) -> None:
    chromium.open(report[0], size)
    everything = shown(chromium, "")
    assert everything >= MANY
    assert 0 < shown(chromium, "app 11") < everything
    assert shown(chromium, "nothing-like-this") == 0


def test_tables_are_tables_on_paper(chromium: Page, report: tuple[Path, str], tmp_path: Path) -> None:
    chromium.open(report[0], PAPER)
    chromium.screenshot(tmp_path / "paper.png")
    displays = "['thead', 'tbody tr', 'td'].map((one) => getComputedStyle(document.querySelector(one)).display)"
    assert chromium(displays) == ["table-header-group", "table-row", "table-cell"]
    assert chromium("getComputedStyle(document.querySelector('input')).display") == "none"
    assert chromium("document.documentElement.scrollWidth <= innerWidth")


def test_a_picture_of_it(chromium: Page, report: tuple[Path, str], tmp_path: Path) -> None:
    chromium.open(report[0], PHONE)
    chromium.screenshot(tmp_path / "phone.png")
    assert (tmp_path / "phone.png").read_bytes().startswith(b"\x89PNG")
