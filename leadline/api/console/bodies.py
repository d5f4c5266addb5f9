"""The bodies of the console's requests: bounded, and without unknown fields."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leadline.api.paths import MAX_ID

LetterId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
#: A single line; Postgres rejects NUL.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
UserNumber = Annotated[int, Field(ge=1, le=MAX_ID)]


class Body(BaseModel):
    """A request with these fields only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Empty(Body):
    """{}: no parameters."""


class Reason(Body):
    """The reason for a pause."""

    reason: Line = ""


class DeadLetterIds(Body):
    """Ids of dead letters."""

    ids: list[LetterId] = Field(min_length=1, max_length=1000)


class NewJob(Body):
    """A bulk job: users to resync, or dead letters to replay or discard.

    Without a selection, all failed users or all dead letters are selected.
    """

    kind: Literal["resync", "replay", "discard"]
    user_ids: list[UserNumber] = Field([], max_length=1000)
    reason_id: str | None = Field(None, pattern=r"^[0-9a-f]{1,16}$")
    ids: list[LetterId] = Field([], max_length=1000)
    queue: Line = ""
    #: The whole reason, as listed.
    reason: str = Field("", max_length=1000)

    @model_validator(mode="after")
    def _selects_what_it_changes(self) -> "NewJob":
        of_letters = bool(self.ids or self.queue or self.reason)
        of_users = bool(self.user_ids or self.reason_id)
        if of_letters if self.kind == "resync" else of_users:
            raise ValueError("the selection is not one for this kind of job")
        return self
