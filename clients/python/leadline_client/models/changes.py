from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Changes")


@_attrs_define
class Changes:
    """The body of PATCH /users/{id}: only the given fields change.

    Attributes:
        full_name (str | Unset): 1 to 100 characters after trimming, no control characters
        phone (str | Unset):
        stage (str | Unset):
        external_id (str | Unset): The caller's own id of the user, unique: 1 to 255 printable characters without white
            space at the ends
    """

    full_name: str | Unset = UNSET
    phone: str | Unset = UNSET
    stage: str | Unset = UNSET
    external_id: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        full_name = self.full_name

        phone = self.phone

        stage = self.stage

        external_id = self.external_id

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if full_name is not UNSET:
            field_dict["full_name"] = full_name
        if phone is not UNSET:
            field_dict["phone"] = phone
        if stage is not UNSET:
            field_dict["stage"] = stage
        if external_id is not UNSET:
            field_dict["external_id"] = external_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        full_name = d.pop("full_name", UNSET)

        phone = d.pop("phone", UNSET)

        stage = d.pop("stage", UNSET)

        external_id = d.pop("external_id", UNSET)

        changes = cls(
            full_name=full_name,
            phone=phone,
            stage=stage,
            external_id=external_id,
        )

        return changes
