"""Many new users by one statement, each with its event, each at most once.

Users that are moved here from another system bring their ids along. A lead that is named is taken
at its word: nothing is sent to Bitrix24, `leadline reconcile` compares.
"""

import hashlib
from collections.abc import Sequence

from pydantic import Field
from uuid_utils.compat import uuid7

from leadline.errors import BadConfiguration, InvalidRequest
from leadline.messages.contract import Id
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import (
    INSUFFICIENT_PRIVILEGE,
    UNIQUE_VIOLATION,
    StatementError,
    database,
)
from leadline.runtime.telemetry import trace_context
from leadline.users.model import NewUser

#: In whose name idempotency keys are kept; no caller of the HTTP API has such a one.
CALLER = "leadline import"


class Line(NewUser):
    """A user to enter, and its ids where it has some already."""

    id: Id | None = Field(None, strict=False)
    bitrix_lead_id: Id | None = Field(None, strict=False)


_ENTER = """
WITH line AS (
    SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:names AS text[]), CAST(:phones AS text[]),
                         CAST(:stages AS text[]), CAST(:event_ids AS uuid[]),
                         CAST(:ids AS bigint[]), CAST(:lead_ids AS bigint[])) WITH ORDINALITY
        AS line (key, full_name, phone, stage, event_id, id, lead_id, position)
), fresh AS (
    SELECT row_number() OVER (ORDER BY position) AS rank, line.* FROM line, leadline_present()
    WHERE NOT EXISTS (
        SELECT FROM idempotency_keys AS known WHERE known.caller = :caller AND known.key = line.key
    ) AND NOT EXISTS (SELECT FROM users WHERE users.id = line.id)
), written AS (
    INSERT INTO users ({id} full_name, phone, stage, bitrix_lead_id, synced_version, sync_status)
    SELECT {id} full_name, phone, stage, lead_id, CASE WHEN lead_id IS NULL THEN 0 ELSE 1 END,
           CASE WHEN lead_id IS NULL THEN 'waiting' ELSE 'synced' END
    FROM fresh ORDER BY rank
    RETURNING id, full_name, phone, stage, bitrix_lead_id IS NULL AS is_owed
), ranked AS (
    -- Any pairing of users with event ids and keys would do: neither says anything of its user.
    SELECT row_number() OVER (ORDER BY id) AS rank, written.* FROM written
), event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                        correlation_id, traceparent, caller, state, due_at, settled_at)
    SELECT fresh.event_id, ranked.id, 1, 'create_card', ranked.full_name, ranked.phone,
           ranked.stage, 'full_name,phone,stage', :correlation_id, :traceparent,
           :operator, CASE WHEN is_owed THEN 'open' ELSE 'synced' END,
           CASE WHEN is_owed THEN now() END, CASE WHEN is_owed THEN NULL ELSE now() END
    FROM ranked JOIN fresh USING (rank)
)
INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
SELECT :caller, key, :fingerprint, event_id FROM fresh
RETURNING 1 AS one
"""
_ENTER_NEW, _ENTER_WITH_IDS = _ENTER.format(id=""), _ENTER.format(id="id,")

# A line that was entered before is known by its key, or by its id.
_LEADS_OF_OTHERS = """
SELECT line.key FROM unnest(
    CAST(:keys AS text[]), CAST(:ids AS bigint[]), CAST(:lead_ids AS bigint[])
) AS line (key, id, lead_id)
JOIN users ON users.bitrix_lead_id = line.lead_id
WHERE users.id IS DISTINCT FROM line.id AND NOT EXISTS (
    SELECT FROM idempotency_keys AS known WHERE known.caller = :caller AND known.key = line.key
)
"""

_RESERVE = """
SELECT setval(CAST(pg_get_serial_sequence('users', 'id') AS regclass),
              GREATEST(:last_id, (SELECT last_value FROM users_id_seq)))
"""


def reserve(last_id: int) -> None:
    """Give ids up to this one to nobody who comes by the HTTP API.

    Raises:
        BadConfiguration: the login does not own the users.
        DatabaseDown: Postgres can't be reached.
    """
    try:
        database().run(_RESERVE, last_id=last_id)
    except StatementError as error:
        if error.code != INSUFFICIENT_PRIVILEGE:
            raise
        raise BadConfiguration(
            "to import ids, set DATABASE_URL to the login that owns the tables, as to migrate"
        ) from None


def leads_of_others(users: Sequence[tuple[str, Line]]) -> frozenset[str]:
    """The keys of those of these users whose lead belongs to a user that is there already.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    named = [(key, user) for key, user in users if user.bitrix_lead_id]
    if not named:
        return frozenset()
    rows = database().run(
        _LEADS_OF_OTHERS,
        keys=[key for key, _ in named],
        ids=[user.id for _, user in named],
        lead_ids=[user.bitrix_lead_id for _, user in named],
        caller=CALLER,
    )
    return frozenset(row["key"] for row in rows)


def create(users: Sequence[tuple[str, Line]]) -> int:
    """Store these users, each under a key; returns how many were new. All have an id or none has.

    A key that was used within the last 24 hours stands for a user that is there already, and so
    does an id.

    Raises:
        InvalidRequest: a lead was given to another user since it was looked at; nothing was stored.
        DatabaseDown: nothing was stored, or nobody can say; doing it again is harmless.
    """
    trace = trace_context.current()
    has_ids = any(user.id for _, user in users)
    try:
        rows = run_in_current_history(
            _ENTER_WITH_IDS if has_ids else _ENTER_NEW,
            keys=[key for key, _ in users],
            names=[user.full_name for _, user in users],
            phones=[user.phone for _, user in users],
            stages=[user.stage for _, user in users],
            event_ids=[str(uuid7()) for _ in users],
            ids=[user.id for _, user in users],
            lead_ids=[user.bitrix_lead_id for _, user in users],
            caller=CALLER,
            fingerprint=hashlib.sha256(CALLER.encode()).digest(),
            correlation_id=trace.correlation_id,
            traceparent=trace.traceparent,
            operator=trace_context.caller() or None,
        )
    except StatementError as error:
        if (error.code, error.constraint) != (UNIQUE_VIOLATION, "users_unique_lead"):
            raise
        raise InvalidRequest(
            "a lead of this file was just given to another user: begin again, and all is checked"
        ) from None
    return len(rows)
