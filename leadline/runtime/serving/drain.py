"""Stops a server without losing a request that is on its way.

A client may send a request on an idle connection in the moment in which the server closes it. It
can't repeat a write, which may have been executed. So a server that is told to stop goes on serving
and lets its clients close the connections: with `Connection: close` in each response
(https://www.rfc-editor.org/rfc/rfc9112#section-9.6), and by outlasting those that are idle.

A request on a new connection can be lost, too. The kernel accepts it for the server, and the client
sends a request at once; if the server then closes its listening socket, the kernel aborts the
connections that the server has not taken over yet. So the kernel accepts no more of them, and the
server has a moment to take over the last ones before it closes the socket.
"""

import socket
import struct
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

Headers = list[tuple[str, str]]

#: Maximum time for which the edge keeps an idle connection to a function.
KEEP_ALIVE_S = 1.0
#: Time that a response may need to arrive at the edge, whose clock starts only then, and the first
#: request of a new connection to arrive at the server.
TRANSIT_S = 0.5
#: https://man7.org/linux/man-pages/man7/socket.7.html; `socket` has no name for it.
_SO_ATTACH_FILTER = 26
#: Classic BPF, whose byte 0 is that of the TCP header: operation, jumps if true and false, value
#: (https://www.kernel.org/doc/html/latest/networking/filter.html).
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 0, 1, 0x02),  # if it has SYN,
    (0x06, 0, 0, 0),  # drop the packet,
    (0x06, 0, 0, 0xFFFFFFFF),  # otherwise let it pass
)


class Drain:
    """Closes the connections of a server once it stops, without losing a request on one."""

    def __init__(self) -> None:
        self._is_stopping = False
        self._last_kept_open_at = float("-inf")

    def before_response(self, headers: Headers) -> Headers:
        """Call with the headers of each response; returns those to send.

        Until the server stops, the connection stays open; then the headers close it.
        """
        if self._is_stopping:
            return [*headers, ("Connection", "close")]
        self._last_kept_open_at = time.monotonic()
        return headers

    def begin(self) -> float:
        """Begin to close connections; returns the seconds until no idle one is left."""
        self._is_stopping = True
        return max(0.0, self._last_kept_open_at + KEEP_ALIVE_S + TRANSIT_S - time.monotonic())


def refuse_connections(port: int) -> None:
    """Make the kernel accept no further connection for this process's listening sockets of a port.

    It drops the clients' requests for one (SYN), so that they try another address, or again. The
    sockets can be closed TRANSIT_S later.
    """
    program = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN))
    address, _ = program.buffer_info()
    option = struct.pack("HP", len(_DROP_SYN), address)
    try:
        for listener in _listeners(port):
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError as error:  # a sandbox may lack it
        structlog.get_logger().warning("the last connections may be lost", error=str(error))


def _listeners(port: int) -> Iterator[socket.socket]:
    """Duplicates of the sockets: the library that listens keeps its own to itself."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if not descriptor.is_socket():
            continue
        with (
            suppress(OSError),  # closed meanwhile
            socket.fromfd(int(descriptor.name), socket.AF_INET, socket.SOCK_STREAM) as found,
        ):
            protocol = found.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
            is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if protocol == socket.IPPROTO_TCP and is_listening and found.getsockname()[1] == port:
                yield found
