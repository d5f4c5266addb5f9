"""The query and the response bodies of read requests."""

from typing import Annotated, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from leadline.users.model import Stage, UserId

Timestamp = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00.000Z"])
]
_CLOSED = with_config(ConfigDict(extra="forbid"))


class Query(BaseModel):
    """The query of GET /users."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage | None = None
    sync: Literal["waiting", "synced", "failed"] | None = None
    limit: int = Field(50, ge=1, le=200)
    after: int = Field(0, ge=0, le=2**63 - 1)


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

    status: Literal["waiting", "synced", "failed"]
    reason: str | None
    attempts: int
    bitrix_lead_id: int | None
    version: int


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
class UserSummary(_User):
    """A user in a list."""

    sync: Sync


@_CLOSED
class UserDetails(_User):
    """A user with its sync history."""

    sync: SyncHistory


@_CLOSED
class Page(TypedDict):
    """A keyset page of users."""

    items: list[UserSummary]
    next: Annotated[str | None, Field(description="The `after` of the next page; null: the last.")]
