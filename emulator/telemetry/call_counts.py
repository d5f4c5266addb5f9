"""Counts of requests and commands, for the control API."""

from collections import Counter, deque
from dataclasses import dataclass, field

_SECONDS_MAX = 600
#: The items of a row of `seconds`; item 0 is the second (unix time).
_REQUESTS, _REFUSALS, _COMMANDS = 1, 2, 3


@dataclass
class CallCounts:
    """Counts since the start or the last reset.

    `requests` are HTTP requests under /rest, including refused ones; `commands` are method calls
    that ran, alone or in a batch; a batch itself is in `methods` but not in `commands`. `http`
    counts requests by verb, `statuses` responses by status, `late_commits` the requests that the
    fault `late_commit` let run. `times` are when requests arrived. `seconds` has a row for
    each second with traffic: unix time, requests, refusals, commands.
    """

    requests: int = 0
    commands: int = 0
    refused: int = 0
    late_commits: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    http: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    seconds: deque[list[int]] = field(default_factory=lambda: deque(maxlen=_SECONDS_MAX))

    def count_request(self, verb: str, time: float) -> None:
        """Count an HTTP request that arrived at `time` (unix seconds)."""
        self.requests += 1
        self.http[verb] += 1
        self.times.append(time)
        self._second(time)[_REQUESTS] += 1

    def count_refusal(self, time: float) -> None:
        """Count a request refused by the request limit."""
        self.refused += 1
        self._second(time)[_REFUSALS] += 1

    def count_response(self, status: str) -> None:
        """Count a response by its HTTP status, or as `dropped`."""
        self.statuses[status] += 1

    def count_batch(self) -> None:
        """Count a batch."""
        self.methods["batch"] += 1

    def count_command(self, method: str, time: float) -> None:
        """Count a method call that ran to its result or error."""
        self.commands += 1
        self.methods[method] += 1
        self._second(time)[_COMMANDS] += 1

    def _second(self, time: float) -> list[int]:
        second = int(time)
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append([second, 0, 0, 0])
        return self.seconds[-1]
