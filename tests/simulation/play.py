"""Plays histories on this process's own servers, one after the other."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from leadline import process
from leadline.runtime.postgres import migrate
from leadline.settings import settings
from tests.simulation import patches, postgres_model, redis_model, rules
from tests.simulation.plan import Plan
from tests.simulation.system import System
from tests.simulation.world import Stuck

ENVIRONMENT = {
    "LEADLINE_AUTH": "off",
    "LEADLINE_REPLY_QUEUES": "bitrix.responses,nest.responses",
    "AMQP_URL": "amqp://user:none@127.0.0.1:1/",
    "BITRIX_WEBHOOK_URL": "https://portal.example/rest/1/webhook-code/",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


@dataclass
class Result:
    """The result of a history."""

    plan: Plan
    violations: list[str]
    system: System

    def trace(self) -> str:
        """Everything that happened, line by line."""
        return "\n".join(
            f"{line.at:.6f} {line.who} {line.what} {line.facts}"
            for line in self.system.world.transcript
        )


#: The environment variable with the folder of a `save_cluster`, which new players copy.
CLUSTER = "SIMULATION_CLUSTER"


class Player:
    """Plays histories, one after the other, on one Redis and one Postgres."""

    def __init__(self) -> None:
        os.environ.update(ENVIRONMENT)
        process.forget(settings)
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-simulation-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # Postgres, which refuses root, runs as a user who must enter it
        cluster = os.environ.get(CLUSTER)
        self._postgres, port = postgres_model.start(folder, Path(cluster) if cluster else None)
        os.environ["DATABASE_URL"] = postgres_model.url(port)
        if not cluster:
            migrate.migrate(postgres_model.url(port))
        self._server = redis_model.start(folder / "redis")
        self._store = postgres_model.Store(port, folder / "postgres")
        patches.install(self._server.raw)

    def play(self, plan: Plan) -> Result:
        """Play this plan."""
        os.environ["LEADLINE_BURST"] = str(plan.shape.burst)
        os.environ["LEADLINE_RATE_PER_S"] = str(plan.shape.rate_per_s)
        process.forget(settings)
        system = System(plan, self._server, self._store)
        try:
            system.play()
        except Stuck as error:
            return Result(plan, [f"never idle: {error}"], system)
        return Result(plan, rules.violations(system), system)

    def cpu_s(self) -> float:
        """CPU time of this process and of its servers so far."""
        return _cpu_s(self._server.process, self._postgres)

    def stop_postgres(self) -> Path:
        """Stop Postgres; returns its cluster, which exists until `close`."""
        self._postgres.send_signal(signal.SIGINT)
        self._postgres.wait()
        return Path(self._folder.name) / "postgres"

    def close(self) -> None:
        """End the servers."""
        self._server.process.kill()
        self._postgres.send_signal(signal.SIGINT)
        self._server.process.wait()
        self._postgres.wait()
        self._folder.cleanup()


def save_cluster(target: Path) -> None:
    """Save a migrated Postgres cluster without users: creating one takes seconds of CPU time."""
    with closing(Player()) as player:
        shutil.copytree(player.stop_postgres(), target)


def _cpu_s(*servers: subprocess.Popen[bytes]) -> float:
    """CPU time of this process and of its servers."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    total = usage.ru_utime + usage.ru_stime
    for server in servers:
        process = psutil.Process(server.pid)
        for running in (process, *process.children(recursive=True)):
            times = running.cpu_times()
            total += times.user + times.system
    return total
