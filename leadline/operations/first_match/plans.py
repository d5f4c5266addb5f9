"""Plans as stored in Postgres: the progress of reading, the lines and their outcomes."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from leadline.errors import InvalidRequest
from leadline.operations.first_match.lines import Line
from leadline.runtime.postgres.json_rows import as_json, parse
from leadline.runtime.postgres.pool import database
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings

Reading = Literal["leads", "contacts", "users", "done"]

#: A line as stored: the fields of `Line`, its `number`, by which lines are ordered, and `outcome`.
StoredLine = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan without its lines."""

    id: int
    caller: str | None
    created_at: datetime
    #: What is being read, and the id of the last lead, contact or user read.
    reading: Reading
    position: int
    #: Number of leads and contacts read, and of users found linked and equal.
    leads: int
    contacts: int
    linked: int
    ready_at: datetime | None
    applied_at: datetime | None

    @property
    def is_ready(self) -> bool:
        """Whether it has read everything."""
        return self.reading == "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """The result of one step, to store with the plan's new position."""

    reading: Reading
    position: int
    leads: int = 0
    contacts: int = 0
    linked: int = 0
    lines: Sequence[Line] = ()
    #: Match keys, each with the id of the lead or contact that has it.
    keys: Sequence[tuple[int, int]] = ()
    entity: Literal["lead", "contact"] = "lead"


_FIELDS = """
id, caller, created_at, reading, position, leads, contacts, linked, ready_at, applied_at
"""
_BEGIN = f"""
INSERT INTO match_plans (portal, caller) VALUES (:portal, :caller) RETURNING {_FIELDS}
"""  # noqa: S608 - built from constants; values are parameters
_FIND = f"""
SELECT {_FIELDS} FROM match_plans
WHERE portal = :portal AND (CAST(:id AS bigint) IS NULL OR id = CAST(:id AS bigint))
ORDER BY match_plans.id DESC LIMIT 1
"""  # noqa: S608 - built from constants; values are parameters

# Only if the plan is still where this step began: of two concurrent runs, one is rejected.
_PROGRESS = f"""
WITH plan AS (
    UPDATE match_plans SET reading = :reading, position = :position, leads = leads + :leads,
        contacts = contacts + :contacts, linked = linked + :linked,
        ready_at = CASE WHEN :reading = 'done' THEN now() END
    WHERE id = :id AND reading = :reading_before AND position = :position_before
    RETURNING *
), new_keys AS (
    INSERT INTO match_keys (plan_id, key, entity, entity_id)
    SELECT plan.id, pair.key, :entity, pair.entity_id
    FROM plan, unnest(CAST(:keys AS integer[]), CAST(:entity_ids AS bigint[]))
        AS pair (key, entity_id)
    ON CONFLICT DO NOTHING
), present AS (
    -- The lock makes a concurrent erasure wait for the line, whose changes it then removes.
    SELECT id FROM users WHERE erased_at IS NULL AND id IN (
        SELECT user_id FROM json_to_recordset(CAST(:lines AS json)) AS line (user_id bigint)
    ) ORDER BY id FOR SHARE
), new_lines AS (
    INSERT INTO match_lines (plan_id, kind, user_id, version, lead_id, lead_ids, contact_ids,
                             changes)
    SELECT plan.id, kind, user_id, version, lead_id, lead_ids, contact_ids,
           CASE WHEN user_id IN (SELECT id FROM present) THEN changes END
    FROM plan, json_to_recordset(CAST(:lines AS json)) AS line (
        kind text, user_id bigint, version bigint, lead_id bigint, lead_ids bigint[],
        contact_ids bigint[], changes jsonb
    )
), shared AS (
    -- Two users can't have one lead: an operator decides.
    UPDATE match_lines SET kind = 'ambiguous', lead_id = NULL FROM plan
    WHERE plan.reading = 'done' AND plan_id = plan.id AND kind = 'match'
      AND match_lines.lead_id IN (
          SELECT lead_id FROM match_lines WHERE plan_id = :id AND kind = 'match'
          GROUP BY lead_id HAVING count(*) > 1
      )
), emptied AS (
    DELETE FROM match_keys USING plan WHERE plan.reading = 'done' AND plan_id = plan.id
)
SELECT {_FIELDS} FROM plan
"""  # noqa: S608 - built from constants; values are parameters
_WITH_KEYS = """
SELECT DISTINCT entity, entity_id FROM match_keys
WHERE plan_id = :id AND key = ANY (CAST(:keys AS integer[]))
"""
_LINES = as_json("""
    SELECT number, kind, user_id, version, lead_id, lead_ids, contact_ids, changes, outcome
    FROM match_lines
    WHERE plan_id = :id AND number > :after AND (CAST(:kinds AS text[]) IS NULL
          OR kind = ANY (CAST(:kinds AS text[]))) AND (outcome IS NULL OR NOT :only_open)
    ORDER BY number LIMIT :limit
""")
_COUNTS = """
SELECT kind, COALESCE(outcome, '') AS outcome, count(*) AS lines FROM match_lines
WHERE plan_id = :id GROUP BY 1, 2
"""
_MARK = """
UPDATE match_lines SET outcome = :outcome
WHERE plan_id = :id AND number = ANY (CAST(:numbers AS bigint[])) AND outcome IS NULL
"""


def begin() -> Plan:
    """Begin a plan for the current caller.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    caller = trace_context.caller() or None
    return Plan(**database().run(_BEGIN, portal=settings().portal, caller=caller)[0])


def find(plan_id: int | None = None) -> Plan | None:
    """The plan with this id, by default the newest; None if there is none.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_FIND, portal=settings().portal, id=plan_id)
    return Plan(**rows[0]) if rows else None


def store(plan: Plan, progress: Progress) -> Plan:
    """Store the result of a step; returns the plan after it.

    Raises:
        InvalidRequest: another run continues this plan.
        DatabaseDown: nothing was stored, or the outcome is unknown.
    """
    rows = database().run(
        _PROGRESS,
        id=plan.id,
        reading_before=plan.reading,
        position_before=plan.position,
        reading=progress.reading,
        position=progress.position,
        leads=progress.leads,
        contacts=progress.contacts,
        linked=progress.linked,
        entity=progress.entity,
        keys=[key for key, _ in progress.keys],
        entity_ids=[entity_id for _, entity_id in progress.keys],
        lines=orjson.dumps([asdict(line) for line in progress.lines]).decode(),
    )
    if not rows:
        raise InvalidRequest(f"another run continues plan {plan.id}: wait for it, or --restart")
    return Plan(**rows[0])


def entities_with_keys(plan: Plan, keys: Iterable[int]) -> tuple[set[int], set[int]]:
    """The leads and the contacts that have one of these match keys.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_WITH_KEYS, id=plan.id, keys=sorted(set(keys)))
    leads = {row["entity_id"] for row in rows if row["entity"] == "lead"}
    return leads, {row["entity_id"] for row in rows if row["entity"] == "contact"}


def lines(
    plan: Plan,
    limit: int,
    after: int = 0,
    *,
    kinds: Sequence[str] | None = None,
    only_open: bool = False,
) -> list[StoredLine]:
    """The next lines by number; `only_open`: those without an outcome.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return parse(
        database().run(
            _LINES,
            id=plan.id,
            after=after,
            limit=limit,
            kinds=list(kinds) if kinds is not None else None,
            only_open=only_open,
        )
    )


def counts(plan: Plan) -> dict[tuple[str, str], int]:
    """How many lines have each kind and outcome ("": none yet).

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_COUNTS, id=plan.id)
    return {(row["kind"], row["outcome"]): int(row["lines"]) for row in rows}


def store_outcome(
    plan: Plan, numbers: Sequence[int], outcome: Literal["entered", "changed"]
) -> None:
    """Record the outcome of lines.

    `entered`: an event was stored; `changed`: the user or the lead has changed since, so the line
    was skipped. Lines that have an outcome keep it.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if numbers:
        database().run(_MARK, id=plan.id, numbers=list(numbers), outcome=outcome)


def mark_applied(plan: Plan) -> None:
    """Record that the plan was applied.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run(
        "UPDATE match_plans SET applied_at = COALESCE(applied_at, now()) WHERE id = :id",
        id=plan.id,
    )
