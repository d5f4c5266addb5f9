"""Processes of Leadline for tests, forked from one that has imported their packages.

Imports are most of the CPU time of a process that a test starts. `forked.run`, with which the local
run starts its programs, makes a fork behave as `python -m` does, see
tests/integration/test_forked_programs.py.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

from local.runner.processes import forked, supervisord
from local.runner.processes.program import CHECKOUT

#: The maximum size of a request in bytes: module, its arguments, environment and folder.
_REQUEST_MAX = 100_000
#: With each request: stdout, stderr, and the pipe to which the exit code is written.
_DESCRIPTORS = 3


class Fork:
    """A forked process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int, exit_code_pipe: int) -> None:
        """`exit_code_pipe`: the descriptor from which the exit code of an ended process is read."""
        self.pid = pid
        self.returncode: int | None = None
        self._exit_code_pipe = exit_code_pipe

    def poll(self) -> int | None:
        """The exit code of the process; None while it runs."""
        return self._read_exit_code(0)

    def wait(self, timeout: float) -> int:
        """Wait until the process has ended; returns its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        code = self._read_exit_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_exit_code(self, timeout_s: float) -> int | None:
        pipe = self._exit_code_pipe
        if self.returncode is None and select.select([pipe], [], [], timeout_s)[0]:
            self.returncode = int(os.read(pipe, 100))
            os.close(pipe)
        return self.returncode


class Forks:
    """The process that has imported the packages; when it is closed, all its forks end."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.forks", str(other.fileno())),
                cwd=CHECKOUT,
                pass_fds=[other.fileno()],
            )
        self._socket.recv(1)  # sent once the packages are imported

    def start(
        self,
        module: str,
        *words: str,
        env: Mapping[str, str],
        folder: Path = CHECKOUT,
        stdout: int = subprocess.DEVNULL,
        stderr: int = 2,  # this process's own
    ) -> Fork:
        """Start `python -m module words`; `stdout` and `stderr` are descriptors of this process."""
        request = json.dumps([module, words, dict(env), str(folder)]).encode()
        with contextlib.ExitStack() as opened:
            if stdout == subprocess.DEVNULL:
                stdout = os.open(os.devnull, os.O_WRONLY)
                opened.callback(os.close, stdout)
            exit_code_pipe, report = os.pipe()
            opened.callback(os.close, report)
            socket.send_fds(self._socket, [request], [stdout, stderr, report])
            return Fork(int(self._socket.recv(100)), exit_code_pipe)

    def run(
        self, module: str, *words: str, env: Mapping[str, str], within_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module words` to its end; returns its exit code and output.

        Raises:
            subprocess.TimeoutExpired: it did not end in time; it was killed.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.start(module, *words, env=env, stdout=out.fileno(), stderr=err.fileno())
            try:
                code = process.wait(within_s)
            finally:
                process.kill()
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(
                (module, *words), code, out.read().decode(), err.read().decode()
            )

    def close(self) -> None:
        """End all forks and their parent."""
        self._socket.close()
        self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(requests: socket.socket) -> None:
    """Fork a program for each request and report its exit code, until the tests have ended.

    Then kill the programs that still run.
    """
    # By the pidfd of each program: its pid, and the pipe to which its exit code is written.
    running: dict[int, tuple[int, int]] = {}
    requests.send(b".")  # ready
    while True:
        readable, _, _ = select.select([requests.fileno(), *running], [], [])
        for ended in running.keys() & set(readable):
            _report(ended, *running.pop(ended))
        if requests.fileno() in readable:
            request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_MAX, _DESCRIPTORS)
            if not request:
                break
            pid = os.fork()
            if pid == 0:
                _become(*json.loads(request), *descriptors[:2])
            *output, report = descriptors
            for descriptor in output:
                os.close(descriptor)
            running[os.pidfd_open(pid)] = pid, report
            requests.send(str(pid).encode())
    for pid, _ in running.values():
        os.kill(pid, signal.SIGKILL)


def _report(pidfd: int, pid: int, report: int) -> None:
    """Write the exit code of an ended program into its pipe."""
    os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # no test waits for it any more
        os.write(report, str(code).encode())
    os.close(report)


def _become(  # noqa: PLR0917 - what a process consists of
    module: str, words: list[str], env: dict[str, str], folder: str, stdout: int, stderr: int
) -> NoReturn:
    """Become this program."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, 1000)  # the descriptors of the parent
    os.chdir(folder)
    forked.run(module, ("nice", "-n", "0", sys.executable, "-m", module, *words), env)


if __name__ == "__main__":
    supervisord.load()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        _serve(listening)
