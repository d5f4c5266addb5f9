"""Every fault of the laboratory, each a small function: break, `yield`, repair.

`@fault(target, …)` registers it in `FAULTS`. Faults of one target never overlap, those of different
ones do. A fault records in the round's `Consequences` how it changes what may be expected (a
message that must become a dead letter, leads that may be refused).
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import pg8000.exceptions
import pika
import psutil
import requests

from leadline.ledger.event import event_from_row
from leadline.ledger.outbox import to_message
from leadline.messages import topology
from leadline.runtime.postgres.json_rows import as_json
from tests.checker.history import FULL_NAME, STAGE, Fork, Window
from tests.faults.bench import LEASE_S, PLAIN_HTTP, Bench
from tests.faults.damage import HTTP_DAMAGES, TLS_DAMAGES, Damage
from tests.faults.workload import NAMES, STAGES, Client, Workload
from tests.servers import family

#: The portal's error for a create that it never accepts.
REJECTION = "this lead is not wanted"


@dataclass
class Consequences:
    """How the faults of a round change the expectations at its end."""

    #: Ids of unprocessable messages, by the dead letter queue in which they belong.
    poison: dict[str, str] = field(default_factory=dict)
    #: The broker has lost queues together with any messages in them.
    messages_were_lost: bool = False
    #: Reasons for which users may stay failed; "late" is that of a forged reply.
    rejections: set[str] = field(default_factory=lambda: {REJECTION, "late"})
    #: Events that a fault delivered or answered.
    replayed: set[str] = field(default_factory=set)
    #: When Redis lost data.
    redis_losses: list[float] = field(default_factory=list)
    #: When our processes or servers were killed or cut off.
    losses: list[Window] = field(default_factory=list)
    #: Promotions of a standby that may have lagged behind.
    forks: list[Fork] = field(default_factory=list)
    #: When the network to the portal was disturbed.
    blurs: list[Window] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """The objects on which a fault acts."""

    bench: Bench
    dice: random.Random
    consequences: Consequences
    workload: Workload


Injection = Callable[[Scene], Iterator[None]]
#: The expectations that a fault suspends while it lasts: its time becomes one of the `losses` of
#: `Consequences`, one of the `blurs`, or both.
Excuse = Literal["loss", "blur", "both", "nothing"]


@dataclass(frozen=True)
class Fault:
    """A kind of fault, and how long it may last."""

    name: str
    #: Its target; "" for faults that may overlap any other.
    target: str
    #: Shortest and longest time between breaking and repairing.
    seconds: tuple[float, float]
    #: Its probability relative to the others.
    weight: float
    excuse: Excuse
    inject: Injection


FAULTS: dict[str, Fault] = {}


def fault(
    target: str,
    seconds: tuple[float, float] = (0, 0),
    weight: float = 1,
    excuse: Excuse = "loss",
) -> Callable[[Injection], Injection]:
    """Register a function as a fault under its own name."""

    def register(inject: Injection) -> Injection:
        name = inject.__name__
        FAULTS[name] = Fault(
            name, target=target, seconds=seconds, weight=weight, excuse=excuse, inject=inject
        )
        return inject

    return register


# Processes


@fault("", weight=6)
def a_process_killed(scene: Scene) -> Iterator[None]:
    scene.bench.send(scene.dice.choice(scene.bench.process_names()), signal.SIGKILL)
    yield


@fault("", weight=2)
def several_processes_killed(scene: Scene) -> Iterator[None]:
    names = scene.bench.process_names()
    for name in scene.dice.sample(names, min(5, len(names))):
        scene.bench.send(name, signal.SIGKILL)
    yield


@fault("processes", weight=1)
def all_processes_killed(scene: Scene) -> Iterator[None]:
    for name in scene.bench.process_names():
        scene.bench.send(name, signal.SIGKILL)
    yield


@fault("", weight=1)
def a_process_terminated(scene: Scene) -> Iterator[None]:
    scene.bench.send(scene.dice.choice(scene.bench.process_names()), signal.SIGTERM)
    yield


@fault("processes", (1, 6), weight=3)
def a_process_frozen(scene: Scene) -> Iterator[None]:
    yield from _frozen(scene, scene.bench.process_names())


@fault("processes", (LEASE_S + 2, LEASE_S + 4), weight=1)
def a_worker_frozen_past_its_lease(scene: Scene) -> Iterator[None]:
    yield from _frozen(scene, _workers(scene.bench))


def _frozen(scene: Scene, names: list[str]) -> Iterator[None]:
    pid = scene.bench.system.run["processes"][scene.dice.choice(names)]
    processes = _family(pid)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    yield
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return family(pid)
    return []


# The network to each server


def _register_network_faults(server: str, weight: float) -> None:
    def connections_reset(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[server].cut()
        yield

    def black_hole(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[server].stall()
        yield
        scene.bench.proxies[server].heal()

    def slow(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[server].delay_s = scene.dice.uniform(0.02, 0.3)
        yield
        scene.bench.proxies[server].heal()

    def answers_lost(scene: Scene) -> Iterator[None]:
        # With TLS, a deaf proxy in front would prevent new connections.
        proxy = scene.bench.proxies[PLAIN_HTTP if server == "bitrix24" else server]
        proxy.is_deaf = True
        yield
        proxy.heal()

    def refusing(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[server].is_closed = True
        scene.bench.proxies[server].cut()
        yield
        scene.bench.proxies[server].heal()

    def cut_in_mid_message(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[server].bytes_left = scene.dice.randrange(20_000)
        yield
        scene.bench.proxies[server].heal()

    lasting = {black_hole: (0.5, 6), slow: (1, 6), answers_lost: (0.2, 3), refusing: (0.5, 5)}
    excuse: Excuse = "blur" if server == "bitrix24" else "loss"
    for inject in (connections_reset, cut_in_mid_message, *lasting):
        inject.__name__ = f"{server}_{inject.__name__}"
        seconds = lasting.get(inject, (0, 2))
        fault(server, seconds, weight=weight, excuse=excuse)(inject)


for _server in ("postgres", "rabbitmq", "redis", "bitrix24"):
    _register_network_faults(_server, weight=0.8)


# Servers that end or hang


def _register_crash(server: str, signal_: signal.Signals, name: str, weight: float) -> None:
    def crash(scene: Scene) -> Iterator[None]:
        with scene.bench.locks[server]:
            scene.bench.crash(server, signal_)
        if server == "rabbitmq" and signal_ == signal.SIGKILL:
            # RabbitMQ moves messages from a delay queue to the next one without a confirm.
            scene.consequences.messages_were_lost = True
        yield
        with scene.bench.locks[server]:
            scene.bench.revive(server)

    crash.__name__ = f"{server}_{name}"
    excuse: Excuse = "blur" if server == "bitrix24" else "loss"
    fault(server, (0, 3), weight=weight, excuse=excuse)(crash)


def _register_freeze(server: str, seconds: tuple[float, float]) -> None:
    def freeze(scene: Scene) -> Iterator[None]:
        scene.bench.servers[server].freeze()
        yield
        scene.bench.servers[server].thaw()

    freeze.__name__ = f"{server}_frozen"
    fault(server, seconds, excuse="blur" if server == "bitrix24" else "loss")(freeze)


_register_crash("postgres", signal.SIGQUIT, "stopped_immediately", weight=1)
_register_crash("postgres", signal.SIGKILL, "killed", weight=1)
_register_crash("rabbitmq", signal.SIGTERM, "restarted", weight=0.7)
_register_crash("rabbitmq", signal.SIGKILL, "killed", weight=0.7)
_register_crash("redis", signal.SIGKILL, "killed", weight=1.5)
_register_crash("bitrix24", signal.SIGKILL, "killed", weight=1)
for _server, _longest_s in (("postgres", 6), ("rabbitmq", 8), ("redis", 6), ("bitrix24", 10)):
    _register_freeze(_server, (1, _longest_s))


# Lost data


@fault("rabbitmq", (0, 2), weight=0.7)
def rabbitmq_wiped(scene: Scene) -> Iterator[None]:
    with scene.bench.locks["rabbitmq"]:
        scene.bench.crash("rabbitmq")
        scene.bench.wipe("rabbitmq")
        scene.consequences.messages_were_lost = True
        yield
        scene.bench.revive("rabbitmq")


@fault("redis", weight=2)
def redis_flushed(scene: Scene) -> Iterator[None]:
    scene.consequences.redis_losses.append(time.time())
    with scene.bench.redis() as redis:
        redis.flushall()
    yield


@fault("redis", (0, 2), weight=1)
def redis_wiped(scene: Scene) -> Iterator[None]:
    scene.consequences.redis_losses.append(time.time())
    with scene.bench.locks["redis"]:
        scene.bench.crash("redis")
        scene.bench.wipe("redis")
        yield
        scene.bench.revive("redis")


@fault("redis", (0, 1), weight=1)
def redis_lost_its_last_second(scene: Scene) -> Iterator[None]:
    """Lose the writes of the last second, as a power cut with `appendfsync everysec` does."""
    with scene.bench.locks["redis"]:
        files = sorted((scene.bench.servers["redis"].state.root / "redis").rglob("*.aof"))
        sizes = {path: path.stat().st_size for path in files}
        time.sleep(scene.dice.uniform(0.1, 1))
        scene.bench.crash("redis")
        scene.consequences.redis_losses.append(time.time())
        for path, size in sizes.items():
            with path.open("r+b") as file:
                file.truncate(size)
        yield
        scene.bench.revive("redis")


@fault("redis", (0, 1), weight=1)
def redis_restored_from_a_copy(scene: Scene) -> Iterator[None]:
    """Restore a copy that is at most a second old, as from a snapshot of the disk."""
    folder = scene.bench.servers["redis"].state.root / "redis"
    copy = folder.with_name("redis-copy")
    with scene.bench.locks["redis"]:
        shutil.copytree(folder, copy)
        time.sleep(scene.dice.uniform(0, 0.5))
        scene.bench.crash("redis")
        scene.consequences.redis_losses.append(time.time())
        shutil.rmtree(folder)
        copy.rename(folder)
        yield
        scene.bench.revive("redis")


@fault("redis", (0.5, 4), weight=1)
def redis_demoted(scene: Scene) -> Iterator[None]:
    """Demote Redis: like a replaced master it answers pings and refuses writes."""
    with scene.bench.redis() as redis:
        redis.replicaof("127.0.0.1", "1")
        yield
        redis.replicaof("NO", "ONE")


@fault("redis", weight=1)
def redis_flushed_and_all_processes_killed(scene: Scene) -> Iterator[None]:
    yield from redis_flushed(scene)
    for name in scene.bench.process_names():
        scene.bench.send(name, signal.SIGKILL)


@fault("rabbitmq", weight=0.5)
def a_queue_deleted(scene: Scene) -> Iterator[None]:
    scene.consequences.messages_were_lost = True
    with scene.bench.channel() as channel:
        channel.queue_delete(scene.dice.choice((topology.REQUESTS, topology.REPLIES)))
    yield


# Servers that are full, read-only or locked


@fault("redis", (0.5, 4), weight=1)
def redis_out_of_memory(scene: Scene) -> Iterator[None]:
    with scene.bench.redis() as redis:
        redis.config_set("maxmemory", "1mb")
        yield
        redis.config_set("maxmemory", "0")


@fault("redis", weight=0.5)
def redis_lost_its_scripts(scene: Scene) -> Iterator[None]:
    with scene.bench.redis() as redis:
        redis.script_flush()
    yield


@fault("rabbitmq", (2, 6), weight=0.7)
def rabbitmq_out_of_memory(scene: Scene) -> Iterator[None]:
    """Raise the memory alarm, which blocks every publisher."""
    scene.bench.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
    yield
    scene.bench.rabbitmqctl("set_vm_memory_high_watermark", "0.4")


@fault("rabbitmq", (2, 6), weight=0.7)
def rabbitmq_out_of_disk(scene: Scene) -> Iterator[None]:
    """Require more free space than any disk has, then as little as usual."""
    scene.bench.rabbitmqctl("set_disk_free_limit", str(10**14))
    yield
    scene.bench.rabbitmqctl("set_disk_free_limit", str(10**6))


@fault("postgres", (0.5, 4), weight=1)
def postgres_out_of_space(scene: Scene) -> Iterator[None]:
    """Raise Postgres' error for a full disk whenever events are inserted or updated."""
    scene.bench.rows(
        "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;"
        "CREATE OR REPLACE TRIGGER full_disk BEFORE INSERT OR UPDATE ON events"
        " EXECUTE FUNCTION full_disk()"
    )
    yield
    scene.bench.rows("DROP TRIGGER IF EXISTS full_disk ON events")


@fault("postgres", (0.5, 4), weight=0.7)
def postgres_read_only(scene: Scene) -> Iterator[None]:
    scene.bench.rows("ALTER SYSTEM SET default_transaction_read_only = on")
    scene.bench.rows("SELECT pg_reload_conf()")
    yield
    scene.bench.rows("SET transaction_read_only = off")
    scene.bench.rows("ALTER SYSTEM RESET default_transaction_read_only")
    scene.bench.rows("SELECT pg_reload_conf()")


@fault("postgres", weight=1)
def postgres_sessions_ended(scene: Scene) -> Iterator[None]:
    scene.bench.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND application_name = 'leadline'"
    )
    yield


@fault("postgres", weight=0.7)
def a_postgres_backend_killed(scene: Scene) -> Iterator[None]:
    """Kill a backend: the postmaster ends all sessions and recovers."""
    sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'leadline'"
    pids = [row["pid"] for row in scene.bench.rows(sql)]
    if pids:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(scene.dice.choice(pids)).kill()
    yield


@fault("postgres", weight=0.7)
def users_locked(scene: Scene) -> Iterator[None]:
    """Lock users for longer than a statement waits for a lock."""
    with suppress(pg8000.exceptions.Error, OSError):
        scene.bench.rows(
            "DO $$ BEGIN LOCK TABLE users IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep(4); END $$"
        )
    yield


# Failures of the portal


def _register_portal_faults() -> None:
    refused: dict[str, Any] = {"action": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"}
    rules: dict[str, dict[str, Any]] = {
        "portal_drops_before": {"action": "drop_before", "share": 0.3},
        "portal_drops_after": {"action": "drop_after", "share": 0.3},
        "portal_drops_midway": {"action": "drop_after", "after_commands": 1, "share": 0.5},
        "portal_commits_late": {"action": "late_commit", "delay_ms": 2000, "share": 0.4},
        "portal_commits_silently": {
            "action": "late_commit",
            "delay_ms": 2000,
            "silent": True,
            "share": 0.4,
        },
        "portal_is_slow": {"action": "delay", "delay_ms": 2500, "share": 0.5},
        "portal_fails": {"action": "error", "status": 500, "share": 0.4},
        "portal_fails_with_200": {"action": "error_200", "share": 0.4},
        "portal_shows_html": {"action": "html_502", "share": 0.4},
        "portal_shows_html_after_all": {"action": "html_502", "execute": True, "share": 0.4},
        "portal_answers_half": {"action": "truncate", "share": 0.4},
        "portal_redirects": {"action": "redirect", "count": 1},
        "portal_refuses": {**refused, "count": 3},
        "portal_overruns": {
            "action": "error",
            "status": 429,
            "code": "OPERATION_TIME_LIMIT",
            "count": 3,
        },
        "portal_fails_a_create": {"method": "crm.item.add", "action": "error", "share": 0.3},
        "portal_rejects_a_create": {
            "method": "crm.item.add",
            "action": "error",
            "code": "ERROR_CORE",
            "description": REJECTION,
            "count": 1,
        },
        "portal_finds_nothing": {"method": "crm.lead.list", "action": "error_200", "share": 0.5},
    }
    for name, rule in rules.items():
        _register_portal_fault(name, {"method": "batch", **rule})


def _register_portal_fault(name: str, rule: dict[str, Any]) -> None:
    def portal_fault(scene: Scene) -> Iterator[None]:
        scene.bench.control("POST", "faults", [rule])
        yield
        scene.bench.control("DELETE", "faults")

    portal_fault.__name__ = name
    fault("bitrix24", (2, 6), weight=0.5, excuse="nothing")(portal_fault)


_register_portal_faults()


@fault("bitrix24", (2, 6), weight=1, excuse="nothing")
def portal_fails_with_long_texts(scene: Scene) -> Iterator[None]:
    """Fail every second command, with more text than a reply can carry."""
    words = "Ошибка " * scene.dice.randrange(150, 14_000)
    rule = {"method": "crm.item.add", "action": "error", "share": 0.5, "description": words}
    scene.bench.control("POST", "faults", [rule])
    yield
    scene.bench.control("DELETE", "faults")


@fault("bitrix24", (2, 6), weight=1, excuse="nothing")
def portal_rejects_a_create_with_a_long_text(scene: Scene) -> Iterator[None]:
    words = f"{REJECTION}, {'und so weiter ' * scene.dice.randrange(70, 7_000)}"
    scene.consequences.rejections.add(words)
    rule = {"method": "crm.item.add", "action": "error", "code": "ERROR_CORE", "count": 1}
    scene.bench.control("POST", "faults", [{**rule, "description": words}])
    yield
    scene.bench.control("DELETE", "faults")


@fault("bitrix24", (1, 5), weight=1, excuse="nothing")
def portal_rejects_all_calls(scene: Scene) -> Iterator[None]:
    mode = scene.dice.choice(("revoked", "plan_expired", "deleted", "overload"))
    scene.bench.control("PUT", "settings", {"mode": mode})
    yield
    scene.bench.control("PUT", "settings", {"mode": "ok"})


# Answers damaged in transit


def _register_damage(proxy: str, name: str, damage: Damage) -> None:
    def spoil(scene: Scene) -> Iterator[None]:
        scene.bench.proxies[proxy].damage = damage
        yield
        scene.bench.proxies[proxy].heal()

    spoil.__name__ = f"answers_have_{name}"
    fault("bitrix24", (0.5, 3), weight=0.4, excuse="blur")(spoil)


for _proxy, _damages in ((PLAIN_HTTP, HTTP_DAMAGES), ("bitrix24", TLS_DAMAGES)):
    for _name, _damage in _damages.items():
        _register_damage(_proxy, _name, _damage)


@fault("bitrix24", (3, 10), weight=1, excuse="blur")
def answers_drip(scene: Scene) -> Iterator[None]:
    scene.bench.proxies[PLAIN_HTTP].is_dripping = True
    yield
    scene.bench.proxies[PLAIN_HTTP].heal()


# The result of a call is lost, and the user's change is reverted


@fault("bitrix24", (0.2, 1), weight=3, excuse="both")
def an_update_is_cut_off_and_reverted(scene: Scene) -> Iterator[None]:
    """Lose the result of an update that has reached the portal, then revert the update."""
    users = _synced_users(scene)
    if not users:
        return
    user = scene.dice.choice(users)
    _, before = scene.workload.users[user]
    name = scene.dice.choice([name for name in NAMES if name != before.full_name])
    client = Client(scene.workload, scene.dice)
    scene.bench.proxies[PLAIN_HTTP].is_deaf = True
    client.change(user, {FULL_NAME: name})
    _await_title(scene.bench, user, name)
    _lose_the_result(scene)
    yield
    scene.bench.proxies[PLAIN_HTTP].heal()
    client.change(user, {FULL_NAME: before.full_name})


@fault("", weight=2)
def an_update_is_overtaken_by_a_kill(scene: Scene) -> Iterator[None]:
    """Change a stage, kill the workers, revert it: the call may come before, between or after."""
    users = _synced_users(scene)
    if not users:
        return
    user = scene.dice.choice(users)
    _, before = scene.workload.users[user]
    client = Client(scene.workload, scene.dice)
    client.change(
        user, {STAGE: scene.dice.choice([stage for stage in STAGES if stage != before.stage])}
    )
    time.sleep(scene.dice.uniform(0, 0.1))
    for name in _workers(scene.bench):
        scene.bench.send(name, signal.SIGKILL)
    client.change(user, {STAGE: before.stage})
    yield


def _synced_users(scene: Scene) -> list[int]:
    """Users of this round with nothing in flight: the older half, which clients rarely write."""
    sql = "SELECT id FROM users WHERE id = ANY (:ids) AND sync_status = 'synced' ORDER BY id"
    rows = scene.bench.rows(sql, ids=list(scene.workload.users))
    return [row["id"] for row in rows[: (len(rows) + 1) // 2]]


def _await_title(bench: Bench, user: int, title: str) -> None:
    """Wait until the update has reached the portal, up to 4 s: another fault may prevent it."""
    until = time.monotonic() + 4
    while time.monotonic() < until:
        if any(lead["TITLE"] == title for lead in bench.leads_of(user)):
            return
        time.sleep(0.02)


def _lose_the_result(scene: Scene) -> None:
    """Lose the result of the call in flight: with the workers, with Redis' data, or with both."""
    how = scene.dice.choice(("kill", "kill", "flush", "both"))
    if how != "flush":
        for name in _workers(scene.bench):
            scene.bench.send(name, signal.SIGKILL)
    if how != "kill":
        scene.consequences.redis_losses.append(time.time())
        with scene.bench.redis() as redis:
            redis.flushall()


def _workers(bench: Bench) -> list[str]:
    return [name for name in bench.process_names() if name.startswith("worker")]


# Messages


_NONSENSE: tuple[bytes, ...] = (
    b"",
    b"not json",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"[" * 20_000,
    b"\xff\xfe\x00",
    b'{"pattern":"user_created"}',
    b'{"pattern":"user_created","data":{"action":"drop_card","user":{"id":1}}}',
    b'{"action":"create_card","user":{"id":"one"},"replyQueue":"bitrix.responses"}',
    b'{"action":"create_card","user":{"id":1,"full_name":"A"},"replyQueue":"amq.rabbitmq.trace"}',
    b'{"status":"success","action":"create_card","user_id":1}',
    b'{"status":"success","action":"create_card","user_id":9,"bitrix_lead_id":1,"event_id":"?"}',
    b'{"status":"maybe","user_id":[],"bitrix_lead_id":{}}',
    b" " * 200_000,
)


@fault("", weight=2, excuse="nothing")
def poison(scene: Scene) -> Iterator[None]:
    """Publish an unprocessable message to either queue."""
    queue = scene.dice.choice((topology.REQUESTS, topology.REPLIES))
    message_id = f"poison-{scene.dice.randrange(10**12)}"
    properties = pika.BasicProperties(message_id=message_id, delivery_mode=2)
    with scene.bench.channel() as channel:
        body = scene.dice.choice(_NONSENSE)
        channel.basic_publish("", queue, body, properties, mandatory=True)
    scene.consequences.poison[message_id] = topology.dead_letter_name(queue)
    yield


@fault("", weight=3, excuse="nothing")
def old_messages_redelivered(scene: Scene) -> Iterator[None]:
    """Publish events of the ledger again, processed or not, in any order, several times."""
    query = as_json(
        "SELECT events.id AS event_id, user_id AS id, events.full_name, events.phone, events.stage,"
        " events.version, action, changed, events.stage_version, occurred_at, correlation_id,"
        " traceparent, bitrix_lead_id, history, originator_id"
        " FROM events JOIN users ON users.id = user_id, installation"
        " ORDER BY events.id DESC LIMIT 60"
    )
    rows = orjson.loads(scene.bench.rows(query)[0]["result"])
    events = scene.dice.sample(rows, min(12, len(rows))) * 2
    scene.dice.shuffle(events)
    scene.consequences.replayed.update(str(row["event_id"]) for row in events)
    with scene.bench.channel() as channel:
        for row in events:
            message = to_message(event_from_row(row), republished=True)
            channel.basic_publish("", message.queue, message.body, message.properties())
    yield


@fault("", weight=2, excuse="nothing")
def old_replies_redelivered(scene: Scene) -> Iterator[None]:
    """Publish successes again, and failures of writes that succeeded later."""
    rows = scene.bench.rows(
        "SELECT events.id, user_id, events.version, action, bitrix_lead_id FROM events"
        " JOIN users ON users.id = user_id"
        " WHERE state IN ('synced', 'superseded') AND bitrix_lead_id IS NOT NULL"
        " ORDER BY events.id DESC LIMIT 40"
    )
    with scene.bench.channel() as channel:
        for row in scene.dice.sample(rows, min(8, len(rows))):
            scene.consequences.replayed.add(str(row["id"]))
            reply = {
                "action": row["action"],
                "user_id": row["user_id"],
                "event_id": str(row["id"]),
                "version": row["version"],
                **scene.dice.choice(
                    (
                        {"status": "success", "bitrix_lead_id": row["bitrix_lead_id"]},
                        {"status": "error", "reason": "late", "attempts": 3},
                    )
                ),
            }
            channel.basic_publish("", topology.REPLIES, orjson.dumps(reply))
    yield


@fault("", weight=2, excuse="nothing")
def waiting_messages_swapped(scene: Scene) -> Iterator[None]:
    """Put up to 50 messages that wait in a queue into another order."""
    queue = scene.dice.choice((topology.REQUESTS, topology.REPLIES))
    with scene.bench.channel() as channel:
        messages: list[tuple[int, pika.BasicProperties, bytes]] = []
        while len(messages) < 50:
            method, properties, body = channel.basic_get(queue)
            if method is None:
                break
            messages.append((method.delivery_tag, properties, body))
        scene.dice.shuffle(messages)
        for tag, properties, body in messages:
            scene.consequences.replayed.add(str(properties.message_id))
            channel.basic_publish("", queue, body, properties, mandatory=True)
            channel.basic_ack(tag)
    yield


#: Errors that a fault meets where another has come first: the server is down, the queue is missing.
IN_THE_WAY = (
    OSError,
    requests.RequestException,
    pg8000.exceptions.Error,
    pika.exceptions.AMQPError,
    psutil.Error,
)
