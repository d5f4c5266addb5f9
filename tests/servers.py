"""Real servers for tests, and other processes."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import psutil
import redis

from local.sandbox.servers import PrivateServer, free_port, private
from local.sandbox.waiting import eventually
from tests.forks import Fork

__all__ = [
    "PrivateServer",
    "eventually",
    "exit_code_of",
    "free_port",
    "postgres_connection",
    "private",
    "restart_redis",
    "silent_listener",
]


def postgres_connection(url: str, timeout_s: float = 60) -> pg8000.native.Connection:
    """A connection to Postgres with the login in this URL; without TLS, which would cost 20 ms."""
    parts = urlsplit(url)
    return pg8000.native.Connection(
        parts.username or "",
        host=parts.hostname or "",
        port=parts.port or 5432,
        database=parts.path[1:],
        password=parts.password,
        timeout=timeout_s,
        ssl_context=False,
    )


def family(pid: int) -> list[psutil.Process]:
    """The process and its descendants; raises psutil.NoSuchProcess if it is gone."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def exit_code_of(process: subprocess.Popen[bytes] | Fork, within_s: float = 60) -> int:
    """The exit code of a process that is about to end.

    Raises:
        subprocess.TimeoutExpired: it did not end; stderr shows the stacks of its threads.
    """
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # see PYTHONFAULTHANDLER in conftest.py
        process.wait(60)
        raise


@contextmanager
def silent_listener() -> Iterator[socket.socket]:
    """A listener on 127.0.0.1 that neither accepts nor refuses: its queue of connections is full.

    To clients it is like a machine that is cut off.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # more than Linux queues at this backlog
            pending = stack.enter_context(socket.socket())
            pending.settimeout(0)
            pending.connect_ex(listener.getsockname())
        yield listener


def restart_redis(server: PrivateServer, client: redis.Redis) -> None:
    """Restart Redis once its append-only file contains every write, so that nothing is lost.

    While a disk is slow, Redis writes the file up to 2 s later, and a slow stop ends in a kill.
    """

    def is_file_complete() -> bool:
        persistence: Any = client.info("persistence")
        return bool(persistence["aof_buffer_length"] == 0)

    eventually(is_file_complete, 60, "Redis has written its append-only file")
    server.restart()
