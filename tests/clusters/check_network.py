"""Each disturbance of the network, seen by UDP between nodes; `test_network.py` runs it."""

import socket
import time
from collections.abc import Callable

from tests.clusters.network import Network, inside
from tests.servers import eventually

_PORT = 5000
#: More than a slow link carries within `_LISTEN_S`, less than a socket's buffer.
_COUNT, _BYTES, _LISTEN_S = 100, 300, 0.5


def main() -> None:
    """Check every disturbance; raises AssertionError."""
    network = Network()
    addresses = {name: network.add(name) for name in ("one", "two", "three")}

    def share_received(source: str, target: str) -> float:
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
        """Disturb node `one`, compare the shares of packets that arrive, and heal the node.

        `expected`: for source and target, the least and the greatest share that may arrive.
        """
        disturb()
        for (source, target), (least, most) in expected.items():
            received = share_received(source, target)
            assert least <= received <= most, f"{disturb}: {source} to {target} {received}"
        network.heal("one")

    links = [(a, b) for a in addresses for b in addresses if a != b]
    everything, nothing = (1.0, 1.0), (0.0, 0.0)
    half, little = (0.2, 0.8), (0.0, 0.5)
    from_one, to_one, others = ("one", "two"), ("two", "one"), ("two", "three")

    # A port of the bridge forwards a moment after it is up.
    eventually(
        lambda: all(share_received(*link) == 1 for link in links), 60, "every link carries all"
    )
    with inside("three"):  # the network can be disturbed from any node
        check(lambda: network.cut("one"), {from_one: nothing, to_one: nothing, others: everything})
        check(
            lambda: network.silence("one"),
            {from_one: nothing, to_one: everything, others: everything},
        )
        check(
            lambda: network.deafen("one"),
            {from_one: everything, to_one: nothing, others: everything},
        )
        still_joined = {("one", "three"): everything, others: everything}
        check(
            lambda: network.part("one", ["two"]),
            {from_one: nothing, to_one: nothing, **still_joined},
        )
        check(
            lambda: network.lose("one", percent=50),
            {from_one: half, to_one: half, others: everything},
        )
        check(lambda: network.slow("one"), {from_one: little, to_one: little, others: everything})
        check(lambda: None, dict.fromkeys(links, everything))


def _receive(receiver: socket.socket) -> int:
    count = 0
    until = time.monotonic() + _LISTEN_S
    while time.monotonic() < until and count < _COUNT:
        try:
            receiver.recv(2 * _BYTES)
        except TimeoutError:
            break
        count += 1
    return count


if __name__ == "__main__":
    main()
