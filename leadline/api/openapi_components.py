"""The parameters and headers that operations of the OpenAPI document share."""

from typing import Any

from pydantic import TypeAdapter

from leadline.runtime.http.endpoint import IDEMPOTENCY_KEY_MAX
from leadline.users.model import MAX_ID, ExternalId

Json = dict[str, Any]


def parameters() -> Json:
    """The parameters of paths and headers, by the name under which operations refer to them."""
    return {
        "UserId": {
            "name": "id",
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
            "example": 1,
        },
        "ExternalId": {
            "name": "external_id",
            "in": "path",
            "required": True,
            "schema": TypeAdapter(ExternalId).json_schema(),
            "example": "crm-4711",
        },
        "If-None-Match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The ETag of the list that the client has: 304 if it is still the same.",
            "schema": {"type": "string"},
            "example": '"9c5b94b1a3f0e1d2"',
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key and request give the same answer for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX},
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        },
        "If-Match": {
            "name": "If-Match",
            "in": "header",
            "description": "The version from ETag; nothing is written if it is another one now.",
            "schema": {"type": "string", "pattern": r'^(?:\*|"[0-9]{1,18}")$'},
            "example": '"1"',
        },
        "X-Call-Id": {
            "name": "X-Call-Id",
            "in": "header",
            "description": "Appears in all log lines of the call; generated if missing.",
            "schema": {"type": "string"},
            "example": "order-4711",
        },
        "traceparent": {
            "name": "traceparent",
            "in": "header",
            "description": "W3C Trace Context, continued up to the call to Bitrix24.",
            "schema": {"type": "string"},
            "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    }


def headers() -> Json:
    """The headers of responses, by the name under which responses refer to them."""
    described = {
        "X-Call-Id": ("The call id, given or generated.", {"type": "string"}),
        "ETag": ("The user's version.", {"type": "string", "pattern": '^"[0-9]+"$'}),
        "ETag-Of-List": ("The version of the list.", {"type": "string", "pattern": '^"[^"]+"$'}),
        "Cache-Control": ("How long it may be cached.", {"type": "string"}),
        "Location": ("The new user's path.", {"type": "string", "pattern": "^/users/[0-9]+$"}),
        "Retry-After": ("Seconds to wait before retrying.", {"type": "integer", "minimum": 1}),
        "WWW-Authenticate": ("How to authenticate.", {"type": "string"}),
    }
    return {
        name: {"description": text, "required": True, "schema": schema}
        for name, (text, schema) in described.items()
    }
