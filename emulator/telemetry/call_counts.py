"""What the emulator was asked: the counts behind the control API."""

from collections import Counter, deque
from dataclasses import dataclass, field

_REMEMBERED_SECONDS = 600


@dataclass
class Calls:
    """Counts since the start or the last reset.

    `requests` are HTTP requests under /rest, refused ones included; `commands` are method calls
    that ran, alone or in a batch; a batch itself is in `methods` but not in `commands`.
    """

    requests: int = 0
    commands: int = 0
    refused: int = 0
    late_commits: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    http: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    seconds: deque[list[int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_SECONDS))

    def request(self, verb: str, time: float) -> None:
        """An HTTP request arrived at `time` (unix seconds)."""
        self.requests += 1
        self.http[verb] += 1
        self.times.append(time)
        self._second(time)[1] += 1

    def refusal(self, time: float) -> None:
        """It was refused by the request limit."""
        self.refused += 1
        self._second(time)[2] += 1

    def answer(self, status: str) -> None:
        """It was answered with an HTTP status, or dropped."""
        self.statuses[status] += 1

    def batch(self) -> None:
        """A batch ran."""
        self.methods["batch"] += 1

    def command(self, method: str, time: float) -> None:
        """A method call ran to its answer or its error."""
        self.commands += 1
        self.methods[method] += 1
        self._second(time)[3] += 1

    def _second(self, time: float) -> list[int]:
        second = int(time)
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append([second, 0, 0, 0])
        return self.seconds[-1]
