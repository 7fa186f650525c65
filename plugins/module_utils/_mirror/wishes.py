# Copyright: Contributors to the stevedore.ecr project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of images as a person writes it: checked as a whole, before anybody is asked anything.

Private to this collection: may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror import dockerfile
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import (
    MirrorError,
    OnMovedTag,
    TransportName,
    Wish,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.wish_options import (
    SHARED_KEYS,
    Manner,
    Problems,
    known_keys,
    read_digest,
    read_repository,
    read_selection,
    read_source,
    read_tag,
    read_tags,
    read_text,
)
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference

WHICH_KEYS = ("tag", "tags", "select", "digest")
IMAGE_KEYS = ("source", "repository", *WHICH_KEYS, *SHARED_KEYS)
DEFAULT_KEYS = ("namespace", *SHARED_KEYS)


class WishError(MirrorError):
    """Everything that is wrong with the list: for each problem the field, what is wrong and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse(images: Any, defaults: Mapping[str, Any]) -> list[Wish]:
    """Raises WishError with all problems, each beginning with its field, such as images[3].tags.

    An image is a dictionary, or just its source as a text. Its keys: source, repository, one of tag, tags, select and
    digest, or source has a tag or digest, and platforms, transport, on_moved_tag, referrers, dockerfile, require_match.
    `defaults` has the latter for all images, and namespace, which all names of repositories begin with.

    None is as good as not given. Take tag and tags `raw` from Ansible, so that numbers are seen for what they are.
    With a source that has a tag or digest, `tag` is what to call it in the destination. Lines that need an engine are
    for the docker transport, and those that need none for the direct one, if the image itself does not say otherwise.
    """
    problems = Problems()
    known_keys(problems, "", defaults, DEFAULT_KEYS)
    reader = _Reader(problems, _namespace(problems, defaults.get("namespace")), Manner.read(problems, "", defaults))
    if not isinstance(images, (list, tuple)):
        problems.add("images", "must be a list of images")
        images = []
    entries = [
        _Entry(f"images[{index}]", wish) for index, one in enumerate(images) for wish in reader.wishes(index, one)
    ]
    wishes = _without_repetitions(problems, entries)
    if problems:
        raise WishError(problems)
    return wishes


@dataclass(frozen=True)
class _Entry:
    where: str
    wish: Wish


@dataclass(frozen=True)
class _Reader:
    """Reads images, and goes on after a problem."""

    problems: Problems
    namespace: str
    defaults: Manner

    def wishes(self, index: int, image: Any) -> list[Wish]:
        """One, or none where something is wrong with it."""
        where = f"images[{index}]"
        if isinstance(image, str):
            image = {"source": image}
        if not isinstance(image, Mapping):
            self.problems.add(where, "must be a dictionary with a source, or the source as a text")
            return []
        before = len(self.problems)
        known_keys(self.problems, f"{where}.", image, IMAGE_KEYS)
        manner = Manner.read(self.problems, f"{where}.", image)
        source = read_source(self.problems, f"{where}.source", image.get("source"))
        repository = self._repository(where, source, image.get("repository"))
        wish = Wish(source, repository) if source and repository else None
        which = self._which(where, wish, image) if wish else None
        if which is None:
            return []
        wish = self._in_manner(where, which, manner)
        return [] if len(self.problems) > before else [wish]

    def _repository(self, where: str, source: Reference | None, given: Any) -> str | None:
        field = f"{where}.repository"
        if given is None:
            name: str | None = source.path if source else None
        else:
            name = read_text(self.problems, field, given)
        if name is None:
            return None
        return read_repository(self.problems, field, f"{self.namespace}/{name}" if self.namespace else name)

    def _which(self, where: str, wish: Wish, image: Mapping[str, Any]) -> Wish | None:
        """The wish with what of the repository is meant; its source without tag and digest then."""
        given = [key for key in WHICH_KEYS if image.get(key) is not None]
        bare = replace(wish, source=replace(wish.source, tag=None, digest=None))
        several = [key for key in given if key in ("tags", "select")]
        if several and (len(given) > 1 or wish.source != bare.source):
            inside = [] if wish.source == bare.source else ["the tag or digest in source"]
            together = " and ".join([*given, *inside])
            self.problems.add(f"{where}.{several[0]}", f"{together} contradict each other: give one of them")
            return None
        if "tags" in given:
            return replace(bare, tags=self._renamed(where, image["tags"]))
        if "select" in given:
            selection = read_selection(self.problems, f"{where}.select", image["select"])
            return replace(bare, selection=selection)
        tags = self._single(where, wish.source, image)
        return None if tags is None else replace(bare, tags=tags)

    def _renamed(self, where: str, value: Any) -> dict[str, str]:
        tags: dict[str, str] = {}
        for old, new in read_tags(self.problems, f"{where}.tags", value):
            if tags.setdefault(new, old) != old:
                self.problems.add(f"{where}.tags", f"{new} cannot be both {tags[new]} and {old}: rename one of them")
        return tags

    def _single(self, where: str, source: Reference, image: Mapping[str, Any]) -> dict[str, str] | None:
        """One tag or digest, named in the source, by tag and digest, or half here and half there."""
        tag, digest = source.tag, source.digest
        if image.get("tag") is not None:
            tag = read_tag(self.problems, f"{where}.tag", image["tag"])
            if tag is None:
                return None
        if image.get("digest") is not None:
            digest = read_digest(self.problems, f"{where}.digest", image["digest"])
            if digest is None:
                return None
            if source.digest not in (None, digest):
                self.problems.add(f"{where}.digest", f"{digest} is not the digest in source: leave one of them out")
        name = tag or (str(digest) if digest else None)
        if name is None:
            self.problems.add(
                where,
                f"does not say which tags of {source.familiar}: give tag, tags, select or digest, "
                f"or write {source.familiar}:latest",
            )
            return None
        return {name: str(digest or source.tag or tag)}

    def _in_manner(self, where: str, wish: Wish, own: Manner) -> Wish:
        """The wish with how to bring it over: as the image says, else as is said for all."""

        def chosen(key: str, fallback: Any) -> Any:
            for manner in (own, self.defaults):
                if getattr(manner, key) is not None:
                    return getattr(manner, key)
            return fallback

        wish = replace(
            wish,
            platforms=chosen("platforms", ()),
            transport=cast(TransportName, chosen("transport", "docker")),
            on_moved_tag=cast(OnMovedTag, chosen("on_moved_tag", "fail")),
            referrers=chosen("referrers", False),
            dockerfile=chosen("dockerfile", ()),
            require_match=chosen("require_match", False),
        )
        wish = replace(wish, transport=self._transport(where, wish, own))
        has_record = wish.transport == "docker" or wish.platforms or wish.dockerfile
        if has_record and any(":" in name for name in wish.tags):
            self.problems.add(
                f"{where}.tag",
                "missing: only a whole image by direct transport keeps its digest, this one needs a tag to be found by",
            )
        return wish

    def _transport(self, where: str, wish: Wish, own: Manner) -> TransportName:
        if not wish.dockerfile:
            return wish.transport
        if not dockerfile.needs_engine(dockerfile.parse(wish.dockerfile)):
            # Said of the image itself, it may be for a layer that only an engine can read.
            return "docker" if own.transport == "docker" else "direct"
        if own.transport == "direct":
            self.problems.add(
                f"{where}.transport",
                "direct can only change the configuration of an image, and dockerfile has lines to be built, "
                "such as RUN or COPY: leave out transport, or those lines",
            )
        return "docker"


def _namespace(problems: Problems, value: Any) -> str:
    text = "" if value is None else read_text(problems, "namespace", value) or ""
    name = text.strip("/")
    # Checked here, so that what is wrong with it is not said again of each image.
    if name and read_repository(problems, "namespace", f"{name}/any") is None:
        return ""
    return name


def _without_repetitions(problems: Problems, entries: Sequence[_Entry]) -> list[Wish]:
    """What is wished for twice in the same way once, and a problem for what contradicts itself."""
    first: dict[tuple[str, str], tuple[_Entry, tuple[Any, ...]]] = {}
    wishes: list[Wish] = []
    for entry in entries:
        wish, new = entry.wish, {}
        without_tags = replace(wish, tags={})
        for name, identifier in wish.tags.items():
            what = (without_tags, identifier)
            known, same = first.setdefault((wish.repository, name), (entry, what))
            if known is entry:
                new[name] = identifier
            elif same != what:
                problems.add(entry.where, _contradiction(name, entry, identifier, known))
        if new or (wish.selection and wish not in wishes):
            wishes.append(replace(wish, tags=new))
    return wishes


def _contradiction(name: str, entry: _Entry, identifier: str, other: _Entry) -> str:
    joint = "@" if ":" in name else ":"
    to = f"{entry.wish.repository}{joint}{name}"
    sources = (entry.wish.source, identifier), (other.wish.source, other.wish.tags[name])
    if sources[0] != sources[1]:
        here, there = (f"{source.name} {which}" for source, which in sources)
        return f"writes {to} from {here}, and {other.where} writes it from {there}: give one another repository or tag"
    return f"writes {to} in another way than {other.where}: make them the same, or give one another repository or tag"
