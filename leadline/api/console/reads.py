"""Queries of the console's page.

The scope is `read`; for the audit trail and the content of a dead letter it is `operate`.
"""

from typing import Any, Literal
from uuid import UUID

from flask import Request
from pydantic import Field

from leadline.api.console.bodies import Body, OneLineText
from leadline.api.paths import parse_id
from leadline.errors import PathNotFound
from leadline.runtime.http.endpoint import authorize, parse_query
from leadline.users.model import MAX_ID

#: Maximum number of dead letters of a queue that are listed, and that are counted by reason.
DEAD_LETTERS_MAX = 200
DEAD_LETTERS_COUNTED = 2000
#: Maximum number of listed held users, and of listed lines of a plan.
HELD_MAX = 200
PLAN_LINES = 200


class Period(Body):
    """The period of a plot."""

    period: Literal["1h", "24h", "7d"] = "1h"


class Trail(Body):
    """A query of the audit trail."""

    before: UUID | None = None
    user_id: int | None = Field(None, ge=1, le=MAX_ID)
    caller: OneLineText | None = Field(None, min_length=1)
    only_orders: bool = False
    limit: int = Field(50, ge=1, le=200)


def status(_request: Request) -> object:
    """The dashboard: the verdict, the forecast, and all parts; a part may have only an `error`."""
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    return dashboard().snapshot()


def settled_events(request: Request) -> object:
    """The settled events of a `period`, over time."""
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    return dashboard().settled(parse_query(Period, request).period)


def users(request: Request) -> object:
    """A page of users, newest first (`users.search.Search`)."""
    from leadline.users import search  # noqa: PLC0415 - cold start: only this call needs it

    return search.page(parse_query(search.Search, request))


def user(_request: Request, digits: str) -> object:
    """One user with the steps of its last events."""
    from leadline.operations import timeline  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.users.model import UserId  # noqa: PLC0415 - cold start: only this call needs it

    return timeline.read(UserId(parse_id(digits)))


def failures(_request: Request) -> object:
    """Failed users, grouped by reason."""
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    return dashboard().failures()


def first_match(_request: Request) -> object:
    """Users held for an operator, and the newest plan with its first lines."""
    from leadline.ledger import held_users  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.operations.first_match import overview  # noqa: PLC0415 - cold start: only this call needs it

    return {"held": held_users.page(HELD_MAX), "plan": overview.newest(PLAN_LINES)}


def trail(request: Request) -> object:
    """A page of the audit trail."""
    from leadline.operations import audit  # noqa: PLC0415 - cold start: only this call needs it

    authorize(request, "operate")
    query = parse_query(Trail, request).model_dump()
    before = query.pop("before")
    only_actions = query.pop("only_orders")  # on the wire, an action is an order
    return audit.page(**query, before=str(before) if before else None, only_actions=only_actions)


def dead_letters(_request: Request) -> object:
    """The oldest dead letters of each queue, without contents, and their number by reason.

    `at_most` letters of a queue are listed, and `counted_at_most` are counted by reason.
    """
    from leadline.operations.dead_letters import ALL, collect, group_by_reason, summary  # noqa: PLC0415 - cold start: only this call needs it

    letters = collect(ALL, summary, limit=DEAD_LETTERS_COUNTED)
    items: list[dict[str, Any]] = []
    queues = sorted({letter["queue"] for letter in letters})
    for queue in queues:
        of_queue = [letter for letter in letters if letter["queue"] == queue]
        items += of_queue[:DEAD_LETTERS_MAX]
    return {
        "items": items,
        "groups": group_by_reason(letters),
        "at_most": DEAD_LETTERS_MAX,
        "counted_at_most": DEAD_LETTERS_COUNTED,
    }


def dead_letter(request: Request, letter_id: str) -> object:
    """One dead letter with its content."""
    from leadline.operations.dead_letters import Selection, collect, content, summary  # noqa: PLC0415 - cold start: only this call needs it

    authorize(request, "operate")  # the content may be anything that its sender sent
    letters = collect(
        Selection(frozenset({letter_id})), lambda letter: summary(letter) | content(letter)
    )
    if not letters:
        raise PathNotFound("This dead letter no longer exists.")
    return letters[0]
