"""The field map: the further fields of users, and the constants of every new lead."""

import hashlib
import re
from functools import cached_property
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from leadline.mapping import targets
from leadline.mapping.targets import COLUMNS, MULTIFIELDS
from leadline.mapping.user_field import UserField

#: Maximum number of further fields.
FIELDS_MAX = 64
#: Total length of all texts of a user, so that a message stays below its size limit.
CHARACTERS_MAX = 32_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: Names in requests, messages and the API that mean something else.
RESERVED = frozenset(
    {
        "id", "full_name", "phone", "stage", "external_id", "bitrix_lead_id", "version", "sync",
        "created_at", "updated_at", "event_id", "user_id", "fields", "status", "reason", "error",
        "limit", "after", "name", "updated_since", "find", "look", "erase", "erased",
    }
)  # fmt: skip

Constant = str | int | float | bool


class NamedField(NamedTuple):
    """A further field with its name."""

    name: str
    field: UserField


class FieldMap(BaseModel):
    """The whole map, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fields: dict[str, UserField] = Field(default_factory=dict)
    #: Columns and user fields that every new lead gets.
    constants: dict[str, Constant] = Field(default_factory=dict)

    @field_validator("fields")
    @classmethod
    def _check_names(cls, fields: dict[str, UserField]) -> dict[str, UserField]:
        for name in fields:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"[fields.{name}]: a name has up to 40 lower-case letters, digits and _"
                )
            if name in RESERVED:
                raise ValueError(f"[fields.{name}]: this name is Leadline's own")
        if len(fields) > FIELDS_MAX:
            raise ValueError(f"at most {FIELDS_MAX} fields")
        if sum(field.length for field in fields.values()) > CHARACTERS_MAX:
            raise ValueError(f"lower max_length: all texts may have {CHARACTERS_MAX} characters")
        return fields

    @field_validator("constants")
    @classmethod
    def _check_constants(cls, constants: dict[str, Constant]) -> dict[str, Constant]:
        for name in constants:
            if name in MULTIFIELDS:
                raise ValueError(f"[constants.{name}]: {name} can't be a constant")
            if why := targets.why_unmappable(name):
                raise ValueError(f"[constants.{name}]: {name} {why}")
        return constants

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        names: dict[str, str] = {}
        for name, field in self.fields.items():
            other = names.setdefault(field.target, name)
            if other != name:
                raise ValueError(f"[fields.{name}]: {field.target} already holds {other}")
            if field.target in self.constants:
                raise ValueError(f"[fields.{name}]: {field.target} is a constant as well")
        return self

    def __hash__(self) -> int:
        """By identity: models are cached by map, and reading the file again makes another map."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @cached_property
    def digest(self) -> str:
        """A short hash of the map's content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @cached_property
    def by_target(self) -> dict[str, NamedField]:
        """Each field with its name, by where it lives in the lead."""
        return {field.target: NamedField(name, field) for name, field in self.fields.items()}

    @cached_property
    def email_names(self) -> tuple[str, ...]:
        """The names of the fields that live in EMAIL, of any value type."""
        return tuple(name for name, field in self.fields.items() if field.lead == "EMAIL")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns and multi-fields of a lead that must be read."""
        return tuple(dict.fromkeys(field.lead for field in self.fields.values()))

    @cached_property
    def name_is_full_name(self) -> bool:
        """Whether NAME holds the full name: the map stores no other field there."""
        return "NAME" not in self.by_target and "NAME" not in self.constants

    @cached_property
    def other_phone_types(self) -> frozenset[str]:
        """The value types of phones that are further fields."""
        kinds = (target.partition(":") for target in self.by_target)
        return frozenset(value_type for kind, _, value_type in kinds if kind == "PHONE")

    @cached_property
    def has_user_fields(self) -> bool:
        """Whether it names a user field of the portal."""
        return any(name not in COLUMNS for name in (*self.columns, *self.constants))
