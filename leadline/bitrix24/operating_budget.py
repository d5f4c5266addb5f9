"""Operating budget, the portal's second limit: execution time per method, and per request.

Bitrix24 adds up how long a method ran for a webhook over ten minutes (`time.operating`) and
blocks it at 480 s until the oldest minute leaves the window (`time.operating_reset_at`); a request
may take 60 s (https://apidocs.bitrix24.com/limits.html). Some portals bill a batch's commands to
their own methods, some to `batch`: both are watched, and the tighter one counts.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from leadline.bitrix24.client import MAX_COMMANDS, Timing
from leadline.runtime import lua
from leadline.runtime.redis import reachable

_LUA = Path(__file__).parent / "lua"

#: Share of the limit that is used; the rest is for commands that run between two readings.
SHARE = 0.98
#: Commands sent after a reset, to learn the remaining budget.
PROBE_COMMANDS = 5
#: Share of the portal's request limit that a batch should stay below.
BATCH_SHARE = 2 / 3
#: How long after the end of a lease a reservation made during it counts as lost: its worker died.
LOST_MARGIN_S = 10.0
#: Accounts in addition to those of the methods: one for the seconds per command of any method, one
#: for portals that bill a batch as a whole.
ANY = "any"
BATCH = "batch"


@dataclass(slots=True)
class Reservation:
    """The commands that may be sent, and what is reserved for them until the answer."""

    #: Commands allowed, by method.
    allowed: dict[str, int] = field(default_factory=dict)
    #: Milliseconds until more may be allowed.
    wait_ms: int = 0
    #: Microseconds reserved for this call, by method.
    reserved_us: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """The execution time that a method has used, according to an answer of the last minute."""

    used_s: float
    #: When its oldest minute leaves the window (unix seconds).
    frees_at: float
    #: No more commands fit before `frees_at`.
    is_used_up: bool


class OperatingBudget:
    """Execution time used by all workers together, in Redis."""

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        *,
        limit_s: float,
        lease_s: float,
        request_limit_s: float = 60,
    ) -> None:
        """Keep the accounts under `prefix` in Redis.

        `limit_s` is the execution time that the portal allows a method in ten minutes, and
        `request_limit_s` what it allows a request. `lease_s` is the length of a worker's lease,
        which no living worker's reservation outlasts.
        """
        self._redis = client
        self._prefix = f"{prefix}operating:"
        self._epoch = f"{prefix}memory"
        self._limit_s = limit_s * SHARE
        self._batch_s = request_limit_s * BATCH_SHARE
        self._lost_after_s = lease_s + LOST_MARGIN_S
        self._reserve = lua.script(client, _LUA, "reserve")
        self._record = lua.script(client, _LUA, "record")

    @reachable()
    def batch_size(self) -> int:
        """The maximum number of commands that a batch completes in time.

        Raises:
            QueueDown: Redis can't be reached.
        """
        per_command_s: Any = self._redis.hget(self._prefix + ANY, "per")
        if per_command_s is None:
            return MAX_COMMANDS
        commands = int(self._batch_s / max(float(per_command_s), 0.001))  # never divides by 0
        return max(1, min(MAX_COMMANDS, commands))

    def reserve(self, counts: Counter[str]) -> Reservation:
        """Reserve time for these numbers of commands, by method; fewer may be allowed.

        Raises:
            QueueDown: Redis can't be reached.
        """
        reservation = Reservation()
        batch_left = self._reserve_method(BATCH, sum(counts.values()), reservation)
        for method, count in counts.items():
            allowed = self._reserve_method(method, min(count, batch_left), reservation)
            reservation.allowed[method] = allowed
            batch_left -= allowed
        return reservation

    @reachable()
    def usage(self, methods: Iterable[str]) -> dict[str, Usage]:
        """The usage of each method that an answer of the last minute reports.

        Raises:
            QueueDown: Redis can't be reached.
        """
        names = [*methods, BATCH]
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(self._prefix + name, "used", "reset_at", "per")
            accounts = pipe.execute()
        return {
            name: Usage(float(used), float(reset_at), float(used) + float(per or 0) > self._limit_s)
            for name, (used, reset_at, per) in zip(names, accounts, strict=True)
            if used is not None and float(reset_at) > time.time()
        }

    @reachable()
    def _reserve_method(self, method: str, count: int, reservation: Reservation) -> int:
        """Reserve time for commands of one method; returns how many of them are allowed."""
        args = lua.arguments(
            wanted=count,
            limit_s=self._limit_s,
            probe=PROBE_COMMANDS,
            lost_after_s=self._lost_after_s,
        )
        allowed, reserved_us, wait_ms = self._reserve(keys=self._keys(method), args=args)
        reservation.reserved_us[method] = reserved_us
        if allowed < count:
            reservation.wait_ms = max(reservation.wait_ms, wait_ms)
        return int(allowed)

    @reachable()
    def record(
        self, reservation: Reservation, timings: Mapping[str, Timing], spent_s: float
    ) -> None:
        """Return a reservation, and record each method's timing.

        `spent_s` is how long the request took, used if the answer has no timings.

        Raises:
            QueueDown: Redis can't be reached.
        """
        is_answered = bool(timings)
        with self._redis.pipeline(transaction=False) as pipe:
            for method, reserved_us in reservation.reserved_us.items():
                args = _record_args(timings.get(method), reserved_us, is_answered=is_answered)
                self._record(keys=self._keys(method), args=args, client=pipe)
            args = lua.arguments(
                reserved_us=0,
                per_command_s=self._seconds_per_command(reservation, timings, spent_s),
                is_answered=is_answered,
            )
            self._record(keys=self._keys(ANY), args=args, client=pipe)
            pipe.execute()

    def _keys(self, method: str) -> list[str]:
        return [self._prefix + method, self._epoch]

    def _seconds_per_command(
        self, reservation: Reservation, timings: Mapping[str, Timing], spent_s: float
    ) -> float | None:
        """As the answer reports it, else an estimate if the call took too long; None if unknown."""
        answered = [timing for method, timing in timings.items() if method != BATCH]
        commands = sum(timing.commands for timing in answered)
        if commands:
            return sum(timing.seconds for timing in answered) / commands
        sent_commands = sum(reservation.allowed.values())
        if not sent_commands or spent_s <= self._batch_s:
            return None
        # How many commands had ended when the call was cut off is unknown; half is a safe estimate.
        return spent_s / (sent_commands / 2)


def _record_args(timing: Timing | None, reserved_us: int, *, is_answered: bool) -> list[bytes]:
    if timing is None:
        return lua.arguments(reserved_us=reserved_us, is_answered=is_answered)
    return lua.arguments(
        reserved_us=reserved_us,
        used_s=timing.used_s,
        reset_in_s=timing.reset_in_s,
        per_command_s=timing.seconds / timing.commands if timing.commands else None,
        is_answered=is_answered,
    )
