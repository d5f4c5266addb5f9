"""Clients that connect to a server while it stops."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

#: For each client, how long it waits between its connection and its request.
_CLIENTS_WAIT_S = (0, 0.02) * 8
#: Answered requests after which the server has to stop.
_REQUESTS_BEFORE = 200


def count_unanswered(port: int, path: str, stop: Callable[[], None]) -> int:
    """How many connections a stopping server accepts and closes without an answer.

    Clients connect again and again, each time for one request, until no connection is accepted.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answered = threading.Semaphore(0)
    is_stopping = threading.Event()

    def connect_until_refused(wait_s: float) -> int:
        unanswered = 0
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", port), timeout=60)
            except (ConnectionRefusedError, ConnectionResetError):  # before anything was sent
                assert is_stopping.is_set()
                return unanswered
            with client:
                time.sleep(wait_s)
                if _answer(client, request):
                    answered.release()
                else:
                    assert is_stopping.is_set()
                    unanswered += 1

    with ThreadPoolExecutor(len(_CLIENTS_WAIT_S)) as clients:
        running = [clients.submit(connect_until_refused, wait_s) for wait_s in _CLIENTS_WAIT_S]
        for _ in range(_REQUESTS_BEFORE):
            assert answered.acquire(timeout=60)
        is_stopping.set()
        stop()
        return sum(client.result() for client in running)


def _answer(client: socket.socket, request: bytes) -> bytes:
    try:
        client.sendall(request)
        return client.recv(1024)
    except ConnectionError:
        return b""
