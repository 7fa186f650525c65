"""Images to be copied, made without a network: which ones say a lot about who copies them how."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from pushing import Pusher
from registry import OCI_CONFIG, OCI_LAYER, descriptor, encoded

MB = 1_000_000


@dataclass(frozen=True)
class Image:
    repository: str
    tag: str


@dataclass
class Corpus:
    """`changed` are pushed again with new content for a run in which little is new."""

    name: str
    about: str
    images: list[Image] = field(default_factory=list)
    changed: list[Image] = field(default_factory=list)


def family(source: Pusher) -> Corpus:
    """20 repositories with 3 tags each, on a base of 60 MB that all of them share."""
    corpus = Corpus("FAMILY", "20 repositories x 3 tags on a shared 60 MB base")
    noise = random.Random("family")
    base = [noise.randbytes(20 * MB) for unused in range(3)]
    for number in range(20):
        for tag in ("1", "2", "3"):
            corpus.images.append(Image(f"family/member{number:02}", tag))
            push(source, corpus.images[-1], [*base, noise.randbytes(3 * MB + 66_666)])
    corpus.changed = corpus.images[::20]
    return corpus


def change(source: Pusher, corpus: Corpus, round_number: int) -> None:
    """Push the images that change once more, with a new layer on top."""
    noise = random.Random(f"change {round_number}")
    for image in corpus.changed:
        push(source, image, [noise.randbytes(3 * MB)])


def big(source: Pusher) -> Corpus:
    corpus = Corpus("BIG", "4 images of 256 MB")
    noise = random.Random("big")
    for number in range(4):
        corpus.images.append(Image(f"big/whale{number}", "1"))
        push(source, corpus.images[-1], [noise.randbytes(256 * MB)])
    return corpus


def many(source: Pusher) -> Corpus:
    corpus = Corpus("MANY", "300 tiny images in 3 repositories")
    noise = random.Random("many")
    for number in range(300):
        corpus.images.append(Image(f"many/shrimp{number % 3}", f"v{number}"))
        push(source, corpus.images[-1], [noise.randbytes(2000)])
    return corpus


def multiarch(source: Pusher) -> Corpus:
    corpus = Corpus("MULTIARCH", "an index of 4 platforms, each with an attestation")
    noise = random.Random("multiarch")
    corpus.images.append(Image("multi/arch", "1"))
    children = {}
    for architecture in ("amd64", "arm64", "s390x", "ppc64le"):
        layers = [noise.randbytes(2 * MB) for unused in range(3)]
        children[f"linux/{architecture}"] = source.image(
            "multi/arch", None, *layers, config={"architecture": architecture}
        )
        children[f"attestation-{architecture}"] = source.image("multi/arch", None, noise.randbytes(10_000))
    source.index("multi/arch", "1", children)
    return corpus


CORPORA = {"family": family, "big": big, "many": many, "multiarch": multiarch}
_pushed: dict[tuple[int, str], set[bytes]] = {}


def push(source: Pusher, image: Image, layers: list[bytes]) -> None:
    """Each layer once a repository."""
    config = encoded({"architecture": "amd64", "os": "linux", "of": f"{image}", "layers": len(layers)})
    done = _pushed.setdefault((id(source), image.repository), set())
    parts = [descriptor(layer, OCI_LAYER) for layer in layers]
    for part, content in zip([descriptor(config, OCI_CONFIG), *parts], [config, *layers], strict=True):
        if part["digest"] not in done:
            source.blob(image.repository, content)
            done.add(part["digest"])
    source.manifest_of(config, parts, image.repository, image.tag)
