"""The demo's HTML report: one file that needs nothing else, for screen, phone and paper, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --dim: #6a737d; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --dim: #9198a1; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } .good { color: var(--good); font-weight: 600; } .dim { color: var(--dim); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } code { font-size: .9em; overflow-wrap: anywhere; }
@media print { body { max-width: none; margin: 0; } .wide { overflow: visible; } }
"""


@dataclass(frozen=True)
class Row:
    """One image that can be pulled now."""

    source: str
    address: str
    size: int
    lifecycle: str


def write(path: Path, rows: list[Row], runs: list[tuple[str, str]]) -> None:
    """`runs` are (what was run, its recap)."""
    images = "\n".join(
        f"<tr><td>{escape(row.source)}</td><td><code>{escape(row.address)}</code></td>"
        f'<td class="number">{row.size / 1000:,.1f} kB</td><td>{escape(row.lifecycle)}</td></tr>'
        for row in rows
    )
    recaps = "\n".join(f"<tr><td>{escape(name)}</td><td><code>{escape(recap)}</code></td></tr>" for name, recap in runs)
    path.write_text(
        f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>stevedore demo</title>
<style>{STYLE}</style></head>
<body>
<h1>stevedore demo</h1>
<p class="good">{len(rows)} images can be pulled from your own ECR.</p>
<div class="wide"><table>
<thead><tr><th>image</th><th>pull it from</th><th>size</th><th>lifecycle</th></tr></thead>
<tbody>
{images}
</tbody></table></div>
<h2>What was run</h2>
<div class="wide"><table>
<thead><tr><th>run</th><th>recap</th></tr></thead>
<tbody>
{recaps}
</tbody></table></div>
<p class="dim">The registry was the loopback cloud on 127.0.0.1; no AWS account was touched.</p>
</body></html>
""",
        encoding="utf-8",
    )
