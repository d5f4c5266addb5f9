"""An edge of docker compose that is replaced refuses no request: it drains, and its proxy waits."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import tcp_proxy
from tests.servers import eventually, exit_code_of, silent_listener
from tests.stopping import count_unanswered

CHECKOUT = Path(__file__).parents[2]
REQUEST = b"GET /users HTTP/1.1\r\nHost: localhost\r\n\r\n"
WITHIN_S = 60
FreePort = Callable[[], int]


def _listens(port: int) -> bool:
    """Whether a process listens on a port; does not connect, as the proxy would forward that."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _stop(process: subprocess.Popen[bytes], port: int) -> None:
    """Ask a process to stop; returns when it accepts no further connection."""
    process.send_signal(signal.SIGTERM)
    eventually(lambda: not _listens(port), WITHIN_S, "the process accepts no connection")


@contextmanager
def _running(command: list[str], port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens; SIGTERM ends it with 0, unless the test has sent it already."""
    process = subprocess.Popen(command, env={**os.environ, **env}, cwd=CHECKOUT)
    try:
        eventually(lambda: _listens(port), WITHIN_S, "the process listens")
        yield process
    finally:
        if _listens(port):  # a second signal would end the process before its own exit
            process.terminate()
        assert exit_code_of(process) == 0


@pytest.fixture
def ports(free_port: FreePort) -> tuple[int, int]:
    """The proxy's port, and the one to which it forwards."""
    return free_port(), free_port()


@pytest.fixture
def proxy(ports: tuple[int, int]) -> Iterator[subprocess.Popen[bytes]]:
    """The proxy, without packages or this checkout, as in Python's own image."""
    listen, edge = ports
    command = [sys.executable, "-I", "-S", tcp_proxy.__file__, f"localhost:{edge}", str(listen)]
    with _running(command, listen) as process:
        yield process


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)


def _accept(listener: socket.socket) -> socket.socket:
    listener.settimeout(WITHIN_S)
    connection, _ = listener.accept()
    connection.settimeout(WITHIN_S)
    return connection


def _read(connection: socket.socket) -> bytes:
    """Everything that arrives until the connection's end."""
    with connection.makefile("rb") as file:
        return file.read()


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


@pytest.mark.usefixtures("proxy")
def test_a_connection_waits_for_an_edge(ports: tuple[int, int]) -> None:
    listen, edge = ports
    with _connect(listen) as client:
        client.sendall(REQUEST)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(WITHIN_S)
        with _listen(edge) as listener, _accept(listener) as served:
            assert served.recv(1024) == REQUEST
            served.sendall(b"answer")
        assert _read(client) == b"answer"


def test_an_address_that_does_not_answer_is_tried_last_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container does not answer before it has its network, and for a second after its stop."""
    resolve = socket.getaddrinfo

    def resolve_edge(host: str, *args: Any, **options: Any) -> Any:
        addresses = ("127.0.0.1", "127.0.0.2") if host == "edge" else (host,)
        return [info for address in addresses for info in resolve(address, *args, **options)]

    async def peers(port: int) -> list[str]:
        edge = tcp_proxy.Edge("edge", port)
        found = [await edge.connect()]
        # From now on, waiting for the silent address would fail the test.
        monkeypatch.setattr(tcp_proxy, "_CONNECT_S", (10 * WITHIN_S,))
        found += [await asyncio.wait_for(edge.connect(), WITHIN_S) for _ in range(3)]
        for connection in found:
            assert connection
            connection[1].close()
            await connection[1].wait_closed()
        return [connection[1].get_extra_info("peername")[0] for connection in found if connection]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_edge)
    with silent_listener() as listener:
        port = listener.getsockname()[1]
        with socket.create_server(("127.0.0.2", port)):
            assert asyncio.run(peers(port)) == ["127.0.0.2"] * 4


@pytest.mark.usefixtures("proxy")
def test_transfers_larger_than_any_buffer_pass_in_both_directions(ports: tuple[int, int]) -> None:
    listen, edge = ports
    body = os.urandom(1024) * 8192
    answered = []
    with _listen(edge) as listener, _connect(listen) as client, _accept(listener) as served:

        def send() -> None:
            client.sendall(body)
            client.shutdown(socket.SHUT_WR)
            answered.append(_read(client))

        sending = threading.Thread(target=send)
        sending.start()
        received = _read(served)  # ends although the client still reads
        served.sendall(received)
        served.close()
        sending.join(WITHIN_S)
    assert (received, answered) == (body, [body])


@pytest.mark.usefixtures("proxy")
def test_the_end_of_either_side_ends_the_other(ports: tuple[int, int]) -> None:
    listen, edge = ports
    with _listen(edge) as listener:
        with _connect(listen) as client, _accept(listener) as served:
            served.close()
            assert _read(client) == b""
        with _connect(listen) as client, _accept(listener) as served:
            client.close()
            assert _read(served) == b""


def test_a_stopped_proxy_ends_once_its_connections_have_ended(
    ports: tuple[int, int], proxy: subprocess.Popen[bytes]
) -> None:
    listen, edge = ports
    with _listen(edge) as listener, _connect(listen) as client, _accept(listener) as served:
        _stop(proxy, listen)
        client.sendall(REQUEST)
        assert served.recv(1024) == REQUEST
        served.sendall(b"late")
        served.close()
        assert _read(client) == b"late"
    assert exit_code_of(proxy) == 0


@pytest.fixture
def edge(free_port: FreePort, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """An edge without functions, and its port."""
    port = free_port()
    config = tmp_path / "edge.json"
    config.write_text(json.dumps({"functions": {}}))
    command = [sys.executable, "-m", "local.gateway"]
    env = {"PORT": str(port), "LEADLINE_AUTH": "off", "LEADLINE_EDGE": str(config)}
    with _running(command, port, **env) as process:
        yield process, port


def test_a_stopping_edge_answers_on_every_connection_that_was_accepted(
    edge: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, port = edge
    assert count_unanswered(port, "/users", process.terminate) == 0


def test_a_stopping_edge_serves_its_open_connections_once_more(
    edge: tuple[subprocess.Popen[bytes], int],
) -> None:
    """A request may be on its way, and a client can't know whether it was processed."""
    process, port = edge
    with (
        _connect(port) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(REQUEST)
        first = _head(answers.readline, answers.read)
        _stop(process, port)
        client.sendall(REQUEST)
        last = _head(answers.readline, answers.read)
        assert answers.read() == b""
    assert "connection: close" not in first
    assert "connection: close" in last
    assert last.startswith("http/1.1 404 ")


def _head(read_line: Callable[[], bytes], read: Callable[[int], bytes]) -> str:
    """The head of a response, in lower case; its body is skipped."""
    head = "".join(line.decode().lower() for line in iter(read_line, b"\r\n"))
    read(int(head.partition("content-length: ")[2].split()[0]))
    return head
