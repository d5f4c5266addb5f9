from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.sync_status import SyncStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="Sync")


@_attrs_define
class Sync:
    """The sync status of a user.

    Attributes:
        status (SyncStatus):
        reason (None | str):
        attempts (int):
        bitrix_lead_id (int | None):
        version (int):
        open_fields (list[str] | Unset): Fields of the map that the lead could not take; written once it can.
    """

    status: SyncStatus
    reason: None | str
    attempts: int
    bitrix_lead_id: int | None
    version: int
    open_fields: list[str] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        status = self.status.value

        reason: None | str
        reason = self.reason

        attempts = self.attempts

        bitrix_lead_id: int | None
        bitrix_lead_id = self.bitrix_lead_id

        version = self.version

        open_fields: list[str] | Unset = UNSET
        if not isinstance(self.open_fields, Unset):
            open_fields = self.open_fields

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "status": status,
                "reason": reason,
                "attempts": attempts,
                "bitrix_lead_id": bitrix_lead_id,
                "version": version,
            }
        )
        if open_fields is not UNSET:
            field_dict["open_fields"] = open_fields

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = SyncStatus(d.pop("status"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        attempts = d.pop("attempts")

        def _parse_bitrix_lead_id(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        bitrix_lead_id = _parse_bitrix_lead_id(d.pop("bitrix_lead_id"))

        version = d.pop("version")

        open_fields = cast(list[str], d.pop("open_fields", UNSET))

        sync = cls(
            status=status,
            reason=reason,
            attempts=attempts,
            bitrix_lead_id=bitrix_lead_id,
            version=version,
            open_fields=open_fields,
        )

        return sync
