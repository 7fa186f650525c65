# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job needs to run, as one archive: the same content makes the same bytes.

Private to this collection: may change in any release.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.errors import AnsibleECRError

# Of each collection only what a job runs; whoever reads the archive finds the licences there too.
PARTS = {
    "stevedore.ecr": ("meta", "playbooks", "plugins", "roles"),
    "amazon.aws": ("meta", "plugins/module_utils"),
}
_ALONE = ("COPYING", "LICENSE", "MANIFEST.json", "galaxy.yml")
# The first moment that the format knows.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16


def archive(files: Mapping[str, bytes], collections: Mapping[str, str]) -> bytes:
    """A zip of the files, and of ansible_collections."""
    found = content(files, collections)
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(found):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _READABLE
            packed.writestr(entry, found[name])
    return raw.getvalue()


def content(files: Mapping[str, bytes], collections: Mapping[str, str]) -> dict[str, bytes]:
    """By name, the files and ansible_collections. `collections` says where each of them is installed."""
    found = dict(files)
    for name, directory in collections.items():
        root = Path(directory)
        if name not in PARTS or not (root / "plugins").is_dir():
            raise AnsibleECRError(
                f"There is no collection {name} of use to a job in {root} of this host. "
                "Run the task where Ansible runs, by connection local",
                code="NoCollection",
            )
        top = f"ansible_collections/{name.replace('.', '/')}"
        found.update({f"{top}/{path.relative_to(root)}": path.read_bytes() for path in _files(root, PARTS[name])})
    return found


def _files(root: Path, parts: Iterable[str]) -> Iterator[Path]:
    whole = (path for part in parts for path in (root / part).rglob("*"))
    alone = (root / name for name in _ALONE)
    return (path for path in (*whole, *alone) if path.is_file() and "__pycache__" not in path.parts)
