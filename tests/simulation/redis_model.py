"""Redis: the real server and our real scripts, with a simulated clock, identity and losses.

All simulated processes share one connection: each request is one step. The last argument of each
script is the clock and the identity; expiries count by that clock, not by the machine's.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.client import Pipeline

from tests.simulation.plan import FOREIGN
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

#: The time between two copies of all data, where data may be lost.
COPY_EVERY_S = 0.2
#: A copy is made before each of these scripts, too.
COPY_BEFORE = {"put", "lease", "settle"}
#: How many copies are kept, each in a database of its own.
COPIES = 14

#: Replaces `leadline/runtime/lua/server.lua`.
SERVER = """
local sim_redis = redis
local sim_s, sim_us, sim_id = string.match(ARGV[#ARGV], '(%d+) (%d+) (%x+)')
ARGV[#ARGV] = nil
local time = {sim_s, sim_us}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function run_id() return sim_id end
for _, key in ipairs(sim_redis.call('ZRANGEBYSCORE', 'sim:expiries', '-inf', now)) do
  sim_redis.call('DEL', key)
  sim_redis.call('ZREM', 'sim:expiries', key)
end
local redis = setmetatable({}, {__index = sim_redis})
function redis.call(name, ...)
  local args, command = {...}, string.upper(name)
  if command == 'TIME' then return {sim_s, sim_us} end
  if command == 'EXPIRE' or command == 'PEXPIRE' then
    if sim_redis.call('EXISTS', args[1]) == 0 then return 0 end
    local ms = tonumber(args[2]) * (command == 'EXPIRE' and 1000 or 1)
    sim_redis.call('ZADD', 'sim:expiries', now + ms, args[1])
    return 1
  end
  if command == 'PERSIST' then return sim_redis.call('ZREM', 'sim:expiries', args[1]) end
  if command == 'SET' then
    local kept, ms, at = {}, nil, 1
    while at <= #args do
      local option = string.upper(tostring(args[at]))
      if at > 2 and (option == 'PX' or option == 'EX') then
        ms = tonumber(args[at + 1]) * (option == 'EX' and 1000 or 1)
        at = at + 2
      else
        kept[#kept + 1] = args[at]
        at = at + 1
      end
    end
    local is_set = sim_redis.call('SET', unpack(kept))
    if is_set then
      sim_redis.call('ZREM', 'sim:expiries', args[1])
      if ms then sim_redis.call('ZADD', 'sim:expiries', now + ms, args[1]) end
    end
    return is_set
  end
  return sim_redis.call(name, ...)
end
"""

_PLAIN = SERVER + "return redis.call(unpack(ARGV))"
_COPY = """
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
redis.call('SELECT', 0)
"""
#: Commands that set an expiry, or depend on one.
_TIMED = {"EXPIRE", "PEXPIRE", "SET", "GET", "EXISTS", "PERSIST"}


@dataclass(frozen=True)
class Server:
    """The real Redis, used by one history after the other."""

    process: subprocess.Popen[bytes]
    raw: redis.Redis
    #: The connection that all simulated processes share.
    connection: Any


def start(folder: Path) -> Server:
    """Start a server that stores nothing on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "redis.sock"
    command = (shutil.which("redis-server") or "redis-server", "--port", "0")
    options = ("--unixsocket", str(socket), "--save", "", "--appendonly", "no")
    server = subprocess.Popen(
        ("setpriv", "--pdeathsig", "KILL", "--", *command, *options, "--dir", str(folder)),  # noqa: S607 - found on the PATH
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(unix_socket_path=str(socket))
    for _ in range(1200):  # a minute
        try:
            client.ping()
        except redis.RedisError:
            time.sleep(0.05)
        else:
            break
    return Server(server, client, client.connection_pool.get_connection())


class RedisModel:
    """One simulated Redis of one history."""

    def __init__(self, world: World, server: Server, names: dict[str, str]) -> None:
        self._world = world
        self._raw = server.raw
        self._connection = server.connection
        self._names = names
        self.ahead_s = 0.0
        self.is_away = False
        #: Incremented each time all connections break.
        self.breaks = 0
        self._starts = 0
        #: Whether the latest data may be lost: then it is copied from time to time.
        self.may_lose = False
        #: The time of each copy, and the number of its database.
        self._copies: list[tuple[float, int]] = []
        self._plain = load(self._raw, _PLAIN)
        self._raw.flushall()
        self._restart()
        #: Called when Redis can be reached again.
        self.on_return: list[Callable[[], None]] = []

    # --- commands

    def ask(self, name: str, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Execute these commands in one step; returns the raw answers."""
        world, process = self._world, self._world.process
        world.moment(f"redis {name} asked")
        world.moment("redis asked")
        breaks = self.breaks
        world.wait(process.random.uniform(0.0002, 0.002))
        self._check(breaks)
        self._copy(name)
        answers = self._run(commands)
        world.moment(f"redis {name} done")
        world.moment("redis done")
        world.wait(process.random.uniform(0.0002, 0.002))
        self._check(breaks)
        return answers

    def _check(self, breaks: int) -> None:
        """Fail if the connection has broken since `breaks` was read."""
        if self.is_away or breaks != self.breaks:
            # The command may have taken effect.
            self._world.wait(0.01)
            raise redis.ConnectionError("Redis is away")

    def _run(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        connection = self._connection
        clock = self._clock()
        connection.send_packed_command(
            connection.pack_commands([self._by_simulated_clock(args, clock) for args in commands])
        )
        answers = []
        for _ in commands:
            try:
                answers.append(connection.read_response())
            except redis.ResponseError as error:
                answers.append(error)
        return answers

    def _clock(self) -> str:
        """The last argument of each script: the clock's seconds and microseconds, the identity."""
        seconds, micros = divmod(int((self._world.now + self.ahead_s) * 1_000_000), 1_000_000)
        return f"{seconds} {micros} {self._run_id}"

    def _by_simulated_clock(self, args: tuple[Any, ...], clock: str) -> tuple[Any, ...]:
        """The command, changed so that its time and its expiries are the simulated clock's."""
        if args[0] == "EVALSHA":
            return (*args, clock)
        return ("EVALSHA", self._plain, 0, *args, clock) if args[0] in _TIMED else args

    def name_of(self, args: tuple[Any, ...]) -> str:
        """The name of a command in the transcript."""
        if args[0] == "EVALSHA":
            return self._names.get(str(args[1]), "script")
        return str(args[0]).lower()

    def peek(self, *command: Any) -> Any:
        """Execute a command outside of any step: it takes no virtual time."""
        return self._raw.execute_command(*command)  # type: ignore[no-untyped-call]

    # --- faults

    def _restart(self) -> None:
        """Take another identity, and break all connections."""
        self._starts += 1
        self._run_id = f"{self._starts:040x}"
        self.breaks += 1

    def flush(self) -> None:
        """Delete all data; the server keeps running."""
        self._raw.flushdb()
        self._announce_return()

    def restart(self, lose_s: float | None, choice: int = 0, ahead_s: float | None = None) -> float:
        """Restart with the state of a time within the last `lose_s`; returns the seconds lost.

        `lose_s` None: nothing is lost. `ahead_s` None: the clock stays as it is.
        """
        lost_s = 0.0
        after = (
            []
            if lose_s is None
            else [copy for copy in self._copies if copy[0] >= self._world.now - lose_s]
        )
        if after:
            at, database = after[choice % len(after)]
            lost_s = self._world.now - at
            self._raw.eval(_COPY, 0, database, 0)
        if ahead_s is not None:
            self.ahead_s = ahead_s
        self._restart()
        self._announce_return()
        return lost_s

    def go_away(self, seconds: float) -> None:
        """Make Redis unreachable for a while."""
        self.is_away = True
        self.breaks += 1
        self._world.after(seconds, self._come_back)

    def _come_back(self) -> None:
        self.is_away = False
        self._announce_return()

    def _announce_return(self) -> None:
        # An event soon after prevents the clock from skipping the polls of the next second.
        self._world.after(1.5, lambda: None)
        for notify in self.on_return:
            notify()

    def damage(self, choice: int) -> None:
        """Damage a part of a user's entry: it gets a value that our code never writes."""
        raw = self._raw
        found: list[bytes] = raw.keys("*:user:[0-9]*")  # type: ignore[assignment]
        entries = [key for key in found if not key.endswith(b":events")]
        ours = sorted(key for key in entries if int(key.rsplit(b":", 1)[1]) not in FOREIGN)
        if not ours:
            return
        entry = ours[choice % len(ours)]
        if choice % 4 == 0:
            raw.delete(entry)
            raw.set(entry, "a text")
        else:
            raw.hset(entry, ("state", "order", "agreed")[choice % 4 - 1], "{")

    def _copy(self, name: str) -> None:
        """Copy all data before the next command, a few times a second."""
        now = self._world.now
        is_fresh = self._copies and now < self._copies[-1][0] + COPY_EVERY_S
        if not self.may_lose or (is_fresh and name not in COPY_BEFORE):
            return
        database = len(self._copies) + 1
        if len(self._copies) == COPIES:
            _, database = self._copies.pop(0)
        self._raw.eval(_COPY, 0, 0, database)
        self._copies.append((now, database))

    def due_at(self, prefix: str) -> float:
        """When a user is next due or a lease expires, in the world's time."""
        found = [float("inf")]
        for key in (f"{prefix}due", f"{prefix}leases"):
            first: Any = self._raw.zrange(key, 0, 0, withscores=True)
            found += [score / 1000 - self.ahead_s for _, score in first]
        return min(found)


class Client(redis.Redis):
    """Replaces our code's Redis client."""

    model: RedisModel

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command in one step."""
        name = self.model.name_of(args)
        (answer,) = self.model.ask(name, [args])
        return self._read(args[0], answer, options)

    def _read(self, name: str, answer: Any, options: dict[str, Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        options.pop("keys", None)
        callbacks: dict[str, Any] = self.response_callbacks
        callback = callbacks.get(name)
        return callback(answer, **options) if callback else answer

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> "Commands":  # noqa: FBT001, FBT002 - redis-py's signature
        """A pipeline, whose commands are executed in one step."""
        commands = Commands(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        commands.owner = self
        return commands


class Commands(Pipeline):
    """A pipeline; ours contain no transactions that matter."""

    owner: Client

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's signature
        """Execute all commands in one step."""
        stack = [(args, dict(options)) for args, options in self.command_stack]
        self.reset()
        if not stack:
            return []
        model = self.owner.model
        name = model.name_of(stack[-1][0])
        answers = model.ask(name, [args for args, _ in stack])
        found = []
        for (args, options), answer in zip(stack, answers, strict=True):
            if isinstance(answer, Exception) and not raise_on_error:
                found.append(answer)
            else:
                found.append(self.owner._read(args[0], answer, options))
        return found


def load(raw: redis.Redis, text: str) -> str:
    """Load a script; returns its SHA1."""
    return str(raw.script_load(text))
