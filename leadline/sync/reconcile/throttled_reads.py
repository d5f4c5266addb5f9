"""Calls that only read, made beside the workers and within the same limits.

Reading may be repeated, so every passing trouble is waited out here. Whoever reads gives way to the
workers: while users are due, it leaves them most of the portal's requests.
"""

import time
from collections import Counter

from leadline.bitrix24.client import Answer, Batch
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError, OutcomeUnknown, PortalDown, Refused, Unavailable
from leadline.sync import portal_session
from leadline.sync.batch_request import Request
from leadline.workqueue.queue import work_queue

#: While users are due, a call is made this often only.
GIVE_WAY_S = 2.0
_LOOK_S = 0.1
#: Waits after a failed call; after the last one it is given up.
RETRY_S = (2.0, 4.0, 8.0)
REFUSED_S = 1.0


def read(commands: dict[str, Command], *, while_held: bool = False) -> dict[str, Answer]:
    """The answer to each command, however many calls and waits that takes.

    `while_held`: also while an operator has paused all calls.

    Raises:
        BitrixError: the portal serves nobody, or can't be reached for long, or rejects a command.
        QueueDown, redis.RedisError: Redis can't be reached.
    """
    answers = ask(commands, while_held=while_held)
    for answer in answers.values():
        if isinstance(answer, BitrixError):
            raise answer
    return answers


def ask(commands: dict[str, Command], *, while_held: bool = False) -> dict[str, Answer]:
    """Like `read`; a command that is rejected has its error as its answer."""
    answers: dict[str, Answer] = {}
    failures = 0
    while missing := {key: one for key, one in commands.items() if key not in answers}:
        _give_way()
        try:
            answers |= _part(missing, while_held=while_held)
            failures = 0
        except (OutcomeUnknown, Unavailable):
            if failures == len(RETRY_S):
                raise
            time.sleep(RETRY_S[failures])
            failures += 1
        except Refused:
            time.sleep(REFUSED_S)
    return answers


def _give_way() -> None:
    """Wait while workers have something to do, but not for ever."""
    until = time.monotonic() + GIVE_WAY_S
    while work_queue().depth().due and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _part(wanted: dict[str, Command], *, while_held: bool) -> dict[str, Answer]:
    """One call with as many of these commands as may be sent now; what was answered."""
    pause = portal_session.paused().state()
    if pause is not None and not (while_held and pause.is_held):
        raise PortalDown(f"the portal is paused: {pause.reason}")
    time.sleep(portal_session.token_bucket().reserve())
    budget = portal_session.budget()
    batch_size = budget.batch_size()
    first = dict(list(wanted.items())[:batch_size])
    reserved = budget.reserve(Counter(one.method for one in first.values()))
    allowed = Request([], first).within(reserved.allowed).commands
    batch, began = Batch({}, {}), time.monotonic()
    try:
        if allowed:
            batch = portal_session.session().call(allowed)
    except BitrixError as error:
        portal_session.react(error)
        raise
    finally:
        budget.record(reserved, batch.timings, time.monotonic() - began)
    if not allowed:
        portal_session.token_bucket().give_back()
        time.sleep(reserved.wait_ms / 1000)
    return _answered(batch)


def _answered(batch: Batch) -> dict[str, Answer]:
    """Without the commands that were refused: they are asked again."""
    answered = {}
    for key, answer in batch.answers.items():
        if isinstance(answer, BitrixError):
            portal_session.react(answer)
        if not isinstance(answer, Refused):
            answered[key] = answer
    if batch.answers and not answered:
        raise Refused
    return answered
