"""The bodies of the console's requests: bounded, and without unknown fields."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leadline.users.model import MAX_ID

if TYPE_CHECKING:
    from leadline.operations.bulk.jobs import Selection

LetterId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
#: Without control characters, among which are line breaks, and NUL, which Postgres rejects.
OneLineText = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
RecordId = Annotated[int, Field(ge=1, le=MAX_ID)]


class Body(BaseModel):
    """A request with these fields only."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Empty(Body):
    """{}: no parameters."""


class Reason(Body):
    """The reason for a pause."""

    reason: OneLineText = ""


class DeadLetterIds(Body):
    """Ids of dead letters."""

    ids: list[LetterId] = Field(min_length=1, max_length=1000)


class Choice(Body):
    """The lead to link a held user to; null: create a new lead."""

    lead_id: RecordId | None


class NewJob(Body):
    """A bulk job: users to resync, or dead letters to replay or discard.

    `reason_id` names a reason of failed users or of dead letters, as listed. Without a selection it
    covers all failed users, or all dead letters.
    """

    kind: Literal["resync", "replay", "discard"]
    user_ids: list[RecordId] = Field([], max_length=1000)
    reason_id: str | None = Field(None, pattern=r"^[0-9a-f]{1,16}$")
    ids: list[LetterId] = Field([], max_length=1000)
    queue: OneLineText = ""

    @model_validator(mode="after")
    def _require_matching_selection(self) -> "NewJob":
        if self.kind == "resync":
            is_of_other_kind = bool(self.ids or self.queue)
        else:
            is_of_other_kind = bool(self.user_ids)
        if is_of_other_kind:
            raise ValueError("the selection is not one for this kind of job")
        return self

    def selection(self) -> "Selection":
        """The users or dead letters that the job covers."""
        from leadline.operations.bulk.jobs import Selection  # noqa: PLC0415 - cold start: only this call needs it

        if self.kind == "resync":
            reasons = (self.reason_id,) if self.reason_id else ()
            return Selection(user_ids=tuple(self.user_ids), reason_ids=reasons)
        return Selection(ids=tuple(self.ids), queue=self.queue, reason_id=self.reason_id or "")
