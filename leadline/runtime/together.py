"""Group commit: who comes while others are being served is served with all who came meanwhile."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Turn(Generic[Ask, Answer]):
    ask: Ask
    #: Held until there is an answer or an error.
    unserved: threading.Lock = field(default_factory=threading.Lock)
    is_taken: bool = False
    answer: Answer | None = None
    error: Exception | None = None


class Together(Generic[Ask, Answer]):
    """Serves what threads ask for at the same time in one go; who comes alone waits for nothing.

    One of the threads does it for all of its group; `groups` of them may be under way at once.
    `serve` gives an answer for each ask, in order.
    """

    def __init__(
        self, serve: Callable[[Sequence[Ask]], Sequence[Answer]], *, at_most: int, groups: int
    ) -> None:
        self._serve = serve
        self._at_most = at_most
        self._waiting: deque[_Turn[Ask, Answer]] = deque()
        self._groups = threading.Semaphore(groups)

    def ask(self, ask: Ask) -> Answer:
        """The answer to this ask; what `serve` raises is raised for all whom it served."""
        mine = _Turn[Ask, Answer](ask)
        mine.unserved.acquire()
        self._waiting.append(mine)
        with self._groups:
            while not mine.is_taken:
                self._serve_some()
        mine.unserved.acquire()
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def waiting(self) -> int:
        """How many are not being served yet."""
        return len(self._waiting)

    def _serve_some(self) -> None:
        """Serve those who wait, in order of arrival."""
        turns = list(self._take())
        try:
            answers = self._serve([turn.ask for turn in turns]) if turns else []
            for turn, answer in zip(turns, answers, strict=True):
                turn.answer = answer
        except Exception as error:  # noqa: BLE001 - each of them raises it
            for turn in turns:
                turn.error = error
        for turn in turns:
            turn.unserved.release()

    def _take(self) -> Iterator[_Turn[Ask, Answer]]:
        """Those who wait, as many as a group may have; nobody else takes them too."""
        for _ in range(self._at_most):
            try:
                turn = self._waiting.popleft()
            except IndexError:  # another group may have taken the last one
                return
            turn.is_taken = True
            yield turn
