"""A result as a message: its body, its id and its signature, as Standard Webhooks specifies.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from leadline.messages.contract import timestamp


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a write, without personal data."""

    #: Grows with each result that is collected: the order of delivery.
    seq: int
    kind: str
    event_id: str
    user_id: int
    version: int
    bitrix_lead_id: int | None
    reason: str | None
    is_erasure: bool
    at: datetime
    #: Failed attempts to deliver it to this endpoint.
    attempts: int = 0
    #: The caller's own id of the user, at the time of delivery.
    external_id: str | None = None

    @property
    def id(self) -> str:
        """The id, the same in each delivery of this result."""
        return f"{self.kind}:{self.event_id}"

    def body(self) -> bytes:
        """The body, as JSON."""
        data: dict[str, Any] = {
            "user_id": self.user_id,
            "external_id": self.external_id,
            "version": self.version,
            "status": "waiting" if self.kind == "user.changed" else self.kind.partition(".")[2],
            "bitrix_lead_id": self.bitrix_lead_id,
            "reason": self.reason,
            "erased": self.is_erasure,
            "event_id": self.event_id,
        }
        return orjson.dumps({"type": self.kind, "timestamp": timestamp(self.at), "data": data})


@dataclass(frozen=True, slots=True)
class Outcome:
    """An endpoint's answer to one result."""

    #: Why the result was not accepted; "" if it was.
    problem: str = ""
    #: The endpoint as a whole is at fault: no answer, a 5xx, or too many requests.
    is_unreachable: bool = False


def headers(result: Result, body: bytes, keys: Sequence[bytes], now_s: int) -> dict[str, str]:
    """The headers that identify and sign a request; one signature for each key."""
    signed = b"%s.%d.%s" % (result.id.encode(), now_s, body)
    signatures = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return {
        "webhook-id": result.id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }
