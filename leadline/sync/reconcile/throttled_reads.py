"""Read-only calls within the workers' limits, with retries.

Reads are idempotent, so every transient error is retried here. They yield to the workers: while
users are due, the workers get most of the portal's requests.
"""

import time
from collections import Counter
from collections.abc import Mapping

from leadline.bitrix24.client import BatchResponse, CommandResult
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError, OutcomeUnknown, PortalDown, Refused, Unavailable
from leadline.sync import portal_session
from leadline.sync.batch_request import BatchRequest
from leadline.workqueue.queue import work_queue

#: Interval of calls while users are due.
YIELD_S = 2.0
_POLL_S = 0.1
#: Delays after a failed call; after the last one, the error is raised.
RETRY_DELAYS_S = (2.0, 4.0, 8.0)
REFUSED_DELAY_S = 1.0


def read_all(
    commands: dict[str, Command], *, ignore_hold: bool = False
) -> dict[str, CommandResult]:
    """The result of each command, in as many calls and retries as needed.

    `ignore_hold`: read even during a manual hold.

    Raises:
        BitrixError: the portal rejects all calls or a command, or stays unreachable.
        QueueDown: Redis can't be reached.
    """
    results = read_each(commands, ignore_hold=ignore_hold)
    for result in results.values():
        if isinstance(result, BitrixError):
            raise result
    return results


def read_each(
    commands: dict[str, Command], *, ignore_hold: bool = False
) -> dict[str, CommandResult]:
    """As `read_all`, but a rejected command has its error as its result."""
    results: dict[str, CommandResult] = {}
    failures = 0
    while missing := {key: command for key, command in commands.items() if key not in results}:
        _yield_to_workers()
        try:
            results |= _call(missing, ignore_hold=ignore_hold)
            failures = 0
        except (OutcomeUnknown, Unavailable):
            if failures == len(RETRY_DELAYS_S):
                raise
            time.sleep(RETRY_DELAYS_S[failures])
            failures += 1
        except Refused:
            time.sleep(REFUSED_DELAY_S)
    return results


def _yield_to_workers() -> None:
    """Wait while users are due, up to YIELD_S."""
    until = time.monotonic() + YIELD_S
    while work_queue().depth().due and time.monotonic() < until:
        time.sleep(_POLL_S)


def _call(commands: dict[str, Command], *, ignore_hold: bool) -> dict[str, CommandResult]:
    """One call with as many of these commands as may be sent now; returns the results."""
    outage = portal_session.circuit_breaker().restore_and_read()
    if outage is not None and not (ignore_hold and outage.is_manual_hold):
        raise PortalDown(f"the portal is paused: {outage.reason}")
    time.sleep(portal_session.token_bucket().reserve())
    budget = portal_session.operating_budget()
    batch_size = budget.batch_size()
    batch_commands = dict(list(commands.items())[:batch_size])
    reserved = budget.reserve(Counter(command.method for command in batch_commands.values()))
    allowed = BatchRequest([], batch_commands).limited_to(reserved.allowed).commands
    batch = BatchResponse({}, {})
    started_at = time.monotonic()
    try:
        if allowed:
            batch = portal_session.portal_client().call(allowed)
    except BitrixError as error:
        portal_session.react(error)
        raise
    finally:
        budget.record(reserved, batch.timings, time.monotonic() - started_at)
    if not allowed:
        portal_session.token_bucket().give_back()
        time.sleep(reserved.wait_ms / 1000)
    return _answered(batch, allowed)


def _answered(batch: BatchResponse, commands: Mapping[str, Command]) -> dict[str, CommandResult]:
    """The results, without those of refused commands, which the caller retries.

    Raises:
        Refused: every command was refused.
    """
    results = {}
    for key, result in batch.results.items():
        if isinstance(result, BitrixError) and not _concerns_command_only(commands[key], result):
            portal_session.react(result)
        if not isinstance(result, Refused):
            results[key] = result
    if batch.results and not results:
        raise Refused
    return results


def _concerns_command_only(command: Command, error: BitrixError) -> bool:
    """Whether this rejection says nothing about the calls of workers.

    Workers need the scope `crm` only. A webhook without the right to read the portal's users, for
    example, works; one that is revoked has its whole request rejected.
    """
    return isinstance(error, PortalDown) and not command.method.startswith("crm.")
