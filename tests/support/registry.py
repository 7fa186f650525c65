"""A plain client of registries for tests: one request at a time, no retries, no redirects unless asked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

import urllib3

from loopback.client import Cloud

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Json = dict[str, Any]


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encoded(document: Json) -> bytes:
    return json.dumps(document).encode()


def descriptor(content: bytes, media_type: str) -> Json:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal."""
        return self.status, self.json["errors"][0]["code"]

    @property
    def message(self) -> str:
        return str(self.json["errors"][0]["message"])


class Client:
    """Requests to one origin, with one Authorization header unless told otherwise."""

    def __init__(self, origin: str, authorization: str | None = None) -> None:
        self.origin, self.authorization = origin, authorization
        self._pool = urllib3.PoolManager(retries=False)

    def call(self, method: str, path: str, *, body: Any = None, **headers: str) -> Answer:
        """`path` may be a whole URL. Headers are written content_type="..."; authorization="" sends none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization is not None:
            sent.setdefault("authorization", self.authorization)
        sent = {name: value for name, value in sent.items() if value}
        answer = self._pool.request(method, urljoin(self.origin, path), headers=sent, body=body, redirect=False)
        return Answer(answer.status, answer.headers, answer.data)


class Ecr(Client):
    """The registry of an account, as somebody who has logged in."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        credentials: dict[str, str] | None = None,
        account: str | None = None,
        region: str | None = None,
        at: str | None = None,
    ) -> None:
        """`account` and `region` say who logs in; `at` is another registry's origin, if that is the one to visit."""
        ecr = cloud.client("ecr", credentials=credentials, account=account, region=region)
        data = ecr.get_authorization_token()["authorizationData"][0]
        super().__init__(at or data["proxyEndpoint"], f"Basic {data['authorizationToken']}")

    def push_blob(self, repository: str, content: bytes) -> str:
        begun = self.call("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202, begun
        done = self.finish(begun.headers["Location"], sha256(content), content)
        assert done.status == 201, done
        return sha256(content)

    def push_layer(self, repository: str, content: bytes) -> str:
        """A blob that an image refers to, so that it can be fetched."""
        digest = self.push_blob(repository, content)
        self.commit(repository, digest)
        return digest

    def commit(self, repository: str, digest: str) -> None:
        """Push an image that refers to the blob."""
        part = {"mediaType": OCI_CONFIG, "digest": digest, "size": 0}
        manifest = encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part, "layers": [part]})
        assert self.put(repository, sha256(manifest), manifest).status == 201

    def finish(self, location: str, digest: str, content: bytes = b"", **headers: str) -> Answer:
        return self.call("PUT", f"{location}?{urlencode({'digest': digest})}", body=content, **headers)

    def put(self, repository: str, reference: str, manifest: bytes, media_type: str = OCI_MANIFEST) -> Answer:
        return self.call("PUT", f"/v2/{repository}/manifests/{reference}", body=manifest, content_type=media_type)

    def push_image(self, repository: str, tag: str, seed: str = "", *, docker: bool = False, **more: Any) -> bytes:
        """A small image; returns its manifest."""
        config = encoded({"architecture": "amd64", "os": "linux", "seed": seed})
        layer = f"layer {seed}".encode()
        for blob in (config, layer):
            self.push_blob(repository, blob)
        manifest = encoded(
            {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
                "config": descriptor(config, DOCKER_CONFIG if docker else OCI_CONFIG),
                "layers": [descriptor(layer, DOCKER_LAYER if docker else OCI_LAYER)],
                **more,
            }
        )
        pushed = self.put(repository, tag, manifest, DOCKER_MANIFEST if docker else OCI_MANIFEST)
        assert pushed.status == 201, pushed
        return manifest

    def manifest(self, repository: str, reference: str, **headers: str) -> Answer:
        return self.call("GET", f"/v2/{repository}/manifests/{reference}", **headers)

    def blob(self, repository: str, digest: str) -> bytes:
        """A layer, by way of the redirect."""
        redirected = self.call("GET", f"/v2/{repository}/blobs/{digest}")
        assert redirected.status == 307, redirected
        answer = self.call("GET", redirected.headers["Location"], authorization="")
        assert answer.status == 200, answer
        return answer.body


class Upstream(Client):
    """An upstream registry, anonymously or as a user; asks for a token for each repository."""

    def __init__(self, cloud: Cloud, host: str, login: str = "") -> None:
        super().__init__(cloud.upstreams[host])
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""

    def token(self, *repositories: str) -> Answer:
        """What the token server answers, asked as the registry's own challenge says."""
        realm, asked = self.challenge(repositories[0] if repositories else "library/any")
        scopes = [("scope", f"repository:{name}:pull") for name in repositories]
        query = urlencode([("service", asked.get("service", "")), *scopes])
        return self.call("GET", f"{realm}?{query}", authorization=self._login)

    def challenge(self, repository: str) -> tuple[str, Mapping[str, str]]:
        refused = self.call("GET", f"/v2/{repository}/manifests/latest", authorization="")
        assert refused.status == 401, refused
        pairs = refused.headers["WWW-Authenticate"].removeprefix("Bearer ").split('",')
        found = dict(pair.replace('"', "").split("=", 1) for pair in pairs)
        return found.pop("realm"), found

    def login(self, *repositories: str) -> Upstream:
        """Take a token for these repositories along from now on."""
        self.authorization = f"Bearer {self.token(*repositories).json['token']}"
        return self
