"""A TCP proxy in front of one server, through which a test spoils the network."""

import asyncio
import contextlib
import socket
import struct
import threading

_CHUNK = 64 * 1024
#: Closing with it sends a reset and no orderly end.
_RESET = struct.pack("ii", 1, 0)

Ends = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Listens on `port` and passes everything on to `target`, for as long as it is told to."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._connections: set[Ends] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        #: Seconds by which each piece of data is late, in both directions.
        self.delay_s = 0.0
        #: Whether requests arrive and their answers get lost.
        self.is_deaf = False
        #: Whether new connections are refused.
        self.is_closed = False
        #: How many bytes still pass to the server before everything is cut; None: no such limit.
        self.bytes_left: int | None = None
        #: How many connections were refused.
        self.refused = 0
        self.port = 0
        started = threading.Event()
        threading.Thread(target=self._run, args=[started], daemon=True).start()
        assert started.wait(10)

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def lead_to(self, target: int) -> None:
        """Pass new connections on to another server; those that are open stay where they are."""
        self._target = target

    def stall(self) -> None:
        """Let nothing through, as when a cable is pulled: nobody learns of it."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def heal(self) -> None:
        """Be a good network again; what was stalled arrives, what was lost is cut."""
        if self.is_deaf:
            self.cut()
        self.delay_s, self.is_deaf, self.is_closed, self.bytes_left = 0.0, False, False, None
        self._loop.call_soon_threadsafe(self._flows.set)

    def close(self) -> None:
        """Hang up for good."""
        self._loop.call_soon_threadsafe(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
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
        ends = (client, server)
        self._connections.add(ends)
        try:
            await asyncio.gather(
                self._pump(from_client, server, is_request=True),
                self._pump(from_server, client, is_request=False),
            )
        except OSError:
            pass
        finally:
            self._connections.discard(ends)
            for end in ends:
                _reset(end)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_request: bool
    ) -> None:
        while data := await source.read(_CHUNK):
            await self._flows.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if is_request and self.bytes_left is not None:
                data = data[: self.bytes_left]
                self.bytes_left -= len(data)
            if is_request or not self.is_deaf:
                sink.write(data)
                await sink.drain()
            if self.bytes_left == 0:
                self._cut()
        raise ConnectionResetError  # one end has hung up, so must the other

    def _cut(self) -> None:
        for ends in list(self._connections):
            for end in ends:
                _reset(end)


def _reset(end: asyncio.StreamWriter) -> None:
    wire = end.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if wire is not None and not end.is_closing():
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
