from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.sync_history_status import SyncHistoryStatus
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.event import Event


T = TypeVar("T", bound="SyncHistory")


@_attrs_define
class SyncHistory:
    """The sync status with the last ten writes, as far as the ledger keeps them.

    Attributes:
        status (SyncHistoryStatus):
        reason (None | str):
        attempts (int):
        bitrix_lead_id (int | None):
        version (int):
        events (list[Event]):
        open_fields (list[str] | Unset): Fields of the map that the lead could not take; written once it can.
        retry_at (datetime.datetime | Unset): When a failed write will be retried.
    """

    status: SyncHistoryStatus
    reason: None | str
    attempts: int
    bitrix_lead_id: int | None
    version: int
    events: list[Event]
    open_fields: list[str] | Unset = UNSET
    retry_at: datetime.datetime | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        status = self.status.value

        reason: None | str
        reason = self.reason

        attempts = self.attempts

        bitrix_lead_id: int | None
        bitrix_lead_id = self.bitrix_lead_id

        version = self.version

        events = []
        for events_item_data in self.events:
            events_item = events_item_data.to_dict()
            events.append(events_item)

        open_fields: list[str] | Unset = UNSET
        if not isinstance(self.open_fields, Unset):
            open_fields = self.open_fields

        retry_at: str | Unset = UNSET
        if not isinstance(self.retry_at, Unset):
            retry_at = self.retry_at.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "status": status,
                "reason": reason,
                "attempts": attempts,
                "bitrix_lead_id": bitrix_lead_id,
                "version": version,
                "events": events,
            }
        )
        if open_fields is not UNSET:
            field_dict["open_fields"] = open_fields
        if retry_at is not UNSET:
            field_dict["retry_at"] = retry_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.event import Event  # noqa: PLC0415

        d = dict(src_dict)
        status = SyncHistoryStatus(d.pop("status"))

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

        events = []
        _events = d.pop("events")
        for events_item_data in _events:
            events_item = Event.from_dict(events_item_data)

            events.append(events_item)

        open_fields = cast(list[str], d.pop("open_fields", UNSET))

        _retry_at = d.pop("retry_at", UNSET)
        retry_at: datetime.datetime | Unset
        if isinstance(_retry_at, Unset):
            retry_at = UNSET
        else:
            retry_at = datetime.datetime.fromisoformat(_retry_at)

        sync_history = cls(
            status=status,
            reason=reason,
            attempts=attempts,
            bitrix_lead_id=bitrix_lead_id,
            version=version,
            events=events,
            open_fields=open_fields,
            retry_at=retry_at,
        )

        return sync_history
