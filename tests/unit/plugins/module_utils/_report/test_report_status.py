# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of ecr_status_info: well-formed, in need of nothing, and safe whatever a stranger says."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._report.status import page
from ansible_collections.stevedore.ecr.tests.unit.support.site_states import (
    REGISTRY,
    image,
    job,
    repository,
    rule,
    run,
    unused,
)

HOSTILE = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><svg/onload=alert(1)>", "&lt;b&gt;"]
)


class Reader(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _value in attrs}
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


def full(text: str = "x") -> dict[str, Any]:
    """Everything there is to tell, with `text` wherever a stranger can say something."""
    return {
        "registry": REGISTRY,
        "verdict": text,
        "failure": text,
        "findings": [{"kind": "image_missing", "breaks": True, "subject": text, "what": text}],
        "images": [image("stale", source=text, why=text), image("unknown", pushed_at=None)],
        "rules": [rule("invalid", why=text, login_problem=text)],
        "jobs": [job(run(False, why=text)), job(None), job(run(None, status=text))],
        "repositories": [repository(False, name=text), repository(None)],
        "unused": [unused(address=text)],
    }


def test_the_page_has_what_people_look_for() -> None:
    read = Reader(page(full("team/app:1"), "Nightly", "1 June 2026"))
    assert read.open == []
    for words in ("Nightly", "1 June 2026", "image missing", "To be done", "Use this address", "not known", "5.0 MB"):
        assert words in read.text


def test_the_page_needs_nothing_else() -> None:
    read = Reader(page(full(), "t", "now"))
    assert not {"src", "href", "srcset", "action", "style"} & read.attributes
    assert not {"link", "img", "iframe", "base"} & set(read.names)
    assert "default-src 'none'; script-src 'sha256-" in page(full(), "t", "now")


@given(HOSTILE)
def test_what_strangers_say_is_text(text: str) -> None:
    read = Reader(page(full(text), "t", "now"))
    assert set(read.names) - {"wbr", "small"} <= set(Reader(page(full(), "t", "now")).names)
    assert (read.names.count("script"), read.names.count("style"), read.open) == (1, 1, [])
    assert not any(name.startswith("on") for name in read.attributes)
