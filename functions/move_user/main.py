"""POST /users/{id}/move: set the stage."""

import functions_framework
from flask import Request

from leadline.api import paths, writes
from leadline.ledger import accept
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint
from leadline.users.model import Move, UserId


@functions_framework.http
@cooperative
@endpoint("POST")
def move_user(request: Request) -> RawResponse:
    """200 with the user; 404 if it does not exist, 412 if its version is not that of If-Match."""
    user_id = UserId(paths.user_id(request, suffix="/move"))
    move = writes.parse_body(Move, request)
    key = writes.idempotency_key(request, "move", user_id, move)
    version = writes.expected_version(request, writes.version_reader(user_id))
    return writes.user_response(accept.change(user_id, move, version, key))
