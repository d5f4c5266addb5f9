"""Group commit: who comes while others are being served is served with all who came meanwhile."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Turn(Generic[Ask, Answer]):
    ask: Ask
    is_served: bool = False
    answer: Answer | None = None
    error: Exception | None = None


class Together(Generic[Ask, Answer]):
    """Serves what threads ask for at the same time in one go; who comes alone waits for nothing.

    One of the threads does it for all. `serve` gives an answer for each ask, in order.
    """

    def __init__(self, serve: Callable[[Sequence[Ask]], Sequence[Answer]], at_most: int) -> None:
        self._serve = serve
        self._at_most = at_most
        self._waiting: deque[_Turn[Ask, Answer]] = deque()
        self._serving = threading.Lock()

    def ask(self, ask: Ask) -> Answer:
        """The answer to this ask; what `serve` raises is raised for all whom it served."""
        mine = _Turn[Ask, Answer](ask)
        self._waiting.append(mine)
        with self._serving:
            while not mine.is_served:
                self._serve_some()
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def waiting(self) -> int:
        """How many are not being served yet."""
        return len(self._waiting)

    def _serve_some(self) -> None:
        """Serve those who wait, in order of arrival."""
        turns = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._at_most))]
        try:
            answers = self._serve([turn.ask for turn in turns])
            for turn, answer in zip(turns, answers, strict=True):
                turn.answer = answer
        except Exception as error:  # noqa: BLE001 - each of them raises it
            for turn in turns:
                turn.error = error
        for turn in turns:
            turn.is_served = True
