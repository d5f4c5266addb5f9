"""DELETE /users/{id}: erase the person permanently."""

from http import HTTPStatus

import functions_framework
from flask import Request

from leadline.api import paths, writes
from leadline.ledger.erasure import erase
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint
from leadline.users.model import UserId


@functions_framework.http
@cooperative
@endpoint("DELETE", read_scope="erase", write_scope="erase")
def delete_user(request: Request) -> RawResponse:
    """204, also for a user that was erased before; 404 for an id that no user ever had."""
    user_id = UserId(paths.user_id(request))
    version = writes.expected_version(request, writes.version_reader(user_id))
    erase.erase(user_id, version)
    return RawResponse(b"", HTTPStatus.NO_CONTENT, {})
