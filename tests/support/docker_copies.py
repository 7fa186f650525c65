"""Copies images into ECR with the docker transport: an order as JSON comes in, and goes out as JSON what came of each.

A program, because the names of the registries mean something only inside the namespace of a full cloud. The order has
`images` (source, destination, platforms, dockerfile), and optionally `docker_host`, `keep_local`, `parallel` and
`logins` (registry: [user, password]).
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import boto3

from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.mirror_destination import EcrDestination
from ansible_collections.stevedore.ecr.plugins.module_utils._ecr.repository_defaults import RepositoryDefaults
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.budget import PullBudget
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.model import Wish
from ansible_collections.stevedore.ecr.plugins.module_utils._mirror.run import Settings, mirror
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.client import Client
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.credentials import Credentials, DockerConfig
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.platform import Platform
from ansible_collections.stevedore.ecr.plugins.module_utils._oci.reference import Reference
from ansible_collections.stevedore.ecr.plugins.module_utils._transport.docker_transport import DockerTransport

Json = dict[str, Any]


def login(order: Json) -> Callable[[str], Credentials | None]:
    """The Docker config's, except for ECR and where the order says otherwise."""
    config = DockerConfig.load()

    def find(registry: str) -> Credentials | None:
        if registry in order.get("logins", {}):
            return Credentials(*order["logins"][registry])
        if ".dkr.ecr." not in registry:
            return config.credentials_for(registry)
        answer = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
        user, _colon, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
        return Credentials(user, password)

    return find


def wish(image: Json) -> Wish:
    source, to = Reference.parse(image["source"]), Reference.parse(image["destination"])
    platforms = tuple(map(Platform.parse, image.get("platforms", [])))
    tags = {to.identifier: source.identifier}
    lines = tuple(image.get("dockerfile", []))
    return Wish(source, to.repository, tags, platforms=platforms, transport="docker", dockerfile=lines)


def main() -> None:
    order = json.load(sys.stdin)
    host = Reference.parse(order["images"][0]["destination"]).registry
    credentials = login(order)
    client = Client(credentials=credentials)
    destination = EcrDestination(boto3.client("ecr"), host, RepositoryDefaults())
    transport = DockerTransport(
        client,
        destination,
        credentials=credentials,
        docker_host=order.get("docker_host", ""),
        keep_local=order.get("keep_local", False),
    )
    settings = Settings(parallel=order.get("parallel", 8), create_repositories=True)
    wishes = [wish(image) for image in order["images"]]
    report = mirror(wishes, client, destination, {"docker": transport}, PullBudget(client.rate_limit), settings)
    transport.close()
    client.close()
    json.dump(report.as_result()["images"], sys.stdout)


if __name__ == "__main__":
    main()
