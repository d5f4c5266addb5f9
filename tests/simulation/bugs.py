"""Known mistakes, to be reintroduced one at a time: the simulation must detect each of them.

A function here is called in a playing process before its first history, as the argument `prepare`
of `parallel.play`. It replaces functions only: numbers and strings of modules are reset before each
history.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from leadline.bitrix24 import client, errors
from leadline.bitrix24.session import Session
from leadline.errors import OutcomeUnknown, Rejected, Unavailable
from leadline.ledger import write, write_sql
from leadline.runtime import clock
from leadline.sync import decide, replies
from leadline.workqueue import queue
from tests.simulation import patches


def lease_doubts_creates_only() -> None:
    """An expired lease after an update leaves last applied as it is."""
    patches.edit(
        "lease",
        "try_step(require_lookup, prefix .. 'user:' .. user)",
        "if redis.call('HEXISTS', prefix .. 'user:' .. user, 'agreed') == 0 then"
        " try_step(require_lookup, prefix .. 'user:' .. user) end",
    )


def last_applied_outlives_an_epoch() -> None:
    """Redis' data of an earlier epoch is trusted."""
    patches.edit(
        "lease",
        "if known_epoch ~= epoch then",
        "if known_epoch ~= epoch and redis.call('HEXISTS', entry, 'agreed') == 0 then",
    )


def no_wait_after_an_epoch() -> None:
    """Nothing waits for a call that was forgotten with the previous epoch."""
    patches.edit("lease", "if now < began + call_ms then", "if false then")


def pending_outlives_an_epoch() -> None:
    """Events pending since an earlier epoch of Redis are applied, not requested again."""
    patches.edit("lease", "return vouched_epoch and vouched_epoch ~= epoch", "return false")


def clocks_are_taken_for_equal() -> None:
    """What belongs to Redis' epoch is decided by other clocks, to the millisecond."""
    patches.edit("put", "forgotten_at or 0) + CLOCK_SKEW_MS", "forgotten_at or 0)")


def bucket_is_full_after_a_loss() -> None:
    """A Redis that lost the latest requests considers the bucket full."""
    patches.edit(
        "take", "tokens, at = math.min(tokens, 0), began_ms / 1000", "tokens, at = capacity, now_s"
    )


def fence_is_not_checked() -> None:
    """A worker that has lost its lease still settles."""
    patches.edit("settle", "redis.call('HGET', entry, 'fence') == settled.fence\n    and ", "")


def late_calls_are_made() -> None:
    """A worker that was frozen until its lease ended still calls the portal."""
    lease = queue.WorkQueue.lease

    def wrong(self: queue.WorkQueue, limit: int) -> queue.LeasedBatch:
        return replace(lease(self, limit), send_until=float("inf"))

    queue.WorkQueue.lease = wrong  # type: ignore[method-assign]


def history_is_ignored() -> None:
    """Versions of another history of Postgres count as versions of the current one."""
    patches.edit("put", "if not history then return false end", "do return false end")


def running_update_is_not_waited_for() -> None:
    """Something newer is written while an unanswered update may still run."""
    patches.edit("lease", "if running_until and ", "if false and running_until and ")


def reply_is_forgotten_unconfirmed() -> None:
    """A reply that the broker did not confirm counts as sent."""
    send = replies.send
    replies.send = lambda events: [True] * len(send(events))


def default_originator_is_shared() -> None:
    """All installations have the same originator."""
    decide.originator_of = lambda entry: decide.DEFAULT_ORIGINATOR  # noqa: ARG005 - same signature


def suspended_time_is_not_counted() -> None:
    """A call's deadline is measured by a clock that stops while the machine is suspended."""

    def wrong() -> float:
        return patches.world().process.monotonic()

    clock.now_s = wrong


def precondition_is_of_the_user() -> None:
    """A precondition is checked once when a user is locked, not for each write of the statement.

    Several writes of one user then go into one statement, too.
    """
    statement = write_sql.CHANGE_SKIP_LOCKED
    for old, new in (
        ("SELECT request.* FROM users", "SELECT users.id FROM users"),
        ("target.", "request."),
        (
            "FROM target WHERE users.id",
            "FROM target JOIN request ON request.id = target.id WHERE users.id",
        ),
    ):
        if old not in statement:
            raise ValueError(f"CHANGE_SKIP_LOCKED has no more: {old}")
        statement = statement.replace(old, new)
    patches.STATEMENTS[statement] = "change_skip_locked"
    write_sql.CHANGE_SKIP_LOCKED = statement

    def in_one_statement(writes: list[Any]) -> list[Any]:
        events = write._run(statement, writes)
        return [events.get(str(written["event_id"])) for written in writes]

    group: Any = write._changes
    assert group._flush, "the simulation's group commit has another attribute by now"
    group._flush = in_one_statement


def tls_breaks_before_the_request() -> None:
    """Every TLS error counts as if nothing had been sent."""
    post = Session.post

    def wrong(self: Session, *args: Any, **options: Any) -> Any:
        try:
            return post(self, *args, **options)
        except OutcomeUnknown as error:
            if "SSL" in error.detail:
                raise Unavailable(error.detail) from None
            raise

    Session.post = wrong  # type: ignore[method-assign]


def unknown_codes_are_final() -> None:
    """An error with an unknown code is not retried."""
    original_class_of = errors._class_of

    def wrong(status: int, code: str, description: str) -> Any:
        found = original_class_of(status, code, description)
        return Rejected if found is OutcomeUnknown and status == 400 else found

    errors._class_of = wrong


def rejected_requests_are_final() -> None:
    """An error of a whole batch counts as one of each of its records."""
    client._error_of_batch = lambda error, commands: error  # noqa: ARG005 - same signature


def set_aside_is_forgotten() -> None:
    """Nothing waits for the running call of a user whose entry was set aside."""
    for name in ("lease", "put", "set_aside"):
        patches.edit(name, "now + call_ms), 'running_order'", "now), 'running_order'")


ALL: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        lease_doubts_creates_only,
        last_applied_outlives_an_epoch,
        no_wait_after_an_epoch,
        pending_outlives_an_epoch,
        clocks_are_taken_for_equal,
        bucket_is_full_after_a_loss,
        fence_is_not_checked,
        late_calls_are_made,
        history_is_ignored,
        running_update_is_not_waited_for,
        reply_is_forgotten_unconfirmed,
        default_originator_is_shared,
        suspended_time_is_not_counted,
        precondition_is_of_the_user,
        tls_breaks_before_the_request,
        unknown_codes_are_final,
        rejected_requests_are_final,
        set_aside_is_forgotten,
    )
}


def reintroduce_all() -> None:
    """Reintroduce all of them; fails if the code no longer has what one of them replaces."""
    for mistake in ALL.values():
        mistake()
