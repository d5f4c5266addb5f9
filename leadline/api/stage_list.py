"""GET /stages: the stages that a user can have, cacheable."""

import hashlib
from http import HTTPStatus

import orjson
from flask import Request

from leadline.runtime.http.endpoint import RawResponse
from leadline.users import stages

#: How long clients may cache the list: as long as a function uses its own copy of the stages. A
#: write may name a stage that is newer than either.
MAX_AGE_S = int(stages.CACHE_S)


def response(request: Request) -> RawResponse:
    """200 with the stages in the portal's order; 304 if the client has this list already.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    items = [{"id": stage.id, "name": stage.name} for stage in stages.current()]
    body = orjson.dumps({"items": items})
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    # Private: a shared cache must not answer callers without a key.
    headers = {"ETag": etag, "Cache-Control": f"private, max-age={MAX_AGE_S}"}
    if_none_match = request.environ.get("HTTP_IF_NONE_MATCH", "")
    if etag in if_none_match or if_none_match.strip() == "*":
        return RawResponse(b"", HTTPStatus.NOT_MODIFIED, headers)
    return RawResponse(body, HTTPStatus.OK, {"Content-Type": "application/json", **headers})
