"""run.json: what runs where, for people, scripts and tests; environment.json: how to reach it."""

from collections.abc import Iterable

from local.runner.state import State, write_json
from local.runner.supervision import Status
from local.runner.system import System


class RunFile:
    """Both exist while a system runs; rewritten whenever a process gets another pid."""

    def __init__(self, state: State) -> None:
        self._path = state.run_file
        self._environment = state.environment_file
        self._pids: dict[str, int] = {}

    def update(self, system: System, statuses: Iterable[Status]) -> None:
        """Write it if anything changed; a process that is down just now is left out."""
        pids = {status.name: status.pid for status in statuses if status.pid}
        if pids == self._pids:
            return
        self._pids = pids
        # First: who sees run.json may count on it.
        write_json(self._environment, system.connections())
        write_json(
            self._path,
            {
                "urls": system.urls(),
                "functions": dict(system.functions),
                "processes": pids,
            },
        )

    def remove(self) -> None:
        """Nothing runs."""
        self._path.unlink(missing_ok=True)
        self._environment.unlink(missing_ok=True)
