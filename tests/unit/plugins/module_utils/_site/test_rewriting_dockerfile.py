# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.stevedore.ecr.tests.unit.support.marked_files import (
    DIGEST,
    REGISTRY,
    after,
    before,
    rewritten,
    told,
)


def check(marked: str) -> None:
    result = rewritten("Dockerfile", before(marked))
    assert result.problem == ""
    assert result.after == after(marked)
    again = rewritten("Dockerfile", result.after)
    assert not again.changed
    assert not [finding for finding in again.findings if finding.state == "rewritten"]


@pytest.mark.parametrize(
    "marked",
    [
        "FROM [[nginx:1|hub/library/nginx:1]]",
        "from [[nginx|hub/library/nginx]]  \r\nRUN FROM redis\r\n",
        f"FROM --platform=$BUILDPLATFORM [[quay.io/a/b@{DIGEST}|quay/a/b@{DIGEST}]] AS build\n",
        'FROM "[[nginx:1|hub/library/nginx:1]]"\n',
        "FROM \\\n  # comment\n\n  [[nginx:1|hub/library/nginx:1]] \\\n  AS x\n",
        "FROM [[ghcr.io/team/app:2|team/app:2.10]]\n",
        "FROM [[golang:1|hub/library/golang:1]] AS Build\nFROM build AS next\nFROM NEXT\nFROM scratch\n"
        "COPY --from=build /a /b\nCOPY --from=0 /a /b\nCOPY --link --from=[[quay.io/a/b:1|quay/a/b:1]] /a /b\n"
        "COPY --from=3 /x /y\nADD https://example.com/--from=redis /\n",
        "FROM scratch\nRUN --mount=type=bind,from=[[nginx:1|hub/library/nginx:1]],target=/x --mount=type=cache \\\n"
        '  --mount="from=[[redis:7|hub/library/redis:7]],target=/z" echo --mount=from=nope\n',
        "ARG BASE=[[nginx:1|hub/library/nginx:1]]\nFROM $BASE\nFROM ${BASE} AS x\n",
        'ARG A=1 BASE="[[nginx|hub/library/nginx]]"\nFROM ${BASE}:1.25\nFROM $BASE:$A\n',
        "ARG BASE=[[nginx:$V|hub/library/nginx:$V]]\nFROM $BASE\n",
        "ARG TAG=1\nFROM [[nginx:${TAG}|hub/library/nginx:${TAG}]]\n",
        "ARG STAGE=build\nFROM scratch AS build\nFROM $STAGE\n",
        "FROM scratch\nARG BASE=nginx\nFROM [[nginx|hub/library/nginx]]\n",
        "# syntax=[[docker/dockerfile:1|hub/docker/dockerfile:1]]\n# escape=`\nFROM `\n  [[nginx|hub/library/nginx]]\n",
        "#syntax = [[docker/dockerfile:1|hub/docker/dockerfile:1]]\r\nFROM scratch\r\n",
        "\ufeff# syntax=[[docker/dockerfile:1|hub/docker/dockerfile:1]]\nFROM [[nginx|hub/library/nginx]]\n",
        "# comment\n# syntax=docker/dockerfile:1\nFROM scratch\n",
        "FROM scratch\nRUN <<A cat <<-'B' > /x\nFROM nginx\nA\nFROM nginx\n\tB\nFROM [[redis|hub/library/redis]]\n",
        "FROM scratch\nCOPY <<EOF /x\nFROM nginx\n# EOF\nEOF\nCOPY --from=[[redis:7|hub/library/redis:7]] / /\n",
        "FROM scratch\nRUN echo '<<EOF'\nFROM [[redis|hub/library/redis]]\n",
        'FROM scratch\nRUN "\nFROM [[redis|hub/library/redis]]\n',
        "FROM scratch\nONBUILD COPY --from=[[redis:7|hub/library/redis:7]] / /\n",
        "# stevedore: keep\nFROM nginx\nFROM [[nginx|hub/library/nginx]]\n",
        "# syntax=docker/dockerfile:1 # stevedore: keep\nFROM [[nginx|hub/library/nginx]]\n",
        "# stevedore: keep\nARG BASE=nginx\nFROM $BASE\n",
        "FROM\nRUN\nARG\nONBUILD\nCOPY --from=\n\n",
        "",
    ],
)
def test_references(marked: str) -> None:
    check(marked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM ghcr.io/team/app:3", [(1, "uncovered", "ghcr.io/team/app:3", "nothing covers it")]),
        ("FROM ${BASE:-nginx}", [(1, "unresolved", "${BASE:-nginx}", "its name has variables in it")]),
        ("ARG R=docker.io\nFROM $R/a:1", [(2, "unresolved", "$R/a:1", "its name has variables in it")]),
        ("FROM ngi\\\nnx:1", [(1, "unresolved", "nginx:1", "it goes on on another line")]),
        (
            "ARG B=nginx:1\nFROM $B\nFROM $B-alpine",
            [
                (1, "unresolved", "nginx:1", "ARG B is for $B-alpine too, which is not rewritten"),
                (3, "unresolved", "$B-alpine", "its name has variables in it"),
            ],
        ),
        (
            "ARG B=ghcr.io/team/app\nFROM $B:1\nFROM $B:3",
            [
                (1, "unresolved", "ghcr.io/team/app:1", "ARG B is for ghcr.io/team/app:3 too, which is not rewritten"),
                (1, "uncovered", "ghcr.io/team/app:3", "nothing covers it"),
            ],
        ),
        (
            "ARG B=ghcr.io/team/app\nFROM $B:2",
            [
                (
                    1,
                    "unresolved",
                    "ghcr.io/team/app:2",
                    f"it would need another tag, as it becomes {REGISTRY}/team/app:2.10",
                )
            ],
        ),
        (
            "FROM scratch\nCOPY --from=web /a /b\nRUN --mount=from=web x",
            [
                (line, "unresolved", "web", "it may be a build context: if it is an image, write its tag")
                for line in (2, 3)
            ],
        ),
        (
            f"FROM ghcr.io/team/app:1@{DIGEST}",
            [(1, "uncovered", f"ghcr.io/team/app:1@{DIGEST}", "nothing covers it by this digest")],
        ),
    ],
)
def test_what_stays(text: str, expected: list[tuple[int, str, str, str]]) -> None:
    result = rewritten("Dockerfile", text)
    assert not result.changed
    assert [(one.line, one.state, one.reference, one.reason) for one in result.findings] == expected


def test_lines_of_continued_instructions() -> None:
    text = "FROM scratch\n\nCOPY \\\n # c\n --from=nginx:1 \\\n a b\n"
    assert told(rewritten("Dockerfile", text)) == [(5, "rewritten", "nginx:1")]


def test_a_heredoc_without_an_end() -> None:
    result = rewritten("Dockerfile", "FROM nginx\nRUN <<EOF\nx\n")
    assert result.problem == "line 2: the text after <<EOF is not ended by a line EOF"
    assert not result.changed
