"""GET /users/{id}: the user and its sync status."""

import functions_framework
from flask import Request

from leadline.api.paths import user_id
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint, json_response
from leadline.users import queries
from leadline.users.model import UserId


@functions_framework.http
@cooperative
@endpoint("GET", "HEAD")
def get_user(request: Request) -> RawResponse:
    """200 with the user and its `sync` block."""
    user = queries.get(UserId(user_id(request)))
    return json_response(user, ETag=f'"{user["sync"]["version"]}"')
