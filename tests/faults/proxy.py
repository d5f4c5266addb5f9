"""A TCP proxy in front of one server, through which a test disturbs the network."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.damage import UNDAMAGED, Damage

_CHUNK = 64 * 1024
#: Data of more bytes than this is a request; the greetings before the first one are shorter.
_REQUEST_BYTES = 200
#: The first byte of a TLS handshake; later records begin with another.
_HANDSHAKE = 0x16
#: A socket closed with this option sends a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)
#: The time between two bytes of a slow answer.
_DRIP_S = 0.3

#: Called with every byte that goes to the server on a connection.
Tap = Callable[[bytes], None]


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    watch: Tap | None = None
    #: Whether a request was passed on whose answer has not begun yet.
    is_asked: bool = False

    def reset(self) -> None:
        for end in (self.client, self.server):
            _reset(end)


class Proxy:
    """Listens on `port` and forwards everything to `target`.

    `tls`: it terminates the clients' TLS, and sends plain text to the server. `taps`: makes a tap
    for each new connection.
    """

    def __init__(
        self, target: int, tls: ssl.SSLContext | None = None, taps: Callable[[], Tap] | None = None
    ) -> None:
        self._target, self._tls, self._taps = target, tls, taps
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        #: Delay in seconds of each piece of data, in both directions.
        self.delay_s = 0.0
        #: Whether answers get lost, while requests arrive.
        self.is_deaf = False
        #: Whether new connections are refused.
        self.is_closed = False
        #: How many more bytes reach the server before every connection is cut; None: no limit.
        self.bytes_left: int | None = None
        #: Damage to answers.
        self.damage: Damage = UNDAMAGED
        #: Whether answers come byte by byte.
        self.is_dripping = False
        #: How many connections were refused.
        self.refused = 0
        self.port = 0
        started = threading.Event()
        threading.Thread(target=self._run, args=[started], daemon=True).start()
        assert started.wait(60)

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def retarget(self, target: int) -> None:
        """Forward new connections to another port; open ones stay with their server."""
        self._target = target

    def stall(self) -> None:
        """Let nothing through, like a pulled cable: no peer is notified."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def heal(self) -> None:
        """Work normally again; stalled data arrives, connections with lost data are cut."""
        if self.is_deaf:
            self.cut()
        self.delay_s = 0.0
        self.is_deaf = self.is_closed = self.is_dripping = False
        self.bytes_left = None
        self.damage = UNDAMAGED
        self._loop.call_soon_threadsafe(self._flows.set)

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._loop.call_soon_threadsafe(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        )
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if self.is_closed:
                self.refused += 1
                raise ConnectionRefusedError
            from_server, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(client)
            return
        connection = _Connection(client, server, self._taps() if self._taps else None)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pass_requests(from_client, connection),
                self._pass_answers(from_server, connection),
            )
        except OSError:
            pass
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pass_requests(self, source: asyncio.StreamReader, to: _Connection) -> None:
        while data := await source.read(_CHUNK):
            await self._await_passage()
            if self.bytes_left is not None:
                data = data[: self.bytes_left]
                self.bytes_left -= len(data)
            if to.watch:
                to.watch(data)
            to.is_asked |= len(data) > _REQUEST_BYTES and data[0] != _HANDSHAKE
            to.server.write(data)
            await to.server.drain()
            if self.bytes_left == 0:
                self._cut()
        raise ConnectionResetError  # when one end closes, so does the other

    async def _pass_answers(self, source: asyncio.StreamReader, to: _Connection) -> None:
        while data := await source.read(_CHUNK):
            await self._await_passage()
            if self.is_deaf:
                continue
            damage = self.damage if to.is_asked else UNDAMAGED
            to.is_asked = False
            await self._answer(to.client, damage.spoil(data))
            if damage.is_cut:
                to.client.close()
                break
        raise ConnectionResetError

    async def _answer(self, client: asyncio.StreamWriter, data: bytes) -> None:
        while data and self.is_dripping:
            client.write(data[:1])
            data = data[1:]
            await asyncio.sleep(_DRIP_S)
        client.write(data)
        await client.drain()

    async def _await_passage(self) -> None:
        """Wait while the proxy is stalled, and then for the delay of a piece of data."""
        await self._flows.wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.reset()


def _reset(end: asyncio.StreamWriter) -> None:
    raw_socket = end.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if raw_socket is not None and not end.is_closing():
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
