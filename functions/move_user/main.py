"""POST /users/{id}/move: set the stage."""

import functions_framework
from flask import Request

from leadline.api import writes
from leadline.api.paths import user_id
from leadline.ledger import accept
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint
from leadline.users.model import Move, UserId


@functions_framework.http
@cooperative
@endpoint("POST")
def move_user(request: Request) -> RawResponse:
    """200 with the user; 404 if it does not exist, 412 if its version is not that of If-Match."""
    user = UserId(user_id(request, "/move"))
    move = writes.parse_body(Move, request)
    key = writes.idempotency_key(request, "move", user, move)
    version = writes.expected_version(request, writes.version_reader(user))
    return writes.user_response(accept.change(user, move, version, key))
