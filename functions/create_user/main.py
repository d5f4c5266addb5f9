"""POST /users: create a user, to be synced to Bitrix24."""

import functions_framework
from flask import Request

from leadline.api import writes
from leadline.api.paths import require_collection
from leadline.ledger import accept
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint
from leadline.users.further_fields import with_fields
from leadline.users.model import NewUser


@functions_framework.http
@cooperative
@endpoint("POST")
def create_user(request: Request) -> RawResponse:
    """201 with the user and its Location; 409 if another user has its external id."""
    require_collection(request)
    new = writes.parse_body(with_fields(NewUser), request)
    key = writes.idempotency_key(request, "create", new)
    if new.external_id is not None:
        # Cold start: few users have an external id.
        from leadline.ledger.upsert import accept as upserts  # noqa: PLC0415
        from leadline.ledger.upsert.outcome import Item  # noqa: PLC0415

        item = Item(
            new.full_name,
            new.phone,
            new.stage,
            new.external_id,
            new.further(),
            must_be_new=True,
        )
        return writes.outcome_response(upserts.accept_one(item, key))
    return writes.user_response(accept.create(new, key), created=True)
