from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewUser")


@_attrs_define
class NewUser:
    """The body of POST /users.

    Attributes:
        full_name (str): 1 to 100 characters after trimming, no control characters
        phone (str):
        stage (str | Unset):  Default: 'NEW'.
        external_id (None | str | Unset):
    """

    full_name: str
    phone: str
    stage: str | Unset = "NEW"
    external_id: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        full_name = self.full_name

        phone = self.phone

        stage = self.stage

        external_id: None | str | Unset
        if isinstance(self.external_id, Unset):
            external_id = UNSET
        else:
            external_id = self.external_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "full_name": full_name,
                "phone": phone,
            }
        )
        if stage is not UNSET:
            field_dict["stage"] = stage
        if external_id is not UNSET:
            field_dict["external_id"] = external_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        full_name = d.pop("full_name")

        phone = d.pop("phone")

        stage = d.pop("stage", UNSET)

        def _parse_external_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        external_id = _parse_external_id(d.pop("external_id", UNSET))

        new_user = cls(
            full_name=full_name,
            phone=phone,
            stage=stage,
            external_id=external_id,
        )

        return new_user
