"""What the console's page asks and tells the system, as JSON under `api/`.

Each answer loads what it needs when it is first asked for: the page itself needs no server.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from leadline.api.paths import MAX_ID, path_of
from leadline.errors import Forbidden, MethodNotAllowed, PathNotFound
from leadline.runtime.http.endpoint import RawResponse, authorize, json_response, parse, parse_query
from leadline.runtime.telemetry import trace_context

#: A page of another origin can't send it: without keys it is what shows that ours is asking.
OWN_HEADER = "X-Leadline-Console"
#: How long one request goes on asking for those who failed; the page asks for the rest.
ALL_FAILED_S = 5.0
LETTERS_MAX = 200

_OURS = re.compile(r"^(?:/console(?=/|$))*/?")

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
#: On one line; Postgres takes no NUL.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Body):
    """{}: the path says all."""


class Reason(_Body):
    """Why an operator pauses."""

    reason: Line = ""


class After(_Body):
    """Where the last part has ended."""

    after: int = Field(0, ge=0, le=MAX_ID)


class Trail(_Body):
    """Which part of the audit trail."""

    before: UUID | None = None
    user_id: int | None = Field(None, ge=1, le=MAX_ID)
    caller: Line | None = Field(None, min_length=1)
    only_orders: bool = False
    limit: int = Field(50, ge=1, le=200)


class Letters(_Body):
    """Which dead letters."""

    ids: list[Id] = Field(min_length=1, max_length=1000)


def inside(request: Request) -> str:
    """What follows the console's own place, with the gateway's prefix or without."""
    return _OURS.sub("", path_of(request))


def serve(request: Request, path: str) -> RawResponse:
    """The answer to a question of the page, or what became of an order.

    Raises:
        PathNotFound, MethodNotAllowed: there is no such question.
        Forbidden: without keys, an order that some other page may have sent.
        InvalidRequest: it makes no sense.
        DependencyDown: a server that it needs can't be reached.
    """
    method = "GET" if request.method == "HEAD" else request.method
    if method == "GET":
        authorize(request, "read")
    elif not trace_context.caller() and OWN_HEADER not in request.headers:
        raise Forbidden(f"Without keys, an order needs the header {OWN_HEADER}.")
    for verb, pattern, tell in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match and verb != method:
            raise MethodNotAllowed("GET, HEAD" if verb == "GET" else verb)
        if match:
            response = json_response(tell(request, *match.groups()))
            response.headers["Cache-Control"] = "no-store"
            return response
    raise PathNotFound


def status(_request: Request) -> object:
    """All figures at once; a part that can't be asked has only an `error`."""
    from leadline.operations.dashboard import figures  # noqa: PLC0415

    return figures().told()


def users(request: Request) -> object:
    """A page of users: `find`, `sync`, `stage`, `after`, `limit`."""
    from leadline.users import search  # noqa: PLC0415

    return search.page(parse_query(search.Search, request))


def user(_request: Request, number: str) -> object:
    """One user, each of its last events with its steps."""
    from leadline.operations import timeline  # noqa: PLC0415
    from leadline.users.model import UserId  # noqa: PLC0415

    return timeline.told(UserId(min(int(number), MAX_ID)))


def again(request: Request, number: str) -> object:
    """Send this user again."""
    from leadline.operations.resync import once_more  # noqa: PLC0415

    parse(Nothing, request)
    user_id = min(int(number), MAX_ID)
    with _order("send again", user_ids=[user_id]) as done:
        asked, waiting, missing = once_more([user_id])
        done["asked"] = asked
    return {"asked_again": asked, "waiting_already": waiting, "not_found": missing}


def all_failed_again(request: Request) -> object:
    """Send those who failed again, as many as fit into a request; `next` is where to go on."""
    from leadline.operations.resync import everybody_who_failed  # noqa: PLC0415

    after = parse(After, request).after
    asked, until, rest = 0, time.monotonic() + ALL_FAILED_S, None
    with _order("send all failed again", after=after) as done:
        for part in everybody_who_failed(after):
            asked += part.asked
            if time.monotonic() > until:
                rest = part.up_to
                break
        done["asked"] = asked
    return {"asked_again": asked, "next": rest}


def pause(request: Request) -> object:
    """No calls to Bitrix24 until somebody resumes them; those under way are finished."""
    from leadline.operations import manual_hold  # noqa: PLC0415

    reason = parse(Reason, request).reason.strip()
    with _order("pause calls", reason=reason):
        manual_hold.hold(reason)
    return {"paused": True}


def resume(request: Request) -> object:
    """Calls are made again, whyever they were paused."""
    from leadline.operations import manual_hold  # noqa: PLC0415

    parse(Nothing, request)
    with _order("resume calls") as done:
        was_paused = manual_hold.release()
        done["was_paused"] = was_paused
    return {"paused": False, "was_paused": was_paused}


def trail(request: Request) -> object:
    """Who has written and ordered what."""
    from leadline.operations import audit  # noqa: PLC0415

    authorize(request, "operate")
    asked = parse_query(Trail, request).model_dump()
    before = asked.pop("before")
    return audit.page(**asked, before=str(before) if before else None)


def dead_letters(_request: Request) -> object:
    """The oldest dead letters of each queue, without their contents."""
    from leadline.operations.dead_letters import EVERY_ONE, look, summary  # noqa: PLC0415

    return {"items": look(EVERY_ONE, summary, LETTERS_MAX), "at_most": LETTERS_MAX}


def dead_letter(request: Request, letter_id: str) -> object:
    """One dead letter in full."""
    from leadline.operations.dead_letters import Choice, content, look, summary  # noqa: PLC0415

    authorize(request, "operate")  # it holds whatever its sender sent
    found = look(Choice(frozenset({letter_id})), lambda one: summary(one) | content(one))
    if not found:
        raise PathNotFound("There is no such dead letter any more.")
    return found[0]


def decide(request: Request, order: str) -> object:
    """Replay or discard these dead letters."""
    from leadline.connector.dead_letters import Decision  # noqa: PLC0415
    from leadline.operations.dead_letters import Choice, carry_out  # noqa: PLC0415

    ids = parse(Letters, request).ids
    with _order(f"{order} dead letters", letters=ids[:LETTERS_MAX]) as done:
        number, missing = carry_out(Choice(frozenset(ids)), Decision(order))
        done["done"] = number
    return {"done": number, "not_found": missing}


@contextmanager
def _order(what: str, **about: object) -> Iterator[dict[str, object]]:
    """An order: the audit trail says by whom, and the figures show what came of it."""
    from leadline.operations import audit  # noqa: PLC0415
    from leadline.operations.dashboard import figures  # noqa: PLC0415

    with audit.recorded(what, **about) as done:
        yield done
    figures().forget()


_Route = tuple[str, str, Callable[..., object]]
_ROUTES: tuple[_Route, ...] = (
    ("GET", r"api/status", status),
    ("GET", r"api/users", users),
    ("GET", r"api/users/([0-9]{1,19})", user),
    ("POST", r"api/users/([0-9]{1,19})/again", again),
    ("POST", r"api/failed/again", all_failed_again),
    ("POST", r"api/pause", pause),
    ("POST", r"api/resume", resume),
    ("GET", r"api/audit", trail),
    ("GET", r"api/dead-letters", dead_letters),
    ("GET", r"api/dead-letters/([0-9a-f]{12})", dead_letter),
    ("POST", r"api/dead-letters/(replay|discard)", decide),
)
