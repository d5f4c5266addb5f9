"""`python tcp_proxy.py edge:3000 3000`: forward the TCP connections of a port to the edge.

One container at a time can have a published port. Under docker compose this one has it, and stays
while the edge behind it is replaced: a connection that meets no edge waits for one. It needs the
standard library only, so that it runs in Python's own image and no upgrade of Leadline replaces it.
"""

import asyncio
import contextlib
import signal
import socket
import sys

#: How long a connection waits for an edge, and between attempts.
WAIT_S = 30.0
_RETRY_EVERY_S = 0.1
_CONNECT_S = 2.0
#: How long open connections may take to end after SIGTERM.
_STOP_S = 5.0
_CHUNK = 64 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(host: str, port: int) -> Stream | None:
    """A connection to any address that the name has; None if none accepts within WAIT_S."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    while True:
        with contextlib.suppress(OSError):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for _, _, _, _, address in found:
                with contextlib.suppress(OSError):  # a TimeoutError, too
                    async with asyncio.timeout(_CONNECT_S):
                        return await asyncio.open_connection(*address[:2])
        if loop.time() >= deadline:
            return None
        await asyncio.sleep(_RETRY_EVERY_S)


async def forward(client: Stream, host: str, port: int) -> None:
    """Pass on what both sides send until the server has ended; close both connections."""
    server = await connect(host, port)
    if server is None:
        client[1].transport.abort()
        return
    sending = asyncio.create_task(_copy(client[0], server[1]))
    await _copy(server[0], client[1])
    sending.cancel()
    for _, writer in (client, server):
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on one direction and its end; if either connection breaks, break the target's."""
    try:
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()
        target.write_eof()
    except OSError:
        target.transport.abort()


async def serve(host: str, port: int, listen: int) -> None:
    """Forward until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(forward((reader, writer), host, port))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = await asyncio.start_server(accept, "0.0.0.0", listen, backlog=1024)  # noqa: S104
    await stopped.wait()
    listener.close()
    if connections:
        await asyncio.wait(connections, timeout=_STOP_S)


if __name__ == "__main__":
    _host, _, _port = sys.argv[1].partition(":")
    asyncio.run(serve(_host, int(_port), int(sys.argv[2])))
