"""The test's own door into the cloud: /_cloud/... on the API port.

GET    /_cloud/health       {"ready": true, addresses...}
POST   /_cloud/reset        everything forgotten, faults and log too
GET    /_cloud/log          the calls so far          DELETE  forget them
GET    /_cloud/faults       rules with their counts   POST [rule, ...] add   DELETE forget them
POST   /_cloud/knobs        {"name": value}
POST   /_cloud/clock        {"advance": seconds}
PUT    /_cloud/images       {"host", "repository", "tag", ...} put an image into an upstream
POST   /_cloud/fire         {"schedule" | "rule": name} fire its targets now (services that can, register here)
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from loopback.clock import clock
from loopback.errors import AwsError
from loopback.faults import Faults
from loopback.knobs import knobs
from loopback.web import App, Receive, Request, Scope, Send, reply_json

Json = dict[str, Any]
Action = Callable[[Any], Any]

_LIMIT = 64 << 20

#: Actions that services add: "POST /_cloud/fire" -> function of the request's document. They run in a thread.
actions: dict[str, Action] = {}


class Control:
    def __init__(
        self, app: App, faults: Faults, describe: Callable[[], Json], reset: Callable[[], Awaitable[None]]
    ) -> None:
        self._app = app
        self._table: dict[str, Action] = {
            "GET /_cloud/health": lambda _: describe(),
            "POST /_cloud/reset": lambda _: reset(),
            "GET /_cloud/log": lambda _: faults.calls(),
            "DELETE /_cloud/log": lambda _: faults.log.clear(),
            "GET /_cloud/faults": lambda _: faults.describe(),
            "POST /_cloud/faults": faults.add,
            "DELETE /_cloud/faults": lambda _: faults.rules.clear(),
            "POST /_cloud/knobs": knobs.set,
            "POST /_cloud/clock": lambda document: clock.advance(document["advance"]),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/_cloud/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        name = f"{request.method} {request.path}"
        action = self._table.get(name)
        try:
            document = json.loads(await request.body(_LIMIT) or b"null")
            if action is not None:
                answer = action(document)
                if inspect.isawaitable(answer):
                    answer = await answer
            elif name in actions:
                answer = await asyncio.to_thread(actions[name], document)
            else:
                await reply_json(send, 404, {"error": f"no such door: {name}"})
                return
        except (AwsError, KeyError, TypeError, ValueError, re.error) as error:
            await reply_json(send, 400, {"error": f"{type(error).__name__}: {error}"})
            return
        await reply_json(send, 200, answer)
