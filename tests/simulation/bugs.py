"""Known mistakes, put back one at a time: the simulation must notice each of them.

A function here is called in a playing process before its first history (`many.play(prepare=…)`).
"""

from collections.abc import Callable

from leadline.sync import queue, replies
from tests.simulation import patches


def lease_doubts_creates_only() -> None:
    """A lease that expires after an update leaves last applied as it is."""
    patches.edit(
        "lease",
        "attempt(doubt, prefix .. 'user:' .. user)",
        "if redis.call('HEXISTS', prefix .. 'user:' .. user, 'agreed') == 0 then"
        " attempt(doubt, prefix .. 'user:' .. user) end",
    )


def last_applied_outlives_an_epoch() -> None:
    """What Redis remembers of an earlier epoch is believed, where it remembers anything."""
    patches.edit(
        "lease",
        "if known_epoch ~= epoch then",
        "if known_epoch ~= epoch and redis.call('HEXISTS', entry, 'agreed') == 0 then",
    )


def no_wait_after_an_epoch() -> None:
    """A call that was forgotten with the epoch before is not waited for."""
    patches.edit("lease", "if now < began + call_ms then", "if false then")


def occurred_is_believed() -> None:
    """Postgres' clock alone says whether a user is younger than Redis' epoch."""
    patches.edit("put", "math.min(tonumber(occurred), now) >= began", "tonumber(occurred) >= began")


def bucket_is_full_after_a_loss() -> None:
    """A Redis that has forgotten the requests of the last moments takes the bucket for full."""
    patches.edit(
        "take", "tokens, at = math.min(tokens, 0), began_ms / 1000", "tokens, at = capacity, now_s"
    )


def fence_is_not_checked() -> None:
    """Whoever has lost the lease settles nevertheless."""
    patches.edit("settle", "redis.call('HGET', entry, 'fence') == fence and ", "")


def late_calls_are_made() -> None:
    """A worker that was frozen after it leased calls nevertheless."""
    queue.SEND_WITHIN_S = 1e9


def history_is_ignored() -> None:
    """Versions of another history of Postgres count as those of this one."""
    patches.edit("put", "if history == '' then return false end", "do return false end")


def running_update_is_not_waited_for() -> None:
    """Something newer is written while an unanswered update may still run."""
    patches.edit("lease", "if running_until and ", "if false and running_until and ")


def reply_is_forgotten_unconfirmed() -> None:
    """A reply that the broker did not confirm counts as sent."""
    send = replies.send
    replies.send = lambda answers: [True] * len(send(answers))


ALL: dict[str, Callable[[], None]] = {
    one.__name__: one
    for one in (
        lease_doubts_creates_only,
        last_applied_outlives_an_epoch,
        no_wait_after_an_epoch,
        occurred_is_believed,
        bucket_is_full_after_a_loss,
        fence_is_not_checked,
        late_calls_are_made,
        history_is_ignored,
        running_update_is_not_waited_for,
        reply_is_forgotten_unconfirmed,
    )
}
