"""All settings of the emulator, with their defaults and valid values.

Clients change them by these names, which docs/emulator.md explains. The first group sets limits and
simulated time. The second chooses between interpretations of what Bitrix24's documentation leaves
open; the default is the likelier one. The third is about outgoing events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, get_type_hints

from emulator.validators import Choice, Flag, Names, Number, Robots, Text, WebAddress, Whole


class InvalidSetting(ValueError):
    """A setting is unknown, or its value is invalid."""


@dataclass(frozen=True)
class Settings:
    """The current settings; immutable, so that a request sees a consistent set.

    Each annotation holds the check of the value that a client sends.
    """

    rate_per_s: Annotated[float | None, Number(0, 1e6, is_optional=True)] = 2
    burst: Annotated[float, Number(1, 1e6)] = 50
    enterprise_rate_per_s: Annotated[float | None, Number(0, 1e6, is_optional=True)] = 5
    enterprise_burst: Annotated[float, Number(1, 1e6)] = 250
    request_ms: Annotated[float, Number(0, 1e7)] = 0
    command_ms: Annotated[float, Number(0, 1e7)] = 0
    latency: Annotated[str, Choice("fixed", "exponential")] = "fixed"
    #: How much later than a new object its multifield rows become visible.
    phones_after_ms: Annotated[float, Number(0, 1e7)] = 0
    request_limit_s: Annotated[float, Number(0.001, 1e6)] = 60
    operating_limit_s: Annotated[float | None, Number(0, 1e9, is_optional=True)] = 480
    operating_floor_s: Annotated[float, Number(0, 1e6)] = 0.1
    speed: Annotated[float, Number(0.001, 1e5)] = 1
    mode: Annotated[str, Choice("ok", "revoked", "plan_expired", "deleted", "overload")] = "ok"
    seed: Annotated[int, Whole(0, 2**63 - 1)] = 0

    #: Whether the bucket of the request limit drains evenly or at whole seconds.
    drain: Annotated[str, Choice("continuous", "stepped")] = "continuous"
    refused_counts: Annotated[bool, Flag()] = False
    operating_fields: Annotated[str, Choice("both", "operating", "none")] = "both"
    operating_scope: Annotated[str, Choice("webhook", "portal")] = "webhook"
    batch_billing: Annotated[str, Choice("nested", "batch")] = "nested"
    batch_overflow: Annotated[str, Choice("command", "request")] = "command"
    #: Whether a request past `request_limit_s`, which gets a 504, is cut off or finishes unseen.
    cut: Annotated[str, Choice("interrupt", "finish")] = "interrupt"
    double_slash: Annotated[str, Choice("accept", "not_found")] = "accept"
    unknown_method_status: Annotated[int, Choice(404, 400)] = 404
    scope: Annotated[tuple[str, ...], Names()] = ("crm", "user")
    unknown_status: Annotated[str, Choice("store", "reject")] = "store"
    #: Whether a text beyond its field's length is shortened or refused.
    overlong: Annotated[str, Choice("cut", "error")] = "cut"
    mandatory_fields: Annotated[tuple[str, ...], Names()] = ()
    stage_mandatory_fields: Annotated[tuple[str, ...], Names()] = ()
    required_userfields: Annotated[str, Choice("check", "ignore")] = "check"
    offline_event_data: Annotated[str, Choice("fields", "false")] = "fields"
    date_filter: Annotated[str, Choice("any", "not_iso")] = "any"
    robots: Annotated[tuple[dict[str, Any], ...], Robots()] = ()
    robots_on: Annotated[bool, Flag()] = True
    #: Which objects the administrator's webhooks, and the manager's, may read.
    reads: Annotated[str, Choice("all", "own", "none")] = "all"
    manager_reads: Annotated[str, Choice("all", "own", "none")] = "own"
    crm_mode: Annotated[str, Choice("classic", "simple")] = "classic"
    conversion_delay_ms: Annotated[float, Number(0, 1e9)] = 0
    #: What becomes of a lead that is converted: it stays as `CONVERTED`, or is deleted.
    simple_mode_leads: Annotated[str, Choice("converted", "gone")] = "converted"
    deleted_status: Annotated[int, Choice(500, 410)] = 500

    outgoing_webhook_url: Annotated[str | None, WebAddress()] = None
    application_token: Annotated[str, Text(200)] = "local-application-token"  # noqa: S105
    event_bind: Annotated[str, Choice("allowed", "wrong_auth_type")] = "allowed"
    application_methods: Annotated[str, Choice("allowed", "refused")] = "allowed"
    event_delay_ms: Annotated[float, Number(0, 1e7)] = 0
    event_copies: Annotated[int, Whole(0, 100)] = 1
    slow_handler_s: Annotated[float, Number(0, 1e6)] = 5
    event_order: Annotated[str, Choice("as_written", "shuffled")] = "as_written"

    def with_changes(self, changes: Mapping[str, Any]) -> "Settings":
        """A copy with `changes` from a client; raises InvalidSetting."""
        return replace(self, **{name: _checked(name, value) for name, value in changes.items()})

    def as_json(self) -> dict[str, Any]:
        """All settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _checked(name: str, value: object) -> Any:
    hint = get_type_hints(Settings, include_extras=True).get(name)
    if hint is None:
        raise InvalidSetting(f"{name}: no such setting")
    (validator,) = hint.__metadata__
    try:
        return validator.check(value)
    except ValueError as error:
        raise InvalidSetting(f"{name}: {error}") from None
