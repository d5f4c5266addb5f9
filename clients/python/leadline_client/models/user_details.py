from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.sync_history import SyncHistory


T = TypeVar("T", bound="UserDetails")


@_attrs_define
class UserDetails:
    """A user with its sync history.

    Attributes:
        id (int):
        full_name (str):
        phone (str):
        stage (str):
        external_id (None | str):
        created_at (datetime.datetime):
        updated_at (datetime.datetime): When a client last wrote the user.
        sync (SyncHistory): The sync status with the last ten writes, as far as the ledger keeps them.
    """

    id: int
    full_name: str
    phone: str
    stage: str
    external_id: None | str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    sync: SyncHistory

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        full_name = self.full_name

        phone = self.phone

        stage = self.stage

        external_id: None | str
        external_id = self.external_id

        created_at = self.created_at.isoformat()

        updated_at = self.updated_at.isoformat()

        sync = self.sync.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "full_name": full_name,
                "phone": phone,
                "stage": stage,
                "external_id": external_id,
                "created_at": created_at,
                "updated_at": updated_at,
                "sync": sync,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.sync_history import SyncHistory  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        full_name = d.pop("full_name")

        phone = d.pop("phone")

        stage = d.pop("stage")

        def _parse_external_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        external_id = _parse_external_id(d.pop("external_id"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        updated_at = datetime.datetime.fromisoformat(d.pop("updated_at"))

        sync = SyncHistory.from_dict(d.pop("sync"))

        user_details = cls(
            id=id,
            full_name=full_name,
            phone=phone,
            stage=stage,
            external_id=external_id,
            created_at=created_at,
            updated_at=updated_at,
            sync=sync,
        )

        return user_details
