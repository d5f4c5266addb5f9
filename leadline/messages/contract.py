"""The two messages: what is asked of Bitrix24, and what became of it.

Unknown fields are ignored on reading; only the public keys (`pattern`, `data.action`, `data.user`,
`data.replyQueue`) are required of a request.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from leadline.runtime.errors import BadMessage
from leadline.runtime.settings import settings

Action = Literal["create_card", "update_card", "move_card"]

PATTERNS: dict[str, str] = {
    "create_card": "user_created",
    "update_card": "user_updated",
    "move_card": "user_moved",
}

MISSING_PHONE = "Missing phone number"
MAX_ID = 2**63 - 1

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Text = Annotated[str, StringConstraints(max_length=1000)]
Trimmed = Annotated[str, StringConstraints(strip_whitespace=True, max_length=250)]
#: An empty or blank text says nothing.
Blank = BeforeValidator(
    lambda value: (value.strip() or None) if isinstance(value, str) else value or None
)
#: Postgres can't store NUL; in a reason nobody misses it.
Reason = Annotated[Text, AfterValidator(lambda text: text.replace("\x00", ""))]
Model = TypeVar("Model", bound=BaseModel)


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class WireUser(_Message):
    """The user's whole state in a request; a phone may be missing, and that is an answer."""

    id: Id
    full_name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    phone: Annotated[Trimmed | None, Blank] = None
    stage: Annotated[Trimmed | None, Blank] = None
    bitrix_lead_id: Id | None = None


class Request(_Message):
    """Make the lead of this user look like this."""

    action: Action
    user: WireUser
    reply_queue: Text = Field(alias="replyQueue")
    event_id: UUID | None = None
    version: Id | None = None
    occurred_at: datetime | None = None

    def identity(self, message_id: str | None) -> str:
        """The event's id: given, else the message's, else derived from the content."""
        if self.event_id is not None:
            return str(self.event_id)
        # It goes back as an AMQP short string: 255 bytes at most, or the publisher breaks.
        if (
            message_id
            and len(message_id) <= 128
            and message_id.isascii()
            and message_id.isprintable()
        ):
            return message_id
        content = orjson.dumps(
            self.model_dump(mode="json", include={"action", "user", "reply_queue"}),
            option=orjson.OPT_SORT_KEYS,
        )
        return str(_uuid8(hashlib.sha256(content).digest()[:16]))


class Reply(_Message):
    """What became of a request."""

    status: Literal["success", "error"]
    action: Action
    user_id: Id
    user: dict[str, Any] | None = None
    bitrix_lead_id: Id | None = None
    reason: Reason | None = None
    attempts: int = Field(1, ge=0, lt=2**31)
    event_id: Text | None = None
    version: int | None = None


def request_body(
    action: str, user: dict[str, object], reply_queue: str, ledger: dict[str, object]
) -> bytes:
    """The message on `bitrix_queue`; `ledger`: our event_id, version and occurred_at."""
    data = {"action": action, "user": user, "replyQueue": reply_queue, **ledger}
    return orjson.dumps({"pattern": PATTERNS[action], "data": data})


def reply_body(reply: dict[str, Any], queue: str) -> bytes:
    """The message on a reply queue, in the NestJS envelope where a setting says so."""
    if settings().reply_envelope == "nestjs":
        return orjson.dumps({"pattern": queue, "data": reply})
    return orjson.dumps(reply)


def read_request(body: object) -> Request:
    """A request out of a message's JSON.

    Raises:
        BadMessage: it can never be served; the text names the fields, never their values.
    """
    request = _read(Request, body)
    if request.reply_queue not in settings().allowed_reply_queues:
        raise BadMessage("replyQueue is not an allowed queue")
    return request


def read_reply(body: object) -> Reply:
    """A reply out of a message's JSON.

    Raises:
        BadMessage: it can never be served.
    """
    reply = _read(Reply, body)
    if reply.status == "success" and reply.bitrix_lead_id is None:
        raise BadMessage("a success names no bitrix_lead_id")
    return reply


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`."""
    in_utc = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return in_utc.replace("+00:00", "Z")


def _uuid8(custom: bytes) -> UUID:
    """RFC 9562, 5.8; Python's own constructor knows no version 8 before 3.14."""
    number = int.from_bytes(custom) & ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=number | 8 << 76 | 2 << 62)


def _read(model: type[Model], body: object) -> Model:
    if not isinstance(body, dict):
        raise BadMessage("the message is not a JSON object")
    inner = body.get("data") if "pattern" in body else body
    try:
        return model.model_validate(inner)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = sorted({".".join(map(str, one["loc"])) or "data" for one in found})
        raise BadMessage(f"missing or invalid: {', '.join(places)}") from None
