# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive that a job runs from: the same content is the same bytes."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError
from ansible_collections.stevedore.ecr.plugins.module_utils._jobs.bundle import archive

FILES = {"job.json": b"{}", "b.txt": b"b"}
CONTENT = {
    "plugins/modules/ecr_lifecycle.py": "module",
    "plugins/module_utils/_ecr/api.py": "api",
    "plugins/module_utils/__pycache__/api.pyc": "compiled",
    "roles/image_mirror/tasks/main.yml": "tasks",
    "meta/runtime.yml": "runtime",
    "COPYING": "licence",
    "tests/unit/test_it.py": "test",
    ".git/config": "config",
}


def collection(directory: Path, content: Mapping[str, str], moment: float = 0) -> str:
    for name, text in content.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (moment, moment))
    return str(directory)


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_only_what_a_job_needs_is_in_it(tmp_path: Path) -> None:
    packed = archive(FILES, {"stevedore.ecr": collection(tmp_path, CONTENT)})
    top = "ansible_collections/stevedore/ecr"
    assert names(packed) == [
        f"{top}/COPYING",
        f"{top}/meta/runtime.yml",
        f"{top}/plugins/module_utils/_ecr/api.py",
        f"{top}/plugins/modules/ecr_lifecycle.py",
        f"{top}/roles/image_mirror/tasks/main.yml",
        "b.txt",
        "job.json",
    ]
    assert zipfile.ZipFile(io.BytesIO(packed)).read("job.json") == b"{}"


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    one = collection(tmp_path / "one", CONTENT, 1_000_000_000)
    other = collection(tmp_path / "other", dict(reversed(CONTENT.items())), 1_500_000_000)
    reversed_files = dict(reversed(FILES.items()))
    assert archive(FILES, {"stevedore.ecr": one}) == archive(reversed_files, {"stevedore.ecr": other})
    assert archive(FILES, {}) != archive({**FILES, "b.txt": b"c"}, {})


def test_a_collection_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnsibleECRError, match=r"There is no collection amazon\.aws of use to a job in .*nowhere"):
        archive(FILES, {"amazon.aws": str(tmp_path / "nowhere")})
    with pytest.raises(AnsibleECRError, match=r"There is no collection other\.one"):
        archive(FILES, {"other.one": collection(tmp_path, CONTENT)})
