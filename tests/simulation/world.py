"""Virtual time: processes of which one runs at a time, each until its next step.

A simulated process is a few greenlets. Whenever it acts outside (a command to Redis, a statement, a
request, an acknowledgement, a sleep), that is a step: the world may let time pass there, and events
planned for that moment happen. All randomness comes from the seed, so a history can be played
again.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

T = TypeVar("T")

#: Unix time at which every history begins, and how long the system has run by then.
EPOCH = 1_800_000_000.0
RUNS_SINCE_S = 200.0
#: How long every machine has run when a history begins.
_UPTIME_S = 10_000
#: While processes only poll, the clock skips times longer than this.
SKIP_S = 2.5


class Stuck(AssertionError):
    """A history does not finish."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the transcript: when, who, what."""

    at: float
    who: str
    what: str
    facts: tuple[tuple[str, Any], ...] = ()

    def fact(self, name: str) -> Any:
        """The value of this fact; None if the line has none."""
        return dict(self.facts).get(name)


@dataclass(eq=False)
class Process:
    """A process of Leadline, or a client, with its own clocks."""

    world: "World"
    name: str
    kind: str
    #: The offset of its wall clock.
    ahead_s: float = 0.0
    frozen_until: float = 0.0
    #: How long its machine was suspended: CLOCK_MONOTONIC stood still then.
    suspended_s: float = 0.0
    is_dead: bool = False
    #: The process's memory: connections, caches.
    memory: dict[Any, Any] = field(default_factory=dict)
    #: Called when it is killed: its connections drop.
    on_death: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(f"{self.world.seed}/{self.name}")  # noqa: S311 - from its seed

    def wall(self) -> float:
        """The process's `time.time()`."""
        return self.world.now + self.ahead_s

    def monotonic(self) -> float:
        """The process's `time.monotonic()`."""
        return self.world.now - EPOCH + _UPTIME_S - self.suspended_s

    def boottime(self) -> float:
        """The process's CLOCK_BOOTTIME."""
        return self.world.now - EPOCH + _UPTIME_S


class Task:
    """One thread of a process."""

    __slots__ = ("greenlet", "process", "wait_number")

    def __init__(self, process: Process, run: Callable[[], object]) -> None:
        self.process = process
        self.greenlet = greenlet(run)
        #: Incremented with each wait: what would end an earlier one is ignored.
        self.wait_number = 0


class World:
    """Time, processes, and the events planned for each moment."""

    def __init__(self, seed: object) -> None:
        self.seed = seed
        self.now = EPOCH - RUNS_SINCE_S
        self.transcript: list[Line] = []
        self.is_over = False
        self.steps = 0
        #: What to do at the n-th occurrence of a moment; called with the process.
        self.planned: dict[tuple[str, int], list[Callable[[Process], None]]] = defaultdict(list)
        #: When something is next due if every process is idle; infinite if nothing is.
        self.next_due: Callable[[], float] = lambda: float("inf")
        self.violations: list[str] = []
        self._counts: dict[str, int] = defaultdict(int)
        self._sequence = 0
        #: Time, sequence number (for the order at one time), target, and which wait of it ends.
        self._events: list[tuple[float, int, Task | Callable[[], None], int]] = []
        self._polls: list[tuple[float, int, Task | Callable[[], None], int]] = []
        self._tasks: dict[greenlet, Task] = {}
        self._hub = getcurrent()

    # --- what processes do

    @property
    def task(self) -> Task:
        """The running task."""
        return self._tasks[getcurrent()]

    @property
    def process(self) -> Process:
        """The process of the running task."""
        return self.task.process

    def is_inside(self) -> bool:
        """Whether the caller is a simulated process."""
        return getcurrent() in self._tasks

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.park(seconds)

    def poll(self, seconds: float) -> None:
        """Wait before the next poll."""
        self.park(seconds, is_poll=True)

    def park(self, timeout_s: float | None = None, *, is_poll: bool = False) -> None:
        """Wait until `wake`, or for this long."""
        task = self._tasks.get(getcurrent())
        if task is None or self.is_over or task.process.is_dead:
            raise GreenletExit
        task.wait_number += 1
        if timeout_s is not None:
            self._push(self.now + max(0.0, timeout_s), task, task.wait_number, is_poll=is_poll)
        self._hub.switch()
        if self.is_over or task.process.is_dead:
            raise GreenletExit

    def wake(self, task: Task, after_s: float = 0.0) -> None:
        """Resume a parked task."""
        self._push(self.now + after_s, task, task.wait_number)

    def moment(self, name: str) -> None:
        """Signal that the running process has reached a moment, for which faults can be planned."""
        self._counts[name] += 1
        planned = self.planned.get((name, self._counts[name]))
        if planned:
            process = self.process
            for execute in planned:
                execute(process)
        if self._tasks and (task := self._tasks.get(getcurrent())) and task.process.is_dead:
            raise GreenletExit

    def count_from_here(self) -> None:
        """Count the next occurrence of each moment as its first."""
        self._counts.clear()

    def record(self, who: str, what: str, **facts: Any) -> None:
        """Record a line of the transcript."""
        if not self.is_over:
            self.transcript.append(Line(self.now, who, what, tuple(facts.items())))

    # --- what the world does

    def spawn(self, process: Process, run: Callable[[], object]) -> Task:
        """Start a thread of this process."""
        task = Task(process, lambda: self._guarded(run))
        task.greenlet.parent = self._hub
        self._tasks[task.greenlet] = task
        self._push(self.now, task, wait_number=0)
        return task

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at this time."""
        self._push(max(when, self.now), action, wait_number=0)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` after this many seconds."""
        self.at(self.now + seconds, action)

    def kill(self, process: Process) -> None:
        """End a process: all its tasks stop, its connections drop."""
        if not process.is_dead:
            process.is_dead = True
            for drop in list(process.on_death):  # a connection that drops removes itself
                drop()

    def freeze(self, process: Process, seconds: float, *, suspend: bool = False) -> None:
        """Stop a process for a while; if it is suspended, its monotonic clock stops too."""
        process.frozen_until = max(process.frozen_until, self.now + seconds)
        if suspend:
            process.suspended_s += seconds

    def run(self, until: float, *, max_steps: int) -> None:
        """Run until this time, or until nothing is left to do.

        Raises:
            Stuck: it takes too many steps.
        """
        while True:
            entry = self._next_event(until)
            if entry is None:
                return
            when, _, target, wait_number = entry
            self.now = max(self.now, when)
            self.steps += 1
            if self.steps > max_steps:
                raise Stuck(f"{self.steps} steps, at {self.now - EPOCH:.1f} s")
            if isinstance(target, Task):
                self._resume(target, wait_number)
            else:
                target()

    def end(self) -> None:
        """Drop all tasks and events that still wait."""
        self.is_over = True
        for task in list(self._tasks.values()):
            if task.greenlet and not task.greenlet.dead:
                task.greenlet.throw(GreenletExit)
        self._tasks.clear()
        self._events.clear()
        self._polls.clear()

    def _guarded(self, run: Callable[[], object]) -> None:
        try:
            run()
        except GreenletExit:
            pass
        finally:
            self._tasks.pop(getcurrent(), None)

    def _resume(self, task: Task, wait_number: int) -> None:
        if wait_number != task.wait_number or task.greenlet.dead:
            return
        if task.process.is_dead:
            if task.greenlet:
                task.greenlet.throw(GreenletExit)
            self._tasks.pop(task.greenlet, None)
        elif task.process.frozen_until > self.now:
            self._push(task.process.frozen_until, task, wait_number)
        else:
            task.greenlet.switch()

    def _push(
        self,
        when: float,
        target: Task | Callable[[], None],
        wait_number: int,
        *,
        is_poll: bool = False,
    ) -> None:
        self._sequence += 1
        heappush(
            self._polls if is_poll else self._events, (when, self._sequence, target, wait_number)
        )

    def _next_event(self, until: float) -> tuple[float, int, Task | Callable[[], None], int] | None:
        """The next event or poll; None if there is none until then."""
        self._drop_stale()
        event_at = self._events[0][0] if self._events else float("inf")
        poll_at = self._polls[0][0] if self._polls else float("inf")
        if poll_at < event_at and event_at - max(poll_at, self.now) > SKIP_S:
            due = min(self.next_due(), event_at)
            if due > self.now + SKIP_S and due > poll_at:
                if due == float("inf"):
                    return None
                self._skip_to(min(due, until))
                poll_at = self._polls[0][0]
        if min(event_at, poll_at) > until:
            self.now = until
            return None
        return heappop(self._events if event_at <= poll_at else self._polls)

    def _drop_stale(self) -> None:
        while self._events:
            _, _, target, wait_number = self._events[0]
            if not isinstance(target, Task) or (
                wait_number == target.wait_number and not target.greenlet.dead
            ):
                return
            heappop(self._events)

    def _skip_to(self, when: float) -> None:
        """Skip to the second before this time: polling tasks poll in it, in the same order."""
        polls = sorted(self._polls)
        first = polls[0][0]
        self._polls.clear()
        for at, sequence, target, wait_number in polls:
            ahead = min(1.0, at - first)
            heappush(self._polls, (max(at, when - 1.0 + ahead), sequence, target, wait_number))


class Mailbox:
    """A queue in which one task waits for items of another task, or of a server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._content: list[Any] = []
        self._waiting: Task | None = None

    def put(self, content: object) -> None:
        """Add an item."""
        self._content.append(content)
        if self._waiting is not None:
            self._world.wake(self._waiting)
            self._waiting = None

    def take(self, timeout_s: float | None = None) -> Any:
        """The next item; None if none comes in time."""
        if not self._content:
            self._waiting = self._world.task
            self._world.park(timeout_s)
            self._waiting = None
        return self._content.pop(0) if self._content else None

    def size(self) -> int:
        """The number of items."""
        return len(self._content)

    def has_some(self) -> bool:
        """Whether `take` would return at once."""
        return bool(self._content)


class Signal:
    """An event for which several tasks can wait."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Task] = []

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the next `fire`, or for this long."""
        task = self._world.task
        self._waiting.append(task)
        try:
            self._world.park(timeout_s)
        finally:
            if task in self._waiting:
                self._waiting.remove(task)

    def fire(self) -> None:
        """Resume all waiting tasks."""
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._world.wake(task)
