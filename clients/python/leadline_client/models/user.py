from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="User")


@_attrs_define
class User:
    """A user as the writing calls return it.

    Attributes:
        id (int):
        full_name (str):
        phone (str):
        stage (str):
        external_id (str | Unset): If the user has one.
    """

    id: int
    full_name: str
    phone: str
    stage: str
    external_id: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        full_name = self.full_name

        phone = self.phone

        stage = self.stage

        external_id = self.external_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "full_name": full_name,
                "phone": phone,
                "stage": stage,
            }
        )
        if external_id is not UNSET:
            field_dict["external_id"] = external_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        full_name = d.pop("full_name")

        phone = d.pop("phone")

        stage = d.pop("stage")

        external_id = d.pop("external_id", UNSET)

        user = cls(
            id=id,
            full_name=full_name,
            phone=phone,
            stage=stage,
            external_id=external_id,
        )

        return user
