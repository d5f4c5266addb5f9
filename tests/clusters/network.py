"""A network of the laboratory's own: each node has a namespace, all are joined by one bridge.

`enclosing_command` runs the laboratory in its own network, mount and process namespaces. When the
first process in them ends, also by kill -9, the kernel ends all others and removes the namespaces:
nothing of the machine's network is touched, and nothing is left behind.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUBNET = "10.77.0"
_BRIDGE = "leadline"
_NAMESPACES, _SHARED_MEMORY = Path("/run/netns"), "/dev/shm"  # noqa: S108 - a mount point
#: The namespace with the bridge; the calling thread may be in another.
_OUTER = "outer"
#: The namespace that the calling thread is in.
_CURRENT = Path("/proc/thread-self/ns/net")
_TOOLS = ("unshare", "ip", "tc", "nft", "mount")
#: An environment variable that is set in the laboratory's own namespaces.
_ENCLOSED = "LEADLINE_ENCLOSED"
_UNSHARE = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
#: CLONE_NEWNET of <sched.h>: setns(2) moves to a network namespace.
_NEWNET = 0x40000000
#: A slow link: a megabyte takes more than two minutes, a short message some milliseconds.
_SLOW = ("rate", "64kbit", "burst", "4kb", "latency", "4s")


def obstacle() -> str:
    """Why such a network can't be made on this machine; "" if it can."""
    if missing := [tool for tool in _TOOLS if not _path(tool)]:
        return f"missing: {', '.join(missing)}"
    script = (
        "ip link add name a type veth && nft add table bridge a && tc qdisc add dev a root tbf "
    )
    command = (_path("unshare"), *_UNSHARE, "sh", "-c", script + " ".join(_SLOW))
    tried = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "" if tried.returncode == 0 else f"no namespaces: {tried.stderr.strip()}"


def is_enclosed() -> bool:
    """Whether this process runs in its own namespaces."""
    return os.environ.get(_ENCLOSED) == "1"


def enclosing_command(module: str, words: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that runs `python -m module` in its own namespaces."""
    # A shell is their first process: it also waits for processes that have lost their parent.
    script = f'export {_ENCLOSED}=1; {sys.executable} -m {module} "$@"; exit $?'
    return (_path("unshare"), *_UNSHARE, "bash", "-c", script, "bash", *words)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Move this thread to a node, where its new sockets, threads and processes then are."""
    with _CURRENT.open() as before, (_NAMESPACES / name).open() as namespace:
        _enter(namespace.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def whereabouts() -> str:
    """The name of the node that this thread is in."""
    inode = _CURRENT.stat().st_ino
    return next(
        namespace.name for namespace in _NAMESPACES.iterdir() if namespace.stat().st_ino == inode
    )


class Network:
    """The nodes' network; create it once, in an enclosed process."""

    def __init__(self) -> None:
        if not is_enclosed():
            raise PermissionError("this network would be the machine's own")
        self._addresses: dict[str, str] = {}
        #: What is disturbed now, with the rules for it.
        self._rules: dict[str, list[str]] = {}
        self._slow: set[str] = set()
        _NAMESPACES.mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "none", str(_NAMESPACES))
        # faketime names semaphores by process ids, which exist outside, too.
        _run("mount", "-t", "tmpfs", "none", _SHARED_MEMORY)
        (_NAMESPACES / _OUTER).touch()
        _run("mount", "--bind", str(_CURRENT), str(_NAMESPACES / _OUTER))
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        _run("ip", "link", "set", _BRIDGE, "up")
        self._apply()

    def add(self, name: str) -> str:
        """Add a node; returns its address."""
        address = f"{SUBNET}.{11 + len(self._addresses)}"
        _run_outside("ip", "netns", "add", name)
        _run_outside(
            "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name
        )
        _run_outside("ip", "link", "set", name, "master", _BRIDGE, "up")
        _run_outside("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run_outside("ip", "-n", name, "link", "set", device, "up")
        self._addresses[name] = address
        return address

    def pids(self, name: str) -> list[int]:
        """The processes of a node, without this one, whose threads visit nodes."""
        result = subprocess.run(
            (_path("ip"), "netns", "pids", name), capture_output=True, text=True, check=True
        )
        return [pid for pid in map(int, result.stdout.split()) if pid != os.getpid()]

    def cut(self, name: str) -> None:
        """Drop all packets to and from a node."""
        self._disturb(f"{name} cut off", _both(self._addresses[name], "drop"))

    def silence(self, name: str) -> None:
        """Drop all packets from a node, and none to it."""
        self._disturb(f"{name} silent", [f"ip saddr {self._addresses[name]} drop"])

    def deafen(self, name: str) -> None:
        """Drop all packets to a node, and none from it."""
        self._disturb(f"{name} deaf", [f"ip daddr {self._addresses[name]} drop"])

    def part(self, name: str, others: Sequence[str]) -> None:
        """Drop all packets between a node and these others."""
        address = self._addresses[name]
        pairs = [(address, self._addresses[other]) for other in others]
        rules = [
            f"ip saddr {source} ip daddr {target} drop"
            for pair in pairs
            for source, target in (pair, pair[::-1])
        ]
        self._disturb(f"{name} parted", rules)

    def lose(self, name: str, percent: int) -> None:
        """Drop this percentage of a node's packets in each direction."""
        rules = _both(self._addresses[name], f"numgen random mod 100 < {percent} drop")
        self._disturb(f"{name} lossy", rules)

    def slow(self, name: str) -> None:
        """Limit a node's link to 8 kB a second in each direction."""
        self._slow.add(name)
        for options, device in _link_ends(name):
            _run_outside("tc", *options, "qdisc", "add", "dev", device, "root", "tbf", *_SLOW)

    @property
    def disturbed(self) -> list[str]:
        """The current disturbances of the network."""
        return [*self._rules, *(f"{name} slow" for name in self._slow)]

    def heal(self, name: str) -> None:
        """End all disturbances of a node's network."""
        for key in [key for key in self._rules if key.split()[0] == name]:
            del self._rules[key]
        self._apply()
        if name in self._slow:
            self._slow.remove(name)
            for options, device in _link_ends(name):
                _run_outside("tc", *options, "qdisc", "del", "dev", device, "root")

    def _disturb(self, key: str, rules: list[str]) -> None:
        self._rules[key] = rules
        self._apply()

    def _apply(self) -> None:
        """Replace the bridge's filter by the current rules."""
        rules = "\n".join(rule for rules in list(self._rules.values()) for rule in rules)
        table = "table bridge leadline"
        hook = "type filter hook forward priority 0;"
        # The first line makes the table where it is missing, so that it can be deleted.
        text = f"{table}\ndelete {table}\n{table} {{\nchain forward {{\n{hook}\n{rules}\n}}\n}}\n"
        _run_outside("nft", "-f", "-", text=text)


def _both(address: str, verdict: str) -> list[str]:
    return [f"ip {side} {address} {verdict}" for side in ("saddr", "daddr")]


def _link_ends(name: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Both ends of a node's link: options of tc, and the device."""
    return (((), name), (("-n", name), "eth0"))


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _path(tool: str) -> str:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


def _run(tool: str, *words: str, text: str | None = None) -> None:
    subprocess.run((_path(tool), *words), input=text, text=True, check=True, timeout=20)


def _run_outside(tool: str, *words: str, text: str | None = None) -> None:
    with inside(_OUTER):
        _run(tool, *words, text=text)
