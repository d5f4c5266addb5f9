"""TLS to RabbitMQ and Redis as the URL demands, never weaker."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
import redis
import trustme
from pika.exceptions import AMQPError

from leadline.errors import BadConfiguration
from leadline.runtime import redis_nodes
from leadline.runtime.rabbitmq import connection
from leadline.runtime.redis import connect
from local.runner.processes import unprivileged
from local.runner.processes.program import Program
from local.runner.servers.selection import Server
from local.sandbox.waiting import eventually
from tests.servers import PrivateServer, free_port, private


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate for `localhost`, not for 127.0.0.1, and with two CAs.

    `roots.pem` is the CA that issued the certificate, `others.pem` is another.
    """
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    authority.cert_pem.write_to_path(str(folder / "roots.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "others.pem"))
    unprivileged.give_ownership(folder)
    return folder


def _address(url: str, scheme: str, port: int) -> str:
    """The URL of the same server over TLS; tests replace HOST by a name or an address."""
    parts = urlsplit(url)
    return f"{scheme}://{parts.username or ''}:{parts.password}@HOST:{port}{parts.path}"


@dataclass(frozen=True)
class RabbitMQWithTls:
    """A private RabbitMQ that also listens with TLS on another port."""

    plain: Server
    config: Path
    #: The settings to add, as Erlang terms.
    erlang_settings: str

    @property
    def url(self) -> str:
        return self.plain.url

    def programs(self) -> tuple[Program, ...]:
        programs = self.plain.programs()
        text = self.config.read_text("utf-8")
        self.config.write_text(
            text.replace("{tcp_listeners", f"{self.erlang_settings}, {{tcp_listeners", 1)
        )
        return programs

    def make_ready(self) -> bool:
        return self.plain.make_ready()


@pytest.fixture(scope="module")
def rabbitmq(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    names = {"cacert": "roots", "cert": "certificate", "key": "key"}
    files = ",".join(f'{{{kind}file, "{certificates}/{name}.pem"}}' for kind, name in names.items())
    erlang_settings = f'{{ssl_listeners, [{{"127.0.0.1", {port}}}]}}, {{ssl_options, [{files}]}}'
    plain = private("rabbitmq", tmp_path_factory.mktemp("tls-rabbitmq"))
    config = plain.state.root / "rabbitmq" / "rabbitmq.config"
    server = PrivateServer(RabbitMQWithTls(plain.server, config, erlang_settings), plain.state)
    server.start()
    yield _address(server.url, "amqps", port)
    server.stop()


@pytest.fixture(scope="module")
def redis_server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = private("redis", tmp_path_factory.mktemp("tls-redis"))
    port = free_port()
    server.start()
    with redis.Redis.from_url(server.url) as plain:
        plain.config_set("tls-auth-clients", "no")
        plain.config_set("tls-ca-cert-file", str(certificates / "roots.pem"))
        # In one command, as Redis checks that certificate and key belong together.
        certificate = ("tls-cert-file", f"{certificates}/certificate.pem")
        key = ("tls-key-file", f"{certificates}/key.pem")
        plain.execute_command("CONFIG", "SET", *certificate, *key)
        plain.config_set("tls-port", port)
    yield _address(server.url, "rediss", port)
    server.stop()


@pytest.fixture(scope="module")
def sentinel(
    certificates: Path, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A Sentinel that speaks TLS only, as does the master that it names by its host name."""
    port = free_port()
    config = tmp_path_factory.mktemp("tls-sentinel") / "sentinel.conf"
    master = urlsplit(redis_server.replace("HOST", "localhost"))
    lines = (
        "port 0",
        f"tls-port {port}",
        "bind 127.0.0.1",
        "requirepass for-sentinels",
        "tls-auth-clients no",
        "tls-replication yes",
        f"tls-ca-cert-file {certificates}/roots.pem",
        f"tls-cert-file {certificates}/certificate.pem",
        f"tls-key-file {certificates}/key.pem",
        "sentinel resolve-hostnames yes",
        "sentinel announce-hostnames yes",
        f"sentinel monitor main localhost {master.port} 1",
        f"sentinel auth-pass main {master.password}",
    )
    config.write_text("\n".join(lines), encoding="utf-8")
    program = shutil.which("redis-server") or "redis-server"
    process = subprocess.Popen((program, str(config), "--sentinel"), stdout=subprocess.DEVNULL)
    try:
        yield (
            f"rediss+sentinel://:{master.password}@HOST:{port}/main/0"
            f"?sentinel_password=for-sentinels&ssl_ca_certs={certificates}/roots.pem"
        )
    finally:
        process.kill()
        process.wait()


def _talks_to_rabbitmq(url: str) -> bool:
    try:
        pika.BlockingConnection(connection.parameters(url)).close()
    except (AMQPError, OSError):
        return False
    return True


def _talks_to_redis(url: str) -> bool:
    try:
        with connect(url) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.AuthenticationError):
        return False


def test_rabbitmqs_certificate_is_verified_by_ca_and_name(
    rabbitmq: str, certificates: Path
) -> None:
    roots, others = certificates / "roots.pem", certificates / "others.pem"
    assert _talks_to_rabbitmq(f"{rabbitmq.replace('HOST', 'localhost')}?cacertfile={roots}")
    assert not _talks_to_rabbitmq(f"{rabbitmq.replace('HOST', '127.0.0.1')}?cacertfile={roots}")
    assert not _talks_to_rabbitmq(f"{rabbitmq.replace('HOST', 'localhost')}?cacertfile={others}")
    assert not _talks_to_rabbitmq(rabbitmq.replace("HOST", "localhost"))
    assert _talks_to_rabbitmq(f"{rabbitmq.replace('HOST', '127.0.0.1')}?verify=verify_none")


def test_redis_certificate_is_verified_by_ca_and_name(
    redis_server: str, certificates: Path
) -> None:
    roots, others = certificates / "roots.pem", certificates / "others.pem"
    assert _talks_to_redis(f"{redis_server.replace('HOST', 'localhost')}?ssl_ca_certs={roots}")
    assert not _talks_to_redis(f"{redis_server.replace('HOST', '127.0.0.1')}?ssl_ca_certs={roots}")
    assert not _talks_to_redis(f"{redis_server.replace('HOST', 'localhost')}?ssl_ca_certs={others}")
    assert not _talks_to_redis(redis_server.replace("HOST", "localhost"))
    assert _talks_to_redis(f"{redis_server.replace('HOST', '127.0.0.1')}?ssl_cert_reqs=none")


def test_sentinels_and_the_master_that_they_name_are_verified(
    sentinel: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sentinel.replace("HOST", "localhost")
    eventually(lambda: _talks_to_redis(url), 60, "the Sentinel has found its master")
    eventually(
        lambda: [node.role for node in redis_nodes.nodes(url)] != [""],  # "": not reachable
        60,
        "the Sentinel names its master",
    )
    assert not _talks_to_redis(sentinel.replace("HOST", "127.0.0.1"))
    assert not _talks_to_redis(url.replace("roots.pem", "others.pem"))
    assert not _talks_to_redis(url.replace("for-sentinels", "wrong"))
    assert not _talks_to_redis(url.replace(str(urlsplit(url).password), "wrong"))
    monkeypatch.setenv("LEADLINE_CLEARTEXT", "redis")
    plain = url.replace("rediss+", "redis+")
    certificate = f"&ssl_ca_certs={certificates}/roots.pem"
    assert not _talks_to_redis(plain.replace(certificate, ""))


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:hunter2@h/?cacertfile=/etc/hosts",
        "amqps://u:hunter2@h/?cacertfile=/no/such/file",
        "amqps://u:hunter2@h/?cacertfile=/etc/hosts",
        "amqps://u:hunter2@h/?verify=perhaps",
        "amqps://u:hunter2@h:port/",
    ],
)
def test_an_invalid_amqp_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        connection.parameters(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@h/0?ssl_ca_certs=/etc/hosts",
        "rediss://:hunter2@h/0?ssl_ca_certs=/no/such/file",
        "rediss://:hunter2@h/0?ssl_cert_reqs=perhaps",
        "rediss://:hunter2@h/0?ssl_ca_cert=/etc/hosts",
        "http://:hunter2@h/0",
    ],
)
def test_an_invalid_redis_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)
