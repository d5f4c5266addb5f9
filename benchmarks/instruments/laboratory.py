"""Private servers, single functions and whole systems, which stop at the end of a measurement."""

import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from benchmarks.instruments import processes
from leadline.bitrix24.token_bucket import TokenBucket
from leadline.runtime.postgres.migrate import migrate
from leadline.settings import settings
from leadline.workqueue.queue import WorkQueue
from local.runner.choices import Choices
from local.runner.ports import Ports
from local.runner.processes.program import CHECKOUT, Group, Program, StartPhase
from local.runner.servers.bitrix24 import Bitrix24
from local.runner.servers.postgres import Postgres
from local.runner.state import State, write
from local.sandbox.servers import PrivateServer, private, tied_to_this_process
from local.sandbox.system import PrivateSystem
from local.sandbox.waiting import eventually

READY_WITHIN_S = 60
#: Threads of each function, as `make run` sets them; the baseline has the same number.
THREADS = Choices.read({}).threads
#: Settings of the environment that must not affect a benchmark.
_EXTERNAL_SETTINGS = (
    "LEADLINE_",
    "DATABASE_URL",
    "AMQP_URL",
    "REDIS_URL",
    "BITRIX_",
    "API_KEYS",
    "WORKERS",
)


@dataclass(frozen=True)
class FunctionProcess:
    """A process that serves one function, or a worker, which serves its health."""

    url: str
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Stop the process, gracefully if it ends within 15 s."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


#: Writes are limited per API key, and a benchmark has only one.
NO_WRITE_LIMIT = {"LEADLINE_WRITE_RATE_PER_S": "0"}


class Laboratory:
    """Private servers, and the functions of a measurement."""

    def __init__(self, folder: Path) -> None:
        self._state = State(folder / "functions")
        self._state.create()
        self._folder = folder
        self.key = secrets.token_urlsafe(24)
        self.servers: dict[str, PrivateServer] = {}
        self._served: list[FunctionProcess] = []

    @contextmanager
    def running(self, *names: str) -> Iterator["Laboratory"]:
        """Run these servers during the block: postgres (migrated), rabbitmq, redis, bitrix24."""
        with ExitStack() as stack:
            for name in names:
                server = private(name, self._folder / name)
                stack.callback(server.stop)
                server.start()
                self.servers[name] = server
            if "postgres" in names:
                migrate(self.url("postgres"))
            stack.callback(self.stop_all)
            yield self

    def url(self, server: str) -> str:
        """The URL of a server; for Postgres, with the owner's login."""
        return self.servers[server].url

    def functions_url(self, database_url: str) -> str:
        """The URL of this database with the functions' login, which may neither drop nor alter."""
        server = self.servers["postgres"].server
        if not isinstance(server, Postgres):
            raise TypeError(f"{type(server).__name__} is not Postgres")
        return (
            urlsplit(database_url)._replace(netloc=urlsplit(server.functions_url).netloc).geturl()
        )

    def command(self, name: str) -> tuple[str, ...]:
        """The command that serves this function; `hello` is the baseline."""
        if name == "hello":
            return (sys.executable, "-m", "benchmarks.hello")
        return (sys.executable, "-m", "leadline.runtime.serving.serve", f"functions/{name}")

    def environment(self, **extra: str) -> dict[str, str]:
        """A function's environment, as in production: secrets in files, auth and log on.

        `extra` adds variables. DATABASE_URL among them selects another database than the server's.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_EXTERNAL_SETTINGS)}
        return {
            **inherited,
            "LEADLINE_SECRETS_DIR": str(self._secrets(extra.pop("DATABASE_URL", None))),
            "HOST": "127.0.0.1",
            "THREADS": str(THREADS),
            **NO_WRITE_LIMIT,
            **extra,
        }

    def launch(self, name: str, **env: str) -> FunctionProcess:
        """Start serving a function, without waiting; its log goes to a file."""
        return self._launch(name, self.command(name), **env)

    def launch_worker(self) -> FunctionProcess:
        """Start a worker, without waiting."""
        return self._launch("worker", (sys.executable, "-m", "leadline.sync.worker"))

    def _launch(self, name: str, command: tuple[str, ...], **env: str) -> FunctionProcess:
        port = Ports({}, with_defaults=False).choose(name)
        program = Program(name, command, Group.FUNCTIONS, StartPhase.FUNCTIONS)
        with (self._state.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own function
                tied_to_this_process(program),
                cwd=CHECKOUT,
                env=self.environment(**env, PORT=str(port)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        served = FunctionProcess(f"http://127.0.0.1:{port}", process)
        self._served.append(served)
        return served

    def serve(self, name: str, **env: str) -> FunctionProcess:
        """Serve a function, and wait until it listens."""
        served = self.launch(name, **env)
        eventually(lambda: _listens(f"{served.url}/_/health"), READY_WITHIN_S, f"{name} listens")
        return served

    def stop_all(self) -> None:
        """Stop every function and worker."""
        while self._served:
            self._served.pop().end()

    def _secrets(self, database_url: str | None) -> Path:
        """A folder with URLs and keys as files; each database has one of its own."""
        urls = {name: server.url for name, server in self.servers.items()}
        owner_url = database_url or urls.get("postgres")
        database = self.functions_url(owner_url) if owner_url else ""
        folder = self._state.folder(f"secrets-{database.rpartition('/')[2] or 'none'}")
        texts = {
            "database-url": database,
            "amqp-url": urls.get("rabbitmq", ""),
            "redis-url": urls.get("redis", ""),
            "bitrix-webhook-url": self._webhook(),
            "api-keys": f"read,write,erase:{self.key}",
            "internal-key": self.key,
        }
        for name, text in texts.items():
            # Empty: the URL of a server that is not part of this measurement.
            if text and not (folder / name).exists():
                write(folder / name, text)
        return folder

    def _webhook(self) -> str:
        """The emulated portal's webhook; empty if none runs."""
        portal = self.servers.get("bitrix24")
        if portal is None or not isinstance(portal.server, Bitrix24):
            return ""
        return portal.server.webhook_url


def _listens(url: str) -> bool:
    """Whether a server answers at this URL, with any status."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


class BenchSystem(PrivateSystem):
    """A whole system with auth on, and access to its processes."""

    @property
    def key(self) -> str:
        """The API key."""
        return self.env["API_KEYS"]

    def function(self, name: str) -> str:
        """The address of a function: requests bypass the gateway, which differs by platform."""
        return str(self.run["functions"][name])

    def pids(self) -> dict[str, int]:
        """Every process of the system by name, except the supervisor."""
        return {name: int(pid) for name, pid in self.run["processes"].items()}

    def ready_users(self) -> int:
        """The number of users in the work queue that are due now."""
        with redis.Redis.from_url(self.url("redis")) as client:
            queue = WorkQueue(client, "main", request_limit_s=settings().request_limit_s)
            return queue.depth().due

    def has_burst(self) -> bool:
        """Whether the token bucket, which is empty when Redis starts, has filled up."""
        with self._bucket() as bucket:
            return bucket.level() == 1

    def empty_bucket(self) -> None:
        """Take every token, as a long queue does."""
        with self._bucket() as bucket:
            while not bucket.reserve():
                pass
            bucket.give_back()  # the one that was taken in advance

    @contextmanager
    def _bucket(self) -> Iterator[TokenBucket]:
        with redis.Redis.from_url(self.url("redis")) as client:
            queue = WorkQueue(client, "main", request_limit_s=settings().request_limit_s)
            rate, burst = settings().rate_per_s, settings().burst
            yield TokenBucket(client, queue.prefix, rate_per_s=rate, burst=burst)

    def suspend(self, prefix: str) -> None:
        """Stop the processes with this name prefix until `resume`."""
        self._signal_all(prefix, "suspend")

    def resume(self, prefix: str) -> None:
        """Resume suspended processes."""
        self._signal_all(prefix, "resume")

    def _signal_all(self, prefix: str, method: str) -> None:
        """Call this method of `psutil.Process` on these processes and their descendants."""
        for name, pid in self.pids().items():
            if name.startswith(prefix):
                for process in processes.tree(pid):
                    getattr(process, method)()


#: Disables the limits of the portal, in Leadline and in the emulator.
NO_LIMITS = {"LEADLINE_RATE_PER_S": "0", "LEADLINE_OPERATING_LIMIT_S": "1000000"}


@contextmanager
def whole_system(folder: Path, **env: str) -> Iterator[BenchSystem]:
    """A system that runs during the block; with NO_LIMITS, the emulator has no limits either."""
    defaults = {"WORKERS": str(Choices.read({}).workers), "API_KEYS": secrets.token_urlsafe(24)}
    env_of_system = {**defaults, **NO_WRITE_LIMIT, **env}
    system = BenchSystem(State(folder), env_of_system)
    try:
        system.start()
        if env.items() >= NO_LIMITS.items():
            system.control("PUT", "settings", {"rate_per_s": None, "operating_limit_s": None})
        yield system
    finally:
        system.end()
