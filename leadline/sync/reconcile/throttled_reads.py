"""Calls that only read, made beside the workers and within the same limits.

Reading may be repeated, so every passing trouble is waited out here. Whoever reads gives way to the
workers: while users are due, it leaves them most of the portal's requests.
"""

import time
from collections import Counter

from leadline.bitrix24.client import BatchResponse, CommandResult
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError, OutcomeUnknown, PortalDown, Refused, Unavailable
from leadline.sync import portal_session
from leadline.sync.batch_request import Request
from leadline.workqueue.queue import work_queue

#: While users are due, a call is made this often only.
YIELD_S = 2.0
_POLL_S = 0.1
#: Waits after a failed call; after the last one it is given up.
RETRY_DELAYS_S = (2.0, 4.0, 8.0)
REFUSED_DELAY_S = 1.0


def read_all(commands: dict[str, Command], *, while_held: bool = False) -> dict[str, CommandResult]:
    """The answer to each command, however many calls and waits that takes.

    `while_held`: also while an operator has paused all calls.

    Raises:
        BitrixError: the portal serves nobody, or can't be reached for long, or rejects a command.
        QueueDown, redis.RedisError: Redis can't be reached.
    """
    answers = read_each(commands, while_held=while_held)
    for answer in answers.values():
        if isinstance(answer, BitrixError):
            raise answer
    return answers


def read_each(
    commands: dict[str, Command], *, while_held: bool = False
) -> dict[str, CommandResult]:
    """Like `read`; a command that is rejected has its error as its answer."""
    answers: dict[str, CommandResult] = {}
    failures = 0
    while missing := {key: one for key, one in commands.items() if key not in answers}:
        _yield_to_workers()
        try:
            answers |= _part(missing, while_held=while_held)
            failures = 0
        except (OutcomeUnknown, Unavailable):
            if failures == len(RETRY_DELAYS_S):
                raise
            time.sleep(RETRY_DELAYS_S[failures])
            failures += 1
        except Refused:
            time.sleep(REFUSED_DELAY_S)
    return answers


def _yield_to_workers() -> None:
    """Wait while workers have something to do, but not for ever."""
    until = time.monotonic() + YIELD_S
    while work_queue().depth().due and time.monotonic() < until:
        time.sleep(_POLL_S)


def _part(wanted: dict[str, Command], *, while_held: bool) -> dict[str, CommandResult]:
    """One call with as many of these commands as may be sent now; what was answered."""
    pause = portal_session.circuit_breaker().state()
    if pause is not None and not (while_held and pause.is_held):
        raise PortalDown(f"the portal is paused: {pause.reason}")
    time.sleep(portal_session.token_bucket().reserve())
    budget = portal_session.operating_budget()
    batch_size = budget.batch_size()
    first = dict(list(wanted.items())[:batch_size])
    reserved = budget.reserve(Counter(one.method for one in first.values()))
    allowed = Request([], first).limited_to(reserved.allowed).commands
    batch, began = BatchResponse({}, {}), time.monotonic()
    try:
        if allowed:
            batch = portal_session.portal_client().call(allowed)
    except BitrixError as error:
        portal_session.react(error)
        raise
    finally:
        budget.record(reserved, batch.timings, time.monotonic() - began)
    if not allowed:
        portal_session.token_bucket().give_back()
        time.sleep(reserved.wait_ms / 1000)
    return _answered(batch)


def _answered(batch: BatchResponse) -> dict[str, CommandResult]:
    """Without the commands that were refused: they are asked again."""
    answered = {}
    for key, answer in batch.results.items():
        if isinstance(answer, BitrixError):
            portal_session.react(answer)
        if not isinstance(answer, Refused):
            answered[key] = answer
    if batch.results and not answered:
        raise Refused
    return answered
