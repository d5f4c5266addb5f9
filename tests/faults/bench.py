"""The laboratory's bench: a whole system whose servers are behind proxies.

The real runner starts the processes; the bench starts Postgres, RabbitMQ, Redis and the portal, so
that each can be killed, frozen, emptied and cut off separately. The observer's own clients (`rows`,
`channel`, `control`) bypass the proxies and always get through.
"""

import os
import shutil
import signal
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import psutil
import redis
import requests
import trustme

from local.runner.state import State
from tests.checker.history import Rate
from tests.faults.bench_parts import Channel, clock_ahead, port_of, rabbitmqctl, try_to_start
from tests.faults.proxy import Proxy
from tests.faults.tap import PublishedMessages
from tests.servers import eventually, private
from tests.system import System

SERVERS = ("postgres", "rabbitmq", "redis", "bitrix24")
#: A second proxy of the portal, behind its proxy "bitrix24": this one ends the TLS that our
#: processes use, and so sees plain HTTP.
PLAIN_HTTP = "bitrix24, plain HTTP"
#: How long the portal runs a request at most; time-outs, leases and waits follow from it.
REQUEST_LIMIT_S = 3
#: `leadline.workqueue.queue`: a process frozen for longer has lost its lease.
LEASE_S = REQUEST_LIMIT_S + 20
#: How many requests the portal allows here: so few that the limit is reached.
RATE = Rate(per_s=2, burst=12)
#: Waits that take minutes in production take seconds here.
QUICK = {
    "LEADLINE_REQUEST_LIMIT_S": str(REQUEST_LIMIT_S),
    "LEADLINE_PUBLISH_GRACE_S": "2",
    "LEADLINE_RESEND_AFTER_S": "4",
    "LEADLINE_RESEND_CAP_S": "15",
    "LEADLINE_RELAY_EVERY_S": "1",
    "LEADLINE_BURST": str(RATE.burst),
    "WORKERS": "3",
}
#: Processes that are never killed, since the clients of the workload need them.
_SPARED = {"edge"}
PORTAL = {
    "request_limit_s": REQUEST_LIMIT_S,
    "command_ms": 20,
    "request_ms": 0,
    "mode": "ok",
    "rate_per_s": RATE.per_s,
    "burst": RATE.burst,
}
#: The code of our webhook, and that of another user with a separate rate limit, who changes leads
#: by hand.
OUR_CODE, OTHER_CODE = "local-webhook-code", "enterprise-webhook-code"
_TRUSTING = Path(__file__).parent / "trusting"


class Bench:
    """One system to break; `repair` repairs everything.

    `skew_s`: how far Postgres' clock is ahead of all others.
    """

    #: The command that repeats a seed's round.
    command = "make faults SEED={}"

    def __init__(self, folder: Path, skew_s: int = 0, **env: str) -> None:
        self.servers = {name: private(name, folder / name) for name in SERVERS}
        self.servers["postgres"].env = clock_ahead(skew_s) if skew_s else {}
        self.servers["bitrix24"].env = {"BITRIX_JOURNAL": str(self.journal)}
        self.skew_s = skew_s
        #: In front of each server; also records all that our processes publish.
        self.proxies: dict[str, Proxy] = {}
        self.published = PublishedMessages()
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        #: For each server, held while it is killed, wiped or started.
        self.locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        #: Whether `published` has everything that our processes publish.
        self.is_broker_complete = True
        # The kernel ends a server with the thread that started it: this thread stays.
        self._starter = ThreadPoolExecutor(1)
        self._env, self._folder = env, folder
        self._broker_env: dict[str, str] = {}
        self.system = System(State(folder / "system"))

    def start(self) -> None:
        """Start servers, proxies and all processes."""
        self._broker_env = dict(self.servers["rabbitmq"].server.programs()[-1].env)
        for name, server in self.servers.items():
            server.start()
            taps = self.published.tap if name == "rabbitmq" else None
            self.proxies[name] = Proxy(self._target(name), taps=taps)
        webhook = f"{self._behind('bitrix24')}/rest/1/{OUR_CODE}/"
        self.system.env = {
            "PYTHONPATH": f"{_TRUSTING}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "BENCH_AUTHORITY": str(self._folder / "authority.pem"),
            "DATABASE_URL": self._behind("postgres"),
            "AMQP_URL": self._behind("rabbitmq"),
            "REDIS_URL": self._behind("redis"),
            "BITRIX_WEBHOOK_URL": webhook.replace("http:", "https:"),
            **QUICK,
            **self._env,
        }
        self.control("PUT", "settings", PORTAL)
        self.system.start()

    def end(self) -> None:
        """Stop everything."""
        self.system.end()
        for proxy in self.proxies.values():
            proxy.close()
        for server in self.servers.values():
            if server.is_running():
                server.thaw()
                server.stop()
        self._starter.shutdown()

    def repair(self) -> None:
        """End every fault: all servers run and can be reached, no process is frozen."""
        for proxy in self.proxies.values():
            proxy.heal()
        for name, server in self.servers.items():
            with self.locks[name]:
                server.thaw()
                self.revive(name)
        for process in self.system.processes():
            if process.is_running() and process.status() == psutil.STATUS_STOPPED:
                process.resume()
        self.control("DELETE", "faults")
        self.control("PUT", "settings", PORTAL)

    # Processes and servers

    @property
    def systems(self) -> tuple[System, ...]:
        """The systems that serve clients, each run by a runner."""
        return (self.system,)

    def on_host_of(self, _system: System) -> AbstractContextManager[None]:
        """Run the block where 127.0.0.1 is this system's host."""
        return nullcontext()

    def passwords(self) -> Iterator[Path]:
        """Files with the servers' passwords."""
        for server in self.servers.values():
            yield from (server.state.root / "passwords").glob("*")

    @property
    def edge(self) -> str:
        """The clients' URL."""
        return self.system.url("edge")

    def process_names(self) -> list[str]:
        """The running processes of Leadline that may be killed."""
        return sorted(set(self.system.run["processes"]) - _SPARED)

    def send(self, name: str, signal_: signal.Signals) -> None:
        """Send a signal to the process of this name, if it runs."""
        pid = self.system.run["processes"].get(name)
        try:
            if pid:
                psutil.Process(pid).send_signal(signal_)
        except psutil.NoSuchProcess:
            return

    def revive(self, name: str) -> None:
        """Start a server that is down; a portal gets its settings again."""
        server = self.servers[name]
        if server.is_running():
            return
        # A killed postmaster leaves backends that hold its shared memory for a moment.
        eventually(
            lambda: self._starter.submit(try_to_start, server).result(), 120, f"{name} runs again"
        )
        if name == "bitrix24":
            self.control("PUT", "settings", PORTAL)

    def crash(self, name: str, signal_: signal.Signals = signal.SIGKILL) -> None:
        """Kill a server at once."""
        self.servers[name].kill(signal_)

    def wipe(self, name: str) -> None:
        """Delete the data of a crashed server."""
        state = self.servers[name].state
        folder = {"rabbitmq": "rabbitmq/mnesia", "redis": "redis/appendonlydir"}[name]
        shutil.rmtree(state.root / folder, ignore_errors=True)

    # Data

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The portal's control API."""
        url = f"{self.portal_url}/_emulator/{path}"
        answer = requests.request(method, url, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def leads_of(self, user: int) -> list[dict[str, Any]]:
        """Every lead with this user's id; none while the portal is down."""
        try:
            return list(self.control("GET", f"leads?origin_id={user}"))
        except requests.RequestException:
            return []

    def call_by_hand(self, method: str, **params: object) -> None:
        """A person's call to the CRM, if the portal is up."""
        url = f"{self.portal_url}/rest/1/{OTHER_CODE}/{method}"
        try:
            requests.post(url, json=params, timeout=60)
        except requests.RequestException:
            return

    @property
    def portal_url(self) -> str:
        """The portal's own address."""
        return self.servers["bitrix24"].url

    @property
    def journal(self) -> Path:
        """The portal's journal of requests and writes."""
        return self.servers["bitrix24"].state.root / "journal"

    def rows(self, sql: str, **params: object) -> list[dict[str, Any]]:
        """Rows of the ledger."""
        parts = urlsplit(self.servers["postgres"].url)
        with pg8000.native.Connection(
            parts.username or "",
            host=parts.hostname or "",
            port=parts.port or 0,
            password=parts.password,
            database=parts.path.lstrip("/"),
            timeout=60,
            ssl_context=False,
        ) as connection:
            rows = connection.run(sql, **params) or []
            names = [column["name"] for column in connection.columns or []]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def redis(self) -> redis.Redis:
        """A Redis client that bypasses the proxy."""
        return redis.Redis.from_url(self.servers["redis"].url, socket_timeout=10)

    def channel(self) -> AbstractContextManager[Any]:
        """A RabbitMQ channel that bypasses the proxy; unroutable messages are an error."""
        return Channel(self.servers["rabbitmq"].url)

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def rabbitmqctl(self, *words: str) -> None:
        """An operator's command to the broker."""
        rabbitmqctl(self._broker_env, *words)

    def _target(self, name: str) -> int:
        """The port to which a server's proxy forwards; for the portal, starts its second proxy."""
        port = port_of(self.servers[name].url)
        if name != "bitrix24":
            return port
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self.proxies[PLAIN_HTTP] = Proxy(port, tls=context)
        return self.proxies[PLAIN_HTTP].port

    def _behind(self, name: str) -> str:
        parts = urlsplit(self.servers[name].url)
        address = parts.netloc.replace(f":{parts.port}", f":{self.proxies[name].port}")
        return parts._replace(netloc=address).geturl()
