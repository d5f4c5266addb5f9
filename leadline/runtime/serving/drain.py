"""Stops a server without losing a request that is on its way.

A client may send a request on an idle connection in the moment in which the server closes it. It
can't repeat a write, which may have been executed. So a server that is told to stop goes on serving
and lets its clients close the connections: with `Connection: close` in each response
(https://www.rfc-editor.org/rfc/rfc9112#section-9.6), and by outlasting those that are idle.
"""

import time

Headers = list[tuple[str, str]]

#: Maximum time for which the edge keeps an idle connection to a function.
KEEP_ALIVE_S = 1.0
#: Time that a response may need to arrive at the edge, whose clock starts only then.
_TRANSIT_S = 0.5


class Drain:
    """Closes the connections of a server once it stops, without losing a request on one."""

    def __init__(self) -> None:
        self._is_stopping = False
        self._last_kept_open_at = float("-inf")

    def before_response(self, headers: Headers) -> Headers:
        """Call with the headers of each response; returns those to send.

        Until the server stops, the connection stays open; then the headers close it.
        """
        if self._is_stopping:
            return [*headers, ("Connection", "close")]
        self._last_kept_open_at = time.monotonic()
        return headers

    def begin(self) -> float:
        """Begin to close connections; returns the seconds until no idle one is left."""
        self._is_stopping = True
        return max(0.0, self._last_kept_open_at + KEEP_ALIVE_S + _TRANSIT_S - time.monotonic())
