"""The query and the response bodies of read requests."""

import re
from typing import Annotated, Literal, NotRequired

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    with_config,
)
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from leadline.runtime.http.problem import Problem
from leadline.settings import settings
from leadline.users import phones
from leadline.users.model import MAX_ID, ExternalId, Stage, UserId

Timestamp = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00.000Z"])
]
SyncStatus = Literal["waiting", "synced", "failed"]
_CLOSED = with_config(ConfigDict(extra="forbid"))
#: Maximum length of a phone in any notation, as in the bodies of writes.
_PHONE_MAX = 40


def _possible_phones(text: object) -> object:
    if not isinstance(text, str):
        return text
    if len(text) > _PHONE_MAX:
        raise ValueError(f"must have at most {_PHONE_MAX} characters")
    return phones.possible_numbers(text, settings().phone_region)


def _rfc_3339(text: object) -> object:
    """A time as text; a `+` that was not percent-encoded arrives as a space.

    Without the check a number would count as seconds since 1970.
    """
    if not isinstance(text, str):
        return text
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]", text):
        raise ValueError("must be a time with its zone, like 2026-01-31T12:00:00Z")
    return re.sub(r" (?=[0-9:]+$)", "+", text)


class Query(BaseModel):
    """The query of GET /users: users that meet all of its conditions."""

    # The validator is built at its first use: the relay imports this module, and needs none.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stage: Stage | None = None
    sync: SyncStatus | None = None
    phone: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(_possible_phones),
        WithJsonSchema({"type": "string", "maxLength": _PHONE_MAX, "format": "phone"}),
        Field(description="In any notation.", examples=["+77001112233"]),
    ] = None
    external_id: ExternalId | None = None
    bitrix_lead_id: int | None = Field(None, ge=1, le=MAX_ID)
    name: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
        | None,
        Field(description="How the name begins, in any case.", examples=["иван"]),
    ] = None
    updated_since: Annotated[
        AwareDatetime | None,
        BeforeValidator(_rfc_3339),
        Field(
            description="Created or changed at this time or later, by the user's `updated_at`.",
            examples=["2026-01-31T12:00:00Z"],
        ),
    ] = None
    limit: int = Field(50, ge=1, le=200)
    after: int = Field(0, ge=0, le=MAX_ID)


@_CLOSED
class Event(TypedDict):
    """A write and its outcome."""

    event_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    version: int
    action: Literal["create_card", "update_card", "move_card"]
    state: Annotated[
        Literal["open", "synced", "superseded", "failed"],
        Field(description="`superseded`: a newer state was applied instead."),
    ]
    reason: str | None
    attempts: int
    occurred_at: Timestamp
    published_at: Timestamp | None
    settled_at: Timestamp | None


@_CLOSED
class Sync(TypedDict):
    """The sync status of a user."""

    status: SyncStatus
    reason: str | None
    attempts: int
    bitrix_lead_id: int | None
    version: int
    open_fields: Annotated[
        NotRequired[list[str]],
        Field(description="Fields of the map that the lead could not take; written once it can."),
    ]


@_CLOSED
class SyncHistory(Sync):
    """The sync status with the last ten writes, as far as the ledger keeps them."""

    retry_at: Annotated[
        NotRequired[Timestamp],
        Field(description="When a failed write will be retried."),
    ]
    events: list[Event]


class _User(TypedDict):
    id: UserId
    full_name: str
    phone: str
    stage: str


@_CLOSED
class User(_User):
    """A user as the writing calls return it."""

    external_id: Annotated[NotRequired[str], Field(description="If the user has one.")]


class _StoredUser(_User):
    external_id: str | None
    created_at: Timestamp
    updated_at: Annotated[Timestamp, Field(description="When a client last wrote the user.")]


@_CLOSED
class UserSummary(_StoredUser):
    """A user in a list."""

    sync: Sync


@_CLOSED
class UserDetails(_StoredUser):
    """A user with its sync history."""

    sync: SyncHistory


@_CLOSED
class Page(TypedDict):
    """A keyset page of users."""

    items: list[UserSummary]
    next: Annotated[str | None, Field(description="The `after` of the next page; null: the last.")]


@_CLOSED
class BatchOutcome(TypedDict):
    """The outcome of a user of a batch: the user if it was accepted, else the problem."""

    status: Annotated[
        int, Field(description="201: created; 200: changed or unchanged; else as for one user.")
    ]
    version: Annotated[NotRequired[int], Field(description="As in the ETag of one user.")]
    user: NotRequired[User]
    problem: NotRequired[Problem]


@_CLOSED
class BatchAnswer(TypedDict):
    """An outcome for each user, in the order of the request."""

    items: list[BatchOutcome]


@_CLOSED
class StageView(TypedDict):
    """A stage that a user can have."""

    id: Annotated[str, Field(examples=["NEW"])]
    name: Annotated[str | None, Field(description="In the portal's language; null: not read yet.")]


@_CLOSED
class StageList(TypedDict):
    """The stages in the portal's order."""

    items: list[StageView]
