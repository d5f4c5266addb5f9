"""The user, and the bodies of the write requests."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NewType

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from leadline.mapping.targets import Value
from leadline.settings import settings
from leadline.users import phones

UserId = NewType("UserId", int)
LeadId = NewType("LeadId", int)

#: The largest id: a bigint of Postgres.
MAX_ID = 2**63 - 1

#: The stages of a new portal (crm.status.list, ENTITY_ID=STATUS).
DEFAULT_STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")

_STAGE = r"^[A-Z0-9_:]{1,50}$"
#: The message for a stage that no portal can have.
NO_STAGE = "must be one of the portal's stages, which GET /stages lists"

#: Unicode categories: control characters, surrogates, separators of lines and of paragraphs.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

# The rule of full_name as a JSON Schema pattern (ECMA-262): leading and trailing whitespace is
# trimmed (Unicode's White_Space), and control characters are not allowed in between.
_BLANK = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_VISIBLE = rf"[^{_BLANK}{_CONTROL}]"
_NAME = rf"^[{_BLANK}]*{_VISIBLE}(?:[^{_CONTROL}]{{0,98}}{_VISIBLE})?[{_BLANK}]*$"


def printable(text: str) -> str:
    """A text without control characters; raises ValueError."""
    if not text.isprintable() and any(unicodedata.category(char) in _UNPRINTABLE for char in text):
        raise ValueError("must not contain control characters")
    return text


def _printable_id(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    return printable(text)


def _possible_stage(text: str) -> str:
    if not re.fullmatch(_STAGE, text):
        raise ValueError(NO_STAGE)
    return text


def _e164(text: str) -> str:
    return phones.e164(text, settings().phone_region)


FullName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(printable),
    WithJsonSchema(
        {
            "type": "string",
            "description": "1 to 100 characters after trimming, no control characters",
            "pattern": _NAME,
            "examples": ["Иван Иванов"],
        }
    ),
]
Phone = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_e164),
    Field(examples=["+77001112233"], json_schema_extra={"format": "phone"}),
]
ExternalId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(_printable_id),
    WithJsonSchema(
        {
            "type": "string",
            "description": "The caller's own id of the user, unique: 1 to 255 printable characters "
            "without white space at the ends",
            "pattern": rf"^{_VISIBLE}(?:[^{_CONTROL}]{{0,253}}{_VISIBLE})?$",
            "examples": ["crm-4711"],
        }
    ),
]
Stage = Annotated[
    str,
    AfterValidator(_possible_stage),
    WithJsonSchema({"type": "string", "pattern": _STAGE, "format": "stage", "examples": ["NEW"]}),
]


class _Body(BaseModel):
    # Validators are built at their first use: a function needs one or two of these models.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The text that an idempotency key is bound to; it leaves out an absent external id."""
        for name, value in super().__repr_args__():
            if name != "external_id" or value is not None:
                yield name, value


class WithFurtherFields(_Body):
    """A body that may have further fields: `further_fields.with_fields` adds them."""

    #: The fields of the map; empty without a map.
    further_names: ClassVar[tuple[str, ...]] = ()

    def further(self) -> dict[str, Value] | None:
        """The values of further fields, given and default ones; None if there are none.

        A given null is a value: it clears the field.
        """
        if not self.further_names:
            return None
        values = {name: getattr(self, name) for name in self.further_names}
        given = self.model_fields_set
        return {
            name: value for name, value in values.items() if value is not None or name in given
        } or None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """In a fixed order and without defaults: a repetition has the same text under any map."""
        for name, value in super().__repr_args__():
            if name not in self.further_names:
                yield name, value
        for name in self.further_names:
            if name in self.model_fields_set:
                yield name, getattr(self, name)


class NewUser(WithFurtherFields):
    """The body of POST /users."""

    full_name: FullName
    phone: Phone
    stage: Stage = DEFAULT_STAGES[0]
    external_id: ExternalId | None = None


class Upsert(WithFurtherFields):
    """The body of PUT /users/by-external-id/{external_id}."""

    full_name: FullName
    phone: Phone
    stage: Annotated[
        Stage | None,
        Field(description="Absent: NEW for a new user, unchanged for an existing one."),
    ] = None


class BatchItem(Upsert):
    """A user in the body of POST /users/batch; with an external id, an upsert."""

    external_id: ExternalId | None = None


#: The fields that every user has, with any map.
OWN_FIELDS = frozenset(NewUser.model_fields)
#: Maximum number of users in a batch.
BATCH_MAX = 1000


class Batch(_Body):
    """The body of POST /users/batch."""

    #: Each is validated alone: an invalid one is no reason to reject the others.
    users: list[Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/BatchItem"})]] = Field(
        min_length=1, max_length=BATCH_MAX
    )


def _optional_not_null(schema: dict[str, Any]) -> None:
    """Drop null from the schema: None marks an absent field in Python, but a client can't send it.

    An optional further field keeps null, which clears the field. At least one field is required.
    """
    for name, field in schema["properties"].items():
        if name in OWN_FIELDS:
            schema["properties"][name] = field["anyOf"][0]  # the other branch is null
        else:
            field.pop("default", None)
    schema["minProperties"] = 1


class Changes(WithFurtherFields):
    """The body of PATCH /users/{id}: only the given fields change."""

    model_config = ConfigDict(json_schema_extra=_optional_not_null)

    full_name: FullName | None = None
    phone: Phone | None = None
    stage: Stage | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _require_changes(self) -> "Changes":
        """Require at least one field, and a value for each given field that can't be cleared."""
        if not self.model_fields_set:
            raise ValueError(f"name at least one of {', '.join(type(self).model_fields)}")
        if any(getattr(self, name) is None for name in self.model_fields_set & OWN_FIELDS):
            raise ValueError("a field that is given must not be null")
        return self


class Move(_Body):
    """The body of POST /users/{id}/move."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class User:
    """A user as write requests return it."""

    id: UserId
    full_name: str
    phone: str
    stage: str
    external_id: str | None = None
    #: The stored values of further fields; None if there are none.
    fields: Mapping[str, Value] | None = None

    def body(self) -> dict[str, object]:
        """The user as messages carry it; responses add its external id, if it has one."""
        return {
            "id": self.id,
            "full_name": self.full_name,
            "phone": self.phone,
            "stage": self.stage,
        }
