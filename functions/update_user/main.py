"""PATCH /users/{id}: change what is given, leave the rest."""

import functions_framework
from flask import Request

from leadline.ledger import accept, door
from leadline.runtime.concurrency.greenlets import by_turns
from leadline.runtime.http.endpoint import Answer, endpoint, parse, user_id
from leadline.users.model import Changes, UserId


@functions_framework.http
@by_turns
@endpoint("PATCH")
def update_user(request: Request) -> Answer:
    """200 with the user; 404 and 412 as the path and If-Match say."""
    user = UserId(user_id(request))
    changes = parse(Changes, request)
    repeat = door.repeat(request, "update", user, changes)
    return door.written(accept.change(user, changes, door.expected_version(request), repeat))
