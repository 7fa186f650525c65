# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that paths, directories and globs mean, and their texts.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch

from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting import NoTextError
from ansible_collections.stevedore.ecr.plugins.module_utils._site.rewriting_files import Source, is_candidate


class SourceError(Exception):
    """Why a path leads to nothing."""


def find(paths: Iterable[str], exclude: Sequence[str]) -> list[str]:
    """Each file once, even if links lead to it too. Raises SourceError with all that lead to nothing."""
    found: dict[str, str] = {}
    problems = []
    for path in paths:
        expanded = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        if not expanded:
            problems.append(f"{path} does not exist, and no file matches it")
        for one in expanded:
            for file in _files(one, exclude):
                found.setdefault(os.path.realpath(file), file)
    if problems:
        raise SourceError("; ".join(problems))
    return list(found.values())


def read(path: str, kind: str) -> Source:
    """Raises OSError and NoTextError. What is not in UTF-8 is kept in a way in which it can be written again."""
    with open(path, "rb") as file:
        content = file.read()
    if b"\0" in content:
        raise NoTextError("it is no text in UTF-8")
    return Source(path, content.decode("utf-8", "surrogateescape"), kind)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _files(path: str, exclude: Sequence[str]) -> Iterator[str]:
    """What a name in a directory does not show is not looked for in it."""
    if not os.path.isdir(path):
        if not _is_excluded(path, exclude):
            yield path
        return
    for directory, names, files in os.walk(path):
        inside = os.path.relpath(directory, path)
        names[:] = sorted(n for n in names if n[:1] != "." and not _is_excluded(_below(inside, n), exclude))
        for name in sorted(files):
            file = os.path.join(directory, name)
            is_wanted = is_candidate(name) and not _is_excluded(_below(inside, name), exclude)
            if is_wanted and os.path.isfile(file):
                yield file


def _below(directory: str, name: str) -> str:
    return os.path.normpath(os.path.join(directory, name))


def _is_excluded(path: str, exclude: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) or fnmatch(os.path.basename(path), pattern) for pattern in exclude)
