"""The feed of events: follows the steps of writes in the ledger.

Three reads by index for each poll, independent of the ledger's size: events accepted since the last
poll (by their time-ordered ids), events settled since (by `settled_at`), and the open events seen
so far, by id, of which RabbitMQ may have confirmed some. Transactions become visible out of order,
so each read begins a few seconds before the last one ended, and reported steps are skipped.

A feed that begins in the past catches up in pages, so that it needs little memory.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from leadline.runtime import uuid7
from leadline.runtime.postgres.pool import Row, database

#: How long before the end of the last read each read begins; longer than any of our statements.
OVERLAP = timedelta(seconds=10)
#: Rows of a read; doubled while a whole page has the same time.
PAGE = 1000
#: Maximum number of open events whose confirm is awaited, and of reported steps remembered.
AWAITED_MAX = 2000
REPORTED_MAX = 100_000

_COLUMNS = """
CAST(id AS text) AS event_id, user_id, version, action, changed, caller, state, reason, attempts,
occurred_at, published_at, settled_at
"""
#: Appended for one user: its events are found by the index of (user_id, version).
_OF_USER = "AND user_id = CAST(:user_id AS bigint)"
_ACCEPTED = f"""
SELECT {_COLUMNS} FROM events WHERE id >= CAST(:after AS uuid) {{of_user}}
ORDER BY id LIMIT :limit
"""  # noqa: S608 - of constants; values are parameters
_SETTLED = f"""
SELECT {_COLUMNS} FROM events
WHERE settled_at >= CAST(:at AS timestamptz) {{of_user}} ORDER BY settled_at LIMIT :limit
"""  # noqa: S608 - of constants; values are parameters
_AWAITED = f"SELECT {_COLUMNS} FROM events WHERE id = ANY (CAST(:ids AS uuid[]))"  # noqa: S608 - of constants; values are parameters
_NOW = "SELECT clock_timestamp() AS now"

Step = dict[str, Any]


class EventFeed:
    """Follows the ledger from `since`; `poll` returns the steps taken since the last poll."""

    def __init__(self, since: datetime | None = None, user_id: int | None = None) -> None:
        """Follow from `since`, by default from now; of one user, by default of all.

        Raises:
            DatabaseDown: Postgres can't be reached.
        """
        self._since = since or _now()
        self._read_from = self._since
        self._of_user = "" if user_id is None else _OF_USER
        self._params = {} if user_id is None else {"user_id": user_id}
        self._page = PAGE
        # Both are ordered sets: steps that were reported, and open events that await their confirm.
        self._reported: dict[tuple[str, str, datetime], None] = {}
        self._awaited: dict[str, None] = {}
        #: The feed has not caught up yet: poll again at once.
        self.is_behind = False

    def poll(self) -> list[Step]:
        """The steps that were taken since the last poll, in order of time.

        A step has `at`, `step` (accepted, published, synced, superseded, failed), `event_id`,
        `user_id`, `version`, `action`, `caller`, `attempts` and `reason`.

        Raises:
            DatabaseDown: Postgres can't be reached; the next poll reports what this one missed.
        """
        now = _now()
        accepted = self._read(_ACCEPTED, after=str(uuid7.first_at(self._read_from.timestamp())))
        settled = self._read(_SETTLED, at=self._read_from)
        awaited = database().run(_AWAITED, ids=list(self._awaited))
        # A full page may have left rows behind: rows later than its end are read again.
        ends = [_accepted_at(accepted[-1])] if len(accepted) == self._page else []
        ends += [settled[-1]["settled_at"]] if len(settled) == self._page else []
        until = min([now, *ends])
        steps = [
            *(
                step
                for row in accepted
                if _accepted_at(row) <= until
                for step in self._new_steps_until_confirm(row)
            ),
            *(step for row in awaited for step in self._new_steps_until_confirm(row)),
            *(
                step
                for row in settled
                if row["settled_at"] <= until
                for step in self._new_outcome(row)
            ),
        ]
        self._continue_after(until, now, is_behind=bool(ends))
        return sorted(steps, key=lambda step: (step["at"], step["version"]))

    def _read(self, sql: str, **key: object) -> list[Row]:
        sql = sql.format(of_user=self._of_user)
        return database().run(sql, limit=self._page, **key, **self._params)

    def _continue_after(self, until: datetime, now: datetime, *, is_behind: bool) -> None:
        """Set where the next poll begins, and forget the oldest steps."""
        begin = until if is_behind else max(self._since, now - OVERLAP)
        # A full page whose rows all have the same time would be read forever.
        is_stuck = is_behind and begin - self._read_from < timedelta(milliseconds=1)
        self._page = self._page * 2 if is_stuck else PAGE
        self._read_from = begin
        self.is_behind = is_behind
        _drop_oldest(self._awaited, AWAITED_MAX)
        _drop_oldest(self._reported, REPORTED_MAX)

    def _new_steps_until_confirm(self, row: Row) -> Iterator[Step]:
        """Report the new steps of an event up to its confirm; await a confirm that is missing."""
        if row["published_at"] is None and row["state"] == "open":
            self._awaited[row["event_id"]] = None
        else:
            self._awaited.pop(row["event_id"], None)
        yield from self._report_once(row, "accepted", row["occurred_at"])
        yield from self._report_once(row, "published", row["published_at"])

    def _new_outcome(self, row: Row) -> Iterator[Step]:
        """Report the outcome of an event, if it is new."""
        outcome = {"attempts": row["attempts"], "reason": row["reason"]}
        for step in self._report_once(row, row["state"], row["settled_at"]):
            yield step | outcome

    def _report_once(self, row: Row, step: str, taken_at: datetime | None) -> Iterator[Step]:
        """The step, unless it was not taken yet, was taken before `since`, or was reported."""
        if taken_at is None or taken_at < self._since:
            return
        key = (row["event_id"], step, taken_at)
        if key not in self._reported:
            self._reported[key] = None
            yield _step(row, step, taken_at)


def _step(row: Row, step: str, taken_at: datetime) -> Step:
    # A resync is stored as an update that changes no field: `changed` begins with `look`.
    action = "resync" if row["changed"].startswith("look") else row["action"]
    names = ("event_id", "user_id", "version", "caller")
    fields = {name: row[name] for name in names}
    return {
        "at": taken_at,
        "step": step,
        **fields,
        "action": action,
        "attempts": None,
        "reason": None,
    }


def _now() -> datetime:
    now: datetime = database().run(_NOW)[0]["now"]
    return now


def _accepted_at(row: Row) -> datetime:
    """The time in an event's UUIDv7, by the clock of the function that accepted it."""
    ms = int(row["event_id"].replace("-", "")[:12], 16)
    return datetime.fromtimestamp(ms / 1000, UTC)


def _drop_oldest(keys: dict[Any, None], max_keys: int) -> None:
    """Delete the oldest keys beyond this number; a dict keeps the order of insertion."""
    for key in list(keys)[: max(0, len(keys) - max_keys)]:
        del keys[key]
