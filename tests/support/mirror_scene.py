"""A source and a destination with something to copy between them; and the question after every fault: is it sound?"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mirror_engine import Engine, Json, ecr_client, wish
from mirror_server import Login, Proxy
from pushing import Pusher
from registry import Ecr, sha256

from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.result import Entry, Report
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, CredentialSource
from loopback.client import ROOT_SECRET, Cloud

AMD, ARM = "linux/amd64", "linux/arm64"
# So much that an upload or a download is under way for a while.
SIZE = 600_000


@cache
def noise(seed: str, size: int = SIZE) -> bytes:
    """Different bytes for each seed, and different ones all along."""
    word = sha256(seed.encode()).encode()
    return b"".join(b"%08d" % number + word for number in range(size // (8 + len(word)) + 1))[:size]


class Scene:
    """`prefix` is of all repositories of one test. `source` and `target` look behind the proxies."""

    def __init__(self, source: Proxy, source_url: str, prefix: str, directory: Path) -> None:
        self.inward, self.source, self.prefix = source, Pusher(source_url), prefix
        self.journal = directory / "journal"
        self.engine = Engine(logins={source.host: self.login_of(source.login)})
        self.read: dict[tuple[str, str], bytes] = {}
        self.target = Target("http://nowhere.invalid")
        # What must be in no result and no journal; asked for after each run.
        self.more_secrets: list[str] = []

    @staticmethod
    def login_of(login: Login | None) -> CredentialSource:
        return lambda: Credentials(login.username, login.password) if login else None

    # ------------------------------------------------------------------ what there is

    def name(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def image(self, name: str, tag: str, *layers: bytes, **more: Any) -> bytes:
        """An image in the source, remembered as what is to arrive."""
        seed = f"{self.prefix}/{name}:{tag}"
        raw = self.source.image(self.name(name), tag, *(layers or (noise(seed),)), config={"of": seed}, **more)
        self.read[name, tag] = raw
        return raw

    def index(self, name: str, tag: str, *shared: bytes, docker: bool = False) -> bytes:
        """For two platforms, with an attestation."""
        repository = self.name(name)
        children = {
            platform: self.source.image(
                repository,
                None,
                *shared,
                noise(f"{repository}:{tag}{platform}", 3000),
                docker=docker,
                config={"architecture": platform.split("/")[1]},
            )
            for platform in (AMD, ARM)
        }
        if not docker:
            children["attestation"] = self.source.image(repository, None, noise(f"{repository}:{tag} attested", 500))
        self.read[name, tag] = raw = self.source.index(repository, tag, children, docker=docker)
        return raw

    def corpus(self) -> None:
        """Four images in two repositories that share a base."""
        base = noise(f"{self.prefix} base")
        self.index("app", "1", base)
        self.image("app", "2", base, noise(f"{self.prefix} app 2", 90_000))
        self.image("web", "1", base, noise(f"{self.prefix} web 1", 5_000), docker=True)
        self.index("web", "2", base, docker=True)

    def wishes(self, **more: Any) -> list[Wish]:
        """For everything that was put into the source."""
        tags: dict[str, list[str]] = {}
        for name, tag in self.read:
            tags.setdefault(name, []).append(tag)
        return [self.wish(name, of_it, **more) for name, of_it in tags.items()]

    def wish(self, name: str, tags: Iterable[str] | Mapping[str, str] = (), *, to: str = "", **more: Any) -> Wish:
        return wish(f"{self.inward.host}/{self.name(name)}", self.name(to or name), tags, **more)

    # ------------------------------------------------------------------ runs

    def run(self, wishes: Sequence[Wish] | None = None, **settings: Any) -> Report:
        """Nothing that was a secret may be in what it tells."""
        asked = self.wishes() if wishes is None else wishes
        report = self.into_destination(asked, journal=str(self.journal), **settings)
        told = json.dumps(report.as_result()) + report.failure + repr(report) + json.dumps(report.diff())
        written = self.journal.read_text() if self.journal.exists() else ""
        for line in written.splitlines():
            json.loads(line)
        for secret in self.secrets():
            assert secret not in told
            assert secret not in written
        assert "Traceback" not in told + written
        return report

    def into_destination(self, wishes: Sequence[Wish], **settings: Any) -> Report:
        raise NotImplementedError

    def secrets(self) -> list[str]:
        return [*self.inward.secrets, *self.more_secrets]

    def clear_faults(self) -> None:
        self.inward.forget()

    # ------------------------------------------------------------------ what came of it

    def tags(self) -> dict[tuple[str, str], bytes]:
        """All tags of the destination, each found to be complete."""
        self.clear_faults()
        found = self.target.everything(self.repositories())
        return {(repository.removeprefix(f"{self.prefix}/"), tag): raw for (repository, tag), raw in found.items()}

    def repositories(self) -> list[str]:
        """Of this test, in the destination."""
        return [name for name in self.target.catalog() if name.startswith(f"{self.prefix}/")]

    def assert_sound(self) -> dict[tuple[str, str], bytes]:
        """Each tag stands for something complete, which is what the source has; there may be less."""
        found = self.tags()
        for (name, tag), raw in found.items():
            assert raw == self.read[name, tag], f"{name}:{tag} is something else"
        return found

    def assert_mirrored(self) -> None:
        """All of it."""
        assert self.assert_sound().keys() == self.read.keys()


class RegistryScene(Scene):
    """Between two real registries, each behind a proxy that wants credentials."""

    def __init__(self, source: Proxy, source_url: str, to: Proxy, to_url: str, prefix: str, directory: Path) -> None:
        super().__init__(source, source_url, prefix, directory)
        self.outward, self.target = to, Target(to_url)
        self.engine.logins = {**self.engine.logins, to.host: self.login_of(to.login)}

    def into_destination(self, wishes: Sequence[Wish], **settings: Any) -> Report:
        return self.engine.into_registry(self.outward.host, wishes, **settings)

    def secrets(self) -> list[str]:
        return [*super().secrets(), *self.outward.secrets]

    def clear_faults(self) -> None:
        super().clear_faults()
        self.outward.forget()


class EcrScene(Scene):
    """From a real registry into the loopback ECR, which has its own ways to fail."""

    def __init__(self, source: Proxy, source_url: str, cloud: Cloud, prefix: str, directory: Path) -> None:
        super().__init__(source, source_url, prefix, directory)
        self.cloud, self.ecr = cloud, cloud.client("ecr")
        self.host = urlsplit(cloud.registry).netloc
        self.own = ecr_client(cloud.url, cloud.region, cloud.account, ROOT_SECRET)
        self._look()

    def _look(self) -> None:
        ecr = Ecr(self.cloud)
        self.target = Target(ecr.origin, ecr.authorization)
        token = str(ecr.authorization).removeprefix("Basic ")
        self.more_secrets = [token, base64.b64decode(token).decode().partition(":")[2], ROOT_SECRET]

    def create(self, *names: str, **settings: Any) -> None:
        for name in names:
            self.ecr.create_repository(repositoryName=self.name(name), **settings)

    def into_destination(self, wishes: Sequence[Wish], **settings: Any) -> Report:
        return self.engine.into_ecr(self.own, wishes, **{"create_repositories": True, **settings})

    def clear_faults(self) -> None:
        super().clear_faults()
        self.cloud.clear_faults()
        self._look()


class Target(Pusher):
    """A registry to look at after all that has happened to it."""

    def __init__(self, origin: str, authorization: str | None = None) -> None:
        super().__init__(origin, authorization)
        self._checked: set[tuple[str, str]] = set()

    def everything(self, repositories: Iterable[str]) -> dict[tuple[str, str], bytes]:
        """What all tags are, each of them complete. A blob that many share is read once from each repository."""
        self._checked.clear()
        return {(name, tag): self.assert_complete(name, tag) for name in repositories for tag in self.all_tags(name)}

    def assert_complete(self, repository: str, reference: str) -> bytes:
        raw = self.raw(repository, reference)
        if ":" in reference:
            assert sha256(raw) == reference
        document: Json = json.loads(raw)
        for child in document.get("manifests") or []:
            assert len(self.assert_complete(repository, child["digest"])) == child["size"]
        for part in [document.get("config"), *(document.get("layers") or [])]:
            if part and not part.get("urls") and (repository, part["digest"]) not in self._checked:
                content = self.content(repository, part["digest"])
                assert (sha256(content), len(content)) == (part["digest"], part["size"])
                self._checked.add((repository, part["digest"]))
        return raw

    def catalog(self) -> list[str]:
        return self._pages("/v2/_catalog?n=1000", "repositories")

    def all_tags(self, repository: str) -> list[str]:
        return self._pages(f"/v2/{repository}/tags/list?n=1000", "tags")

    def _pages(self, path: str, what: str) -> list[str]:
        found: list[str] = []
        while path:
            answer = self.call("GET", path)
            if answer.status == 404:
                return []
            assert answer.status == 200, answer
            found += answer.json.get(what) or []
            path = answer.headers.get("Link", "").partition(">")[0].lstrip("<")
        return sorted(found)

    def has(self, repository: str, digest: str) -> bool:
        return self.call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200


def by_tag(report: Report) -> dict[str, Entry]:
    """Entries by what stands after the prefix in their destination, such as app:1."""
    return {entry.destination.rpartition("/")[2]: entry for entry in report.images}


def blobs_of(raw: bytes, read: Callable[[str], bytes]) -> set[str]:
    """The digests of all blobs of an image or index; `read` gives a manifest by its digest."""
    document: Json = json.loads(raw)
    found = {part["digest"] for part in [document.get("config"), *document.get("layers", [])] if part}
    for child in document.get("manifests", []):
        found |= blobs_of(read(child["digest"]), read)
    return found
