"""The phones and e-mails by which a user and a lead made by hand are recognised as one person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from leadline.bitrix24.lead_fields.applied_fields import Row
from leadline.mapping.current import field_map
from leadline.settings import settings
from leadline.users import phones


class Person(Protocol):
    """A user as stored in Postgres, or as a message carries it."""

    @property
    def phone(self) -> str:
        """In E.164, unless the sender does not normalize it."""

    @property
    def fields(self) -> Mapping[str, Any] | None:
        """Values of further fields by name."""


@dataclass(frozen=True, slots=True)
class ContactDetails:
    """The phone and e-mails of a user."""

    #: In E.164 if it is a valid number.
    phone: str
    #: The further fields that are stored in EMAIL, in lower case.
    emails: tuple[str, ...]

    @classmethod
    def of(cls, user: Person) -> "ContactDetails":
        """The details of this user."""
        return cls(phones.canonical(user.phone, settings().phone_region), _emails(user.fields))


@dataclass(frozen=True, slots=True)
class FoundDetails:
    """The phones and e-mails of a lead or a contact."""

    #: In any notation.
    phones: tuple[str, ...]
    emails: frozenset[str]

    @classmethod
    def of(cls, numbers: Iterable[str], rows: Mapping[str, Sequence[Row]]) -> "FoundDetails":
        """The details of a lead with these phones and these rows of the map's multi-fields."""
        other_numbers = (row.value for row in rows.get("PHONE", ()))
        emails = frozenset(normalized(row.value) for row in rows.get("EMAIL", ()))
        return cls(tuple(dict.fromkeys((*numbers, *other_numbers))), emails)

    def has_phone(self, details: ContactDetails) -> bool:
        """Whether one of its phones, in any notation, is the user's."""
        return any(phones.is_same(number, details.phone) for number in self.phones)

    def matches(self, details: ContactDetails) -> bool:
        """Whether it has the user's phone or one of the user's e-mails."""
        return self.has_phone(details) or not self.emails.isdisjoint(details.emails)


def normalized(email: str) -> str:
    """An e-mail as Bitrix24 compares it: without regard to case."""
    return email.strip().lower()


def _emails(fields: Mapping[str, Any] | None) -> tuple[str, ...]:
    mapping = field_map() if fields else None
    if mapping is None or not fields:
        return ()
    values = (fields.get(name) for name in mapping.email_names)
    return tuple(dict.fromkeys(normalized(value) for value in values if isinstance(value, str)))


def map_has_emails() -> bool:
    """Whether users have e-mails, which leads and contacts may share."""
    mapping = field_map()
    return mapping is not None and bool(mapping.email_names)
