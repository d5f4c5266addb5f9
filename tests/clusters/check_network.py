"""Each disturbance of the network, seen by UDP between nodes; `test_network.py` runs it."""

import socket
import time
from collections.abc import Callable

from tests.clusters.network import Network, inside

_PORT = 5000
#: More than a slow link carries within `_LISTEN_S`, less than a socket's buffer.
_COUNT, _BYTES, _LISTEN_S = 100, 300, 0.5


def main() -> None:
    """Check every disturbance; raises AssertionError."""
    network = Network()
    addresses = {name: network.add(name) for name in ("one", "two", "three")}

    def share(source: str, target: str) -> float:
        """The share of packets that arrive."""
        with inside(target):
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("0.0.0.0", _PORT))  # noqa: S104 - in a namespace
        receiver.settimeout(_LISTEN_S)
        with inside(source):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver, sender:
            for _ in range(_COUNT):
                sender.sendto(bytes(_BYTES), (addresses[target], _PORT))
            return _receive(receiver) / _COUNT

    def check(
        disturb: Callable[[], None], expected: dict[tuple[str, str], tuple[float, float]]
    ) -> None:
        disturb()
        for (source, target), (least, most) in expected.items():
            found = share(source, target)
            assert least <= found <= most, f"{disturb}: {source} to {target} {found}"
        network.heal("one")

    pairs = [(a, b) for a in addresses for b in addresses if a != b]
    passes, blocked = (1.0, 1.0), (0.0, 0.0)
    out, into, apart = ("one", "two"), ("two", "one"), ("two", "three")
    with inside("three"):  # whichever node the caller is in
        check(lambda: None, dict.fromkeys(pairs, passes))
        check(lambda: network.cut("one"), {out: blocked, into: blocked, apart: passes})
        check(lambda: network.silence("one"), {out: blocked, into: passes, apart: passes})
        check(lambda: network.deafen("one"), {out: passes, into: blocked, apart: passes})
        parted = {out: blocked, into: blocked, ("one", "three"): passes, apart: passes}
        check(lambda: network.part("one", ["two"]), parted)
        check(lambda: network.lose("one", 50), {out: (0.2, 0.8), into: (0.2, 0.8), apart: passes})
        check(lambda: network.slow("one"), {out: (0, 0.5), into: (0, 0.5), apart: passes})
        check(lambda: None, dict.fromkeys(pairs, passes))


def _receive(receiver: socket.socket) -> int:
    count, until = 0, time.monotonic() + _LISTEN_S
    while time.monotonic() < until and count < _COUNT:
        try:
            receiver.recv(2 * _BYTES)
        except TimeoutError:
            break
        count += 1
    return count


if __name__ == "__main__":
    main()
