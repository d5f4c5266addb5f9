"""Misbehaving portals: a function that the test passes in handles each connection."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

SECRET = "s3cr3twebh00kc0de"  # noqa: S105 - of a test


@dataclass
class Connection:
    """One connection as the server sees it."""

    peer: socket.socket
    #: The TCP connection; with TLS, what is sent here breaks its records.
    raw: socket.socket
    ended: threading.Event

    def read_request(self) -> bytes:
        """Read a whole request; less if the client hangs up."""
        text = b""
        while b"\r\n\r\n" not in text:
            part = self.peer.recv(65536)
            if not part:
                return text
            text += part
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length and (part := self.peer.recv(65536)):
            body += part
        return head + b"\r\n\r\n" + body

    def reset(self) -> None:
        """Close with a reset, which closing does if it may linger for 0 seconds."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        self.raw.close()

    def drip(self, text: bytes, every_s: float = 0.05) -> None:
        """Send byte by byte, until the client hangs up or the test ends."""
        for byte in text:
            if self.ended.wait(every_s):
                return
            self.peer.sendall(bytes([byte]))


@dataclass
class Server:
    """A misbehaving portal, and the connections that it has accepted so far."""

    url: str
    connections: int = 0
    threads: list[threading.Thread] = field(default_factory=list)


Behave = Callable[[Connection], object]


@contextmanager
def server(
    behave: Behave, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None
) -> Iterator[Server]:
    """A server that handles each connection in a thread and then closes it.

    `receive_buffer`: the size of its TCP receive buffer in bytes; a small one blocks long requests.
    """
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    if receive_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    scheme = "http" if tls is None else "https"
    port = listener.getsockname()[1]
    portal = Server(f"{scheme}://localhost:{port}/rest/1/{SECRET}/")

    def handle(accepted: socket.socket) -> None:
        raw = socket.socket(fileno=os.dup(accepted.fileno()))
        with raw, suppress(OSError):
            if tls is not None:
                accepted = tls.wrap_socket(accepted, server_side=True)
            behave(Connection(accepted, raw, ended))
        accepted.close()

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            portal.connections += 1
            thread = threading.Thread(target=handle, args=[accepted])
            portal.threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield portal
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *portal.threads):
            thread.join()


def answer(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """An HTTP answer."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + headers + length + b"\r\n" + body
