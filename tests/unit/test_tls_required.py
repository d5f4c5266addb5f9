"""A server without TLS gets no password if TLS is required, for each client."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError
from redis import RedisError

from leadline.connector.queue_depths import depths
from leadline.errors import LeadlineError
from leadline.runtime.postgres.pool import Database
from leadline.runtime.redis import connect
from local.gateway import checks

PASSWORD = b"hunter2hunter2"
#: AuthenticationCleartextPassword: https://www.postgresql.org/docs/current/protocol-message-formats.html
ASK_FOR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
#: Length of Postgres' SSLRequest in bytes, with which a client asks for TLS (same page).
SSL_REQUEST_BYTES = 8
#: The answer to it of a server without TLS.
REFUSE_TLS = b"N"


@dataclass
class ServerWithoutTls:
    """Refuses TLS as Postgres does, asks for the password, and records what it receives."""

    port: int
    received: bytearray = field(default_factory=bytearray)
    #: Released after each connection.
    connections: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def listen(self, listener: socket.socket) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(60)
                for _ in range(3):  # a request for TLS, a login and its password
                    self.received += connection.recv(4096)
                    connection.settimeout(0.5)  # a client that has given up sends nothing more
                    is_asked_for_tls = len(self.received) == SSL_REQUEST_BYTES
                    connection.sendall(REFUSE_TLS if is_asked_for_tls else ASK_FOR_PASSWORD)
            self.connections.release()


@pytest.fixture
def server_without_tls() -> Iterator[ServerWithoutTls]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ServerWithoutTls(listener.getsockname()[1])
        thread = threading.Thread(target=server.listen, args=[listener], daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def postgres(port: int) -> str:
    return f"postgresql://u:{PASSWORD.decode()}@127.0.0.1:{port}/d?sslmode=verify-full"


def rabbitmq(port: int) -> str:
    return f"amqps://u:{PASSWORD.decode()}@127.0.0.1:{port}/"


def redis(port: int) -> str:
    return f"rediss://:{PASSWORD.decode()}@127.0.0.1:{port}/0"


CONNECTING: dict[str, tuple[Callable[[int], str], Callable[[str], object]]] = {
    "a function's Postgres": (postgres, lambda url: Database(url).run("SELECT 1")),
    "the edge's Postgres": (postgres, checks.check_postgres),
    "a process's RabbitMQ": (rabbitmq, lambda url: depths(url, ["bitrix_queue"])),
    "the edge's RabbitMQ": (rabbitmq, checks.check_rabbitmq),
    "a process's Redis": (redis, lambda url: connect(url, timeout_s=1).ping()),
    "the edge's Redis": (redis, checks.check_redis),
}


@pytest.mark.parametrize("client", CONNECTING)
def test_a_server_without_tls_gets_no_password(
    server_without_tls: ServerWithoutTls, client: str
) -> None:
    address, connect_to = CONNECTING[client]
    with pytest.raises((LeadlineError, AMQPError, AMQPConnectorException, RedisError, OSError)):
        connect_to(address(server_without_tls.port))
    assert server_without_tls.connections.acquire(timeout=60)
    assert server_without_tls.received
    assert PASSWORD not in server_without_tls.received
