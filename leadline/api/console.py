"""The JSON API of the console's page, under `api/`.

Handlers import what they need when first called: the page itself needs no server.
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

#: Pages of other origins can't send this header: without keys it shows that our page asks.
OWN_HEADER = "X-Leadline-Console"
#: How long one request resyncs failed users; the page continues with the rest.
ALL_FAILED_S = 5.0
DEAD_LETTERS_MAX = 200

_PREFIX = re.compile(r"^(?:/console(?=/|$))*/?")

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
#: A single line; Postgres rejects NUL.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Empty(_Body):
    """{}: no parameters."""


class Reason(_Body):
    """The reason for a pause."""

    reason: Line = ""


class After(_Body):
    """The key at which the last batch ended."""

    after: int = Field(0, ge=0, le=MAX_ID)


class Trail(_Body):
    """A query of the audit trail."""

    before: UUID | None = None
    user_id: int | None = Field(None, ge=1, le=MAX_ID)
    caller: Line | None = Field(None, min_length=1)
    only_orders: bool = False
    limit: int = Field(50, ge=1, le=200)


class DeadLetterIds(_Body):
    """Ids of dead letters."""

    ids: list[Id] = Field(min_length=1, max_length=1000)


def subpath(request: Request) -> str:
    """The path below `/console`, with or without the gateway's prefix."""
    return _PREFIX.sub("", path_of(request))


def serve(request: Request, path: str) -> RawResponse:
    """Serve a query or an action of the page.

    Raises:
        PathNotFound, MethodNotAllowed: no such endpoint.
        Forbidden: without keys, an action that another page may have sent.
        InvalidRequest: invalid parameters.
        DependencyDown: a server that it needs can't be reached.
    """
    method = "GET" if request.method == "HEAD" else request.method
    if method == "GET":
        authorize(request, "read")
    elif not trace_context.caller() and OWN_HEADER not in request.headers:
        raise Forbidden(f"Without keys, an action needs the header {OWN_HEADER}.")
    for verb, pattern, handle in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match and verb != method:
            raise MethodNotAllowed("GET, HEAD" if verb == "GET" else verb)
        if match:
            response = json_response(handle(request, *match.groups()))
            response.headers["Cache-Control"] = "no-store"
            return response
    raise PathNotFound


def status(_request: Request) -> object:
    """All parts of the dashboard; a part whose server fails has only an `error`."""
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    return dashboard().snapshot()


def users(request: Request) -> object:
    """A page of users: `find`, `sync`, `stage`, `after`, `limit`."""
    from leadline.users import search  # noqa: PLC0415 - cold start: only this call needs it

    return search.page(parse_query(search.Search, request))


def user(_request: Request, number: str) -> object:
    """One user with the steps of its last events."""
    from leadline.operations import timeline  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.users.model import UserId  # noqa: PLC0415 - cold start: only this call needs it

    return timeline.read(UserId(min(int(number), MAX_ID)))


def resync(request: Request, number: str) -> object:
    """Resync one user: the page's *Retry*."""
    from leadline.operations.resync_users import resync_users  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    user_id = min(int(number), MAX_ID)
    with _audited("send again", user_ids=[user_id]) as done:
        requested, waiting, missing = resync_users([user_id])
        done["asked"] = requested
    return {"asked_again": requested, "waiting_already": waiting, "not_found": missing}


def resync_all_failed(request: Request) -> object:
    """Resync failed users, as many as fit into a request; `next` is the `after` of the next one."""
    from leadline.operations.resync_users import resync_failed  # noqa: PLC0415 - cold start: only this call needs it

    after = parse(After, request).after
    requested, until, rest = 0, time.monotonic() + ALL_FAILED_S, None
    with _audited("send all failed again", after=after) as done:
        for batch in resync_failed(after):
            requested += batch.requested
            if time.monotonic() > until:
                rest = batch.last_id
                break
        done["asked"] = requested
    return {"asked_again": requested, "next": rest}


def pause(request: Request) -> object:
    """Pause calls to Bitrix24 until an operator resumes them; calls in flight are finished."""
    from leadline.operations import manual_hold  # noqa: PLC0415 - cold start: only this call needs it

    reason = parse(Reason, request).reason.strip()
    with _audited("pause calls", reason=reason):
        manual_hold.hold(reason)
    return {"paused": True}


def resume(request: Request) -> object:
    """Resume calls, whatever paused them."""
    from leadline.operations import manual_hold  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    with _audited("resume calls") as done:
        was_paused = manual_hold.release()
        done["was_paused"] = was_paused
    return {"paused": False, "was_paused": was_paused}


def trail(request: Request) -> object:
    """A page of the audit trail."""
    from leadline.operations import audit  # noqa: PLC0415 - cold start: only this call needs it

    authorize(request, "operate")
    query = parse_query(Trail, request).model_dump()
    before = query.pop("before")
    return audit.page(**query, before=str(before) if before else None)


def dead_letters(_request: Request) -> object:
    """The oldest dead letters of each queue, without their contents."""
    from leadline.operations.dead_letters import ALL, collect, summary  # noqa: PLC0415 - cold start: only this call needs it

    return {"items": collect(ALL, summary, DEAD_LETTERS_MAX), "at_most": DEAD_LETTERS_MAX}


def dead_letter(request: Request, letter_id: str) -> object:
    """One dead letter with its content."""
    from leadline.operations.dead_letters import Selection, collect, content, summary  # noqa: PLC0415 - cold start: only this call needs it

    authorize(request, "operate")  # the content may be anything that its sender sent
    found = collect(Selection(frozenset({letter_id})), lambda one: summary(one) | content(one))
    if not found:
        raise PathNotFound("This dead letter no longer exists.")
    return found[0]


def decide(request: Request, action: str) -> object:
    """Replay or discard dead letters."""
    from leadline.connector.dead_letters import Decision  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.operations.dead_letters import Selection, apply  # noqa: PLC0415 - cold start: only this call needs it

    ids = parse(DeadLetterIds, request).ids
    with _audited(f"{action} dead letters", letters=ids[:DEAD_LETTERS_MAX]) as done:
        number, missing = apply(Selection(frozenset(ids)), Decision(action))
        done["done"] = number
    return {"done": number, "not_found": missing}


@contextmanager
def _audited(action: str, **about: object) -> Iterator[dict[str, object]]:
    """An action: recorded in the audit trail, its effect visible in the dashboard at once."""
    from leadline.operations import audit  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    with audit.recorded(action, **about) as done:
        yield done
    dashboard().invalidate()


_Route = tuple[str, str, Callable[..., object]]
_ROUTES: tuple[_Route, ...] = (
    ("GET", r"api/status", status),
    ("GET", r"api/users", users),
    ("GET", r"api/users/([0-9]{1,19})", user),
    ("POST", r"api/users/([0-9]{1,19})/again", resync),
    ("POST", r"api/failed/again", resync_all_failed),
    ("POST", r"api/pause", pause),
    ("POST", r"api/resume", resume),
    ("GET", r"api/audit", trail),
    ("GET", r"api/dead-letters", dead_letters),
    ("GET", r"api/dead-letters/([0-9a-f]{12})", dead_letter),
    ("POST", r"api/dead-letters/(replay|discard)", decide),
)
