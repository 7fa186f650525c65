# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The style and the script of the page. Neither has anything of a run in it.

Private to this collection: may change in any release.
"""

from __future__ import annotations

STYLE = """
:root {
  --paper: #fbfbfa; --card: #fff; --ink: #1d2327; --faint: #626c74; --line: #e3e6e8; --hover: #f4f6f7;
  --good: #18713a; --good-bg: #e4f3e8; --bad: #b3261e; --bad-bg: #fbe9e7; --wait: #8a5a00; --wait-bg: #fbf0d9;
  --new: #14599d; --new-bg: #e3eefa; --same-bg: #eef0f1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e6e9eb; --faint: #9aa4ac; --line: #2d3338; --hover: #22272c;
    --good: #6fd08c; --good-bg: #17301f; --bad: #ff9a90; --bad-bg: #3a1c1a; --wait: #f0c064; --wait-bg: #35290f;
    --new: #8cc1f7; --new-bg: #152a40; --same-bg: #262b30;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.5rem; }
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--faint); }
h2 { margin: 0 0 .75rem; font-size: 1.15rem; } h2 small { color: var(--faint); font-weight: 400; }
.kind { display: inline-block; margin: 0 0 1rem; padding: .2rem .75rem; border-radius: 2rem;
  background: var(--wait-bg); color: var(--wait); font-weight: 600; font-size: .85rem; }
.verdict { margin: .25rem 0 1.75rem; font-size: 1.75rem; line-height: 1.25; font-weight: 650; letter-spacing: -.015em; }
.verdict::before { content: ""; display: inline-block; width: .65rem; height: .65rem; margin-right: .65rem;
  border-radius: 50%; vertical-align: .12em; background: currentColor; }
.verdict.good::before { color: var(--good); } .verdict.bad::before { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1px; margin: 0;
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
dl div { display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .9rem 1.1rem;
  box-shadow: 0 0 0 1px var(--line); }
dt { color: var(--faint); font-size: .85rem; overflow-wrap: anywhere; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.problem { margin: 1.5rem 0 0; padding: .9rem 1.1rem; border-radius: .75rem; background: var(--bad-bg);
  color: var(--bad); overflow-wrap: anywhere; }
section { margin-top: 2.75rem; }
input { width: 100%; max-width: 22rem; margin-bottom: .75rem; padding: .5rem .75rem; font: inherit; color: inherit;
  background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
table { width: 100%; border-collapse: separate; border-spacing: 0; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
th, td { padding: .6rem .9rem; text-align: left; vertical-align: top; }
th { font-size: .8rem; font-weight: 600; color: var(--faint); white-space: nowrap;
  border-bottom: 1px solid var(--line); }
td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; } tbody tr:hover { background: var(--hover); }
td b { font-weight: 600; } td small { display: block; color: var(--faint); } td.why { max-width: 46rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th button { all: unset; cursor: pointer; } th button:hover { color: var(--ink); }
th button::after { content: "\\2195"; margin-left: .35rem; opacity: .35; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
:focus-visible { outline: 2px solid var(--new); outline-offset: 2px; border-radius: .25rem; }
code { font: .87em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
code[data-copy] { user-select: all; } td span { color: var(--faint); font-weight: 400; }
  td:first-child { min-width: 15rem; } code span { white-space: nowrap; }
button.copy { all: unset; cursor: pointer; margin-left: .5rem; padding: 0 .45rem; border-radius: .3rem;
  font-size: .75rem; color: var(--faint); border: 1px solid var(--line); }
button.copy:hover { color: var(--ink); border-color: var(--faint); }
details { margin-top: .15rem; } summary { cursor: pointer; color: var(--faint); font-size: .8rem; width: max-content; }
td .badge { display: inline-block; padding: .05rem .6rem; border-radius: 2rem; font-size: .8rem; font-weight: 600;
  white-space: nowrap; background: var(--same-bg); color: var(--faint); }
td .badge.copy { background: var(--new-bg); color: var(--new); }
td .badge.fail, td .badge.refuse { background: var(--bad-bg); color: var(--bad); }
td .badge.defer, td .badge.skip { background: var(--wait-bg); color: var(--wait); }
[hidden] { display: none !important; }
ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--faint); font-size: .85rem; }
@media screen and (max-width: 47rem) {
  main { padding: 1.5rem 1rem; } .verdict { font-size: 1.4rem; } dl { grid-template-columns: 1fr 1fr; }
  input { max-width: none; } table, tbody, tr, td { display: block; } thead { display: none; }
  thead.sortable { display: block; border-bottom: 1px solid var(--line); padding: .35rem .6rem; }
  thead.sortable tr { display: flex; flex-wrap: wrap; } thead.sortable th { border: 0; padding: .3rem .5rem; }
  tbody tr { padding: .8rem 1rem; border-bottom: 1px solid var(--line); } tbody tr:last-child { border-bottom: 0; }
  td, td.number { padding: .12rem 0; border: 0; text-align: left; white-space: normal; } td.empty { display: none; }
  code span { white-space: normal; }
  td.number::before, td.moment::before { content: attr(data-label) ": "; color: var(--faint); }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --faint: #444; --line: #bbb; }
  main { max-width: none; padding: 0; } input, button.copy, details { display: none; }
  th button::after { content: none; }
  tr, dl div { break-inside: avoid; } thead { display: table-header-group; } section { margin-top: 1.5rem; }
  body { font-size: 10pt; } table { font-size: 8pt; } th, td { padding: .3rem .4rem; }
  td:first-child { min-width: 8rem; } th, code span { white-space: normal; }
  td { overflow-wrap: normal; } td b, td code, td small, td.why { overflow-wrap: anywhere; }
}
"""

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.innerText.trim() : Number(cell.dataset.sort);
  };
  const order = new Intl.Collator(undefined, {numeric: true});
  table.tHead.classList.add("sortable");
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ||
        (head.className === "number" && !head.hasAttribute("aria-sort"));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => (typeof a === "number" ? a - b : order.compare(a, b)) * (down ? -1 : 1));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
for (const section of document.querySelectorAll("[data-filter=yes]")) {
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Filter";
  input.setAttribute("aria-label", "Filter " + section.querySelector("h2").textContent);
  section.querySelector("h2").after(input);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\\s+/);
    for (const row of section.querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
for (const code of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", "Copy " + code.dataset.copy);
  code.after(button);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.dataset.copy);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
"""
