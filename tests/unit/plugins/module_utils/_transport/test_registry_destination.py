# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Destination, Present
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.digest import Digest
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.manifest import OCI_INDEX, OCI_MANIFEST
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.registry_destination import RegistryDestination
from ansible_collections.stevedore.ecr.tests.unit.support.fake_registry import (
    FakeRegistry,
    answer,
    descriptor,
    encoded,
    error,
    image,
    sha256,
)


@pytest.fixture
def destination(client: Client, here: FakeRegistry) -> Iterator[Callable[..., RegistryDestination]]:
    made: list[RegistryDestination] = []

    def make(**settings: bool) -> RegistryDestination:
        made.append(RegistryDestination(client, here.host, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_few_tags_and_digests_are_asked_for_one_by_one(
    here: FakeRegistry, destination: Callable[..., Destination]
) -> None:
    digest = here.add_manifest("team/app", "1", image())
    found = destination().present("team/app", ["1", "2", digest, sha256(b"other")])
    assert found == dict.fromkeys(("1", digest), Present(Digest.parse(digest), OCI_MANIFEST))
    assert len(here.asked("HEAD")) == 4
    assert here.asked("GET") == []


def test_of_many_tags_only_those_that_are_listed_are_asked_for(
    here: FakeRegistry, destination: Callable[..., Destination]
) -> None:
    digest = here.add_manifest("team/app", "7", image())
    found = destination().present("team/app", [*map(str, range(50)), digest])
    assert set(found) == {"7", digest}
    assert len(here.asked("HEAD")) == 2


@pytest.mark.parametrize(
    ("refusal", "heads"),
    [(answer(404, error("NAME_UNKNOWN", "no such repository")), 0), (answer(405, error("UNSUPPORTED", "no")), 50)],
)
def test_many_tags_of_a_repository_that_gives_no_list(
    here: FakeRegistry, destination: Callable[..., Destination], refusal: Callable[..., None], heads: int
) -> None:
    here.on("GET", "/tags/list", refusal)
    assert destination().present("team/app", [str(number) for number in range(50)]) == {}
    assert len(here.asked("HEAD")) == heads


def test_a_list_that_is_longer_than_a_page_is_not_read_to_its_end(
    here: FakeRegistry, destination: Callable[..., Destination]
) -> None:
    tags = encoded({"tags": [f"v{number}" for number in range(1000)]})
    here.on("GET", "/tags/list", answer(200, tags, link='</v2/team/app/tags/list?last=x>; rel="next"'))
    destination().present("team/app", [str(number) for number in range(50)])
    assert len(here.asked("GET", "/tags/list")) == 1
    assert len(here.asked("HEAD")) == 50


def test_records_and_what_an_image_is_made_of_are_read_if_that_is_wanted(
    here: FakeRegistry, destination: Callable[..., Destination]
) -> None:
    child = image(b"{}", annotations={"a": "b"})
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(child, OCI_MANIFEST)]})
    here.add_manifest("team/app", "image", child)
    here.add_manifest("team/app", "index", index, OCI_INDEX)
    found = destination(records=True).present("team/app", ["image", "index"])
    assert (found["image"].annotations, found["image"].config) == ({"a": "b"}, Digest.of(b"{}"))
    assert found["index"].children == (Digest.of(child),)
