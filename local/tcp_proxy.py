"""`python tcp_proxy.py edge:3000 3000`: forward the TCP connections of a port to the edge.

Only one container at a time can have a published port. Under docker compose this one has it, and
stays while the edge is replaced: new connections wait. It needs the standard library only,
so that it runs in Python's own image and no upgrade of Leadline replaces it.
"""

import asyncio
import contextlib
import itertools
import signal
import socket
import sys

#: How long a connection waits for an edge, and between attempts.
WAIT_S = 30.0
_RETRY_EVERY_S = 0.1
#: How long an address may take to accept: in the first round of all addresses, and in later ones,
#: as on a busy machine the first limit may be too short for any.
_CONNECT_S = (0.2, 0.4, 0.8, 2.0)
#: How long open connections may take to end after SIGTERM.
_STOP_S = 5.0
_CHUNK = 64 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Edge:
    """The edge, by a host name that may also have addresses of starting or stopped containers."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        #: Addresses that did not accept the last attempt, tried last. The name has a container's
        #: address for a second before and after the container is reachable.
        self._unreachable: set[str] = set()

    async def connect(self) -> Stream | None:
        """A connection to any address; None if none accepts within WAIT_S."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        for timeout_s in itertools.chain(_CONNECT_S, itertools.repeat(_CONNECT_S[-1])):
            with contextlib.suppress(OSError):
                for address in await self._addresses():
                    if stream := await self._connect_to(address, timeout_s):
                        return stream
            if loop.time() >= deadline:
                break
            await asyncio.sleep(_RETRY_EVERY_S)
        return None

    async def _addresses(self) -> list[str]:
        """The current addresses of the host name; those that did not accept come last."""
        loop = asyncio.get_running_loop()
        entries = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return sorted((str(entry[4][0]) for entry in entries), key=self._unreachable.__contains__)

    async def _connect_to(self, address: str, timeout_s: float) -> Stream | None:
        try:
            async with asyncio.timeout(timeout_s):
                stream = await asyncio.open_connection(address, self._port)
        except OSError:  # a TimeoutError, too
            self._unreachable.add(address)
            return None
        self._unreachable.discard(address)
        return stream


async def forward(client: Stream, edge: Edge) -> None:
    """Pass on what both sides send until the server has ended; close both connections."""
    client_reader, client_writer = client
    server = await edge.connect()
    if server is None:
        client_writer.transport.abort()
        return
    server_reader, server_writer = server
    sending = asyncio.create_task(_copy(client_reader, server_writer))
    await _copy(server_reader, client_writer)
    sending.cancel()
    for writer in (client_writer, server_writer):
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


async def serve(edge: Edge, listen: int) -> None:
    """Forward until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(forward((reader, writer), edge))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = await asyncio.start_server(accept, "0.0.0.0", listen, backlog=1024)  # noqa: S104
    await stopped.wait()
    listener.close()
    if connections:
        await asyncio.wait(connections, timeout=_STOP_S)


if __name__ == "__main__":
    _host, _, _port = sys.argv[1].partition(":")
    asyncio.run(serve(Edge(_host, int(_port)), int(sys.argv[2])))
