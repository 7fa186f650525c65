"""How long a scheduled pull-sync takes, what it costs and what it asks of AWS, for any number of shards. On paper.

simulate_sync.py [--write]: prints a table, and writes it and a plot into bench/results. Always the same result.

Each shard gets the repositories that it would get from the role, and which tags have changed goes by their names. What
limits a shard is the slowest of: the processor of its task, the answers it waits for, and its part of each quota.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.sync_images import shard_of

RESULTS = Path(__file__).parent / "results"
REPOSITORIES = (100, 1_000, 10_000)
SHARDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100)
TAGS = 50
CHANGED = 0.01
# Of the best time there is, what more shards have to be worth.
_KNEE = 1.1


@dataclass(frozen=True)
class Assumptions:
    """Rates are Amazon ECR's default quotas a second of an account and region. The others are estimates."""

    put_image: float = 8.0  # of 10, see _transport/pace.py
    batch_get_image: float = 2_000.0
    upload: float = 100.0
    describe: float = 100.0  # nothing is published of ListImages
    fargate_vcpus: float = 6.0
    vcpus: float = 0.25
    gibibytes: float = 0.5
    vcpu_hour: float = 0.04048  # dollars, Linux on x86 in us-east-1
    gibibyte_hour: float = 0.004445
    start: float = 45.0  # until the container runs
    ansible: float = 12.0  # on a quarter of a processor
    processor: float = 0.0008  # seconds of a whole one for a request
    latency: float = 0.02
    parallel: int = 32
    copies: int = 8
    new_layers: int = 2
    megabytes: float = 20.0  # of an image that has changed
    bandwidth: float = 60.0  # megabytes a second, of a small task


@dataclass(frozen=True)
class Work:
    """Of one shard."""

    repositories: int
    changed: int


@dataclass(frozen=True)
class Outcome:
    repositories: int
    shards: int
    changed: int
    seconds: float
    dollars: float
    calls: int
    limit: str


def shares(repositories: int, count: int) -> list[Work]:
    """What each shard has to do, by the same rule as in the role."""
    numbers, changed = [0] * count, [0] * count
    for name in _names(repositories):
        shard = shard_of(name, count)
        numbers[shard] += 1
        changed[shard] += sum(_has_changed(name, tag) for tag in range(TAGS))
    return [Work(*one) for one in zip(numbers, changed, strict=True)]


def _names(repositories: int) -> Iterator[str]:
    return (f"team-{number % 40}/app-{number}" for number in range(repositories))


def _has_changed(name: str, tag: int) -> bool:
    digest = hashlib.sha256(f"{name}:{tag}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < CHANGED * 2**64


def simulate(repositories: int, count: int, given: Assumptions = Assumptions()) -> Outcome:
    work = shares(repositories, count)
    at_once = max(1, min(count, int(given.fargate_vcpus / given.vcpus)))
    times = [_seconds(one, count, at_once, given) for one in work]
    waves = [times[start : start + at_once] for start in range(0, count, at_once)]
    seconds = sum(max(sum(one.values()) for one in wave) for wave in waves)
    slowest = max(times, key=lambda one: sum(one.values()))
    limit = max(slowest, key=lambda name: slowest[name])
    if len(waves) > 1 and limit == "start":
        limit = "Fargate vCPUs"
    # A task costs at least a minute.
    billed = sum(max(60.0, sum(one.values())) for one in times)
    hour = given.vcpus * given.vcpu_hour + given.gibibytes * given.gibibyte_hour
    changed = sum(one.changed for one in work)
    return Outcome(repositories, count, changed, seconds, billed / 3600 * hour, sum(map(_calls, work)), limit)


def _calls(work: Work) -> int:
    """Job, lock and results, logins; tags and what there is of them; what has changed."""
    look = 12 + math.ceil(work.repositories / 100) + work.repositories * (2 + TAGS)
    return look + work.changed * (1 + 1 + Assumptions.new_layers * 4 + 1)


def _seconds(work: Work, count: int, at_once: int, given: Assumptions) -> dict[str, float]:
    """By what it is spent on. Looking and copying come one after the other; in each, the slowest part counts."""
    heads = work.repositories * (TAGS + 1)
    lists = work.repositories
    looking = {
        "processor": (heads + lists) * given.processor / given.vcpus,
        "latency": (heads + lists) * given.latency / given.parallel,
        "BatchGetImage": heads / (given.batch_get_image / at_once),
        "ListImages": lists / (given.describe / at_once),
    }
    requests = work.changed * (3 + given.new_layers * 4)
    # The first second's worth of manifests waits for nobody.
    waiting = max(0.0, work.changed - given.put_image / count)
    copying = {
        "processor": requests * given.processor / given.vcpus,
        "latency": requests * given.latency / given.copies,
        "PutImage": waiting / (given.put_image / count),
        "InitiateLayerUpload": work.changed * given.new_layers / (given.upload / at_once),
        "bandwidth": work.changed * given.megabytes / given.bandwidth,
    }
    spent = {"start": given.start + given.ansible}
    for part in (looking, copying):
        name = max(part, key=lambda one: part[one])
        spent[name] = spent.get(name, 0.0) + part[name]
    return spent


def knee(outcomes: Sequence[Outcome]) -> Outcome:
    """With the fewest shards that are almost as fast as any number of them."""
    best = min(one.seconds for one in outcomes)
    return next(one for one in outcomes if one.seconds <= best * _KNEE)


# ------------------------------------------------------------------ what is written


def table(results: Sequence[Sequence[Outcome]], given: Assumptions = Assumptions()) -> str:
    heads = f"| repositories | changed | {' | '.join(('shards', 'seconds', 'dollars a run', 'calls', 'limited by'))} |"
    lines = [
        "# What more shards are worth to a pull-sync",
        "",
        f"Simulated by `bench/simulate_sync.py`: {TAGS} tags a repository, of which {CHANGED:.0%} have changed since",
        "the last run, with Amazon ECR's default quotas. In bold are the fewest shards that are at most a tenth slower",
        "than the best.",
        "",
        heads,
        "|--:|--:|--:|--:|--:|--:|---|",
    ]
    for outcomes in results:
        best = knee(outcomes)
        lines += [_row(one, bold=one == best) for one in outcomes]
    lines += [
        "",
        "![Seconds by shards](pull_sync.svg)",
        "",
        *(_sentence(knee(outcomes)) for outcomes in results),
        "",
        "Assumed: " + ", ".join(f"{name} {value:g}" for name, value in vars(given).items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _row(one: Outcome, *, bold: bool) -> str:
    cells = [f"{one.repositories:,}", f"{one.changed:,}", f"{one.shards}", f"{one.seconds:,.0f}", f"{one.dollars:.4f}"]
    cells += [f"{one.calls:,}", one.limit]
    return "| " + " | ".join(f"**{cell}**" if bold else cell for cell in cells) + " |"


def _sentence(one: Outcome) -> str:
    shards = "1 shard" if one.shards == 1 else f"{one.shards} shards"
    return f"- {one.repositories:,} repositories: {shards}, {one.seconds:,.0f} seconds, limited by {one.limit}."


_WIDTH, _HEIGHT, _MARGIN = 640, 360, 56
_COLOURS = ("#1b6ca8", "#c8553d", "#4c956c")


def plot(results: Sequence[Sequence[Outcome]]) -> str:
    """Seconds by shards, both in logarithms. One file that needs nothing else."""
    every = [one for outcomes in results for one in outcomes]
    top, low = max(one.seconds for one in every), min(one.seconds for one in every)
    wide = math.log(max(one.shards for one in every))

    def place(shards: int, seconds: float) -> tuple[float, float]:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * math.log(shards) / wide
        y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * math.log(seconds / low) / math.log(top / low)
        return round(x, 1), round(y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for shards in (1, 2, 4, 8, 16, 32, 64, 100):
        x, y = place(shards, low)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle" fill="#444">{shards}</text>')
    for seconds in (100, 300, 1000, 3000, 10000):
        if low <= seconds <= top:
            x, y = place(1, seconds)
            parts.append(f'<path d="M{x} {y}H{_WIDTH - _MARGIN}" stroke="#ddd"/>')
            parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end" fill="#444">{seconds:,} s</text>')
    for colour, outcomes in zip(_COLOURS, results, strict=False):
        points = [place(one.shards, one.seconds) for one in outcomes]
        path = "L".join(f"{x} {y}" for x, y in points)
        x, y = place(knee(outcomes).shards, knee(outcomes).seconds)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>')
        name = f"{outcomes[0].repositories:,} repositories"
        parts.append(
            f'<text x="{_WIDTH - _MARGIN}" y="{points[-1][1] - 6}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 14}" text-anchor="middle" fill="#444">shards</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    results = [[simulate(number, count) for count in SHARDS] for number in REPOSITORIES]
    text = table(results)
    print(text)
    if "--write" in sys.argv[1:]:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "pull_sync.md").write_text(text)
        (RESULTS / "pull_sync.svg").write_text(plot(results))


if __name__ == "__main__":
    main()
