"""Where a container on AWS gets its role's credentials: GET http://169.254.170.2/v2/credentials/ID, full mode only."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack

from loopback import engine
from loopback.acting import Actor
from loopback.config import CONTAINER_CREDENTIALS_HOST
from loopback.errors import AwsError
from loopback.fidelity import documented
from loopback.web import App, Receive, Request, Scope, Send, reply_json

NAME = "container-credentials"
_PREFIX = "/v2/credentials/"

_actors: dict[str, Actor] = {}


def publish(actor: Actor) -> str:
    """AWS_CONTAINER_CREDENTIALS_RELATIVE_URI of a container that acts in the role."""
    identity = str(uuid.uuid4())
    _actors[identity] = actor
    return _PREFIX + identity


def withdraw(path: str) -> None:
    _actors.pop(path.removeprefix(_PREFIX), None)


@documented("ECS developer guide, task-iam-roles: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and the region")
def environment(actor: Actor, ending: ExitStack) -> dict[str, str]:
    """Environment variables by which a container acts in the role, until the end of the stack."""
    path = publish(actor)
    ending.callback(withdraw, path)
    return {
        **engine.surroundings(),
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": path,
        "AWS_REGION": actor.region,
        "AWS_DEFAULT_REGION": actor.region,
    }


def reset() -> None:
    _actors.clear()


def wrap(app: App) -> App:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.host != CONTAINER_CREDENTIALS_HOST:
            await app(scope, receive, send)
            return
        await _credentials(request, send)

    return answer


@documented("ECS developer guide, task-iam-roles; AWS SDKs reference guide, feature-container-credentials")
async def _credentials(request: Request, send: Send) -> None:
    actor = _actors.get(request.path.removeprefix(_PREFIX))
    if actor is None:
        await reply_json(send, 404, {"code": "InvalidIdInRequest", "message": "CredentialsNotFound"})
        return
    try:
        keys = await asyncio.to_thread(actor.credentials)
    except AwsError as error:
        await reply_json(send, 400, {"code": error.code, "message": error.message})
        return
    document = {
        "RoleArn": actor.role_arn,
        "AccessKeyId": keys["AccessKeyId"],
        "SecretAccessKey": keys["SecretAccessKey"],
        "Token": keys["SessionToken"],
        "Expiration": keys["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    await reply_json(send, 200, document)
