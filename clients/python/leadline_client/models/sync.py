from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.sync_status import SyncStatus

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
    """

    status: SyncStatus
    reason: None | str
    attempts: int
    bitrix_lead_id: int | None
    version: int

    def to_dict(self) -> dict[str, Any]:
        status = self.status.value

        reason: None | str
        reason = self.reason

        attempts = self.attempts

        bitrix_lead_id: int | None
        bitrix_lead_id = self.bitrix_lead_id

        version = self.version

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

        sync = cls(
            status=status,
            reason=reason,
            attempts=attempts,
            bitrix_lead_id=bitrix_lead_id,
            version=version,
        )

        return sync
