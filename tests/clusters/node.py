"""One machine of a cluster: a namespace with its servers, to be killed, frozen and cut off."""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from local.runner.servers.selection import Server
from local.runner.state import State
from local.sandbox.servers import PrivateServer
from tests.clusters.network import Network, inside

#: A server asks the kernel to end it with the thread that started it: this thread never ends.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starter")

#: The size of a `Disk`: more than a round writes.
DISK_MB = 256
_CHUNK = 2**20


class Node:
    """A machine with an address and the servers that run on it."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.address = network.add(name)
        self.servers: list[PrivateServer] = []

    def place(self, server: Server, state: State) -> None:
        """Assign a server to this node, without starting it."""
        self.servers.append(PrivateServer(server, state))

    @property
    def is_running(self) -> bool:
        """Whether all servers of the node run."""
        return all(server.is_running() for server in self.servers)

    def start(self) -> None:
        """Start the servers that do not run, and wait until they answer."""
        for server in self.servers:
            if not server.is_running():
                _STARTER.submit(self._start, server).result()

    def kill(self) -> None:
        """Kill -9 everything that runs on the node."""
        self.signal(signal.SIGKILL)
        for server in self.servers:
            server.kill()

    def freeze(self) -> None:
        """Suspend every process of the node: connections stay open, nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self.signal(signal.SIGCONT)

    def signal(self, signal_: signal.Signals) -> None:
        """Send a signal to each process of the node."""
        for pid in self.network.pids(self.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal_)

    def heal(self) -> None:
        """End every fault of the node, but don't start servers that are down."""
        self.network.heal(self.name)
        self.thaw()

    def repair(self) -> None:
        """End every fault of the node, and start its servers."""
        self.heal()
        self.start()

    def _start(self, server: PrivateServer) -> None:
        with inside(self.name):
            if not server.is_running():  # another fault's repair may have started it
                server.start()


def state_in(folder: Path, passwords: Path) -> State:
    """A state folder with the passwords that all servers share."""
    state = State(folder)
    state.create()
    passwords.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "passwords").symlink_to(passwords)
    return state


class Disk:
    """A folder on a small disk of its own, which can be filled; ends with the laboratory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = f"size={DISK_MB}m,mode=700"
        _run("mount", "-t", "tmpfs", "-o", options, "disk", str(folder))

    def fill(self) -> None:
        """Use up all space."""
        with (
            self._filling.open("wb", buffering=0) as file,
            suppress(OSError),
        ):  # a full disk raises OSError
            while True:
                file.write(bytes(_CHUNK))

    def free(self) -> None:
        """Free the space that `fill` used."""
        self._filling.unlink(missing_ok=True)

    def end(self) -> None:
        """Remove the disk and its content."""
        _run("umount", "-l", str(self._folder))

    @property
    def _filling(self) -> Path:
        return self._folder / "filling"


def _run(tool: str, *words: str) -> None:
    subprocess.run((shutil.which(tool) or tool, *words), check=True, timeout=20)
