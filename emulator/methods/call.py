"""The call of a method, and the result of a successful call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.filters import Where
from emulator.entities.query import argument, calling_application
from emulator.entities.store import Item
from emulator.errors import RestError
from emulator.http.params import Params
from emulator.http.webhooks import Webhook
from emulator.portal import Portal
from emulator.users import ADMIN


@dataclass(frozen=True)
class Call:
    """A call of a method: the portal, the parameters, and the webhook whose user calls."""

    portal: Portal
    params: Params
    webhook: Webhook

    def argument(self, name: str) -> Any:
        """A parameter by its case-insensitive name."""
        return argument(self.params, name)

    @property
    def application(self) -> str:
        """The application that calls, by its `auth_connector`; empty if it sent none."""
        return calling_application(self.params)

    @property
    def user(self) -> int:
        """The calling user."""
        return self.webhook.user

    @property
    def keeps_original_names(self) -> bool:
        """Whether user fields keep their UF_CRM_ names in crm.item.* (useOriginalUfNames)."""
        return self.argument("useOriginalUfNames") in ("Y", "y", True, 1, "1")

    @property
    def read_access(self) -> str:
        """Which objects the user may read: `all`, `own` (as the responsible person) or `none`."""
        settings = self.portal.settings
        return settings.reads if self.user == ADMIN else settings.manager_reads

    def may_read(self, item: Item) -> bool:
        """Whether the user may read an object."""
        if self.read_access == "own":
            return bool(item.data.get("ASSIGNED_BY_ID", "1") == str(self.user))
        return self.read_access == "all"

    def restrict_to_readable(self, clause: Where) -> None:
        """Restrict a list to the objects that the user may read."""
        if self.read_access == "own":
            owner = "coalesce(json_extract(data, '$.ASSIGNED_BY_ID'), '1')"
            clause.restrict(f"{owner} = ?", str(self.user))
        elif self.read_access == "none":
            clause.restrict("0")

    def require_admin(
        self, text: str = "Access denied.", *, code: str = "ACCESS_DENIED", status: int = 400
    ) -> None:
        """Raise RestError unless the user is an administrator.

        `text`, `code` and `status` are those of the error, which differ from method to method.
        """
        if self.user != ADMIN:
            raise RestError(code, text, status)

    def require_fields(self) -> Mapping[str, Any]:
        """The parameter `fields`; raises RestError unless it is an object."""
        sent = self.argument("fields")
        if not isinstance(sent, dict):
            raise RestError("", "Parameter 'fields' must be array.")
        return sent

    def item(self, entity: Entity, item_id: int | None) -> Item | None:
        """An object by id, or None."""
        return self.portal.store.get(entity, item_id) if item_id else None


@dataclass(frozen=True)
class MethodResult:
    """`result`, and for lists `total` and `next` (the start of the next page)."""

    result: Any
    total: int | None = None
    next: int | None = None
    #: The id of the written lead, for the journal.
    lead: int | None = None
