"""What a user is, and what a client may say of one."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, NewType

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from leadline.runtime.settings import settings

UserId = NewType("UserId", int)
LeadId = NewType("LeadId", int)

#: Stages every portal has at first (crm.status.list, ENTITY_ID=STATUS).
DEFAULT_STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")

#: ITU-T E.164, 6.2.1; phonenumbers takes some numbers that are longer.
E164_DIGITS = 15

_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _printable(text: str) -> str:
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        raise ValueError("must not contain control characters")
    return text


def _e164(text: str) -> str:
    """The number in the form of ITU-T E.164: `+77001112233`."""
    try:
        number = phonenumbers.parse(text, settings().phone_region or None)
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number with country code, like +77001112233") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible phone number")
    formatted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(formatted) > 1 + E164_DIGITS:
        raise ValueError(f"must have {E164_DIGITS} digits at most")
    return formatted


FullName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_printable),
]
Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(_e164)]
Stage = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_:]{1,50}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewUser(_Body):
    """The body of POST /users."""

    full_name: FullName
    phone: Phone
    stage: Stage = DEFAULT_STAGES[0]


class Changes(_Body):
    """The body of PATCH /users/{id}: only what is given changes."""

    full_name: FullName | None = None
    phone: Phone | None = None
    stage: Stage | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Changes":
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
    """A user as clients see one."""

    id: UserId
    full_name: str
    phone: str
    stage: str

    def body(self) -> dict[str, object]:
        """The JSON body of the three writing calls."""
        return {
            "id": self.id,
            "full_name": self.full_name,
            "phone": self.phone,
            "stage": self.stage,
        }
