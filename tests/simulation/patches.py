"""Runs our code in the simulation: replaces its access to clocks, servers and threads.

Installed once in a process that does nothing but simulate. Everything else in `leadline` runs
unchanged; a replaced name is replaced in every module that has imported it.
"""

import functools
import importlib
import inspect
import pkgutil
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import redis
import structlog

import leadline
from leadline import process
from leadline.bitrix24 import timed_connection
from leadline.ledger import correlations, outbox, retention, write
from leadline.operations.bulk import jobs
from leadline.operations.erasure import dead_letters
from leadline.runtime import lua
from leadline.runtime import redis as leadline_redis
from leadline.runtime.concurrency import greenlets
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import pool
from leadline.settings import settings
from leadline.sync import batch_request, portal_session, replies
from leadline.users import search_index
from leadline.workqueue import circuit_breaker, rq_jobs
from tests.simulation import redis_model
from tests.simulation.world import Mailbox, World

if TYPE_CHECKING:
    from tests.simulation.system import System

#: The packages whose modules run in histories.
PACKAGES = (
    *("api", "bitrix24", "connector", "ledger", "messages"),
    *("operations", "runtime", "sync", "users", "workqueue"),
)
#: Modules that keep the real clock: their connections are real, to a real server.
REAL_TIME = {"leadline.runtime.postgres.connection"}

#: The system in which our code runs, if there is one.
_active: list["System"] = []
#: Names of scripts by their SHA1, and of statements by their text, for the transcript.
SCRIPTS: dict[str, str] = {}
STATEMENTS: dict[str, str] = {}
#: Replacements in the text of scripts: the script's name, the old text and the new one.
_edits: list[tuple[str, str, str]] = []
#: The initial values of module variables.
_remembered: list[tuple[ModuleType, str, Any]] = []
#: The functions by name, called without HTTP.
FUNCTIONS: dict[str, Callable[[Any], object]] = {}


def activate(system: "System") -> None:
    """Run our code in this system from now on, without any state of others."""
    _active[:] = [system]
    for module, name, value in _remembered:
        setattr(module, name, value)


def active() -> "System":
    """The system in which our code runs."""
    return _active[0]


def world() -> World:
    """The world of the active system."""
    return _active[0].world


def install(raw: redis.Redis) -> None:
    """Replace clocks, servers, threads and logs."""
    _patch_scripts(raw)
    modules = list(_modules())
    _patch_logs(modules)
    _patch_clocks(modules)
    replace(process, "_current", _ProcessInWorld())
    _patch_intervals(modules)
    _collect_statements(modules)
    _patch_servers(modules)
    _patch_threads()
    _patch_functions()
    _remembered.extend(
        (module, name, value)
        for module in modules
        for name, value in vars(module).items()
        if value is None or isinstance(value, bool | int | float | str | tuple)
    )


def _modules() -> Iterator[ModuleType]:
    folder = Path(leadline.__file__).parent
    yield importlib.import_module("leadline.settings")
    for package in PACKAGES:
        for found in pkgutil.walk_packages([str(folder / package)], f"leadline.{package}."):
            yield importlib.import_module(found.name)


def _replace_everywhere(modules: list[ModuleType], old: object, new: object) -> None:
    for module in modules:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


# --- scripts and statements


def _patch_scripts(raw: redis.Redis) -> None:
    """Scripts read the clock and Redis' identity from the simulation."""
    replace(lua, "SERVER", redis_model.SERVER)
    make_script = lua.script

    # Each simulated process registers all scripts: reading their files each time is slow.
    @functools.cache
    def load(folder: Path, names: tuple[str, ...], edits: tuple[tuple[str, str, str], ...]) -> str:
        text: Any = make_script(_TextReader(), folder, *names)  # type: ignore[arg-type]
        for name, old, new in edits:
            if name == names[-1]:
                if old not in text:
                    raise ValueError(f"{name}.lua has no more: {old}")
                text = text.replace(old, new)
        sha = redis_model.load(raw, text)
        SCRIPTS[sha] = names[-1]
        return sha

    def script(_connection: redis.Redis, folder: Path, *names: str) -> Any:
        # Each call goes through the client of the running process.
        return functools.partial(_call, load(folder, names, tuple(_edits)))

    replace(lua, "script", script)


def edit(name: str, old: str, new: str) -> None:
    """Change a script, by the last of its files' names: reintroduces a mistake.

    Raises:
        ValueError: no file of a script has the old text.
    """
    files = Path(leadline.__file__).parent.glob("*/lua/*.lua")
    if not any(old in file.read_text(encoding="utf-8") for file in files):
        raise ValueError(f"no script has: {old}")
    _edits.append((name, old, new))


def replace(module: ModuleType, name: str, value: object) -> None:
    """Give a name of a module another value.

    Raises:
        AttributeError: the module has no such name, so nothing would use the value.
    """
    if name not in vars(module):
        raise AttributeError(f"{module.__name__} has no {name}")
    vars(module)[name] = value


class _TextReader:
    """Replaces a connection: registering a script returns its text."""

    def register_script(self, text: str) -> str:
        return text


def _call(sha: str, keys: Any = (), args: Any = (), client: Any = None) -> Any:
    target = client if client is not None else active().client
    return target.evalsha(sha, len(keys), *keys, *args)


def _collect_statements(modules: list[ModuleType]) -> None:
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, str) and ("SELECT" in value or "UPDATE" in value):
                STATEMENTS.setdefault(value, name.lower().strip("_"))


# --- clocks and chance


class _Time:
    """Replaces the module `time`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return world().process.wall()

    def monotonic(self) -> float:
        return world().process.monotonic()

    def time_ns(self) -> int:
        return int(world().process.wall() * 1e9)

    def clock_gettime(self, clock: int) -> float:
        process = world().process
        if clock == time.CLOCK_BOOTTIME:
            return process.boottime()
        return process.monotonic() if clock == time.CLOCK_MONOTONIC else process.wall()

    def sleep(self, seconds: float) -> None:
        world().wait(seconds)


class _Random:
    """Replaces the modules `random` and `secrets`, as far as they are used."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def getrandbits(self, bits: int) -> int:
        return world().process.random.getrandbits(bits)

    def token_hex(self, size: int) -> str:
        return f"{world().process.random.getrandbits(8 * size):0{2 * size}x}"

    def uniform(self, low: float, high: float) -> float:
        return world().process.random.uniform(low, high)


def _uuid7() -> uuid.UUID:
    process = world().process
    number = int(process.wall() * 1000) << 80 | process.random.getrandbits(76)
    # RFC 9562: version 7 in four bits, variant 2 in two.
    return uuid.UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)


def _patch_clocks(modules: list[ModuleType]) -> None:
    simulated_time = _Time()
    for module in modules:
        for name, value in list(vars(module).items()):
            if value is time and module.__name__ not in REAL_TIME:
                setattr(module, name, simulated_time)
            elif isinstance(value, ModuleType) and value.__name__ in {"random", "secrets"}:
                setattr(module, name, _Random(value))
            elif name == "uuid7":
                setattr(module, name, _uuid7)


# --- state of each process


_MAKE_SETTINGS = inspect.unwrap(settings)


class _ProcessInWorld(process.Process):
    """The objects of each simulated process; all processes share the settings."""

    def get(self, make: Callable[[], Any], close: Any = None) -> Any:
        """The object that `make` returned in the running process."""
        if not _active or make is _MAKE_SETTINGS:
            return super().get(make, close)
        memory = world().process.memory
        if make not in memory:
            memory[make] = make()
        return memory[make]


class _IntervalOfProcess:
    """Replaces a module's Interval."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s

    def _own(self) -> Interval:
        interval: Interval = world().process.memory.setdefault((self, ()), Interval(self._every_s))
        return interval

    def claim(self) -> bool:
        """Do the same as Interval."""
        return self._own().claim()

    def reschedule(self, wait_s: float) -> None:
        """Do the same as Interval."""
        self._own().reschedule(wait_s)


def _patch_intervals(modules: list[ModuleType]) -> None:
    """Give each simulated process its own intervals."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, Interval):
                setattr(module, name, _IntervalOfProcess(value._every_s))


# --- logs


class _Log:
    """Replaces a structlog logger."""

    def _line(self, level: str, event: str, *args: object, **facts: Any) -> None:
        if _active:
            text = event % args if args else event
            active().log(level, text, args, facts)

    def debug(self, event: str, *args: object, **facts: Any) -> None:
        """Ignored: the level is INFO."""

    def info(self, event: str, *args: object, **facts: Any) -> None:
        self._line("info", event, *args, **facts)

    def warning(self, event: str, *args: object, **facts: Any) -> None:
        self._line("warning", event, *args, **facts)

    def error(self, event: str, *args: object, **facts: Any) -> None:
        self._line("error", event, *args, **facts)

    def exception(self, event: str, *args: object, **facts: Any) -> None:
        kind, error, _ = sys.exc_info()
        active().record_unexpected(error)
        self._line("error", event, *args, **facts, exception=kind.__name__ if kind else "")


def _patch_logs(modules: list[ModuleType]) -> None:
    proxy = type(structlog.get_logger())
    log = _Log()
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, proxy):
                setattr(module, name, log)


# --- servers


def _patch_servers(modules: list[ModuleType]) -> None:
    build = batch_request.build

    def record_and_build(entries: list[Any], decide: Any, **how: Any) -> Any:
        """Record which events a request is for, before it is built."""
        active().note_leased(entries)
        return build(entries, decide, **how)

    replace(batch_request, "build", record_and_build)
    replace(greenlets, "in_greenlet", lambda: False)
    _replace_everywhere(modules, pool.database, lambda: active().postgres)
    _replace_everywhere(modules, leadline_redis.client, lambda: active().client)
    _replace_everywhere(modules, outbox.publisher, _publisher)
    replace(replies, "_publisher", _publisher)
    replace(outbox, "outbox", _outbox)
    make_client = portal_session._RecordingClient

    def portal_client(webhook_url: str) -> Any:
        portal: Any = make_client(webhook_url)
        portal._session._send = active().portal.send
        return portal

    replace(portal_session, "_RecordingClient", portal_client)
    replace(timed_connection, "tls_context", lambda: None)  # never used, and expensive to create
    replace(rq_jobs, "enqueue", lambda *args, **options: active().enqueue(*args, **options))
    replace(rq_jobs, "trim_finished_jobs", lambda: None)
    replace(search_index, "catch_up", lambda _until: 0)
    replace(retention, "run", lambda _until: 0)
    replace(correlations, "catch_up", lambda _until: 0)
    # No history has bulk jobs, or dead letters of erased users.
    replace(jobs, "advance", lambda _kinds: 0)
    replace(dead_letters, "discard_if_due", lambda: 0)
    for name in ("_creates", "_changes"):
        group: Any = getattr(write, name)
        replace(write, name, _GroupCommit(group._flush, group._max_group))


def _patch_functions() -> None:
    for name in ("bitrix_handler", "reply_handler", "outbox_relay"):
        module: Any = importlib.import_module(f"functions.{name}.main")
        module.receive = lambda deliveries: deliveries
        FUNCTIONS[name] = inspect.unwrap(getattr(module, name))


def _publisher() -> Any:
    return active().publisher()


def _outbox() -> Any:
    memory = world().process.memory
    if "outbox" not in memory:
        memory["outbox"] = outbox.Outbox(_publisher())
    return memory["outbox"]


class _GroupCommit:
    """Group commit: writes that arrive while one is in flight share the next statement."""

    def __init__(self, flush: Callable[[list[Any]], list[Any]], max_group: int) -> None:
        self._flush = flush
        self._max_group = max_group

    def submit(self, request: Any) -> Any:
        current_world = world()
        memory = current_world.process.memory
        group = memory.setdefault((self, "group"), _Group())
        mine = Mailbox(current_world)
        group.waiting.append((request, mine))
        if not group.is_busy:
            group.is_busy = True
            current_world.spawn(current_world.process, lambda: self._work(group))
        found = mine.take()
        if isinstance(found, Exception):
            raise found
        return found[0]

    def _work(self, group: "_Group") -> None:
        current_world = world()
        while group.waiting:
            current_world.wait(current_world.process.random.choice((0.0, 0.003)))
            part = group.waiting[: self._max_group]
            del group.waiting[: self._max_group]
            try:
                answers = self._flush([request for request, _ in part])
            except Exception as error:  # noqa: BLE001 - for all of the group
                for _, mailbox in part:
                    mailbox.put(error)
            else:
                for (_, mailbox), answer in zip(part, answers, strict=True):
                    mailbox.put((answer,))  # as a tuple: an answer may be None
        group.is_busy = False


class _Group:
    """The writes of one process that wait for the next statement."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Mailbox]] = []
        self.is_busy = False


# --- threads


class _Lock:
    """A lock between tasks of one process: a waiting task yields to the others."""

    def __init__(self) -> None:
        self._is_held = False

    def __enter__(self) -> None:
        while self._is_held:
            world().wait(0.001)
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class _Threading:
    """Replaces the module `threading` where our code starts threads that histories need."""

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)

    Lock = _Lock

    class Thread:
        """A task of the same process."""

        def __init__(self, target: Callable[..., object], args: Any = (), **_: object) -> None:
            self._run = functools.partial(target, *args)

        def start(self) -> None:
            world().spawn(world().process, self._run)


class _Queue:
    """Replaces the module `queue`."""

    Empty = queue.Empty

    class SimpleQueue:
        """A queue between tasks of one process."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

        def __init__(self) -> None:
            self._mailbox = Mailbox(world())

        def put(self, content: object) -> None:
            self._mailbox.put(content)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as queue's
            if not self._mailbox.has_some() and (not block or timeout is not None):
                found = self._mailbox.take(timeout) if block else None
                if found is None:
                    raise queue.Empty
                return found
            return self._mailbox.take()

        def qsize(self) -> int:
            return self._mailbox.size()

        def empty(self) -> bool:
            return not self._mailbox.has_some()

        def get_nowait(self) -> Any:
            if not self._mailbox.has_some():
                raise queue.Empty
            return self._mailbox.take()


def _patch_threads() -> None:
    replace(outbox, "threading", _Threading())
    replace(outbox, "queue", _Queue())
    # This lock is held during a call to Redis.
    replace(circuit_breaker, "threading", _Threading())
