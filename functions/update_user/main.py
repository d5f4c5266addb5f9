"""PATCH /users/{id}: change only the given fields."""

import functions_framework
from flask import Request

from leadline.api import paths, writes
from leadline.ledger import accept
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint
from leadline.users.further_fields import with_fields
from leadline.users.model import Changes, UserId


@functions_framework.http
@cooperative
@endpoint("PATCH")
def update_user(request: Request) -> RawResponse:
    """200 with the user; 404 if it does not exist, 412 if its version is not that of If-Match."""
    user_id = UserId(paths.user_id(request))
    changes = writes.parse_body(with_fields(Changes), request)
    key = writes.idempotency_key(request, "update", user_id, changes)
    version = writes.expected_version(request, writes.version_reader(user_id))
    return writes.user_response(accept.change(user_id, changes, version, key))
