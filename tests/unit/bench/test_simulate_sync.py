"""The simulation of a pull-sync: the same every time, and what is checked in is what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_sync", BENCH / "simulate_sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shards", [1, 8, 100])
def test_the_table_that_is_checked_in_says_the_same(simulation: ModuleType, shards: int) -> None:
    row = simulation._row(simulation.simulate(100, shards), bold=False)
    assert row in (BENCH / "results" / "pull_sync.md").read_text().replace("**", "")


def test_every_repository_is_worked_on_once(simulation: ModuleType) -> None:
    whole = simulation.shares(300, 1)[0]
    work = simulation.shares(300, 16)
    assert sum(one.repositories for one in work) == whole.repositories == 300
    assert sum(one.changed for one in work) == whole.changed


def test_the_rate_of_manifests_bounds_what_shards_are_worth(simulation: ModuleType) -> None:
    given = simulation.Assumptions(fargate_vcpus=1000)
    changed = simulation.shares(1_000, 1)[0].changed
    for shards in (1, 8, 64):
        assert simulation.simulate(1_000, shards, given).seconds >= (changed - given.put_image) / given.put_image


def test_a_higher_rate_is_worth_more_than_more_shards(simulation: ModuleType) -> None:
    more = simulation.Assumptions(put_image=80)
    assert simulation.simulate(1_000, 8, more).seconds < simulation.simulate(1_000, 16).seconds
