"""POST /users: create a user, to be synced to Bitrix24."""

import functions_framework
from flask import Request

from leadline.api import write_headers
from leadline.api.paths import require_collection
from leadline.ledger import accept
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint, parse
from leadline.users.model import NewUser


@functions_framework.http
@cooperative
@endpoint("POST")
def create_user(request: Request) -> RawResponse:
    """201 with the user and its Location."""
    require_collection(request)
    new = parse(NewUser, request)
    accepted = accept.create(new, write_headers.idempotency_key(request, "create", new))
    return write_headers.user_response(accepted, created=True)
