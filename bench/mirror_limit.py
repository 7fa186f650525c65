"""What is physically possible: one process that has been told what to move, and checks nothing.

    mirror_limit.py PLAN

PLAN is JSON: source and destination as host:port, and `copies`, a list of manifests with their blobs. Each blob moves
once and is mounted where it is needed again, by so many `threads`. With `heads` it only asks both sides for every tag,
over one connection each.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 20
ACCEPT = {
    "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
}


class Limit:
    def __init__(self, source: str, destination: str) -> None:
        self._source, self._destination = source, destination
        self._own = threading.local()

    def head(self, repository: str, tag: str) -> None:
        for side in (self._source, self._destination):
            self._ask(side, "HEAD", f"/v2/{repository}/manifests/{tag}", headers=ACCEPT)

    def move(self, repository: str, digest: str) -> None:
        reading = self._connection(self._source)
        reading.request("GET", f"/v2/{repository}/blobs/{digest}")
        answer = reading.getresponse()
        begun = self._ask(self._destination, "POST", f"/v2/{repository}/blobs/uploads/")
        place = urlsplit(begun.headers["Location"])
        writing = self._connection(self._destination)
        writing.putrequest("PUT", f"{place.path}?{place.query}&digest={digest}")
        writing.putheader("Content-Length", answer.headers["Content-Length"])
        writing.endheaders()
        buffer = memoryview(bytearray(CHUNK))
        while size := answer.readinto(buffer):
            writing.send(buffer[:size])
        _finished(writing)

    def mount(self, repository: str, digest: str, origin: str) -> None:
        self._ask(self._destination, "POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={origin}")

    def publish(self, repository: str, reference: str, name: str) -> None:
        """`name` is what it is asked for at the source."""
        found = self._ask(self._source, "GET", f"/v2/{repository}/manifests/{name}", headers=ACCEPT)
        headers = {"Content-Type": found.headers["Content-Type"]}
        self._ask(self._destination, "PUT", f"/v2/{repository}/manifests/{reference}", found.body, headers)

    def _ask(self, host: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        connection = self._connection(host)
        connection.request(method, path, body=body, headers=headers or {})
        return _finished(connection)

    def _connection(self, host: str) -> http.client.HTTPConnection:
        known: dict[str, http.client.HTTPConnection] = self._own.__dict__
        if host not in known:
            known[host] = http.client.HTTPConnection(host)
        return known[host]


def _finished(connection: http.client.HTTPConnection) -> Any:
    answer: Any = connection.getresponse()
    answer.body = answer.read()
    if answer.status >= 400:
        sys.exit(f"{answer.status} {answer.body!r}")
    return answer


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    limit = Limit(plan["source"], plan["destination"])
    for repository, tag in plan.get("heads", []):
        limit.head(repository, tag)
    origins: dict[str, str] = {}
    moves, mounts = [], set()
    for copy in plan.get("copies", []):
        for digest in copy["blobs"]:
            if origins.setdefault(digest, copy["repository"]) != copy["repository"]:
                mounts.add((copy["repository"], digest, origins[digest]))
            moves.append((origins[digest], digest))
    threads = plan.get("threads", 1)
    each(threads, limit.move, dict.fromkeys(moves))
    each(threads, limit.mount, sorted(mounts))
    # Children first: an index comes after what it lists.
    for is_index in (False, True):
        some = [copy for copy in plan.get("copies", []) if copy["is_index"] == is_index]
        each(threads, limit.publish, [(copy["repository"], copy["reference"], copy["reference"]) for copy in some])


def each(threads: int, work: Callable[..., None], items: Iterable[tuple[str, ...]]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda item: work(*item), items))


if __name__ == "__main__":
    main()
