"""Ports on loopback: the default if it is free, else another one, the same at each start."""

import os
import random
import socket
from collections.abc import Collection, Mapping

#: Below the range for outgoing connections (32768 and up): a client that keeps
#: connecting to a dead server inside that range may connect to itself and occupy the port.
_ALL_PORTS = range(20000, 32000)


def _port_range() -> range:
    """The ports of PORT_RANGE, such as `20000-21500`, else all.

    Systems that start together need disjoint ranges: a port is chosen seconds before its server
    listens, and two functions on one port would share its requests (SO_REUSEPORT).
    """
    begin, _, end = os.environ.get("PORT_RANGE", "").partition("-")
    return range(int(begin), int(end)) if begin else _ALL_PORTS


class PortTaken(Exception):
    """Another process listens on a port that a variable requires."""

    def __init__(self, variable: str, port: int) -> None:
        super().__init__(f"{variable}={port} is taken; choose another or unset {variable}")


class Ports:
    """Assigns a port to each name, none twice; tests leave the defaults to other systems.

    `reserved`: ports of servers that do not listen yet.
    """

    def __init__(
        self,
        previous: Mapping[str, int],
        *,
        with_defaults: bool = True,
        reserved: Collection[int] = (),
    ) -> None:
        self._previous = previous
        self._with_defaults = with_defaults
        self._reserved = reserved
        self.chosen: dict[str, int] = {}

    def choose(self, name: str, default: int | None = None) -> int:
        """The default, else the port of the last run, else a random one; always a free one."""
        for port in (default if self._with_defaults else None, self._previous.get(name)):
            if port is not None and self._is_usable(port):
                return self._assign(name, port)
        return self._assign(name, self._random())

    def require(self, name: str, port: int, variable: str) -> int:
        """Exactly this port.

        Raises:
            PortTaken: it is not free.
        """
        if not self._is_usable(port):
            raise PortTaken(variable, port)
        return self._assign(name, port)

    def _assign(self, name: str, port: int) -> int:
        self.chosen[name] = port
        return port

    def _is_usable(self, port: int) -> bool:
        return port not in self.chosen.values() and is_free(port)

    def _random(self) -> int:
        while True:
            port = random.choice(_port_range())  # noqa: S311 - no secret
            is_reserved = port in self._reserved or port in self._previous.values()
            if not is_reserved and self._is_usable(port):
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
