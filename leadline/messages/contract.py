"""The two messages: the request to sync a user, and its reply.

Unknown fields are ignored. A request needs no others than `pattern`, `data.action`, `data.user` and
`data.replyQueue`.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from leadline.errors import BadMessage
from leadline.mapping.targets import Value
from leadline.settings import settings

Action = Literal["create_card", "update_card", "move_card"]

PATTERNS: dict[str, str] = {
    "create_card": "user_created",
    "update_card": "user_updated",
    "move_card": "user_moved",
}

MISSING_PHONE = "Missing phone number"
#: A bigint of Postgres.
MAX_ID = 2**63 - 1
#: A version counts the writes of one user: one write a second reaches this bound after 31 years.
#: The work queue stores versions a million apart (`put.lua`) as doubles, exact up to 2^53: with
#: this bound they stay below 10^15 + 10^6.
MAX_VERSION = 10**9
#: Maximum length of a reason, in characters; longer texts from a portal or another sender are cut.
MAX_REASON = 1000
#: Maximum length of the reason in a reply that would otherwise exceed the message size limit.
SHORT_REASON = 100

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Text = Annotated[str, StringConstraints(max_length=1000)]
Trimmed = Annotated[str, StringConstraints(strip_whitespace=True, max_length=250)]
#: Control characters, C0, DEL and C1: Postgres can't store NUL, and none belongs in a log line.
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")
_NO_FIELDS: Mapping[str, Value] = {}
#: The same pattern as in `mapping.field_map`.
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
Model = TypeVar("Model", bound=BaseModel)


def _none_if_blank(value: object) -> object:
    if isinstance(value, str):
        return value.strip() or None
    return value or None


#: Treats an empty or blank text as missing.
BlankAsMissing = BeforeValidator(_none_if_blank)


def readable(text: str, max_length: int = MAX_REASON) -> str:
    """A text from outside made safe for JSON, Postgres and log lines: cut, on one line."""
    cut = text if len(text) <= max_length else f"{text[: max_length - 1]}…"
    # JSON may contain a lone surrogate (escaped), which UTF-8 can't encode.
    return cut.encode("utf-8", "replace").decode().translate(_CONTROLS)


Reason = Annotated[
    str,
    BeforeValidator(lambda value: readable(value) if isinstance(value, str) else value),
    Field(description=f"Cut to {MAX_REASON} characters."),
]


class _Message(BaseModel):
    # Validators are built at their first use: writing functions and the relay need none of them.
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, defer_build=True)


class WireUser(_Message):
    """The desired state of a user; without a phone the reply is an error."""

    id: Id
    full_name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    phone: Annotated[Trimmed | None, BlankAsMissing] = None
    stage: Annotated[Trimmed | None, BlankAsMissing] = None
    bitrix_lead_id: Id | None = None


#: The name on the lead of an erased user, and in its messages where a name is required.
ERASED_NAME = "Erased"
#: The outcome for the lead of an erased user; `none`: it had none.
LeadOutcome = Literal["kept", "blanked", "deleted", "none"]


class Request(_Message):
    """A request: make the user's lead match this state."""

    action: Action
    user: WireUser
    reply_queue: Text = Field(alias="replyQueue")
    event_id: UUID | None = None
    version: Version | None = None
    occurred_at: datetime | None = None
    erased: Annotated[
        bool, Field(description="The user was erased: its lead is kept, blanked or deleted.")
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _forget_erased(cls, data: Any) -> Any:
        """Keep only the ids of an erased user."""
        user = data.get("user") if isinstance(data, dict) else None
        if not isinstance(user, dict) or data.get("erased") is not True:
            return data
        ids = {name: user[name] for name in ("id", "bitrix_lead_id") if name in user}
        return {**data, "user": {**ids, "full_name": ERASED_NAME}}

    def identity(self, message_id: str | None, fields: Mapping[str, Value] = _NO_FIELDS) -> str:
        """The event id: the given one, else the message id, else a hash of the content.

        `fields`: the user's further fields, which are a part of the content.
        """
        if self.event_id is not None:
            return str(self.event_id)
        # The reply carries the id as an AMQP short string, of at most 255 bytes; 128 is the limit
        # of correlation ids, too.
        if (
            message_id
            and len(message_id) <= 128
            and message_id.isascii()
            and message_id.isprintable()
        ):
            return message_id
        public = self.model_dump(mode="json", include={"action", "user", "reply_queue"})
        public["user"].update(fields)
        content = orjson.dumps(public, option=orjson.OPT_SORT_KEYS)
        return str(_uuid8(hashlib.sha256(content).digest()[:16]))


class Reply(_Message):
    """The outcome of a request."""

    status: Literal["success", "error"]
    action: Action
    user_id: Id
    user: dict[str, Any] | None = None
    bitrix_lead_id: Id | None = None
    reason: Reason | None = None
    attempts: int = Field(1, ge=0, lt=2**31)
    event_id: Text | None = None
    version: Annotated[int, Field(le=MAX_VERSION)] | None = None
    lead: Annotated[
        LeadOutcome | None, Field(description="The outcome for the lead of an erased user.")
    ] = None
    calls: Annotated[
        Any, Field(description="The calls to Bitrix24 with their answers, for operators; optional.")
    ] = None
    lead_ids: Annotated[
        list[Id],
        Field(max_length=1000, description="Of a held user: leads that may be meant."),
    ] = []
    contact_ids: Annotated[
        list[Id],
        Field(max_length=1000, description="Of a held user: contacts that may be meant."),
    ] = []


def request_body(
    action: str, user: dict[str, object], reply_queue: str, event_fields: dict[str, object]
) -> bytes:
    """The message on `bitrix_queue`; `event_fields`: event_id, version, occurred_at."""
    data = {"action": action, "user": user, "replyQueue": reply_queue, **event_fields}
    return orjson.dumps({"pattern": PATTERNS[action], "data": data})


def reply_body(reply: dict[str, Any], queue: str) -> bytes:
    """The message on a reply queue, in the NestJS envelope if the setting says so.

    `read_reply` always accepts it: a long reason is cut, and a reply over the message size limit
    omits its calls, and its user, which `user_id` identifies.
    """
    body = _reply_body(reply, queue, MAX_REASON)
    if len(body) > settings().body_limit:
        body = _reply_body({**reply, "user": None, "calls": None}, queue, SHORT_REASON)
    return body


def _reply_body(reply: dict[str, Any], queue: str, max_reason: int) -> bytes:
    if reason := reply.get("reason"):
        reply = {**reply, "reason": readable(reason, max_reason)}
    if settings().reply_envelope == "nestjs":
        return orjson.dumps({"pattern": queue, "data": reply})
    return orjson.dumps(reply)


def read_request(body: object) -> Request:
    """Validate the parsed JSON of a request message.

    Raises:
        BadMessage: invalid, permanently; the text names the fields, never their values.
    """
    request = _read(Request, body)
    if request.reply_queue not in settings().allowed_reply_queues:
        raise BadMessage("replyQueue is not an allowed queue")
    return request


def further_fields(body: Any) -> dict[str, Value]:
    """The further fields of the user in a valid request, by name; None: cleared.

    Includes every field whose name a map may have: the sender may use a newer map.
    """
    user = (body["data"] if "pattern" in body else body)["user"]
    return {
        name: value
        for name, value in user.items()
        if name not in WireUser.model_fields
        and _FIELD_NAME.fullmatch(name)
        and (value is None or isinstance(value, str | int | float | bool))
    }


def read_reply(body: object) -> Reply:
    """Validate the parsed JSON of a reply message.

    Raises:
        BadMessage: invalid, permanently.
    """
    reply = _read(Reply, body)
    if reply.status == "success" and reply.bitrix_lead_id is None and reply.lead is None:
        raise BadMessage("a success names no bitrix_lead_id")
    return reply


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`."""
    in_utc = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return in_utc.replace("+00:00", "Z")


def _uuid8(custom: bytes) -> UUID:
    """A UUID of version 8 (RFC 9562, 5.8), which Python's UUID makes only from 3.14."""
    number = int.from_bytes(custom) & ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=number | 8 << 76 | 2 << 62)


def _read(model: type[Model], body: object) -> Model:
    if not isinstance(body, dict):
        raise BadMessage("the message is not a JSON object")
    inner = body.get("data") if "pattern" in body else body
    try:
        return model.model_validate(inner)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadMessage(
            f"missing or invalid: {', '.join(sorted({*map(_field, details)}))}"
        ) from None


def _field(error: Any) -> str:
    """The name of the invalid field, with its bound if exceeded; never its value."""
    name = ".".join(map(str, error["loc"])) or "data"
    return f"{name} ({error['msg']})" if error["type"] == "less_than_equal" else name
