# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.dockerfile import (
    DockerfileError,
    Instruction,
    needs_buildkit,
    needs_engine,
    parse,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.variables import expand


def only(*lines: str) -> Instruction:
    (found,) = parse(lines)
    return found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        (["", "   ", "# comment", "\t# another"], []),
        (["ENV A=1", "", "# x", "USER app"], [("ENV", 1), ("USER", 4)]),
        (["env A=1"], [("ENV", 1)]),
        (["LABEL a=1 \\", "b=2", "USER x"], [("LABEL", 1), ("USER", 3)]),
        (["LABEL a=1 \\", "  # comment", "", " b=2", "USER x"], [("LABEL", 1), ("USER", 5)]),
        (["ENV A=1\nENV B=2\r\nUSER x"], [("ENV", 1), ("ENV", 2), ("USER", 3)]),
        (["RUN cat <<END", "USER x", "END", "USER y"], [("RUN", 1), ("USER", 4)]),
        (["RUN <<-A <<'B'", "one", "\tA", "two", "B", "USER y"], [("RUN", 1), ("USER", 6)]),
        (["RUN echo 'a <<END b'", "USER y"], [("RUN", 1), ("USER", 2)]),
        (["COPY <<END /x", "# stays", "END"], [("COPY", 1)]),
        (["CMD a \\"], [("CMD", 1)]),
    ],
)
def test_lines(lines: Sequence[str], expected: list[tuple[str, int]]) -> None:
    assert [(found.name, found.line) for found in parse(lines)] == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ENV A=1 B='x y' C=a\\ b"], {"pairs": (("A", "1"), ("B", "'x y'"), ("C", "a\\ b"))}),
        (['ENV A="b=c" D='], {"pairs": (("A", '"b=c"'), ("D", ""))}),
        (["ENV A  some  words "], {"pairs": (("A", "some  words"),)}),
        (['LABEL "a b"=c'], {"pairs": (('"a b"', "c"),)}),
        (["ARG A B=1"], {"pairs": (("A", None), ("B", "1"))}),
        (["VOLUME /a  /b"], {"words": ("/a", "/b"), "is_json": False}),
        (['VOLUME ["/a b"]'], {"words": ("/a b",), "is_json": True}),
        (["EXPOSE 80 $P 8000-8010/udp"], {"words": ("80", "$P", "8000-8010/udp")}),
        (["CMD a  b"], {"words": ("a  b",), "is_json": False}),
        (["CMD a \\", "   b"], {"words": ("a    b",), "is_json": False}),
        (['CMD [ "a", "b c" ]'], {"words": ("a", "b c"), "is_json": True}),
        (["CMD []"], {"words": (), "is_json": True}),
        (["CMD [ -f /x ] && y"], {"words": ("[ -f /x ] && y",), "is_json": False}),
        (["CMD [ 'a' = 'b' ]"], {"words": ("[ 'a' = 'b' ]",), "is_json": False}),
        (["ENTRYPOINT x -- --y"], {"words": ("x -- --y",), "flags": ()}),
        (["CMD -- x"], {"words": ("x",), "flags": ()}),
        (["COPY --from='a b' --chown=c\\ d /a /b"], {"flags": (("from", "a b"), ("chown", "c d"))}),
        (["HEALTHCHECK none"], {"words": ("NONE",)}),
        (
            ["HEALTHCHECK --interval=5s --retries='3' CMD curl x"],
            {"words": ("curl x",), "flags": (("interval", "5s"), ("retries", "3"))},
        ),
        (['HEALTHCHECK CMD ["a"]'], {"words": ("a",), "is_json": True}),
        (["ONBUILD COPY . /app"], {"words": ("COPY . /app",)}),
        (["USER app : x"], {"words": ("app : x",)}),
        (["COPY --from=busybox:1 --chown=1:2 /a /b"], {"flags": (("from", "busybox:1"), ("chown", "1:2"))}),
        (["ADD https://example.com/x $URL /b"], {"words": ("https://example.com/x", "$URL", "/b")}),
        (["RUN --mount=type=cache,target=/c make"], {"flags": (("mount", "type=cache,target=/c"),), "text": "make"}),
        (["RUN <<END", "x", "END"], {"heredocs": ("END",)}),
    ],
)
def test_arguments(lines: Sequence[str], expected: dict[str, Any]) -> None:
    found = only(*lines)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ENVV a=b", "unknown instruction ENVV, did you mean ENV?"),
        ("WOKRDIR /x", "did you mean WORKDIR?"),
        ("xyzzy", "unknown instruction XYZZY"),
        ("FROM alpine", "FROM has no place here"),
        ("ENV", "ENV needs an argument"),
        ("ENV A", "ENV needs a name and a value: ENV A=value"),
        ("ENV A=1 B", "'B' has no ="),
        ("LABEL =x", "LABEL needs a name before ="),
        ("ARG =x", "ARG needs a name before ="),
        ("CMD", "CMD needs a command: write CMD [] for none"),
        ("CMD ['a', 'b']", 'write CMD ["program", "argument"], with double quotes'),
        ("CMD [1]", "may have only texts"),
        ('CMD ["\\ud800"]', "may have only texts"),
        ("VOLUME ['/a']", 'write VOLUME ["/path"]'),
        ("VOLUME []", "VOLUME needs an argument"),
        ('VOLUME [" "]', "a volume without a path"),
        ("EXPOSE http", "'http' is no port"),
        ("EXPOSE 80/icmp", "'80/icmp' is no port"),
        ("EXPOSE 70000", "up to 65535"),
        ("EXPOSE 20-10", "range of ports"),
        ("SHELL /bin/sh -c", "SHELL needs a list"),
        ("SHELL []", "SHELL needs a list"),
        ("STOPSIGNAL SIGX", "'SIGX' is no signal"),
        ("STOPSIGNAL 0", "'0' is no signal"),
        ("HEALTHCHECK", "HEALTHCHECK needs CMD"),
        ("HEALTHCHECK curl x", "HEALTHCHECK needs CMD"),
        ("HEALTHCHECK CMD", "HEALTHCHECK needs CMD"),
        ("HEALTHCHECK NONE x", "takes no options"),
        ("HEALTHCHECK --intervall=1s CMD x", "unknown option --intervall, did you mean --interval?"),
        ("HEALTHCHECK --interval=1 CMD x", "--interval: '1' is no duration"),
        ("HEALTHCHECK --timeout=1us CMD x", "--timeout: '1us' is not between"),
        ("HEALTHCHECK --retries=x CMD x", "--retries needs a number"),
        ("ONBUILD FROM x", "ONBUILD FROM is not allowed"),
        ("ONBUILD ENVV a=b", "did you mean ENV?"),
        ("ONBUILD CMD [1]", "may have only texts"),
        ("ONBUILD RUN <<END\nx\nEND", "ONBUILD with a heredoc is not supported"),
        ("CMD --x", "CMD has no option --x"),
        ("WORKDIR --x /a", "WORKDIR has no option --x"),
        ("RUN", "RUN needs a command"),
        ("RUN <<END\nx", "the text after <<END is not ended"),
        ("COPY a /b", "there is no build context to take 'a' from: take it from an image with COPY --from=IMAGE"),
        ("COPY --from=0 /a /b", "there are no build stages"),
        ("COPY /a", "COPY needs a source and a destination"),
        ("ADD a.tar /b", "ADD can only fetch URLs here"),
        ("ENV A=\0", "no text"),
        ("ENV A=\udc80", "no text"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    with pytest.raises(DockerfileError) as refused:
        parse(["", line])
    (problem,) = refused.value.problems
    assert problem.startswith("line 2: ")
    assert said in problem


def test_all_problems_are_named() -> None:
    with pytest.raises(DockerfileError) as refused:
        parse(["ENVV a", "LABEL a=b", "CMD", "FROM x"])
    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["line 1", "line 3", "line 4"]
    assert "line 1: unknown instruction ENVV" in str(refused.value)
    assert "line 3: CMD needs a command" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("RUN x", True),
        ("COPY --from=x /a /b", True),
        ("ADD https://example.com/x /b", True),
        ("ONBUILD RUN x", False),
        ("WORKDIR /x", False),
        ("CMD x", False),
    ],
)
def test_needs_engine(line: str, expected: bool) -> None:
    assert needs_engine(parse(["USER x", line])) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("RUN x", ""),
        ("COPY --from=x --chown=1 /a /b", ""),
        ("RUN <<END\nx\nEND", "line 2: RUN <<END"),
        ("RUN --mount=type=tmpfs,target=/x y", "line 2: RUN y"),
        ("COPY --from=x --chmod=755 /a /b", "line 2: COPY /a /b"),
    ],
)
def test_needs_buildkit(line: str, expected: str) -> None:
    assert needs_buildkit(parse(["USER x", line])) == expected


def test_text_for_an_engine() -> None:
    lines = ['RUN echo "$HOME" `id` \\', "  && x", "ENV A=\u00e9"]
    expected = 'FROM a/b@sha256:0\nRUN echo "$HOME" `id` \\\n  && x\nENV A=\u00e9\n'
    assert dockerfile.text("a/b@sha256:0", lines) == expected.encode()


def test_recipe() -> None:
    expected = hashlib.sha256(b"ENV A=1\nUSER x").hexdigest()
    assert dockerfile.recipe_of(["ENV A=1", "USER x"]) == f"dockerfile=sha256:{expected}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [("30s", 30 * 10**9), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("500ms", 5 * 10**8), ("0", 0), ("0s", 0)],
)
def test_duration(written: str, expected: int) -> None:
    assert dockerfile.duration(written) == expected


@pytest.mark.parametrize("written", ["", "5", "s", "-1s", "1s ", "1x", "1s5", "9999999h", f"1{'0' * 400}h"])
def test_no_duration(written: str) -> None:
    with pytest.raises(ValueError, match=r"no duration|not between"):
        dockerfile.duration(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("80", ["80/tcp"]),
        ("80/", ["80/tcp"]),
        ("53/UDP", ["53/udp"]),
        ("7-9/sctp", ["7/sctp", "8/sctp", "9/sctp"]),
        ("127.0.0.1:8080:80", ["80/tcp"]),
    ],
)
def test_ports(written: str, expected: list[str]) -> None:
    assert list(dockerfile.ports(written)) == expected


lines = st.lists(st.text(alphabet="ENVCMD FROM=[]\"'\\$#<-/a1\n\t\u00e9") | st.text(), max_size=6)
starts = st.sampled_from(["ENV", "LABEL", "CMD", "VOLUME", "HEALTHCHECK", "RUN", "COPY", "EXPOSE", "ONBUILD", "ARG"])


@given(lines | st.lists(st.tuples(starts, st.text(alphabet="aCMD=[]\"'\\ $-<,1/")).map(" ".join), max_size=4))
def test_anything_is_read_or_refused(given_lines: list[str]) -> None:
    try:
        found = parse(given_lines)
    except DockerfileError:
        return
    assert parse(given_lines) == found
    assert [one.line for one in found] == sorted({one.line for one in found})


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(texts, min_size=1, max_size=4))
def test_lists_are_read_as_they_were_written(written: list[str]) -> None:
    assert only(f"CMD {json.dumps(written)}").words == tuple(written)


values = st.text(alphabet="ab =#\\'\"$", max_size=8)


@given(st.dictionaries(st.text(alphabet="ABC", min_size=1), values, min_size=1, max_size=4))
def test_pairs_are_read_as_they_were_written(written: dict[str, str]) -> None:
    """Whatever is in quotes is one value."""
    quoted = {name: "'" + value.replace("'", "'\"'\"'") + "'" for name, value in written.items()}
    pairs = dict(only("ENV " + " ".join(f"{name}={value}" for name, value in quoted.items())).pairs)
    assert pairs == quoted
    assert {name: expand(value or "", {}) for name, value in pairs.items()} == written
