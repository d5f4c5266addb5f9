"""Ports on the loopback: the wanted one if it is free, else another, the same at each start."""

import random
import socket
from collections.abc import Mapping

#: Below the range for outgoing connections (32768 and up): a client that keeps dialling a dead
#: server inside that range may end up connected to itself and hold the port.
_FREE_RANGE = range(20000, 32000)


class PortTaken(Exception):
    """Somebody else listens on a port that was asked for by name."""

    def __init__(self, variable: str, port: int) -> None:
        super().__init__(f"{variable}={port} is taken; choose another or unset {variable}")


class Ports:
    """Hands out one port per name, none twice; defaults can be left to others (tests do)."""

    def __init__(self, kept: Mapping[str, int], *, with_defaults: bool = True) -> None:
        self._kept = kept
        self._with_defaults = with_defaults
        self.chosen: dict[str, int] = {}

    def choose(self, name: str, default: int | None = None) -> int:
        """The default, else the port of the last run, else any; each only if it is free."""
        for port in (default if self._with_defaults else None, self._kept.get(name)):
            if port is not None and self._is_usable(port):
                return self._take(name, port)
        return self._take(name, self._any())

    def insist(self, name: str, port: int, variable: str) -> int:
        """Exactly this port.

        Raises:
            PortTaken: it can't be had.
        """
        if not self._is_usable(port):
            raise PortTaken(variable, port)
        return self._take(name, port)

    def _take(self, name: str, port: int) -> int:
        self.chosen[name] = port
        return port

    def _is_usable(self, port: int) -> bool:
        return port not in self.chosen.values() and is_free(port)

    def _any(self) -> int:
        while True:
            port = random.choice(_FREE_RANGE)  # noqa: S311 - no secret
            if port not in self._kept.values() and self._is_usable(port):
                return port


def is_free(port: int) -> bool:
    """Whether a server could listen there now (a port in TIME_WAIT counts as free)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
