"""The user, and the bodies of the three write requests."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, NewType

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from leadline.settings import settings
from leadline.users import phones

UserId = NewType("UserId", int)
LeadId = NewType("LeadId", int)

#: The stages of a new portal (crm.status.list, ENTITY_ID=STATUS).
DEFAULT_STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

# The rule of full_name as a JSON Schema pattern (ECMA-262): leading and trailing whitespace is
# trimmed (Unicode's White_Space), and control characters are not allowed in between.
_BLANK = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_VISIBLE = rf"[^{_BLANK}{_CONTROL}]"
_NAME = rf"^[{_BLANK}]*{_VISIBLE}(?:[^{_CONTROL}]{{0,98}}{_VISIBLE})?[{_BLANK}]*$"


def _printable(text: str) -> str:
    if not text.isprintable() and any(unicodedata.category(char) in _UNPRINTABLE for char in text):
        raise ValueError("must not contain control characters")
    return text


def _e164(text: str) -> str:
    return phones.e164(text, settings().phone_region)


FullName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_printable),
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
Stage = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z0-9_:]{1,50}$"),
    Field(examples=["NEW"], json_schema_extra={"format": "stage"}),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewUser(_Body):
    """The body of POST /users."""

    full_name: FullName
    phone: Phone
    stage: Stage = DEFAULT_STAGES[0]


def _optional_not_null(schema: dict[str, Any]) -> None:
    """Drop null from the schema: in Python None marks an absent field, a client can't send it."""
    for name, field in schema["properties"].items():
        schema["properties"][name] = field["anyOf"][0]
    schema["minProperties"] = 1


class Changes(_Body):
    """The body of PATCH /users/{id}: only the given fields change."""

    model_config = ConfigDict(json_schema_extra=_optional_not_null)

    full_name: FullName | None = None
    phone: Phone | None = None
    stage: Stage | None = None

    @model_validator(mode="after")
    def _require_changes(self) -> "Changes":
        if not self.model_fields_set:
            raise ValueError("name at least one of full_name, phone, stage")
        if any(getattr(self, name) is None for name in self.model_fields_set):
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

    def body(self) -> dict[str, object]:
        """The JSON body of the response to a write request."""
        return {
            "id": self.id,
            "full_name": self.full_name,
            "phone": self.phone,
            "stage": self.stage,
        }
