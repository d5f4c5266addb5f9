"""Databases filled with any number of settled users and events, as after years of use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pg8000.native

from leadline.runtime.postgres.dsn import servers
from leadline.runtime.postgres.migrate import migrate

#: The events were settled within this time, shorter than LEADLINE_KEEP_EVENTS_S: none is pruned.
_SETTLED_WITHIN = "20 days"

_USERS = """
INSERT INTO users (id, full_name, phone, stage, bitrix_lead_id, synced_version, sync_status,
                   sync_attempts)
SELECT id, 'Пользователь ' || id, '+7' || (7000000000 + id),
       (ARRAY['NEW', 'IN_PROCESS', 'PROCESSED'])[1 + id % 3], 1000000000000 + id, 1,
       'synced', 1 -- no portal of a benchmark creates these leads
FROM generate_series(1, CAST(:users AS bigint)) AS id
"""

_EVENTS = f"""
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed, correlation_id,
                    traceparent, state, attempts, occurred_at, published_at, sendings, due_at,
                    settled_at)
SELECT gen_random_uuid(), id, 1, 'create_card', full_name, phone, stage, 'full_name,phone,stage',
       gen_random_uuid(), '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
       'synced', 1, moment, moment, 1, NULL, moment
FROM users, LATERAL (
    SELECT now() - id * interval '{_SETTLED_WITHIN}' / CAST(:users AS bigint) AS moment
) AS at
"""  # noqa: S608 - a constant

# The same terms as the relay writes, since `fill` disables triggers.
_TERMS = """
INSERT INTO user_terms SELECT 'name', lower(full_name), id FROM users
UNION ALL SELECT 'stage', stage, id FROM users
UNION ALL SELECT 'phone', phone, id FROM users ORDER BY 1, 2, 3
"""

_SETTLE_EVENTS = """
UPDATE events SET state = 'synced', attempts = 1, settled_at = now(), due_at = NULL
WHERE state = 'open'
"""
_SETTLE_USERS = """
UPDATE users SET bitrix_lead_id = COALESCE(bitrix_lead_id, 1000000000000 + id),
                 synced_version = version,
                 sync_status = 'synced', sync_attempts = 1
WHERE synced_version IS DISTINCT FROM version
"""

#: New users whose first event waits to be published by the relay.
_WAITING = """
WITH new AS (
    INSERT INTO users (full_name, phone, stage)
    SELECT 'Пользователь ' || number, '+7' || (7000000000 + number), 'NEW'
    FROM generate_series(1, CAST(:users AS bigint)) AS number
    RETURNING id, full_name, phone, stage
)
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed, correlation_id,
                    traceparent, due_at)
SELECT gen_random_uuid(), id, 1, 'create_card', full_name, phone, stage, 'full_name,phone,stage',
       gen_random_uuid(), '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
       now() + make_interval(secs => CAST(:due_in_s AS double precision))
FROM new
"""


@contextmanager
def connection(url: str) -> Iterator[pg8000.native.Connection]:
    """A connection without a time-out."""
    with pg8000.native.Connection(**servers(url).options[0]) as opened:
        yield opened


def rows(url: str, sql: str, **params: object) -> list[list[Any]]:
    """The rows that a query returns."""
    with connection(url) as opened:
        return [list(row) for row in opened.run(sql, **params) or ()]


def create_database(server_url: str, name: str, users: int) -> str:
    """Create and migrate a database with settled users and events; returns its URL."""
    with connection(server_url) as opened:
        opened.run(f"CREATE DATABASE {name}")
    parts = urlsplit(server_url)
    url = urlunsplit(parts._replace(path=f"/{name}"))
    migrate(url)
    fill(url, users)
    return url


def fill(url: str, users: int) -> None:
    """Insert users with ids from 1, each with one settled event."""
    with connection(url) as opened:
        # Disables triggers, and so millions of foreign key checks.
        opened.run("SET session_replication_role = replica")
        opened.run(_USERS, users=users)
        opened.run(_EVENTS, users=users)
        _insert_terms(opened)
        opened.run("SELECT setval('users_id_seq', :users)", users=users)
        _vacuum(opened)
        opened.run("CHECKPOINT")


def _insert_terms(opened: pg8000.native.Connection) -> None:
    """Drop the trigram indexes, insert the terms, and build the indexes: a hundred times faster."""
    indexes = opened.run(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE tablename = 'user_terms' AND indexdef LIKE '% gin %'"
    )
    for name, _ in indexes or ():
        opened.run(f"DROP INDEX {name}")
    opened.run(_TERMS)
    for _, definition in indexes or ():
        opened.run(definition)


def _vacuum(opened: pg8000.native.Connection) -> None:
    for table in ("users", "events", "user_terms", "users_to_index", "unsynced_users"):
        opened.run(f"VACUUM ANALYZE {table}")


def add_waiting(url: str, users: int, due_in_s: float) -> None:
    """Insert users with unpublished events, due in `due_in_s` seconds."""
    with connection(url) as opened:
        opened.run(_WAITING, users=users, due_in_s=due_in_s)
        opened.run("ANALYZE users")
        opened.run("ANALYZE events")


def settle_all(url: str) -> None:
    """Mark all open events as synced, as no worker does it here."""
    with connection(url) as opened:
        opened.run(_SETTLE_EVENTS)
        opened.run(_SETTLE_USERS)
        _vacuum(opened)


def size_mib(url: str) -> float:
    """MiB of tables and indexes on disk."""
    [[size]] = rows(url, "SELECT pg_database_size(current_database())")
    return float(size) / 1024 / 1024
