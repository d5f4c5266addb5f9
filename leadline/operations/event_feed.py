"""The feed of events: what happens to writes, read from the ledger as it happens.

Three reads by index for each poll, whatever the size of the ledger: events accepted since the last
poll (by their time-ordered ids), events settled since (by `settled_at`), and the open events seen
so far, by id, of which RabbitMQ may have confirmed some. Transactions become visible out of order,
so each read begins a few seconds before the last one ended, and what was reported is skipped.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from leadline.runtime.postgres.pool import Row, database

#: How much earlier than the last one each read begins; no statement of ours lasts as long.
OVERLAP = timedelta(seconds=10)
#: Rows of a read; a poll continues with the next page until one is not full.
PAGE = 1000
#: Open events whose confirm is awaited, and reported steps that are remembered; the oldest go.
AWAITED_MAX = 2000
REPORTED_MAX = 100_000

_COLUMNS = """
CAST(id AS text) AS event_id, user_id, version, action, changed, caller, state, reason, attempts,
occurred_at, published_at, settled_at
"""
_OF_USER = "(CAST(:user_id AS bigint) IS NULL OR user_id = CAST(:user_id AS bigint))"
_ACCEPTED = f"""
SELECT {_COLUMNS} FROM events WHERE id > CAST(:after AS uuid) AND {_OF_USER}
ORDER BY id LIMIT :limit
"""  # noqa: S608 - of constants; values are parameters
_SETTLED = f"""
SELECT {_COLUMNS} FROM events
WHERE settled_at IS NOT NULL AND (settled_at, id) > (:at, CAST(:after AS uuid)) AND {_OF_USER}
ORDER BY settled_at, id LIMIT :limit
"""  # noqa: S608 - of constants; values are parameters
_AWAITED = f"SELECT {_COLUMNS} FROM events WHERE id = ANY (CAST(:ids AS uuid[]))"  # noqa: S608 - of constants; values are parameters
_NOW = "SELECT clock_timestamp() AS now"

Step = dict[str, Any]


class EventFeed:
    """Follows the ledger from a moment on; `poll` returns the steps taken since the last poll."""

    def __init__(self, since: datetime | None = None, user_id: int | None = None) -> None:
        """By default from now, by the clock of Postgres.

        Raises:
            DatabaseDown: Postgres can't be reached.
        """
        self._since = since or database().run(_NOW)[0]["now"]
        self._user_id = user_id
        self._read_from = self._since
        self._reported: dict[tuple[str, str, datetime], None] = {}
        self._awaited: dict[str, None] = {}

    def poll(self) -> list[Step]:
        """The steps that were taken since the last poll, in order of time.

        A step has `at`, `step` (accepted, published, synced, superseded, failed), `event_id`,
        `user_id`, `version`, `action`, `caller`, `attempts` and `reason`.

        Raises:
            DatabaseDown: Postgres can't be reached; the next poll reports what this one missed.
        """
        now = database().run(_NOW)[0]["now"]
        found = [step for row in self._rows() for step in self._new_steps(row)]
        self._read_from = max(self._since, now - OVERLAP)
        _limit(self._awaited, AWAITED_MAX)
        _limit(self._reported, REPORTED_MAX)
        return sorted(found, key=lambda step: (step["at"], step["version"]))

    def _rows(self) -> Iterator[Row]:
        """Events that may have taken a step."""
        yield from self._pages(_ACCEPTED, after=_first_id(self._read_from))
        yield from self._pages(_SETTLED, at=self._read_from, after=_first_id(None))
        yield from database().run(_AWAITED, ids=list(self._awaited))

    def _pages(self, sql: str, **key: object) -> Iterator[Row]:
        while True:
            rows = database().run(sql, user_id=self._user_id, limit=PAGE, **key)
            yield from rows
            if len(rows) < PAGE:
                return
            key["after"] = rows[-1]["event_id"]
            if "at" in key:
                key["at"] = rows[-1]["settled_at"]

    def _new_steps(self, row: Row) -> Iterator[Step]:
        """The steps of an event that were not reported yet."""
        event_id = row["event_id"]
        if row["published_at"] is None and row["state"] == "open":
            self._awaited[event_id] = None
        else:
            self._awaited.pop(event_id, None)
        moments = (
            ("accepted", row["occurred_at"]),
            ("published", row["published_at"]),
            (row["state"], row["settled_at"]),
        )
        for step, at in moments:
            if at is None or at < self._since or (event_id, step, at) in self._reported:
                continue
            self._reported[(event_id, step, at)] = None
            yield _step(row, step, at)


def _step(row: Row, step: str, at: datetime) -> Step:
    names = ("event_id", "user_id", "version", "action", "caller")
    is_settled = at == row["settled_at"] and step == row["state"]
    outcome = {
        "attempts": row["attempts"] if is_settled else None,
        "reason": row["reason"] if is_settled else None,
    }
    # An operator's resync is stored as an update that changes nothing.
    action = "resync" if row["changed"].startswith("look") else row["action"]
    return {"at": at, "step": step, **{name: row[name] for name in names}, **outcome} | {
        "action": action
    }


def _first_id(moment: datetime | None) -> str:
    """The smallest UUIDv7 of a moment; None: the smallest of all."""
    ms = int(moment.timestamp() * 1000) if moment else 0
    return f"{ms:012x}{0:020x}"


def _limit(kept: dict[Any, None], number: int) -> None:
    """Forget the oldest, so that at most this number is kept."""
    for key in list(kept)[: max(0, len(kept) - number)]:
        del kept[key]
