from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..models.event_action import EventAction
from ..models.event_state import EventState

T = TypeVar("T", bound="Event")


@_attrs_define
class Event:
    """A write and its outcome.

    Attributes:
        event_id (UUID):
        version (int):
        action (EventAction):
        state (EventState): `superseded`: a newer state was applied instead.
        reason (None | str):
        attempts (int):
        occurred_at (datetime.datetime):
        published_at (datetime.datetime | None):
        settled_at (datetime.datetime | None):
    """

    event_id: UUID
    version: int
    action: EventAction
    state: EventState
    reason: None | str
    attempts: int
    occurred_at: datetime.datetime
    published_at: datetime.datetime | None
    settled_at: datetime.datetime | None

    def to_dict(self) -> dict[str, Any]:
        event_id = str(self.event_id)

        version = self.version

        action = self.action.value

        state = self.state.value

        reason: None | str
        reason = self.reason

        attempts = self.attempts

        occurred_at = self.occurred_at.isoformat()

        published_at: None | str
        if isinstance(self.published_at, datetime.datetime):
            published_at = self.published_at.isoformat()
        else:
            published_at = self.published_at

        settled_at: None | str
        if isinstance(self.settled_at, datetime.datetime):
            settled_at = self.settled_at.isoformat()
        else:
            settled_at = self.settled_at

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event_id": event_id,
                "version": version,
                "action": action,
                "state": state,
                "reason": reason,
                "attempts": attempts,
                "occurred_at": occurred_at,
                "published_at": published_at,
                "settled_at": settled_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        event_id = UUID(d.pop("event_id"))

        version = d.pop("version")

        action = EventAction(d.pop("action"))

        state = EventState(d.pop("state"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        attempts = d.pop("attempts")

        occurred_at = datetime.datetime.fromisoformat(d.pop("occurred_at"))

        def _parse_published_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                published_at_type_0 = datetime.datetime.fromisoformat(data)

                return published_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        published_at = _parse_published_at(d.pop("published_at"))

        def _parse_settled_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                settled_at_type_0 = datetime.datetime.fromisoformat(data)

                return settled_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        settled_at = _parse_settled_at(d.pop("settled_at"))

        event = cls(
            event_id=event_id,
            version=version,
            action=action,
            state=state,
            reason=reason,
            attempts=attempts,
            occurred_at=occurred_at,
            published_at=published_at,
            settled_at=settled_at,
        )

        return event
