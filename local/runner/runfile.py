"""run.json: addresses and processes; environment.json: connections for the command line."""

from collections.abc import Iterable

from local.runner.processes.supervision import Status
from local.runner.state import State, write_json
from local.runner.system import System


class RunFile:
    """Both files exist while a system runs; rewritten when a process gets another pid."""

    def __init__(self, state: State) -> None:
        self._path = state.run_file
        self._environment = state.environment_file
        self._pids: dict[str, int] = {}

    def update(self, system: System, statuses: Iterable[Status]) -> None:
        """Write both if anything changed; omits processes that are down."""
        pids = {status.name: status.pid for status in statuses if status.pid}
        if pids == self._pids:
            return
        self._pids = pids
        # Before run.json, whose readers rely on it.
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
        """Delete both: nothing runs."""
        self._path.unlink(missing_ok=True)
        self._environment.unlink(missing_ok=True)
