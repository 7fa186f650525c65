"""Puts the cloud together and serves it, on loopback only.

A request passes: call log and faults -> control door -> upstream stand-in (by host) -> services' own HTTP surfaces
(ECR's registry API, which streams) -> ministack (which reads whole bodies) with our services in its table.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from loopback import aws, cloud, runs, services, ticker
from loopback.addresses import Addresses, LightAddresses, RealAddresses
from loopback.clock import clock
from loopback.cloud import Cloud
from loopback.config import ACCOUNTS, CONTAINER_CREDENTIALS_HOST, REGIONS, UPSTREAM_HOSTS, Settings
from loopback.control import Control
from loopback.faults import Faults
from loopback.knobs import knobs
from loopback.web import App, Receive, Scope, Send

TLS_PORT = 443
BACKLOG = 256
STOP_TIMEOUT = 1.0


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    addresses, sockets = _light(settings) if settings.tls is None else _full(settings)
    port = sockets[0].getsockname()[1]
    aws.configure(settings, port)
    cloud.start(Cloud(settings, addresses, f"http://127.0.0.1:{port}"))
    # Not asyncio.run(): it would wait for the connections that are still open.
    asyncio.new_event_loop().run_until_complete(_serve(assemble(addresses), settings, sockets))


def assemble(addresses: Addresses) -> App:
    """The whole cloud as one ASGI application."""
    from loopback import upstream

    inner: App = aws.application()
    ours = services.discover()
    for module in ours:
        if hasattr(module, "handle_request"):
            aws.install(module.NAME, module)
        if hasattr(module, "before"):
            aws.guard(module.NAME, module.before, authorizes=getattr(module, "AUTHORIZES", False))
        if hasattr(module, "wrap"):
            inner = module.wrap(inner)
    hub = upstream.Hub(addresses)

    async def by_host(scope: Scope, receive: Receive, send: Send) -> None:
        is_upstream = scope["type"] == "http" and addresses.upstream_at(_host(scope))
        await (hub if is_upstream else inner)(scope, receive, send)

    def expire_tokens() -> None:
        for module in ours:
            if hasattr(module, "expire_tokens"):
                module.expire_tokens()
        hub.expire_tokens()

    async def reset() -> None:
        # What runs is stopped first: it might still write to what is forgotten next.
        await asyncio.to_thread(runs.reset)
        for stateful in (*ours, clock, knobs, addresses, hub, faults):
            if hasattr(stateful, "reset"):
                stateful.reset()
        aws.reset()

    faults = Faults(by_host, expire_tokens)
    # The control door stands outside the faults, so that a test can always get in.
    return Control(faults, faults, lambda: _describe(addresses), reset)


def _describe(addresses: Addresses) -> dict[str, Any]:
    settings = cloud.running().settings
    return {
        "ready": True,
        "account": settings.account,
        "region": settings.region,
        "registry": addresses.registry(settings.account, settings.region),
        "upstreams": {host: addresses.upstream(host) for host in UPSTREAM_HOSTS},
    }


def _light(settings: Settings) -> tuple[Addresses, list[socket.socket]]:
    addresses = LightAddresses((settings.account, settings.region))
    for _attempt in range(20):
        sockets: list[socket.socket] = []
        try:
            for host in addresses.hosts():
                port = sockets[0].getsockname()[1] if sockets else settings.port
                sockets.append(_listen(host, port))
        except OSError:
            # Another program has this port on one of the addresses: take another port.
            for taken in sockets:
                taken.close()
            if settings.port:
                sys.exit(f"port {settings.port} is taken on {host}")
            continue
        addresses.port = sockets[0].getsockname()[1]
        return addresses, sockets
    raise OSError("no port is free on all of the light cloud's loopback addresses")


def _full(settings: Settings) -> tuple[Addresses, list[socket.socket]]:
    sockets = [_listen("127.0.0.1", settings.port), _listen(CONTAINER_CREDENTIALS_HOST, 80)]
    if settings.control_fd is not None:
        sockets.append(socket.socket(fileno=settings.control_fd))
    return RealAddresses(ACCOUNTS, REGIONS), sockets


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(app: App, settings: Settings, sockets: list[socket.socket]) -> None:
    config = Config()
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    config.backlog = BACKLOG
    config.alpn_protocols = ["http/1.1"]  # HTTP/2 would be slower, and its streams cannot be cut off
    plain = [f"fd://{listener.fileno()}" for listener in sockets]
    if settings.tls is None:
        config.bind = plain
    else:
        config.insecure_bind = plain
        config.bind = [f"127.0.0.1:{TLS_PORT}"]
        config.certfile, config.keyfile = str(settings.tls / "cert.pem"), str(settings.tls / "key.pem")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.stop_at_eof:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _at_eof, stop)
    ticker.start()
    print(f"loopback cloud on http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    await asyncio.wait([serving, asyncio.ensure_future(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    # An idle TLS connection would hold hypercorn up for asyncio's thirty seconds of saying goodbye.
    await asyncio.wait([serving], timeout=STOP_TIMEOUT)
    if serving.done():
        serving.result()


def _at_eof(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1 << 16):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
