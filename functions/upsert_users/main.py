"""PUT /users/by-external-id/{id} and POST /users/batch: create or change users by external id."""

import functions_framework
from flask import Request

from leadline.api import upserts
from leadline.api.paths import external_id, is_batch, require_batch
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint, large_bodies


@functions_framework.http
@cooperative
@large_bodies(is_batch, upserts.BATCH_BODY_LIMIT)
@endpoint("PUT", "POST")
def upsert_users(request: Request) -> RawResponse:
    """PUT: 201 or 200 with the user, 412 as for PATCH. POST: 200 with an outcome for each user."""
    if request.method == "PUT":
        return upserts.put(request, external_id(request))
    require_batch(request)
    return upserts.batch(request)
