# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._report.markdown import markdown
from ansible_collections.stevedore.ecr.plugins.module_utils._report.page import page
from ansible_collections.stevedore.ecr.plugins.module_utils._report.page_parts import SCRIPT, STYLE
from ansible_collections.stevedore.ecr.plugins.module_utils._report.run import run_from
from ansible_collections.stevedore.ecr.plugins.module_utils._report.text import plain
from ansible_collections.stevedore.ecr.tests.unit.support.mirror_results import DIGEST, REGISTRY, image, options

HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</style><script>alert(1)</script>",
        "]]>--><svg/onload=alert(1)>",
        "[click](javascript:alert(1)) ![](x)",
        "| a | b |\n|---|",
        "`code` | ``",
        "&lt;script&gt;",
    ]
)


class Reader(HTMLParser):
    """The elements of a page, their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)

    def names(self) -> list[str]:
        return [name for name, _attributes in self.elements]

    def attributes(self) -> set[str]:
        return {name for _tag, attributes in self.elements for name in attributes}


def full(text: str = "x", **more: Any) -> dict[str, Any]:
    """A run in which everything happened, and a stranger said `text` wherever strangers can say something."""
    pruned = [{"tag": text, "digest": text, "deletes_image": True, "deleted": False}]
    return options(
        image(text, "copy", reason=text, notes=[text], bytes={"moved": 5_000_000, "reused": 1, "mounted": 2}),
        image(text, "fail", error={"msg": text, "code": text}),
        image(text, "up_to_date", digest=text),
        rate_limit={text: {"limit": 100, "remaining": 41, "window": 21600, "used": 3}},
        pruned=[{"name": text, "tags": pruned}],
        **{"title": text, "problem": text, "notes": [text], **more},
    )


def test_the_page_has_what_people_look_for() -> None:
    params = full("team/app:1", title="Nightly", problem="", notes=["A note."])
    read = Reader(page(run_from(params, "1 June 2026")))
    text = " ".join(read.text)
    for words in (
        "Nightly",
        "2 of 3 images can be pulled",
        "What did not work",
        "5.0 MB",
        "41",
        "A note.",
        "1 June 2026",
    ):
        assert words in text
    copied = [attributes["data-copy"] for _tag, attributes in read.elements if "data-copy" in attributes]
    assert copied == [
        f"{REGISTRY}/team/app:1",
        f"{REGISTRY}/team/app@{DIGEST}",
        f"{REGISTRY}/team/app:1",
        f"{REGISTRY}/team/app@team/app:1",
    ]
    assert text.index("What did not work") < text.index("Use this address")


def test_the_page_needs_nothing_else_and_runs_no_other_script() -> None:
    read = Reader(page(run_from(full(), "now")))
    assert not {"src", "href", "srcset", "action"} & read.attributes()
    assert not {"link", "img", "iframe", "base"} & set(read.names())
    policy = next(attributes["content"] or "" for _tag, attributes in read.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    for inline in (SCRIPT, STYLE):
        assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() in policy
        assert "http" not in inline


@given(HOSTILE)
def test_strangers_add_no_markup_to_the_page(text: str) -> None:
    """The elements are the same whatever they say, and what they say is what is read."""
    read, tame = Reader(page(run_from(full(text), "now"))), Reader(page(run_from(full("x"), "now")))
    assert not read.open
    count = {name: read.names().count(name) for name in ("script", "style", "meta", "table", "tr", "td", "b", "li")}
    assert count == {name: tame.names().count(name) for name in count}
    assert read.attributes() <= tame.attributes()
    assert "".join(read.text).count(plain(text)) >= 3


@given(HOSTILE)
def test_strangers_add_no_markup_to_markdown(text: str) -> None:
    written = markdown(run_from(full(text), "now"))
    assert "<" not in written
    rows = [line for line in written.splitlines() if line.startswith("| ")]
    assert len(rows) == len(
        [line for line in markdown(run_from(full("x"), "now")).splitlines() if line.startswith("| ")]
    )
    bare = re.sub(r"\\.", "", re.sub(r"`[\w./:@+-]*`", "", written))
    assert "`" not in bare
    assert "[" not in bare
    for row in rows:
        assert re.sub(r"\\.", "", row).count("|") in (4, 6)


def test_markdown_reads_well() -> None:
    params = options(
        image("a/a:1", "copy", bytes={"moved": 5_000_000, "reused": 0, "mounted": 0}, seconds=1.5),
        image("b/b:1", "fail", error={"msg": "denied: <no>", "code": "DENIED"}),
        rate_limit={"docker.io": {"limit": 100, "remaining": 41, "window": 21600, "used": 3}},
        title="Nightly",
    )
    assert markdown(run_from(params, "1 June 2026")) == (
        f"""# Nightly

**1 of 2 images can be pulled from your own ECR as they should be.**

0 up to date · 1 copied · 1 failed · 5.0 MB moved · 0 B there already · 41 pulls left at docker.io

## What did not work (1)

| image | what | why |
| --- | --- | --- |
| `quay.io/b/b:1` | failed | denied: &lt;no&gt; |

## Images (1)

| image | what | use this address | moved | time |
| --- | --- | --- | --- | --- |
| `quay.io/a/a:1` | copied | `{REGISTRY}/a/a:1` | 5.0 MB | 1.5 s |

## Pulls left (1)

| registry | left | of | used | in |
| --- | --- | --- | --- | --- |
| `docker.io` | 41 | 100 | 3 | 6 h 00 min |

1 June 2026
"""
    )


def test_what_is_not_there_has_no_address_to_use() -> None:
    run = run_from(options(image("a/a:1", "skip", digest=None, tag="1")), "now")
    for text in ("".join(Reader(page(run)).text), markdown(run)):
        assert "quay.io/a/a:1" in text
        assert REGISTRY not in text


def test_empty_sections_are_left_out() -> None:
    for write in (page, markdown):
        written = write(run_from(options(), "now"))
        assert "What did not work" not in written
        assert "Pulls left" not in written
