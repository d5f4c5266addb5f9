"""The whole system in one world: our processes, the servers, the portal and the clients."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pika
import redis

from leadline.api import writes
from leadline.connector.message import SERVED, Verdict
from leadline.errors import BitrixError, DependencyDown, LeadlineError, QueueError
from leadline.ledger import accept
from leadline.messages import contract, topology
from leadline.messages.cloudevents import Delivery
from leadline.runtime.redis import reachable
from leadline.settings import settings
from leadline.sync import job
from leadline.sync.wake_timer import WakeTimer
from leadline.users.model import Changes, Move, NewUser, UserId
from leadline.workqueue.keys import JOBS, prefix
from leadline.workqueue.restricted_job import JOB
from tests.checker.history import Fork
from tests.simulation import faults, patches
from tests.simulation.broker import (
    CONFIRM_S,
    Broker,
    Connector,
    Handlers,
    SimPublisher,
    StoredMessage,
)
from tests.simulation.plan import FOREIGN, NAMES, PHONES, STAGES, Plan, Write
from tests.simulation.portal_model import LeasedEntry, PortalModel
from tests.simulation.postgres_model import PostgresModel, Store
from tests.simulation.redis_model import Client, RedisModel, Server
from tests.simulation.world import EPOCH, Process, Signal, Stuck, World

#: The list of RQ's waiting jobs.
JOBS_KEY = f"rq:queue:{JOBS}"

FOREIGN_QUEUE = "nest.responses"
RELAY_EVERY_S = 5.0
#: A history that is not idle after this long counts as stuck.
IDLE_WITHIN_S = 8 * 3600.0
MAX_STEPS = 60_000
#: Statuses below 500 after which the connector delivers a message again.
_RETRIED_STATUSES = {408, 425, 429}
#: Bodies of `poison` messages.
_UNREADABLE = (b"{", b"[]", b'{"pattern": "user_created"}', b"\xff\xfe", b'{"data": 5}')


@dataclass
class AnsweredWrite:
    """A client's request and its answer; status 0 while there is none."""

    write: Write
    at: float
    status: int
    answered_at: float | None = None
    #: How many forks of Postgres came before the answer.
    era: int = 0
    user_id: int | None = None
    version: int | None = None
    state: tuple[str, str, str] | None = None
    event_id: str | None = None
    expected_version: int | None = None
    #: Whether the request was sent more than once, with its key.
    is_repeat: bool = False


@dataclass
class System:
    """The system of one history."""

    plan: Plan
    server: Server
    store: Store
    world: World = field(init=False)
    answered: list[AnsweredWrite] = field(default_factory=list)
    #: By user: the time and the state of each message with the required fields only.
    foreign: dict[int, list[tuple[float, tuple[str, str, str]]]] = field(default_factory=dict)
    #: Log lines: time, process, level, text, and the text's arguments and facts.
    logs: list[tuple[float, str, str, str, tuple[object, ...], dict[str, Any]]] = field(
        default_factory=list
    )
    forks: list[Fork] = field(default_factory=list)
    #: Unprocessable messages, by the dead letter queue in which they belong.
    poison: dict[str, str] = field(default_factory=dict)
    #: When something was killed, frozen or unreachable (start, end), and when Redis lost data.
    losses: list[tuple[float, float]] = field(default_factory=list)
    redis_losses: list[float] = field(default_factory=list)
    is_calm: bool = False

    def __post_init__(self) -> None:
        plan = self.plan
        self.world = world = World(plan.seed)
        patches.activate(self)
        shape = plan.shape
        self.redis = RedisModel(world, self.server, patches.SCRIPTS)
        self.redis.ahead_s = shape.redis_ahead_s
        self.client = Client(connection_pool=self.server.raw.connection_pool)
        self.client.model = self.redis
        self.postgres = PostgresModel(world, self.store, patches.STATEMENTS)
        self.postgres.ahead_s = shape.postgres_ahead_s
        self.broker = Broker(world)
        self.broker.queues[FOREIGN_QUEUE] = []
        self.broker.on_lost_confirm = partial(self.note_loss, CONFIRM_S + 3)
        self.portal = PortalModel(world, rate_per_s=shape.rate_per_s, burst=shape.burst)
        if shape.has_neighbours:
            self.portal.add_neighbours()
        self._jobs = Signal(world)
        self.redis.on_return.append(self._jobs.fire)
        self._handlers = {
            "intake": Handlers(world, self._receive_events),
            "reply": Handlers(world, self._apply_replies),
        }
        self._apis: list[Process] = []
        #: By a user's index in the plan: the id and the newest version that clients were told.
        self._users: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._processes_made = 0
        #: Sends nothing: its random numbers shuffle deliveries.
        self.other_sender = self._make_process("other_sender", "client")
        world.next_due = self._next_due
        self._start()

    # --- processes

    def _start(self) -> None:
        shape = self.plan.shape
        for number in range(2):
            self._start_one("api", number)
        for number in range(shape.intakes):
            self._start_one("intake", number)
        for number in range(shape.repliers):
            self._start_one("reply", number)
        for number in range(shape.workers):
            self._start_one("worker", number)
        self._start_one("connector", 0)
        self._start_one("relay", 0)
        for write in self.plan.writes:
            self.world.at(EPOCH + write.at_s, partial(self._send_write, write))
        self.world.at(EPOCH, self._arrange_faults)

    def _arrange_faults(self) -> None:
        """Schedule the faults: they happen from now on."""
        self.world.count_from_here()
        for fault in self.plan.faults:
            faults.schedule(self, fault)

    def _make_process(self, name: str, kind: str) -> Process:
        ahead = self.plan.shape.processes_ahead_s
        self._processes_made += 1
        return Process(self.world, name, kind, ahead[self._processes_made % len(ahead)])

    def _start_one(self, kind: str, number: int, life: int = 1) -> None:
        """Start the process with this number of its kind; `life` counts its restarts, from 1."""
        name = f"{kind}-{number + 1}" + ("" if life == 1 else f"'{life}")
        process = self._make_process(name, kind)
        process.memory["place"] = (number, life)
        if kind == "api":
            self._apis[number : number + 1] = [process]
        elif kind in self._handlers:
            alive = self._handlers[kind].processes
            alive[:] = [other for other in alive if not other.is_dead] + [process]
        elif kind == "connector":
            for queue, to in ((topology.REQUESTS, "intake"), (topology.REPLIES, "reply")):
                connector = Connector(self.world, self.broker, queue, self._handlers[to].post)
                self.world.spawn(process, connector.run)
        elif kind == "relay":
            self.world.spawn(process, self._run_relay)
        else:
            self.world.spawn(process, self._work)
            self.world.spawn(process, partial(self._run_wake_timer, process))

    def restart(self, process: Process) -> None:
        """Start a process in place of a dead one, as a supervisor does."""
        number, life = process.memory["place"]
        self.world.record("supervisor", f"starts {process.kind}-{number + 1} again")
        self._start_one(process.kind, number, life + 1)

    def _work(self) -> None:
        """Run jobs as RQ's worker does; a job is one call."""
        world = self.world
        world.wait(world.process.random.uniform(0, 0.05))
        while True:
            try:
                popped: Any = self.client.lpop(JOBS_KEY)
            except redis.RedisError:
                world.wait(1.0)
                continue
            if popped is None:
                self._jobs.wait()
                continue
            try:
                getattr(job, popped.decode().rpartition(".")[2])(settings().portal)
            except (BitrixError, QueueError) as error:
                world.record(world.process.name, "job failed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - as RQ does; judged afterwards
                self.record_unexpected(error)

    def _run_wake_timer(self, process: Process) -> None:
        stop: Any = _Stop(self.world)
        WakeTimer(process.name, stop).run()

    def _run_relay(self) -> None:
        world = self.world
        world.wait(world.process.random.uniform(0, RELAY_EVERY_S))
        while True:
            try:
                patches.FUNCTIONS["outbox_relay"](None)
            except DependencyDown as error:
                world.record(world.process.name, "tick failed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a 500; judged afterwards
                self.record_unexpected(error)
            world.poll(RELAY_EVERY_S)

    def enqueue(self, name: str = JOB, *, at_front: bool = False) -> str:
        """Enqueue as RQ does; a job is an item of its list, the name of a function."""
        with reachable():
            (self.client.lpush if at_front else self.client.rpush)(JOBS_KEY, name)
        self._jobs.fire()
        return name

    def note_leased(self, entries: list[Any]) -> None:
        """Record the entries that the running worker has leased, for the portal's log."""
        self.world.process.memory["leased"] = {
            entry.user_id: LeasedEntry(
                written=(self._history_of(entry.user_id), int(entry.desired_seq)),
                events=tuple(event.event_id for event in entry.events if event.outcome is None),
            )
            for entry in entries
        }

    def _history_of(self, user_id: int) -> int:
        if not any(fault.kind == "postgres forked" for fault in self.plan.faults):
            return 0
        key = f"{prefix(settings().portal)}user:{user_id}"
        return int(self.redis.peek("HGET", key, "history") or 0)

    def note_loss(self, seconds: float) -> None:
        """Record that something other than the portal is disturbed from now on, for this long."""
        self.losses.append((self.world.now, self.world.now + seconds))

    def note_redis_loss(self) -> None:
        """Record a loss of Redis' data; any restart counts as one."""
        self.redis_losses.append(self.world.now)
        self.note_loss(faults.MOMENT_S)

    def history_number(self) -> int | None:
        """The number of Postgres' history; None where the ledger knows none."""
        if "installation" not in self.store.tables:
            return None
        (row,) = self.postgres.run_now("SELECT history FROM installation")
        return int(row["history"])

    def fork(self, lose_s: float, choice: int) -> None:
        """Let Postgres lose its newest writes."""
        before = self.postgres.events()
        number = self.history_number()
        lost_s = self.postgres.fork(lose_s, choice)
        lost = frozenset(before - self.postgres.events())
        self.forks.append(Fork(self.world.now, lost, number))
        self.world.record("fault", "was lost", seconds=round(lost_s, 3), versions=sorted(lost))

    def publisher(self) -> SimPublisher:
        """The publisher of this process."""
        process = self.world.process
        if "publisher" not in process.memory:
            process.memory["publisher"] = SimPublisher(self.world, self.broker, process)
        publisher: SimPublisher = process.memory["publisher"]
        return publisher

    # --- functions

    def _receive_events(self, deliveries: list[Delivery]) -> Verdict:
        return self._serve_request(lambda: patches.FUNCTIONS["bitrix_handler"](deliveries))

    def _apply_replies(self, deliveries: list[Delivery]) -> Verdict:
        return self._serve_request(lambda: patches.FUNCTIONS["reply_handler"](deliveries))

    def _serve_request(self, serve: Callable[[], object]) -> Verdict:
        try:
            serve()
        except LeadlineError as error:
            is_final = error.status < 500 and error.status not in _RETRIED_STATUSES
            return Verdict(is_served=False, is_final=is_final, reason=f"{error.status} {error}")
        except Exception as error:  # noqa: BLE001 - a 500; judged afterwards
            self.record_unexpected(error)
            return Verdict(is_served=False, reason="500")
        return SERVED

    # --- clients

    def _send_write(self, write: Write) -> None:
        if write.kind == "foreign":
            self._send_foreign(write)
        elif write.kind == "poison":
            queue = (topology.REQUESTS, topology.REPLIES)[write.api % 2]
            body = _UNREADABLE[(write.name or 0) % len(_UNREADABLE)]
            message_id = f"poison-{write.at_s}"
            self.poison[message_id] = topology.dead_letter_name(queue)
            self.broker.put(queue, StoredMessage(body, pika.BasicProperties(message_id=message_id)))
        else:
            process = self._apis[write.api % len(self._apis)]
            if process.is_dead:
                self.world.after(0.5, partial(self._send_write, write))
                return
            self.world.spawn(process, partial(self._serve, write, attempt=1))

    def _serve(self, write: Write, attempt: int) -> None:
        """Serve a request in its API process; the client repeats one that has a key."""
        world = self.world
        world.wait(world.process.random.uniform(0.0005, 0.002))
        user_id = self._users.get(write.user)
        if write.kind != "create" and user_id is None:
            if attempt < 60:  # half a minute
                world.after(0.5, partial(self._serve_again, write, attempt + 1))
            return
        if write.with_key:
            process = world.process
            repeat_later = partial(world.after, 1.0, partial(self._serve_again, write, attempt + 1))
            process.on_death.append(repeat_later)
        expected = self._versions.get(write.user) if write.if_match else None
        answered = AnsweredWrite(
            write,
            at=world.now,
            status=0,
            user_id=user_id,
            expected_version=expected,
            is_repeat=attempt > 1,
        )
        self.answered.append(answered)
        try:
            accepted = self._accept_write(write, user_id, expected)
        except LeadlineError as error:
            answered.status = int(error.status)
            answered.answered_at = world.now
            answered.era = len(self.forks)
            world.record("client", f"{write.kind} answered {int(error.status)}", user=user_id)
            if write.with_key:
                process.on_death.remove(repeat_later)
                # 409: an earlier request with this key still runs.
                if error.status >= 500 or error.status == 409:
                    repeat_later()
            return
        except Exception as error:  # noqa: BLE001 - a 500; judged afterwards
            self.record_unexpected(error)
            return
        event = accepted.event
        answered.era = len(self.forks)
        world.wait(world.process.random.uniform(0.0005, 0.002))
        answered.status = 200
        answered.answered_at = world.now
        answered.user_id = event.user.id
        answered.version = event.version
        answered.state = (event.user.full_name, event.user.phone, event.user.stage)
        answered.event_id = event.id
        self._users[write.user] = event.user.id
        self._versions[write.user] = max(self._versions.get(write.user, 0), event.version)
        if write.with_key:
            process.on_death.remove(repeat_later)
        world.record(
            "client",
            f"{write.kind} answered 200",
            user=event.user.id,
            version=event.version,
            state=", ".join(answered.state),
        )

    def _serve_again(self, write: Write, attempt: int) -> None:
        alive = [api for api in self._apis if not api.is_dead]
        # A write that never succeeds keeps the history from becoming idle, which is reported.
        if not alive or attempt > 100:
            self.world.after(0.5, partial(self._serve_again, write, attempt))
        else:
            self.world.spawn(alive[0], partial(self._serve, write, attempt))

    def _accept_write(self, write: Write, user_id: int | None, expected: int | None) -> Any:
        fields: dict[str, Any] = {}
        if write.name is not None:
            fields["full_name"] = NAMES[write.name]
        if write.phone is not None:
            fields["phone"] = PHONES[write.phone]
        if write.stage is not None:
            fields["stage"] = STAGES[write.stage]
        key = f"key-{write.user}-{write.at_s}" if write.with_key else None
        repeat = writes.bind_key("client", key, write, expected)
        if write.kind == "create":
            return accept.create(NewUser(**fields), repeat)
        change = Move(**fields) if write.kind == "move" else Changes(**fields)
        return accept.change(UserId(user_id or 0), change, expected, repeat)

    def _send_foreign(self, write: Write) -> None:
        """Send a message with only the required fields, as another sender does."""
        user_id = FOREIGN[write.user]
        name, phone, stage = (
            NAMES[write.name or 0],
            PHONES[write.phone or 0],
            STAGES[write.stage or 0],
        )
        sent = self.foreign.setdefault(user_id, [])
        action = "update_card" if sent else "create_card"
        sent.append((self.world.now, (name, phone, stage)))
        user = {"id": user_id, "full_name": name, "phone": phone, "stage": stage}
        data = {"action": action, "user": user, "replyQueue": FOREIGN_QUEUE}
        body = orjson.dumps({"pattern": contract.PATTERNS[action], "data": data})
        # Half of the senders give their messages no id.
        message_id = f"foreign-{user_id}-{len(sent)}" if write.user % 2 else None
        properties = pika.BasicProperties(message_id=message_id)
        self.world.record("foreign sender", f"sends {action}", user=user_id, state=user)
        stored = StoredMessage(body, properties)
        self.broker.published.append((self.world.now, topology.REQUESTS, stored))
        self.broker.put(topology.REQUESTS, stored)

    # --- the whole history

    def play(self) -> None:
        """Play the history, from the first write until the system is idle."""
        world = self.world
        last_s = max((write.at_s for write in self.plan.writes), default=0.0)
        try:
            calm_at = EPOCH + last_s + self.plan.shape.calm_after_s
            world.run(calm_at, max_steps=MAX_STEPS)
            world.now = calm_at
            self._end_faults()
            idle_by = calm_at + IDLE_WITHIN_S
            world.run(idle_by, max_steps=MAX_STEPS)
            if world.now >= idle_by:
                raise Stuck(f"not within {IDLE_WITHIN_S / 3600:.0f} h")
        finally:
            world.end()

    def _end_faults(self) -> None:
        """End all faults."""
        self.is_calm = True
        self.world.record("world", "all faults end")
        self.world.planned.clear()
        self.portal.troubles.clear()
        self.portal.down_until = 0.0
        self.broker.lose_confirms = 0
        self.redis.may_lose = self.postgres.may_lose = False

    def _next_due(self) -> float:
        return min(self.redis.due_at(prefix(settings().portal)), self.postgres.due_at())

    def log(self, level: str, text: str, args: tuple[object, ...], facts: dict[str, Any]) -> None:
        """Record a line of a process's log."""
        who = self.world.process.name if self.world.is_inside() else "-"
        self.logs.append((self.world.now, who, level, text, args, facts))

    def record_unexpected(self, error: BaseException | None) -> None:
        """Record an error that our code does not expect."""
        place = traceback.extract_tb(error.__traceback__)[-1] if error else None
        where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}" if place else ""
        self.world.violations.append(
            f"unexpected {type(error).__name__} at {where}: {str(error)[:200]}"
        )


class _Stop:
    """The wake timer's stop event: it is never set, and waiting for it is a poll."""

    def __init__(self, world: World) -> None:
        self._world = world

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        self._world.poll(seconds)
