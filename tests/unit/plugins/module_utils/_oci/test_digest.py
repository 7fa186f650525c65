# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.errors import InvalidDigestError

CONTENT = b"content"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_names_its_content(algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    assert Digest.parse(str(digest)) == digest
    hasher = digest.hasher()
    hasher.update(CONTENT)
    assert hasher.hexdigest() == digest.encoded


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a digest"),
        ("sha256", "is not a digest"),
        ("a" * 64, "is not a digest"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "the algorithm 'md5' cannot be verified"),
        (":" + "a" * 64, "the algorithm '' cannot be verified"),
        ("sha256:" + "A" * 64, "lower-case hexadecimal"),
        ("sha256:" + "g" * 64, "lower-case hexadecimal"),
        ("sha256:" + "a" * 63 + "\n", "lower-case hexadecimal"),
        ("sha256:", "lower-case hexadecimal"),
        ("sha256:" + "a" * 63, "has 64 digits, this one 63"),
        ("sha512:" + "a" * 64, "has 128 digits, this one 64"),
    ],
)
def test_anything_else_is_refused_and_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidDigestError, match=why):
        Digest.parse(text)
