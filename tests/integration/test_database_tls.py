"""TLS to Postgres as the URL demands, never weaker, for functions and migrations."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
import trustme

from leadline.errors import BadConfiguration, DatabaseDown
from leadline.runtime.postgres import connection
from leadline.runtime.postgres.migrate import migrate
from leadline.runtime.postgres.pool import Database
from local.runner.processes import unprivileged
from tests.integration.conftest import GreenletDatabase
from tests.servers import PrivateServer, eventually, private

ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A Postgres with a certificate for `localhost`; it accepts clients without TLS, too."""
    server = private("postgres", tmp_path_factory.mktemp("tls-postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def roots(server: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CA file that signed the server's certificate."""
    authority = trustme.CA()
    folder = tmp_path_factory.mktemp("roots")
    certificate = authority.issue_cert("localhost")
    data = server.state.root / "postgres"
    certificate.private_key_pem.write_to_path(str(data / "server.key"))
    (data / "server.key").chmod(0o600)
    certificate.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
    unprivileged.give_ownership(data)
    plain = Database(server.url)
    plain.run("ALTER SYSTEM SET ssl = on")
    plain.run("SELECT pg_reload_conf()")
    eventually(lambda: plain.run("SHOW ssl") == [{"ssl": "on"}], 60, "the server has TLS")
    plain.close()
    authority.cert_pem.write_to_path(str(folder / "roots.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "others.pem"))
    return folder / "roots.pem"


def url(server: PrivateServer, host: str = "127.0.0.1", **query: object) -> str:
    """The server's URL by this host name, with these TLS settings."""
    tls_url = sqlalchemy.make_url(server.url).set(host=host)
    tls_url = tls_url.update_query_dict({name: str(value) for name, value in query.items()})
    return str(tls_url.render_as_string(hide_password=False))


def is_encrypted(address: str) -> bool:
    """Whether a connection uses TLS, in a thread as in a greenlet; raises DatabaseDown."""
    found = set()
    for kind in (Database, GreenletDatabase):
        database = kind(address)
        try:
            found.add(bool(database.run(ENCRYPTED)[0]["ssl"]))
        finally:
            database.close()
    assert len(found) == 1
    return found.pop()


def test_require_fails_with_a_server_without_tls(server: PrivateServer) -> None:
    with pytest.raises(DatabaseDown):
        is_encrypted(url(server, sslmode="require"))
    assert not is_encrypted(url(server))


def test_require_encrypts_with_any_certificate(server: PrivateServer, roots: Path) -> None:
    assert roots.exists()
    assert is_encrypted(url(server, sslmode="require"))
    assert not is_encrypted(url(server, sslmode="disable"))


def test_a_long_answer_arrives_whole_in_a_greenlet(server: PrivateServer, roots: Path) -> None:
    assert roots.exists()
    database = GreenletDatabase(url(server, sslmode="require"))
    rows = database.run("SELECT repeat('x', 1000) AS text FROM generate_series(1, 1000)")
    assert rows == [{"text": "x" * 1000}] * 1000
    database.close()


def test_a_certificate_is_verified_with_the_given_ca(server: PrivateServer, roots: Path) -> None:
    assert is_encrypted(url(server, sslmode="verify-ca", sslrootcert=roots))
    for unknown in (roots.parent / "others.pem", "system"):
        with pytest.raises(DatabaseDown):
            is_encrypted(url(server, sslmode="verify-ca", sslrootcert=unknown))


def test_verify_full_checks_the_servers_name_too(server: PrivateServer, roots: Path) -> None:
    assert is_encrypted(url(server, "localhost", sslmode="verify-full", sslrootcert=roots))
    with pytest.raises(DatabaseDown):
        is_encrypted(url(server, sslmode="verify-full", sslrootcert=roots))


def test_an_encrypted_connection_is_reused_and_replaced_when_cut(
    server: PrivateServer, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CHECK_AFTER_S", 0)
    database = Database(url(server, sslmode="verify-ca", sslrootcert=roots))
    admin = Database(server.url)
    (first,) = database.run("SELECT pg_backend_pid() AS pid")
    assert database.run("SELECT pg_backend_pid() AS pid") == [first]
    admin.run("SELECT pg_terminate_backend(:pid, 60000)", pid=first["pid"])
    assert database.run("SELECT pg_backend_pid() AS pid") != [first]
    database.close()
    admin.close()


def test_migrations_connect_by_the_same_rules(server: PrivateServer, roots: Path) -> None:
    with pytest.raises(DatabaseDown):
        migrate(url(server, sslmode="verify-full", sslrootcert=roots))
    plain = Database(server.url)
    rules_file = server.state.root / "postgres" / "pg_hba.conf"
    rules = rules_file.read_text(encoding="utf-8")
    try:
        rules_file.write_text(f"hostnossl all leadline all reject\n{rules}", encoding="utf-8")
        plain.run("SELECT pg_reload_conf()")
        eventually(lambda: _is_refused(server), 60, "clients without TLS are refused")
        migrate(url(server, "localhost", sslmode="verify-full", sslrootcert=roots))
    finally:
        rules_file.write_text(rules, encoding="utf-8")
        plain.run("SELECT pg_reload_conf()")
        plain.close()


def _is_refused(server: PrivateServer) -> bool:
    try:
        is_encrypted(url(server))
    except Exception:  # noqa: BLE001 - by any error
        return True
    return False


@pytest.mark.parametrize(
    "query", [{"sslmode": "prefer"}, {"sslmode": "verify-ca", "sslrootcert": "/no/such/file"}]
)
def test_invalid_tls_settings_are_a_configuration_error(query: dict[str, str]) -> None:
    tls_url = sqlalchemy.make_url("postgresql://u:hunter2@127.0.0.1/d").update_query_dict(query)
    with pytest.raises(BadConfiguration) as caught:
        Database(tls_url.render_as_string(hide_password=False))
    assert "hunter2" not in str(caught.value)
