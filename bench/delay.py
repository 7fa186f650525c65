"""A proxy that makes a registry slow to answer: delay.py HOST:PORT SECONDS. Prints the address it listens on."""

from __future__ import annotations

import asyncio
import sys


async def main(target: str, seconds: float) -> None:
    host, port = target.rsplit(":", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, outward, seconds), pump(inward, writer, 0))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    own_host, own_port = server.sockets[0].getsockname()
    print(f"{own_host}:{own_port}", flush=True)
    await server.serve_forever()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    while data := await reader.read(1 << 16):
        await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
