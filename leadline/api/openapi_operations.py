"""The operations of the HTTP API, with their models, texts and examples."""

from dataclasses import dataclass
from typing import Any

from leadline.runtime.http.auth import Scope
from leadline.users.model import Batch, Changes, Move, NewUser, Upsert
from leadline.users.views import (
    BatchAnswer,
    Page,
    Query,
    StageList,
    User,
    UserDetails,
)

_READ_ERRORS = (401, 403, 503)
_WRITE_ERRORS = (400, 401, 403, 408, 409, 410, 413, 415, 422, 429, 503)

TAGS = {
    "Users": "A user lives in Postgres; its lead in Bitrix24 follows. `sync` says how far.",
    "Own ids": "Users by the caller's own id, one or many: no id of Leadline needs to be stored.",
    "Stages": "The stages of the portal's leads.",
}

_NAME, _PHONE = "Иван Иванов", "+77001112233"
_USER = {"id": 1, "full_name": _NAME, "phone": _PHONE, "stage": "NEW"}
_USER_WITH_EXTERNAL_ID = {**_USER, "external_id": "crm-4711"}
_TIMES = {
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}
_SYNC = {
    "status": "synced",
    "reason": None,
    "attempts": 1,
    "bitrix_lead_id": 456,
    "version": 1,
}
_EVENT = {
    "event_id": "01a20904-edc6-7729-a816-5943b5169ce7",
    "version": 1,
    "action": "create_card",
    "state": "synced",
    "reason": None,
    "attempts": 1,
    "occurred_at": "2026-01-31T12:00:00.000000+00:00",
    "published_at": "2026-01-31T12:00:00.015000+00:00",
    "settled_at": "2026-01-31T12:00:00.600000+00:00",
}
_STORED = {**_USER_WITH_EXTERNAL_ID, **_TIMES, "sync": _SYNC}
_INVALID = {
    "type": "/docs/problems#invalid_fields",
    "code": "invalid_fields",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "Some fields are missing or invalid.",
    "errors": [{"field": "phone", "message": "is required"}],
}


@dataclass(frozen=True)
class Operation:
    """An operation of the API: its texts, models, examples and statuses."""

    method: str
    path: str
    name: str
    summary: str
    scope: Scope
    response: Any
    tag: str
    description: str
    response_example: Any
    statuses: tuple[int, ...] = (200,)
    body: Any = None
    body_example: Any = None
    query: Any = None
    #: Headers of the request.
    headers: tuple[str, ...] = ()
    #: Headers of successful responses.
    response_headers: tuple[str, ...] = ("ETag",)
    errors: tuple[int, ...] = _READ_ERRORS


OPERATIONS = (
    Operation(
        "GET", "/users", "listUsers", summary="List users by id, a page at a time.",
        scope="read", response=Page, tag="Users",
        description="All conditions must hold. `next` is the `after` of the next page. To follow "
        "changes, pass the newest `updated_at` of the last round, less ten seconds, as "
        "`updated_since`: a write may become visible that much later than its time. A `+` in a "
        "query must be sent as `%2B`.",
        response_example={"items": [_STORED], "next": None},
        query=Query, response_headers=(), errors=(*_READ_ERRORS, 422),
    ),
    Operation(
        "POST", "/users", "createUser", summary="Create a user.",
        scope="write", response=User, tag="Users",
        description="The lead is created soon after, also if RabbitMQ, Redis or Bitrix24 is down "
        "now.",
        response_example=_USER, statuses=(201,),
        body=NewUser, body_example={"full_name": _NAME, "phone": _PHONE},
        headers=("Idempotency-Key",), response_headers=("ETag", "Location"), errors=_WRITE_ERRORS,
    ),
    Operation(
        "POST", "/users/batch", "batchUsers", summary="Create or change up to 1,000 users.",
        scope="write", response=BatchAnswer, tag="Own ids",
        description="Each user is handled for itself, as `POST /users` does, or with an "
        "`external_id` as `PUT /users/by-external-id/{external_id}`: the status of the whole is "
        "200 although some are rejected. One `external_id` may occur once. The rate limit counts "
        "users.",
        response_example={
            "items": [
                {"status": 201, "version": 1, "user": _USER_WITH_EXTERNAL_ID},
                {"status": 422, "problem": _INVALID},
            ]
        },
        body=Batch,
        body_example={
            "users": [
                {"full_name": _NAME, "phone": _PHONE, "external_id": "crm-4711"},
                {"full_name": "Пётр Петров"},
            ]
        },
        headers=("Idempotency-Key",), response_headers=(), errors=_WRITE_ERRORS,
    ),
    Operation(
        "PUT", "/users/by-external-id/{external_id}", "upsertUser",
        summary="Create or change the user with this external id.",
        scope="write", response=User, tag="Own ids",
        description="201 if it is new. Otherwise only what differs is changed; if nothing does, "
        "there is no new version. Concurrent requests create one user. With If-Match no user is "
        "created.",
        response_example=_USER_WITH_EXTERNAL_ID, statuses=(200, 201),
        body=Upsert, body_example={"full_name": _NAME, "phone": _PHONE},
        headers=("Idempotency-Key", "If-Match"), errors=(*_WRITE_ERRORS, 412),
    ),
    Operation(
        "GET", "/users/{id}", "getUser", summary="Show a user and its sync status.",
        scope="read", response=UserDetails, tag="Users",
        description="With the last ten writes of the last 30 days.",
        response_example={**_STORED, "sync": {**_SYNC, "events": [_EVENT]}},
        errors=(*_READ_ERRORS, 404, 410),
    ),
    Operation(
        "PATCH", "/users/{id}", "updateUser", summary="Change the given fields.",
        scope="write", response=User, tag="Users",
        description="The other fields keep their values, and so does the stage of the lead unless "
        "it is given.",
        response_example={**_USER, "full_name": "Пётр Петров"}, body=Changes,
        body_example={"full_name": "Пётр Петров"}, headers=("Idempotency-Key", "If-Match"),
        errors=(*_WRITE_ERRORS, 404, 412),
    ),
    Operation(
        "POST", "/users/{id}/move", "moveUser", summary="Set the stage.",
        scope="write", response=User, tag="Users",
        description="Also if the lead was moved in the CRM meanwhile.",
        response_example={**_USER, "stage": "IN_PROCESS"},
        body=Move, body_example={"stage": "IN_PROCESS"}, headers=("Idempotency-Key", "If-Match"),
        errors=(*_WRITE_ERRORS, 404, 412),
    ),
    Operation(
        "DELETE", "/users/{id}", "eraseUser", summary="Erase the person, for good.",
        scope="erase", response=None, tag="Users",
        description="Name and phone are forgotten here and in Bitrix24; id and version stay. A "
        "repetition is 204, too.",
        response_example=None, statuses=(204,), headers=("If-Match",), response_headers=(),
        errors=(*_READ_ERRORS, 404, 412, 429),
    ),
    Operation(
        "GET", "/stages", "listStages", summary="List the stages that a user can have.",
        scope="read", response=StageList, tag="Stages",
        description="Read from the portal hourly; before the first time, the stages of a new "
        "portal. May be cached for a minute.",
        response_example={
            "items": [{"id": "NEW", "name": "Unassigned"}, {"id": "JUNK", "name": None}]
        },
        statuses=(200, 304),
        headers=("If-None-Match",), response_headers=("ETag-Of-List", "Cache-Control"),
    ),
)  # fmt: skip
