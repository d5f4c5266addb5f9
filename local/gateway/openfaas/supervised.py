"""Functions as programs of the run's supervisord, controlled by XML-RPC over its socket.

http://supervisord.org/api.html
"""

import asyncio
import datetime as dt
import time
import xmlrpc.client
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import aiohttp

from local.gateway.openfaas.logs import read
from local.gateway.openfaas.platform import Instances, LogLine, PlatformDown, Usage

#: More than the time a function has to finish its requests before it is killed.
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_GROUP = "functions"
#: http://supervisord.org/api.html#supervisor.rpcinterface.SupervisorNamespaceRPCInterface.stopProcess
_NOT_RUNNING = 70


class SupervisedPrograms:
    """The platform of `make run`."""

    orchestration = "supervisord"
    scaling = "make run has one replica of each function; THREADS sets its concurrency."

    def __init__(self, socket: Path, logs: Path) -> None:
        self._socket = socket
        self._logs = logs

    async def refusal(self, image: str) -> str | None:  # noqa: ARG002 - the checkout is what runs
        """None: for every tag, the code of the checkout runs."""
        return None

    async def restart(self, name: str) -> None:
        """Stop, then start without waiting until it serves."""
        await self.stop(name)
        wait = False
        await self._call("startProcess", f"{_GROUP}:{name}", wait)

    async def stop(self, name: str) -> None:
        """Send SIGTERM and wait for the exit."""
        await self._call("stopProcess", f"{_GROUP}:{name}", accepted_fault=_NOT_RUNNING)

    async def instances(self) -> dict[str, Instances]:
        """One instance of each function, since its last start."""
        programs = await self._call("getAllProcessInfo")
        return {
            program["name"]: Instances(
                f"{program['name']}:checkout",
                1,
                dt.datetime.fromtimestamp(program["start"], dt.UTC),
            )
            for program in programs
            if program["group"] == _GROUP
        }

    async def usage(self, name: str) -> Usage | None:
        """The usage of the program and its children, CPU since their start."""
        info = await self._call("getProcessInfo", f"{_GROUP}:{name}")
        return await asyncio.to_thread(_usage, info["pid"]) if info["pid"] else None

    async def logs(
        self, name: str, since: dt.datetime | None, tail: int | None, *, is_followed: bool
    ) -> AsyncIterator[LogLine]:
        """Lines from the program's log file and its rotated predecessors."""
        path = self._logs / f"{name}.log"
        async for line in read(path, name, since, tail, is_followed=is_followed):
            yield line

    async def _call(
        self, method: str, *arguments: str | bool, accepted_fault: int | None = None
    ) -> Any:
        """The result of a call to supervisord; None for `accepted_fault`. Raises PlatformDown."""
        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
        connector = aiohttp.UnixConnector(str(self._socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
                session.post("http://localhost/RPC2", data=body) as answer,
            ):
                text = await answer.text()
            (result,), _ = xmlrpc.client.loads(text)
        except (aiohttp.ClientError, TimeoutError, ExpatError) as error:
            raise PlatformDown("supervisord does not answer") from error
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != accepted_fault:
                raise PlatformDown(f"supervisord rejects it: {fault.faultString}") from fault
            return None
        return result


def _usage(pid: int) -> Usage | None:
    """The usage of a process and its descendants; None if it has ended."""
    import psutil  # noqa: PLC0415 - only `describe` needs it, and it would delay the start

    memory_bytes, seconds = 0, 0.0
    try:
        parent = psutil.Process(pid)
        age_s = max(time.time() - parent.create_time(), 0.001)
        for process in (parent, *parent.children(recursive=True)):
            memory_bytes += process.memory_full_info().pss
            times = process.cpu_times()
            seconds += times.user + times.system
    except psutil.NoSuchProcess:
        return None
    return Usage(memory_bytes, 1000 * seconds / age_s)
