"""The rights of each login of the running system at each server: exactly those it needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pg8000.exceptions
import pg8000.native
import pika
import pika.exceptions
import pytest
import redis
import requests
import yaml

from leadline.cli.checks import broker_tags
from leadline.messages import topology
from leadline.workqueue.keys import JOBS, prefix
from local.logins import table
from tests.e2e.conftest import Leadline
from tests.e2e.test_console import CONSOLE_HEADER
from tests.faults import amqp_client
from tests.servers import eventually, postgres_connection
from tests.system import CHECKOUT, System

# Postgres: allowed statements run without effect; forbidden ones are refused before that.

#: Groups of statements; the first of a group mostly reads, the next ones insert, update, delete.
STATEMENTS = {
    "users": (
        "SELECT id FROM users LIMIT 1",
        "INSERT INTO users (full_name) SELECT full_name FROM users WHERE false",
        "UPDATE users SET full_name = full_name WHERE false",
    ),
    "events": (
        "SELECT id FROM events LIMIT 1",
        "INSERT INTO events SELECT * FROM events WHERE false",
        "UPDATE events SET due_at = due_at WHERE false",
    ),
    "outcome": ("UPDATE events SET state = state WHERE false",),
    "prune": ("DELETE FROM events WHERE false",),
    "keys": (
        "SELECT key FROM idempotency_keys LIMIT 1",
        "INSERT INTO idempotency_keys SELECT * FROM idempotency_keys WHERE false",
        "DELETE FROM idempotency_keys WHERE false",
    ),
    "stages": ("SELECT stage FROM stages LIMIT 1",),
    "portal": (
        "INSERT INTO stages SELECT * FROM stages WHERE false",
        "DELETE FROM stages WHERE false",
        "DELETE FROM held_portals WHERE false",
    ),
    "audit": ("SELECT count(*) FROM audit",),
    "jobs": (
        "SELECT id FROM bulk_jobs LIMIT 1",
        "INSERT INTO bulk_jobs SELECT * FROM bulk_jobs WHERE false",
        "UPDATE bulk_jobs SET done = done WHERE false",
        "DELETE FROM bulk_jobs WHERE false",
    ),
    "plans": (
        "SELECT count(*) FROM match_plans, match_keys, match_lines",
        "INSERT INTO match_plans (portal) SELECT 'main' WHERE false",
        "UPDATE match_lines SET outcome = outcome WHERE false",
        "DELETE FROM match_plans WHERE false",
    ),
    "held": (
        "SELECT count(*) FROM held_users",
        "INSERT INTO held_users (user_id, version, reason) SELECT 1, 1, '' WHERE false",
        "UPDATE held_users SET since = since WHERE false",
        "DELETE FROM held_users WHERE false",
    ),
    "holds": ("SELECT portal FROM held_portals LIMIT 1",),
    "search": (
        "SELECT user_id FROM user_terms LIMIT 1",
        "SELECT user_id FROM users_to_index LIMIT 1",
        "SELECT user_id FROM unsynced_users LIMIT 1",
    ),
    "history": ("SELECT * FROM leadline_present()",),
    "index": ("SELECT index_users(0)",),
    "ids": ("SELECT leadline_reserve_ids(0)",),
    "erase": (
        "SELECT * FROM leadline_erase(0, NULL, gen_random_uuid(), '', '', '', 0)",
        "SELECT * FROM erasures LIMIT 1",
    ),
    "receipt": ("UPDATE erasures SET lead = lead WHERE false",),
    "calls": (
        "SELECT calls FROM event_calls LIMIT 1",
        "INSERT INTO event_calls SELECT * FROM event_calls WHERE false",
        "UPDATE event_calls SET calls = calls WHERE false",
    ),
    "correlations": (
        "INSERT INTO event_correlations SELECT * FROM event_correlations WHERE false",
        "UPDATE event_correlations_to SET event_id = event_id WHERE false",
    ),
    # Statements that no part may run.
    "nothing": (
        "DELETE FROM users WHERE false",
        "TRUNCATE users CASCADE",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN mine integer",
        "CREATE TABLE mine (one integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "SET ROLE leadline",
        "UPDATE alembic_version SET version_num = version_num WHERE false",
        "UPDATE installation SET history = history WHERE false",
        "SELECT setval('users_id_seq', 1)",
        "SELECT leadline_fingerprint()",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "INSERT INTO user_terms VALUES ('name', 'a', 1)",
        "INSERT INTO unsynced_users VALUES ('failed', 1)",
    ),
}
_EVERYTHING = set(STATEMENTS) - {"nothing"}
#: The rights of a login: groups of statements.
ALLOWED_GROUPS = {
    "writer": {"users", "events", "keys", "stages", "history"},
    "eraser": {"erase", "history"},
    "reader": {"stages", "search", "holds", "audit"},
    "settler": {"events", "outcome", "history", "receipt", "calls"},
    "relay": _EVERYTHING,
    "operator": _EVERYTHING,
    "cli": _EVERYTHING,
    "watcher": set[str](),
}
#: Single statements that a login may run in addition to whole groups.
ALSO_ALLOWED = {
    "eraser": {STATEMENTS["users"][0], STATEMENTS["events"][0], STATEMENTS["events"][2]},
    "reader": {
        *(STATEMENTS[group][0] for group in ("users", "events", "jobs", "plans", "held")),
        STATEMENTS["erase"][1],
    },
    "settler": {
        STATEMENTS["users"][0],
        STATEMENTS["users"][2],
        STATEMENTS["erase"][1],
        *STATEMENTS["held"][:3],
    },
}


def address(system: System, secret: str, login: str) -> str:
    """The address in a secret, as the parts with this login read it."""
    file = system.state.root / "secrets" / f"{secret}-{login}"
    assert file.stat().st_mode & 0o077 == 0
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("login", ALLOWED_GROUPS)
def test_a_login_may_do_in_postgres_what_it_needs_and_nothing_else(
    system: System, login: str
) -> None:
    expected = {
        text for group in ALLOWED_GROUPS[login] for text in STATEMENTS[group]
    } | ALSO_ALLOWED.get(login, set())
    done = set()
    with postgres_connection(address(system, "database-url", login)) as connection:
        for statement in (text for group in STATEMENTS.values() for text in group):
            refusal = _refusal(connection, statement)
            if refusal is None:
                done.add(statement)
            else:
                assert refusal == "42501", statement  # insufficient privilege
    assert done == expected


def _refusal(connection: pg8000.native.Connection, statement: str) -> str | None:
    """Run the statement; the SQLSTATE with which Postgres refused it, None if it ran."""
    try:
        connection.run(statement)
    except pg8000.exceptions.DatabaseError as error:
        return str(error.args[0]["C"])
    return None


def test_no_function_of_the_schema_is_public_or_searches_writable_schemas(
    system: System,
) -> None:
    with postgres_connection(system.url("database")) as connection:
        found = connection.run(
            "SELECT proname, proacl IS NULL OR array_to_string(proacl, ',') ~ '(^|,)=',"
            " COALESCE(array_to_string(proconfig, ',') ~ 'search_path=', false)"
            " FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
    assert {"index_users", "users_were_written", "leadline_present"} <= {name for name, *_ in found}
    assert not [name for name, is_public, is_pinned in found if is_public or not is_pinned]


# RabbitMQ

QUEUES = [queue.name for queue in topology.all_queues()]
DEAD = {topology.dead_letter_name(name) for name in (topology.REQUESTS, topology.REPLIES)}
WORK = {topology.REQUESTS, topology.REPLIES}

Action = Callable[[pika.adapters.blocking_connection.BlockingChannel, str], object]


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str) -> None:
    # To the queue's exchange, which has its name. Unroutable: only the right to publish matters.
    channel.confirm_delivery()
    channel.basic_publish(queue, "no such key", b"{}")


def _publish_by_default(
    channel: pika.adapters.blocking_connection.BlockingChannel, _queue: str
) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", "no.such.queue", b"{}")


ACTIONS: dict[str, Action] = {
    "declare": lambda channel, queue: channel.queue_declare(queue, durable=True),
    "delete": lambda channel, queue: channel.queue_delete(queue, if_empty=True, if_unused=True),
    "take": lambda channel, queue: channel.basic_get(queue),
    "consume": lambda channel, queue: channel.basic_consume(queue, lambda *_: None),
    "empty": lambda channel, queue: channel.queue_purge(queue),
    "bind": lambda channel, queue: channel.queue_bind(queue, "amq.fanout"),
    "publish": _publish,
    "publish by default": _publish_by_default,
}
_OPERATES = dict.fromkeys(("take", "consume", "empty"), DEAD) | {"publish": WORK}
#: What each login may do: actions, and the queues for each.
ALLOWED_ACTIONS: dict[str, dict[str, set[str]]] = {
    "writer": {"publish": {topology.REQUESTS}},
    "eraser": {"publish": {topology.REQUESTS}},
    "relay": _OPERATES,
    "worker": {"publish": {topology.REPLIES}},
    "operator": _OPERATES,
    "cli": _OPERATES,
    "watcher": {},
}


@contextmanager
def _channel(url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        with suppress(pika.exceptions.AMQPError):
            connection.close()


def _is_refused(url: str, action: Action, queue: str) -> bool:
    """Try the action with the login of this URL; whether the broker refused access."""
    with _channel(url) as channel:
        try:
            action(channel, queue)
        except pika.exceptions.ChannelClosedByBroker as error:
            return bool(error.reply_code == 403)
    return False


@pytest.mark.parametrize("login", ALLOWED_ACTIONS)
def test_a_login_has_no_access_to_queues_of_others(system: System, login: str) -> None:
    url = address(system, "amqp-url", login)
    possible = [
        (name, queue)
        for name in ACTIONS
        for queue in QUEUES
        if name != "publish" or queue in WORK  # only these queues have an exchange
    ]
    done = {(name, queue) for name, queue in possible if not _is_refused(url, ACTIONS[name], queue)}
    allowed = ALLOWED_ACTIONS[login].items()
    assert done == {(name, queue) for name, queues in allowed for queue in queues}


def test_the_connector_has_access_to_our_queues_only(system: System) -> None:
    url = address(system, "amqp-url", "connector")
    with amqp_client.connect(system) as amqp:
        amqp.channel.queue_declare("somebody.elses", durable=True)
        try:
            for name in ("declare", "delete", "take", "consume", "empty", "bind"):
                assert _is_refused(url, ACTIONS[name], "somebody.elses"), name
            assert _is_refused(url, ACTIONS["take"], topology.dead_letter_name(topology.REQUESTS))
            assert _is_refused(url, ACTIONS["publish"], "amq.fanout")
        finally:
            amqp.channel.queue_delete("somebody.elses")


@pytest.mark.parametrize("login", [*ALLOWED_ACTIONS, "connector"])
def test_no_login_administers_rabbitmq(system: System, login: str) -> None:
    parts = urlsplit(address(system, "amqp-url", login))
    management = f"{system.url('rabbitmq_management')}/api/overview"
    answer = requests.get(management, auth=(parts.username or "", parts.password or ""), timeout=60)
    assert answer.status_code == 401


# Redis

PORTAL = prefix("main")
#: Commands that no login may run.
FORBIDDEN: tuple[tuple[str | int, ...], ...] = (
    ("CONFIG", "GET", "requirepass"),
    ("CONFIG", "SET", "dir", "/tmp"),  # noqa: S108 - refused
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", 0),
    ("RANDOMKEY",),
    ("REPLICAOF", "127.0.0.1", 1),
    ("MODULE", "LIST"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "mine", "on"),
    ("MONITOR",),
    ("SAVE",),
    ("BGREWRITEAOF",),
    ("SLOWLOG", "GET"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "PAUSE", 1),
    ("SCRIPT", "FLUSH"),
    ("SCRIPT", "KILL"),
    ("FUNCTION", "LIST"),
    ("EVAL", "return 1", 0),
    ("SWAPDB", 0, 1),
    ("MIGRATE", "127.0.0.1", 1, "one", 0, 1),
    ("DUMP", f"{PORTAL}due"),
    ("GET", "somebody.elses"),
    ("SET", "somebody.elses", 1),
    ("DEL", "somebody.elses"),
    ("PUBLISH", "rq:pubsub:1", "stop"),
)
READS = (("ZCARD", f"{PORTAL}due"), ("GET", f"{PORTAL}resumed"))
WORKS = (("LLEN", f"rq:queue:{JOBS}"), ("SMEMBERS", "rq:workers"), ("CLIENT", "LIST"))
CHANGES = (("DEL", f"{PORTAL}none"), ("SET", f"{PORTAL}none", 1), ("HGETALL", "rq:job:none"))
ALLOWED_COMMANDS = {
    "intake": {*READS, *CHANGES},
    "relay": {*READS, *CHANGES},
    "operator": {*READS, *CHANGES},
    "cli": {*READS, *CHANGES},
    "worker": {*READS, *CHANGES, *WORKS},
    "watcher": {*READS},
}


@pytest.mark.parametrize("login", ALLOWED_COMMANDS)
def test_a_login_may_run_the_redis_commands_that_it_needs(system: System, login: str) -> None:
    done = set()
    with redis.Redis.from_url(address(system, "redis-url", login)) as client:
        for command in (*READS, *CHANGES, *WORKS, *FORBIDDEN):
            try:
                client.execute_command(*command)
                done.add(command)
            except redis.exceptions.NoPermissionError:
                pass
    assert done == ALLOWED_COMMANDS[login]
    with redis.Redis.from_url(system.url("redis")) as owner:
        for command in (("DEBUG", "SLEEP", 0), ("SHUTDOWN", "NOSAVE")):
            verdict = owner.execute_command("ACL", "DRYRUN", table.by_name(login).user, *command)
            assert b"no permissions" in verdict, command
        owner.acl_log_reset()


def test_the_doctor_reports_a_login_that_administers_rabbitmq(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_tags, "PORT", urlsplit(system.url("rabbitmq_management")).port)
    assert broker_tags.surplus(system.url("amqp")) == ["administrator"]
    for login in table.LOGINS:
        if login.rabbitmq is not None:
            assert broker_tags.surplus(address(system, "amqp-url", login.name)) == []


def test_a_process_has_secrets_only_for_servers_where_it_has_a_login(system: System) -> None:
    found = {path.name for path in (system.state.root / "secrets").iterdir()}
    assert found == {*table.secrets(), "api-keys", "internal-key", "bitrix-webhook-url"}


# All parts


def test_every_part_has_a_login_and_no_process_has_the_owners(system: System) -> None:
    stack = yaml.safe_load((CHECKOUT / "stack.yml").read_text(encoding="utf-8"))["functions"]
    assert {*stack, "connector", "worker", "edge", "relay", "cli"} == set(table.PARTS)
    owners = [
        (system.state.root / "passwords" / name).read_text()
        for name in ("postgres", "rabbitmq", "redis")
    ]
    for process in system.processes():
        if process.name() in ("python", "python3"):
            visible = str(process.environ()) + str(process.cmdline())
            assert not [owner for owner in owners if owner in visible], process.cmdline()


@pytest.mark.slow("watches the servers' logs while the system works")
def test_no_server_refuses_normal_work(system: System, leadline: Leadline) -> None:
    with redis.Redis.from_url(system.url("redis")) as owner:
        owner.acl_log_reset()
        before = {name: len(system.log(name)) for name in ("postgres", "rabbitmq")}
        user = system.create("Все Права")
        path = f"/users/{user['id']}"
        assert system.request("PATCH", path, json={"phone": "+77001112299"}).status_code == 200
        moved = {"stage": "IN_PROCESS"}
        answer = system.request(
            "POST", f"{path}/move", json=moved, headers={"Idempotency-Key": "a"}
        )
        assert answer.status_code == 200
        system.await_synced(user["id"])
        for query in ("", "?stage=IN_PROCESS", "?sync=failed"):
            assert system.request("GET", f"/users{query}").status_code == 200
        user_path = f"users/{user['id']}"
        for what in ("status", "users", user_path, "failures", "settled", "dead-letters", "audit"):
            assert system.request("GET", f"/console/api/{what}").status_code == 200
        job = {"kind": "resync", "user_ids": [user["id"]]}
        answer = system.request("POST", "/console/api/jobs", json=job, headers=CONSOLE_HEADER)
        assert answer.status_code == 200
        for words in (
            ("status",),
            ("resync", str(user["id"])),
            ("portal", "pause", "--yes"),
            ("portal", "resume"),
            ("reconcile",),
            ("dead-letters", "list"),
            ("doctor",),
        ):
            result = leadline(*words)
            assert result.returncode in (0, 1), (words, result.stderr)
            assert "Traceback" not in result.stderr
        system.kill("worker")
        eventually(system.is_well, 120, "all is well again")
        system.await_relay_run()
        assert [entry["username"] for entry in owner.acl_log()] == []
    for name, length in before.items():
        new = system.log(name)[length:]
        assert "permission denied" not in new
        assert "access_refused" not in new
