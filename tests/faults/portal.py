"""The emulated portal in tests: its faults, its leads, and its normal state between tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers import eventually
from tests.system import System

#: The portal's time limit for a request in these tests, and the systems' settings: a lost call and
#: a transient failure cost seconds, not a minute.
REQUEST_LIMIT_S = 10
SHORT_WAITS = {"LEADLINE_REQUEST_LIMIT_S": str(REQUEST_LIMIT_S), "LEADLINE_RESEND_AFTER_S": "15"}

#: The secret part of the webhook that the emulator accepts.
WEBHOOK_CODE = "local-webhook-code"

_DEFAULTS = {
    "mode": "ok",
    "request_limit_s": REQUEST_LIMIT_S,
    "rate_per_s": 2,
    "burst": 50,
    "request_ms": 0,
    "command_ms": 0,
    "operating_limit_s": 480,
}


@contextmanager
def in_order(system: System, *, idle: bool = True) -> Iterator[None]:
    """The portal without faults before and after the block, and every part of the system healthy.

    `idle`: wait until no user waits for a call, too.
    """
    _reset(system)
    eventually(lambda: _is_well(system), 120, "every part works before the test")
    if idle:
        eventually(lambda: not _waiting(system), 120, "no user waits before the test")
    try:
        yield
    finally:
        _reset(system)


def add_fault(system: System, action: str, method: str = "*", **extra: object) -> None:
    """Add a rule to the portal's faults."""
    system.control("POST", "faults", [{"method": method, "action": action, **extra}])


def hits(system: System) -> int:
    """How often the rules of `add_fault` have taken effect so far."""
    return sum(rule["bitten"] for rule in system.control("GET", "faults"))


def clear_faults(system: System) -> None:
    """Remove all faults."""
    system.control("DELETE", "faults")


def call(system: System, method: str, **params: object) -> Any:
    """Call the portal as another client; returns the result."""
    url = f"{system.url('bitrix24')}/rest/1/{WEBHOOK_CODE}/{method}.json"
    answer = system.http.post(url, json=params, timeout=60)
    answer.raise_for_status()
    return answer.json()["result"]


def leads_of(system: System, user_id: int) -> list[dict[str, Any]]:
    """Every lead with this user's id."""
    return list(system.control("GET", f"leads?origin_id={user_id}"))


def lead_of(system: System, user_id: int) -> dict[str, Any]:
    """The one lead of this user."""
    leads = leads_of(system, user_id)
    assert len(leads) == 1, leads
    return leads[0]


def looks_like(lead: dict[str, Any], user: dict[str, Any]) -> bool:
    """Whether the lead equals the user, with one phone and no other."""
    return (
        lead["TITLE"] == user["full_name"]
        and lead["NAME"] == user["full_name"][:50]
        and [row["VALUE"] for row in lead["PHONE"]] == [user["phone"]]
        and lead["STATUS_ID"] == user["stage"]
    )


def _waiting(system: System) -> list[object]:
    return list(system.request("GET", "/users?sync=waiting").json()["items"])


def _reset(system: System) -> None:
    """Remove all faults, and restore the settings."""
    clear_faults(system)
    system.control("PUT", "settings", _DEFAULTS)


def _is_well(system: System) -> bool:
    try:
        return system.is_well()
    except OSError:
        return False
