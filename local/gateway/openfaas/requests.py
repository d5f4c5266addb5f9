"""Requests of the API, validated; invalid ones are rejected with a reason."""

import asyncio
import datetime as dt
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from local.gateway.responses import BODY_WITHIN_S
from local.gateway.routes import NAMESPACE

_Body = TypeVar("_Body", bound=BaseModel)


class Refused(Exception):
    """The request is rejected; the text says why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def body_of(request: web.Request, model: type[_Body]) -> _Body:
    """The body as this model.

    Raises:
        Refused: the body does not match it.
    """
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await request.read()
        return model.model_validate_json(body)
    except TimeoutError:
        detail = "The body did not arrive in time."
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field_path = ".".join(str(part) for part in first_error["loc"])
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"{field_path}: {first_error['msg']}.".lstrip(": ")
        ) from None


def check_namespace(namespace: str) -> None:
    """Check that the namespace is ours or empty.

    Raises:
        Refused: it is another one.
    """
    if namespace not in {"", NAMESPACE}:
        raise Refused(HTTPStatus.BAD_REQUEST, f"There is one namespace here, {NAMESPACE}.")


@dataclass(frozen=True)
class LogQuery:
    """A query for a function's log."""

    name: str
    since: dt.datetime | None
    #: How many of the existing lines; None: all.
    tail: int | None
    is_followed: bool

    @classmethod
    def parse(cls, request: web.Request) -> "LogQuery":
        """From the query of GET /system/logs.

        Raises:
            Refused: a value is invalid.
        """
        query = request.query
        try:
            since = dt.datetime.fromisoformat(query["since"]) if query.get("since") else None
            tail = int(query.get("tail") or 0)
        except ValueError:
            detail = "since must be a time as in RFC 3339, tail a number."
            raise Refused(HTTPStatus.BAD_REQUEST, detail) from None
        if since and not since.tzinfo:
            since = since.replace(tzinfo=dt.UTC)
        is_followed = query.get("follow", "").lower() in {"true", "1"}
        return cls(query.get("name", ""), since, tail if tail > 0 else None, is_followed)
